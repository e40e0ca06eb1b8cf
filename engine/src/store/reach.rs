//! How far the changes of a store count, and what was stored before anybody looked at that.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{core::Writing, fork, replica::quarantine, rows};
use crate::{
    DocumentId, Result,
    fence::{Limits, Reach, check_bytes},
    quarantine::Reason,
};

/// How far the change at a position and its ancestors count, once all up to it were measured.
pub(super) fn read(connection: &Connection, document: i64, position: u64) -> Result<Reach> {
    let id = rows::row_id(document, position);
    let noted = connection
        .prepare_cached("SELECT last, slack, own FROM reach WHERE id = :id")?
        .query_row(named_params! {":id": id}, |r| {
            let number = |value: i64| value.max(0) as u64;
            Ok(Reach { last: number(r.get(0)?), slack: number(r.get(1)?), own: number(r.get(2)?) })
        })
        .optional()?;
    match noted {
        Some(reach) => Ok(reach),
        // What was refused as no change is kept too, and nothing that stands is made on it.
        None => Ok(Reach::of_chunk(&rows::read_bytes(connection, id)?).unwrap_or_default()),
    }
}

/// Notes how far a change counts, where it does not follow from its own bytes.
pub(super) fn note(connection: &Connection, id: i64, reach: Reach, plain: Reach) -> Result<()> {
    if reach == plain {
        return Ok(());
    }
    let sql = "INSERT OR REPLACE INTO reach (id, last, slack, own) VALUES (:id, :last, :slack, :own)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":id": id, ":last": reach.last as i64, ":slack": reach.slack as i64, ":own": reach.own as i64,
    })?;
    Ok(())
}

/// All up to this position were measured.
pub(super) fn write_measured(connection: &Connection, document: i64, position: u64) -> Result<()> {
    let sql = "INSERT OR REPLACE INTO measured (document, position) VALUES (:document, :position)";
    let params = named_params! {":document": document, ":position": position as i64};
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}

fn read_measured(connection: &Connection, document: i64) -> Result<u64> {
    let sql = "SELECT position FROM measured WHERE document = :document";
    let found = connection
        .prepare_cached(sql)?
        .query_row(named_params! {":document": document}, |r| r.get::<_, i64>(0))
        .optional()?;
    Ok(found.unwrap_or(0).max(0) as u64)
}

impl Writing<'_> {
    /// Measures what was dispatched, written again or loaded since this was last done, and once what an older release
    /// stored without looking. Quarantines what the fence would not let in today, and what depends on it: everybody
    /// else leaves that out too. Returns how many changes were quarantined.
    pub(super) fn measure(&mut self, id: DocumentId) -> Result<u64> {
        let row = self.replicas.get(self.tx, id, self.actor)?.row.clone();
        let from = read_measured(self.tx, row.id)?;
        if from >= row.last {
            return Ok(0);
        }
        let refused = measure_rows(self.tx, row.id, from)?;
        write_measured(self.tx, row.id, row.last)?;
        if refused.is_empty() {
            return Ok(0);
        }
        // What this transaction did so far is in memory only.
        rows::write_document(self.tx, &row)?;
        self.replicas.forget(id);
        for (hash, why) in &refused {
            tracing::warn!(document = %id, change = %hash, %why, "a change is quarantined");
            quarantine(self.tx, row.id, *hash, why)?;
        }
        let after = fork::leave_out_hostile(self.tx, row.id)?;
        fork::settle(self, id)?;
        Ok((refused.len() + after) as u64)
    }
}

/// Notes the reach of the rows after a position. Gives those that are out of range.
fn measure_rows(connection: &Connection, document: i64, after: u64) -> Result<Vec<(ChangeHash, Reason)>> {
    let sql = "SELECT id, hash, deps, bytes, quarantined IS NOT NULL OR replaced_by IS NOT NULL
                      OR (local = 1 AND acknowledged_at IS NULL), actor
                 FROM change WHERE id > :from AND id <= :to ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": rows::row_id(document, after), ":to": rows::id_range(document).1};
    let mut found = statement.query(params)?;
    let mut refused = Vec::new();
    while let Some(row) = found.next()? {
        let (id, bytes): (i64, Vec<u8>) = (row.get(0)?, row.get(3)?);
        let mut before = Reach::default();
        for position in rows::decode_deps(rows::position_of(id), &row.get::<_, Vec<u8>>(2)?) {
            before = before.and(read(connection, document, position)?);
        }
        let measured = match check_bytes(&bytes, &Limits::unbounded()) {
            Ok(change) => {
                before = before.after(read_previous(connection, (id, row.get(5)?), change.seq)?);
                let plain = Reach::plain(change.start_op, change.operations);
                let reach = before.then(plain, change.start_op);
                note(connection, id, reach, plain)?;
                reach.check(before, change.start_op)
            }
            Err(refusal) => Err(refusal),
        };
        // What was never sent is this store's own: its server says whether it takes it.
        let spared: bool = row.get(4)?;
        if let Err(refusal) = measured
            && !spared
        {
            refused.push((ChangeHash(row.get(1)?), Reason::Refused(refusal.detail)));
        }
    }
    Ok(refused)
}

/// The reach of the change of the same actor before this one. It is nearly always a few rows away.
fn read_previous(connection: &Connection, (id, actor): (i64, i64), seq: u64) -> Result<Option<Reach>> {
    let Some(seq) = seq.checked_sub(1).filter(|seq| *seq > 0) else { return Ok(None) };
    let document = id >> rows::POSITION_BITS;
    let sql = "SELECT id FROM change WHERE id >= :from AND id < :id AND actor = :actor AND seq = :seq
                AND replaced_by IS NULL ORDER BY id DESC LIMIT 1";
    let params = named_params! {
        ":from": rows::row_id(document, 0), ":id": id, ":actor": actor, ":seq": seq as i64,
    };
    let found: Option<i64> = connection.prepare_cached(sql)?.query_row(params, |r| r.get(0)).optional()?;
    found.map(|id| read(connection, document, rows::position_of(id))).transpose()
}
