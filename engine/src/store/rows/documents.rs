//! The rows of documents, and what hangs on them: companions, kinds, how far slices are migrated.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{id_range, row_id};
use crate::{Cursor, DocumentId, Error, Result, store::Millis};

/// A row of `document`.
#[derive(Debug, Clone)]
pub(in crate::store) struct DocumentRow {
    pub(in crate::store) id: i64,
    pub(in crate::store) uuid: DocumentId,
    pub(in crate::store) name: Option<String>,
    pub(in crate::store) server: Option<String>,
    pub(in crate::store) heads: Vec<ChangeHash>,
    pub(in crate::store) heads_at: Vec<u64>,
    pub(in crate::store) last: u64,
    pub(in crate::store) changes: u64,
    pub(in crate::store) epoch: i64,
    pub(in crate::store) cursor: Option<Cursor>,
    pub(in crate::store) healing: bool,
    pub(in crate::store) at_end: bool,
    pub(in crate::store) tombstone: Option<String>,
    /// The server where it lives; see `home`.
    pub(in crate::store) home: Option<String>,
    /// Whose log the cursor is a place in.
    pub(in crate::store) cursor_from: Option<String>,
    /// Which server has the tombstone.
    pub(in crate::store) tombstone_from: Option<String>,
    /// The tombstone was told by this store, or heard of twice; see `home::is_sure`.
    pub(in crate::store) tombstone_sure: bool,
    /// A server where it does not live said that it was deleted.
    pub(in crate::store) not_served_by: Option<String>,
    pub(in crate::store) last_sync_at: Option<Millis>,
    /// The document whose local-only slices live in this one: nothing of it is queued or synced.
    pub(in crate::store) companion_of: Option<i64>,
    /// Which slices it takes; `None`: all.
    pub(in crate::store) kind: Option<String>,
}

const DOCUMENT_COLUMNS: &str =
    "id, uuid, name, server, heads, heads_at, last, changes, epoch, cursor, healing,
     at_end, tombstone, last_sync_at, companion_of, kind, home, cursor_from, tombstone_from, not_served_by,
     tombstone_sure";

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
        home: row.get("home")?,
        cursor_from: row.get("cursor_from")?,
        tombstone_from: row.get("tombstone_from")?,
        tombstone_sure: row.get("tombstone_sure")?,
        not_served_by: row.get("not_served_by")?,
        last_sync_at: row.get("last_sync_at")?,
        companion_of: row.get("companion_of")?,
        kind: row.get("kind")?,
    }))
}

pub(in crate::store) fn read_document(
    connection: &Connection,
    uuid: DocumentId,
) -> Result<Option<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document WHERE uuid = :uuid");
    let mut statement = connection.prepare_cached(&sql)?;
    statement.query_row(named_params! {":uuid": uuid.to_string()}, document_row).optional()?.transpose()
}

/// Every document; companions are none of their own.
pub(in crate::store) fn read_documents(connection: &Connection) -> Result<Vec<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document WHERE companion_of IS NULL ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], document_row)?;
    rows.map(|row| row?).collect()
}

/// As [`read_documents`], with the companions.
pub(in crate::store) fn read_documents_and_companions(connection: &Connection) -> Result<Vec<DocumentRow>> {
    let sql = format!("SELECT {DOCUMENT_COLUMNS} FROM document ORDER BY id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], document_row)?;
    rows.map(|row| row?).collect()
}

/// The id under which others know the document of this row.
pub(in crate::store) fn read_uuid(connection: &Connection, document: i64) -> Result<DocumentId> {
    let sql = "SELECT uuid FROM document WHERE id = :id";
    let uuid: String = connection.query_row(sql, named_params! {":id": document}, |r| r.get(0))?;
    uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")))
}

/// Writes what changes with every commit.
pub(in crate::store) fn write_document(connection: &Connection, row: &DocumentRow) -> Result<()> {
    let sql = "UPDATE document SET heads = :heads, heads_at = :heads_at, last = :last, changes = :changes,
               epoch = :epoch, cursor = :cursor, healing = :healing, at_end = :at_end, tombstone = :tombstone,
               last_sync_at = :last_sync_at, home = :home, cursor_from = :cursor_from,
               tombstone_from = :tombstone_from, not_served_by = :not_served_by,
               tombstone_sure = :tombstone_sure WHERE id = :id";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":heads": join(&row.heads), ":heads_at": join(&row.heads_at), ":last": row.last as i64,
        ":changes": row.changes as i64, ":epoch": row.epoch, ":cursor": row.cursor.as_ref().map(Cursor::as_str),
        ":healing": row.healing, ":at_end": row.at_end, ":tombstone": row.tombstone,
        ":last_sync_at": row.last_sync_at, ":home": row.home, ":cursor_from": row.cursor_from,
        ":tombstone_from": row.tombstone_from, ":not_served_by": row.not_served_by,
        ":tombstone_sure": row.tombstone_sure, ":id": row.id,
    })?;
    Ok(())
}

fn join<T: ToString>(items: &[T]) -> String {
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// The oldest version below `version` of this slice's actions that have come since it was last migrated here.
pub(in crate::store) fn oldest_unmigrated(
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
    // What it wrote as a reaction to another slice's action counts too.
    let sql = "SELECT min(written) FROM (
                 SELECT coalesce(action_version, 1) AS written FROM change
                  WHERE id > :from AND id <= :to AND action_type >= :first AND action_type < :end
                    AND replaced_by IS NULL AND quarantined IS NULL
                 UNION ALL
                 SELECT json_extract(also, :reacted) FROM change
                  WHERE id > :from AND id <= :to AND also IS NOT NULL
                    AND replaced_by IS NULL AND quarantined IS NULL)
                WHERE written < :version";
    // '0' is the character after '/'.
    Ok(connection.prepare_cached(sql)?.query_row(
        named_params! {
            ":from": row_id(document.id, migrated), ":to": id_range(document.id).1, ":version": version,
            ":first": format!("{slice}/"), ":end": format!("{slice}0"), ":reacted": format!("$.\"{slice}\""),
        },
        |r| r.get(0),
    )?)
}

/// The newest version above `version` under which something was written to this slice after a position.
pub(in crate::store) fn newest_above(
    connection: &Connection,
    (document, after): (i64, u64),
    (slice, version): (&str, u32),
) -> Result<Option<u32>> {
    let sql = "SELECT max(written) FROM (
                 SELECT action_version AS written FROM change
                  WHERE id > :from AND id <= :to AND action_type >= :first AND action_type < :end
                    AND replaced_by IS NULL AND quarantined IS NULL
                 UNION ALL
                 SELECT json_extract(also, :reacted) FROM change
                  WHERE id > :from AND id <= :to AND also IS NOT NULL
                    AND replaced_by IS NULL AND quarantined IS NULL)
                WHERE written > :version";
    // '0' is the character after '/'.
    Ok(connection.prepare_cached(sql)?.query_row(
        named_params! {
            ":from": row_id(document, after), ":to": id_range(document).1, ":version": version,
            ":first": format!("{slice}/"), ":end": format!("{slice}0"), ":reacted": format!("$.\"{slice}\""),
        },
        |r| r.get(0),
    )?)
}

/// The slice has its newest form up to this position.
pub(in crate::store) fn note_migrated(
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
pub(in crate::store) fn read_companion(connection: &Connection, document: i64) -> Result<Option<DocumentId>> {
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
pub(in crate::store) fn write_kind(connection: &Connection, document: i64, kind: &str) -> Result<()> {
    let sql = "UPDATE document SET kind = :kind WHERE id = :id";
    connection.execute(sql, named_params! {":kind": kind, ":id": document})?;
    Ok(())
}

/// Makes the companion of a document.
pub(in crate::store) fn insert_companion(
    connection: &Connection,
    document: i64,
    uuid: DocumentId,
) -> Result<()> {
    let sql = "INSERT INTO document (uuid, companion_of) VALUES (:uuid, :document)";
    connection.execute(sql, named_params! {":uuid": uuid.to_string(), ":document": document})?;
    Ok(())
}
