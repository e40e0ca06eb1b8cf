//! Changes that the library takes, and after which it cannot write the document, load what it wrote, or read it:
//! they are looked for before anything is made on top of them, and quarantined.

use std::collections::HashSet;

use automerge::{Automerge, Change, ChangeHash, ReadDoc};
use rusqlite::Connection;

use super::{
    Core,
    core::Writing,
    fork,
    prove::Proof,
    replica::{Replica, parse_stored, quarantine},
    rows,
};
use crate::{
    DocumentId, Result,
    fence::{ChunkKind, frame},
    quarantine::Reason,
    untrusted::{apply_in_place, examine},
};

/// A document of so many operations is examined after each page that brings something: some 10 ms.
const SMALL: u64 = 2_000;
/// A larger one when so much of it is new, as a part of all, and a sync has come to its end. What comes in smaller
/// pieces is examined with the next snapshot.
const PART: u64 = 8;
/// Most changes that are looked for in one go: each takes some twenty trials.
const MOST: usize = 16;

/// Whether a document that has taken in `unproven` changes since it was last examined is examined now.
fn is_due(operations: u64, changes: u64, unproven: u64, at_end: bool) -> bool {
    unproven > 0 && (operations <= SMALL || (at_end && unproven.saturating_mul(PART) >= changes))
}

impl Replica {
    /// Whether it is to be examined before what it took in is committed.
    fn is_due(&self, at_end: bool) -> bool {
        let stats = self.am.stats();
        is_due(stats.num_ops, stats.num_changes, self.unproven, at_end)
    }
}

/// Examines a document that was loaded from a file. A large one that was in one piece has proved that it can be
/// loaded, and what it was loaded from is kept: it is examined with the next snapshot.
pub(super) fn examine_loaded(document: &Automerge, bytes: &[u8]) -> std::result::Result<(), String> {
    let frames = frame(bytes).map_err(|refusal| refusal.to_string())?;
    let in_one_piece = matches!(frames.as_slice(), [only] if only.kind == ChunkKind::Document);
    if in_one_piece && document.stats().num_ops > SMALL { Ok(()) } else { examine(document) }
}

impl Core {
    /// Looks for what a document cannot be written with. `true` where something was found and quarantined.
    pub(super) fn expel_poison(&mut self, id: DocumentId) -> Result<bool> {
        self.write(&[id], |w| w.expel_poison(id)).map(|found| found > 0)
    }
}

impl Writing<'_> {
    /// Has a page's changes tried elsewhere, before the library of this process gets them: all that stand after the
    /// position `after`.
    pub(super) fn prove_arrived(
        &mut self,
        id: DocumentId,
        after: u64,
        (arrived, at_end): (u64, bool),
    ) -> Result<Proof> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if arrived == 0 {
            return Ok(Proof::None);
        }
        let unproven = replica.unproven;
        replica.unproven += arrived;
        let due = replica.is_due(at_end);
        if due {
            replica.unproven = 0;
        }
        let proof = self.prove(id, (after, due))?;
        if proof == Proof::None {
            self.replicas.get(self.tx, id, self.actor)?.unproven = unproven;
        }
        Ok(proof)
    }

    /// Examines a document that took in `arrived` changes, where that is due. Returns how many changes were
    /// quarantined.
    pub(super) fn examine_arrived(&mut self, id: DocumentId, arrived: u64, at_end: bool) -> Result<u64> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        replica.unproven += arrived;
        if !replica.is_due(at_end) {
            return Ok(0);
        }
        replica.unproven = 0;
        match examine(&replica.am) {
            Ok(()) => Ok(0),
            Err(_) => self.expel_poison(id),
        }
    }

    /// Quarantines the first change with which the document is unsound, and what depends on it; and again, until the
    /// rest is sound.
    pub(super) fn expel_poison(&mut self, id: DocumentId) -> Result<u64> {
        let last = self.replicas.get(self.tx, id, self.actor)?.row.last;
        if let Proof::Found(found) = self.prove(id, (last, true))? {
            return Ok(found);
        }
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let document = replica.row.id;
        // What this transaction did so far is in memory only.
        rows::write_document(self.tx, &replica.row)?;
        self.replicas.forget(id);
        let mut found = 0;
        for _ in 0..MOST {
            let changes = live_changes(self.tx, document)?;
            let Some((culprit, why)) = first_unsound(&changes) else { break };
            tracing::warn!(document = %id, change = %culprit.hash(), why, "a change is quarantined");
            quarantine(self.tx, document, culprit.hash(), &Reason::Refused(why))?;
            found += 1 + fork::leave_out_hostile(self.tx, document)? as u64;
        }
        if found > 0 {
            fork::settle(self, id)?;
        }
        Ok(found)
    }
}

fn live_changes(connection: &Connection, document: i64) -> Result<Vec<Change>> {
    let mut changes = Vec::new();
    rows::each_live_bytes(connection, document, 0, |hash, bytes| {
        changes.push(parse_stored(hash, bytes)?);
        Ok(())
    })?;
    Ok(changes)
}

/// A change with which the document is unsound, and why. "Every replica decides this from the change and its ancestors
/// alone": the first that is unsound with those before it, if it is so with its ancestors alone. Otherwise it and one
/// beside it do not go together, and of the two the greater hash goes, whichever came first.
fn first_unsound(changes: &[Change]) -> Option<(&Change, String)> {
    let (first, why) = shortest(changes.len(), |count| try_these(changes.iter().take(count)))?;
    let culprit = changes.get(first)?;
    let before = changes.get(..=first)?;
    let ancestors: HashSet<ChangeHash> = ancestors(before, culprit.hash());
    let (own, beside): (Vec<&Change>, Vec<&Change>) =
        before.iter().partition(|change| ancestors.contains(&change.hash()));
    if try_these(own.iter().copied()).is_err() {
        return Some((culprit, why));
    }
    let with = |count: usize| {
        let beside: HashSet<ChangeHash> = beside.iter().take(count).map(|change| change.hash()).collect();
        let taken = |change: &&Change| {
            let hash = change.hash();
            ancestors.contains(&hash) || beside.contains(&hash)
        };
        try_these(before.iter().filter(taken))
    };
    let met = shortest(beside.len(), with).and_then(|(at, _)| beside.get(at).copied());
    Some((met.filter(|met| met.hash() > culprit.hash()).unwrap_or(culprit), why))
}

/// The last of the fewest, up to `count`, with which a trial fails, and why it does.
fn shortest(
    count: usize,
    attempt: impl Fn(usize) -> std::result::Result<(), String>,
) -> Option<(usize, String)> {
    let mut why = attempt(count).err()?;
    let (mut good, mut bad) = (0, count);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match attempt(middle) {
            Ok(()) => good = middle,
            Err(reason) => (bad, why) = (middle, reason),
        }
    }
    bad.checked_sub(1).map(|last| (last, why))
}

/// A change and all that it was made on.
fn ancestors(changes: &[Change], of: ChangeHash) -> HashSet<ChangeHash> {
    let mut found = HashSet::from([of]);
    for change in changes.iter().rev() {
        if found.contains(&change.hash()) {
            found.extend(change.deps().iter().copied());
        }
    }
    found
}

fn try_these<'a>(changes: impl Iterator<Item = &'a Change>) -> std::result::Result<(), String> {
    let mut document = Automerge::new();
    apply_in_place(&mut document, changes.cloned().collect())?;
    examine(&document)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_documents_are_examined_at_once_and_large_ones_when_much_of_them_is_new() {
        assert!(is_due(SMALL, 500, 1, false));
        assert!(!is_due(SMALL, 500, 0, true), "nothing is new");
        assert!(!is_due(100_000, 80_000, 10_000, false), "more is coming");
        assert!(is_due(100_000, 80_000, 10_000, true));
        assert!(!is_due(100_000, 80_000, 9_999, true), "it is examined with the next snapshot");
    }
}
