//! The file of the log: opening it, its lock, its marks, and the handles that read and write.

use std::{
    fs::{File, TryLockError},
    io,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, Instant},
};

use rejoin_migrations::{MigrateError, SERVER, migrate, use_wal};
use rusqlite::{Connection, OpenFlags, backup::Backup};

use super::SqliteRows;
use crate::log::{Group, Log, LogError, Opener, PackCache, Read, View};

/// How long a statement waits for another process (a backup, a checkpoint) to let go.
pub(super) const BUSY: Duration = Duration::from_secs(5);
/// How long a server waits for the one before it to be gone, and how often it looks.
const GOING: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(20);
/// Statements that a connection keeps prepared.
const CACHED_STATEMENTS: usize = 64;

/// The log of every document, with the one connection that writes.
#[derive(Debug)]
pub struct LogStore {
    pub(super) connection: Connection,
    packs: Arc<PackCache>,
    file: Option<FileIdentity>,
    /// That of a server. It goes after the connection: when a file is closed, SQLite's own locks on it go too.
    _served: Option<File>,
}

impl LogStore {
    /// [`LogStore::open`] for a server: what it commits it tells those who listen to it alone, so no other may serve
    /// the same database. Whatever looks after the database (tokens, backups, packing) may work beside it.
    ///
    /// # Errors
    /// [`LogError::Served`], [`LogError::ReadOnly`], and as [`LogStore::open`].
    pub(crate) fn open_to_serve(path: &Path) -> Result<Self, LogError> {
        make_private(path)?;
        let served = lock_to_serve(path)?;
        be_writable(path)?;
        Ok(Self { _served: served, ..Self::open(path)? })
    }

    /// Opens the database at `path`, made with mode 0600 where it is missing, in WAL mode with `synchronous=FULL`.
    ///
    /// # Errors
    /// Where the file cannot be opened; where it is another program's or newer than this release: then it is
    /// left as it was.
    pub fn open(path: &Path) -> Result<Self, LogError> {
        make_private(path)?;
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        // Pages that packing frees go back to the system in small steps. Asked before the first table is made.
        if connection.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0))? == 0 {
            connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        }
        // First what refuses a foreign or newer file: changing the journal mode would already write to it.
        migrate(&mut connection, &SERVER)?;
        use_wal(&connection, BUSY)?;
        connection.pragma_update(None, "journal_size_limit", 64 * 1024 * 1024)?;
        set_up(&connection)?;
        // The first read makes the write-ahead log.
        let packs = Arc::<PackCache>::default();
        SqliteRows { connection: &connection, packs: &packs }.feed_end()?;
        let file = FileIdentity::of(path)?;
        Ok(Self { connection, packs, file: Some(file), _served: None })
    }

    /// A log in memory, for tests and simulations: gone with the value.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn open_in_memory() -> Result<Self, LogError> {
        let mut connection = Connection::open_in_memory()?;
        migrate(&mut connection, &SERVER)?;
        set_up(&connection)?;
        Ok(Self { connection, packs: Arc::default(), file: None, _served: None })
    }

    /// The log as it is now, in memory and apart: what a backup holds. To restore, put it in this one's place.
    ///
    /// # Errors
    /// Where SQLite fails.
    pub fn copy_in_memory(&self) -> Result<Self, LogError> {
        let mut connection = Connection::open_in_memory()?;
        Backup::new(&self.connection, &mut connection)?.run_to_completion(i32::MAX, Duration::ZERO, None)?;
        set_up(&connection)?;
        Ok(Self { connection, packs: Arc::default(), file: None, _served: None })
    }

    /// Lets the database go. Where another file is at its path by now the connection is left as it is, for the end of
    /// the process: SQLite would remove what belongs to that one.
    pub(crate) fn close(self) {
        match self.unmoved() {
            Ok(()) => drop(self),
            Err(_) => std::mem::forget(self),
        }
    }

    pub(super) fn rows(&self) -> SqliteRows<'_> {
        SqliteRows { connection: &self.connection, packs: &self.packs }
    }

    /// An error where the path no longer bears the open file: what is written to it would be lost with it.
    pub(crate) fn unmoved(&self) -> Result<(), LogError> {
        self.file.as_ref().map_or(Ok(()), FileIdentity::check)
    }
}

impl Read for LogStore {
    type View<'v> = SqliteRows<'v>;

    fn read<T, E: From<LogError>>(&self, work: impl FnOnce(&SqliteRows<'_>) -> Result<T, E>) -> Result<T, E> {
        read(&self.connection, &self.packs, work)
    }
}

impl Log for LogStore {
    type Reader = LogReader;
    type Group<'g> = Transaction<'g>;

    /// None has one in memory.
    fn opener(&self) -> Opener<LogReader> {
        let (path, packs) = (self.file.as_ref().map(|file| file.database.clone()), Arc::clone(&self.packs));
        Opener::new(move || {
            let path = path.as_ref().ok_or(LogError::Closed)?;
            LogReader::sharing(path, Arc::clone(&packs))
        })
    }

    fn begin(&mut self) -> Result<Transaction<'_>, LogError> {
        self.unmoved()?;
        self.connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(Transaction { log: self, open: true })
    }
}

/// A transaction that writes; rolled back when dropped before [`Group::commit`].
pub(crate) struct Transaction<'l> {
    log: &'l LogStore,
    open: bool,
}

impl Group for Transaction<'_> {
    type Edit<'e>
        = SqliteRows<'e>
    where
        Self: 'e;

    fn edit(&self) -> SqliteRows<'_> {
        self.log.rows()
    }

    fn is_whole(&self) -> bool {
        !self.log.connection.is_autocommit()
    }

    fn commit(mut self) -> Result<(), LogError> {
        if !self.is_whole() {
            return Err(LogError::Damaged("a write took its transaction with it".to_owned()));
        }
        self.log.connection.execute_batch("COMMIT")?;
        self.open = false;
        self.log.unmoved()
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.open
            && self.is_whole()
            && let Err(error) = self.log.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }
}

/// A connection that only reads, for work beside the committer.
#[derive(Debug)]
pub(crate) struct LogReader {
    connection: Connection,
    packs: Arc<PackCache>,
}

impl LogReader {
    /// Opens a database that [`LogStore::open`] has opened before.
    pub(crate) fn open(path: &Path) -> Result<Self, LogError> {
        Self::sharing(path, Arc::default())
    }

    /// The same, with what others have decoded of packs of this database.
    pub(crate) fn sharing(path: &Path, packs: Arc<PackCache>) -> Result<Self, LogError> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(BUSY)?;
        be_ours(&connection)?;
        set_up(&connection)?;
        connection.pragma_update(None, "query_only", true)?;
        Ok(Self { connection, packs })
    }
}

impl Read for LogReader {
    type View<'v> = SqliteRows<'v>;

    fn read<T, E: From<LogError>>(&self, work: impl FnOnce(&SqliteRows<'_>) -> Result<T, E>) -> Result<T, E> {
        read(&self.connection, &self.packs, work)
    }
}

fn read<T, E: From<LogError>>(
    connection: &Connection,
    packs: &PackCache,
    work: impl FnOnce(&SqliteRows<'_>) -> Result<T, E>,
) -> Result<T, E> {
    // Dropping it rolls back: nothing was written.
    let _transaction = connection.unchecked_transaction().map_err(LogError::from)?;
    work(&SqliteRows { connection, packs })
}

fn set_up(connection: &Connection) -> Result<(), LogError> {
    connection.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
    connection.busy_timeout(BUSY)?;
    // Invariant 2: "Acknowledged means durable at the server."
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "fullfsync", true)?;
    connection.pragma_update(None, "checkpoint_fullfsync", true)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    Ok(())
}

/// An error where the database is not a log of the schema that this release writes. A reader migrates nothing.
pub(super) fn be_ours(connection: &Connection) -> Result<(), LogError> {
    let found = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    if found != SERVER.application_id {
        return Err(MigrateError::Foreign { found }.into());
    }
    let found = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    let known = SERVER.migrations.last().map_or(0, |migration| migration.version);
    if found > known {
        return Err(MigrateError::Newer { found, known }.into());
    }
    Ok(())
}

/// Makes the file where it is missing, readable by its owner alone; SQLite gives its side files the same mode.
pub(super) fn make_private(path: &Path) -> io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop),
    }
}

/// SQLite opens what it cannot write for reading: every push would fail then, and clients only wait. Asked before anything
/// is made beside the file.
fn be_writable(path: &Path) -> Result<(), LogError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    if connection.is_readonly("main")? { Err(LogError::ReadOnly) } else { Ok(()) }
}

/// The lock of whoever serves a database: the system frees it, whatever becomes of the process. It does not touch those
/// of SQLite, which are of another kind.
pub(super) fn lock_to_serve(path: &Path) -> Result<Option<File>, LogError> {
    let (file, since) = (File::open(path)?, Instant::now());
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(Some(file)),
            // One that was told to end may not be gone yet.
            Err(TryLockError::WouldBlock) if since.elapsed() < GOING => std::thread::sleep(LOOK_AGAIN),
            Err(TryLockError::WouldBlock) => {
                // Left open on purpose: were it closed, SQLite's locks of this process on the file would go, and the other
                // server may be one of this process.
                std::mem::forget(file);
                return Err(LogError::Served);
            }
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Unsupported => {
                tracing::warn!(%error, "this file system knows no locks: nothing else may serve the database");
                return Ok(None);
            }
            Err(TryLockError::Error(error)) => return Err(error.into()),
        }
    }
}

/// Which files the paths of a database bore when it was opened: the database, and its write-ahead log, where what
/// is committed stands first.
#[derive(Debug)]
struct FileIdentity {
    database: PathBuf,
    files: Vec<(PathBuf, u64)>,
}

impl FileIdentity {
    fn of(database: &Path) -> io::Result<Self> {
        let path = std::fs::canonicalize(database)?;
        let mut log = path.clone().into_os_string();
        log.push("-wal");
        let identify = |path: PathBuf| inode(&path).map(|inode| (path, inode));
        let files = [path, PathBuf::from(log)].map(identify).into_iter().collect::<io::Result<_>>()?;
        Ok(Self { database: database.to_owned(), files })
    }

    fn check(&self) -> Result<(), LogError> {
        let same = self.files.iter().all(|(path, was)| inode(path).is_ok_and(|now| now == *was));
        if same { Ok(()) } else { Err(LogError::Moved) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_committed_is_flushed_to_disk() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogStore::open(&directory.path().join("log.db")).unwrap();
        let pragma = |name| log.connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
        assert_eq!(pragma("journal_mode").unwrap(), "wal");
        let number = |name| log.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        assert_eq!(number("synchronous").unwrap(), 2, "FULL");
        assert_eq!(number("foreign_keys").unwrap(), 1);
    }

    #[test]
    fn the_linked_sqlite_loses_no_committed_transaction_in_wal_mode() {
        assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
    }
}
