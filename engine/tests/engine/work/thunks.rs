//! Thunks where they run: real stores, real tasks.

use std::{path::Path, sync::Arc, time::Duration};

use rejoin::{
    DocumentId, Error, Store,
    work::{
        Settled, StartOptions, Thunk, ThunkCause, ThunkContext, ThunkError, ThunkFailure, ThunkInfo,
        ThunkState, WorkOptions,
    },
};
use serde_json::{Value, json};
use tokio::{sync::oneshot, task::JoinHandle};

use crate::work::support::{Echo, Gate, Once, Waits, soon};

struct Panics;

impl Thunk for Panics {
    const NAME: &'static str = "panics";
    type Argument = ();
    type Output = ();
    type Error = String;

    async fn run(&self, _: ThunkContext, (): ()) -> Result<(), String> {
        panic!("a bad day")
    }
}

struct Hangs(Arc<Gate>);

impl Thunk for Hangs {
    const NAME: &'static str = "hangs";
    const DEADLINE: Duration = Duration::from_millis(20);
    type Argument = i64;
    type Output = i64;
    type Error = String;

    async fn run(&self, cx: ThunkContext, argument: i64) -> Result<i64, String> {
        Waits(Arc::clone(&self.0)).run(cx, argument).await
    }
}

async fn open(path: &Path, gate: &Arc<Gate>) -> Store {
    let waits = Waits(Arc::clone(gate));
    let builder = Store::builder(path).thunk(Echo).thunk(Once).thunk(Panics).thunk(waits);
    builder.thunk(Hangs(Arc::clone(gate))).open().await.unwrap()
}

/// A runner, until it is told to stop.
struct Running(Option<oneshot::Sender<()>>, JoinHandle<Result<(), Error>>);

impl Running {
    fn start(store: &Store) -> Self {
        let (store, (stop, stopped)) = (store.clone(), oneshot::channel::<()>());
        let options = WorkOptions::default().grace(Duration::ZERO);
        let run = async move { store.run(options, async { drop(stopped.await) }).await };
        Self(Some(stop), tokio::spawn(run))
    }

    async fn stop(mut self) {
        drop(self.0.take());
        soon(self.1).await.unwrap().unwrap();
    }
}

fn options() -> StartOptions {
    StartOptions::new()
}

#[tokio::test]
async fn pending_and_fulfilled_are_told_and_the_output_comes_back_typed() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::default();
    let store = open(&dir.path().join("a.db"), &gate).await;
    let mut events = store.thunk_events();
    let handle = store.start::<Waits>(7, options()).await.unwrap().unwrap();
    let running = Running::start(&store);
    gate.until(&gate.begun, 1).await;
    gate.let_go(7);
    assert_eq!(soon(handle.wait()).await.unwrap(), Settled::Fulfilled(7));
    assert_eq!(handle.unwrap().await.unwrap(), 7);
    let mut told = Vec::new();
    while told.last() != Some(&(ThunkState::Fulfilled, false)) {
        let info: ThunkInfo = soon(events.recv()).await.unwrap();
        assert_eq!(info.id, handle.id());
        told.push((info.state, info.running));
    }
    let (pending, fulfilled) = (ThunkState::Pending, ThunkState::Fulfilled);
    assert_eq!(told, [(pending, false), (pending, true), (fulfilled, false)]);
    running.stop().await;
}

#[tokio::test]
async fn an_error_a_panic_and_a_deadline_reject_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::default();
    let store = open(&dir.path().join("a.db"), &gate).await;
    let fails = store.start::<Echo>(json!({"fail": "no"}), options()).await.unwrap().unwrap();
    let panics = store.start::<Panics>((), options()).await.unwrap().unwrap();
    let hangs = store.start::<Hangs>(1, options()).await.unwrap().unwrap();
    soon(store.run_until_idle(WorkOptions::default())).await.unwrap();
    assert_eq!(fails.wait().await.unwrap(), Settled::Rejected("no".to_owned()));
    let failed = |cause, why: &str| ThunkFailure::new(cause, why);
    let panicked = failed(ThunkCause::Panicked, "a bad day");
    assert_eq!(panics.wait().await.unwrap(), Settled::Failed(panicked));
    let late = failed(ThunkCause::TimedOut, "it did not end within 20 ms");
    assert_eq!(hangs.wait().await.unwrap(), Settled::Failed(late));
    gate.until(&gate.dropped, 1).await;
    assert!(matches!(fails.unwrap().await, Err(ThunkError::Rejected(why)) if why == "no"));
}

#[tokio::test]
async fn abort_stops_the_work() {
    let dir = tempfile::tempdir().unwrap();
    let gate: Arc<Gate> = Arc::default();
    let store = open(&dir.path().join("a.db"), &gate).await;
    let running = Running::start(&store);
    let handle = store.start::<Waits>(1, options()).await.unwrap().unwrap();
    gate.until(&gate.begun, 1).await;
    assert!(handle.abort().await.unwrap());
    gate.until(&gate.dropped, 1).await;
    assert_eq!(soon(handle.wait()).await.unwrap(), Settled::Aborted("aborted".to_owned()));
    assert!(!handle.abort().await.unwrap());
    running.stop().await;
}

#[tokio::test]
async fn abort_stops_the_work_of_another_process_too() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate: Arc<Gate> = Arc::default();
    // Two stores on one file are to each other as two processes.
    let (asks, runs) = (open(&path, &gate).await, open(&path, &gate).await);
    let running = Running::start(&runs);
    let handle = asks.start::<Waits>(1, options()).await.unwrap().unwrap();
    gate.until(&gate.begun, 1).await;
    assert!(handle.abort().await.unwrap());
    gate.until(&gate.dropped, 1).await;
    running.stop().await;
}

#[tokio::test]
async fn what_another_process_ran_is_waited_for_and_told_here() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate: Arc<Gate> = Arc::default();
    let asks = Store::open(&path).await.unwrap();
    let mut events = asks.thunk_events();
    // Started where nobody can run it: it waits for one who can.
    let handle = asks.start::<Echo>(json!({"say": 1}), options()).await.unwrap().unwrap();
    soon(asks.run_until_idle(WorkOptions::default())).await.unwrap();
    assert_eq!(handle.info().await.unwrap().state, ThunkState::Pending);
    let runs = open(&path, &gate).await;
    let running = Running::start(&runs);
    assert_eq!(soon(handle.unwrap()).await.unwrap(), json!({"say": 1}));
    while soon(events.recv()).await.unwrap().state != ThunkState::Fulfilled {}
    running.stop().await;
}

#[tokio::test]
async fn only_the_latest_counts_whatever_the_order_of_the_replies() {
    let dir = tempfile::tempdir().unwrap();
    let gate: Arc<Gate> = Arc::default();
    let store = open(&dir.path().join("a.db"), &gate).await;
    let running = Running::start(&store);
    let older = store.start::<Waits>(1, options().latest_only("k")).await.unwrap().unwrap();
    gate.until(&gate.begun, 1).await;
    let newer = store.start::<Waits>(2, options().latest_only("k")).await.unwrap().unwrap();
    gate.until(&gate.begun, 2).await;
    gate.let_go(2);
    assert_eq!(soon(newer.unwrap()).await.unwrap(), 2);
    gate.let_go(1);
    assert!(matches!(soon(older.unwrap()).await, Err(ThunkError::Aborted(_))));
    gate.until(&gate.dropped, 2).await;
    assert_eq!(older.info().await.unwrap().result, None);
    running.stop().await;
}

#[tokio::test]
async fn a_runner_that_is_stopped_or_dropped_gives_back_and_another_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate: Arc<Gate> = Arc::default();
    let (first, second) = (open(&path, &gate).await, open(&path, &gate).await);
    let running = Running::start(&first);
    let handle = second.start::<Waits>(1, options()).await.unwrap().unwrap();
    gate.until(&gate.begun, 1).await;
    running.stop().await;
    gate.until(&gate.dropped, 1).await;
    // The next one is not told to stop: its future is dropped.
    let dropped = Running::start(&first);
    gate.until(&gate.begun, 2).await;
    dropped.1.abort();
    gate.until(&gate.dropped, 2).await;
    let running = Running::start(&second);
    gate.until(&gate.begun, 3).await;
    gate.let_go(1);
    assert_eq!(soon(handle.unwrap()).await.unwrap(), 1);
    assert_eq!(handle.info().await.unwrap().attempts, 3);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_on_one_file_run_each_thunk_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate: Arc<Gate> = Arc::default();
    let (first, second) = (open(&path, &gate).await, open(&path, &gate).await);
    let document = first.create(None, None).await.unwrap();
    let both = [Running::start(&first), Running::start(&second)];
    let mut handles = Vec::new();
    for n in 0..40 {
        let store = if n % 2 == 0 { &first } else { &second };
        let argument = json!({"say": n, "into": format!("/{n}")});
        handles.push(store.start::<Echo>(argument, options().document(document)).await.unwrap().unwrap());
    }
    for handle in &handles {
        soon(handle.unwrap()).await.unwrap();
    }
    let all = first.thunks().await.unwrap();
    assert!(all.iter().all(|info| info.attempts == 1 && info.state == ThunkState::Fulfilled));
    assert_eq!(first.history(document, None).await.unwrap().len(), 40);
    for running in both {
        running.stop().await;
    }
}

#[tokio::test]
async fn a_condition_that_does_not_hold_is_told_by_value() {
    let dir = tempfile::tempdir().unwrap();
    let gate = Arc::default();
    let store = open(&dir.path().join("a.db"), &gate).await;
    let when = || json!({"when": "none is pending"});
    assert!(store.start::<Echo>(when(), options()).await.unwrap().is_some());
    assert!(store.start::<Echo>(when(), options()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_table_can_be_read_by_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let gate = Arc::default();
    let store = open(&path, &gate).await;
    let document: DocumentId = store.create(None, None).await.unwrap();
    let argument = json!({"say": 1, "into": "/n"});
    let handle = store.start::<Echo>(argument.clone(), options().key("k").document(document)).await.unwrap();
    let id = handle.unwrap().id();
    store.run_until_idle(WorkOptions::default()).await.unwrap();
    let raw =
        rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT id, name, key, document, state, running, attempts, argument, result FROM thunks";
    let row: (String, String, String, String, String, bool, i64, String, String) = raw
        .query_row(sql, [], |r| {
            Ok((
                r.get(0)?,
                r.get(1)?,
                r.get(2)?,
                r.get(3)?,
                r.get(4)?,
                r.get(5)?,
                r.get(6)?,
                r.get(7)?,
                r.get(8)?,
            ))
        })
        .unwrap();
    let texts = [id.to_string(), "echo".into(), "k".into(), document.to_string(), "fulfilled".into()];
    assert_eq!([row.0, row.1, row.2, row.3, row.4], texts);
    assert_eq!((row.5, row.6), (false, 1));
    assert_eq!(serde_json::from_str::<Value>(&row.7).unwrap(), argument);
    assert_eq!(serde_json::from_str::<Value>(&row.8).unwrap(), argument);
}

#[tokio::test]
async fn a_name_that_is_taken_is_told_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let twice = Store::builder(dir.path().join("a.db")).thunk(Echo).thunk(Echo).open().await;
    assert!(matches!(twice, Err(Error::InvalidThunk(_))));
}

/// A runner can be spawned on any runtime.
#[tokio::test]
async fn what_is_run_can_be_sent() {
    fn is_send<T: Send>(_: &T) {}
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).await.unwrap();
    is_send(&store.run(WorkOptions::default(), std::future::ready(())));
    is_send(&store.run_until_idle(WorkOptions::default()));
}

/// "Whoever opens the store next does it at once": within the same process, too, whose own lease it is.
#[tokio::test]
async fn closing_a_store_gives_back_what_its_runners_were_doing() {
    let dir = tempfile::tempdir().unwrap();
    let (path, gate) = (dir.path().join("a.db"), Arc::default());
    let store = open(&path, &gate).await;
    let id = store.start::<Waits>(7, options()).await.unwrap().unwrap().id();
    let running = Running::start(&store);
    gate.until(&gate.begun, 1).await;
    store.close().await.unwrap();
    assert!(matches!(soon(running.1).await.unwrap(), Err(Error::Closed)));
    let store = open(&path, &gate).await;
    let info = store.thunk_info(id).await.unwrap();
    assert_eq!((info.state, info.running), (ThunkState::Pending, false));
    let running = Running::start(&store);
    gate.until(&gate.begun, 2).await;
    gate.let_go(7);
    running.stop().await;
}

#[test]
fn a_runner_without_its_runtime_is_an_error_and_no_panic() {
    let dir = tempfile::tempdir().unwrap();
    let with_timers = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = with_timers.block_on(async {
        let store = open(&dir.path().join("a.db"), &Arc::default()).await;
        store.start::<Echo>(json!(1), options()).await.unwrap().unwrap();
        store
    });
    let without = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let effects = || (rejoin::effects::EffectHandlers::new(), rejoin::effects::EffectOptions::default());
    without.block_on(async {
        for refused in [
            store.run_until_idle(WorkOptions::default()).await,
            store.run(WorkOptions::default(), async {}).await,
            store.run_effects_until_idle(effects().0, effects().1).await,
            store.run_effects(effects().0, effects().1, async {}).await,
        ] {
            assert!(matches!(refused, Err(Error::NoRuntime(_))), "{refused:?}");
        }
    });
}
