//! Listeners in the file, under a clock that stands still.

use std::time::Duration;

use rejoin::{
    Origin,
    effects::EffectRequest,
    store::{Core, Reacted},
    work::{Listener, Reaction, StartOptions, ThunkRequest},
};
use serde_json::json;

use crate::work::support::{Bench, Echo, LEASE, hand_over, increment, path_of, set};

#[test]
fn a_listener_goes_on_after_a_restart_where_it_stopped_and_hears_each_action_once() {
    let mut bench = Bench::with(Listener::new("a"));
    (0..3).for_each(|n| bench.dispatch(set(&format!("/{n}"), n)));
    assert_eq!(bench.paths(), ["/0", "/1", "/2"]);
    let mut bench = bench.reopened();
    assert_eq!(bench.paths(), [""; 0]);
    (3..5).for_each(|n| bench.dispatch(set(&format!("/{n}"), n)));
    let mut bench = bench.reopened();
    assert_eq!(bench.paths(), ["/3", "/4"]);
}

#[test]
fn a_new_listener_begins_now_or_at_the_start_and_its_name_remembers() {
    let mut bench = Bench::new();
    bench.dispatch(set("/old", 1));
    bench.listen(Listener::new("now"));
    bench.listen(Listener::new("start").from_start());
    let heard = bench.hear(|_| Reaction::none());
    assert_eq!(heard.iter().map(|h| h.listener.as_str()).collect::<Vec<_>>(), ["start"]);
    // Registered again in another way: the name is known.
    bench.listen(Listener::new("now").from_start());
    assert_eq!(bench.hear(|_| Reaction::none()).len(), 0);
    assert!(bench.core.forget_listener("now").unwrap());
    assert!(!bench.core.forget_listener("now").unwrap());
}

#[test]
fn what_others_did_is_heard_as_theirs_and_a_document_that_comes_later_from_its_first_change() {
    let mut bench = Bench::with(Listener::new("a"));
    let mut far = Core::open_in_memory().unwrap();
    let id = far.create(None, None).unwrap();
    far.set_author(Some("Ben")).unwrap();
    far.dispatch(&[(id, set("/theirs", 1))]).unwrap();
    bench.core.join(id, None, None).unwrap();
    hand_over(&mut far, &mut bench.core, id);
    let heard = bench.hear(|_| Reaction::none());
    assert_eq!(heard.len(), 1);
    assert_eq!((heard[0].document, heard[0].author.as_deref()), (id, Some("Ben")));
    assert_eq!((heard[0].action_type.as_deref(), heard[0].origin), (Some("set"), Origin::Remote));
    assert_eq!(bench.hear(|_| Reaction::none()), []);
}

#[test]
fn a_reaction_is_recorded_with_the_position_and_the_listener_does_not_hear_itself() {
    let mut bench = Bench::with(Listener::new("a"));
    bench.listen(Listener::new("b"));
    bench.dispatch(set("/x", 1));
    let seen = bench.hear(|heard| match heard.listener.as_str() {
        "a" => Reaction::none()
            .action(increment("/n", 1))
            .effect(EffectRequest::new("mail", json!({})))
            .thunk(ThunkRequest::new::<Echo>(json!({}), StartOptions::new())),
        _ => Reaction::none(),
    });
    let seen: Vec<_> = seen.iter().map(|h| format!("{}{}", h.listener, path_of(h))).collect();
    assert_eq!(seen, ["a/x", "b/x", "b/n"]);
    assert_eq!((bench.state("/n"), bench.core.effects().unwrap().len()), (json!(1), 1));
    assert_eq!(bench.core.thunks().unwrap().len(), 1);
    let mut bench = bench.reopened();
    assert_eq!(bench.paths(), [""; 0]);
}

#[test]
fn a_death_before_the_position_moves_hears_again_and_records_once() {
    let mut bench = Bench::with(Listener::new("a"));
    bench.dispatch(set("/x", 1));
    let (heard, dead) = bench.lease().heard.remove(0);
    let mut bench = bench.reopened();
    let waiting = bench.lease();
    assert_eq!((waiting.heard.len(), waiting.wait), (0, Some(LEASE)));
    bench.pass(LEASE);
    let (again, claim) = bench.lease().heard.remove(0);
    assert_eq!((again.key, again.attempt), (heard.key, 2));
    let reaction = Reaction::none().action(increment("/n", 1));
    assert!(matches!(bench.react(&heard, &dead, &reaction), Reacted::Lost));
    assert!(matches!(bench.react(&again, &claim, &reaction), Reacted::Done));
    assert!(matches!(bench.react(&again, &claim, &reaction), Reacted::Lost));
    assert_eq!(bench.state("/n"), 1);
}

#[test]
fn a_failure_waits_does_not_skip_and_after_the_limit_is_parked_until_somebody_lets_it_go_on() {
    let mut bench = Bench::with(Listener::new("a"));
    let document = bench.id;
    bench.dispatch(set("/x", 1));
    bench.dispatch(set("/y", 1));
    for attempt in 1..=3 {
        let (heard, claim) = bench.lease().heard.remove(0);
        assert_eq!((path_of(&heard).as_str(), heard.attempt), ("/x", attempt));
        bench.fail(&claim, 3);
        assert!(bench.lease().heard.is_empty());
        bench.pass(Duration::from_secs(5));
    }
    assert!(bench.lease().heard.is_empty());
    let shown = bench.core.listeners().unwrap().remove(0);
    assert_eq!((shown.parked, shown.attempts, shown.last_error.as_deref()), (true, 3, Some("a bad day")));
    assert_eq!(bench.core.resume_listener("a", None).unwrap(), 1);
    let (heard, claim) = bench.lease().heard.remove(0);
    assert_eq!((path_of(&heard).as_str(), heard.attempt), ("/x", 1));
    bench.fail(&claim, 1);
    assert_eq!(bench.core.skip_listener("a", document).unwrap(), 1);
    assert_eq!(bench.core.skip_listener("a", document).unwrap(), 0);
    assert_eq!(bench.paths(), ["/y"]);
    assert!(bench.core.resume_listener("b", None).is_err());
}

#[test]
fn a_reaction_that_cannot_be_recorded_is_not_recorded_at_all() {
    let mut bench = Bench::with(Listener::new("a"));
    bench.dispatch(set("/x", 1));
    let (heard, claim) = bench.lease().heard.remove(0);
    let half = Reaction::none().action(increment("/n", 1)).action(increment("/x/nowhere", 1));
    assert!(matches!(bench.react(&heard, &claim, &half), Reacted::Refused(_)));
    assert_eq!(bench.state("/n"), json!(null));
    bench.fail(&claim, 9);
    bench.pass(Duration::from_secs(5));
    let whole = bench.hear(|_| Reaction::none().action(increment("/n", 1)));
    assert_eq!((whole.len(), bench.state("/n")), (1, json!(1)));
}

#[test]
fn a_document_on_which_it_fails_does_not_hold_up_others() {
    let mut bench = Bench::with(Listener::new("a"));
    let other = bench.core.create(None, None).unwrap();
    bench.dispatch(set("/x", 1));
    bench.core.dispatch(&[(other, set("/y", 1))]).unwrap();
    let heard = bench.lease().heard;
    assert_eq!(heard.len(), 2);
    bench.fail(&heard[0].1, 1);
    assert!(matches!(bench.react(&heard[1].0, &heard[1].1, &Reaction::none()), Reacted::Done));
    bench.core.dispatch(&[(other, set("/z", 1))]).unwrap();
    assert_eq!(bench.paths(), ["/z"]);
}

#[test]
fn what_is_not_wanted_is_passed_over_however_much_it_is() {
    let mut bench = Bench::with(Listener::new("a").types(["increment"]));
    let id = bench.id;
    let many: Vec<_> = (0..700).map(|n| (id, set("/x", n))).collect();
    bench.core.dispatch(&many).unwrap();
    bench.dispatch(increment("/n", 1));
    let heard = bench.hear(|_| Reaction::none());
    assert_eq!((heard.len(), heard[0].origin), (1, Origin::Local));
    bench.core.dispatch(&many).unwrap();
    assert_eq!(bench.paths(), [""; 0]);
    let shown = bench.core.listeners().unwrap().remove(0);
    assert!(shown.last - shown.position < 256, "{shown:?}");
}

#[test]
fn what_was_heard_is_not_heard_again_when_a_drop_writes_it_again_and_what_was_not_is() {
    let mut bench = Bench::with(Listener::new("a"));
    let id = bench.id;
    bench.dispatch(set("/first", 1));
    bench.dispatch(set("/second", 1));
    assert_eq!(bench.paths(), ["/first", "/second"]);
    // Heard, and not yet recorded when the drop comes.
    bench.dispatch(set("/third", 1));
    let (third, claim) = bench.lease().heard.remove(0);
    bench.dispatch(set("/fourth", 1));
    let first = bench.core.queue(Some(id)).unwrap()[0].change_hash.to_string();
    let dropped = bench.core.drop_queued(&first).unwrap();
    assert_eq!((dropped.dropped.len(), dropped.rewritten), (1, 3));
    let Reacted::Next(next) = bench.react(&third, &claim, &Reaction::none()) else { panic!("lost") };
    assert_eq!(path_of(&next.0), "/fourth");
    assert!(matches!(bench.react(&next.0, &next.1, &Reaction::none()), Reacted::Done));
    // And once more, with what was rewritten already.
    bench.dispatch(set("/fifth", 1));
    let second = bench.core.queue(Some(id)).unwrap()[0].change_hash.to_string();
    bench.core.drop_queued(&second).unwrap();
    assert_eq!(bench.paths(), ["/fifth"]);
    assert_eq!(bench.reopened().paths(), [""; 0]);
}

#[test]
fn what_was_heard_is_not_heard_again_when_a_fork_writes_it_again_and_what_was_not_is_heard_once() {
    // Two stores with one actor, as after copying a file: what the second wrote cannot stand beside the first's.
    let mut bench = Bench::with(Listener::new("a"));
    let id = bench.id;
    bench.dispatch(set("/shared", 1));
    let mut copy = bench.copied();
    bench.dispatch(set("/mine", 1));
    bench.dispatch(set("/mine later", 1));
    let (_, claim) = bench.lease().heard.remove(0);
    bench.core.give_back_listener(&claim).unwrap();
    assert_eq!(bench.paths(), ["/shared", "/mine", "/mine later"]);
    // Not heard yet when the fork is found.
    bench.dispatch(set("/unheard", 1));
    copy.dispatch(set("/theirs", 1));
    let outcome = hand_over(&mut copy.core, &mut bench.core, id);
    assert!(outcome.rewritten > 0, "{outcome:?}");
    let heard = bench.hear(|_| Reaction::none());
    let types: Vec<_> = heard.iter().map(|h| (path_of(h), h.origin)).collect();
    // Of the other's action there is no payload here.
    assert_eq!(types, [("/unheard".to_owned(), Origin::Local), ("?".to_owned(), Origin::Remote)]);
    assert_ne!(heard[0].hash, heard[0].key);
    let history = bench.core.history(id, None).unwrap();
    let live = |hash| history.iter().any(|h| h.hash == hash && h.replaced_by.is_none());
    assert!(heard.iter().all(|h| live(h.hash)));
    assert_eq!(bench.reopened().paths(), [""; 0]);
}
