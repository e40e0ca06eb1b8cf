//! Putting a backup in the place of the database.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_storage::files::{Temporary, find_foreign_log, replace_database, resolve};
use rusqlite::Connection;

use super::{backup::write, store::lock_to_serve};
use crate::log::LogError;

/// Puts a copy of the log in `backup` in the place of the one at `database`, or where none is. The old one is kept beside
/// it with its write-ahead log, and its name returned; nothing that lay beside the path is read with the new file.
///
/// # Errors
/// [`LogError::Served`] while a server has the database, [`LogError::InUse`] while anybody else has, and where `backup` is
/// no log of this kind, or damaged. Then nothing was changed.
pub fn restore(database: &Path, backup: &Path) -> Result<Option<PathBuf>, LogError> {
    let database = resolve(database);
    if resolve(backup) == database {
        let why = format!("{} is the database itself", backup.display());
        return Err(io::Error::new(io::ErrorKind::InvalidInput, why).into());
    }
    check_log(backup)?;
    // Dropped last: with a file that is closed the locks on it go.
    let _served = if database.is_file() { lock_to_serve(&database)? } else { None };
    let copy = Temporary::beside(&database)?;
    write(backup, copy.path())?;
    check(copy.path())?;
    replace_database(copy).map_err(|error| match error.kind() {
        io::ErrorKind::ResourceBusy => LogError::InUse,
        _ => error.into(),
    })
}

/// Sees whether the write-ahead log beside a database can be its own, before anybody reads one with the other. Not while
/// this process has the database open.
///
/// # Errors
/// [`LogError::ForeignLog`] where it is another's.
pub fn check_log(database: &Path) -> Result<(), LogError> {
    find_foreign_log(database)?.map_or(Ok(()), |log| Err(LogError::ForeignLog(log)))
}

fn check(copy: &Path) -> Result<(), LogError> {
    let connection = Connection::open(copy)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if found == "ok" { Ok(()) } else { Err(LogError::Damaged(found)) }
}
