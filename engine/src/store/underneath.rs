//! What lies underneath an open store: whether its paths still bear the files that it writes to.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::{
    Error, Result,
    files::{beside, resolve},
};

/// The files that the paths of a store bore when it was opened: the database, and its write-ahead log, where what
/// is committed stands first. SQLite goes on writing to a file that was deleted or replaced, and what is written
/// there nobody finds again.
#[derive(Debug)]
pub(super) struct Underneath(Vec<(PathBuf, u64)>);

impl Underneath {
    /// The database as it is now.
    pub(super) fn of(database: &Path) -> Self {
        let mut files = Self(Vec::new());
        files.add(resolve(database));
        files
    }

    /// The write-ahead log as it is now. A store without one has none to lose.
    pub(super) fn add_log(&mut self, database: &Path) {
        // Beside the file itself, where a link leads to it.
        self.add(beside(&resolve(database), "-wal"));
    }

    fn add(&mut self, path: PathBuf) {
        if let Ok(inode) = inode(&path) {
            self.0.push((path, inode));
        }
    }

    /// # Errors
    /// [`Error::Io`] when one of them was moved, replaced or deleted.
    pub(super) fn check(&self) -> Result<()> {
        for (path, was) in &self.0 {
            if !inode(path).is_ok_and(|now| now == *was) {
                let why = "the file was moved, replaced or deleted while the store was open";
                let source = io::Error::new(io::ErrorKind::NotFound, why);
                return Err(Error::Io { path: path.clone(), source });
            }
        }
        Ok(())
    }
}

#[cfg(unix)]
fn inode(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|file| std::os::unix::fs::MetadataExt::ino(&file))
}

/// An open file cannot be removed there: that it exists says enough.
#[cfg(not(unix))]
fn inode(path: &Path) -> io::Result<u64> {
    std::fs::metadata(path).map(|_| 0)
}
