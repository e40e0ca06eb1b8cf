use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

use rusqlite::{Connection, OpenFlags};

use super::{
    LogError,
    store::{BUSY, be_ours, make_private},
};

/// Writes a consistent copy of the log at `database` to the new file `to`, while a server may be using it.
///
/// # Errors
/// Where `to` exists already, where `database` is no log of this kind, and where reading or writing fails. Then there
/// is no file `to`.
pub fn backup(database: &Path, to: &Path) -> Result<(), LogError> {
    if fs::exists(to)? {
        return Err(io::Error::new(io::ErrorKind::AlreadyExists, format!("{} exists", to.display())).into());
    }
    let partial = beside(to);
    let written = write(database, &partial).and_then(|()| Ok(fs::rename(&partial, to)?));
    let removed = if written.is_err() { fs::remove_file(&partial) } else { Ok(()) };
    if removed.is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
        tracing::warn!(file = %partial.display(), "an unfinished backup was left behind");
    }
    written?;
    // The name is durable too.
    let directory = to.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(File::open(directory)?.sync_all()?)
}

fn write(database: &Path, partial: &Path) -> Result<(), LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    connection.busy_timeout(BUSY)?;
    be_ours(&connection)?;
    // SQLite writes into an empty file, which keeps its mode.
    make_private(partial)?;
    let name = partial.to_str().ok_or_else(|| io::Error::other("the file's name is no UTF-8"))?;
    // In one read transaction: it holds up no writer, and a writer does not make it begin again.
    connection.execute("VACUUM INTO ?1", [name])?;
    Ok(File::open(partial)?.sync_all()?)
}

fn beside(to: &Path) -> PathBuf {
    let mut name = to.as_os_str().to_owned();
    name.push(format!(".{}.partial", std::process::id()));
    PathBuf::from(name)
}
