//! What is refused or given up, and what is dropped.

use crate::effects::support::{Bench, answered, ask, done, increment, set};
use rejoin::{
    Error,
    effects::{EffectState, FollowUp},
};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn any_other_4xx_is_final_rolled_back_and_a_dead_letter() {
    for status in [400, 403, 404, 409, 410, 422] {
        let mut bench = Bench::new();
        let effect = ask("x")
            .roll_back(FollowUp::new(json!({"type": "set", "path": "/why"})).put("/status", "/value"));
        let id = effect.id();
        bench.dispatch(set("/title", "mine"), &[effect]);
        bench.send(|_| answered(status));
        let dead = bench.effect(id);
        assert_eq!((dead.state, bench.state("/why")), (EffectState::Dead, json!(status)));
        assert_eq!(dead.last_error.unwrap(), format!("the receiver answered {status}: no"));
        assert_eq!(dead.outcome.unwrap(), json!({"status": status, "body": {"title": "no"}}));
        let last = bench.core.history(bench.id, Some(1)).unwrap();
        assert_eq!(dead.settled_change, Some(last[0].hash));
    }
}

#[test]
fn at_its_deadline_an_effect_is_given_up_wherever_it_stands_in_its_lane() {
    let mut bench = Bench::new();
    let head = bench.ask(ask("x"));
    bench.send(|_| answered(401));
    let late = bench.ask(ask("x").deadline(HOUR).roll_back(set("/late", true)));
    let next = bench.ask(ask("x"));
    bench.pass(HOUR);
    assert!(bench.lease().is_empty());
    let dead = bench.effect(late);
    assert_eq!((dead.state, dead.attempts, bench.state("/late")), (EffectState::Dead, 0, json!(true)));
    assert_eq!(dead.last_error.unwrap(), "its deadline passed before it was done");
    bench.core.release_held_effects().unwrap();
    assert_eq!((bench.send(|_| done()), bench.send(|_| done())), (vec![head], vec![next]));
}

#[test]
fn what_is_answered_and_fails_too_often_is_given_up() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x").attempt_limit(3).roll_back(set("/rolled", true)));
    for state in [EffectState::Waiting, EffectState::Waiting, EffectState::Dead] {
        bench.send(|_| answered(500));
        assert_eq!(bench.state_of(id), state);
        bench.pass(HOUR);
    }
    assert_eq!(bench.state("/rolled"), true);
}

#[test]
fn a_request_that_kills_whoever_sends_it_is_given_up() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x").attempt_limit(3));
    let behind = bench.ask(ask("x"));
    for _ in 0..3 {
        assert_eq!(bench.lease()[0].0.id, id);
        bench.pass(Duration::from_secs(31));
    }
    assert_eq!(bench.lease()[0].0.id, behind, "the lane goes on at once");
    assert_eq!(bench.state_of(id), EffectState::Dead);
}

#[test]
fn dead_letters_can_be_listed_sent_again_and_dropped_and_are_rolled_back_once() {
    let mut bench = Bench::new();
    let effect = ask("x").commit(set("/done", true)).roll_back(increment("/n", -1));
    let id = effect.id();
    bench.dispatch(increment("/n", 1), &[effect]);
    bench.send(|_| answered(422));
    assert_eq!(bench.state("/n"), 0);
    let listed = bench.core.effects().unwrap();
    assert_eq!((listed.len(), listed[0].state), (1, EffectState::Dead));
    bench.core.retry_effect(&id.to_string()).unwrap();
    assert_eq!(bench.send(|_| answered(422)), [id]);
    assert_eq!((bench.state_of(id), bench.state("/n")), (EffectState::Dead, json!(0)));
    let prefix = id.to_string()[..8].to_owned();
    bench.core.retry_effect(&prefix).unwrap();
    assert_eq!(bench.send(|_| done()), [id]);
    assert_eq!(bench.state("/done"), true);
    for refused in [bench.core.retry_effect(&prefix).err(), bench.core.drop_effect(&prefix, false).err()] {
        assert!(matches!(refused, Some(Error::EffectSettled { state: EffectState::Done, .. })));
    }
    assert!(matches!(bench.core.effect("ffff"), Err(Error::UnknownEffect(_))));
    assert!(matches!(bench.core.effect(""), Err(Error::UnknownEffect(_))));
}

#[test]
fn a_dropped_effect_keeps_what_its_action_wrote_unless_it_is_to_be_rolled_back() {
    let mut bench = Bench::new();
    let make = |lane: &str| ask(lane).roll_back(increment("/n", -1));
    let (kept, taken_back) = (make("a"), make("b"));
    let after = ask("c").after(kept.id()).roll_back(set("/after", false));
    let ids = [kept.id(), taken_back.id(), after.id()];
    bench.dispatch(increment("/n", 1), &[kept, after]);
    bench.dispatch(increment("/n", 1), &[taken_back]);
    let dropped = bench.core.drop_effect(&ids[0].to_string(), false).unwrap();
    assert_eq!(dropped.dependants.iter().map(|e| e.id).collect::<Vec<_>>(), [ids[2]]);
    assert_eq!((bench.state("/n"), bench.state("/after")), (json!(2), json!(false)));
    bench.core.drop_effect(&ids[1].to_string(), true).unwrap();
    assert_eq!(bench.state("/n"), 1);
    assert_eq!(
        ids.map(|id| bench.state_of(id)),
        [EffectState::Dropped, EffectState::Dropped, EffectState::Dead]
    );
    assert!(bench.lease().is_empty());
}

#[test]
fn taking_the_action_back_takes_back_what_was_never_sent() {
    let mut bench = Bench::new();
    let untouched = bench.ask(ask("x"));
    let effect = ask("y");
    let id = effect.id();
    bench.dispatch(set("/a", 1), &[effect]);
    let queued = bench.core.queue(None).unwrap().len();
    bench.core.drop_queued(&queued.to_string()).unwrap();
    assert_eq!((bench.state_of(id), bench.state_of(untouched)), (EffectState::Dropped, EffectState::Waiting));
    assert_eq!(bench.send(|_| done()), [untouched]);
}
