use std::{ffi::OsString, path::PathBuf, process::Command};

/// The command that starts a process which verifies. Its `main` gives [`verify_child`](super::verify_child) its standard
/// input and output, and does nothing else; it gets no environment.
///
/// ```no_run
/// use rejoin::{Store, verify::{VerifyCommand, verify_child}};
///
/// # async fn app() -> Result<(), Box<dyn std::error::Error>> {
/// // First thing in `main`: this may be the process that verifies.
/// if std::env::args().nth(1).as_deref() == Some("verify-child") {
///     return Ok(verify_child(std::io::stdin().lock(), std::io::stdout().lock())?);
/// }
/// let command = VerifyCommand::of_this_program(["verify-child"])?;
/// let store = Store::builder("notes.db").verify_command(command).open().await?;
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyCommand {
    program: PathBuf,
    arguments: Vec<OsString>,
}

impl VerifyCommand {
    /// A program and its arguments.
    pub fn new(
        program: impl Into<PathBuf>,
        arguments: impl IntoIterator<Item = impl Into<OsString>>,
    ) -> Self {
        Self { program: program.into(), arguments: arguments.into_iter().map(Into::into).collect() }
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

    pub(super) fn to_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(&self.arguments);
        command
    }
}
