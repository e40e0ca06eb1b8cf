//! Opening a store that cannot be written, or must not be: its file, its directory or its disk is read-only, or somebody
//! only looks.

use std::{
    io,
    path::{Path, PathBuf},
};

use rejoin_migrations::{ENGINE, migrate};
use rusqlite::{Connection, ErrorCode, OpenFlags, backup::Backup};

use super::open::{BUSY_TIMEOUT, Opened, migration_error, not_a_store, stored_actor};
use crate::{
    Actor, Error, Result,
    files::{Temporary, beside, find_log, resolve},
};

/// Opens what is there, and writes nothing: neither into the file nor beside it. A store of an older release is read
/// from a copy in memory, which is brought to this one's schema.
pub(super) fn open_to_read(path: &Path) -> Result<Opened> {
    if !path.is_file() {
        let source = io::ErrorKind::NotFound.into();
        return Err(Error::Io { path: path.to_owned(), source });
    }
    let mut connection = connect_to_read(path)?;
    if schema_of(&connection, path)? < newest() {
        connection = copy_to_memory(&connection)?;
        migrate(&mut connection, &ENGINE).map_err(|e| migration_error(path, e))?;
    }
    connection.pragma_update(None, "query_only", "ON")?;
    connection.set_prepared_statement_cache_capacity(128);
    let actor = stored_actor(&connection)?.unwrap_or_else(Actor::random);
    let path = Some(path.to_owned());
    Ok(Opened { connection, actor, mark: None, path, underneath: None, read_only: true })
}

/// Whether opening it to write failed because it cannot be written, so that reading may be possible.
pub(super) fn is_unwritable(error: &Error) -> bool {
    match error {
        Error::ReadOnly => true,
        Error::Storage(error) => {
            matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied))
        }
        Error::Io { source, .. } => {
            matches!(source.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
        }
        _ => false,
    }
}

/// What the system says where this user may not read the file. Nobody else in this process has it open.
pub(super) fn why_unreadable(path: &Path) -> Option<Error> {
    let source = std::fs::File::open(path).err()?;
    Some(Error::Io { path: path.to_owned(), source })
}

/// Whether this user may write to the file. It is not opened for that: closing it would take SQLite's locks.
#[cfg(unix)]
pub(super) fn may_write(path: &Path) -> bool {
    use rustix::fs::{Access, AtFlags, CWD, accessat};
    // Android asks for the real user alone; there it is the effective one too.
    #[cfg(target_os = "android")]
    let as_who = AtFlags::empty();
    #[cfg(not(target_os = "android"))]
    let as_who = AtFlags::EACCESS;
    accessat(CWD, path, Access::WRITE_OK, as_who).is_ok()
}

#[cfg(not(unix))]
pub(super) fn may_write(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|file| !file.permissions().readonly())
}

pub(super) fn newest() -> i32 {
    ENGINE.migrations.last().map_or(0, |migration| migration.version)
}

/// The schema of a store, which is told from every other file.
pub(super) fn schema_of(connection: &Connection, path: &Path) -> Result<i32> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i32>(0));
    let id = number("application_id").map_err(|e| not_a_store(path, e))?;
    let (found, known) = (number("user_version")?, newest());
    if id != ENGINE.application_id || found == 0 {
        return Err(Error::NotAStore { path: path.to_owned() });
    }
    if found > known {
        return Err(Error::NewerSchema { path: path.to_owned(), found, known });
    }
    Ok(found)
}

/// A connection that leaves no file behind.
///
/// Without a write-ahead log all is in the file, and SQLite is told that nobody writes to it: else it would make a log
/// and an index beside it. With one, others may be at work, and the index that they use is read. Where it cannot be
/// (they died, and the disk is read-only), file and log are copied.
pub(super) fn connect_to_read(path: &Path) -> Result<Connection> {
    let path = resolve(path);
    if !beside(&path, "-wal").exists() {
        return connect(&path, "immutable=1").map_err(|e| not_a_store(&path, e));
    }
    match connect(&path, "mode=ro&readonly_shm=1") {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::CannotOpen) => {}
        connected => return connected.map_err(|e| not_a_store(&path, e)),
    }
    let log = find_log(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
    match log {
        None => connect(&path, "immutable=1").map_err(|e| not_a_store(&path, e)),
        Some(log) => Scratch::of(&path, Some(&log))?.connect(),
    }
}

fn connect(path: &Path, how: &str) -> rusqlite::Result<Connection> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(uri(path, how), flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    // SQLite opens nothing before the first question.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    Ok(connection)
}

/// The file's name as SQLite takes it in a URI.
fn uri(path: &Path, how: &str) -> PathBuf {
    let mut uri = std::ffi::OsString::from("file:");
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = whole.to_string_lossy();
    uri.push(text.replace('%', "%25").replace('?', "%3f").replace('#', "%23"));
    uri.push("?");
    uri.push(how);
    uri.into()
}

fn copy_to_memory(connection: &Connection) -> Result<Connection> {
    let mut copy = Connection::open_in_memory()?;
    Backup::new(connection, &mut copy)?.run_to_completion(i32::MAX, std::time::Duration::ZERO, None)?;
    Ok(copy)
}

/// Copies of a database and of the log beside it, in the directory for temporary files; gone when dropped.
#[derive(Debug)]
pub(super) struct Scratch(Temporary);

impl Scratch {
    /// Of the database, read with this log or without one.
    pub(super) fn of(database: &Path, log: Option<&Path>) -> Result<Self> {
        let directory = std::env::temp_dir();
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let copy = Temporary::beside(&directory.join("rejoin-look")).map_err(io(&directory))?;
        std::fs::copy(database, copy.path()).map_err(io(copy.path()))?;
        let scratch = Self(copy);
        if let Some(log) = log {
            let beside = beside(scratch.0.path(), "-wal");
            crate::files::create_new(&beside).map_err(io(&beside))?;
            std::fs::copy(log, &beside).map_err(io(log))?;
        }
        Ok(scratch)
    }

    /// What is in it, in memory.
    pub(super) fn connect(&self) -> Result<Connection> {
        let path = self.0.path();
        let connection = Connection::open(path).map_err(|e| not_a_store(path, e))?;
        copy_to_memory(&connection)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        for ending in ["-wal", "-shm"] {
            // The connection may have removed them.
            let _ = std::fs::remove_file(beside(self.0.path(), ending));
        }
    }
}
