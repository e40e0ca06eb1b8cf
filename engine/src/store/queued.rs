//! Which operations of a document wait in the queue, for reducers.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::{replica::Replica, rows};
use crate::{Actor, Result, reducer::QueuedOps};

/// What this store made in the document and may still take back.
pub(super) fn read_queued_ops(connection: &Connection, replica: &Replica) -> Result<QueuedOps> {
    let sql = "SELECT c.hash FROM pending p CROSS JOIN change c ON c.id = p.id
                WHERE p.id BETWEEN :from AND :to AND c.local = 1 AND c.container = 0 ORDER BY p.id LIMIT 1";
    let (from, to) = rows::id_range(replica.row.id);
    let mut statement = connection.prepare_cached(sql)?;
    let first = statement.query_row(named_params! {":from": from, ":to": to}, |r| r.get(0)).optional()?;
    let meta = first.and_then(|hash| replica.am.get_change_meta_by_hash(&ChangeHash(hash)));
    let Some(meta) = meta else { return Ok(QueuedOps::default()) };
    let mut statement = connection.prepare_cached("SELECT bytes FROM actor WHERE own = 1")?;
    let own = statement.query_map([], |r| Ok(Actor::from(r.get::<_, Vec<u8>>(0)?)))?;
    Ok(QueuedOps::new(meta.start_op, own.collect::<rusqlite::Result<_>>()?))
}
