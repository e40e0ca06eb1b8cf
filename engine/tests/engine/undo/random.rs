//! Random actions on two replicas, syncs between, then everything of one undone and redone.

use proptest::prelude::*;
use rejoin::{Action, DocumentId, Receipt, UndoStep, store::Core};
use serde_json::{Value, json};

use crate::undo::support::*;

/// Whose keys, and what.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    Act(bool, Kind),
    Sync,
    Undo(bool),
    Redo(bool),
}

#[derive(Debug, Clone)]
pub(crate) enum Kind {
    Set(u8, u8),
    SetMap(u8),
    SetInMap(u8, u8),
    Delete(u8),
    Add(i8),
    Insert(u8, u8),
    DeleteAt(u8),
    SetAt(u8, u8),
    Type(u8, u8),
    Erase(u8, u8),
}

pub(crate) fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        // Of few values, so that one is often set that is there already.
        (0..3_u8, 0..3_u8).prop_map(|(k, v)| Kind::Set(k, v)),
        (0..3_u8).prop_map(Kind::SetMap),
        (0..3_u8, 0..3_u8).prop_map(|(k, v)| Kind::SetInMap(k, v)),
        (0..3_u8).prop_map(Kind::Delete),
        any::<i8>().prop_map(Kind::Add),
        (any::<u8>(), any::<u8>()).prop_map(|(i, v)| Kind::Insert(i, v)),
        any::<u8>().prop_map(Kind::DeleteAt),
        (any::<u8>(), any::<u8>()).prop_map(|(i, v)| Kind::SetAt(i, v)),
        (any::<u8>(), 1..6_u8).prop_map(|(i, n)| Kind::Type(i, n)),
        (any::<u8>(), 1..6_u8).prop_map(|(i, n)| Kind::Erase(i, n)),
    ]
}

pub(crate) fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (any::<bool>(), kind()).prop_map(|(who, kind)| Step::Act(who, kind)),
        1 => Just(Step::Sync),
        2 => any::<bool>().prop_map(Step::Undo),
        1 => any::<bool>().prop_map(Step::Redo),
    ]
}

/// The action in this replica's own part of the document, fitted to what is there.
pub(crate) fn fit(core: &mut Core, id: DocumentId, root: &str, kind: &Kind) -> Option<Action> {
    let read = state(core, id);
    let own = read.get(root).cloned().unwrap_or(Value::Null);
    let list = own.get("list").and_then(Value::as_array).map_or(0, Vec::len) as u64;
    let text = own.get("text").and_then(Value::as_str).map_or(0, |t| t.chars().count()) as u64;
    let at = |i: u8, len: u64| u64::from(i) % (len + 1);
    Some(match *kind {
        Kind::Set(k, v) => set(&format!("/{root}/k{k}"), json!(v)),
        Kind::SetMap(k) => set(&format!("/{root}/k{k}"), json!({"a": k, "l": [1, {"b": 2}]})),
        Kind::SetInMap(k, v) => {
            own.get(format!("k{k}")).filter(|m| m.is_object())?;
            set(&format!("/{root}/k{k}/x{v}"), json!([v]))
        }
        Kind::Delete(k) => {
            own.get(format!("k{k}"))?;
            delete(&format!("/{root}/k{k}"))
        }
        Kind::Add(by) => add(&format!("/{root}/n"), i64::from(by)),
        Kind::Insert(i, v) => insert(&format!("/{root}/list/{}", at(i, list)), json!(v)),
        Kind::DeleteAt(i) if list > 0 => delete(&format!("/{root}/list/{}", at(i, list - 1))),
        Kind::SetAt(i, v) if list > 0 => set(&format!("/{root}/list/{}", at(i, list - 1)), json!({"v": v})),
        Kind::DeleteAt(_) | Kind::SetAt(..) => return None,
        Kind::Type(i, n) => {
            let typed: String = "abcdef".chars().take(n.into()).collect();
            splice(&format!("/{root}/text"), at(i, text), 0, &typed)
        }
        Kind::Erase(i, n) => {
            let from = at(i, text);
            splice(&format!("/{root}/text"), from, u64::from(n).min(text - from), "")
        }
    })
}

/// Does an action, by itself or as a part of the step before it.
fn does(core: &mut Core, id: DocumentId, (action, grouped): (Action, bool)) -> rejoin::Result<Receipt> {
    let step = if grouped { UndoStep::new().group("g") } else { UndoStep::new() };
    core.dispatch_step(id, &action, &step)
}

fn undo_all(core: &mut Core, id: DocumentId) -> usize {
    let mut count = 0;
    while let Some(undone) = core.undo(id).unwrap() {
        assert_eq!(undone.skipped, 0, "{undone:?}");
        count += 1;
    }
    count
}

/// What is left when everything was undone: containers have changes of their own, and stay empty.
fn is_bare(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.values().all(is_bare),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(n) => n.as_i64() == Some(0),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    /// In parts that do not overlap, undoing all that one did leaves the other's as it is, and redoing it all
    /// leaves everything as before.
    #[test]
    fn undoing_all_of_one_leaves_the_others_and_redoing_is_as_before(
        steps in prop::collection::vec(step(), 1..40), grouped in any::<bool>()
    ) {
        let (mut a, mut b, id) = two(vec![]);
        for step in &steps {
            match step {
                Step::Sync => drop(sync(&mut a, &mut b, id)),
                Step::Act(mine, kind) => {
                    let (core, root) = if *mine { (&mut a, "a") } else { (&mut b, "b") };
                    if let Some(action) = fit(core, id, root, kind) {
                        does(core, id, (action, grouped)).unwrap();
                    }
                }
                Step::Undo(mine) => drop(if *mine { &mut a } else { &mut b }.undo(id).unwrap()),
                Step::Redo(mine) => drop(if *mine { &mut a } else { &mut b }.redo(id).unwrap()),
            }
        }
        let met = sync(&mut a, &mut b, id);
        let count = undo_all(&mut a, id);
        let read = sync(&mut a, &mut b, id);
        prop_assert_eq!(read.get("b"), met.get("b"));
        prop_assert!(read.get("a").is_none_or(is_bare), "{}", read);
        for _ in 0..count {
            prop_assert!(a.redo(id).unwrap().is_some());
        }
        prop_assert_eq!(sync(&mut a, &mut b, id), met);
    }

    /// Where both write everywhere nothing panics, both end equal, and what is undone can be redone.
    #[test]
    fn undoing_in_one_place_together_converges(
        steps in prop::collection::vec(step(), 1..40), grouped in any::<bool>()
    ) {
        let (mut a, mut b, id) = two(vec![]);
        for step in &steps {
            match step {
                Step::Sync => drop(sync(&mut a, &mut b, id)),
                Step::Act(mine, kind) => {
                    let core = if *mine { &mut a } else { &mut b };
                    if let Some(action) = fit(core, id, "both", kind) {
                        let _ = does(core, id, (action, grouped));
                    }
                }
                Step::Undo(mine) => drop(if *mine { &mut a } else { &mut b }.undo(id).unwrap()),
                Step::Redo(mine) => drop(if *mine { &mut a } else { &mut b }.redo(id).unwrap()),
            }
        }
        let met = sync(&mut a, &mut b, id);
        let mut count = 0;
        while a.undo(id).unwrap().is_some() {
            count += 1;
        }
        sync(&mut a, &mut b, id);
        for _ in 0..count {
            prop_assert!(a.redo(id).unwrap().is_some());
        }
        prop_assert_eq!(sync(&mut a, &mut b, id), met);
        prop_assert!(a.check().unwrap().ok);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, ..ProptestConfig::default() })]

    /// The second store is a copy of the first, so that the second's changes are written again, undos and all: what
    /// it undoes and redoes then is as if they had not been.
    #[test]
    fn what_was_written_again_after_a_fork_can_still_be_undone_and_redone(
        steps in prop::collection::vec(step(), 1..25), grouped in any::<bool>()
    ) {
        let (mut a, mut b, id) = two(vec![set("/x", json!(0))]);
        b.take_fresh_actor(a.actor().clone()).unwrap();
        act(&mut a, id, set("/a/first", json!({})));
        act(&mut b, id, set("/b/first", json!({})));
        for step in &steps {
            match step {
                Step::Sync => {}
                Step::Act(mine, kind) => {
                    let (core, root) = if *mine { (&mut a, "a") } else { (&mut b, "b") };
                    if let Some(action) = fit(core, id, root, kind) {
                        does(core, id, (action, grouped)).unwrap();
                    }
                }
                Step::Undo(mine) => drop(if *mine { &mut a } else { &mut b }.undo(id).unwrap()),
                Step::Redo(mine) => drop(if *mine { &mut a } else { &mut b }.redo(id).unwrap()),
            }
        }
        let alone = state(&mut a, id);
        let met = sync(&mut a, &mut b, id);
        prop_assert_eq!(met.get("a"), alone.get("a"));
        let count = undo_all(&mut b, id);
        let read = sync(&mut a, &mut b, id);
        prop_assert_eq!(read.get("a"), alone.get("a"));
        prop_assert!(read.get("b").is_none_or(is_bare), "{}", read);
        for _ in 0..count {
            prop_assert!(b.redo(id).unwrap().is_some());
        }
        prop_assert_eq!(sync(&mut a, &mut b, id), met);
        prop_assert!(b.check().unwrap().ok);
    }
}

/// Found by the test above: a value that is set again, to what a redo has put there, writes nothing.
#[test]
fn a_step_that_wrote_nothing_is_undone_and_redone_with_the_others() {
    let (mut a, mut b, id) = two(vec![]);
    act(&mut a, id, set("/a/k2", json!(91)));
    a.undo(id).unwrap().unwrap();
    a.redo(id).unwrap().unwrap();
    act(&mut a, id, set("/a/k0", json!(0)));
    act(&mut b, id, set("/b/k0", json!(0)));
    act(&mut a, id, set("/a/k2", json!(91)));
    let met = sync(&mut a, &mut b, id);
    let count = undo_all(&mut a, id);
    let read = sync(&mut a, &mut b, id);
    assert_eq!(read.get("b"), met.get("b"));
    assert!(read.get("a").is_none_or(is_bare), "{read}");
    for _ in 0..count {
        assert!(a.redo(id).unwrap().is_some());
    }
    assert_eq!(sync(&mut a, &mut b, id), met);
}
