//! The runner: handlers that hang, panic and are broken off; several stores on one file.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin::{
    DocumentId, Store,
    effects::{
        Effect, EffectHandlers, EffectId, EffectOptions, EffectRequest, EffectState, Outcome, Schedule,
        handler,
    },
};
use serde_json::{Value, json};
use tokio::sync::{Notify, oneshot};

use crate::effects::support::{ask, increment, set};

/// Nothing here takes longer, or it never comes.
const PATIENCE: Duration = Duration::from_secs(120);

async fn open(path: &Path) -> (Store, DocumentId) {
    let store = Store::open(path).await.unwrap();
    let id = match store.documents().await.unwrap().first() {
        Some(document) => document.id,
        None => store.create(None, None).await.unwrap(),
    };
    (store, id)
}

async fn asked(store: &Store, id: DocumentId, effect: EffectRequest) -> EffectId {
    let name = effect.id();
    store.dispatch_with(id, increment("/asked", 1), vec![effect]).await.unwrap();
    name
}

async fn effect(store: &Store, id: EffectId) -> Effect {
    store.effect(&id.to_string()).await.unwrap()
}

/// Waits until the effect stands so, whichever handle made it.
async fn until(store: &Store, id: EffectId, state: EffectState) -> Effect {
    let wait = async {
        loop {
            let now = effect(store, id).await;
            if now.state == state {
                return now;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait).await.expect("it never comes to that")
}

fn quick() -> EffectOptions {
    EffectOptions::default().schedule(Schedule::of([Duration::from_millis(1)])).grace(Duration::ZERO)
}

#[tokio::test]
async fn a_handler_that_panics_is_a_failed_attempt_with_a_clear_error_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    let tries = AtomicUsize::new(0);
    let panics_once = handler(move |_| {
        let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            assert!(!first, "a bad day");
            Outcome::Done(Value::Null)
        }
    });
    let (shown, other) = (asked(&store, id, ask("x")).await, asked(&store, id, ask("y")).await);
    let handlers = EffectHandlers::new().with("test", panics_once);
    let slow = EffectOptions::default().at_once(1);
    store.run_effects_until_idle(handlers.clone(), slow).await.unwrap();
    let panicked = effect(&store, shown).await;
    assert_eq!((panicked.state, panicked.attempts), (EffectState::Waiting, 1));
    assert_eq!(panicked.last_error.as_deref(), Some("the handler panicked: a bad day"));
    assert_eq!(effect(&store, other).await.state, EffectState::Done);
    store.hurry_effects().await.unwrap();
    store.run_effects_until_idle(handlers, quick()).await.unwrap();
    assert_eq!(effect(&store, shown).await.state, EffectState::Done);
}

#[tokio::test]
async fn a_handler_that_panics_before_its_first_await_is_caught_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    struct Rude;
    impl rejoin::effects::EffectHandler for Rude {
        fn handle(&self, effect: Effect) -> futures_util::future::BoxFuture<'_, Outcome> {
            panic!("not even a future for {}", effect.kind)
        }
    }
    let name = asked(&store, id, ask("x").attempt_limit(1)).await;
    store.run_effects_until_idle(EffectHandlers::new().with("test", Rude), quick()).await.unwrap();
    let dead = effect(&store, name).await;
    assert_eq!(dead.state, EffectState::Dead);
    let why = "given up after 1 failed attempts: the handler panicked: not even a future for test";
    assert_eq!(dead.last_error.as_deref(), Some(why));
}

#[tokio::test]
async fn a_handler_that_hangs_is_broken_off_with_a_clear_error_and_blocks_no_other_lane() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    let hangs = handler(|effect| async move {
        if effect.lane == "hangs" {
            std::future::pending::<()>().await;
        }
        Outcome::Done(Value::Null)
    });
    let hung = asked(&store, id, ask("hangs").timeout(Duration::from_millis(50)).attempt_limit(2)).await;
    let other = asked(&store, id, ask("fine")).await;
    let handlers = EffectHandlers::new().with("test", hangs);
    let runner = store.run_effects(handlers, quick(), std::future::pending());
    tokio::select! {
        ended = runner => panic!("the runner ended: {ended:?}"),
        dead = until(&store, hung, EffectState::Dead) => {
            let why = "given up after 2 failed attempts: the handler did not end within 50 ms";
            assert_eq!((dead.attempts, dead.last_error.as_deref()), (2, Some(why)));
        }
    }
    assert_eq!(effect(&store, other).await.state, EffectState::Done);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_handler_that_blocks_its_thread_holds_up_no_other_lane() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    let (free, blocked) = std::sync::mpsc::channel::<()>();
    let blocked = Arc::new(Mutex::new(blocked));
    let blocks = handler(move |effect| {
        let blocked = Arc::clone(&blocked);
        async move {
            if effect.lane == "blocks" {
                let _ = blocked.lock().unwrap().recv();
            }
            Outcome::Done(Value::Null)
        }
    });
    let stuck = asked(&store, id, ask("blocks").timeout(Duration::from_millis(50)).attempt_limit(1)).await;
    let other = asked(&store, id, ask("fine")).await;
    let handlers = EffectHandlers::new().with("test", blocks);
    tokio::time::timeout(PATIENCE, store.run_effects_until_idle(handlers, quick())).await.unwrap().unwrap();
    assert_eq!(effect(&store, stuck).await.state, EffectState::Dead);
    assert_eq!(effect(&store, other).await.state, EffectState::Done);
    drop(free);
}

#[tokio::test]
async fn what_is_being_sent_when_the_runner_goes_away_is_given_back_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (store, id) = open(&path).await;
    let name = asked(&store, id, ask("x")).await;
    let begun = Arc::new(Notify::new());
    let notify = Arc::clone(&begun);
    let never_ends = handler(move |_| {
        notify.notify_one();
        std::future::pending()
    });
    let handlers = EffectHandlers::new().with("test", never_ends);
    // Dropped in the middle, and told to stop in the middle.
    for told in [false, true] {
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async { drop(stopped.await) };
        let runner = store.run_effects(handlers.clone(), quick(), stopped);
        let mut runner = Box::pin(runner);
        tokio::select! {
            ended = &mut runner => panic!("the runner ended: {ended:?}"),
            () = begun.notified() => {}
        }
        if told {
            stop.send(()).unwrap();
            runner.await.unwrap();
        } else {
            drop(runner);
        }
        let back = effect(&store, name).await;
        assert_eq!((back.state, back.next_attempt_at, back.charged), (EffectState::Waiting, None, 0));
    }
    drop(store);
    // Another process need not wait for a lease to run out.
    let (store, _) = open(&path).await;
    let handlers = EffectHandlers::new().with("test", handler(|_| async { Outcome::Done(Value::Null) }));
    store.run_effects_until_idle(handlers, quick()).await.unwrap();
    let done = effect(&store, name).await;
    assert_eq!((done.state, done.attempts), (EffectState::Done, 3));
}

#[tokio::test]
async fn what_is_being_sent_may_end_when_the_runner_is_told_to_stop() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    let name = asked(&store, id, ask("x").commit(set("/done", true))).await;
    let (begun, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, wait) = (Arc::clone(&begun), Arc::clone(&go_on));
    let slow = handler(move |_| {
        let (tell, wait) = (Arc::clone(&tell), Arc::clone(&wait));
        async move {
            tell.notify_one();
            wait.notified().await;
            Outcome::Done(Value::Null)
        }
    });
    let shutdown = async move {
        begun.notified().await;
        go_on.notify_one();
    };
    let handlers = EffectHandlers::new().with("test", slow);
    store.run_effects(handlers, quick().grace(PATIENCE), shutdown).await.unwrap();
    assert_eq!(effect(&store, name).await.state, EffectState::Done);
    assert_eq!(store.state(id, "/done").await.unwrap(), true);
}

#[tokio::test]
async fn two_stores_on_one_file_send_each_effect_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (one, id) = open(&path).await;
    let (two, _) = open(&path).await;
    let sent: Arc<Mutex<Vec<(usize, EffectId)>>> = Arc::default();
    let effects: Vec<_> =
        (0..60).map(|n| ask(&format!("lane {}", n % 7)).commit(increment("/done", 1))).collect();
    let mut expected: Vec<_> = effects.iter().map(EffectRequest::id).collect();
    one.dispatch_with(id, increment("/asked", 1), effects).await.unwrap();
    // Nothing ends before both have begun one: four lanes at once leave three for the other.
    let both = tokio::sync::watch::Sender::new([false; 2]);
    let runners = [&one, &two].into_iter().enumerate().map(|(nth, store)| {
        let (sent, both) = (Arc::clone(&sent), both.clone());
        let slow = handler(move |effect| {
            sent.lock().unwrap().push((nth, effect.id));
            both.send_modify(|begun| begun[nth] = true);
            let mut both = both.subscribe();
            async move {
                both.wait_for(|begun| *begun == [true; 2]).await.unwrap();
                Outcome::Done(Value::Null)
            }
        });
        let handlers = EffectHandlers::new().with("test", slow);
        store.run_effects(handlers, quick(), std::future::pending())
    });
    let all_done = async {
        while two.effects().await.unwrap().iter().any(|e| e.state != EffectState::Done) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = futures_util::future::join_all(runners) => panic!("a runner ended"),
        done = tokio::time::timeout(PATIENCE, all_done) => done.unwrap(),
    }
    let sent = sent.lock().unwrap().clone();
    let mut keys: Vec<_> = sent.iter().map(|(_, id)| *id).collect();
    keys.sort_unstable();
    expected.sort_unstable();
    assert_eq!(keys, expected);
    assert!([0, 1].iter().all(|nth| sent.iter().any(|(by, _)| by == nth)), "one of them sent all: {sent:?}");
    assert_eq!(one.state(id, "/done").await.unwrap(), 60);
}

#[tokio::test]
async fn what_is_asked_for_while_the_runner_waits_is_sent_at_once_also_from_another_handle() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (store, id) = open(&path).await;
    let (other, _) = open(&path).await;
    let handlers = EffectHandlers::new().with("test", handler(|_| async { Outcome::Done(Value::Null) }));
    let work = async {
        let own = asked(&store, id, ask("x")).await;
        until(&store, own, EffectState::Done).await;
        let foreign = asked(&other, id, ask("x")).await;
        until(&store, foreign, EffectState::Done).await;
    };
    tokio::select! {
        ended = store.run_effects(handlers, quick(), std::future::pending()) => panic!("{ended:?}"),
        () = work => {}
    }
}

#[tokio::test]
async fn a_kind_that_nobody_here_sends_is_left_for_others() {
    let dir = tempfile::tempdir().unwrap();
    let (store, id) = open(&dir.path().join("a.db")).await;
    let foreign = asked(&store, id, EffectRequest::new("fax", json!({})).lane("a")).await;
    let behind = asked(&store, id, ask("a")).await;
    let own = asked(&store, id, ask("b")).await;
    let handlers = EffectHandlers::new().with("test", handler(|_| async { Outcome::Done(Value::Null) }));
    store.run_effects_until_idle(handlers, quick()).await.unwrap();
    for (name, state) in
        [(foreign, EffectState::Waiting), (behind, EffectState::Waiting), (own, EffectState::Done)]
    {
        let left = effect(&store, name).await;
        assert_eq!((left.state, left.attempts), (state, u64::from(state == EffectState::Done)));
    }
}

#[tokio::test]
async fn a_lease_is_renewed_for_as_long_as_sending_takes() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (store, id) = open(&path).await;
    let (other, _) = open(&path).await;
    let name = asked(&store, id, ask("x")).await;
    let go_on = Arc::new(Notify::new());
    let wait = Arc::clone(&go_on);
    let tries = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&tries);
    let slow = handler(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        let wait = Arc::clone(&wait);
        async move {
            wait.notified().await;
            Outcome::Done(Value::Null)
        }
    });
    let handlers = EffectHandlers::new().with("test", slow);
    let lease = Duration::from_millis(1_500);
    let first = store.run_effects(handlers.clone(), quick().lease(lease), std::future::pending());
    let second = other.run_effects(handlers, quick().lease(lease), std::future::pending());
    let work = async {
        until(&store, name, EffectState::Running).await;
        // Longer than a lease: the renewals are seen in the file.
        let raw = rusqlite::Connection::open(&path).unwrap();
        let until_now = || raw.query_row("SELECT lease_until FROM job", [], |r| r.get::<_, i64>(0)).unwrap();
        let begun = until_now();
        while until_now() <= begun + 1_500 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        go_on.notify_one();
        until(&store, name, EffectState::Done).await;
    };
    tokio::select! {
        ended = first => panic!("{ended:?}"),
        ended = second => panic!("{ended:?}"),
        done = tokio::time::timeout(PATIENCE, work) => done.unwrap(),
    }
    assert_eq!((tries.load(Ordering::SeqCst), effect(&store, name).await.attempts), (1, 1));
}

#[tokio::test]
async fn an_outcome_is_not_lost_when_the_file_cannot_be_written_just_now() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (store, id) = open(&path).await;
    let name = asked(&store, id, ask("x").commit(increment("/confirmed", 1))).await;
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.busy_timeout(PATIENCE).unwrap();
    // Until this is gone the outcome cannot be written.
    raw.execute_batch(
        "CREATE TRIGGER no_room BEFORE UPDATE ON job WHEN NEW.state = 'done'
         BEGIN SELECT RAISE(FAIL, 'no room'); END;",
    )
    .unwrap();
    let sent = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&sent);
    let answers = handler(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async { Outcome::Done(Value::Null) }
    });
    let handlers = EffectHandlers::new().with("test", answers);
    let mend = async {
        while sent.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        // It is tried at least once before this, or right after: either way it is recorded in the end.
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert_eq!(effect(&store, name).await.state, EffectState::Running);
        raw.execute_batch("DROP TRIGGER no_room").unwrap();
    };
    let run = store.run_effects_until_idle(handlers, quick());
    let (ran, ()) = tokio::time::timeout(PATIENCE, async { tokio::join!(run, mend) }).await.unwrap();
    ran.unwrap();
    assert_eq!((effect(&store, name).await.state, sent.load(Ordering::SeqCst)), (EffectState::Done, 1));
    assert_eq!(store.state(id, "/confirmed").await.unwrap(), 1);
}
