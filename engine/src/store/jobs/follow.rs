//! Effects follow their action: when its change is written again, and when it is taken back.

use automerge::ChangeHash;
use rusqlite::{Connection, named_params};

use crate::{Millis, Result};

/// The change that asked is spelled otherwise from now on. `document` is its row.
pub(in super::super) fn follow_change(
    connection: &Connection,
    document: i64,
    (was, is): (ChangeHash, ChangeHash),
) -> Result<()> {
    let sql = "UPDATE job SET change_hash = :is
                WHERE change_hash = :was AND document = (SELECT uuid FROM document WHERE id = :document)";
    let params = named_params! {":is": is.0, ":was": was.0, ":document": document};
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

/// The change that asked was taken back before anybody saw it: what was never sent is not sent either.
pub(in super::super) fn drop_effects_of(
    connection: &Connection,
    document: i64,
    change: ChangeHash,
    now: Millis,
) -> Result<()> {
    let sql = "UPDATE job SET state = 'dropped', settled_at = :now, next_attempt_at = NULL,
                      error = 'the action that asked for it was taken back'
                WHERE change_hash = :change AND document = (SELECT uuid FROM document WHERE id = :document)
                  AND state IN ('waiting', 'held') AND attempts = 0";
    let params = named_params! {":now": now, ":change": change.0, ":document": document};
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

/// The changes of this document whose effects were rolled back by an action of their own. `document` is its row.
pub(in super::super) fn read_rolled_back(connection: &Connection, document: i64) -> Result<Vec<ChangeHash>> {
    let sql = "SELECT j.change_hash FROM job j JOIN document d ON d.uuid = j.document
                WHERE d.id = :document AND j.kind = 'effect' AND j.settled_change IS NOT NULL AND j.rollback = 'done'";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(named_params! {":document": document}, |r| Ok(ChangeHash(r.get(0)?)))?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}
