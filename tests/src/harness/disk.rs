//! Temporary directories on the real disk.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

/// A temporary directory on the disk that the target directory is on: a flush costs there what it costs.
#[derive(Debug)]
pub struct Place {
    dir: TempDir,
}

impl Default for Place {
    fn default() -> Self {
        Self::new()
    }
}

impl Place {
    /// A new one; gone when dropped.
    pub fn new() -> Self {
        let exe = std::env::current_exe().expect("this program knows where it is");
        let beside = exe.parent().expect("a program lies in a directory");
        let dir = tempfile::Builder::new().prefix("place-").tempdir_in(beside);
        Self { dir: dir.expect("the target directory can be written") }
    }

    /// The directory.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A path in it.
    pub fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// A limit that the system itself enforces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// No file may grow beyond so many KiB (`ulimit -f`).
    FileKib(u64),
}

/// The program, to be run under a limit.
pub fn limited(program: &OsStr, limit: Limit) -> Command {
    let Limit::FileKib(kib) = limit;
    let mut command = Command::new("/bin/bash");
    // SIGXFSZ would kill it; ignored, the write fails, as on a full disk.
    command.arg("-c").arg(format!("trap '' XFSZ; ulimit -S -f {kib}; exec \"$0\" \"$@\"")).arg(program);
    command
}

/// Takes the limit off a living process. `false` where this system cannot.
pub fn unlimit(pid: u32) -> bool {
    let lifted = Command::new("prlimit").arg(format!("--pid={pid}")).arg("--fsize=unlimited").output();
    lifted.is_ok_and(|o| o.status.success())
}
