//! The command that starts a process that verifies.

use std::{ffi::OsString, path::PathBuf, process::Command};

use super::failures::{Failures, ProcessFailures};

/// The command that starts a process which verifies. Its `main` gives [`verify_child`](super::verify_child) its standard
/// input and output, and does nothing else; it gets no environment.
///
/// ```no_run
/// use rejoin_verifier::{VerifyCommand, verify_child};
///
/// # fn app() -> Result<(), Box<dyn std::error::Error>> {
/// // First thing in `main`: this may be the process that verifies.
/// if std::env::args().nth(1).as_deref() == Some("verify-child") {
///     return Ok(verify_child(std::io::stdin().lock(), std::io::stdout().lock())?);
/// }
/// let command = VerifyCommand::of_this_program(["verify-child"])?;
/// // For `rejoin::Builder::verify_command`, or `rejoin_server::ServerConfig::verify_command`.
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
    failures: Failures,
}

impl VerifyCommand {
    /// A program and its arguments.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        let arguments = arguments.into_iter().map(Into::into).collect();
        Self { program: program.into(), arguments, failures: Failures::default() }
    }

    /// The program that runs now: on Linux also where its file has been replaced by another since.
    ///
    /// # Errors
    /// Where the system does not say which it is.
    pub fn of_this_program(
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> std::io::Result<Self> {
        let own = PathBuf::from("/proc/self/exe");
        let program = if own.exists() { own } else { std::env::current_exe()? };
        Ok(Self::new(program, arguments))
    }

    /// How often the processes that it and its clones started came to no answer.
    pub fn failures(&self) -> ProcessFailures {
        self.failures.so_far()
    }

    pub(super) fn count(&self) -> &Failures {
        &self.failures
    }

    pub(super) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
