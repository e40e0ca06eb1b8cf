//! Removing for good what is behind a tombstone.

use std::{path::Path, time::Duration};

use rejoin_protocol::DocumentId;
use rejoin_storage::rows::{LAST_POSITION, row_key};
use rusqlite::named_params;

use super::{LogStore, SqliteRows};
use crate::log::{Attempt, EditRows, Group, Log, LogError, Rows};

/// How often it is tried to empty the write-ahead log while others read, and how long between.
const ATTEMPTS: u32 = 100;
const BETWEEN: Duration = Duration::from_millis(50);

/// What became of a purge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Purged {
    /// The changes are gone from the database and its write-ahead log; the tombstone stays.
    Done,
    /// There is nothing behind the tombstone. What an earlier purge left in the write-ahead log is gone now too.
    Empty,
    /// They are gone from the database, and a reader keeps its write-ahead log from being emptied.
    Lingers,
    /// The document has no tombstone: nothing was done.
    Alive,
    /// There is no such document.
    Unknown,
}

/// Removes the changes of a deleted document, its packs, its snapshot and the names of its actors from the database at
/// `path`, for good: the file is written again, so that no free page holds them. `now` is in milliseconds since 1970.
/// A server may be using the database; what it writes waits meanwhile.
///
/// # Errors
/// Where the database cannot be opened or written. Doing it again finishes what was begun.
pub fn purge(path: &Path, document: &DocumentId, now: i64) -> Result<Purged, LogError> {
    let mut log = LogStore::open(path)?;
    let Some(found) = log.rows().document(document)? else { return Ok(Purged::Unknown) };
    if !found.deleted {
        return Ok(Purged::Alive);
    }
    // Otherwise SQLite looks through all changes for each actor that goes.
    log.connection.pragma_update(None, "foreign_keys", false)?;
    log.connection.pragma_update(None, "secure_delete", true)?;
    let group = log.begin()?;
    let gone = group.edit().attempt(|view| remove(*view, found.key, now).map(Attempt::Keep))?;
    group.commit()?;
    // What was deleted earlier (rows that became packs) may still stand in free pages.
    log.vacuum()?;
    for _ in 0..ATTEMPTS {
        if log.checkpoint()? {
            return Ok(if gone == 0 { Purged::Empty } else { Purged::Done });
        }
        std::thread::sleep(BETWEEN);
    }
    Ok(Purged::Lingers)
}

fn remove(view: SqliteRows<'_>, document: i64, now: i64) -> Result<usize, LogError> {
    let (first, last) = (row_key(document, 0), row_key(document, LAST_POSITION));
    let mut gone = 0;
    for table in ["head", "change", "pack", "quarantine", "pushed", "reach"] {
        let sql = format!("DELETE FROM {table} WHERE id BETWEEN :first AND :last");
        gone += view.connection.prepare(&sql)?.execute(named_params! { ":first": first, ":last": last })?;
    }
    for table in ["rewritten", "actor", "snapshot", "verified"] {
        let sql = format!("DELETE FROM {table} WHERE document = :document");
        view.connection.prepare(&sql)?.execute(named_params! { ":document": document })?;
    }
    view.connection.execute(
        "DELETE FROM pusher WHERE NOT EXISTS (SELECT 1 FROM pushed WHERE pushed.pusher = pusher.id)",
        [],
    )?;
    view.connection
        .prepare("UPDATE document SET purged_at = coalesce(purged_at, :now), bytes = 0, rewritten = 0 WHERE id = :id")?
        .execute(named_params! { ":id": document, ":now": now })?;
    Ok(gone)
}
