//! Several handles and processes on one file: every change of a document is told to every subscriber once, in order, and
//! selectors never lag behind the state.
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
        .args(["handles::other_process", "--exact"])
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

type Seen = tokio::sync::watch::Receiver<std::sync::Arc<std::collections::BTreeMap<String, i64>>>;

fn n(state: &std::collections::BTreeMap<String, i64>) -> i64 {
    state.get("n").copied().unwrap_or(0)
}

async fn sees(latest: &mut Seen, want: i64) {
    timeout(PATIENCE, latest.wait_for(|state| n(state) >= want)).await.expect("it is never seen").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_latest_state_never_lags_behind_the_state_also_of_what_other_processes_write() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (a, b) = (open(&path).await, open(&path).await);
    let document = a.create(None, None).await.unwrap();
    let (a, b) = (a.slice::<Count>(document), b.slice::<Count>(document));
    let mut latest = [a.latest().await.unwrap(), b.latest().await.unwrap()];
    let selector = a.select("/n", |n: &i64| *n);
    let mut selected = selector.latest().await.unwrap();
    let mut other = start_other(&path, document, 40);
    for round in 0..80 {
        if round % 4 == 0 {
            b.dispatch(Act::Add { by: 1 }).await.unwrap();
            let state = n(&b.state().await.unwrap());
            assert!(n(&latest[1].borrow_and_update()) >= state && n(&b.snapshot().unwrap()) >= state);
        }
        let state = n(&a.state().await.unwrap());
        let now = [n(&latest[0].borrow_and_update()), **selected.borrow_and_update()];
        assert!(now.iter().all(|now| *now >= state), "{now:?} after {state}");
    }
    assert!(other.wait().unwrap().success());
    // What nobody asks for is seen as well.
    for latest in &mut latest {
        sees(latest, 60).await;
    }
    timeout(PATIENCE, selected.wait_for(|n| **n == 60)).await.unwrap().unwrap();
}

#[tokio::test]
async fn the_latest_state_has_a_dispatch_when_it_returns() {
    let store = rejoin::Builder::in_memory().slice::<Count>().open().await.unwrap();
    let slice = store.slice::<Count>(store.create(None, None).await.unwrap());
    let mut latest = slice.latest().await.unwrap();
    assert!(!latest.has_changed().unwrap() && n(&latest.borrow()) == 0);
    for want in 1..20 {
        slice.dispatch(Act::Add { by: 1 }).await.unwrap();
        assert!(latest.has_changed().unwrap());
        assert_eq!(n(&latest.borrow_and_update()), want);
    }
    // What is beside it wakes nobody.
    let beside = Action::Set { path: "/beside".into(), value: 1.into() };
    store.dispatch(slice.document(), beside).await.unwrap();
    assert!(!latest.has_changed().unwrap());
    store.undo(slice.document()).await.unwrap();
    store.undo(slice.document()).await.unwrap();
    assert_eq!(n(&latest.borrow_and_update()), 18);
}

#[tokio::test]
async fn latest_states_end_when_the_store_is_closed_and_keep_no_file_open() {
    let dir = tempfile::tempdir().unwrap();
    for closes in [true, false] {
        let store = open(&dir.path().join("a.db")).await;
        let slice = store.slice::<Count>(store.find_or_create("a").await.unwrap());
        let mut latest = slice.latest().await.unwrap();
        let mut results = slice.select("/n", |n: &i64| *n).results().await.unwrap();
        let mut changes = slice.changes();
        next(&mut results).await;
        slice.dispatch(Act::Add { by: 1 }).await.unwrap();
        assert!(changes.next().await.unwrap().action.is_some());
        next(&mut results).await;
        if closes {
            store.close().await.unwrap();
            assert!(slice.latest().await.is_err() && slice.snapshot().is_some());
        }
        drop((slice, store));
        let left: Vec<_> = std::fs::read_dir("/proc/self/fd")
            .into_iter()
            .flatten()
            .filter_map(|fd| std::fs::read_link(fd.ok()?.path()).ok())
            .filter(|path| path.starts_with(dir.path()))
            .collect();
        assert!(left.is_empty(), "{left:?} is open");
        latest.borrow_and_update();
        assert!(latest.changed().await.is_err());
        assert!(results.next().await.is_none() && changes.next().await.is_none());
        assert!(n(&latest.borrow()) > 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_never_waits_for_the_store() {
    let store = rejoin::Builder::in_memory().slice::<Count>().open().await.unwrap();
    let slice = store.slice::<Count>(store.create(None, None).await.unwrap());
    // The first call asks.
    assert!(slice.snapshot().is_none());
    slice.dispatch(Act::Add { by: 3 }).await.unwrap();
    assert_eq!(n(&slice.snapshot().unwrap()), 3);
    let (go_on, held) = std::sync::mpsc::channel::<()>();
    let (holds, holding) = tokio::sync::oneshot::channel();
    let busy = store.clone();
    let busy = tokio::spawn(async move {
        let hold = move |_: &mut rejoin::store::Core| {
            holds.send(()).unwrap();
            held.recv().unwrap();
            Ok(())
        };
        busy.with_core(hold).await
    });
    holding.await.unwrap();
    assert_eq!(n(&slice.clone().snapshot().unwrap()), 3);
    go_on.send(()).unwrap();
    busy.await.unwrap().unwrap();
}

/// The next result, which must come.
async fn next<T>(results: &mut rejoin::slice::Results<T>) -> std::sync::Arc<T> {
    timeout(PATIENCE, results.next()).await.expect("it never comes to that").expect("the store is open")
}

/// Another slice, of texts.
struct Names;

impl Slice for Names {
    const NAME: &'static str = "names";
    type State = std::collections::BTreeMap<String, String>;
    type Action = Act;

    fn reduce(draft: &mut Draft<'_>, Act::Add { by }: &Act) -> Result<(), Rejection> {
        draft.set("/last", by.to_string())
    }
}

#[tokio::test]
async fn a_selector_takes_inputs_of_several_slices_and_documents_and_says_which_does_not_fit() {
    let store = rejoin::Builder::in_memory().slice::<Count>().slice::<Names>().open().await.unwrap();
    let (id, elsewhere) = (store.create(None, None).await.unwrap(), store.create(None, None).await.unwrap());
    let (counts, names) = (store.slice::<Count>(id), store.slice::<Names>(id));
    let other = store.slice::<Count>(elsewhere);
    let inputs = [names.input("/last"), counts.input("/n"), other.input("/n")];
    let said = counts.select3(inputs, |last: &String, n: &i64, m: &i64| format!("{last} {n} {m}"));
    let mut results = said.results().await.unwrap();
    let add = |by| Act::Add { by };
    assert_eq!(*next(&mut results).await, " 0 0");
    assert_eq!(*said.get().await.unwrap(), " 0 0");
    names.dispatch(add(7)).await.unwrap();
    assert_eq!((&**next(&mut results).await, &**said.get().await.unwrap()), ("7 0 0", "7 0 0"));
    other.dispatch(add(2)).await.unwrap();
    assert_eq!((&**next(&mut results).await, &**said.get().await.unwrap()), ("7 0 2", "7 0 2"));
    counts.dispatch(add(1)).await.unwrap();
    assert_eq!((&**next(&mut results).await, &**said.get().await.unwrap()), ("7 1 2", "7 1 2"));
    let written = said.computed();
    let action = Action::Set { path: "/names/first".into(), value: "x".into() };
    store.dispatch(id, action).await.unwrap();
    assert_eq!(&**said.get().await.unwrap(), "7 1 2");
    assert_eq!(said.computed(), written, "nothing that it reads has changed");
    let wrong = Action::Set { path: "/names/last".into(), value: 3.into() };
    store.dispatch(id, wrong).await.unwrap();
    let error = said.get().await.unwrap_err();
    assert!(
        matches!(&error, rejoin::Error::StateMismatch { slice, reason } if slice == "names" && reason.contains("/last")),
        "{error}"
    );
}

#[tokio::test]
async fn a_selector_of_several_inputs_tells_its_results_only_when_they_change() {
    let store = rejoin::Builder::in_memory().slice::<Count>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let slice = store.slice::<Count>(id);
    let larger = slice.select2(["/n", "/m"], |n: &i64, m: &i64| *n.max(m));
    let all = slice.select3(["/n", "/m", "/o"], |n: &i64, m: &i64, o: &i64| n + m + o);
    let mut results = larger.results().await.unwrap();
    assert_eq!(*next(&mut results).await, 0);
    let set = async |path: &str, value: i64| {
        let action = Action::Set { path: format!("/count{path}"), value: value.into() };
        store.dispatch(id, action).await.unwrap();
    };
    set("/n", 5).await;
    assert_eq!(*next(&mut results).await, 5);
    set("/m", 4).await;
    set("/m", 5).await;
    set("/o", 9).await;
    set("/m", 6).await;
    assert_eq!(*next(&mut results).await, 6);
    assert_eq!(larger.computed(), 0);
    assert_eq!((*larger.get().await.unwrap(), *all.get().await.unwrap()), (6, 20));
    set("/o", 10).await;
    assert_eq!((*larger.get().await.unwrap(), *all.get().await.unwrap()), (6, 21));
    assert_eq!((larger.computed(), all.computed()), (1, 2));
    // Nothing more is to be told.
    store.close().await.unwrap();
    assert!(results.next().await.is_none());
}
