//! Files that are read again when they change: certificates and keys.

use std::{
    io::Read as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, RwLock},
    time::Duration,
};

use sha2::{Digest as _, Sha256};

/// How often files are looked at.
pub(crate) const LOOK: Duration = Duration::from_secs(2);
/// Largest file that is read, in bytes.
const LARGEST: u64 = 1024 * 1024;

/// A file that the server was told to use, and cannot.
#[derive(Debug, thiserror::Error)]
#[error("{}: {why}", path.display())]
pub struct FileError {
    /// The file.
    pub path: PathBuf,
    /// Why not; nothing of its content.
    pub why: String,
}

impl FileError {
    pub(crate) fn new(path: &Path, why: impl std::fmt::Display) -> Self {
        Self { path: path.to_owned(), why: why.to_string() }
    }
}

/// What is made of the files' contents; it is also given what was made of them before.
type Make<T> = dyn Fn(&[Vec<u8>], Option<&T>) -> Result<T, FileError> + Send + Sync;

/// Something made from files, and made again when they change. Where that cannot be done, what was made before stays.
pub(crate) struct Watched<T> {
    files: Vec<PathBuf>,
    make: Box<Make<T>>,
    current: RwLock<Arc<T>>,
    /// What was seen when the files were last looked at: the digest of their contents, or of why they could not be
    /// read.
    seen: Mutex<[u8; 32]>,
}

impl<T> std::fmt::Debug for Watched<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watched").field("files", &self.files).finish_non_exhaustive()
    }
}

impl<T> Watched<T> {
    pub(crate) fn open(
        files: Vec<PathBuf>,
        make: impl Fn(&[Vec<u8>], Option<&T>) -> Result<T, FileError> + Send + Sync + 'static,
    ) -> Result<Self, FileError> {
        let contents = read_all(&files)?;
        let current = RwLock::new(Arc::new(make(&contents, None)?));
        Ok(Self { files, make: Box::new(make), current, seen: Mutex::new(digest(&contents)) })
    }

    /// What was last made.
    pub(crate) fn current(&self) -> Arc<T> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Looks whether the files changed. What became of it is in the log, once for each change. By content and not by
    /// time: two files that are replaced one after the other do not fit together in between.
    pub(crate) fn look(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let read = read_all(&self.files);
        let now = match &read {
            Ok(contents) => digest(contents),
            Err(error) => digest(&[error.to_string().into_bytes()]),
        };
        if *seen == now {
            return;
        }
        *seen = now;
        match read.and_then(|contents| (self.make)(&contents, Some(&self.current()))) {
            Ok(made) => {
                *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(made);
                tracing::info!(files = ?self.files, "read again after a change");
            }
            Err(error) => {
                tracing::error!(%error, "a changed file is of no use: what was read before stays in force")
            }
        }
    }
}

fn digest(contents: &[Vec<u8>]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for content in contents {
        hasher.update((content.len() as u64).to_le_bytes());
        hasher.update(content);
    }
    hasher.finalize().into()
}

fn read_all(files: &[PathBuf]) -> Result<Vec<Vec<u8>>, FileError> {
    files.iter().map(|path| read(path).map_err(|why| FileError::new(path, why))).collect()
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let file = std::fs::File::open(path).map_err(|error| error.to_string())?;
    let mut content = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut content).map_err(|error| error.to_string())?;
    if content.len() as u64 > LARGEST { Err("it is larger than 1 MiB".to_owned()) } else { Ok(content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_made_leaves_what_was_made_before() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("number");
        std::fs::write(&path, "1").unwrap();
        let make = |contents: &[Vec<u8>], _: Option<&u32>| {
            let text = String::from_utf8_lossy(&contents[0]).into_owned();
            text.parse::<u32>().map_err(|error| FileError::new(Path::new("number"), error))
        };
        let number = Watched::open(vec![path.clone()], make).unwrap();
        assert_eq!(*number.current(), 1);
        for (text, wanted) in [(Some("2"), 2), (Some("two"), 2), (None, 2), (Some("3"), 3)] {
            match text {
                Some(text) => std::fs::write(&path, text).unwrap(),
                None => std::fs::remove_file(&path).unwrap(),
            }
            number.look();
            assert_eq!(*number.current(), wanted, "{text:?}");
        }
        assert!(Watched::open(vec![directory.path().join("none")], make).is_err());
    }
}
