//! A copy of the database while it is in use.

use std::{fs, io, path::Path};

use rejoin_storage::files::Temporary;
use rusqlite::{Connection, OpenFlags};

use super::store::{BUSY, be_ours};
use crate::log::LogError;

/// Writes a consistent copy of the log at `database` to the new file `to`, while a server may be using it.
///
/// # Errors
/// Where `to` exists already, where `database` is no log of this kind, and where reading or writing fails. Then there
/// is no file `to`.
pub fn backup(database: &Path, to: &Path) -> Result<(), LogError> {
    if fs::exists(to)? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())).into());
    }
    // Under its name stands a whole copy or none.
    let copy = Temporary::beside(to)?;
    write(database, copy.path())?;
    Ok(copy.create()?)
}

/// Writes a consistent copy into an empty file.
pub(super) fn write(database: &Path, partial: &Path) -> Result<(), LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    be_ours(&connection)?;
    // SQLite writes into an empty file, which keeps its mode.
    let name = partial.to_str().ok_or_else(|| io::Error::other("the file's name is no UTF-8"))?;
    // In one read transaction: it holds up no writer, and a writer does not make it begin again.
    connection.execute("VACUUM INTO ?1", [name])?;
    Ok(())
}
