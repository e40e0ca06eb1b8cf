//! Undo where others wrote in between: only what still wins is undone, and nothing of theirs is.

use rejoin::Action;
use serde_json::{Value, json};

use crate::undo::support::*;

/// What is there after both acted apart, met, the first undid its action, and both met again.
fn undo_beside(before: Vec<Action>, mine: Action, theirs: Vec<Action>) -> Value {
    let mut after = None;
    // Before the two meet, and after.
    for late in [false, true] {
        let (mut a, mut b, id) = two(before.clone());
        act(&mut a, id, mine.clone());
        for action in &theirs {
            act(&mut b, id, action.clone());
        }
        let met = if late { Some(sync(&mut a, &mut b, id)) } else { None };
        undo(&mut a, id);
        let undone = sync(&mut a, &mut b, id);
        redo(&mut a, id);
        let redone = sync(&mut a, &mut b, id);
        if let Some(met) = met {
            assert_eq!(redone, met, "redone is as before");
            after = Some(undone);
        }
    }
    after.unwrap()
}

/// What the other alone would see.
fn alone(before: Vec<Action>, theirs: Vec<Action>) -> Value {
    let (mut core, id) = one();
    for action in before.into_iter().chain(theirs) {
        act(&mut core, id, action);
    }
    state(&mut core, id)
}

#[test]
fn what_others_write_elsewhere_stays() {
    let before = vec![
        set("/map", json!({"a": 1})),
        insert("/list/-", json!("x")),
        insert("/list/-", json!("y")),
        splice("/t", 0, 0, "hello"),
        add("/n", 1),
    ];
    let theirs = vec![
        set("/map/b", json!(2)),
        insert("/list/1", json!("theirs")),
        splice("/t", 5, 0, " you"),
        add("/n", 10),
    ];
    for mine in [
        set("/map/a", json!(5)),
        delete("/map/a"),
        insert("/list/0", json!("mine")),
        delete("/list/0"),
        set("/list/0", json!("mine")),
        splice("/t", 0, 1, "J"),
        splice("/t", 2, 2, ""),
        splice("/t", 5, 0, " me"),
        add("/n", 100),
    ] {
        let read = undo_beside(before.clone(), mine.clone(), theirs.clone());
        assert_eq!(read, alone(before.clone(), theirs.clone()), "{mine:?}");
    }
}

#[test]
fn text_typed_into_a_paste_stays_when_the_paste_is_undone() {
    let (mut a, mut b, id) = two(vec![splice("/t", 0, 0, "[]")]);
    act(&mut a, id, splice("/t", 1, 0, "pasted"));
    sync(&mut a, &mut b, id);
    act(&mut b, id, splice("/t", 4, 0, "THEIRS"));
    sync(&mut a, &mut b, id);
    let undone = undo(&mut a, id);
    assert_eq!((undone.undone, undone.skipped), (1, 0));
    assert_eq!(sync(&mut a, &mut b, id), json!({"t": "[THEIRS]"}));
    redo(&mut a, id);
    assert_eq!(sync(&mut a, &mut b, id), json!({"t": "[pasTHEIRSted]"}));
    undo(&mut a, id);
    assert_eq!(sync(&mut a, &mut b, id), json!({"t": "[THEIRS]"}));
}

#[test]
fn what_was_written_over_is_left_and_the_caller_is_told() {
    let (mut a, mut b, id) = two(vec![set("/x", json!(0)), set("/y", json!(0))]);
    act(&mut a, id, set("", json!({"x": 1, "y": 1})));
    sync(&mut a, &mut b, id);
    act(&mut b, id, set("/x", json!(2)));
    sync(&mut a, &mut b, id);
    let undone = undo(&mut a, id);
    assert_eq!((undone.undone, undone.skipped), (1, 1));
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 2, "y": 0}));
    assert_eq!(redo(&mut a, id).skipped, 0);
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 2, "y": 1}));
    // Nothing is left of the first two to undo, and still the one before comes next.
    act(&mut b, id, set("/y", json!(2)));
    sync(&mut a, &mut b, id);
    let nothing = undo(&mut a, id);
    assert_eq!((nothing.undone, nothing.skipped), (0, 1));
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 2, "y": 2}));
    assert_eq!(undo(&mut a, id).action_type.as_deref(), Some("set"));
}

#[test]
fn of_concurrent_writes_the_others_comes_forward() {
    for (mine, theirs) in [(json!(1), json!(2)), (json!({"a": 1}), json!([2]))] {
        let read = undo_beside(vec![], set("/x", mine.clone()), vec![set("/x", theirs.clone())]);
        assert_eq!(read, json!({"x": theirs}));
        let read =
            undo_beside(vec![set("/x", json!(0))], set("/x", mine.clone()), vec![set("/x", theirs.clone())]);
        assert_eq!(read, json!({"x": theirs}));
    }
}

#[test]
fn what_others_deleted_too_stays_deleted() {
    let before = vec![set("/x", json!(1)), insert("/l/-", json!("a")), insert("/l/-", json!("b"))];
    assert_eq!(undo_beside(before.clone(), delete("/x"), vec![delete("/x")]), json!({"l": ["a", "b"]}));
    assert_eq!(
        undo_beside(before.clone(), delete("/l/0"), vec![delete("/l/0")]),
        json!({"l": ["b"], "x": 1})
    );
    // And what they deleted while it was written over.
    assert_eq!(
        undo_beside(before.clone(), set("/x", json!(2)), vec![delete("/x")]),
        json!({"l": ["a", "b"]})
    );
    assert_eq!(
        undo_beside(before, set("/l/0", json!("c")), vec![delete("/l/0")]),
        json!({"l": ["b"], "x": 1})
    );
}

#[test]
fn what_others_put_where_it_was_deleted_stays() {
    let before = vec![set("/x", json!(1)), insert("/l/-", json!("a"))];
    assert_eq!(undo_beside(before.clone(), delete("/x"), vec![set("/x", json!(2))])["x"], 2);
    assert_eq!(undo_beside(before, delete("/l/0"), vec![set("/l/0", json!("b"))])["l"], json!(["b"]));
}

#[test]
fn an_object_returns_with_what_others_wrote_into_it() {
    let before = vec![set("/m", json!({"a": 1, "l": [1, 2]})), add("/k/n", 5), splice("/k/t", 0, 0, "text")];
    let theirs = vec![set("/m/b", json!(2)), delete("/m/l/0"), add("/k/n", 10), splice("/k/t", 4, 0, "ed")];
    for mine in [delete("/m"), delete("/k"), set("/m", json!(1)), set("/k", json!([]))] {
        let read = undo_beside(before.clone(), mine.clone(), theirs.clone());
        assert_eq!(read, alone(before.clone(), theirs.clone()), "{mine:?}");
    }
}

#[test]
fn an_object_made_here_stays_with_what_others_wrote_into_it() {
    let (mut a, mut b, id) = two(vec![insert("/l/-", json!(0))]);
    act(&mut a, id, insert("/l/-", json!({"mine": {"deep": 1}, "n": [1]})));
    sync(&mut a, &mut b, id);
    act(&mut b, id, set("/l/1/theirs", json!(2)));
    act(&mut b, id, insert("/l/1/n/-", json!("theirs")));
    sync(&mut a, &mut b, id);
    assert!(undo(&mut a, id).skipped > 0);
    assert_eq!(sync(&mut a, &mut b, id), json!({"l": [0, {"theirs": 2, "n": ["theirs"]}]}));
    redo(&mut a, id);
    let redone = sync(&mut a, &mut b, id);
    assert_eq!(redone, json!({"l": [0, {"mine": {"deep": 1}, "theirs": 2, "n": [1, "theirs"]}]}));
}

#[test]
fn increments_of_others_stay() {
    let (mut a, mut b, id) = two(vec![set("/n", json!(3))]);
    act(&mut a, id, add("/n", 4));
    sync(&mut a, &mut b, id);
    act(&mut b, id, add("/n", 100));
    sync(&mut a, &mut b, id);
    // The counter took an integer's place: the integer cannot hold what was added since.
    let undone = undo(&mut a, id);
    assert_eq!((undone.undone, undone.skipped), (0, 1));
    act(&mut a, id, add("/n", 7));
    act(&mut b, id, delete("/n"));
    act(&mut b, id, set("/n", json!("gone")));
    sync(&mut a, &mut b, id);
    let undone = undo(&mut a, id);
    assert_eq!((undone.undone, undone.skipped), (0, 1));
    // A counter that was deleted returns with what others added meanwhile.
    let read = undo_beside(vec![add("/c", 1)], delete("/c"), vec![add("/c", 10)]);
    assert_eq!(read, json!({"c": 11}));
}

#[test]
fn an_undo_is_found_again_through_the_others_undo() {
    let (mut a, mut b, id) = two(vec![set("/x", json!(0))]);
    act(&mut a, id, set("/x", json!(1)));
    act(&mut a, id, splice("/t", 0, 0, "mine"));
    sync(&mut a, &mut b, id);
    act(&mut b, id, set("/x", json!(2)));
    act(&mut b, id, splice("/t", 0, 4, ""));
    sync(&mut a, &mut b, id);
    undo(&mut b, id);
    undo(&mut b, id);
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 1, "t": "mine"}));
    // What stands there now is the other's operation, and stands for the own one.
    assert_eq!(undo(&mut a, id).skipped, 0);
    assert_eq!(undo(&mut a, id).skipped, 0);
    assert_eq!(sync(&mut a, &mut b, id), json!({"x": 0, "t": ""}));
}

#[test]
fn undo_finds_its_actions_after_they_were_written_again_after_a_fork() {
    let (mut a, mut b, id) = two(vec![splice("/t", 0, 0, "base"), set("/x", json!(0))]);
    // The second store is a copy of the first: both write under one actor.
    b.take_fresh_actor(a.actor().clone()).unwrap();
    for (core, name) in [(&mut a, "a"), (&mut b, "b")] {
        act(core, id, set(&format!("/{name}"), json!(1)));
        act(core, id, splice("/t", 4, 0, name));
        act(core, id, splice("/t", 4, 1, ""));
        undo(core, id);
        act(core, id, set("/x", json!(name)));
    }
    let (before_a, before_b) = (state(&mut a, id), state(&mut b, id));
    assert_eq!((&before_a["t"], &before_b["t"]), (&json!("basea"), &json!("baseb")));
    // The first one's are in the log: the second writes its own again.
    hand_over(&mut a, &mut b, id);
    hand_over(&mut b, &mut a, id);
    let read = state(&mut a, id);
    assert_eq!(read, state(&mut b, id));
    assert_eq!((&read["a"], &read["b"]), (&json!(1), &json!(1)));
    // Only its own are undone: what the other store did under the same actor is the other's.
    let mut left = 0;
    while b.undo(id).unwrap().is_some() {
        left += 1;
        assert!(left < 20);
    }
    assert_eq!(left, 4 - 1);
    let read = sync(&mut a, &mut b, id);
    assert_eq!(read, json!({"a": 1, "t": "basea", "x": "a"}));
    for _ in 0..left {
        assert!(b.redo(id).unwrap().is_some());
    }
    assert_eq!(sync(&mut a, &mut b, id)["b"], 1);
}
