//! Whether everything that is ever asked of a document works: it is read, saved, loaded again and gone on with.

use std::collections::HashMap;

use automerge::{Automerge, ChangeHash, ReadDoc, ScalarValue, hydrate};

use super::{guarded, load, next};
use crate::state::to_json;

/// Up to so many operations what an honest person makes of a document is saved and loaded again too.
const SAVED_AGAIN: u64 = 2_000;

/// What a snapshot must have in common with the document that it was made of. It stands for the document while
/// the snapshot is loaded again: so that the two need not be in memory together.
#[derive(Debug)]
pub struct Summary {
    heads: Vec<ChangeHash>,
    /// Sorted.
    changes: Vec<ChangeHash>,
    state: hydrate::Value,
}

impl Summary {
    /// Heads, set of changes and state.
    ///
    /// # Errors
    /// Why the library cannot read them.
    pub fn of(document: &Automerge) -> Result<Self, String> {
        guarded(|| Self {
            heads: document.get_heads(),
            changes: change_hashes(document),
            state: document.hydrate(None),
        })
    }

    /// Loads `bytes` again, and compares. A snapshot "is kept only after it was loaded again and its heads,
    /// its set of changes and its state were found equal". For bytes that were made here: they do not
    /// pass [`crate::fence::check_document`].
    ///
    /// # Errors
    /// What differs, or why it cannot be loaded or read.
    pub fn verify(&self, bytes: &[u8]) -> Result<(), String> {
        let loaded = load(bytes)?;
        guarded(|| {
            if self.heads != loaded.get_heads() {
                return Err("the heads differ after loading it again".to_owned());
            }
            if self.changes != change_hashes(&loaded) {
                return Err("the changes differ after loading it again".to_owned());
            }
            if !same(&self.state, &loaded.hydrate(None)) {
                return Err("the state differs after loading it again".to_owned());
            }
            Ok(())
        })?
    }
}

/// Whether everything that is ever asked of a document works: it reads as JSON, and it can be saved, loaded again
/// and found equal. The library takes some changes after which it does not. It costs about as much as loading the
/// document three times.
///
/// # Errors
/// What does not work.
pub fn examine(document: &Automerge) -> Result<(), String> {
    // A document that is nested too deep for JSON is sound.
    guarded(|| drop(to_json(document, "", None)))
        .and_then(|()| guarded(|| document.save()))
        .and_then(|bytes| verify_snapshot(document, &bytes))
        .map_err(|why| super::harm(&format!("nobody can read it with that: {why}")))?;
    examine_next(document)
}

/// Whether an honest person can go on with a document: "verification tries on a copy what an honest person does next,
/// so that the hostile change is left out and not the honest one after it". What comes of it is saved and loaded again
/// where the document is small; for a large one that would cost as much as all other verification.
///
/// # Errors
/// What does not work.
pub fn examine_next(document: &Automerge) -> Result<(), String> {
    let next = guarded(|| next::try_next(document)).and_then(|tried| tried);
    let tried = next.map_err(|why| super::harm(&format!("nobody can go on after it: {why}")))?;
    match tried {
        Some(copy) if document.stats().num_ops <= SAVED_AGAIN => {
            let saved = guarded(|| copy.save()).and_then(|bytes| verify_snapshot(&copy, &bytes));
            saved.map_err(|why| super::harm(&format!("nobody can go on after it: {why}")))
        }
        _ => Ok(()),
    }
}

/// Loads `bytes`, a snapshot of `document`, again, and compares as [`Summary::verify`] does.
///
/// # Errors
/// As for [`Summary::verify`].
pub fn verify_snapshot(document: &Automerge, bytes: &[u8]) -> Result<(), String> {
    Summary::of(document)?.verify(bytes)
}

fn change_hashes(document: &Automerge) -> Vec<ChangeHash> {
    let mut hashes: Vec<_> = document.get_changes_meta(&[]).into_iter().map(|change| change.hash).collect();
    hashes.sort_unstable();
    hashes
}

/// Equality for which a NaN is equal to itself: one honest NaN would leave a document without snapshots.
fn same(a: &hydrate::Value, b: &hydrate::Value) -> bool {
    use hydrate::Value::{List, Map, Scalar, Text};
    match (a, b) {
        (Map(a), Map(b)) => {
            let others: HashMap<_, _> = b.iter().collect();
            a.iter().count() == others.len()
                && a.iter().all(|(key, a)| {
                    others.get(key).is_some_and(|b| a.conflict == b.conflict && same(&a.value, &b.value))
                })
        }
        (List(a), List(b)) => {
            a.iter().count() == b.iter().count()
                && a.iter()
                    .zip(b.iter())
                    .all(|(a, b)| a.conflict == b.conflict && a.marks == b.marks && same(&a.value, &b.value))
        }
        (Text(a), Text(b)) => a == b,
        (Scalar(ScalarValue::F64(a)), Scalar(ScalarValue::F64(b))) => a.to_bits() == b.to_bits(),
        (a, b) => a == b,
    }
}
