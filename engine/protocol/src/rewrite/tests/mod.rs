//! Rewriting, on documents of the library.

mod claims;
mod limits;
mod properties;
mod spellings;

use super::*;
use crate::{Message, state};
use automerge::{
    ActorId, Automerge, Change, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::{CommitOptions, Transactable},
};
use proptest::prelude::*;
use serde_json::{Value, json};

fn doc(actor: &[u8]) -> Automerge {
    Automerge::new().with_actor(ActorId::from(actor.to_vec()))
}

/// A copy under the same actor, as a cloned store is.
fn copy(original: &Automerge, actor: &[u8]) -> Automerge {
    let mut copy = original.fork();
    copy.set_actor(ActorId::from(actor.to_vec()));
    copy
}

fn build(changes: &[Change]) -> Automerge {
    let mut doc = doc(b"nobody");
    doc.apply_changes(changes.to_vec()).unwrap();
    assert!(doc.get_missing_deps(&[]).is_empty());
    doc
}

fn changes(rewritten: &[Rewritten]) -> Vec<Change> {
    rewritten
        .iter()
        .map(|r| {
            let change = Change::try_from(&r.bytes[..]).unwrap();
            assert_eq!(change.hash(), r.hash);
            change
        })
        .collect()
}

fn json_of(doc: &Automerge) -> Value {
    state::to_json(doc, "", None).unwrap()
}

fn loads(doc: &Automerge) {
    let loaded = Automerge::load(&doc.save()).unwrap();
    assert_eq!(loaded.get_heads(), doc.get_heads());
    assert_eq!(json_of(&loaded), json_of(doc));
}

/// What of `held` is affected when these lose, and what is not.
fn split(held: &[Change], losers: &HashSet<ChangeHash>) -> (Vec<Change>, Vec<Change>) {
    let found: HashSet<_> =
        descendants(losers, held.iter().map(|c| (c.hash(), c.deps()))).into_iter().collect();
    held.iter().cloned().partition(|change| found.contains(&change.hash()))
}

fn put(doc: &mut Automerge, key: &str, value: i64) -> Change {
    let mut tx = doc.transaction();
    tx.put(ROOT, key, value).unwrap();
    tx.commit_with(CommitOptions::default().with_message(Message::of_action("set").encode()).with_time(7));
    doc.get_last_local_change().unwrap()
}

/// One of everything, by actor `a`.
fn base() -> Automerge {
    let mut doc = doc(b"aaaaaaaaaaaaaaaa");
    let mut tx = doc.transaction();
    tx.put_object(ROOT, "map", ObjType::Map).unwrap();
    let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
    tx.insert(&list, 0, ScalarValue::counter(0)).unwrap();
    tx.insert(&list, 1, "end").unwrap();
    let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, "[]").unwrap();
    tx.put(ROOT, "counter", ScalarValue::counter(0)).unwrap();
    tx.commit();
    doc
}

fn at(doc: &impl ReadDoc, key: &str) -> ObjId {
    doc.get(ROOT, key).unwrap().unwrap().1
}

const A: &[u8] = b"aaaaaaaaaaaaaaaa";
