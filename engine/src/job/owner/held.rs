//! Processes by a file that each of them holds locked while it lives: its death frees the lock on every system.
//!
//! The file lies in the directory for temporary files, and is named by a random UUID. Where it is not found, as after that
//! directory was cleared, nothing can be told of its process, and its leases run out.

use std::{
    fs::{File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
    sync::OnceLock,
    time::{Duration, SystemTime},
};

use uuid::Uuid;

/// What the name of a process begins with.
const HELD: &str = "held:";
/// The directory in that for temporary files.
const DIRECTORY: &str = "rejoin-processes";
/// How long the file of a process that ended is kept: for as long somebody may look whether it is gone.
const KEPT: Duration = Duration::from_secs(24 * 3600);

/// The file of this process, locked.
#[derive(Debug)]
struct Own {
    name: String,
    /// Closed by the end of the process.
    _file: File,
}

/// This process, while it holds its file; `None` where no file can be made or locked.
pub(super) fn here() -> Option<String> {
    static OWN: OnceLock<Option<Own>> = OnceLock::new();
    let own = OWN.get_or_init(|| hold(&directory()));
    own.as_ref().map(|own| format!("{HELD}{}", own.name))
}

/// Whether a process that is named as by [`here`] is known to be gone.
pub(super) fn is_gone(process: &str) -> bool {
    // Whoever writes the row writes the name: nothing but a UUID leads to a file.
    let name = process.strip_prefix(HELD).and_then(|name| name.parse::<Uuid>().ok());
    name.is_some_and(|name| is_free(&directory().join(name.to_string())))
}

fn directory() -> PathBuf {
    std::env::temp_dir().join(DIRECTORY)
}

fn hold(directory: &Path) -> Option<Own> {
    std::fs::create_dir_all(directory).ok()?;
    clear(directory);
    let name = Uuid::new_v4().to_string();
    let file = OpenOptions::new().write(true).create_new(true).open(directory.join(&name)).ok()?;
    file.try_lock().ok()?;
    Some(Own { name, _file: file })
}

/// Whether nobody holds the file at this path, which is there.
fn is_free(path: &Path) -> bool {
    let Ok(file) = OpenOptions::new().write(true).open(path) else { return false };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock | TryLockError::Error(_)) => false,
    }
}

/// Removes the files of processes that ended long ago.
fn clear(directory: &Path) {
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    let now = SystemTime::now();
    for path in entries.flatten().map(|entry| entry.path()) {
        let made = path.metadata().and_then(|file| file.modified()).ok();
        let old = made.and_then(|made| now.duration_since(made).ok()).is_some_and(|age| age > KEPT);
        if old && is_free(&path) {
            // Another process that clears it was faster.
            let _ = std::fs::remove_file(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader},
        process::{Command, Stdio},
    };

    use super::*;

    /// Tells a process that is started for the test below that it is to hold its file until it is killed.
    const HOLDS: &str = "REJOIN_TEST_HOLDS_ITS_FILE";

    #[test]
    fn a_process_that_was_killed_is_gone_by_the_lock_that_its_death_freed() {
        if std::env::var_os(HOLDS).is_some() {
            println!("{}", here().unwrap());
            loop {
                std::thread::park();
            }
        }
        let this =
            format!("{}::a_process_that_was_killed_is_gone_by_the_lock_that_its_death_freed", module_path!());
        let this = this.split_once("::").unwrap().1;
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", this, "--nocapture"]).env(HOLDS, "1").stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut names =
            lines.map_while(Result::ok).filter_map(|line| line.find(HELD).map(|at| line[at..].to_owned()));
        let process = names.next().unwrap();
        assert!(!is_gone(&process), "it lives");
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&process), "and was killed");
        assert!(!is_gone(&here().unwrap()), "and this one lives");
    }

    #[test]
    fn files_of_long_ago_go_and_those_of_the_living_stay() {
        let place = tempfile::tempdir().unwrap();
        let living = hold(place.path()).unwrap();
        let ended = place.path().join(Uuid::new_v4().to_string());
        let old = SystemTime::now() - 2 * KEPT;
        for path in [&ended, &place.path().join(&living.name)] {
            OpenOptions::new()
                .create(true)
                .truncate(false)
                .write(true)
                .open(path)
                .unwrap()
                .set_modified(old)
                .unwrap();
        }
        clear(place.path());
        assert_eq!((ended.exists(), place.path().join(&living.name).exists()), (false, true));
    }
}
