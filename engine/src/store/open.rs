//! Opening the file: settings of SQLite, migrations, and the first line against forks.

use std::path::{Path, PathBuf};

use rejoin_migrations::{ENGINE, MigrateError, migrate, use_wal};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::{Durability, mark::Mark, mark::mark_path, underneath::Underneath};
use crate::{Actor, Error, Result, files};

/// How long a writer waits for another process's transaction.
pub(super) const BUSY_TIMEOUT: std::time::Duration = std::time::Duration::from_secs(30);

/// An open file, ready for work.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) connection: Connection,
    pub(super) actor: Actor,
    pub(super) mark: Option<Mark>,
    pub(super) path: Option<PathBuf>,
    pub(super) underneath: Option<Underneath>,
    /// Nothing can be written.
    pub(super) read_only: bool,
}

pub(super) fn open_file(path: &Path, durability: Durability) -> Result<Opened> {
    create_private(path)?;
    let mut underneath = Underneath::of(path);
    let mut connection = connect(path, OpenFlags::default()).map_err(|e| not_a_store(path, e))?;
    configure(&connection, durability).map_err(|e| not_a_store(path, e))?;
    migrate(&mut connection, &ENGINE).map_err(|e| migration_error(path, e))?;
    let store = identity(&mut connection)?;
    let mut mark = Mark::open(path, &store);
    let actor = choose_actor(&mut connection, path, &store, mark.as_mut())?;
    // After a first read the write-ahead log is there. Another file may have come to the path meanwhile.
    underneath.add_log(path);
    underneath.check()?;
    let path = Some(path.to_owned());
    Ok(Opened { connection, actor, mark, path, underneath: Some(underneath), read_only: false })
}

/// A connection to the file at this path. A path is a path: `:memory:` and what begins with `file:` name files too.
pub(super) fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    Connection::open_with_flags(whole, flags - OpenFlags::SQLITE_OPEN_URI)
}

pub(super) fn open_memory() -> Result<Opened> {
    open_given(Connection::open_in_memory()?)
}

/// Makes the file with mode 0600 before SQLite would make it with the process's mask.
fn create_private(path: &Path) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    if path.exists() {
        return if path.is_dir() { Err(Error::NotAStore { path: path.to_owned() }) } else { Ok(()) };
    }
    if let Some(parent) = path.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(parent).map_err(io)?;
    }
    match files::create_new(path) {
        // Another process was first.
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        made => made.map(drop).map_err(io),
    }
}

/// Before it SQLite can lose a commit in WAL mode, where a checkpoint meets a writer.
const SAFE_SQLITE: i32 = 3_051_003;

fn configure(connection: &Connection, durability: Durability) -> rusqlite::Result<()> {
    if rusqlite::version_number() < SAFE_SQLITE {
        let version = rusqlite::version();
        tracing::warn!(version, "this SQLite can lose a commit in WAL mode: link 3.51.3 or later");
    }
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(128);
    // Reading the header first: a file of another kind must be left alone, and WAL mode would change it.
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
    let foreign: i32 = connection.pragma_query_value(None, "application_id", |r| r.get(0))?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |r| r.get(0))?;
    if foreign != ENGINE.application_id && (foreign != 0 || tables != 0) {
        return Ok(()); // `migrate` says what is wrong with it.
    }
    use_wal(connection, BUSY_TIMEOUT)?;
    let synchronous = match durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    connection.pragma_update(None, "fullfsync", "ON")?;
    connection.pragma_update(None, "foreign_keys", "ON")?;
    connection.pragma_update(None, "cache_size", -16_000)
}

pub(super) fn not_a_store(path: &Path, error: rusqlite::Error) -> Error {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => Error::NotAStore { path: path.to_owned() },
        _ => error.into(),
    }
}

pub(super) fn migration_error(path: &Path, error: MigrateError) -> Error {
    match error {
        MigrateError::Foreign { .. } => Error::NotAStore { path: path.to_owned() },
        MigrateError::Newer { found, known } => Error::NewerSchema { path: path.to_owned(), found, known },
        MigrateError::Sqlite(error) => not_a_store(path, error),
        MigrateError::Copy { path, source } => Error::Io { path, source },
        MigrateError::Damaged { .. } => Error::Corrupt(error.to_string()),
        other => Error::Bug(other.to_string()),
    }
}

pub(super) fn get_meta(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    // The column's affinity makes numbers of texts that look like some.
    let mut statement = connection.prepare_cached("SELECT CAST(value AS TEXT) FROM meta WHERE key = :key")?;
    statement.query_row(rusqlite::named_params! {":key": key}, |r| r.get(0)).optional().map(Option::flatten)
}

pub(super) fn set_meta(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (key, value) VALUES (:key, :value)
               ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    connection.prepare_cached(sql)?.execute(rusqlite::named_params! {":key": key, ":value": value})?;
    Ok(())
}

pub(super) fn unset_meta(connection: &Connection, key: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM meta WHERE key = :key")?;
    statement.execute(rusqlite::named_params! {":key": key})?;
    Ok(())
}

/// The store's own random id: what the side file and a copy are told by.
fn identity(connection: &mut Connection) -> Result<String> {
    if let Some(id) = get_meta(connection, "store")? {
        return Ok(id);
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let id = match get_meta(&tx, "store")? {
        Some(id) => id,
        None => uuid::Uuid::new_v4().to_string(),
    };
    set_meta(&tx, "store", &id)?;
    tx.commit()?;
    Ok(id)
}

pub(super) fn stored_actor(connection: &Connection) -> Result<Option<Actor>> {
    let text = get_meta(connection, "actor")?;
    Ok(text.and_then(|t| Actor::try_from(t.as_str()).ok()))
}

/// The store's actor, or a fresh one on positive evidence that this file is not alone: the side file knows
/// of later commits (it was put back from an older copy), or the file is another one than it was while the
/// old one is still in its place (it was copied). Device numbers change by themselves, and a missing side
/// file is no evidence; what slips through is mended by rewriting.
fn choose_actor(
    connection: &mut Connection,
    path: &Path,
    store: &str,
    mark: Option<&mut Mark>,
) -> Result<Actor> {
    let here = place_of(path);
    let commits: i64 = connection.query_row("SELECT commits FROM pulse", [], |r| r.get(0))?;
    let restored = mark.and_then(Mark::commits).is_some_and(|known| known > commits);
    let known_place = get_meta(connection, "place")?;
    let copied = known_place.as_deref().is_some_and(|p| p != here && still_bears(p, store));
    let actor = stored_actor(connection)?;
    if let (Some(actor), false, false, true) =
        (&actor, restored, copied, known_place.as_deref() == Some(&here))
    {
        return Ok(actor.clone());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let actor = match stored_actor(&tx)? {
        Some(actor) if !restored && !copied => actor,
        _ => {
            let fresh = Actor::random();
            tracing::info!(restored, copied, actor = %fresh, "a fresh actor");
            fresh
        }
    };
    set_meta(&tx, "actor", &actor.to_hex_string())?;
    set_meta(&tx, "place", &here)?;
    if restored {
        // Above what the side file knew: the evidence is used once.
        tx.execute("UPDATE pulse SET commits = commits + 1000000", [])?;
    }
    tx.commit()?;
    Ok(actor)
}

/// Inode, birth time and path of the file, as one line.
fn place_of(path: &Path) -> String {
    let full = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let meta = std::fs::metadata(path).ok();
    let born = meta
        .as_ref()
        .and_then(|m| m.created().ok())
        .and_then(|t| t.duration_since(std::time::UNIX_EPOCH).ok());
    #[cfg(unix)]
    let inode = meta.as_ref().map_or(0, std::os::unix::fs::MetadataExt::ino);
    #[cfg(not(unix))]
    let inode = 0;
    format!("{inode} {} {}", born.map_or(0, |b| b.as_nanos()), full.display())
}

/// Whether the file at the place that was noted is still that file, and bears this store's id.
fn still_bears(place: &str, store: &str) -> bool {
    let Some(path) = place.splitn(3, ' ').nth(2).map(Path::new) else { return false };
    if !path.is_file() || place_of(path) != place {
        return false;
    }
    let read = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|c| get_meta(&c, "store"));
    matches!(read, Ok(Some(id)) if id == store)
}

/// Where the lock of the syncing process is taken.
pub(super) fn lock_path(path: &Path) -> PathBuf {
    mark_path(path)
}

/// A connection that the caller made.
pub(super) fn open_given(mut connection: Connection) -> Result<Opened> {
    configure(&connection, Durability::Normal)?;
    migrate(&mut connection, &ENGINE).map_err(|e| migration_error(Path::new(":memory:"), e))?;
    identity(&mut connection)?;
    let actor = stored_actor(&connection)?.unwrap_or_else(Actor::random);
    set_meta(&connection, "actor", &actor.to_hex_string())?;
    Ok(Opened { connection, actor, mark: None, path: None, underneath: None, read_only: false })
}
