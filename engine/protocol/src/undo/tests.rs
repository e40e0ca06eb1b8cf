//! Tests of planning an undo.

use automerge::{
    Automerge, Change, ObjType, ROOT, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::{Transactable, Transaction},
};

use super::*;

/// Makes a change, and gives it.
fn change(am: &mut Automerge, work: impl FnOnce(&mut Transaction<'_>)) -> Change {
    let mut tx = am.transaction();
    work(&mut tx);
    tx.commit();
    am.get_last_local_change().unwrap()
}

/// Undoes a change, and gives the undo, and at how many places it did something and did not.
fn take_back(am: &mut Automerge, target: &Change, facts: &mut Facts) -> (Change, (u64, u64)) {
    let plan = plan(am, target, facts).unwrap();
    let mut written = Vec::new();
    let undo = change(am, |tx| written = apply(tx, &plan).unwrap());
    for (at, old) in written {
        facts.standing.note(OpId(undo.start_op().get() + at, undo.actor_id().clone()), &old);
    }
    (undo, (plan.undone, plan.skipped))
}

fn bold(start: usize, end: usize) -> Mark {
    Mark::new("bold".into(), true, start, end)
}

fn marks(am: &Automerge, text: &automerge::ObjId) -> Vec<(usize, usize, ScalarValue)> {
    am.marks(text).unwrap().into_iter().map(|m| (m.start, m.end, m.value)).collect()
}

#[test]
fn marks_are_taken_back_where_they_still_read() {
    let mut am = Automerge::new();
    let mut text = ROOT;
    change(&mut am, |tx| {
        text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "hello there").unwrap();
        tx.mark(&text, bold(0, 2), ExpandMark::None).unwrap();
    });
    let marked = change(&mut am, |tx| tx.mark(&text, bold(0, 8), ExpandMark::None).unwrap());
    change(&mut am, |tx| {
        tx.splice_text(&text, 3, 0, "XX").unwrap();
        tx.unmark(&text, "bold", 6, 8, ExpandMark::None).unwrap();
    });
    let was = marks(&am, &text);
    let mut facts = Facts::default();
    let (undo, counts) = take_back(&mut am, &marked, &mut facts);
    assert_eq!(counts, (1, 1), "some of it was unmarked since");
    let read = marks(&am, &text);
    assert!(read.iter().any(|(start, end, _)| (*start, *end) == (0, 2)), "{read:?}");
    assert!(read.iter().all(|(_, end, value)| *end <= 5 || *value == ScalarValue::Null), "{read:?}");
    take_back(&mut am, &undo, &mut facts);
    assert_eq!(marks(&am, &text).len(), was.len(), "{:?}", marks(&am, &text));
}

#[test]
fn a_deleted_text_returns_with_its_marks_and_blocks() {
    let mut am = Automerge::new();
    let mut text = ROOT;
    change(&mut am, |tx| {
        text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "hello there").unwrap();
        let block = tx.split_block(&text, 5).unwrap();
        tx.put(&block, "type", "heading").unwrap();
        tx.mark(&text, bold(1, 3), ExpandMark::None).unwrap();
    });
    let (was, read) = (marks(&am, &text), am.text(&text).unwrap());
    let deleted = change(&mut am, |tx| tx.delete(ROOT, "t").unwrap());
    assert_eq!(take_back(&mut am, &deleted, &mut Facts::default()).1, (1, 0));
    let (_, back) = am.get(ROOT, "t").unwrap().unwrap();
    assert_eq!((marks(&am, &back), am.text(&back).unwrap()), (was, read));
    let (_, block) = am.get(&back, 5).unwrap().unwrap();
    assert_eq!(am.get(&block, "type").unwrap().unwrap().0.as_str(), Some("heading"));
}

#[test]
fn characters_of_several_code_points_are_taken_back_whole() {
    let mut am = Automerge::new();
    let mut text = ROOT;
    change(&mut am, |tx| {
        text = tx.put_object(ROOT, "t", ObjType::Text).unwrap();
        // As another program writes them: one element, several code points.
        tx.insert(&text, 0, "👨‍👩‍👧").unwrap();
        tx.splice_text(&text, 5, 0, "end").unwrap();
    });
    let typed = change(&mut am, |tx| tx.splice_text(&text, 6, 0, "--").unwrap());
    let deleted = change(&mut am, |tx| tx.splice_text(&text, 0, 5, "").unwrap());
    assert_eq!(am.text(&text).unwrap(), "e--nd");
    let mut facts = Facts::default();
    let (undo, counts) = take_back(&mut am, &deleted, &mut facts);
    assert_eq!((am.text(&text).unwrap().as_str(), counts), ("👨‍👩‍👧e--nd", (1, 0)));
    assert_eq!(take_back(&mut am, &typed, &mut facts).1, (1, 0));
    assert_eq!(am.text(&text).unwrap(), "👨‍👩‍👧end");
    take_back(&mut am, &undo, &mut facts);
    assert_eq!(am.text(&text).unwrap(), "end");
}

#[test]
fn what_stands_for_what_survives_the_message() {
    let mut map = RestoredMap::new();
    let runs = vec![Restored { at: 0, len: 3, from: 7 }, Restored { at: 9, len: 1, from: 0 }];
    map.insert("ab".repeat(32), runs);
    assert_eq!(decode_restored(&restored_json(&map).unwrap()), map);
    assert_eq!(restored_json(&RestoredMap::new()), None);
    for bad in [r#"{"x":[1]}"#, r#"{"x":[1,2]}"#, r#"{"x":[-1,2,3]}"#, r#"{"x":7}"#, "[]", "7", "null"] {
        let read = decode_restored(&serde_json::from_str(bad).unwrap());
        assert!(read.values().flatten().next().is_none(), "{bad}");
    }
}
