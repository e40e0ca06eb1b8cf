//! "One process at a time syncs a store (an OS file lock, freed by death)."

use std::{
    fs::{File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::time::Instant;

use crate::{Error, Result, files};

/// How often a lock that another process holds is tried.
const TRY_AGAIN: Duration = Duration::from_millis(50);

/// Held while a store is synced; dropped, the next process goes on.
#[derive(Debug)]
pub(super) struct SyncLock {
    _file: Option<File>,
}

impl SyncLock {
    /// Takes the lock, or waits for the process that has it.
    ///
    /// # Errors
    /// [`Error::Io`] where the side file cannot be opened, and when the deadline passed.
    pub(super) async fn take(side_file: Option<&Path>, deadline: Instant) -> Result<Self> {
        let Some(path) = side_file else { return Ok(Self { _file: None }) };
        let path = &lock_path(path, cfg!(windows));
        let file = open(path.clone()).await?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Self { _file: Some(file) }),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => {
                    tokio::time::sleep(TRY_AGAIN).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(failed(path, std::io::ErrorKind::WouldBlock.into()));
                }
                // Some file systems know no locks. Two processes that sync at once do no harm: a page moves the
                // cursor only if it is still the one that was asked with, and a change sent twice costs nothing.
                Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Unsupported => {
                    return Ok(Self { _file: None });
                }
                Err(TryLockError::Error(e)) => return Err(failed(path, e)),
            }
        }
    }
}

/// The file that is locked. Where locks are mandatory nobody could write the side file meanwhile, so it is another there.
fn lock_path(side_file: &Path, mandatory: bool) -> PathBuf {
    let mut path = side_file.as_os_str().to_owned();
    if mandatory {
        path.push("-lock");
    }
    path.into()
}

async fn open(path: PathBuf) -> Result<File> {
    let opened =
        tokio::task::spawn_blocking(move || files::open_or_create(&path).map_err(|e| failed(&path, e)));
    opened.await.map_err(|_| Error::Closed)?
}

fn failed(path: &Path, source: std::io::Error) -> Error {
    Error::Io { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_locks_are_mandatory_the_side_file_can_be_written_during_a_sync() {
        let mark = Path::new("a.db-mark");
        assert_eq!(lock_path(mark, false), mark, "processes of other releases lock it");
        assert_ne!(lock_path(mark, true), mark);
    }

    #[tokio::test]
    async fn a_second_one_waits_for_the_first_and_then_goes_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db-mark");
        let far = Instant::now() + Duration::from_secs(60);
        let first = SyncLock::take(Some(&path), far).await.unwrap();
        assert!(matches!(SyncLock::take(Some(&path), Instant::now()).await, Err(Error::Io { .. })));
        let waiting = SyncLock::take(Some(&path), far);
        let freeing = async move { drop(first) };
        let (second, ()) = tokio::join!(waiting, freeing);
        assert!(second.is_ok());
    }
}
