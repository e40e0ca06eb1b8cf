//! The rows of listeners, and their mapping.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::super::rows::row_id;
use crate::{
    DocumentId, Error, Millis, Result,
    job::{ListenerInfo, lease::Held},
};

/// How far a listener has heard a document, with what the document is.
#[derive(Debug, Clone)]
pub(super) struct Listening {
    pub(super) listener: String,
    /// The document's row; of a companion, its own.
    pub(super) document: i64,
    /// The document that actions were dispatched to.
    pub(super) shown_as: DocumentId,
    pub(super) position: u64,
    pub(super) last: u64,
    pub(super) parked: bool,
    pub(super) attempts: u64,
    pub(super) last_error: Option<String>,
    pub(super) next_attempt_at: Option<Millis>,
    pub(super) owner: Option<String>,
    pub(super) lease_until: Option<Millis>,
}

impl Listening {
    /// How it is held, if it is.
    pub(super) fn held(&self) -> Option<Held> {
        let owner = self.owner.as_deref()?;
        Some(Held::by(Some(owner), self.lease_until))
    }

    pub(super) fn info(self) -> ListenerInfo {
        ListenerInfo {
            name: self.listener,
            document: self.shown_as,
            position: self.position,
            last: self.last,
            parked: self.parked,
            running: self.owner.is_some(),
            attempts: self.attempts,
            last_error: self.last_error,
            next_attempt_at: self.next_attempt_at,
        }
    }
}

const SELECT: &str =
    "SELECT r.name AS listener, d.id AS document, coalesce(of.uuid, d.uuid) AS shown_as, d.last,
        coalesce(l.position, 0) AS position, coalesce(l.state, 'listening') AS state,
        coalesce(l.attempts, 0) AS attempts, l.last_error, l.next_attempt_at, l.owner, l.lease_until
   FROM listener r
   JOIN document d
   LEFT JOIN document of ON of.id = d.companion_of
   LEFT JOIN listening l ON l.listener = r.name AND l.document = d.id
  WHERE coalesce(of.tombstone, d.tombstone) IS NULL";

fn map(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<Listening>> {
    let shown_as: String = row.get("shown_as")?;
    let Ok(shown_as) = shown_as.parse() else {
        return Ok(Err(Error::Corrupt(format!("{shown_as:?} is no document id"))));
    };
    let count = |name: &str| -> rusqlite::Result<u64> { Ok(row.get::<_, i64>(name)?.max(0) as u64) };
    Ok(Ok(Listening {
        listener: row.get("listener")?,
        document: row.get("document")?,
        shown_as,
        position: count("position")?,
        last: count("last")?,
        parked: row.get::<_, String>("state")? == "parked",
        attempts: count("attempts")?,
        last_error: row.get("last_error")?,
        next_attempt_at: row.get("next_attempt_at")?,
        owner: row.get("owner")?,
        lease_until: row.get("lease_until")?,
    }))
}

/// The documents on which this listener is behind, the parked ones left out.
pub(super) fn read_behind(connection: &Connection, listener: &str) -> Result<Vec<Listening>> {
    let sql = format!(
        "{SELECT} AND r.name = :name AND d.last > coalesce(l.position, 0)
             AND coalesce(l.state, 'listening') = 'listening' ORDER BY d.id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let found = statement.query_map(named_params! {":name": listener}, map)?;
    found.map(|row| row?).collect()
}

/// Every listener on every document.
pub(super) fn read_all(connection: &Connection) -> Result<Vec<Listening>> {
    let mut statement = connection.prepare_cached(&format!("{SELECT} ORDER BY r.name, d.id"))?;
    let found = statement.query_map([], map)?;
    found.map(|row| row?).collect()
}

/// One listener on one document.
pub(super) fn read_one(connection: &Connection, listener: &str, document: i64) -> Result<Option<Listening>> {
    let mut statement =
        connection.prepare_cached(&format!("{SELECT} AND r.name = :name AND d.id = :document"))?;
    let params = named_params! {":name": listener, ":document": document};
    statement.query_row(params, map).optional()?.transpose()
}

/// Writes how far it is and who has it.
pub(super) fn write(connection: &Connection, row: &Listening) -> Result<()> {
    let sql = "INSERT INTO listening (listener, document, position, state, attempts, last_error, next_attempt_at,
                                      owner, lease_until)
               VALUES (:listener, :document, :position, :state, :attempts, :last_error, :next_attempt_at, :owner,
                       :lease_until)
               ON CONFLICT (listener, document) DO UPDATE SET position = :position, state = :state,
                 attempts = :attempts, last_error = :last_error, next_attempt_at = :next_attempt_at, owner = :owner,
                 lease_until = :lease_until";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":listener": row.listener, ":document": row.document, ":position": row.position as i64,
        ":state": if row.parked { "parked" } else { "listening" }, ":attempts": row.attempts as i64,
        ":last_error": row.last_error, ":next_attempt_at": row.next_attempt_at, ":owner": row.owner,
        ":lease_until": row.lease_until,
    })?;
    Ok(())
}

/// Whether this listener was registered before.
pub(super) fn is_known(connection: &Connection, listener: &str) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM listener WHERE name = :name)";
    Ok(connection.prepare_cached(sql)?.query_row(named_params! {":name": listener}, |r| r.get(0))?)
}

/// Registers a listener, from the start of the histories or from where they end now.
pub(super) fn register(connection: &Connection, listener: &str, from_start: bool, now: Millis) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO listener (name, created_at) VALUES (:name, :now)";
    let new = connection.execute(sql, named_params! {":name": listener, ":now": now})?;
    if new > 0 && !from_start {
        let sql = "INSERT INTO listening (listener, document, position) SELECT :name, id, last FROM document";
        connection.execute(sql, named_params! {":name": listener})?;
    }
    Ok(())
}

/// Forgets a listener. `false`: there is none.
pub(super) fn forget(connection: &Connection, listener: &str) -> Result<bool> {
    let sql = "DELETE FROM listener WHERE name = :name";
    Ok(connection.execute(sql, named_params! {":name": listener})? > 0)
}

/// What a listener is not to hear when it comes to it.
pub(super) fn insert_heard(
    connection: &Connection,
    listener: &str,
    document: i64,
    hash: ChangeHash,
) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO heard (listener, document, hash) VALUES (:listener, :document, :hash)";
    let params = named_params! {":listener": listener, ":document": document, ":hash": hash.0};
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

/// Whether it is one of those.
pub(super) fn was_heard(
    connection: &Connection,
    listener: &str,
    document: i64,
    hash: ChangeHash,
) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM heard WHERE listener = :listener AND document = :document AND hash = :hash)";
    let params = named_params! {":listener": listener, ":document": document, ":hash": hash.0};
    Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get(0))?)
}

/// The listener has passed what is above `from`, up to its position.
pub(super) fn forget_heard(connection: &Connection, row: &Listening, from: u64) -> Result<()> {
    let sql = "DELETE FROM heard WHERE listener = :listener AND document = :document
                  AND hash IN (SELECT hash FROM change WHERE id > :from AND id <= :to)";
    let any = "SELECT EXISTS (SELECT 1 FROM heard WHERE listener = :listener AND document = :document)";
    let params = named_params! {":listener": row.listener, ":document": row.document};
    if !connection.prepare_cached(any)?.query_row(params, |r| r.get::<_, bool>(0))? {
        return Ok(());
    }
    connection.prepare_cached(sql)?.execute(named_params! {
        ":listener": row.listener, ":document": row.document,
        ":from": row_id(row.document, from), ":to": row_id(row.document, row.position),
    })?;
    Ok(())
}

/// Where what it just heard was written again meanwhile, in another place, it does not hear it there.
pub(super) fn follow_renamed(connection: &Connection, row: &Listening, heard: ChangeHash) -> Result<()> {
    let sql = "WITH RECURSIVE spelled (hash) AS (
                 SELECT hash FROM renamed WHERE document = :document AND was = :heard
                 UNION SELECT r.hash FROM renamed r JOIN spelled s ON r.was = s.hash WHERE r.document = :document)
               INSERT OR IGNORE INTO heard (listener, document, hash)
               SELECT :listener, :document, s.hash FROM spelled s
                WHERE NOT EXISTS (SELECT 1 FROM renamed r WHERE r.document = :document AND r.was = s.hash)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":listener": row.listener, ":document": row.document, ":heard": heard.0,
    })?;
    Ok(())
}

/// A queued change is written again in another place because one before it was taken back: whoever heard it there
/// does not hear it here, and who did not, will. Called before the old row goes.
pub(in super::super) fn follow_drop(
    connection: &Connection,
    (document, position): (i64, u64),
    (was, is): (ChangeHash, ChangeHash),
) -> Result<()> {
    // Heard in its old place, or in one before that.
    let sql = "INSERT OR IGNORE INTO heard (listener, document, hash)
               SELECT listener, document, :is FROM listening WHERE document = :document AND position >= :position
               UNION SELECT listener, document, :is FROM heard WHERE document = :document AND hash = :was";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":document": document, ":position": position as i64, ":was": was.0, ":is": is.0,
    })?;
    Ok(())
}
