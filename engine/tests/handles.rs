//! Several handles and processes on one file: every change of a document is told to every subscriber once, in order, and
//! selectors never lag behind the state.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

use std::{
    path::Path,
    process::{Child, Command},
    time::Duration,
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    Action, ChangeHash, DocumentId, Event, Slice, Store,
    slice::{Draft, Rejection},
};
use serde::{Deserialize, Serialize};
use tokio::{sync::broadcast, time::timeout};

/// What another process of this test does: `FILE DOCUMENT COUNT`.
const OTHER: &str = "REJOIN_OTHER_PROCESS";
/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Count;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Act {
    Add { by: i64 },
}

impl Slice for Count {
    const NAME: &'static str = "count";
    type State = std::collections::BTreeMap<String, i64>;
    type Action = Act;

    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        let Act::Add { by } = action;
        draft.increment("/n", *by)
    }
}

async fn open(path: &Path) -> Store {
    Store::builder(path).slice::<Count>().open().await.unwrap()
}

/// Not a test of its own: the other process.
#[tokio::test]
async fn other_process() {
    let Ok(orders) = std::env::var(OTHER) else { return };
    let [path, document, count] = orders.splitn(3, '\n').collect::<Vec<_>>().try_into().unwrap();
    let store = open(Path::new(path)).await;
    let document: DocumentId = document.parse().unwrap();
    for _ in 0..count.parse().unwrap() {
        store.slice::<Count>(document).dispatch(Act::Add { by: 1 }).await.unwrap();
    }
    store.close().await.unwrap();
}

fn start_other(path: &Path, document: DocumentId, count: u32) -> Child {
    let orders = format!("{}\n{document}\n{count}", path.display());
    Command::new(std::env::current_exe().unwrap())
        .args(["other_process", "--exact"])
        .env(OTHER, orders)
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

/// What a subscriber was told of a document, until it was told of so many changes.
async fn told(
    events: &mut broadcast::Receiver<Event>,
    document: DocumentId,
    count: usize,
) -> Vec<ChangeHash> {
    let mut hashes = Vec::new();
    while hashes.len() < count {
        let event = timeout(PATIENCE, events.recv()).await.expect("a change is never told").unwrap();
        if event.document == document {
            assert!(!event.changes.is_empty(), "nothing was written again, and a gap is marked");
            hashes.extend(event.changes.iter().map(|change| change.hash));
        }
    }
    hashes
}

async fn history(store: &Store, document: DocumentId) -> Vec<ChangeHash> {
    store.history(document, None).await.unwrap().into_iter().map(|entry| entry.hash).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_change_is_told_to_every_handle_once_and_in_order() {
    for seed in 0..6 {
        let mut rng = StdRng::seed_from_u64(seed);
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let mut handles = Vec::new();
        for _ in 0..3 {
            handles.push(open(&path).await);
        }
        let document = handles[0].create(None, None).await.unwrap();
        let mut subscribed: Vec<_> = handles.iter().map(Store::subscribe).collect();
        // Everybody is listening now.
        for handle in &handles {
            handle.documents().await.unwrap();
        }
        let selectors: Vec<_> =
            handles.iter().map(|h| h.slice::<Count>(document).select("/n", |n: &i64| *n)).collect();
        let mut other = start_other(&path, document, 30);
        for _ in 0..60 {
            let at = rng.random_range(0..3);
            let slice = handles[at].slice::<Count>(document);
            if rng.random_bool(0.5) {
                slice.dispatch(Act::Add { by: 1 }).await.unwrap();
            } else {
                let action = Action::Set { path: "/beside".into(), value: rng.random_range(0..9).into() };
                handles[at].dispatch(document, action).await.unwrap();
            }
            let at = rng.random_range(0..3);
            let state = handles[at].slice::<Count>(document).state().await.unwrap();
            let selected = *selectors[at].get().await.unwrap();
            assert!(selected >= state.get("n").copied().unwrap_or(0), "seed {seed}: it lags behind");
        }
        assert!(other.wait().unwrap().success());
        let want = history(&handles[0], document).await;
        assert_eq!(want.len(), 90, "seed {seed}");
        for (at, events) in subscribed.iter_mut().enumerate() {
            let told = told(events, document, want.len()).await;
            assert!(told == want, "seed {seed}, handle {at}: {} told of {}", told.len(), want.len());
            assert!(events.try_recv().is_err(), "seed {seed}, handle {at}: something was told twice");
        }
        for (at, selector) in selectors.iter().enumerate() {
            let state = handles[at].slice::<Count>(document).state().await.unwrap();
            assert_eq!(*selector.get().await.unwrap(), state["n"], "seed {seed}");
        }
    }
}

/// A holds a selector; B dispatches; A dispatches at once.
#[tokio::test]
async fn what_another_handle_wrote_just_before_ones_own_is_told_and_selected() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a.db")).await, open(&dir.path().join("a.db")).await);
    let document = a.create(None, None).await.unwrap();
    let selector = a.slice::<Count>(document).select("/n", |n: &i64| *n);
    assert_eq!(*selector.get().await.unwrap(), 0);
    let mut events = a.subscribe();
    a.documents().await.unwrap();
    b.slice::<Count>(document).dispatch(Act::Add { by: 1 }).await.unwrap();
    assert_eq!(*selector.get().await.unwrap(), 1);
    b.slice::<Count>(document).dispatch(Act::Add { by: 1 }).await.unwrap();
    a.slice::<Count>(document).dispatch(Act::Add { by: 1 }).await.unwrap();
    assert_eq!(*selector.get().await.unwrap(), 3);
    assert_eq!(told(&mut events, document, 3).await, history(&a, document).await);
}

/// A document that another process makes while nothing is here yet.
#[tokio::test]
async fn what_happens_to_a_document_of_another_process_is_told_from_its_first_change() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (open(&dir.path().join("a.db")).await, open(&dir.path().join("a.db")).await);
    let mut events = a.subscribe();
    a.documents().await.unwrap();
    let document = b.create(None, None).await.unwrap();
    b.slice::<Count>(document).dispatch(Act::Add { by: 1 }).await.unwrap();
    assert_eq!(told(&mut events, document, 1).await, history(&a, document).await);
}
