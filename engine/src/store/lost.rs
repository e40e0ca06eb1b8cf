//! What lost where a migration moved one write to the place of another: as much a conflict as where the library has both.
//!
//! The migration's change names the two; the value is read from the history, so that a message can only point at what
//! somebody wrote.

use std::collections::{BTreeMap, HashSet};

use automerge::{Automerge, ChangeHash};
use rusqlite::{Connection, named_params};
use serde_json::Value;

use super::{
    replica::{Replica, parse_stored},
    rows,
    undo::Names,
};
use crate::{
    Error, Message, Result, message,
    reducer::{Place, find, parse_pointer},
    slice::is_under,
    state,
    untrusted::guarded,
};

/// So many are looked at, the newest first: each asks for a walk through the history, and messages are written by anybody.
const MOST: usize = 256;

/// A value that lost.
#[derive(Debug, Clone)]
pub(super) struct Lost {
    /// Where it would be, as a JSON Pointer.
    pub(super) path: String,
    pub(super) value: Value,
    /// The change that wrote it.
    pub(super) hash: ChangeHash,
    /// The value that reads there, and the change by which somebody wrote it.
    pub(super) winner: (Value, ChangeHash),
}

/// What lost at and under a JSON Pointer, and was neither taken nor written over since.
pub(super) fn read_lost(connection: &Connection, replica: &Replica, pointer: &str) -> Result<Vec<Lost>> {
    let mut told: BTreeMap<(String, ChangeHash), (message::Lost, HashSet<ChangeHash>)> = BTreeMap::new();
    let sql =
        "SELECT hash, bytes FROM change WHERE id BETWEEN :from AND :to AND action_type LIKE '%/@migrate'
               AND replaced_by IS NULL AND quarantined IS NULL ORDER BY id DESC";
    let mut statement = connection.prepare_cached(sql)?;
    let (from, to) = rows::id_range(replica.row.id);
    let mut found = statement.query(named_params! {":from": from, ":to": to})?;
    while let Some(row) = found.next()? {
        if told.len() >= MOST {
            break;
        }
        let hash = ChangeHash(row.get(0)?);
        let bytes = row.get_ref(1)?.as_blob().map_err(|e| Error::Corrupt(e.to_string()))?;
        let message = Message::decode(parse_stored(hash, bytes)?.message());
        for lost in message.lost().into_iter().filter(|lost| is_under(&lost.at, pointer)) {
            let by = (lost.at.clone(), lost.by);
            told.entry(by).or_insert_with(|| (lost, HashSet::new())).1.insert(hash);
        }
    }
    if told.is_empty() {
        return Ok(Vec::new());
    }
    let names = Names::read(connection, replica.row.id)?;
    let read = |(lost, told_by): &_| guarded(|| read_one(&replica.am, &names, lost, told_by));
    let read: std::result::Result<Vec<_>, _> = told.values().map(read).collect();
    Ok(read.map_err(Error::Corrupt)?.into_iter().flatten().collect())
}

/// `None` where it is settled, or is not what the message says.
fn read_one(
    am: &Automerge,
    names: &Names,
    lost: &message::Lost,
    told_by: &HashSet<ChangeHash>,
) -> Option<Lost> {
    let by = names.live(lost.by);
    am.get_change_meta_by_hash(&by)?;
    let value = state::to_json(am, &lost.from, Some(&[by])).ok()?;
    let Place::There { value: there, id, .. } = find(am, &parse_pointer(&lost.at).ok()?, None).ok()? else {
        return None;
    };
    let won = am.hash_for_opid(&id)?;
    let unseen: HashSet<ChangeHash> = am.get_changes_meta(&[won]).iter().map(|meta| meta.hash).collect();
    // Who wrote it on top of the migration has seen both.
    if told_by.iter().any(|migration| *migration != won && !unseen.contains(migration)) {
        return None;
    }
    let winner = state::value_to_json(am, &there, &id, &lost.at).ok()?;
    let writer = if told_by.contains(&won) { names.live(lost.over) } else { won };
    (winner != value).then(|| Lost { path: lost.at.clone(), value, hash: by, winner: (winner, writer) })
}
