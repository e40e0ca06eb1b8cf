//! What an operation refers to: the rules that the library needs and does not look at.

use automerge::{
    ActorId, Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue,
    legacy::{ElementId, Key, MarkData, ObjectId, Op, OpId, OpType},
    marks::{ExpandMark, Mark},
    transaction::Transactable,
};
use rejoin::untrusted::apply_untrusted;

use crate::hostile::support::{Fate, Parts, Replica, quiet};

/// A text "hello" (operations 2 to 6), a list of one value (8) and a table (9), all by one actor.
fn base() -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![1; 16]));
    let mut tx = document.transaction();
    let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, "hello").unwrap();
    let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
    tx.insert(&list, 0, 1).unwrap();
    tx.put_object(ROOT, "table", ObjType::Table).unwrap();
    tx.commit();
    document
}

fn op(counter: u64) -> OpId {
    OpId(counter, ActorId::from(vec![1; 16]))
}

fn at(object: u64, element: u64, action: OpType) -> Op {
    let key = Key::Seq(ElementId::Id(op(element)));
    Op { action, obj: ObjectId::Id(op(object)), key, pred: Vec::new().into(), insert: false }
}

fn inserted(object: u64, element: u64, action: OpType) -> Op {
    Op { insert: true, ..at(object, element, action) }
}

fn at_key(action: OpType) -> Op {
    Op { action, obj: ObjectId::Root, key: Key::Map("k".into()), pred: Vec::new().into(), insert: false }
}

fn marks(object: u64, from: u64, to: u64) -> Vec<Op> {
    let begin = MarkData { name: "bold".into(), value: true.into(), expand: false };
    vec![inserted(object, from, OpType::MarkBegin(begin)), inserted(object, to, OpType::MarkEnd(false))]
}

fn by_hand(document: &Automerge, operations: Vec<Op>) -> Change {
    let mut other = document.clone().with_actor(ActorId::from(vec![9; 16]));
    let mut tx = other.transaction();
    tx.put(ROOT, "x", 1).unwrap();
    tx.commit();
    let mut change = other.get_last_local_change().unwrap().decode();
    (change.hash, change.operations) = (None, operations);
    Change::from(change)
}

#[test]
fn what_the_library_takes_and_cannot_live_with_is_left_out_by_rule() {
    quiet();
    let put = || OpType::Put(ScalarValue::Str("x".into()));
    let in_table = Op { key: Key::Map("k".into()), ..at(9, 1, put()) };
    for (operations, reason) in [
        (vec![at(1, 3, put())], "replaces nothing"),
        (vec![at(7, 8, put())], "replaces nothing"),
        (marks(7, 8, 8), "marks what is no text"),
        (vec![in_table], "in a table"),
        (marks(1, 4, 2), "ends a mark before its beginning"),
        (marks(1, 4, 4), "ends a mark before its beginning"),
        (marks(1, 2, 5)[..1].to_vec(), "without an end"),
        (vec![at(1, 8, OpType::Delete)], "at an element"),
        (vec![at_key(put()), at_key(put())], "its own change put there"),
    ] {
        let mut document = base();
        let before = document.get_heads();
        let change = by_hand(&document, operations);
        let outcome = apply_untrusted(&mut document, vec![change.clone()], None);
        let why = outcome.quarantined.first().map(|(_, why)| why.to_string()).unwrap_or_default();
        assert!(why.contains(reason), "{reason}: {why} {:?}", change.decode().operations);
        assert_eq!(document.get_heads(), before);
    }
    let mut document = base();
    let honest = by_hand(&document, marks(1, 2, 5));
    assert_eq!(apply_untrusted(&mut document, vec![honest], None).quarantined, []);
}

/// A copy of the document keeps operations and not bytes. What is written in another form is found when it comes, however
/// large the document is, and not when a copy is made.
#[test]
fn a_change_in_another_form_is_left_out_at_once() {
    quiet();
    let plain = Parts::default();
    let with = |kind: u64, data: Vec<u8>| plain.clone().column(kind, data).chunk();
    assert_eq!(Replica::default().push(&plain.chunk()), Fate::Applied);
    for (what, bytes) in [
        ("an unknown column", with(0x21, vec![0x7f, 0x01])),
        ("a run of one as a run", with(0x42, vec![0x01, 0x01])),
        ("an over-long number", with(0x42, vec![0x7f, 0x81, 0x00])),
        ("bytes of no value", with(0x57, vec![0x01])),
        ("null with a length", with(0x56, vec![0x7f, 0x10])),
    ] {
        match Replica::default().push(&bytes) {
            Fate::Quarantined(why) => assert!(why.contains("another form"), "{what}: {why}"),
            Fate::Refused(_) => {}
            other => panic!("{what}: {other:?}"),
        }
    }
}

/// Marks as the library makes them, over what several typed in between each other and deleted.
#[test]
fn honest_marks_are_taken_wherever_they_begin_and_end() {
    quiet();
    let mut documents = [1_u8, 2, 3].map(|n| base().with_actor(ActorId::from(vec![10 + n; 16])));
    let (_, text) = documents[0].get(ROOT, "text").unwrap().unwrap();
    for round in 0..40_usize {
        for (who, document) in documents.iter_mut().enumerate() {
            let length = document.length(&text);
            let mut tx = document.transaction();
            let place = (round * 7 + who * 3) % (length + 1);
            tx.splice_text(&text, place, isize::from(round % 3 == 0 && place < length), "ab☂").unwrap();
            let (from, to) = ((round * 5 + who) % length, (round * 11 + who * 2) % length);
            let expand = [ExpandMark::Both, ExpandMark::None, ExpandMark::After][round % 3];
            let mark = Mark::new("bold".into(), true, from.min(to), from.max(to));
            tx.mark(&text, mark, expand).unwrap();
            tx.commit();
        }
        if round % 4 == 0 {
            let mut other = documents[1].clone();
            documents[0].merge(&mut other).unwrap();
            let mut other = documents[0].clone();
            documents[2].merge(&mut other).unwrap();
        }
    }
    for at in 1..3 {
        let mut other = documents[at].clone();
        documents[0].merge(&mut other).unwrap();
    }
    let mut taken = Automerge::new();
    let outcome = apply_untrusted(&mut taken, documents[0].get_changes(&[]), None);
    assert_eq!(outcome.quarantined, []);
    assert_eq!(taken.text(&text).unwrap(), documents[0].text(&text).unwrap());
}

/// Several at once put something over one letter of a text, and others delete what they see of that.
#[test]
fn what_several_put_over_a_letter_is_taken_in_every_order() {
    quiet();
    let base = base();
    let put = |actor: u8, replaced: Vec<OpId>, on: &[&Change]| {
        let mut document = base.clone();
        document.apply_changes(on.iter().map(|change| (*change).clone())).unwrap();
        let action = if actor < 20 { OpType::Put(ScalarValue::Str("x".into())) } else { OpType::Delete };
        let mut change = by_hand(&document, vec![Op { pred: replaced.into(), ..at(1, 3, action) }]).decode();
        (change.hash, change.actor_id) = (None, ActorId::from(vec![actor; 16]));
        Change::from(change)
    };
    let own = |change: &Change| OpId(change.start_op().get(), change.actor_id().clone());
    let (one, two) = (put(11, vec![op(3)], &[]), put(12, vec![op(3)], &[]));
    let again = put(13, vec![own(&one)], &[&one]);
    let gone = [
        put(21, vec![op(3)], &[]),
        put(22, vec![own(&one)], &[&one]),
        put(23, vec![own(&two)], &[&two]),
        put(24, vec![own(&one), own(&two)], &[&one, &two]),
        put(25, vec![own(&again)], &[&one, &again]),
    ];
    let all: Vec<Change> = [vec![one, two, again], gone.to_vec()].concat();
    let (mut orders, mut read) = (0, None);
    permute(&mut (0..all.len()).collect(), 0, &mut |order: &[usize]| {
        let changes: Vec<Change> = order.iter().map(|at| all[*at].clone()).collect();
        let mut held: Vec<_> = base.get_heads();
        if changes.iter().any(|change| {
            let ready = change.deps().iter().all(|dep| held.contains(dep));
            held.push(change.hash());
            !ready
        }) {
            return;
        }
        orders += 1;
        let mut document = base.clone();
        for change in changes {
            let outcome = apply_untrusted(&mut document, vec![change], None);
            assert_eq!(outcome.quarantined, [], "{order:?}");
        }
        rejoin::untrusted::examine(&document).unwrap();
        let (_, text) = document.get(ROOT, "text").unwrap().unwrap();
        let text = document.text(&text).unwrap();
        assert_eq!(*read.get_or_insert(text.clone()), text);
    });
    assert!(orders > 100);
}

fn permute(order: &mut Vec<usize>, from: usize, each: &mut impl FnMut(&[usize])) {
    if from == order.len() {
        return each(order);
    }
    for at in from..order.len() {
        order.swap(from, at);
        permute(order, from + 1, each);
        order.swap(from, at);
    }
}
