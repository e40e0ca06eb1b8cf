//! Lanes: what is sent after what, and what takes the place of what.

use crate::effects::support::{Bench, answered, ask, done, increment, set};
use rejoin::effects::{EffectRequest, EffectState, Outcome};
use serde_json::json;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3_600);

#[test]
fn first_in_first_out_within_a_lane_and_lanes_side_by_side() {
    let mut bench = Bench::new();
    let [a1, b1, a2] = ["a", "b", "a"].map(|lane| bench.ask(ask(lane)));
    assert_eq!(bench.send(|_| done()), [a1, b1]);
    assert_eq!(bench.send(|_| done()), [a2]);
    assert!(bench.send(|_| done()).is_empty());
}

#[test]
fn one_500_does_not_block_another_lane() {
    let mut bench = Bench::new();
    let broken = bench.ask(ask("broken"));
    let behind = bench.ask(ask("broken"));
    let others: Vec<_> = (0..20).map(|_| bench.ask(ask("fine"))).collect();
    let mut sent = Vec::new();
    loop {
        let now = bench.send(|e| if e.lane == "broken" { answered(500) } else { done() });
        if now.is_empty() {
            break;
        }
        sent.extend(now.into_iter().filter(|id| *id != broken));
    }
    assert_eq!(sent, others);
    assert_eq!(
        (bench.state_of(broken), bench.state_of(behind)),
        (EffectState::Waiting, EffectState::Waiting)
    );
}

#[test]
fn of_many_edits_of_one_thing_only_the_last_is_sent() {
    let mut bench = Bench::new();
    let ids: Vec<_> = (0..5)
        .map(|n| {
            let effect = EffectRequest::new("test", json!({"n": n})).lane("x").coalesce("title");
            bench.ask(effect)
        })
        .collect();
    let mut sent = Vec::new();
    bench.send(|e| {
        sent.push(e.request["n"].clone());
        done()
    });
    assert_eq!(sent, [json!(4)]);
    for pair in ids.windows(2) {
        let replaced = bench.effect(pair[0]);
        assert_eq!((replaced.state, replaced.replaced_by), (EffectState::Dropped, Some(pair[1])));
    }
    assert!(bench.send(|_| done()).is_empty());
}

#[test]
fn nothing_coalesces_across_a_barrier_nor_with_what_is_being_sent() {
    let mut bench = Bench::new();
    let put = |n: u64| EffectRequest::new("test", json!({"n": n})).lane("x").coalesce("title");
    let first = bench.ask(put(1));
    let barrier = bench.ask(ask("x"));
    let second = bench.ask(put(2));
    let elsewhere = bench.ask(put(3).lane("y"));
    let waited_for = bench.ask(put(4).lane("z"));
    let waits = bench.ask(ask("w").after(waited_for));
    let third = bench.ask(put(5).lane("z"));
    for id in [first, barrier, second, elsewhere, waited_for, waits, third] {
        assert_eq!(bench.state_of(id), EffectState::Waiting);
    }
    let leased = bench.lease();
    let running = leased.iter().find(|(e, _)| e.id == elsewhere).unwrap().clone();
    let after = bench.ask(put(6).lane("y"));
    assert_eq!(bench.state_of(elsewhere), EffectState::Running);
    assert!(bench.end(&running.0, &running.1, done()));
    assert_eq!(bench.send(|_| done()), [after]);
}

#[test]
fn what_takes_anothers_place_waits_as_long_and_rolls_both_back() {
    let mut bench = Bench::new();
    let put = |by: i64| ask("x").coalesce("k").roll_back(increment("/n", -by));
    bench.dispatch(increment("/n", 1), &[put(1)]);
    bench.send(|_| Outcome::Unreachable("offline".into()));
    bench.dispatch(increment("/n", 10), &[put(10)]);
    bench.dispatch(increment("/n", 100), &[put(100)]);
    assert!(bench.lease().is_empty(), "it does not wait as long as the first one");
    bench.pass(HOUR);
    assert_eq!(bench.state("/n"), 111);
    assert_eq!(bench.send(|_| answered(409)).len(), 1);
    assert_eq!(bench.state("/n"), 0);
}

#[test]
fn what_comes_after_another_is_sent_after_it_and_dies_with_it() {
    let mut bench = Bench::new();
    let create = ask("a").roll_back(set("/created", false));
    let update = ask("b").after(create.id()).roll_back(set("/updated", false));
    let tell = ask("c").after(update.id()).roll_back(set("/told", false));
    let (created, updated, told) = (create.id(), update.id(), tell.id());
    bench.dispatch(set("/created", true), &[create, update, tell]);
    assert_eq!(bench.send(|_| answered(503)), [created]);
    bench.pass(HOUR);
    assert_eq!(bench.send(|_| answered(422)), [created]);
    for (id, path) in [(created, "/created"), (updated, "/updated"), (told, "/told")] {
        assert_eq!((bench.state_of(id), bench.state(path)), (EffectState::Dead, json!(false)));
    }
    assert!(bench.effect(updated).last_error.unwrap().contains(&created.to_string()));
    // The last one cannot go without the others: they are sent again together, in order.
    assert_eq!(bench.core.retry_effect(&told.to_string()).unwrap(), 3);
    for id in [created, updated, told] {
        assert_eq!(bench.send(|_| done()), [id]);
    }
}

#[test]
fn an_effect_may_come_after_one_that_is_done() {
    let mut bench = Bench::new();
    let first = bench.ask(ask("a"));
    bench.send(|_| done());
    let second = bench.ask(ask("b").after(first));
    assert_eq!(bench.send(|_| done()), [second]);
}

#[test]
fn what_took_the_place_of_thousands_still_rolls_them_all_back() {
    let mut bench = Bench::new();
    for _ in 0..1_500 {
        bench.dispatch(increment("/n", 1), &[ask("x").coalesce("n").roll_back(increment("/n", -1))]);
    }
    let others: Vec<_> = (0..1_200).map(|n| ask(&n.to_string())).collect();
    bench.dispatch(increment("/asked", 1), &others);
    bench.send(|e| if e.lane == "x" { answered(500) } else { done() });
    while !bench.send(|_| done()).is_empty() {}
    bench.pass(HOUR);
    assert_eq!(bench.send(|_| answered(422)).len(), 1);
    assert_eq!(bench.state("/n"), 0);
}

#[test]
fn a_long_lane_costs_no_more_to_look_at_than_a_short_one() {
    let time_of = |count: usize| {
        let mut bench = Bench::new();
        for _ in 0..count / 1_000 {
            let effects: Vec<_> = (0..1_000).map(|_| ask("x")).collect();
            bench.dispatch(increment("/asked", 1), &effects);
        }
        let begun = std::time::Instant::now();
        for _ in 0..200 {
            assert_eq!(bench.send(|_| done()).len(), 1);
        }
        begun.elapsed()
    };
    let (short, long) = (time_of(1_000), time_of(20_000));
    assert!(long < short * 5, "200 of 1,000 took {short:?}, 200 of 20,000 {long:?}");
}
