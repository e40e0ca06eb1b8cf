//! The programs that tests start, built as they ship.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// The two programs, as they ship: built without the switches that plant bugs.
#[derive(Debug, Clone)]
pub struct Binaries {
    /// `rejoin`.
    pub rejoin: PathBuf,
    /// `rejoin-server`.
    pub server: PathBuf,
}

/// Builds the programs once a process, in the release profile and in the target directory this test runs from.
/// A build of the whole workspace has the planted bugs' switches in it, so it is never used here.
/// `REJOIN_BINARIES` names a directory with programs that are to be used as they are.
pub fn binaries() -> &'static Binaries {
    static BINARIES: OnceLock<Binaries> = OnceLock::new();
    BINARIES.get_or_init(|| match std::env::var_os("REJOIN_BINARIES").filter(|v| !v.is_empty()) {
        Some(dir) => {
            Binaries { rejoin: Path::new(&dir).join("rejoin"), server: Path::new(&dir).join("rejoin-server") }
        }
        None => build(),
    })
}

fn build() -> Binaries {
    let target = target_dir();
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' crate is in the workspace");
    let mut command = Command::new(cargo);
    command.current_dir(root).args(["build", "--release", "--bin", "rejoin", "--bin", "rejoin-server"]);
    // With this crate, and without its switches: what the programs stand on is then the same as what the tests stand on,
    // and is not built again.
    command.args(["-p", "rejoin-cli", "-p", "rejoin-server", "-p", "rejoin-tests", "--no-default-features"]);
    command.arg("--target-dir").arg(&target);
    for (name, _) in std::env::vars_os() {
        // What cargo tells of the crate under test is not meant for another build.
        if name.to_str().is_some_and(|n| n.starts_with("CARGO_PKG_") || n == "CARGO_MANIFEST_DIR") {
            command.env_remove(name);
        }
    }
    let output = command.output().expect("cargo can be started");
    assert!(output.status.success(), "the build failed:\n{}", String::from_utf8_lossy(&output.stderr));
    // Copies: another build may put others in their place while these are in use.
    let own = target.join("release").join("harness").join(std::process::id().to_string());
    std::fs::create_dir_all(&own).expect("the target directory can be written");
    let copy = |name: &str| {
        let (from, to) = (target.join("release").join(name), own.join(name));
        std::fs::copy(&from, &to).unwrap_or_else(|e| panic!("{} was not built: {e}", from.display()));
        to
    };
    Binaries { rejoin: copy("rejoin"), server: copy("rejoin-server") }
}

/// The target directory, told from where this program lies: `TARGET/release/…`.
fn target_dir() -> PathBuf {
    let exe = std::env::current_exe().expect("this program knows where it is");
    let release = exe.ancestors().find(|p| p.file_name().is_some_and(|n| n == "release" || n == "debug"));
    let target = release.and_then(Path::parent).expect("this program lies in a target directory");
    target.to_owned()
}
