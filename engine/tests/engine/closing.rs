//! The end of a store: what listened ends, nothing keeps the file open, and the last handle may go anywhere. And what an
//! app does wrong inside the store ends that alone.
use std::{
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use rejoin::{
    Action, DocumentId, Error, ErrorKind, Slice, Store, blocking,
    slice::{Before, Draft, Middleware, Rejection, Verdict},
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

/// Nothing takes so long.
const PATIENCE: Duration = Duration::from_secs(60);

struct Notes;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Act {
    Add,
    Reenter,
}

/// What a reducer can reach that should not.
static WITHIN: Mutex<Option<(blocking::Store, DocumentId)>> = Mutex::new(None);

impl Slice for Notes {
    const NAME: &'static str = "notes";
    type State = serde_json::Value;
    type Action = Act;

    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        if let Act::Reenter = action {
            let within = WITHIN.lock().unwrap_or_else(PoisonError::into_inner);
            let (store, id) = within.as_ref().unwrap();
            let all = [
                store.state(*id, "").unwrap_err(),
                store.dispatch(*id, Action::Increment { path: "/n".into(), by: 1 }).unwrap_err(),
                store.slice::<Notes>(*id).dispatch(Act::Add).unwrap_err(),
                store.slice::<Notes>(*id).state().unwrap_err(),
            ];
            assert!(all.iter().all(|error| matches!(error, Error::InsideStore)));
            return Err(all[0].to_string().into());
        }
        draft.increment("/n", 1)
    }
}

async fn open(path: &Path) -> Store {
    Store::builder(path).slice::<Notes>().open().await.unwrap()
}

/// The process that has the file open holds its write-ahead log; nobody does, and it is gone.
fn is_at_rest(path: &Path) -> bool {
    let beside = |ending: &str| PathBuf::from(format!("{}{ending}", path.display()));
    !beside("-wal").exists() && !beside("-shm").exists()
}

#[tokio::test]
async fn what_listens_ends_with_the_store_and_keeps_no_file_open() {
    for close in [true, false] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.db");
        let store = open(&path).await;
        let id = store.create(None, None).await.unwrap();
        let mut changes = store.slice::<Notes>(id).changes();
        let (mut events, mut thunks) = (store.subscribe(), store.thunk_events());
        let (mut writes, mut queued) = (store.write_signal(), store.queue_signal());
        store.slice::<Notes>(id).dispatch(Act::Add).await.unwrap();
        assert!(changes.next().await.is_some());
        let kept = close.then(|| store.clone());
        if close {
            store.close().await.unwrap();
        }
        drop(store);
        assert!(is_at_rest(&path), "close: {close}");
        let ended = async {
            while changes.next().await.is_some() {}
            while events.recv().await.is_ok() {}
            while thunks.recv().await.is_ok() {}
            while writes.changed().await.is_ok() {}
            while queued.changed().await.is_ok() {}
        };
        timeout(PATIENCE, ended).await.expect("it never ends");
        // Who asks a closed store for more is told the same.
        if let Some(store) = kept {
            let later = async {
                assert!(store.subscribe().recv().await.is_err());
                assert!(store.thunk_events().recv().await.is_err());
                assert!(store.write_signal().changed().await.is_err());
                assert!(store.slice::<Notes>(id).changes().next().await.is_none());
            };
            timeout(PATIENCE, later).await.expect("it never ends");
            assert!(matches!(store.documents().await, Err(Error::Closed)));
        }
    }
}

#[tokio::test]
async fn the_last_handle_may_be_dropped_on_the_stores_own_thread() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = open(&path).await;
    let mut events = store.subscribe();
    let last = store.clone();
    // Only what runs on the store's thread holds it by then.
    let (gone, wait) = std::sync::mpsc::channel::<()>();
    let work = std::thread::spawn(move || {
        let asked = last.clone();
        let asking = asked.with_core(move |_| {
            wait.recv().unwrap();
            drop(last);
            Ok(())
        });
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        // Asked for, and not waited for.
        runtime.block_on(async {
            let mut asking = Box::pin(asking);
            assert!(futures_util::poll!(&mut asking).is_pending());
        });
        drop(asked);
    });
    work.join().unwrap();
    drop(store);
    gone.send(()).unwrap();
    let ended = async { while events.recv().await.is_ok() {} };
    timeout(PATIENCE, ended).await.expect("the store's thread never ends");
}

#[tokio::test]
async fn a_panic_in_with_core_ends_that_call_alone() {
    let dir = tempfile::tempdir().unwrap();
    let store = open(&dir.path().join("a.db")).await;
    let id = store.create(None, None).await.unwrap();
    store.slice::<Notes>(id).dispatch(Act::Add).await.unwrap();
    let broken: Result<(), Error> = store.with_core(|_| panic!("glass")).await;
    let error = broken.unwrap_err();
    assert_eq!(error.to_string(), "what was asked of the store panicked: glass");
    assert_ne!(error.kind(), ErrorKind::TryAgain);
    store.slice::<Notes>(id).dispatch(Act::Add).await.unwrap();
    assert_eq!(store.slice::<Notes>(id).state().await.unwrap()["n"], 2);
}

#[test]
fn a_verb_inside_the_store_is_an_error_and_never_a_hang() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).slice::<Notes>().open_blocking().unwrap();
    let id = store.create(None, None).unwrap();
    *WITHIN.lock().unwrap() = Some((store.clone(), id));
    let error = store.slice::<Notes>(id).dispatch(Act::Reenter).unwrap_err();
    assert!(error.to_string().contains("inside the store"), "{error}");
    *WITHIN.lock().unwrap_or_else(PoisonError::into_inner) = None;
    store.slice::<Notes>(id).dispatch(Act::Add).unwrap();
}

struct Asks(Mutex<Option<blocking::Store>>);

struct Asking(&'static Asks);

impl Middleware for Asking {
    fn before(&self, _: &Before<'_>) -> Verdict {
        let store = self.0.0.lock().unwrap();
        let Some(store) = store.as_ref() else { return Verdict::Continue };
        match store.documents() {
            Err(Error::InsideStore) => Verdict::Reject("it would wait for itself".into()),
            _ => Verdict::Continue,
        }
    }
}

#[test]
fn a_verb_in_middleware_is_an_error_too() {
    static ASKS: Asks = Asks(Mutex::new(None));
    let dir = tempfile::tempdir().unwrap();
    let builder = Store::builder(dir.path().join("a.db")).slice::<Notes>();
    let store = builder.middleware(Asking(&ASKS)).open_blocking().unwrap();
    let id = store.create(None, None).unwrap();
    *ASKS.0.lock().unwrap() = Some(store.clone());
    let error = store.slice::<Notes>(id).dispatch(Act::Add).unwrap_err();
    assert!(error.to_string().contains("wait for itself"), "{error}");
    *ASKS.0.lock().unwrap() = None;
}

/// In an async context too: it holds that thread up, and is answered.
#[tokio::test]
async fn blocking_verbs_work_on_a_runtimes_thread() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).slice::<Notes>().open_blocking().unwrap();
    let id = store.create(None, None).unwrap();
    store.slice::<Notes>(id).dispatch(Act::Add).unwrap();
    assert_eq!(store.slice::<Notes>(id).state().unwrap()["n"], 1);
}

/// `:memory:` and `file:` mean nothing here: a path names a file.
#[test]
fn a_path_is_a_path() {
    let dir = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x.db?mode=memory", "file::memory:", "a?b#c%d.db"] {
        let path = dir.path().join(name);
        for round in 0..2 {
            let store = blocking::Store::open(&path).unwrap();
            assert_eq!(store.documents().unwrap().len(), round, "{name}");
            store.create(None, None).unwrap();
        }
        assert!(path.is_file(), "{name}");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
        }
    }
    let store = rejoin::Builder::in_memory().slice::<Notes>().open_blocking().unwrap();
    let id = store.create(None, None).unwrap();
    store.slice::<Notes>(id).dispatch(Act::Add).unwrap();
    assert_eq!(store.queue(None).unwrap().len(), 1);
}
