//! Histories to be spoilt: honest ones with everything in them, made here.

use automerge::{
    ActorId, Automerge, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::{CommitOptions, Transactable},
};
use rand::{RngExt, rngs::StdRng};

/// Replicas that edit everything there is, and merge now and then: all their changes, dependencies first.
pub fn honest(rng: &mut StdRng, replicas: usize, edits: usize) -> Vec<Vec<u8>> {
    let actor = |number: usize| ActorId::from(vec![number as u8 + 1; 16]);
    let mut documents: Vec<Automerge> =
        (0..replicas).map(|number| Automerge::new().with_actor(actor(number))).collect();
    for _ in 0..edits {
        let at = rng.random_range(0..replicas);
        let mut document = documents.swap_remove(at);
        if rng.random_ratio(1, 5) && !documents.is_empty() {
            let mut other = documents[rng.random_range(0..documents.len())].clone();
            document.merge(&mut other).expect("honest documents merge");
        }
        edit(&mut document, rng);
        documents.push(document);
    }
    let mut whole = documents.pop().expect("there is one");
    documents.iter_mut().for_each(|other| drop(whole.merge(other).expect("honest documents merge")));
    edit(&mut whole, rng);
    whole.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect()
}

fn edit(document: &mut Automerge, rng: &mut StdRng) {
    let objects = objects(document);
    let mut tx = document.transaction();
    for _ in 0..rng.random_range(1..6) {
        let (object, kind) = &objects[rng.random_range(0..objects.len())];
        // Some of these fail, on an object that is gone or a place that is no counter: that is honest too.
        match kind {
            ObjType::Map | ObjType::Table => edit_map(&mut tx, object, rng),
            ObjType::List => edit_list(&mut tx, object, rng),
            ObjType::Text => edit_text(&mut tx, object, rng),
        }
    }
    // A change with nothing in it would be none.
    let _ = tx.put(ROOT, "n", rng.random::<u32>());
    tx.commit_with(CommitOptions::default().with_time(rng.random_range(0..1_000_000_000)));
}

fn objects(document: &Automerge) -> Vec<(ObjId, ObjType)> {
    let mut found = vec![(ROOT, ObjType::Map)];
    let mut at = 0;
    while at < found.len() {
        let (object, kind) = found[at].clone();
        let values: Vec<_> = match kind {
            ObjType::Map => document.map_range(&object, ..).map(|item| (item.id(), item.value)).collect(),
            ObjType::List => document.list_range(&object, ..).map(|item| (item.id(), item.value)).collect(),
            _ => vec![],
        };
        found.extend(values.into_iter().filter_map(|(id, value)| match value {
            automerge::ValueRef::Object(kind) => Some((id, kind)),
            automerge::ValueRef::Scalar(_) => None,
        }));
        at += 1;
    }
    found
}

fn scalar(rng: &mut StdRng) -> ScalarValue {
    match rng.random_range(0..7) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(rng.random()),
        2 => ScalarValue::Int(rng.random()),
        3 => ScalarValue::F64(rng.random()),
        4 => ScalarValue::counter(rng.random_range(-100..100)),
        5 => ScalarValue::Bytes(vec![rng.random(); rng.random_range(0..40)]),
        _ => ScalarValue::Str("ab☂".repeat(rng.random_range(0..9)).into()),
    }
}

const KINDS: [ObjType; 3] = [ObjType::Map, ObjType::List, ObjType::Text];

fn edit_map<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let key = ["a", "b", "c", "a longer key", "ü"][rng.random_range(0..5)];
    match rng.random_range(0..6) {
        0 => drop(tx.put_object(object, key, KINDS[rng.random_range(0..3)])),
        1 => drop(tx.delete(object, key)),
        2 => drop(tx.increment(object, key, rng.random_range(-5..5))),
        _ => drop(tx.put(object, key, scalar(rng))),
    }
}

fn edit_list<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let at = rng.random_range(0..=tx.length(object));
    match rng.random_range(0..6) {
        0 => drop(tx.insert_object(object, at, KINDS[rng.random_range(0..3)])),
        1 => drop(tx.delete(object, at)),
        2 => drop(tx.increment(object, at, 1)),
        3 => drop(tx.put(object, at, scalar(rng))),
        _ => drop(tx.insert(object, at, scalar(rng))),
    }
}

fn edit_text<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let length = tx.length(object);
    let at = rng.random_range(0..=length);
    if length > 3 && rng.random_ratio(1, 4) {
        let mark = Mark::new(["bold", "link"][rng.random_range(0..2)].to_owned(), true, 0, 2);
        return drop(tx.mark(object, mark, ExpandMark::Both));
    }
    let deleted = rng.random_range(0..3).min(length - at) as isize;
    drop(tx.splice_text(object, at, deleted, &"héllo ☂ ".repeat(rng.random_range(0..4))));
}
