//! The guarded rollback never undoes another's write.

use rejoin::{
    Action, DocumentId,
    effects::{EffectState, Outcome},
    fence::{self, Limits},
    store::{BatchBounds, Core, Page},
};
use serde_json::{Value, json};

use crate::effects::support::{Bench, answered, ask, done, increment, set};

/// Another replica of the document, which has what is here.
struct Other(Core);

impl Other {
    fn new(bench: &Bench) -> Self {
        let mut core = Core::open_in_memory().unwrap();
        core.join(bench.id, None, None).unwrap();
        Self(core)
    }

    /// Does an action on what is here, and hands it over.
    fn does(&mut self, bench: &mut Bench, action: Action) {
        hand_over(&mut bench.core, &mut self.0, bench.id);
        self.0.dispatch(&[(bench.id, action)]).unwrap().pop().unwrap().unwrap();
        hand_over(&mut self.0, &mut bench.core, bench.id);
    }
}

fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) {
    let batch = from.take_batch(id, BatchBounds { count: usize::MAX, bytes: usize::MAX }).unwrap();
    let framed = fence::frame(&batch.body).unwrap();
    let changes = framed.iter().map(|f| fence::check(f, &Limits::default()).unwrap()).collect();
    assert!(!to.store_page(id, Page { changes, ..Page::default() }).unwrap().hole);
}

#[test]
fn rollback_restores_what_was_there_and_counts_a_counter_back() {
    let mut bench = Bench::new();
    bench.dispatch(set("/title", "before"), &[]);
    bench.dispatch(set("/title", "mine"), &[ask("a").roll_back_guarded()]);
    bench.dispatch(set("/new", 1), &[ask("b").roll_back_guarded()]);
    bench.dispatch(increment("/n", 5), &[]);
    bench.dispatch(increment("/n", 7), &[ask("c").roll_back_guarded()]);
    assert_eq!(bench.send(|_| answered(409)).len(), 3);
    assert_eq!(bench.state(""), json!({"title": "before", "n": 5}));
}

#[test]
fn rollback_never_wipes_a_later_write_of_this_device_that_was_accepted() {
    // redux-offline: SET 1 is refused, SET 2 accepted, and the rollback restores what was remembered: v = 0.
    let mut bench = Bench::new();
    bench.dispatch(set("/v", 0), &[]);
    bench.dispatch(set("/v", 1), &[ask("x").roll_back_guarded()]);
    bench.dispatch(set("/v", 2), &[ask("x").roll_back_guarded()]);
    bench.send(|_| answered(409));
    bench.send(|_| done());
    assert_eq!(bench.state("/v"), 2);
    let states: Vec<_> = bench.core.effects().unwrap().iter().map(|e| e.state).collect();
    assert_eq!(states, [EffectState::Dead, EffectState::Done]);
}

#[test]
fn rollback_never_wipes_anothers_write() {
    let mut bench = Bench::new();
    let mut other = Other::new(&bench);
    bench.dispatch(set("/v", 0), &[]);
    bench.dispatch(set("/v", 1), &[ask("x").roll_back_guarded()]);
    other.does(&mut bench, set("/v", "theirs"));
    bench.send(|_| answered(409));
    assert_eq!(bench.state("/v"), "theirs");
    bench.dispatch(increment("/n", 5), &[ask("y").roll_back_guarded()]);
    other.does(&mut bench, increment("/n", 100));
    bench.send(|_| answered(409));
    assert_eq!(bench.state("/n"), 100);
}

#[test]
fn what_took_anothers_place_rolls_back_to_before_both() {
    let mut bench = Bench::new();
    bench.dispatch(set("/v", 0), &[]);
    for value in 1..=3 {
        bench.dispatch(set("/v", value), &[ask("x").coalesce("v").roll_back_guarded()]);
    }
    assert_eq!(bench.send(|_| answered(422)).len(), 1);
    assert_eq!(bench.state("/v"), 0);
}

#[test]
fn a_rollback_is_no_undo_of_the_persons_and_comes_once() {
    let mut bench = Bench::new();
    bench.dispatch(set("/a", 1), &[]);
    let effect = ask("x").roll_back_guarded();
    let id = effect.id();
    bench.dispatch(set("/b", 1), &[effect]);
    bench.send(|_| answered(422));
    let (changes, state) = (bench.changes(), bench.state(""));
    assert_eq!(state, json!({"a": 1}));
    bench.core.retry_effect(&id.to_string()).unwrap();
    bench.send(|_| answered(422));
    assert_eq!((bench.changes(), bench.state("")), (changes, state));
    let history = bench.core.history(bench.id, Some(1)).unwrap();
    assert_eq!(history[0].action_type.as_deref(), Some("rollback"));
    assert_eq!(bench.effect(id).settled_change, Some(history[0].hash));
}

#[test]
fn nothing_is_left_to_roll_back_of_what_the_person_undid() {
    let mut bench = Bench::new();
    let effect = ask("x").roll_back_guarded();
    let id = effect.id();
    bench.dispatch(set("/b", 1), &[effect]);
    bench.core.undo(bench.id).unwrap().unwrap();
    bench.dispatch(set("/b", 2), &[]);
    bench.send(|_| Outcome::Refused { why: "no".into(), reply: Value::Null });
    let dead = bench.effect(id);
    assert_eq!((dead.last_error.as_deref(), dead.settled_change), (Some("no"), None));
    assert_eq!(bench.state("/b"), 2);
}

#[test]
fn the_persons_undo_passes_by_what_effects_did_and_what_they_rolled_back() {
    let mut bench = Bench::new();
    bench.dispatch(set("/a", 1), &[ask("x").commit(increment("/confirmed", 1))]);
    bench.dispatch(
        set("/b", 1),
        &[ask("y").commit(increment("/confirmed", 1)).roll_back(set("/b", "failed"))],
    );
    bench.send(|_| done());
    bench.dispatch(set("/c", 1), &[ask("z").roll_back(set("/c", "failed"))]);
    bench.send(|_| answered(422));
    assert_eq!(bench.state(""), json!({"a": 1, "b": 1, "c": "failed", "confirmed": 2}));
    bench.core.undo(bench.id).unwrap().unwrap();
    assert_eq!(bench.state(""), json!({"a": 1, "c": "failed", "confirmed": 2}));
    bench.core.undo(bench.id).unwrap().unwrap();
    assert_eq!(bench.state(""), json!({"c": "failed", "confirmed": 2}));
    assert_eq!(bench.core.undo(bench.id).unwrap(), None);
    bench.core.redo(bench.id).unwrap().unwrap();
    assert_eq!(bench.state(""), json!({"a": 1, "c": "failed", "confirmed": 2}));
}

#[test]
fn an_effect_follows_its_action_through_a_fork_and_rolls_it_back_as_it_is_spelled_then() {
    let mut bench = Bench::new();
    let mut other = Other::new(&bench);
    bench.dispatch(set("/v", 0), &[]);
    hand_over(&mut bench.core, &mut other.0, bench.id);
    // A clone of this store: both write under one actor and number, and the other one is first at the server.
    other.0.take_fresh_actor(bench.core.actor().clone()).unwrap();
    other.0.dispatch(&[(bench.id, set("/theirs", 1))]).unwrap().pop().unwrap().unwrap();
    let effect = ask("x").roll_back_guarded();
    let id = effect.id();
    bench.dispatch(set("/v", 1), &[effect]);
    let before = bench.effect(id).change;
    hand_over(&mut other.0, &mut bench.core, bench.id);
    let after = bench.effect(id).change;
    assert_ne!(before, after, "nothing was written again");
    let stands = bench.core.history(bench.id, None).unwrap();
    assert!(stands.iter().any(|entry| entry.hash == after && entry.replaced_by.is_none()));
    assert_eq!(bench.state(""), json!({"v": 1, "theirs": 1}));
    bench.send(|_| answered(409));
    assert_eq!(bench.state(""), json!({"v": 0, "theirs": 1}));
}

#[test]
fn nothing_is_left_to_roll_back_of_an_action_that_was_taken_back() {
    let mut bench = Bench::new();
    let effect = ask("x").roll_back_guarded();
    let id = effect.id();
    bench.dispatch(set("/v", 1), &[effect]);
    bench.send(|_| Outcome::Unreachable("offline".into()));
    // It may have arrived all the same: it is sent again, though the action is gone.
    bench.core.drop_queued("1").unwrap();
    bench.core.hurry_effects().unwrap();
    assert_eq!(bench.send(|_| answered(409)), [id]);
    let dead = bench.effect(id);
    assert_eq!((dead.state, dead.settled_change), (EffectState::Dead, None));
    assert_eq!(dead.last_error.as_deref(), Some("the receiver answered 409: no"));
    assert_eq!(bench.state(""), json!({}));
}
