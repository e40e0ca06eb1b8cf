//! Writing the file again without its free pages, and where there must be room for that.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;
use rustix::fs::{Access, AtFlags, CWD, accessat, statvfs};

use super::LogStore;
use crate::log::LogError;

/// The variables that name SQLite's directory for temporary files, and the directories that it tries after them
/// (<https://sqlite.org/tempfiles.html>).
const VARIABLES: [&str; 2] = ["SQLITE_TMPDIR", "TMPDIR"];
const DIRECTORIES: [&str; 4] = ["/var/tmp", "/usr/tmp", "/tmp", "."];

impl LogStore {
    /// Writes the file again without free pages, and empties the write-ahead log.
    pub(super) fn vacuum(&self) -> Result<(), LogError> {
        self.connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        let written = self.connection.execute_batch("VACUUM");
        written.map_err(|error| match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => self.find_full().unwrap_or_else(|| error.into()),
            _ => error.into(),
        })?;
        self.checkpoint().map(drop)
    }

    /// Where there was no room: the new file is written to the directory for temporary files first, and then beside the
    /// old one. None where it cannot be told.
    fn find_full(&self) -> Option<LogError> {
        let number = |name| self.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).ok();
        let pages = number("page_count")?.saturating_sub(number("freelist_count")?);
        let needed = u64::try_from(pages.saturating_mul(number("page_size")?)).ok()?;
        let beside = self.connection.path().map(Path::new).and_then(Path::parent).map(Path::to_owned);
        let beside = beside.filter(|directory| !directory.as_os_str().is_empty());
        let directories = [temporary_directory(), beside.or(Some(PathBuf::from(".")))];
        let full = directories.into_iter().flatten().find(|directory| has_less(directory, needed));
        full.map(|directory| LogError::NoRoom { directory, needed })
    }
}

/// Whether a file of this length does not fit there.
fn has_less(directory: &Path, needed: u64) -> bool {
    statvfs(directory).is_ok_and(|room| room.f_bavail.saturating_mul(room.f_frsize) < needed)
}

/// The directory that SQLite takes for temporary files.
fn temporary_directory() -> Option<PathBuf> {
    let named = VARIABLES.iter().filter_map(std::env::var_os).map(PathBuf::from);
    let usable = |directory: &PathBuf| {
        directory.is_dir()
            && accessat(CWD, directory, Access::WRITE_OK | Access::EXEC_OK, AtFlags::empty()).is_ok()
    };
    named.chain(DIRECTORIES.map(PathBuf::from)).find(usable)
}
