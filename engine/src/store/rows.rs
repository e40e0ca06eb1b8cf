//! The rows of changes and queue, and their mapping. `id = document << 40 | position`.

mod documents;

use super::Millis;
use crate::{Actor, Error, Message, Result, fence::CheckedChange, quarantine::Reason};
use automerge::ChangeHash;
use rejoin_storage::rows::{LAST_POSITION, encode_deps};
use rusqlite::{Connection, OptionalExtension, named_params};

pub(super) use rejoin_storage::rows::{POSITION_BITS, position_of, row_key as row_id};

pub(super) use documents::{
    DocumentRow, insert_companion, newest_above, note_migrated, oldest_unmigrated, read_companion,
    read_document, read_documents, read_documents_and_companions, read_uuid, write_document, write_kind,
};

/// The first and last row id that a document can have.
pub(super) fn id_range(document: i64) -> (i64, i64) {
    (row_id(document, 0), row_id(document, LAST_POSITION))
}

/// Counts this write transaction.
pub(super) fn count_commit(connection: &Connection) -> Result<i64> {
    let sql = "UPDATE pulse SET commits = commits + 1 RETURNING commits";
    Ok(connection.prepare_cached(sql)?.query_row([], |r| r.get(0))?)
}

/// The row of an actor, made when missing.
pub(super) fn actor_row(connection: &Connection, actor: &Actor) -> Result<i64> {
    let found = connection
        .prepare_cached("SELECT id FROM actor WHERE bytes = :bytes")?
        .query_row(named_params! {":bytes": actor.to_bytes()}, |r| r.get(0))
        .optional()?;
    if let Some(id) = found {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO actor (bytes) VALUES (:bytes)")?
        .execute(named_params! {":bytes": actor.to_bytes()})?;
    Ok(connection.last_insert_rowid())
}

/// Notes that this store dispatches under this actor.
pub(super) fn note_own_actor(connection: &Connection, actor: i64) -> Result<()> {
    let sql = "UPDATE actor SET own = 1 WHERE id = :id AND own = 0";
    connection.prepare_cached(sql)?.execute(named_params! {":id": actor})?;
    Ok(())
}

/// A change to be written.
#[derive(Debug)]
pub(super) struct NewChange<'a> {
    pub(super) id: i64,
    pub(super) actor: i64,
    pub(super) change: &'a CheckedChange,
    pub(super) deps: &'a [u64],
    pub(super) message: &'a Message,
    pub(super) container: bool,
    pub(super) local: bool,
    pub(super) made_at: Millis,
    pub(super) acknowledged_at: Option<Millis>,
    /// What it was first made as, where that is proved or was done here.
    pub(super) was: Option<ChangeHash>,
    pub(super) quarantined: Option<&'a Reason>,
}

pub(super) fn insert_change(connection: &Connection, new: &NewChange<'_>) -> Result<()> {
    let sql = "INSERT INTO change (id, hash, actor, seq, deps, bytes, container, action_type, author, made_at, local,
               acknowledged_at, was, quarantined, action_version, target, also)
               VALUES (:id, :hash, :actor, :seq, :deps, :bytes, :container, :action_type, :author, :made_at, :local,
               :acknowledged_at, :was, :quarantined, :action_version, :target, :also)";
    let mut deps = Vec::with_capacity(new.deps.len() * 2);
    encode_deps(position_of(new.id), new.deps, &mut deps);
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": new.id, ":hash": new.change.hash.0, ":actor": new.actor, ":seq": new.change.seq as i64,
        ":deps": deps, ":bytes": new.change.bytes,
        ":container": new.container, ":action_type": new.message.action, ":author": new.message.author,
        ":made_at": new.made_at, ":local": new.local, ":acknowledged_at": new.acknowledged_at,
        ":was": new.was.map(|h| h.0), ":quarantined": new.quarantined.map(Reason::to_string),
        ":action_version": new.message.version.filter(|version| *version != 1),
        ":target": new.message.undoes().map(|h| h.0), ":also": encode_reacted(new.message),
    })?;
    Ok(())
}

/// The slices that reacted, as a JSON object; `None` where none did.
fn encode_reacted(message: &Message) -> Option<String> {
    let reacted = message.reacted();
    if reacted.is_empty() {
        return None;
    }
    let slices: serde_json::Map<String, serde_json::Value> =
        reacted.into_iter().map(|(slice, version)| (slice.to_owned(), version.into())).collect();
    Some(serde_json::Value::Object(slices).to_string())
}

/// The names of the slices that [`encode_reacted`] wrote.
fn decode_reacted(text: Option<&str>) -> Vec<String> {
    let slices = text.and_then(|text| serde_json::from_str::<serde_json::Map<_, _>>(text).ok());
    slices.into_iter().flatten().map(|(slice, _): (String, serde_json::Value)| slice).collect()
}

/// The positions that [`encode_deps`] wrote. What cannot be one counts as the own position.
pub(super) fn decode_deps(own: u64, bytes: &[u8]) -> Vec<u64> {
    let mut deps = Vec::new();
    let (mut value, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        value |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
        shift += 7;
        if byte & 0x80 == 0 {
            deps.push(own.saturating_sub(value));
            (value, shift) = (0, 0);
        }
    }
    deps
}

/// A row of `change`, without its bytes.
#[derive(Debug, Clone)]
pub(super) struct ChangeRow {
    pub(super) id: i64,
    pub(super) hash: ChangeHash,
    pub(super) actor: Actor,
    pub(super) seq: u64,
    pub(super) deps: Vec<u64>,
    pub(super) container: bool,
    pub(super) action_type: Option<String>,
    pub(super) action_version: u32,
    /// The slices beside the action's own that reacted to it.
    pub(super) reacted: Vec<String>,
    pub(super) author: Option<String>,
    pub(super) made_at: Millis,
    pub(super) local: bool,
    pub(super) acknowledged_at: Option<Millis>,
    pub(super) was: Option<ChangeHash>,
    pub(super) loser: bool,
    pub(super) replaced_by: Option<ChangeHash>,
    pub(super) quarantined: Option<Reason>,
    /// This store has dispatched under its actor.
    pub(super) own_actor: bool,
    /// Who pushed it, where its server said it.
    pub(super) pusher: Option<i64>,
}

impl ChangeRow {
    /// Its position in the document.
    pub(super) fn position(&self) -> u64 {
        position_of(self.id)
    }

    /// Whether it stands in the document's set of changes (quarantined ones do: they hold their place).
    pub(super) fn stands(&self) -> bool {
        self.replaced_by.is_none()
    }
}

const CHANGE_COLUMNS: &str =
    "c.id, c.hash, a.bytes AS actor, c.seq, c.deps, c.container, c.action_type, c.author,
     c.made_at, c.local, c.acknowledged_at, c.was, c.loser, c.replaced_by, c.quarantined, c.action_version,
     a.own AS own_actor, c.pusher, c.also";

fn change_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<ChangeRow> {
    let id: i64 = row.get("id")?;
    let actor: Vec<u8> = row.get("actor")?;
    let deps: Vec<u8> = row.get("deps")?;
    Ok(ChangeRow {
        id,
        hash: ChangeHash(row.get("hash")?),
        actor: Actor::from(actor),
        seq: row.get::<_, i64>("seq")?.max(0) as u64,
        deps: decode_deps(position_of(id), &deps),
        container: row.get("container")?,
        action_type: row.get("action_type")?,
        action_version: row.get::<_, Option<u32>>("action_version")?.unwrap_or(1),
        reacted: decode_reacted(row.get::<_, Option<String>>("also")?.as_deref()),
        author: row.get("author")?,
        made_at: row.get("made_at")?,
        local: row.get("local")?,
        acknowledged_at: row.get("acknowledged_at")?,
        was: row.get::<_, Option<[u8; 32]>>("was")?.map(ChangeHash),
        loser: row.get("loser")?,
        replaced_by: row.get::<_, Option<[u8; 32]>>("replaced_by")?.map(ChangeHash),
        quarantined: row.get::<_, Option<String>>("quarantined")?.map(Reason::from),
        own_actor: row.get("own_actor")?,
        pusher: row.get("pusher")?,
    })
}

/// The rows of a document above a position, in order, without their bytes.
pub(super) fn read_changes(connection: &Connection, document: i64, after: u64) -> Result<Vec<ChangeRow>> {
    let sql = format!(
        "SELECT {CHANGE_COLUMNS} FROM change c JOIN actor a ON a.id = c.actor WHERE c.id > :from AND c.id <= :to ORDER BY c.id"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let params = named_params! {":from": row_id(document, after), ":to": id_range(document).1};
    let rows = statement.query_map(params, change_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// As [`read_changes`], so many at most.
pub(super) fn read_some_changes(
    connection: &Connection,
    document: i64,
    after: u64,
    most: u64,
) -> Result<Vec<ChangeRow>> {
    let sql = format!(
        "SELECT {CHANGE_COLUMNS} FROM change c JOIN actor a ON a.id = c.actor
          WHERE c.id > :from AND c.id <= :to ORDER BY c.id LIMIT :most"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (from, to) = (row_id(document, after), id_range(document).1);
    let params = named_params! {":from": from, ":to": to, ":most": most as i64};
    let rows = statement.query_map(params, change_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

/// The newest rows of a document, newest last.
pub(super) fn read_newest(connection: &Connection, document: i64, count: usize) -> Result<Vec<ChangeRow>> {
    let sql = format!(
        "SELECT {CHANGE_COLUMNS} FROM change c JOIN actor a ON a.id = c.actor
          WHERE c.id BETWEEN :from AND :to AND c.container = 0 ORDER BY c.id DESC LIMIT :count"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let (from, to) = id_range(document);
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let rows = statement.query_map(named_params! {":from": from, ":to": to, ":count": count}, change_row)?;
    let mut rows: Vec<ChangeRow> = rows.collect::<rusqlite::Result<_>>()?;
    rows.reverse();
    Ok(rows)
}

/// One row, without its bytes.
pub(super) fn read_row(connection: &Connection, id: i64) -> Result<ChangeRow> {
    let sql =
        format!("SELECT {CHANGE_COLUMNS} FROM change c JOIN actor a ON a.id = c.actor WHERE c.id = :id");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row(named_params! {":id": id}, change_row)?)
}

/// The bytes of a row.
pub(super) fn read_bytes(connection: &Connection, id: i64) -> Result<Vec<u8>> {
    let mut statement = connection.prepare_cached("SELECT bytes FROM change WHERE id = :id")?;
    Ok(statement.query_row(named_params! {":id": id}, |r| r.get(0))?)
}

/// Hash of a row.
pub(super) fn read_hash(connection: &Connection, id: i64) -> Result<Option<ChangeHash>> {
    let mut statement = connection.prepare_cached("SELECT hash FROM change WHERE id = :id")?;
    Ok(statement.query_row(named_params! {":id": id}, |r| Ok(ChangeHash(r.get(0)?))).optional()?)
}

/// What a change was first made as, where it was written again.
pub(super) fn read_was(
    connection: &Connection,
    document: i64,
    hash: &ChangeHash,
) -> Result<Option<ChangeHash>> {
    // The index is named: there are few such changes in a document, and many others.
    let sql = "SELECT was FROM change INDEXED BY change_was
                WHERE was IS NOT NULL AND id BETWEEN :from AND :to AND hash = :hash";
    let (from, to) = id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": from, ":to": to, ":hash": hash.0};
    Ok(statement.query_row(params, |r| Ok(ChangeHash(r.get(0)?))).optional()?)
}

/// The dependencies of a row, as positions.
pub(super) fn read_deps(connection: &Connection, id: i64) -> Result<Vec<u64>> {
    let mut statement = connection.prepare_cached("SELECT deps FROM change WHERE id = :id")?;
    let deps: Vec<u8> = statement.query_row(named_params! {":id": id}, |r| r.get(0))?;
    Ok(decode_deps(position_of(id), &deps))
}

/// The bytes of the live changes of a document above a position, in order, given to `each`.
pub(super) fn each_live_bytes(
    connection: &Connection,
    document: i64,
    after: u64,
    mut each: impl FnMut(ChangeHash, &[u8]) -> Result<()>,
) -> Result<()> {
    let sql = "SELECT hash, bytes FROM change WHERE id > :from AND id <= :to
               AND replaced_by IS NULL AND quarantined IS NULL ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": row_id(document, after), ":to": id_range(document).1};
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        let hash = ChangeHash(row.get(0)?);
        let bytes = row.get_ref(1)?.as_blob().map_err(|e| Error::Corrupt(e.to_string()))?;
        each(hash, bytes)?;
    }
    Ok(())
}

/// A queue row to be written.
#[derive(Debug)]
pub(super) struct NewPending<'a> {
    pub(super) id: i64,
    pub(super) ordinal: i64,
    pub(super) action: Option<&'a str>,
    pub(super) enqueued_at: Millis,
}

pub(super) fn insert_pending(connection: &Connection, new: &NewPending<'_>) -> Result<()> {
    let sql = "INSERT INTO pending (id, ordinal, action, enqueued_at) VALUES (:id, :ordinal, :action, :enqueued_at)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": new.id, ":ordinal": new.ordinal, ":action": new.action, ":enqueued_at": new.enqueued_at,
    })?;
    Ok(())
}

/// The hashes of a document that begin with these hex digits, two at most; those that stand go first.
pub(super) fn find_hashes(connection: &Connection, document: i64, prefix: &str) -> Result<Vec<ChangeHash>> {
    let sql = "SELECT hash FROM change WHERE id BETWEEN :from AND :to AND lower(hex(hash)) LIKE :prefix || '%' LIMIT 2";
    let (from, to) = id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": from, ":to": to, ":prefix": prefix};
    let found = statement.query_map(params, |r| Ok(ChangeHash(r.get(0)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// The live change of this actor with this number.
pub(super) fn find_spelling(
    connection: &Connection,
    document: i64,
    actor: &Actor,
    seq: u64,
) -> Result<Option<ChangeHash>> {
    let sql = "SELECT c.hash FROM change c JOIN actor a ON a.id = c.actor
                WHERE c.id BETWEEN :from AND :to AND a.bytes = :actor AND c.seq = :seq AND c.replaced_by IS NULL";
    let (from, to) = id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": from, ":to": to, ":actor": actor.to_bytes(), ":seq": seq as i64};
    Ok(statement.query_row(params, |r| Ok(ChangeHash(r.get(0)?))).optional()?)
}

/// Whether a server is known to hold a change: it came from one, or one took it.
pub(super) fn is_acknowledged(connection: &Connection, document: i64, hash: ChangeHash) -> Result<bool> {
    let sql =
        "SELECT acknowledged_at IS NOT NULL FROM change WHERE id BETWEEN :from AND :to AND hash = :hash";
    let (from, to) = id_range(document);
    let params = named_params! {":from": from, ":to": to, ":hash": hash.0};
    Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?.unwrap_or(false))
}

/// As [`insert_pending`], unless the change waits already.
pub(super) fn insert_pending_once(connection: &Connection, new: &NewPending<'_>) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO pending (id, ordinal, action, enqueued_at)
               VALUES (:id, :ordinal, :action, :enqueued_at)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": new.id, ":ordinal": new.ordinal, ":action": new.action, ":enqueued_at": new.enqueued_at,
    })?;
    Ok(())
}

/// How many lines the history of a document has: container changes have none.
pub(super) fn count_shown(connection: &Connection, document: i64) -> Result<u64> {
    let sql = "SELECT count(*) FROM change WHERE id BETWEEN :from AND :to";
    let (from, to) = id_range(document);
    let all: i64 =
        connection.prepare_cached(sql)?.query_row(named_params! {":from": from, ":to": to}, |r| r.get(0))?;
    Ok((all.max(0) as u64).saturating_sub(count_containers(connection, document)?))
}

/// How many container changes a document holds.
pub(super) fn count_containers(connection: &Connection, document: i64) -> Result<u64> {
    let sql = "SELECT count(*) FROM change WHERE container = 1 AND id BETWEEN :from AND :to";
    let (from, to) = id_range(document);
    let count: i64 =
        connection.prepare_cached(sql)?.query_row(named_params! {":from": from, ":to": to}, |r| r.get(0))?;
    Ok(count.max(0) as u64)
}
