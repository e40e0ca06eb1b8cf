//! What an undo must know beside the document: what stands for what, what others did beside the change, and what
//! counts as undone.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, Change, ChangeHash};
use rusqlite::{Connection, named_params};

use super::{
    UndoKind,
    beside::{Root, read_away},
    stack::{Entry, Names, Taken},
};
use crate::{
    Error, Message, Result,
    store::{
        replica::{Replica, parse_stored},
        rows,
    },
    undo::{self, Facts, OpId},
    untrusted::guarded,
};

/// Everything an undo must know of the history.
pub(super) struct Known {
    pub(super) facts: Facts,
    pub(super) names: Names,
    pub(super) root: Option<Root>,
}

impl std::ops::Deref for Known {
    type Target = Facts;

    fn deref(&self) -> &Facts {
        &self.facts
    }
}

pub(super) fn read_facts(
    connection: &Connection,
    replica: &mut Replica,
    (entry, kind): (&Entry, UndoKind),
    change: &Change,
) -> Result<Known> {
    let document = replica.row.id;
    let names = Names::read(connection, document)?;
    // What was written again stands at the end; what came beside it and after it, from where it stood first.
    let since = if kind == UndoKind::Revert {
        // What others did beside somebody else's change may have come before it.
        0
    } else if entry.key == entry.hash && Message::decode(change.message()).was.is_none() {
        entry.position
    } else {
        replica.build_index(connection)?;
        let index = replica.index.as_ref();
        index.and_then(|index| index.replaced.get(&entry.key).copied()).unwrap_or(0)
    };
    let taken = Taken::read(connection, replica, &names, entry.hash)?;
    let mut facts = Facts { undone: taken.changes, ..Facts::default() };
    let mut recent = undo::Standing::default();
    read_standing(connection, replica, &names, |position, new, old| {
        if position >= since {
            recent.note(new.clone(), old);
        }
        facts.standing.note(new, old);
    })?;
    facts.recent = Some(recent);
    let preds = guarded(|| undo::preds_of(change)).map_err(Error::Corrupt)?;
    if !preds.is_empty() {
        match kind {
            UndoKind::Revert => {
                read_beside_of_anybody(connection, replica, (entry.hash, &preds), &mut facts)?
            }
            _ => read_beside(connection, document, since, &preds, &mut facts)?,
        }
    }
    let root = read_away((connection, replica), &names, change, &mut facts)?;
    Ok(Known { facts, names, root })
}

/// Which operations stand for which, in the whole history.
pub(in crate::store) fn read_all_standing(
    connection: &Connection,
    replica: &Replica,
) -> Result<undo::Standing> {
    read_standing_of(connection, replica, &Names::read(connection, replica.row.id)?)
}

/// The same, where it is known under which hashes changes stand.
pub(super) fn read_standing_of(
    connection: &Connection,
    replica: &Replica,
    names: &Names,
) -> Result<undo::Standing> {
    let mut standing = undo::Standing::default();
    read_standing(connection, replica, names, |_, new, old| standing.note(new, old))?;
    Ok(standing)
}

/// Which operations stand for which, by the undos in the whole history, and where those are.
fn read_standing(
    connection: &Connection,
    replica: &Replica,
    names: &Names,
    mut note: impl FnMut(u64, OpId, &OpId),
) -> Result<()> {
    let sql = "SELECT hash, bytes, id FROM change WHERE id BETWEEN :from AND :to AND target IS NOT NULL
               AND replaced_by IS NULL AND quarantined IS NULL ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let (from, to) = rows::id_range(replica.row.id);
    let mut found = statement.query(named_params! {":from": from, ":to": to})?;
    let mut starts: HashMap<String, Option<OpId>> = HashMap::new();
    while let Some(row) = found.next()? {
        let bytes = row.get_ref(1)?.as_blob().map_err(|e| Error::Corrupt(e.to_string()))?;
        let change = parse_stored(ChangeHash(row.get(0)?), bytes)?;
        let message = Message::decode(change.message());
        let Some(restored) = message.restored else { continue };
        let position = rows::position_of(row.get(2)?);
        // A message may say anything: of one change no more is taken than it has operations.
        let mut left = change.len() as u64;
        for (key, runs) in undo::decode_restored(&restored) {
            let start = starts.entry(key.clone()).or_insert_with(|| start_of(&replica.am, names, &key));
            let Some(start) = start else { continue };
            for run in runs {
                let len = run.len.min(left).min((change.len() as u64).saturating_sub(run.at));
                left -= len;
                let end = run.at.saturating_add(len);
                for (at, from) in (run.at..end).zip(run.from..) {
                    let new = OpId(change.start_op().get().saturating_add(at), change.actor_id().clone());
                    note(position, new, &OpId(start.0.saturating_add(from), start.1.clone()));
                }
            }
        }
    }
    Ok(())
}

/// The first operation of the change that was first made with this hash.
fn start_of(am: &Automerge, names: &Names, key: &str) -> Option<OpId> {
    let hash = names.live(key.parse().ok()?);
    let meta = guarded(|| am.get_change_meta_by_hash(&hash)).ok()??;
    Some(OpId(meta.start_op, meta.actor.as_ref().clone()))
}

/// What anybody did, without having seen the change, to what it replaced or deleted. (Who has seen it finds nothing of
/// that any more.)
fn read_beside_of_anybody(
    connection: &Connection,
    replica: &Replica,
    (of, preds): (ChangeHash, &HashSet<OpId>),
    facts: &mut Facts,
) -> Result<()> {
    let unseen: HashSet<ChangeHash> =
        replica.am.get_changes_meta(&[of]).into_iter().map(|change| change.hash).collect();
    rows::each_live_bytes(connection, replica.row.id, 0, |hash, bytes| {
        if unseen.contains(&hash) {
            note_beside(&parse_stored(hash, bytes)?, preds, facts);
        }
        Ok(())
    })
}

fn note_beside(change: &Change, preds: &HashSet<OpId>, facts: &mut Facts) {
    // Of some changes that were accepted the library cannot read all: they touched nothing that it knows of.
    if let Err(reason) = guarded(|| facts.note_beside(change, preds)) {
        tracing::warn!(%reason, change = %change.hash(), "a change could not be looked at for an undo");
    }
}

/// What other replicas did, without having seen the change, to what it replaced or deleted.
fn read_beside(
    connection: &Connection,
    document: i64,
    since: u64,
    preds: &HashSet<OpId>,
    facts: &mut Facts,
) -> Result<()> {
    let sql = "SELECT hash, bytes FROM change WHERE id BETWEEN :from AND :to AND local = 0 AND container = 0
               AND replaced_by IS NULL AND quarantined IS NULL ORDER BY id";
    let mut statement = connection.prepare_cached(sql)?;
    let (from, to) = (rows::row_id(document, since), rows::id_range(document).1);
    let mut found = statement.query(named_params! {":from": from, ":to": to})?;
    while let Some(row) = found.next()? {
        let bytes = row.get_ref(1)?.as_blob().map_err(|e| Error::Corrupt(e.to_string()))?;
        let change = parse_stored(ChangeHash(row.get(0)?), bytes)?;
        note_beside(&change, preds, facts);
    }
    Ok(())
}
