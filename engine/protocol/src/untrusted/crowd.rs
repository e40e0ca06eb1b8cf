//! Many new actors at once.
//!
//! For each actor that is new to a document the library moves what it holds of all others: some milliseconds where a document
//! has 200,000 operations, and more with each actor. Where all are given to it at once, before there is anything to be moved,
//! that costs nothing. So a document is read anew with a crowd, and the piece of a document that is read first reaches up to
//! the last crowd in it.

use std::{collections::HashSet, ops::Range};

use automerge::{Automerge, Change, ChangeHash};

use super::{LeftOut, Outcome, apply_founded, guarded};

/// From so many new actors on a piece of a log is a crowd.
pub const CROWD: usize = 256;

/// Most operations that are given to the library at once for the sake of a crowd. It needs some 400 bytes for each while it
/// works.
const MOST_AT_ONCE: usize = 2_000_000;

fn new_actors(changes: &[Change]) -> usize {
    changes.iter().filter(|change| change.seq() == 1).count()
}

/// Whether a document is to be read anew with these changes.
fn comes(document: &Automerge, changes: &[Change]) -> bool {
    new_actors(changes) >= CROWD && !document.get_heads().is_empty()
}

/// All changes of a document and these: in a crowd, for a document that is read anew. The first are the document's.
pub(super) fn gathered(document: &Automerge, changes: &[Change]) -> Option<Vec<Change>> {
    if !comes(document, changes) {
        return None;
    }
    let mut all = guarded(|| document.get_changes(&[])).ok()?;
    all.extend_from_slice(changes);
    Some(all)
}

/// Applies changes to a document that is read anew with them, where they bring a crowd. `None`: they bring none, or it
/// cannot be read anew so that nothing of it is left out.
pub(super) fn read_anew(document: &mut Automerge, changes: &[Change], left_out: &LeftOut) -> Option<Outcome> {
    let all = gathered(document, changes)?;
    let held: HashSet<ChangeHash> =
        all.iter().take(all.len().saturating_sub(changes.len())).map(Change::hash).collect();
    let mut anew = Automerge::new().with_author(document.get_author().cloned());
    let outcome = apply_founded(&mut anew, all, left_out.clone(), None);
    if outcome.quarantined.iter().any(|(hash, _)| held.contains(hash)) {
        return None;
    }
    // Afterwards: of an actor that is set before it comes with its changes the library would count from one.
    anew.set_actor(document.get_actor().clone());
    *document = anew;
    Some(Outcome { untold: true, ..outcome })
}

/// Makes the first portion of a whole document reach up to its last crowd, where that is not too much at once.
pub(super) fn join_portions(portions: &mut Vec<Range<usize>>, changes: &[Change]) {
    let of = |portion: &Range<usize>| changes.get(portion.clone()).unwrap_or_default();
    let mut later = 0;
    let last = portions.iter().skip(1).rposition(|portion| {
        later += new_actors(of(portion));
        later >= CROWD
    });
    let Some(last) = last else { return };
    let end = portions.get(last + 1).map_or(0, |portion| portion.end);
    let operations: usize = of(&(0..end)).iter().map(Change::len).sum();
    if operations <= MOST_AT_ONCE {
        portions.splice(0..=last + 1, std::iter::once(0..end));
    }
}

#[cfg(test)]
mod tests {
    use automerge::{ActorId, ROOT, transaction::Transactable};

    use super::*;
    use crate::untrusted::{apply_in_place, apply_untrusted};

    /// A text in which somebody typed, and then a crowd.
    fn typed_and_met(keys: u32, actors: u32) -> (Vec<Change>, Vec<Change>) {
        let mut typed = Automerge::new().with_actor(ActorId::from(b"typist".to_vec()));
        for key in 0..keys {
            let mut tx = typed.transaction();
            tx.put(ROOT, "key", i64::from(key)).unwrap();
            tx.commit();
        }
        let crowd = (0..actors).map(|actor| {
            let actor = ActorId::from(actor.to_be_bytes().to_vec());
            let mut doc = Automerge::new().with_actor(actor);
            let mut tx = doc.transaction();
            tx.put(ROOT, "crowd", 1).unwrap();
            tx.commit();
            doc.get_last_local_change().unwrap()
        });
        (typed.get_changes(&[]), crowd.collect())
    }

    #[test]
    fn a_crowd_goes_in_as_it_would_one_by_one() {
        let (typed, crowd) = typed_and_met(10, 300);
        let mut plain = Automerge::new();
        typed.iter().chain(&crowd).for_each(|change| plain.apply_changes([change.clone()]).unwrap());
        for apply in [
            |doc: &mut Automerge, changes| {
                assert!(apply_untrusted(doc, changes, None).quarantined.is_empty())
            },
            |doc: &mut Automerge, changes| apply_in_place(doc, changes).unwrap(),
        ] {
            let mut document = Automerge::new();
            apply(&mut document, typed.clone());
            document.set_actor(ActorId::from(b"me".to_vec()));
            apply(&mut document, crowd.clone());
            assert_eq!(document.get_heads(), plain.get_heads());
            assert_eq!(document.hydrate(None), plain.hydrate(None));
            assert_eq!(document.get_actor(), &ActorId::from(b"me".to_vec()));
        }
    }

    #[test]
    fn a_piece_that_is_read_first_reaches_up_to_the_last_crowd() {
        let (typed, crowd) = typed_and_met(40, 300);
        let joined = |changes: &[Change]| {
            let mut portions: Vec<Range<usize>> =
                (0..changes.len()).step_by(10).map(|at| at..at + 10).collect();
            join_portions(&mut portions, changes);
            portions
        };
        assert_eq!(joined(&typed).len(), 4, "no crowd");
        let all = [&typed[..20], &crowd, &typed[20..]].concat();
        // What comes after it, with less than a crowd in it, goes in piece by piece.
        let portions = joined(&all);
        assert!(portions[0].end >= 20 + (300 - CROWD) && portions.len() > 2, "{portions:?}");
        assert_eq!(portions.iter().map(ExactSizeIterator::len).sum::<usize>(), all.len());
    }
}
