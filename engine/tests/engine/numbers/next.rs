use automerge::{Automerge, ObjType, ROOT, transaction::Transactable};
use rejoin::untrusted::examine;

use crate::numbers::support::Hand;

/// Documents of honest people: whatever is tried with them works.
#[test]
fn an_honest_document_of_every_kind_of_place_is_found_good_to_go_on_with() {
    let mut document = Automerge::new();
    for round in 0..20 {
        let mut tx = document.transaction();
        let map = tx.put_object(ROOT, format!("map{round}"), ObjType::Map).unwrap();
        tx.put(&map, "counter", automerge::ScalarValue::counter(i64::MAX - round)).unwrap();
        let list = tx.put_object(&map, "list", ObjType::List).unwrap();
        for at in 0..5 {
            tx.insert(&list, at, round).unwrap();
        }
        let text = tx.put_object(&map, "text", ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "wörds 👍").unwrap();
        tx.put(ROOT, "gone", round).unwrap();
        tx.delete(ROOT, "gone").unwrap();
        tx.commit();
    }
    let before = document.save();
    examine(&document).unwrap();
    assert_eq!(document.save(), before, "it was done on a copy");
}

/// What the library panics on in the next commit: the fence does not let such a time in, and what a document holds
/// already is found all the same.
#[test]
fn a_change_after_which_no_commit_works_is_found_before_the_next_one() {
    let time = 1_795_000_000;
    let first = Hand { time, ..Hand::of(1) }.change();
    let deps = vec![first.hash()];
    let hostile = Hand { time: time - i64::MAX, deps, start_op: 2, ..Hand::of(2) }.change();
    let mut document = Automerge::new();
    document.apply_changes([first]).unwrap();
    document.apply_changes([hostile]).unwrap();
    let why = examine(&document).unwrap_err();
    assert!(why.contains("nobody can go on"), "{why}");
}

/// No assertion: the machine is shared. What trying adds to a page of 1,000 honest changes.
#[test]
fn trying_what_comes_next_is_done_once_for_a_page() {
    let mut document = Automerge::new();
    for round in 0..1_000 {
        let mut tx = document.transaction();
        tx.put(ROOT, format!("key{}", round % 50), round).unwrap();
        tx.commit();
    }
    let timed = |work: &dyn Fn()| {
        let started = std::time::Instant::now();
        (0..5).for_each(|_| work());
        started.elapsed() / 5
    };
    let whole = timed(&|| examine(&document).unwrap());
    let next = timed(&|| rejoin::untrusted::examine_next(&document).unwrap());
    println!("examining 1,000 changes: {whole:?}, of which trying what comes next: {next:?}");
}
