//! Revert: anybody's change is taken back by a new action. Reset: a document reads as it did.

use proptest::prelude::*;
use rejoin::{Error, UndoKind, store::Core};
use serde_json::json;

use crate::undo::random::{Step, fit, step};
use crate::undo::support::*;

#[test]
fn revert_takes_back_anybodys_change_by_an_action_that_can_be_undone() {
    let before = vec![
        set("/title", json!("Alps")),
        insert("/list/-", json!("tent")),
        splice("/note", 0, 0, "We leave at nine"),
        add("/nights", 3),
    ];
    for theirs in [
        set("/title", json!("Andes")),
        set("/new", json!({"a": [1]})),
        delete("/title"),
        insert("/list/0", json!("map")),
        delete("/list/0"),
        splice("/note", 12, 4, "ten"),
        add("/nights", 2),
    ] {
        let (mut a, mut b, id) = two(before.clone());
        let was = state(&mut a, id);
        let hash = act(&mut b, id, theirs.clone());
        let done = sync(&mut a, &mut b, id);
        assert!(matches!(a.undo_change(id, hash), Err(Error::NotOwn(_))));
        let reverted = a.revert(id, hash).unwrap().unwrap();
        assert_eq!((reverted.kind, reverted.of, reverted.skipped), (UndoKind::Revert, hash, 0), "{theirs:?}");
        assert!(reverted.undone > 0);
        assert_eq!(a.queue(Some(id)).unwrap().last().unwrap().action_type.as_deref(), Some("revert"));
        assert_eq!(sync(&mut a, &mut b, id), was, "{theirs:?}");
        assert_eq!(a.revert(id, hash).unwrap(), None, "it is taken back already");
        assert_eq!(b.revert(id, hash).unwrap(), None, "it is taken back already");
        undo(&mut a, id);
        assert_eq!(sync(&mut a, &mut b, id), done, "{theirs:?}");
        redo(&mut a, id);
        assert_eq!(sync(&mut a, &mut b, id), was, "{theirs:?}");
        // The one whose change it is takes the revert back.
        b.revert(id, a.history(id, Some(1)).unwrap()[0].hash).unwrap().unwrap();
        assert_eq!(sync(&mut a, &mut b, id), done, "{theirs:?}");
    }
}

#[test]
fn revert_leaves_what_others_built_on_the_change_and_says_where() {
    let (mut a, mut b, id) = two(vec![]);
    let hash = act(&mut b, id, set("", json!({"title": "Andes", "people": {"ben": 1}, "n": 1})));
    sync(&mut a, &mut b, id);
    act(&mut a, id, set("/title", json!("Alps")));
    act(&mut a, id, set("/people/ada", json!(2)));
    sync(&mut a, &mut b, id);
    let reverted = a.revert(id, hash).unwrap().unwrap();
    assert_eq!(reverted.left, ["/title", "/people"]);
    assert_eq!(sync(&mut a, &mut b, id), json!({"title": "Alps", "people": {"ada": 2}}));
}

#[test]
fn revert_resurrects_nothing_that_others_took_away_meanwhile_whichever_came_first() {
    for early in [false, true] {
        let (mut a, mut b, id) = two(vec![splice("/note", 0, 0, "abcdef"), set("/x", json!(1))]);
        let hash = act(&mut b, id, splice("/note", 1, 4, ""));
        let gone = act(&mut b, id, delete("/x"));
        if early {
            act(&mut a, id, splice("/note", 2, 1, ""));
            act(&mut a, id, delete("/x"));
            sync(&mut a, &mut b, id);
        } else {
            // Here the other's deletion is held before what it is beside of.
            act(&mut a, id, splice("/note", 2, 1, ""));
            act(&mut a, id, delete("/x"));
            hand_over(&mut b, &mut a, id);
            hand_over(&mut a, &mut b, id);
        }
        a.revert(id, hash).unwrap().unwrap();
        let waiting = a.queue(Some(id)).unwrap().len();
        assert_eq!(a.revert(id, gone).unwrap(), None, "nothing of it is left");
        assert_eq!(a.queue(Some(id)).unwrap().len(), waiting, "a revert of nothing is no change");
        assert_eq!(sync(&mut a, &mut b, id), json!({"note": "abdef"}));
    }
}

#[test]
fn a_reverted_action_is_passed_by_by_undo_and_the_revert_is_undone_like_any_action() {
    let (mut core, id) = one();
    let first = act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/b", json!(2)));
    core.revert(id, first).unwrap().unwrap();
    assert_eq!(state(&mut core, id), json!({"b": 2}));
    assert_eq!(undo(&mut core, id).action_type.as_deref(), Some("revert"));
    assert_eq!(state(&mut core, id), json!({"a": 1, "b": 2}));
    redo(&mut core, id);
    // The revert again, then what is before it: the action that it took back is not undone twice.
    undo(&mut core, id);
    redo(&mut core, id);
    assert_eq!(state(&mut core, id), json!({"b": 2}));
    core.undo(id).unwrap().unwrap();
    core.undo(id).unwrap().unwrap();
    core.undo(id).unwrap().unwrap();
    assert_eq!(core.undo(id).unwrap(), None);
    assert_eq!(state(&mut core, id), json!({}));
    assert!(matches!(core.revert(id, rejoin::ChangeHash([7; 32])), Err(Error::UnknownChange(_))));
}

#[test]
fn reset_keeps_what_is_the_same_thing_so_that_others_find_their_place() {
    let (mut a, mut b, id) = two(vec![splice("/note", 0, 0, "hello"), insert("/list/-", json!({"a": 1}))]);
    let heads = a.document(id).unwrap().heads;
    act(&mut a, id, splice("/note", 5, 0, " world"));
    act(&mut a, id, set("/list/0/a", json!(2)));
    act(&mut a, id, set("/new", json!(true)));
    sync(&mut a, &mut b, id);
    act(&mut b, id, splice("/note", 2, 0, "XX"));
    act(&mut b, id, set("/list/0/b", json!(3)));
    a.reset(id, &heads).unwrap().unwrap();
    assert_eq!(state(&mut a, id), json!({"note": "hello", "list": [{"a": 1}]}));
    assert_eq!(sync(&mut a, &mut b, id), json!({"note": "heXXllo", "list": [{"a": 1, "b": 3}]}));
    undo(&mut a, id);
    let wanted = json!({"note": "heXXllo world", "list": [{"a": 2, "b": 3}], "new": true});
    assert_eq!(sync(&mut a, &mut b, id), wanted);
    assert!(matches!(a.reset(id, &[rejoin::ChangeHash([7; 32])]), Err(Error::UnknownChange(_))));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    /// Whatever was done by whomever: a reset to any point reads as it did there, one more to the same changes nothing,
    /// and its undo reads as before it.
    #[test]
    fn reset_makes_a_document_read_as_it_did(steps in prop::collection::vec(step(), 1..30), pick in any::<u8>()) {
        let (mut a, mut b, id) = two(vec![]);
        let mut points = Vec::new();
        for step in &steps {
            let core: &mut Core = match step {
                Step::Sync => { sync(&mut a, &mut b, id); &mut a }
                Step::Act(mine, kind) => {
                    let core = if *mine { &mut a } else { &mut b };
                    if let Some(action) = fit(core, id, "both", kind) {
                        let _ = core.dispatch(&[(id, action)]).unwrap();
                    }
                    core
                }
                Step::Undo(mine) => { let core = if *mine { &mut a } else { &mut b }; core.undo(id).unwrap(); core }
                Step::Redo(mine) => { let core = if *mine { &mut a } else { &mut b }; core.redo(id).unwrap(); core }
            };
            points.push((core.document(id).unwrap().heads, state(core, id)));
        }
        let met = sync(&mut a, &mut b, id);
        let (heads, was) = points[usize::from(pick) % points.len()].clone();
        let reset = a.reset(id, &heads).unwrap();
        prop_assert_eq!(state(&mut a, id), was.clone());
        prop_assert_eq!(reset.is_some(), was != met);
        prop_assert_eq!(a.reset(id, &heads).unwrap(), None);
        prop_assert_eq!(sync(&mut a, &mut b, id), was);
        if reset.is_some() {
            undo(&mut a, id);
            prop_assert_eq!(sync(&mut a, &mut b, id), met);
        }
    }
}
