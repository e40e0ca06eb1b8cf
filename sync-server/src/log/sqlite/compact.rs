//! Keeping the file small: all packs at once, pages given back, the write-ahead log emptied.

use super::SqliteRows;
use crate::log::{Compacted, LogError, LogStore, compact::pack_all};

/// Free pages that are given back in one step, and how many are kept for what comes.
const PAGES_A_STEP: i64 = 256;
const PAGES_KEPT: i64 = 512;

/// Gives some of the free pages back to the system. Whether there are more to give.
pub(super) fn tidy(view: SqliteRows<'_>) -> Result<bool, LogError> {
    let number = |name| view.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let incremental = number("auto_vacuum")? == 2;
    let spare = number("freelist_count")? - PAGES_KEPT.max(number("page_count")? / 8);
    if !incremental || spare <= 0 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({})", PAGES_A_STEP.min(spare));
    let mut statement = view.connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(spare > PAGES_A_STEP)
}

impl LogStore {
    /// Packs what is in rows, of every document in which at least `least` changes are, one pack a transaction; then
    /// writes the file again without its free pages. Others may use the database meanwhile; what they write waits for
    /// the last part.
    ///
    /// # Errors
    /// Where SQLite fails, and where a log is damaged: then the packs made before stay.
    pub fn compact(&mut self, least: u64) -> Result<Compacted, LogError> {
        let compacted = self.pack(least)?;
        self.vacuum()?;
        Ok(compacted)
    }

    /// The first half of [`Self::compact`]: the pages that it frees stay in the file.
    ///
    /// # Errors
    /// As there.
    pub fn pack(&mut self, least: u64) -> Result<Compacted, LogError> {
        pack_all(self, least)
    }

    /// Moves the write-ahead log into the file, and empties it. Whether that was done to the end: not where somebody
    /// reads.
    pub(super) fn checkpoint(&self) -> Result<bool, LogError> {
        let mut statement = self.connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(statement.query_row([], |row| row.get::<_, i64>(0))? == 0)
    }
}
