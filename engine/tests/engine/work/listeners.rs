//! Listeners where they run: handlers that panic, hang and fail, two runners, effects beside them.

use std::{
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use rejoin::{
    Action, DocumentId, Error, Store,
    effects::{EffectHandlers, EffectOptions, EffectRequest, Outcome, Schedule, handler},
    slice::{Draft, Rejection, Scope, Slice},
    work::{
        HandlerError, Heard, Listener, ListenerInfo, Reaction, StartOptions, Thunk, ThunkContext,
        ThunkRequest, WorkOptions,
    },
};
use serde_json::json;
use tokio::sync::oneshot;

use crate::work::support::{increment, path_of, set, soon};

type Log = Arc<Mutex<Vec<String>>>;

/// A store with a listener that notes what it hears, and then does this.
async fn open<F>(path: &Path, listener: Listener, log: &Log, then: F) -> (Store, DocumentId)
where
    F: Fn(Heard) -> Result<Reaction, HandlerError> + Send + Sync + 'static,
{
    let (log, then) = (Arc::clone(log), Arc::new(then));
    let handler = move |heard: Heard| {
        log.lock().unwrap().push(path_of(&heard));
        let then = Arc::clone(&then);
        async move { then(heard) }
    };
    let store = Store::builder(path).listener(listener, handler).open().await.unwrap();
    let id = match store.documents().await.unwrap().first() {
        Some(document) => document.id,
        None => store.create(None, None).await.unwrap(),
    };
    (store, id)
}

fn quick() -> WorkOptions {
    WorkOptions::default().schedule(Schedule::of([Duration::from_millis(1)])).grace(Duration::ZERO)
}

async fn shown(store: &Store) -> ListenerInfo {
    store.listeners().await.unwrap().remove(0)
}

/// Runs until the listener stands so.
async fn run_until(store: &Store, wanted: impl Fn(&ListenerInfo) -> bool) {
    let reached = async {
        let mut signal = store.write_signal();
        while !wanted(&shown(store).await) {
            signal.changed().await.unwrap();
        }
    };
    soon(store.run(quick(), reached)).await.unwrap();
}

#[tokio::test]
async fn a_handler_that_panics_loses_nothing_and_is_tried_again() {
    let dir = tempfile::tempdir().unwrap();
    let (log, tries) = (Log::default(), AtomicUsize::new(0));
    let (store, id) = open(&dir.path().join("a.db"), Listener::new("a"), &log, move |_| {
        assert!(tries.fetch_add(1, Ordering::SeqCst) > 1, "a bad day");
        Ok(Reaction::none().action(increment("/n", 1)))
    })
    .await;
    store.dispatch(id, set("/x", 1)).await.unwrap();
    store.dispatch(id, set("/y", 1)).await.unwrap();
    store.run_until_idle(WorkOptions::default()).await.unwrap();
    let failed = shown(&store).await;
    assert_eq!((failed.attempts, failed.parked), (1, false));
    assert_eq!(failed.last_error.as_deref(), Some("the handler panicked: a bad day"));
    run_until(&store, |l| l.position == l.last).await;
    assert_eq!(*log.lock().unwrap(), ["/x", "/x", "/x", "/y"]);
    assert_eq!(store.state(id, "/n").await.unwrap(), 2);
}

#[tokio::test]
async fn a_handler_that_hangs_is_broken_off_and_parked_with_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let listener = Listener::new("a").deadline(Duration::from_millis(20)).attempts(2);
    let hangs = |_: Heard| std::future::pending::<Result<Reaction, HandlerError>>();
    let store = Store::builder(dir.path().join("a.db")).listener(listener, hangs).open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    store.dispatch(id, set("/x", 1)).await.unwrap();
    run_until(&store, |l| l.parked).await;
    let parked = shown(&store).await;
    assert_eq!((parked.attempts, parked.running), (2, false));
    assert_eq!(parked.last_error.as_deref(), Some("the handler did not end within 20 ms"));
    assert_eq!(store.skip_listener("a", id).await.unwrap(), 1);
    assert_eq!(shown(&store).await.position, shown(&store).await.last);
}

#[tokio::test]
async fn a_reaction_that_does_not_fit_is_a_failure_and_nothing_of_it_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let log = Log::default();
    let (store, id) = open(&dir.path().join("a.db"), Listener::new("a").attempts(1), &log, |_| {
        Ok(Reaction::none().action(increment("/n", 1)).json(json!({"type": "nobody/knows"})))
    })
    .await;
    store.dispatch(id, set("/x", 1)).await.unwrap();
    store.run_until_idle(quick()).await.unwrap();
    let parked = shown(&store).await;
    assert!(
        parked.parked && parked.last_error.unwrap().starts_with("its reaction failed: no slice is called")
    );
    assert!(store.state(id, "/n").await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_runners_on_one_file_hear_each_action_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let log = Log::default();
    let once = |_: Heard| Ok(Reaction::none().action(increment("/n", 1)));
    let sets = || Listener::new("a").types(["set"]);
    let (first, id) = open(&path, sets(), &log, once).await;
    let (second, _) = open(&path, sets(), &log, once).await;
    let mut runs = Vec::new();
    for store in [&first, &second] {
        let (store, (stop, stopped)) = (store.clone(), oneshot::channel::<()>());
        runs.push((
            stop,
            tokio::spawn(async move { store.run(quick(), async { drop(stopped.await) }).await }),
        ));
    }
    let expected: Vec<String> = (0..60).map(|n| format!("/{n}")).collect();
    for (n, path) in expected.iter().enumerate() {
        let store = if n % 3 == 0 { &first } else { &second };
        store.dispatch(id, set(path, 1)).await.unwrap();
    }
    let mut signal = first.write_signal();
    soon(async {
        while first.state(id, "/n").await.ok() != Some(json!(60)) {
            signal.changed().await.unwrap();
        }
    })
    .await;
    for (stop, run) in runs {
        drop(stop);
        soon(run).await.unwrap().unwrap();
    }
    assert_eq!(*log.lock().unwrap(), expected);
    assert_eq!(first.state(id, "/n").await.unwrap(), 60);
}

struct Said;

impl Thunk for Said {
    const NAME: &'static str = "said";
    type Argument = String;
    type Output = ();
    type Error = String;

    async fn run(&self, cx: ThunkContext, path: String) -> Result<(), String> {
        let document = cx.document.ok_or("no document")?;
        cx.store.dispatch(document, set(&path, "said")).await.map_err(|e| e.to_string())?;
        Ok(())
    }
}

#[tokio::test]
async fn one_run_does_thunks_listeners_and_effects_until_nothing_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let hears = |heard: Heard| async move {
        let said =
            ThunkRequest::new::<Said>("/thunk".to_owned(), StartOptions::new().document(heard.document));
        let effect = EffectRequest::new("mail", json!({})).commit(increment("/mailed", 1));
        Ok(Reaction::none().effect(effect).thunk(said))
    };
    let confirms = |_: Heard| async { Ok(Reaction::none().action(increment("/confirmed", 1))) };
    let orders = Listener::new("orders").types(["insert"]).when(|kind| kind == "insert").local();
    let store = Store::builder(dir.path().join("a.db"))
        .thunk(Said)
        .listener(orders, hears)
        .listener(Listener::new("confirms").types(["set", "increment"]), confirms)
        .open()
        .await
        .unwrap();
    let id = store.create(None, None).await.unwrap();
    store.dispatch(id, Action::Insert { path: "/orders/-".into(), value: json!("tent") }).await.unwrap();
    let mail = handler(|_| async { Outcome::Done(json!(null)) });
    let options = quick().effects(EffectHandlers::new().with("mail", mail), EffectOptions::default());
    soon(store.run_until_idle(options)).await.unwrap();
    let expected = json!({"orders": ["tent"], "thunk": "said", "mailed": 1, "confirmed": 2});
    assert_eq!(store.state(id, "").await.unwrap(), expected);
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Noted {
    Wrote { text: String },
}

struct Private;

impl Slice for Private {
    const NAME: &'static str = "private";
    const SCOPE: Scope = Scope::Local;
    const PAYLOAD: bool = true;
    type State = serde_json::Value;
    type Action = Noted;

    fn reduce(draft: &mut Draft<'_>, Noted::Wrote { text }: &Noted) -> Result<(), Rejection> {
        draft.set("/text", text.as_str())
    }
}

#[tokio::test]
async fn local_only_slices_are_heard_and_reacted_to_in_the_document_they_belong_to() {
    let dir = tempfile::tempdir().unwrap();
    let hears = |heard: Heard| async move {
        let text = heard.payload.unwrap()["text"].as_str().unwrap().to_owned();
        if text == "done" {
            return Ok(Reaction::none());
        }
        Ok(Reaction::none().json(json!({"type": "private/wrote", "text": "done"})))
    };
    let listener = Listener::new("a").slice("private");
    let builder = Store::builder(dir.path().join("a.db")).slice::<Private>().listener(listener, hears);
    let store = builder.open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let private = store.slice::<Private>(id);
    private.dispatch(Noted::Wrote { text: "hello".to_owned() }).await.unwrap();
    store.run_until_idle(quick()).await.unwrap();
    assert_eq!(private.state().await.unwrap()["text"], "done");
    let infos = store.listeners().await.unwrap();
    assert!(infos.iter().all(|l| l.document == id && l.attempts == 0), "{infos:?}");
}

#[tokio::test]
async fn a_name_that_is_taken_or_can_be_none_is_told_when_the_store_is_opened() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let nothing = |_: Heard| async { Ok(Reaction::none()) };
    let twice =
        Store::builder(&path).listener(Listener::new("a"), nothing).listener(Listener::new("a"), nothing);
    assert!(matches!(twice.open().await, Err(Error::BadListener { .. })));
    let empty = Store::builder(&path).listener(Listener::new(""), nothing);
    assert!(matches!(empty.open().await, Err(Error::BadListener { .. })));
}

/// A tally.
struct Tally;

#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TallyAction {
    Asked { of: String },
    Answered { with: i64 },
}

impl Slice for Tally {
    const NAME: &'static str = "tally";
    type State = serde_json::Value;
    type Action = TallyAction;

    fn reduce(draft: &mut Draft<'_>, action: &TallyAction) -> Result<(), Rejection> {
        match action {
            TallyAction::Asked { of } => draft.set("/asked", of),
            TallyAction::Answered { with } => draft.increment("/answers", *with),
        }
    }
}

fn tallying<F, Fut>(path: &Path, deadline: Duration, handler: F) -> rejoin::Builder
where
    F: Fn(Heard) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<Reaction, HandlerError>> + Send + 'static,
{
    let listener = Listener::new("tally").types(["tally/asked"]).deadline(deadline).attempts(1);
    Store::builder(path).slice::<Tally>().listener(listener, handler)
}

#[tokio::test]
async fn a_handler_reads_dispatches_and_waits_for_another_action() {
    let place = tempfile::tempdir().unwrap();
    let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let store = tallying(&place.path().join("a.db"), Duration::from_secs(60), move |heard| {
        let waits = waits.clone();
        async move {
            let asked = heard.action_of::<Tally>().ok_or("it is not known")?;
            assert_eq!(asked, TallyAction::Asked { of: "ada".into() });
            assert_eq!(heard.state::<Tally>().await?["asked"], "ada");
            heard.dispatch::<Tally>(TallyAction::Answered { with: 1 }).await?;
            let wanted = |change: &rejoin::slice::SliceChange<Tally>| {
                change.action == Some(TallyAction::Answered { with: 5 })
            };
            let answer = heard.take::<Tally>(wanted);
            waits.send(()).unwrap();
            assert!(answer.await?.change.is_some());
            Ok(Reaction::none().json(json!({"type": "tally/answered", "with": 100})))
        }
    });
    let store = store.open().await.unwrap();
    let tally = store.slice::<Tally>(store.create(None, None).await.unwrap());
    tally.dispatch(TallyAction::Asked { of: "ada".into() }).await.unwrap();
    let others = async {
        waiting.recv().await.unwrap();
        for with in [3, 5] {
            tally.dispatch(TallyAction::Answered { with }).await.unwrap();
        }
    };
    let (ran, ()) = soon(async { tokio::join!(store.run_until_idle(quick()), others) }).await;
    ran.unwrap();
    assert_eq!(tally.state().await.unwrap()["answers"], 109);
}

/// Tells when it is dropped.
struct Alive(Option<oneshot::Sender<()>>);

impl Drop for Alive {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(());
    }
}

#[tokio::test]
async fn what_a_handler_forked_ends_with_it_whether_it_returns_or_is_broken_off() {
    for returns in [true, false] {
        let place = tempfile::tempdir().unwrap();
        let (ended, ends) = oneshot::channel();
        let alive = Mutex::new(Some(Alive(Some(ended))));
        let kept: Arc<Mutex<Option<Heard>>> = Arc::default();
        let keeps = Arc::clone(&kept);
        let deadline = if returns { Duration::from_secs(60) } else { Duration::from_millis(50) };
        let store = tallying(&place.path().join("a.db"), deadline, move |heard| {
            let alive = alive.lock().unwrap().take().unwrap();
            *keeps.lock().unwrap() = Some(heard.clone());
            async move {
                let (begun, begins) = oneshot::channel();
                drop(heard.fork(async move {
                    let _alive = alive;
                    begun.send(()).unwrap();
                    std::future::pending::<()>().await;
                }));
                begins.await.unwrap();
                let cancelled = heard.fork(std::future::pending::<()>());
                cancelled.cancel();
                assert_eq!(cancelled.join().await, None);
                assert_eq!(heard.fork(async { 7 }).join().await, Some(7));
                if !returns {
                    std::future::pending::<()>().await;
                }
                Ok(Reaction::none())
            }
        });
        let store = store.open().await.unwrap();
        let tally = store.slice::<Tally>(store.create(None, None).await.unwrap());
        tally.dispatch(TallyAction::Asked { of: "ada".into() }).await.unwrap();
        soon(store.run_until_idle(quick())).await.unwrap();
        soon(ends).await.unwrap();
        // What was kept of it begins nothing more, and does not keep the store open.
        let heard = kept.lock().unwrap().take().unwrap();
        assert_eq!(soon(heard.fork(async { 7 }).join()).await, None);
        assert_eq!(shown(&store).await.parked, !returns);
        drop((tally, store));
        assert!(matches!(heard.store(), Err(Error::Closed)));
    }
}
