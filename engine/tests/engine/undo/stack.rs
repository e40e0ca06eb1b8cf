//! What is undone next, and that every kind of action can be.

use rejoin::{
    Error,
    store::{Core, Durability},
};
use serde_json::json;

use crate::undo::support::*;

#[test]
fn every_kind_of_action_is_undone_and_redone() {
    let before = vec![
        set("/title", json!("Alps")),
        set("/map", json!({"a": {"b": [1, 2]}, "c": null})),
        add("/n", 5),
        insert("/list/-", json!("x")),
        insert("/list/-", json!({"y": 1})),
        insert("/list/-", json!("z")),
        splice("/text", 0, 0, "hello"),
        set("/int", json!(7)),
    ];
    for action in [
        set("/title", json!("Andes")),
        set("/new/deep", json!(1)),
        set("/map", json!(3)),
        set("/map", json!({"a": 1})),
        set("/map/a/b", json!({})),
        set("/list/0", json!([[]])),
        set("/list/1", json!(5)),
        set("/n", json!(50)),
        set("/int", json!(true)),
        set("", json!({"only": 1})),
        delete("/title"),
        delete("/map"),
        delete("/text"),
        delete("/n"),
        delete("/list"),
        delete("/list/0"),
        delete("/list/1"),
        delete("/list/2"),
        delete("/map/a/b/0"),
        add("/n", -3),
        add("/int", 3),
        add("/other", 3),
        insert("/list/0", json!({"k": [1]})),
        insert("/list/2", json!(null)),
        insert("/made/-", json!(1)),
        splice("/text", 0, 0, "oh, "),
        splice("/text", 5, 0, " there"),
        splice("/text", 1, 3, "ipp"),
        splice("/text", 0, 5, ""),
        splice("/fresh", 0, 0, "new"),
    ] {
        let (mut core, id) = one();
        for action in &before {
            act(&mut core, id, action.clone());
        }
        let old = state(&mut core, id);
        act(&mut core, id, action.clone());
        let new = state(&mut core, id);
        for round in 0..3 {
            let undone = undo(&mut core, id);
            assert_eq!(undone.skipped, 0, "{action:?} {round}");
            let mut read = state(&mut core, id);
            for container in ["new", "other", "made", "fresh"] {
                // A container has a change of its own, and stays.
                if let Some(entries) = read.as_object_mut().filter(|_| old.get(container).is_none()) {
                    entries.remove(container);
                }
            }
            assert_eq!(read, old, "{action:?} {round}");
            assert_eq!(redo(&mut core, id).skipped, 0, "{action:?} {round}");
            assert_eq!(state(&mut core, id), new, "{action:?} {round}");
        }
        assert!(core.check().unwrap().ok);
    }
}

#[test]
fn undo_goes_back_step_by_step_and_redo_forth() {
    let (mut core, id) = one();
    let mut states = vec![state(&mut core, id)];
    for action in [
        set("/x", json!(1)),
        set("/x", json!(2)),
        set("/x", json!({"k": 1})),
        set("/x/k", json!(2)),
        set("/x/l", json!([1, 2, 3])),
        delete("/x/l/1"),
        delete("/x/l/1"),
        delete("/x/l/0"),
        set("/x", json!(9)),
        delete("/x"),
    ] {
        act(&mut core, id, action);
        states.push(state(&mut core, id));
    }
    for _ in 0..3 {
        for want in states.iter().rev().skip(1) {
            assert!(core.can_undo(id).unwrap());
            assert_eq!(undo(&mut core, id).skipped, 0);
            assert_eq!(&state(&mut core, id), want);
        }
        assert!(!core.can_undo(id).unwrap());
        assert_eq!(core.undo(id).unwrap(), None);
        for want in states.iter().skip(1) {
            assert!(core.can_redo(id).unwrap());
            redo(&mut core, id);
            assert_eq!(&state(&mut core, id), want);
        }
        assert!(!core.can_redo(id).unwrap());
        assert_eq!(core.redo(id).unwrap(), None);
    }
}

#[test]
fn characters_deleted_one_by_one_return_in_their_order() {
    for positions in [[0, 0, 0, 0], [3, 2, 1, 0], [1, 1, 0, 0], [2, 0, 1, 0]] {
        let (mut core, id) = one();
        act(&mut core, id, splice("/t", 0, 0, "abcd"));
        for pos in positions {
            act(&mut core, id, splice("/t", pos, 1, ""));
        }
        assert_eq!(core.state(id, "/t", None).unwrap(), "");
        for _ in 0..4 {
            undo(&mut core, id);
        }
        assert_eq!(core.state(id, "/t", None).unwrap(), "abcd", "{positions:?}");
        undo(&mut core, id);
        assert_eq!(core.state(id, "/t", None).unwrap(), "");
        for _ in 0..5 {
            redo(&mut core, id);
        }
        assert_eq!(core.state(id, "/t", None).unwrap(), "");
    }
}

#[test]
fn an_action_after_an_undo_leaves_nothing_to_redo() {
    let (mut core, id) = one();
    for n in 1..=3 {
        act(&mut core, id, set("/x", json!(n)));
    }
    undo(&mut core, id);
    undo(&mut core, id);
    act(&mut core, id, set("/y", json!(1)));
    assert_eq!(core.redo(id).unwrap(), None);
    undo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"x": 1}));
    redo(&mut core, id);
    assert_eq!(core.redo(id).unwrap(), None);
    undo(&mut core, id);
    undo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({}));
    assert_eq!(core.undo(id).unwrap(), None);
}

#[test]
fn an_undo_is_queued_and_shown_like_any_action() {
    let (mut core, id) = one();
    core.set_author(Some("Ada")).unwrap();
    let hash = act(&mut core, id, set("/x", json!(1)));
    let undone = undo(&mut core, id);
    assert_eq!((undone.of, undone.action, undone.action_type.as_deref()), (hash, hash, Some("set")));
    let queue = core.queue(None).unwrap();
    assert_eq!(queue[1].action, Some(json!({"type": "undo", "of": hash.to_string()})));
    let history = core.history(id, None).unwrap();
    assert_eq!(history[1].action_type.as_deref(), Some("undo"));
    assert_eq!((history[1].author.as_deref(), history[1].hash), (Some("Ada"), undone.hash));
    let redone = redo(&mut core, id);
    assert_eq!((redone.of, redone.action, redone.action_type.as_deref()), (undone.hash, hash, Some("set")));
}

#[test]
fn undo_works_after_a_restart_and_in_a_second_process() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, splice("/t", 0, 0, "one"));
    act(&mut core, id, splice("/t", 0, 3, ""));
    undo(&mut core, id);
    let mut second = Core::open(&path, Durability::Full).unwrap();
    undo(&mut second, id);
    assert_eq!(second.state(id, "/t", None).unwrap(), "");
    drop((core, second));
    let mut core = Core::open(&path, Durability::Full).unwrap();
    assert_eq!(core.undo(id).unwrap(), None);
    redo(&mut core, id);
    assert_eq!(core.state(id, "/t", None).unwrap(), "one");
    assert!(core.check().unwrap().ok);
}

#[test]
fn one_change_is_undone_out_of_turn_and_only_once() {
    let (mut core, id) = one();
    let first = act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/b", json!(1)));
    assert!(core.undo_change(id, first).unwrap().is_some());
    assert_eq!(state(&mut core, id), json!({"b": 1}));
    assert_eq!(core.undo_change(id, first).unwrap(), None);
    undo(&mut core, id);
    assert_eq!(core.undo(id).unwrap(), None);
    assert_eq!(state(&mut core, id), json!({}));
}

#[test]
fn what_was_done_again_and_then_undone_by_name_is_not_undone_twice() {
    let (mut core, id) = one();
    act(&mut core, id, set("/a", json!(1)));
    let named = act(&mut core, id, add("/n", 5));
    undo(&mut core, id);
    redo(&mut core, id);
    assert!(core.undo_change(id, named).unwrap().is_some());
    assert_eq!(undo(&mut core, id).action_type.as_deref(), Some("set"));
    assert_eq!(state(&mut core, id), json!({"n": 0}));
    assert!(!core.can_undo(id).unwrap());
    redo(&mut core, id);
    redo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"a": 1, "n": 5}));
}

#[test]
fn what_another_copy_of_the_store_undid_is_not_undone_again() {
    let dir = tempfile::tempdir().unwrap();
    let (path, put_back) = (dir.path().join("a.db"), dir.path().join("b.db"));
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, add("/n", 5));
    core.backup(&put_back).unwrap();
    undo(&mut core, id);
    let mut earlier = Core::open(&put_back, Durability::Full).unwrap();
    hand_over(&mut core, &mut earlier, id);
    assert_eq!(undo(&mut earlier, id).action_type.as_deref(), Some("set"));
    assert_eq!(state(&mut earlier, id), json!({"n": 0}));
    assert!(!earlier.can_undo(id).unwrap());
}

#[test]
fn an_undo_never_brings_back_what_was_undone_before() {
    let (mut core, id) = one();
    act(&mut core, id, set("/a", json!(0)));
    let first = act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/a", json!(2)));
    let nothing = core.undo_change(id, first).unwrap().unwrap();
    assert_eq!((nothing.undone, nothing.skipped), (0, 1));
    assert_eq!(state(&mut core, id), json!({"a": 2}));
    undo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"a": 0}));
}

#[test]
fn another_replicas_change_is_refused() {
    let (mut a, mut b, id) = two(vec![set("/a", json!(1))]);
    let theirs = act(&mut a, id, set("/b", json!(1)));
    hand_over(&mut a, &mut b, id);
    assert!(matches!(b.undo_change(id, theirs), Err(Error::NotOwn(_))));
    assert!(matches!(b.undo_change(id, rejoin::ChangeHash([7; 32])), Err(Error::UnknownChange(_))));
    assert_eq!(b.undo(id).unwrap(), None);
}

#[test]
fn a_dropped_action_leaves_the_others_to_undo() {
    let (mut core, id) = one();
    act(&mut core, id, splice("/t", 0, 0, "abc"));
    act(&mut core, id, set("/gone", json!(1)));
    act(&mut core, id, splice("/t", 0, 3, ""));
    undo(&mut core, id);
    let dropped = core.queue(None).unwrap()[1].change_hash.to_string();
    core.drop_queued(&dropped).unwrap();
    assert_eq!(state(&mut core, id), json!({"t": "abc"}));
    undo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"t": ""}));
    assert_eq!(core.undo(id).unwrap(), None);
    redo(&mut core, id);
    redo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"t": ""}));
    let undo_row = core.queue(None).unwrap().last().unwrap().change_hash.to_string();
    core.drop_queued(&undo_row).unwrap();
    assert_eq!(state(&mut core, id), json!({"t": "abc"}));
    assert!(core.check().unwrap().ok);
}

#[test]
fn a_large_paste_is_undone_in_one_splice_and_in_time() {
    let (mut core, id) = one();
    act(&mut core, id, splice("/t", 0, 0, "before after"));
    act(&mut core, id, splice("/t", 7, 0, &"paste ".repeat(2_000)));
    let started = std::time::Instant::now();
    undo(&mut core, id);
    redo(&mut core, id);
    undo(&mut core, id);
    println!("12,000 characters: undone, redone, undone in {:?}", started.elapsed());
    assert_eq!(core.state(id, "/t", None).unwrap(), "before after");
    let message = core.history(id, None).unwrap().len();
    assert_eq!(message, 5);
}

#[test]
fn undo_in_a_long_document_takes_no_longer_than_a_person_waits() {
    let (mut core, id) = one();
    let typed: Vec<_> = (0..20_000).map(|n| (id, splice("/t", n * 5, 0, "words"))).collect();
    for group in typed.chunks(1_000) {
        core.dispatch(group).unwrap();
    }
    let mut took = Vec::new();
    for _ in 0..3 {
        for timed in [Core::undo, Core::undo, Core::redo, Core::undo] {
            let (done, time) = crate::cpu::taken(|| timed(&mut core, id));
            done.unwrap().unwrap();
            took.push(time);
        }
    }
    took.sort();
    println!("100,000 characters, 20,000 changes: {:?} in the middle, {:?} at most", took[6], took[11]);
    assert!(took[6] < std::time::Duration::from_millis(500));
}
