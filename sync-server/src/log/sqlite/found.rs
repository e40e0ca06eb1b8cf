//! What verification found, and snapshots, in SQL.

use rejoin_protocol::quarantine::Reason;
use rejoin_storage::rows::{POSITION_BITS, position_of, row_key};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    rows::all,
    values::{signed, unsigned},
};
use crate::log::{
    LogError, Quarantined, StoredSnapshot,
    documents::Counts,
    found::{Known, MAKER, NewFindings},
};

pub(super) fn known(connection: &Connection, document: i64) -> Result<Known, LogError> {
    let mut left_out = connection.prepare_cached(
        "SELECT id, reason FROM quarantine WHERE id BETWEEN :first AND :last AND maker = :maker",
    )?;
    let (first, last) = all(document);
    let left_out = left_out
        .query_map(named_params! { ":first": first, ":last": last, ":maker": MAKER }, |row| {
            Ok((position_of(row.get(0)?), Reason::from(row.get::<_, String>(1)?)))
        })?
        .collect::<Result<_, _>>()?;
    let params = named_params! { ":document": document, ":maker": MAKER };
    let verified = connection
        .prepare_cached("SELECT position FROM verified WHERE document = :document AND maker = :maker")?
        .query_row(params, |row| unsigned(row, 0))
        .optional()?;
    let snapshot = connection
        .prepare_cached(
            "SELECT position, CASE WHEN maker = :maker THEN stop END AS stop FROM snapshot
             WHERE document = :document",
        )?
        .query_row(params, |row| {
            let stop: Option<i64> = row.get(1)?;
            Ok(StoredSnapshot { position: unsigned(row, 0)?, stop: stop.map(i64::cast_unsigned) })
        })
        .optional()?;
    Ok(Known { verified, left_out, snapshot })
}

pub(super) fn snapshot(connection: &Connection, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError> {
    let sql = "SELECT position, bytes FROM snapshot WHERE document = :document";
    let mut statement = connection.prepare_cached(sql)?;
    let row = statement
        .query_row(named_params! { ":document": document }, |row| Ok((unsigned(row, 0)?, row.get(1)?)));
    Ok(row.optional()?)
}

pub(super) fn counts(connection: &Connection) -> Result<Counts, LogError> {
    let sql = "SELECT coalesce(max(id), 0) FROM document";
    let documents = connection.prepare_cached(sql)?.query_row([], |row| unsigned(row, 0))?;
    let mut statement = connection.prepare_cached(
        "SELECT count(*), count(DISTINCT id >> :shift) FROM quarantine WHERE maker = :maker",
    )?;
    let row = named_params! { ":shift": POSITION_BITS, ":maker": MAKER };
    let quarantined = statement
        .query_row(row, |row| Ok(Quarantined { changes: unsigned(row, 0)?, documents: unsigned(row, 1)? }))?;
    Ok(Counts { documents, quarantined })
}

/// Forgets what was found of a document that goes, and its snapshot.
pub(super) fn forget(connection: &Connection, document: i64) -> Result<(), LogError> {
    let (first, last) = all(document);
    connection
        .prepare_cached("DELETE FROM quarantine WHERE id BETWEEN :first AND :last")?
        .execute(named_params! { ":first": first, ":last": last })?;
    for sql in
        ["DELETE FROM verified WHERE document = :document", "DELETE FROM snapshot WHERE document = :document"]
    {
        connection.prepare_cached(sql)?.execute(named_params! { ":document": document })?;
    }
    Ok(())
}

pub(super) fn put(
    connection: &Connection,
    document: i64,
    new: &NewFindings<'_>,
    now: i64,
) -> Result<(), LogError> {
    if let Some(position) = new.verified {
        connection
            .prepare_cached(
                "INSERT INTO verified (document, position, maker) VALUES (:document, :position, :maker)
                 ON CONFLICT (document) DO UPDATE SET position = excluded.position, maker = excluded.maker",
            )?
            .execute(named_params! {
                ":document": document, ":position": signed(position), ":maker": MAKER,
            })?;
        connection
            .prepare_cached("DELETE FROM quarantine WHERE id BETWEEN :first AND :last AND maker <> :maker")?
            .execute(named_params! {
                ":first": row_key(document, 1), ":last": row_key(document, position), ":maker": MAKER,
            })?;
    }
    let mut delete = connection.prepare_cached("DELETE FROM quarantine WHERE id = :id")?;
    for position in &new.released {
        delete.execute(named_params! { ":id": row_key(document, *position) })?;
    }
    let mut insert = connection.prepare_cached(
        "INSERT OR REPLACE INTO quarantine (id, reason, found_at, maker) VALUES (:id, :reason, :now, :maker)",
    )?;
    for (position, reason) in &new.left_out {
        let id = row_key(document, *position);
        insert.execute(named_params! {
            ":id": id, ":reason": reason.to_string(), ":now": now, ":maker": MAKER,
        })?;
    }
    Ok(())
}

pub(super) fn put_snapshot(
    connection: &Connection,
    document: i64,
    (snapshot, bytes): (StoredSnapshot, &[u8]),
    now: i64,
) -> Result<(), LogError> {
    connection
        .prepare_cached(
            "INSERT INTO snapshot (document, position, bytes, made_at, stop, maker)
             VALUES (:document, :position, :bytes, :now, :stop, :maker)
             ON CONFLICT (document) DO UPDATE SET position = excluded.position, bytes = excluded.bytes,
               made_at = excluded.made_at, stop = excluded.stop, maker = excluded.maker",
        )?
        .execute(named_params! {
            ":document": document,
            ":position": signed(snapshot.position),
            ":bytes": bytes,
            ":now": now,
            ":stop": snapshot.stop.map(signed),
            ":maker": MAKER,
        })?;
    Ok(())
}
