//! What an honest person does next, tried on a copy: some changes do no harm themselves, and make the next one fail.

use std::collections::BTreeSet;

use automerge::{
    ActorId, Automerge, Change, ChangeHash, ObjId, ObjType, PatchLog, ROOT, ReadDoc, ScalarValue, Value,
    legacy::{Key, ObjectId},
    transaction::{CommitOptions, Transactable, Transaction},
};

use crate::{
    state::to_json,
    undo::{self, Facts, exid},
};

/// Whose changes these are; they are never given to anybody.
const NOBODY: [u8; 16] = *b"rejoin tries it.";

/// At how many places it is tried at most, and in how many of the newest changes they are looked for.
const PLACES: usize = 128;
const CHANGES: usize = 64;

/// Of a document with more operations than that no copy is made: it would cost too much memory.
const MOST_OPERATIONS: u64 = 1_000_000;

/// A time like today's, in seconds.
const TODAY: i64 = 1_800_000_000;

/// Somewhere that a change wrote.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Touched {
    object: ObjId,
    /// `None` in lists and texts.
    key: Option<String>,
}

/// Commits, sets, counts, inserts, deletes and undoes at the places that the newest changes touched, and reads what
/// that comes to. Gives the copy on which it was done. Panics where the library does. What the library refuses in
/// words an app is told in words: that harms nobody.
pub(super) fn try_next(document: &Automerge) -> Result<Option<Automerge>, String> {
    if document.stats().num_ops > MOST_OPERATIONS {
        return Ok(None);
    }
    let mut copy = document.clone().with_actor(ActorId::from(NOBODY));
    let before = copy.get_heads();
    copy.empty_commit(CommitOptions::default().with_time(TODAY));
    let touched = touched(&copy);
    let mut done = Vec::new();
    for step in [count, put, insert, take_out] {
        done.extend(commit(&mut copy, &touched, step)?);
    }
    for change in done.iter().rev() {
        take_back(&mut copy, change)?;
    }
    drop(copy.diff(&before, &copy.get_heads()));
    drop(to_json(&copy, "", None));
    Ok(Some(copy))
}

/// Where the newest changes wrote.
fn touched(document: &Automerge) -> BTreeSet<Touched> {
    let mut touched = BTreeSet::new();
    for change in newest(document) {
        for operation in change.decode().operations {
            if touched.len() >= PLACES {
                return touched;
            }
            let object = match &operation.obj {
                ObjectId::Root => ROOT,
                ObjectId::Id(id) => exid(id),
            };
            let key = match operation.key {
                Key::Map(key) => Some(key.to_string()),
                Key::Seq(_) => None,
            };
            touched.insert(Touched { object, key });
        }
    }
    touched
}

/// The newest changes. They are found through the heads, for giving out all changes of a document takes long.
fn newest(document: &Automerge) -> Vec<Change> {
    let mut changes: Vec<Change> = Vec::new();
    let mut seen: BTreeSet<ChangeHash> = BTreeSet::new();
    let mut next = document.get_heads();
    while let Some(hash) = next.pop() {
        if changes.len() == CHANGES {
            break;
        }
        if seen.insert(hash)
            && let Some(change) = document.get_change_by_hash(&hash)
        {
            next.splice(0..0, change.deps().iter().copied());
            changes.push(change);
        }
    }
    changes
}

type Step = fn(&mut Transaction<'_>, &Touched);

/// One change that does this at each place.
fn commit(
    document: &mut Automerge,
    touched: &BTreeSet<Touched>,
    step: Step,
) -> Result<Option<Change>, String> {
    let mut tx = document.transaction_log_patches(PatchLog::active()).map_err(|e| e.to_string())?;
    touched.iter().for_each(|place| step(&mut tx, place));
    let (hash, mut log) = tx.commit_with(CommitOptions::default().with_time(TODAY));
    drop(document.make_patches(&mut log));
    Ok(hash.and_then(|hash| document.get_change_by_hash(&hash)))
}

fn count(tx: &mut Transaction<'_>, place: &Touched) {
    let Some(key) = &place.key else { return };
    let counts = |value: &Value<'_>| matches!(value, Value::Scalar(s) if matches!(s.as_ref(), ScalarValue::Counter(_)));
    if let Ok(Some((value, _))) = tx.get(&place.object, key.as_str())
        && counts(&value)
    {
        tx.increment(&place.object, key.as_str(), 1).ok();
    }
}

fn put(tx: &mut Transaction<'_>, place: &Touched) {
    match (&place.key, tx.length(&place.object)) {
        (Some(key), _) => tx.put(&place.object, key.as_str(), "tried").ok(),
        (None, 0) => None,
        (None, length) if tx.object_type(&place.object) == Ok(ObjType::List) => {
            tx.put(&place.object, length - 1, "tried").ok()
        }
        (None, _) => None,
    };
}

fn insert(tx: &mut Transaction<'_>, place: &Touched) {
    let length = tx.length(&place.object);
    match tx.object_type(&place.object) {
        Ok(ObjType::List) => {
            tx.insert(&place.object, length / 2, "tried").ok();
        }
        Ok(ObjType::Text) => {
            tx.splice_text(&place.object, length / 2, 0, "tried").ok();
            tx.splice_text(&place.object, 0, isize::from(length > 0), "t").ok();
        }
        _ => {}
    }
}

fn take_out(tx: &mut Transaction<'_>, place: &Touched) {
    match (&place.key, tx.length(&place.object)) {
        (Some(key), _) => tx.delete(&place.object, key.as_str()).ok(),
        (None, 0) => None,
        (None, length) => tx.delete(&place.object, length / 2).ok(),
    };
}

/// Undoes one of these changes, as its author would.
fn take_back(document: &mut Automerge, change: &Change) -> Result<(), String> {
    let Ok(plan) = undo::plan(document, change, &Facts::default()) else { return Ok(()) };
    let mut tx = document.transaction_log_patches(PatchLog::active()).map_err(|e| e.to_string())?;
    if undo::apply(&mut tx, &plan).is_err() {
        tx.rollback();
        return Ok(());
    }
    let (_, mut log) = tx.commit_with(CommitOptions::default().with_time(TODAY));
    drop(document.make_patches(&mut log));
    Ok(())
}
