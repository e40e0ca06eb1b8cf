//! Putting a backup in a store's place, and logs that were left beside a file by another one.

use std::{
    io,
    path::{Path, PathBuf},
    time::Duration,
};

use rejoin_migrations::SERVER;
use rusqlite::{Connection, backup::Backup};

use super::{
    open::get_meta,
    read_only::{Scratch, connect_to_read, schema_of},
};
use crate::{
    Error, Result,
    files::{self, Alone, Temporary, find_foreign_log, find_log, replace_database, resolve},
};

/// Puts a copy of a store in the place of another, or where none is. The old one is kept beside it with its write-ahead
/// log, and its name returned; what lay beside the path is never read with the new file. The store gets a fresh actor:
/// what the old one made since the copy is not made again under the same numbers.
///
/// Not while this process has either store open.
///
/// # Errors
/// Nothing was changed then: [`Error::NotAStore`], [`Error::NewerSchema`], [`Error::BadBackup`] for a file that cannot be
/// restored, [`Error::InUse`] where a process has the store open, [`Error::DiskFull`], [`Error::Io`].
pub fn restore(store: &Path, backup: &Path) -> Result<Option<PathBuf>> {
    let store = resolve(store);
    let io = |source| Error::Io { path: store.clone(), source };
    check_backup(&store, backup)?;
    let source = connect_to_read(backup).map_err(|error| bad(backup, error))?;
    check_whose(&source, backup)?;
    schema_of(&source, backup)?;
    let copy = Temporary::beside(&store).map_err(io)?;
    write_copy(&source, copy.path()).map_err(|error| bad(backup, error))?;
    drop(source);
    replace_database(copy).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => Error::InUse { path: store.clone() },
        _ => io(error),
    })
}

fn check_backup(store: &Path, backup: &Path) -> Result<()> {
    let why = |why: &str| Err(Error::BadBackup { path: backup.to_owned(), why: why.to_owned() });
    if !backup.is_file() {
        return why("there is no such file");
    }
    if resolve(backup) == *store {
        return why("it is the store itself");
    }
    check_log(backup)
}

/// A server keeps its log in a database of another kind.
fn check_whose(source: &Connection, backup: &Path) -> Result<()> {
    let id: i32 = source.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if id != SERVER.application_id {
        return Ok(());
    }
    let why = "it is the database of a server, which `rejoin-server restore` puts back".to_owned();
    Err(Error::BadBackup { path: backup.to_owned(), why })
}

/// What is wrong with a file that is to be restored, and not with the store.
fn bad(backup: &Path, error: Error) -> Error {
    match error {
        Error::Corrupt(why) => {
            Error::BadBackup { path: backup.to_owned(), why: format!("it is damaged ({why})") }
        }
        other => other,
    }
}

fn write_copy(source: &Connection, to: &Path) -> Result<()> {
    let mut target = Connection::open(to)?;
    Backup::new(source, &mut target)?.run_to_completion(1_000, Duration::ZERO, None)?;
    // One file, without a log beside it.
    target.pragma_update(None, "journal_mode", "DELETE")?;
    let found: String = target.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found != "ok" {
        return Err(Error::Corrupt(found));
    }
    target.execute("DELETE FROM meta WHERE key = 'actor'", [])?;
    target.close().map_err(|(_, error)| error.into())
}

/// Sees whether the log beside a file can be its own, before anybody reads the file with it. This costs nothing, and
/// finds what `backup` made and somebody copied to a store's path; [`check_log_thoroughly`] finds the rest.
///
/// Not while this process has the store open.
///
/// # Errors
/// [`Error::ForeignLog`] where it is another's, and [`Error::Io`].
pub fn check_log(store: &Path) -> Result<()> {
    let found = find_foreign_log(store).map_err(|source| Error::Io { path: store.to_owned(), source })?;
    found.map_or(Ok(()), |log| Err(Error::ForeignLog { log }))
}

/// As [`check_log`], by reading copies of the file with its log and without: a file that is sound without it, and is not
/// the same store or not sound with it, has a log that is another's. Where a process has the store open the log is its own.
///
/// # Errors
/// As [`check_log`].
pub fn check_log_thoroughly(store: &Path) -> Result<()> {
    check_log(store)?;
    let store = resolve(store);
    let io = |source| Error::Io { path: store.clone(), source };
    let Some(log) = find_log(&store).map_err(io)? else { return Ok(()) };
    match Alone::with(&store) {
        Ok(None) => return Ok(()),
        // Nobody who cannot write has it open either, as far as one can see.
        Err(error) if error.kind() != io::ErrorKind::NotFound => {}
        other => drop(other.map_err(io)?),
    }
    let Some(alone) = look(&Scratch::of(&store, None)?) else { return Ok(()) };
    match look(&Scratch::of(&store, Some(&log))?) {
        Some(together) if together == alone => Ok(()),
        _ => Err(Error::ForeignLog { log }),
    }
}

/// Which store a sound file is; none for one that is not sound.
fn look(scratch: &Scratch) -> Option<Option<String>> {
    let connection = scratch.connect().ok()?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).ok()?;
    (found == "ok").then(|| get_meta(&connection, "store").ok())?
}

/// How many changes wait in the queue of a store that is not to be opened; none where it cannot be read.
pub fn count_queued(store: &Path) -> Option<u64> {
    check_log(store).ok()?;
    let connection = connect_to_read(&files::resolve(store)).ok()?;
    let sql = "SELECT count(*) FROM queue";
    connection.query_row(sql, [], |row| row.get::<_, i64>(0)).ok().and_then(|n| u64::try_from(n).ok())
}
