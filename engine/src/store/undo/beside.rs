//! Why elements of lists and texts are away: read from the history, for an undo to know what may come back.

use std::collections::{BTreeSet, HashSet};

use automerge::{Change, ChangeHash};
use rusqlite::Connection;

use super::stack::{Names, Taken, unseen_by};
use crate::{
    Error, Result,
    planted::{Bug, is_planted},
    store::{
        replica::{Replica, parse_stored},
        rows,
    },
    undo::{self, Facts, OpId},
    untrusted::guarded,
};

/// The action of an undo or redo.
pub(super) struct Root {
    pub(super) change: Change,
    /// It stands again when that is taken back.
    pub(super) again: bool,
}

/// Reads why the elements that the change inserted or deleted, or its action did, were away when it was made, and are
/// now. Gives the action, where it is another change.
pub(super) fn read_away(
    (connection, replica): (&Connection, &mut Replica),
    names: &Names,
    change: &Change,
    facts: &mut Facts,
) -> Result<Option<Root>> {
    let hash = change.hash();
    let now = Taken::without(connection, replica, names, (hash, &HashSet::new()))?;
    replica.build_index(connection)?;
    let root = read_root(connection, replica, &now, hash)?;
    let elements = |change: &Change| guarded(|| undo::elements_of(change, &facts.standing));
    let mut of = elements(change).map_err(Error::Corrupt)?;
    if let Some(root) = &root {
        of.extend(elements(&root.change).map_err(Error::Corrupt)?);
    }
    if of.is_empty() {
        return Ok(root);
    }
    let mut unseen = unseen_by(replica, hash)?;
    unseen.insert(hash);
    let then = Taken::without(connection, replica, names, (hash, &unseen))?;
    for first in of.iter().filter(|_| !is_planted(Bug::UndoneComesBack)) {
        if let Some(by) = replica.am.hash_for_opid(&undo::exid(first)) {
            facts.away.note(first, by, (then.changes.contains(&by), now.changes.contains(&by)));
        }
    }
    let mut looked_at = match &root {
        Some(root) => unseen_by(replica, root.change.hash())?,
        None => unseen.clone(),
    };
    // What had been taken back and stands again may have come before it.
    looked_at.extend(now.claimed.iter().filter(|hash| is_held(replica, hash)));
    let looked_at: BTreeSet<(u64, ChangeHash)> =
        looked_at.into_iter().filter_map(|hash| Some((position(replica, hash)?, hash))).collect();
    for (position, by) in looked_at {
        let stands =
            (!unseen.contains(&by) && !then.changes.contains(&by), by != hash && !now.changes.contains(&by));
        // What takes another change back is told by that one.
        if stands == (false, false) || (now.claims.contains(&by) && !now.unproved.contains(&by)) {
            continue;
        }
        let bytes = rows::read_bytes(connection, rows::row_id(replica.row.id, position))?;
        let change = parse_stored(by, &bytes)?;
        gone_by(&change, &of, facts).iter().for_each(|first| facts.away.note(first, by, stands));
    }
    Ok(root)
}

/// Of some changes that were accepted the library cannot read all: they touched nothing that it knows of.
fn gone_by(change: &Change, of: &HashSet<OpId>, facts: &Facts) -> HashSet<OpId> {
    guarded(|| undo::gone_by(change, of, &facts.standing)).unwrap_or_else(|reason| {
        tracing::warn!(%reason, change = %change.hash(), "a change could not be looked at for an undo");
        HashSet::new()
    })
}

fn is_held(replica: &Replica, hash: &ChangeHash) -> bool {
    guarded(|| replica.am.get_change_meta_by_hash(hash).is_some()).unwrap_or(false)
}

fn position(replica: &Replica, hash: ChangeHash) -> Option<u64> {
    replica.index.as_ref().and_then(|index| index.positions.get(&hash).copied())
}

/// The action at the end of the undos and redos that are taken back; `None` where an action itself is.
fn read_root(
    connection: &Connection,
    replica: &Replica,
    taken: &Taken,
    of: ChangeHash,
) -> Result<Option<Root>> {
    let action = taken.action(of);
    let Some(position) = position(replica, action).filter(|_| action != of) else { return Ok(None) };
    if !is_held(replica, &action) {
        return Ok(None);
    }
    let bytes = rows::read_bytes(connection, rows::row_id(replica.row.id, position))?;
    let change = parse_stored(action, &bytes)?;
    Ok(Some(Root { change, again: !taken.changes.contains(&action) }))
}
