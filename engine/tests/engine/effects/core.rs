//! What the store promises about effects, under a clock that the test turns.

use crate::effects::support::{Bench, answered, ask, done, increment, set};
use rejoin::{
    Error,
    effects::{EffectId, EffectRequest, EffectState, FollowUp, Outcome},
};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn an_action_and_its_effects_are_both_there_or_both_not() {
    let mut bench = Bench::new();
    bench.dispatch(set("/a", 1), &[ask("x"), ask("y")]);
    let before = bench.changes();
    // A wrong effect: no change. A wrong action: no effect.
    let unknown = ask("x").after(EffectId::random());
    let refused = bench.core.dispatch_with(bench.id, &set("/a", 2), &[ask("x"), unknown]).unwrap_err();
    assert!(matches!(refused, Error::InvalidEffect(_)), "{refused}");
    let refused = bench.core.dispatch_with(bench.id, &set("/a/b", 2), &[ask("x")]).unwrap_err();
    assert!(matches!(refused, Error::Action(_)), "{refused}");
    assert_eq!((bench.changes(), bench.state("/a")), (before, json!(1)));
    assert_eq!(bench.core.effects().unwrap().len(), 2);
}

#[test]
fn what_cannot_be_sent_is_refused_when_it_is_asked_for() {
    let mut bench = Bench::new();
    let taken = bench.ask(ask("x"));
    let large = Value::String("x".repeat(2 << 20));
    for wrong in [
        EffectRequest::new("", json!({})),
        EffectRequest::new("test", large),
        ask(""),
        ask(&"x".repeat(1_000)),
        ask("x").with_id(taken),
        ask("x").commit(json!({"no": "type"})),
        ask("x").roll_back(FollowUp::new(json!({"type": "a"})).put("x", "y")),
    ] {
        let refused = bench.core.dispatch_with(bench.id, &increment("/n", 1), &[wrong]).unwrap_err();
        assert!(matches!(refused, Error::InvalidEffect(_)), "{refused}");
    }
    let itself = ask("x");
    let itself = itself.clone().after(itself.id());
    bench.core.dispatch_with(bench.id, &increment("/n", 1), &[itself]).unwrap_err();
    assert_eq!(bench.core.effects().unwrap().len(), 1);
    assert_eq!(bench.state("/n"), Value::Null);
}

#[test]
fn a_refused_connection_does_not_roll_back_not_even_after_a_month() {
    let mut bench = Bench::new();
    let effect = ask("x").roll_back(set("/title", "rolled back"));
    let id = effect.id();
    bench.dispatch(set("/title", "mine"), &[effect]);
    for _ in 0..24 * 30 {
        bench.send(|_| Outcome::Unreachable("connection refused".into()));
        bench.pass(HOUR);
    }
    let effect = bench.effect(id);
    assert_eq!((effect.state, bench.state("/title")), (EffectState::Waiting, json!("mine")));
    assert!(effect.attempts > 700 && effect.charged == 0);
    assert_eq!(bench.send(|_| done()), [id]);
    assert_eq!(bench.state_of(id), EffectState::Done);
}

#[test]
fn a_401_is_held_and_408_425_429_and_5xx_are_sent_again() {
    let mut bench = Bench::new();
    for status in [408, 425, 429, 500, 502, 503] {
        let id = bench.ask(ask(&status.to_string()).roll_back(increment("/rolled", 1)));
        bench.send(|_| answered(status));
        assert_eq!(bench.state_of(id), EffectState::Waiting, "{status}");
        bench.pass(HOUR);
        assert_eq!(bench.send(|_| done()), [id], "{status}");
    }
    let id = bench.ask(ask("x").roll_back(increment("/rolled", 1)));
    bench.send(|_| answered(401));
    bench.pass(HOUR * 24 * 365);
    assert!(bench.send(|_| done()).is_empty());
    let held = bench.effect(id);
    assert_eq!((held.state, held.charged), (EffectState::Held, 0));
    assert_eq!(bench.core.release_held_effects().unwrap(), 1);
    assert_eq!(bench.send(|_| done()), [id]);
    assert_eq!(bench.state("/rolled"), Value::Null);
}

#[test]
fn attempts_and_delays_survive_a_restart() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x"));
    for seconds in [1, 5, 15, 30, 60, 180, 300, 600, 1_800, 3_600, 3_600] {
        assert_eq!(bench.send(|_| Outcome::Unreachable("refused".into())), [id]);
        bench = bench.reopened();
        bench.pass(Duration::from_secs(seconds) - Duration::from_millis(1));
        assert!(bench.lease().is_empty(), "sent before its {seconds} s");
        bench.pass(Duration::from_millis(1));
    }
    let effect = bench.effect(id);
    assert_eq!((effect.attempts, effect.failures), (11, 11));
    assert_eq!(effect.last_error.as_deref(), Some("nobody was reached: refused"));
}

#[test]
fn retry_after_is_obeyed() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x"));
    let later = |_: &_| Outcome::Reply { status: 429, retry_after: Some(HOUR), body: Value::Null };
    bench.send(later);
    bench.pass(HOUR - Duration::from_millis(1));
    assert!(bench.lease().is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.send(|_| done()), [id]);
}

#[test]
fn going_online_sends_now() {
    let mut bench = Bench::new();
    let ids = ["a", "b"].map(|lane| bench.ask(ask(lane)));
    for _ in 0..10 {
        bench.send(|_| Outcome::Unreachable("offline".into()));
        bench.pass(HOUR);
    }
    bench.send(|_| Outcome::Unreachable("offline".into()));
    assert!(bench.lease().is_empty());
    assert_eq!(bench.core.hurry_effects().unwrap(), 2);
    assert_eq!(bench.send(|_| done()), ids);
}

#[test]
fn an_outcome_and_its_commit_action_are_recorded_exactly_once() {
    let mut bench = Bench::new();
    let commit = FollowUp::new(json!({"type": "increment", "path": "/confirmed"})).put("/by", "/by");
    let id = bench.ask(ask("x").commit(commit));
    let leased = bench.lease();
    let (effect, lease) = &leased[0];
    assert!(bench.end(effect, lease, Outcome::Done(json!({"by": 5}))));
    assert!(!bench.end(effect, lease, Outcome::Done(json!({"by": 5}))), "recorded twice");
    assert_eq!(bench.state("/confirmed"), 5);
    assert_eq!(bench.effect(id).outcome, Some(json!({"by": 5})));
}

#[test]
fn a_reply_that_comes_after_the_lease_was_lost_is_not_recorded_and_the_other_one_is() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x").commit(increment("/confirmed", 1)));
    let first = bench.lease();
    bench.pass(Duration::from_secs(31));
    let second = bench.lease();
    assert_eq!((first[0].0.id, second[0].0.id), (id, id));
    assert!(!bench.end(&first[0].0, &first[0].1, done()));
    assert_eq!(bench.state("/confirmed"), Value::Null);
    assert!(bench.end(&second[0].0, &second[0].1, done()));
    assert_eq!(bench.state("/confirmed"), 1);
}

#[test]
fn a_restart_in_the_middle_sends_again_under_the_same_key_and_records_once() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x").commit(increment("/confirmed", 1)));
    let first = bench.lease();
    let mut bench = bench.reopened();
    assert!(bench.lease().is_empty(), "the lease still runs");
    bench.pass(Duration::from_secs(31));
    let second = bench.lease();
    assert_eq!((first[0].0.id, second[0].0.id, second[0].0.attempts), (id, id, 2));
    assert!(bench.end(&second[0].0, &second[0].1, done()));
    assert_eq!(bench.state("/confirmed"), 1);
}

#[test]
fn a_lease_that_is_renewed_is_not_taken_over() {
    let mut bench = Bench::new();
    bench.ask(ask("x"));
    let leased = bench.lease();
    for _ in 0..10 {
        bench.pass(Duration::from_secs(20));
        assert!(bench.lease().is_empty());
        assert!(bench.core.renew_effect(leased[0].0.id, &leased[0].1, Duration::from_secs(30)).unwrap());
    }
    bench.pass(Duration::from_secs(30));
    assert_eq!(bench.lease().len(), 1);
    assert!(!bench.core.renew_effect(leased[0].0.id, &leased[0].1, Duration::from_secs(30)).unwrap());
}

#[test]
fn a_commit_action_that_does_not_fit_makes_a_dead_letter_with_the_reply_and_rolls_nothing_back() {
    let mut bench = Bench::new();
    let effect = ask("x").commit(set("/title/deeper", 1)).roll_back(set("/rolled", true));
    let id = effect.id();
    bench.dispatch(set("/title", "mine"), &[effect]);
    bench.send(|_| Outcome::Done(json!({"number": 7})));
    let dead = bench.effect(id);
    assert_eq!((dead.state, dead.outcome), (EffectState::Dead, Some(json!({"number": 7}))));
    assert!(dead.last_error.unwrap().starts_with("it was done, but its commit action failed: "));
    assert_eq!(bench.state("/rolled"), Value::Null);
    // The action that is in the way is taken away: sent again, under the same key, it is recorded.
    bench.dispatch(set("/title", json!({})), &[]);
    assert_eq!(bench.core.retry_effect(&id.to_string()).unwrap(), 1);
    assert_eq!(bench.send(|_| done()), [id]);
    assert_eq!((bench.state_of(id), bench.state("/title/deeper")), (EffectState::Done, json!(1)));
}

#[test]
fn a_clock_that_jumps_by_years_holds_nothing_up() {
    let years = 10 * 365 * 86_400_000;
    for jump in [years, -years] {
        let mut bench = Bench::new();
        let id = bench.ask(ask("x"));
        bench.send(|_| answered(503));
        bench.turn_clock(jump);
        let leased = bench.lease();
        assert_eq!(leased[0].0.id, id);
        bench.turn_clock(-jump);
        assert!(bench.end(&leased[0].0, &leased[0].1, done()));
    }
}

#[test]
fn an_effect_outlives_the_document_it_was_asked_for() {
    let mut bench = Bench::new();
    let id = bench.ask(ask("x").commit(set("/done", true)));
    let refused = bench.ask(ask("y").roll_back_guarded());
    bench.core.leave(bench.id).unwrap();
    bench.send(|e| if e.lane == "x" { done() } else { answered(422) });
    let settled = bench.effect(id);
    assert_eq!(settled.state, EffectState::Done);
    assert!(settled.last_error.unwrap().starts_with("its document is not here any more"));
    let dead = bench.effect(refused);
    assert_eq!(
        (dead.state, dead.last_error.as_deref()),
        (EffectState::Dead, Some("the receiver answered 422: no"))
    );
}

#[test]
fn an_effect_follows_its_action_when_the_change_is_written_again() {
    let mut bench = Bench::new();
    bench.dispatch(set("/first", 1), &[]);
    let id = bench.ask(ask("x"));
    let before = bench.effect(id).change;
    // Taking back the first action writes the second one again.
    bench.core.drop_queued("1").unwrap();
    let after = bench.effect(id).change;
    assert_ne!(before, after);
    let held = bench.core.history(bench.id, None).unwrap();
    assert!(held.iter().any(|entry| entry.hash == after));
}

#[test]
fn what_is_done_is_kept_for_a_while_and_the_table_does_not_grow_for_ever() {
    let mut bench = Bench::new();
    let dead = bench.ask(ask("dead"));
    bench.send(|_| answered(400));
    for _ in 0..12 {
        let effects: Vec<_> = (0..100).map(|n| ask(&n.to_string())).collect();
        bench.dispatch(increment("/n", 1), &effects);
        bench.send(|_| done());
    }
    let kept = bench.core.effects().unwrap();
    assert!((1_000..=1_101).contains(&kept.len()), "{}", kept.len());
    assert_eq!(kept[0].id, dead);
}

#[test]
fn a_store_of_the_first_release_takes_effects_after_its_migration() {
    let raw = rusqlite::Connection::open_in_memory().unwrap();
    let first = rejoin_migrations::ENGINE.migrations[0];
    raw.execute_batch(first.sql).unwrap();
    raw.pragma_update(None, "application_id", rejoin_migrations::ENGINE.application_id).unwrap();
    raw.pragma_update(None, "user_version", first.version).unwrap();
    let mut core = rejoin::store::Core::open_connection(raw).unwrap();
    let id = core.create(None, None).unwrap();
    core.dispatch_with(id, &increment("/n", 1), &[ask("x")]).unwrap();
    assert_eq!(core.effects().unwrap().len(), 1);
}
