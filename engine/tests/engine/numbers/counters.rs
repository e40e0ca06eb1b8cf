//! Counters at the end of 64 bits: honest people go on counting, and all read the same.

use automerge::{ScalarValue, legacy::OpId};
use rejoin::{Action, Error, fence::CheckedChange, store::Core, untrusted::examine};
use serde_json::{Value, json};

use crate::numbers::support::{Hand, act, as_automerge, bring, checked, set};

/// A counter, and what is added to it side by side.
fn story(value: i64, added: &[i64]) -> Vec<CheckedChange> {
    let counter = Hand { value: ScalarValue::counter(value), ..Hand::of(1) };
    let id = OpId(1, counter.actor.clone());
    let first = counter.change();
    let mut changes = vec![checked(&first)];
    for (actor, by) in (2..).zip(added) {
        let hand = Hand { deps: vec![first.hash()], start_op: 2, ..Hand::of(actor) };
        changes.push(checked(&hand.adding(*by, std::slice::from_ref(&id))));
    }
    changes
}

/// What a person reads who gets these in pages of one size, and how many changes were left out.
fn read_by(changes: &[CheckedChange], page: usize) -> (Value, u64) {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let left_out = changes.chunks(page).map(|page| bring(&mut core, id, page.to_vec()).quarantined).sum();
    let seen = core.state(id, "", None).unwrap();
    // And then goes on.
    let past = seen["key"].as_i64().filter(|value| [i64::MIN, i64::MAX].contains(value));
    let by = if seen["key"].as_i64().unwrap() > 0 { -1 } else { 1 };
    if past.is_some() {
        let refused = core.dispatch(&[(id, Action::Increment { path: "/key".into(), by: -by })]).unwrap();
        assert!(
            matches!(refused[0], Err(Error::Action(_))),
            "past the end it is refused in words: {refused:?}"
        );
    }
    let count = Action::Increment { path: "/key".into(), by };
    for (action, undo) in [(count, true), (set("/other", json!(1)), true), (set("/key", json!(1)), false)] {
        match core.dispatch(&[(id, action)]).unwrap().pop().unwrap() {
            Ok(_) => {}
            Err(error) => panic!("{error}"),
        }
        if undo {
            core.undo(id).unwrap().unwrap();
            assert_eq!(core.state(id, "", None).unwrap(), seen);
        }
    }
    assert_eq!(core.state(id, "/key", None).unwrap(), 1);
    act(&mut core, id, Action::Delete { path: "/key".into() });
    core.undo(id).unwrap().unwrap();
    assert!(core.check().unwrap().ok);
    (seen, left_out)
}

#[test]
fn counters_at_the_end_of_64_bits_read_alike_in_every_order_and_count_on() {
    let ends = [i64::MAX, i64::MIN, i64::MAX - 1, 0];
    let steps = [i64::MAX, i64::MIN, 1, -1];
    for value in ends {
        for added in steps.iter().flat_map(|one| steps.iter().map(|other| [*one, *other])) {
            let changes = story(value, &added);
            examine(&as_automerge(&changes)).unwrap();
            let wanted = read_by(&changes, 3);
            assert_eq!(wanted.1, 0, "{value} {added:?}");
            let turned = [changes[0].clone(), changes[2].clone(), changes[1].clone()];
            for page in [1, 2] {
                assert_eq!(read_by(&turned, page), wanted, "{value} {added:?}");
            }
        }
    }
}
