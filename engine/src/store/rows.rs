//! The rows of changes and queue, and their mapping. `id = document << 40 | position`.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::Millis;
use crate::{Actor, Cursor, DocumentId, Error, Result, fence::CheckedChange, message::Message};

/// How many bits of a row's id are the position.
const POSITION_BITS: u32 = 40;
const POSITION_MASK: i64 = (1 << POSITION_BITS) - 1;

/// The row id of a position in a document.
pub(super) fn row_id(document: i64, position: u64) -> i64 {
    (document << POSITION_BITS) | (position as i64 & POSITION_MASK)
}

/// The position in a row id.
pub(super) fn position_of(id: i64) -> u64 {
    (id & POSITION_MASK) as u64
}

/// The first and last row id that a document can have.
pub(super) fn id_range(document: i64) -> (i64, i64) {
    (row_id(document, 0), row_id(document, POSITION_MASK as u64))
}

/// A row of `document`.
#[derive(Debug, Clone)]
pub(super) struct DocumentRow {
    pub(super) id: i64,
    pub(super) uuid: DocumentId,
    pub(super) name: Option<String>,
    pub(super) server: Option<String>,
    pub(super) heads: Vec<ChangeHash>,
    pub(super) heads_at: Vec<u64>,
    pub(super) last: u64,
    pub(super) changes: u64,
    pub(super) epoch: i64,
    pub(super) cursor: Option<Cursor>,
    pub(super) healing: bool,
    pub(super) at_end: bool,
    pub(super) tombstone: Option<String>,
    pub(super) last_sync_at: Option<Millis>,
    /// The document whose local-only slices live in this one: nothing of it is queued or synced.
    pub(super) companion_of: Option<i64>,
    /// Which slices it takes; `None`: all.
    pub(super) kind: Option<String>,
}

const DOCUMENT_COLUMNS: &str =
    "id, uuid, name, server, heads, heads_at, last, changes, epoch, cursor, healing,
     at_end, tombstone, last_sync_at, companion_of, kind";

fn document_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Result<DocumentRow>> {
    let uuid: String = row.get("uuid")?;
    let heads: String = row.get("heads")?;
    let heads_at: String = row.get("heads_at")?;
    let parsed = (|| -> Option<(DocumentId, Vec<ChangeHash>, Vec<u64>)> {
        let heads = heads.split_whitespace().map(|h| h.parse().ok()).collect::<Option<_>>()?;
        let heads_at = heads_at.split_whitespace().map(|h| h.parse().ok()).collect::<Option<_>>()?;
        Some((uuid.parse().ok()?, heads, heads_at))
    })();
    let Some((uuid, heads, heads_at)) = parsed else {
        return Ok(Err(Error::Corrupt(format!("the row of document {uuid} cannot be read"))));
    };
    Ok(Ok(DocumentRow {
        id: row.get("id")?,
        uuid,
        name: row.get("name")?,
        server: row.get("server")?,
        heads,
        heads_at,
        last: row.get::<_, i64>("last")?.max(0) as u64,
        changes: row.get::<_, i64>("changes")?.max(0) as u64,
        epoch: row.get("epoch")?,
        cursor: row.get::<_, Option<String>>("cursor")?.as_deref().and_then(Cursor::parse),
        healing: row.get("healing")?,
        at_end: row.get("at_end")?,
        tombstone: row.get("tombstone")?,
        last_sync_at: row.get("last_sync_at")?,
        companion_of: row.get("companion_of")?,
        kind: row.get("kind")?,
    }))
}

pub(super) fn read_document(connection: &Connection, uuid: DocumentId) -> Result<Option<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document WHERE uuid = :uuid");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(named_params! {":uuid": uuid.to_string()}, document_row).optional()?.transpose()
}

/// Every document; companions are none of their own.
pub(super) fn read_documents(connection: &Connection) -> Result<Vec<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document WHERE companion_of IS NULL ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], document_row)?;
    rows.map(|row| row?).collect()
}

/// As [`read_documents`], with the companions.
pub(super) fn read_documents_and_companions(connection: &Connection) -> Result<Vec<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], document_row)?;
    rows.map(|row| row?).collect()
}

/// The id under which others know the document of this row.
pub(super) fn read_uuid(connection: &Connection, document: i64) -> Result<DocumentId> {
    let sql = "SELECT uuid FROM document WHERE id = :id";
    let uuid: String = connection.query_row(sql, named_params! {":id": document}, |r| r.get(0))?;
    uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")))
}

/// Writes what changes with every commit.
pub(super) fn write_document(connection: &Connection, row: &DocumentRow) -> Result<()> {
    let sql = "UPDATE document SET heads = :heads, heads_at = :heads_at, last = :last, changes = :changes,
               epoch = :epoch, cursor = :cursor, healing = :healing, at_end = :at_end, tombstone = :tombstone,
               last_sync_at = :last_sync_at WHERE id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":heads": join(&row.heads), ":heads_at": join(&row.heads_at), ":last": row.last as i64,
        ":changes": row.changes as i64, ":epoch": row.epoch, ":cursor": row.cursor.as_ref().map(Cursor::as_str),
        ":healing": row.healing, ":at_end": row.at_end, ":tombstone": row.tombstone,
        ":last_sync_at": row.last_sync_at, ":id": row.id,
    })?;
    Ok(())
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
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
    pub(super) quarantined: Option<&'a str>,
}

pub(super) fn insert_change(connection: &Connection, new: &NewChange<'_>) -> Result<()> {
    let sql = "INSERT INTO change (id, hash, actor, seq, deps, bytes, container, action_type, author, made_at, local,
               acknowledged_at, was, quarantined, action_version, target)
               VALUES (:id, :hash, :actor, :seq, :deps, :bytes, :container, :action_type, :author, :made_at, :local,
               :acknowledged_at, :was, :quarantined, :action_version, :target)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": new.id, ":hash": new.change.hash.0, ":actor": new.actor, ":seq": new.change.seq as i64,
        ":deps": encode_deps(position_of(new.id), new.deps), ":bytes": new.change.bytes,
        ":container": new.container, ":action_type": new.message.action, ":author": new.message.author,
        ":made_at": new.made_at, ":local": new.local, ":acknowledged_at": new.acknowledged_at,
        ":was": new.message.was().map(|h| h.0), ":quarantined": new.quarantined,
        ":action_version": new.message.version.filter(|version| *version != 1),
        ":target": new.message.undoes().map(|h| h.0),
    })?;
    Ok(())
}

/// Dependencies as distances, LEB128: short, and without the hashes that do not compress.
fn encode_deps(own: u64, deps: &[u64]) -> Vec<u8> {
    let mut out = Vec::with_capacity(deps.len() * 2);
    for dep in deps {
        let mut distance = own.saturating_sub(*dep);
        while distance >= 0x80 {
            out.push((distance as u8 & 0x7f) | 0x80);
            distance >>= 7;
        }
        out.push(distance as u8);
    }
    out
}

/// The positions that [`encode_deps`] wrote.
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
    pub(super) author: Option<String>,
    pub(super) made_at: Millis,
    pub(super) local: bool,
    pub(super) acknowledged_at: Option<Millis>,
    pub(super) was: Option<ChangeHash>,
    pub(super) loser: bool,
    pub(super) replaced_by: Option<ChangeHash>,
    pub(super) quarantined: Option<String>,
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
     c.made_at, c.local, c.acknowledged_at, c.was, c.loser, c.replaced_by, c.quarantined, c.action_version";

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
        author: row.get("author")?,
        made_at: row.get("made_at")?,
        local: row.get("local")?,
        acknowledged_at: row.get("acknowledged_at")?,
        was: row.get::<_, Option<[u8; 32]>>("was")?.map(ChangeHash),
        loser: row.get("loser")?,
        replaced_by: row.get::<_, Option<[u8; 32]>>("replaced_by")?.map(ChangeHash),
        quarantined: row.get("quarantined")?,
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

/// As [`insert_pending`], unless the change waits already.
pub(super) fn insert_pending_once(connection: &Connection, new: &NewPending<'_>) -> Result<()> {
    let sql = "INSERT OR IGNORE INTO pending (id, ordinal, action, enqueued_at)
               VALUES (:id, :ordinal, :action, :enqueued_at)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": new.id, ":ordinal": new.ordinal, ":action": new.action, ":enqueued_at": new.enqueued_at,
    })?;
    Ok(())
}

/// The oldest version below `version` of this slice's actions that have come since it was last migrated here.
pub(super) fn oldest_unmigrated(
    connection: &Connection,
    document: &DocumentRow,
    slice: &str,
    version: u32,
) -> Result<Option<u32>> {
    let sql = "SELECT position FROM slice_migrated WHERE document = :document AND slice = :slice AND version = :version";
    let params = named_params! {":document": document.id, ":slice": slice, ":version": version};
    let migrated: Option<i64> = connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?;
    let migrated = migrated.unwrap_or(0).max(0) as u64;
    if migrated >= document.last {
        return Ok(None);
    }
    let sql = "SELECT min(coalesce(action_version, 1)) FROM change
                WHERE id > :from AND id <= :to AND action_type >= :first AND action_type < :end
                  AND coalesce(action_version, 1) < :version AND replaced_by IS NULL AND quarantined IS NULL";
    // '0' is the character after '/'.
    Ok(connection.prepare_cached(sql)?.query_row(
        named_params! {
            ":from": row_id(document.id, migrated), ":to": id_range(document.id).1, ":version": version,
            ":first": format!("{slice}/"), ":end": format!("{slice}0"),
        },
        |r| r.get(0),
    )?)
}

/// The slice has its newest form up to this position.
pub(super) fn note_migrated(
    connection: &Connection,
    document: i64,
    (slice, version): (&str, u32),
    position: u64,
) -> Result<()> {
    let sql = "INSERT INTO slice_migrated (document, slice, version, position)
               VALUES (:document, :slice, :version, :position)
               ON CONFLICT (document, slice) DO UPDATE SET version = :version, position = :position
                 WHERE version <> :version OR position <> :position";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":document": document, ":slice": slice, ":version": version, ":position": position as i64,
    })?;
    Ok(())
}

/// The companion of a document.
pub(super) fn read_companion(connection: &Connection, document: i64) -> Result<Option<DocumentId>> {
    let sql = "SELECT uuid FROM document WHERE companion_of = :document";
    let found: Option<String> = connection
        .prepare_cached(sql)?
        .query_row(named_params! {":document": document}, |r| r.get(0))
        .optional()?;
    let parse =
        |uuid: String| uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")));
    found.map(parse).transpose()
}

/// Of which kind the document is.
pub(super) fn write_kind(connection: &Connection, document: i64, kind: &str) -> Result<()> {
    let sql = "UPDATE document SET kind = :kind WHERE id = :id";
    connection.execute(sql, named_params! {":kind": kind, ":id": document})?;
    Ok(())
}

/// Makes the companion of a document.
pub(super) fn insert_companion(connection: &Connection, document: i64, uuid: DocumentId) -> Result<()> {
    let sql = "INSERT INTO document (uuid, companion_of) VALUES (:uuid, :document)";
    connection.execute(sql, named_params! {":uuid": uuid.to_string(), ":document": document})?;
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
