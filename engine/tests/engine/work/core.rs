//! Thunks in the file, under a clock that stands still.

use std::time::Duration;

use rejoin::{
    Error,
    work::{StartOptions, ThunkId, ThunkRequest, ThunkState},
};
use serde_json::json;

use crate::work::support::{Bench, Echo, LEASE, Once};

fn options() -> StartOptions {
    StartOptions::new()
}

#[test]
fn a_start_is_a_durable_pending_row_and_a_restart_keeps_it() {
    let mut bench = Bench::new();
    let id = bench.start::<Echo>(json!({"say": 1}), options()).unwrap();
    let mut bench = bench.reopened();
    assert_eq!((bench.info(id).state, bench.info(id).running), (ThunkState::Pending, false));
    let (info, lease) = bench.lease().thunks.remove(0);
    assert_eq!((info.id, info.running, info.attempts), (id, true, 1));
    assert!(bench.core.settle_thunk(id, &lease, Ok(json!({"say": 1}))).unwrap());
    let info = bench.reopened().info(id);
    assert_eq!((info.state, info.result), (ThunkState::Fulfilled, Some(json!({"say": 1}))));
}

#[test]
fn a_death_leaves_no_pending_for_ever_one_that_may_is_resumed_when_the_lease_ends() {
    let mut bench = Bench::new();
    let id = bench.start::<Echo>(json!({}), options()).unwrap();
    let (_, dead) = bench.lease().thunks.remove(0);
    let mut bench = bench.reopened();
    let waiting = bench.lease();
    assert_eq!((waiting.thunks.len(), waiting.wait), (0, Some(LEASE)));
    bench.pass(LEASE);
    let (info, lease) = bench.lease().thunks.remove(0);
    assert_eq!((info.id, info.attempts), (id, 2));
    // The one that was taken for dead comes late.
    assert!(!bench.core.settle_thunk(id, &dead, Ok(json!("late"))).unwrap());
    assert!(bench.core.settle_thunk(id, &lease, Ok(json!("good"))).unwrap());
    assert_eq!(bench.info(id).result, Some(json!("good")));
}

#[test]
fn a_death_leaves_no_pending_for_ever_one_that_must_not_be_begun_twice_is_rejected_with_its_action() {
    let mut bench = Bench::new();
    let document = bench.id;
    let id = bench.start::<Once>(json!({"failed": "/why"}), options().document(document)).unwrap();
    assert_eq!(bench.lease().thunks.len(), 1);
    let mut bench = bench.reopened();
    bench.pass(LEASE);
    assert_eq!(bench.lease().thunks.len(), 0);
    let info = bench.info(id);
    assert_eq!((info.state, info.running), (ThunkState::Rejected, false));
    assert_eq!(bench.state("/why"), "the process that ran it ended before it did");
    assert!(info.settled_change.is_some());
}

#[test]
fn a_thunk_that_kills_its_processes_is_given_up() {
    let mut bench = Bench::new();
    let id = bench.start::<Echo>(json!({}), options()).unwrap();
    let mut begun = 0;
    while bench.info(id).state == ThunkState::Pending {
        begun += bench.lease().thunks.len();
        bench.pass(LEASE);
    }
    assert_eq!((begun, bench.info(id).state), (5, ThunkState::Rejected));
    assert_eq!(bench.info(id).error.unwrap(), "given up: 5 processes died while they ran it");
}

#[test]
fn a_renewed_lease_is_not_taken_over() {
    let mut bench = Bench::new();
    let id = bench.start::<Echo>(json!({}), options()).unwrap();
    let (_, lease) = bench.lease().thunks.remove(0);
    for _ in 0..10 {
        bench.pass(LEASE / 2);
        assert!(bench.core.keep_thunk(id, &lease, LEASE).unwrap());
        assert_eq!(bench.lease().thunks.len(), 0);
    }
    bench.pass(LEASE + Duration::from_secs(1));
    assert_eq!(bench.lease().thunks.len(), 1);
    assert!(!bench.core.keep_thunk(id, &lease, LEASE).unwrap());
}

#[test]
fn a_late_older_reply_does_not_overwrite_a_newer_one() {
    let mut bench = Bench::new();
    let document = bench.id;
    let latest = || options().latest_only("search").document(document);
    let older = bench.start::<Echo>(json!({"into": "/found"}), latest()).unwrap();
    let (_, older_lease) = bench.lease().thunks.remove(0);
    let newer = bench.start::<Echo>(json!({"into": "/found"}), latest()).unwrap();
    let other = bench.start::<Echo>(json!({}), options().latest_only("other")).unwrap();
    let superseded = bench.info(older);
    assert_eq!((superseded.state, superseded.superseded_by), (ThunkState::Aborted, Some(newer)));
    let leased = bench.lease().thunks;
    assert_eq!(leased.iter().map(|(info, _)| info.id).collect::<Vec<_>>(), [newer, other]);
    assert!(bench.core.settle_thunk(newer, &leased[0].1, Ok(json!({"say": "new"}))).unwrap());
    assert!(!bench.core.settle_thunk(older, &older_lease, Ok(json!({"say": "old"}))).unwrap());
    assert_eq!((bench.state("/found"), bench.info(older).result), (json!("new"), None));
}

#[test]
fn an_outcome_and_its_action_are_recorded_once() {
    let mut bench = Bench::new();
    let document = bench.id;
    let id = bench.start::<Echo>(json!({"into": "/said"}), options().document(document)).unwrap();
    let (_, lease) = bench.lease().thunks.remove(0);
    let before = bench.core.history(document, None).unwrap().len();
    for again in [true, false, false] {
        assert_eq!(bench.core.settle_thunk(id, &lease, Ok(json!({"say": "x"}))).unwrap(), again);
    }
    let history = bench.core.history(document, None).unwrap();
    assert_eq!((history.len(), bench.state("/said")), (before + 1, json!("x")));
    assert_eq!(bench.info(id).settled_change, Some(history.last().unwrap().hash));
}

#[test]
fn an_action_that_fails_takes_nothing_back_and_says_so() {
    let mut bench = Bench::new();
    let document = bench.id;
    let id = bench.start::<Echo>(json!({"into": "/a/b/c"}), options().document(document)).unwrap();
    bench.dispatch(crate::work::support::set("/a", 1));
    let (_, lease) = bench.lease().thunks.remove(0);
    assert!(bench.core.settle_thunk(id, &lease, Ok(json!({"say": "x"}))).unwrap());
    let info = bench.info(id);
    assert_eq!((info.state, info.result), (ThunkState::Fulfilled, Some(json!({"say": "x"}))));
    assert_eq!(info.error, None);
    assert!(info.follow_error.unwrap().contains("/a"));
}

#[test]
fn a_condition_that_does_not_hold_starts_nothing_and_sees_what_is_pending() {
    let mut bench = Bench::new();
    let document = bench.id;
    let when = |what: &str| json!({"when": what});
    assert!(bench.start::<Echo>(when("/there"), options().document(document)).is_none());
    bench.dispatch(crate::work::support::set("/there", 1));
    assert!(bench.start::<Echo>(when("/there"), options().document(document)).is_some());
    assert!(bench.start::<Echo>(when("none is pending"), options().key("k")).is_some());
    assert!(bench.start::<Echo>(when("none is pending"), options().key("k")).is_none());
    assert!(bench.start::<Echo>(when("none is pending"), options().key("l")).is_some());
    assert_eq!(bench.core.thunks().unwrap().len(), 3);
}

#[test]
fn an_abort_is_durable_and_what_comes_after_it_is_discarded() {
    let mut bench = Bench::new();
    let document = bench.id;
    let id = bench.start::<Echo>(json!({"into": "/said"}), options().document(document)).unwrap();
    let (_, lease) = bench.lease().thunks.remove(0);
    assert!(bench.core.abort_thunk(id).unwrap());
    assert!(!bench.core.abort_thunk(id).unwrap());
    assert!(!bench.core.keep_thunk(id, &lease, LEASE).unwrap());
    assert!(!bench.core.settle_thunk(id, &lease, Ok(json!({"say": "x"}))).unwrap());
    let mut bench = bench.reopened();
    assert_eq!((bench.info(id).state, bench.state("/said")), (ThunkState::Aborted, json!(null)));
    assert!(matches!(bench.core.abort_thunk(ThunkId::random()), Err(Error::UnknownThunk(_))));
}

#[test]
fn what_is_given_back_is_run_again_or_rejected_as_it_chose() {
    let mut bench = Bench::new();
    let resumed = bench.start::<Echo>(json!({}), options()).unwrap();
    let once = bench.start::<Once>(json!({}), options()).unwrap();
    for (info, lease) in bench.lease().thunks {
        bench.core.give_back_thunk(info.id, &lease).unwrap();
    }
    assert_eq!(bench.info(once).state, ThunkState::Rejected);
    let leased = bench.lease().thunks;
    assert_eq!((leased.len(), leased[0].0.id, leased[0].0.attempts), (1, resumed, 2));
}

#[test]
fn a_start_that_cannot_be_is_refused_with_a_clear_error() {
    let mut bench = Bench::new();
    let mut refused = |argument, options: StartOptions| {
        let request = ThunkRequest::new::<Echo>(argument, options);
        bench.core.start_thunk(&request).unwrap_err().to_string()
    };
    let no_document = refused(json!({"into": "/x"}), options());
    assert_eq!(no_document, "the thunk \"echo\": its action for fulfilled has no document to go to");
    assert!(refused(json!("x".repeat(2 << 20)), options()).contains("1048576 are possible"));
    assert!(refused(json!({}), options().key("")).contains("its key has 0 bytes"));
    let nowhere = refused(json!({}), options().document(rejoin::DocumentId::random()));
    assert!(nowhere.contains("no document is called"));
    let twice = ThunkRequest::new::<Echo>(json!({}), options());
    assert!(bench.core.start_thunk(&twice).unwrap().is_some());
    assert!(matches!(bench.core.start_thunk(&twice), Err(Error::InvalidThunk(_))));
    assert_eq!(bench.core.thunks().unwrap().len(), 1);
}

#[test]
fn only_the_newest_thousand_of_each_way_to_end_are_kept_and_every_pending_one() {
    let mut bench = Bench::new();
    let first = bench.start::<Echo>(json!({}), options().key("kept")).unwrap();
    for _ in 0..1_005 {
        bench.start::<Echo>(json!({}), options().latest_only("k")).unwrap();
    }
    let all = bench.core.thunks().unwrap();
    assert_eq!((all.len(), all[0].id), (1_002, first));
}
