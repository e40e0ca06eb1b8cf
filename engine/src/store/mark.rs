//! The side file `STORE-mark`: how far the store had come, kept outside of it. It tells a database that was
//! put back from an older copy. It is also the file that a syncing process locks.
//!
//! Only what it says counts as evidence; that it is missing or behind says nothing.

use std::{
    fs::File,
    io::{Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use crate::files;

/// The open side file.
#[derive(Debug)]
pub(super) struct Mark {
    file: File,
    store: String,
}

/// Where the side file of a store is.
pub(super) fn mark_path(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push("-mark");
    PathBuf::from(name)
}

impl Mark {
    /// Opens or makes the side file. `None` where the file system refuses: the second line against forks
    /// (rewriting) does not need it.
    pub(super) fn open(store_path: &Path, store: &str) -> Option<Self> {
        let file = files::open_or_create(&mark_path(store_path)).ok()?;
        Some(Self { file, store: store.to_owned() })
    }

    /// The number of commits it names for this store.
    pub(super) fn commits(&mut self) -> Option<i64> {
        let mut text = String::new();
        self.file.seek(SeekFrom::Start(0)).ok()?;
        (&self.file).take(200).read_to_string(&mut text).ok()?;
        let mut words = text.split_whitespace();
        (words.next()? == self.store).then(|| words.next()?.parse().ok())?
    }

    /// Writes it, without a flush: after a power cut it may be behind, which is no evidence of anything.
    pub(super) fn write(&mut self, commits: i64) {
        let line = format!("{} {commits:020}\n", self.store);
        let written = self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(line.as_bytes()));
        if let Err(error) = written {
            tracing::debug!(%error, "the side file could not be written");
        }
    }
}
