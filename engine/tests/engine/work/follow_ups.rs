//! The actions that follow what happens to thunks, and what a rejection says.

use rejoin::{
    Error, Scope, Slice, Store,
    effects::FollowUp,
    slice::{Draft, Rejection},
    work::{
        Orphan, Settled, StartOptions, Thunk, ThunkCause, ThunkContext, ThunkError, ThunkFailure,
        ThunkRequest, ThunkState, WorkOptions,
    },
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::work::support::{Bench, LEASE, soon};

/// Says in the document how it stands, and fails with an error of its own type.
struct Status;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Refusal {
    Quota { left: u32 },
    Said(String),
}

/// What became of it, at `/status`, with what the reply says.
fn status(argument: &Value, to: &str) -> Option<FollowUp> {
    let path = if argument["misplaced"] == to { "/no/such/place" } else { "/status" };
    if argument["memory"] == to {
        return Some(FollowUp::new(json!({"type": "shown/set", "to": to})));
    }
    let action = json!({"type": "set", "path": path, "value": {"is": to}});
    Some(FollowUp::new(action).put("", "/value/reply"))
}

impl Thunk for Status {
    const NAME: &'static str = "status";
    const ON_DEATH: Orphan = Orphan::Reject;
    type Argument = Value;
    type Output = i64;
    type Error = Refusal;

    async fn run(&self, _: ThunkContext, argument: Value) -> Result<i64, Refusal> {
        match &argument["do"] {
            Value::String(text) if text == "panic" => panic!("a bad day"),
            Value::String(text) => Err(Refusal::Said(text.clone())),
            Value::Number(left) => Err(Refusal::Quota { left: left.as_u64().unwrap() as u32 }),
            _ => Ok(7),
        }
    }

    fn pending(argument: &Value) -> Option<FollowUp> {
        status(argument, "pending")
    }

    fn fulfilled(argument: &Value) -> Option<FollowUp> {
        status(argument, "fulfilled")
    }

    fn rejected(argument: &Value) -> Option<FollowUp> {
        status(argument, "rejected")
    }

    fn aborted(argument: &Value) -> Option<FollowUp> {
        status(argument, "aborted")
    }

    fn superseded(argument: &Value) -> Option<FollowUp> {
        status(argument, "superseded")
    }

    fn orphaned(argument: &Value) -> Option<FollowUp> {
        status(argument, "orphaned")
    }
}

fn start(bench: &mut Bench, argument: Value) -> rejoin::work::ThunkId {
    let options = StartOptions::new().latest_only("k").document(bench.id);
    bench.start::<Status>(argument, options).unwrap()
}

fn changes(bench: &mut Bench) -> usize {
    let id = bench.id;
    bench.core.history(id, None).unwrap().len()
}

#[test]
fn pending_is_recorded_in_the_transaction_that_starts_a_thunk() {
    let mut bench = Bench::new();
    let id = start(&mut bench, json!({}));
    assert_eq!(bench.state("/status"), json!({"is": "pending", "reply": {"id": id}}));
    // Where its action cannot be done nothing is started, and the older one goes on.
    let before = changes(&mut bench);
    bench.dispatch(crate::work::support::set("/no", 1));
    let options = StartOptions::new().latest_only("k").document(bench.id);
    let request = ThunkRequest::new::<Status>(json!({"misplaced": "pending"}), options);
    assert!(matches!(bench.core.start_thunk(&request), Err(Error::Action(_))));
    assert_eq!((bench.core.thunks().unwrap().len(), bench.info(id).state), (1, ThunkState::Pending));
    assert_eq!((changes(&mut bench), bench.state("/status/is")), (before + 1, json!("pending")));
    let mut bench = bench.reopened();
    assert_eq!(bench.state("/status/is"), "pending");
}

#[test]
fn what_an_abort_means_is_an_action_recorded_once_with_it() {
    let mut bench = Bench::new();
    let id = start(&mut bench, json!({}));
    let before = changes(&mut bench);
    assert!(bench.core.abort_thunk(id).unwrap());
    assert!(!bench.core.abort_thunk(id).unwrap());
    let info = bench.info(id);
    assert_eq!((info.state, info.cause), (ThunkState::Aborted, Some(ThunkCause::Aborted)));
    let reply = json!({"error": "aborted", "cause": "aborted"});
    assert_eq!(bench.state("/status"), json!({"is": "aborted", "reply": reply}));
    assert_eq!((changes(&mut bench), info.settled_change.is_some()), (before + 1, true));
}

#[test]
fn what_a_superseding_means_is_an_action_before_the_pending_of_the_later_one() {
    let mut bench = Bench::new();
    let older = start(&mut bench, json!({}));
    let newer = start(&mut bench, json!({}));
    assert_eq!(bench.state("/status"), json!({"is": "pending", "reply": {"id": newer}}));
    let superseded = bench.info(older);
    assert_eq!(superseded.cause, Some(ThunkCause::Superseded));
    let document = bench.id;
    let at = superseded.settled_change.unwrap();
    let state = bench.core.state(document, "/status", Some(&[at])).unwrap();
    assert_eq!((&state["is"], &state["reply"]["by"]), (&json!("superseded"), &json!(newer)));
}

#[test]
fn what_an_orphans_end_means_is_an_action_that_any_process_records() {
    let mut bench = Bench::new();
    let id = start(&mut bench, json!({}));
    let terms = rejoin::store::WorkTerms {
        thunks: vec!["status".to_owned()],
        listeners: Vec::new(),
        most_thunks: 9,
        most_listeners: 0,
        lease: LEASE,
    };
    assert_eq!(bench.core.lease_work(&terms).unwrap().thunks.len(), 1);
    // The next process cannot run it.
    let mut bench = bench.reopened();
    bench.pass(LEASE);
    bench.lease();
    let info = bench.info(id);
    assert_eq!((info.state, info.cause), (ThunkState::Rejected, Some(ThunkCause::Orphaned)));
    let why = "the process that ran it ended before it did";
    let reply = json!({"error": why, "cause": "orphaned"});
    assert_eq!(bench.state("/status"), json!({"is": "orphaned", "reply": reply}));
}

#[test]
fn an_action_that_does_not_fit_at_the_end_is_told_beside_the_reason() {
    let mut bench = Bench::new();
    let id = start(&mut bench, json!({"misplaced": "aborted"}));
    bench.dispatch(crate::work::support::set("/no", 1));
    assert!(bench.core.abort_thunk(id).unwrap());
    let info = bench.info(id);
    assert_eq!((info.error.as_deref(), info.settled_change), (Some("aborted"), None));
    assert!(info.follow_error.is_some());
}

/// What `pending` wrote, "loading" say, does not stay for ever where the action for a fulfilment cannot be done.
#[tokio::test]
async fn a_fulfilment_that_does_not_fit_the_document_is_told_as_a_rejection() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).thunk(Status).open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let options = StartOptions::new().document(id);
    let handle = store.start::<Status>(json!({"misplaced": "fulfilled"}), options).await.unwrap().unwrap();
    // In the way of the path of that action.
    store.dispatch(id, crate::work::support::set("/no", 1)).await.unwrap();
    soon(store.run_until_idle(WorkOptions::default())).await.unwrap();
    let info = store.thunk_info(handle.id()).await.unwrap();
    assert_eq!(info.state, ThunkState::Fulfilled, "the work was done");
    let why = info.follow_error.unwrap();
    let status = store.state(id, "/status").await.unwrap();
    assert_eq!((&status["is"], &status["reply"]["error"]), (&json!("rejected"), &json!(why)));
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ShownAction {
    Set { to: String },
}

struct Shown;

impl Slice for Shown {
    const NAME: &'static str = "shown";
    const SCOPE: Scope = Scope::Memory;
    type State = Value;
    type Action = ShownAction;

    fn reduce(draft: &mut Draft<'_>, ShownAction::Set { to }: &ShownAction) -> Result<(), Rejection> {
        draft.set("/to", to.as_str())
    }
}

/// The same name, in the file.
struct ShownLocally;

impl Slice for ShownLocally {
    const NAME: &'static str = "shown";
    const SCOPE: Scope = Scope::Local;
    type State = Value;
    type Action = ShownAction;

    fn reduce(draft: &mut Draft<'_>, action: &ShownAction) -> Result<(), Rejection> {
        Shown::reduce(draft, action)
    }
}

#[tokio::test]
async fn an_action_for_a_slice_in_memory_is_refused_at_start_with_an_error_that_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).slice::<Shown>().thunk(Status).open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    for what in ["pending", "fulfilled", "rejected", "aborted", "superseded", "orphaned"] {
        let options = StartOptions::new().document(id);
        let refused = store.start::<Status>(json!({"memory": what}), options).await.unwrap_err().to_string();
        assert!(
            refused.contains(what) && refused.contains("\"shown\", which lives in memory"),
            "{what}: {refused}"
        );
    }
    assert_eq!(store.thunks().await.unwrap(), []);
    assert!(store.history(id, None).await.unwrap().is_empty());
}

#[tokio::test]
async fn an_action_for_a_slice_that_is_local_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let builder = Store::builder(dir.path().join("a.db")).slice::<ShownLocally>().thunk(Status);
    let store = builder.open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let options = StartOptions::new().document(id);
    let handle = store.start::<Status>(json!({"memory": "pending"}), options).await.unwrap().unwrap();
    let shown = store.slice::<ShownLocally>(id);
    assert_eq!(shown.state().await.unwrap()["to"], "pending");
    store.run_until_idle(WorkOptions::default()).await.unwrap();
    assert_eq!(handle.unwrap().await.unwrap(), 7);
}

#[tokio::test]
async fn an_end_waits_for_a_process_that_knows_the_slice_of_its_action() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = Store::builder(&path).slice::<ShownLocally>().thunk(Status).open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let options = StartOptions::new().document(id);
    let aborted = store.start::<Status>(json!({"memory": "aborted"}), options).await.unwrap().unwrap();
    let bare = Store::open(&path).await.unwrap();
    assert!(
        matches!(bare.abort_thunk(aborted.id()).await, Err(Error::UnknownSlice(slice)) if slice == "shown")
    );
    assert_eq!(aborted.info().await.unwrap().state, ThunkState::Pending);
    assert!(aborted.abort().await.unwrap());
    let options = StartOptions::new().document(id);
    let orphan = store.start::<Status>(json!({"memory": "orphaned"}), options).await.unwrap().unwrap();
    // Its process is gone: nobody holds such a lease.
    let raw = rusqlite::Connection::open(&path).unwrap();
    let sql = "UPDATE job SET state = 'running', owner = 'gone', lease_until = 1 WHERE state = 'waiting'";
    assert_eq!(raw.execute(sql, []).unwrap(), 1);
    let bare = Store::open(&path).await.unwrap();
    bare.run_until_idle(WorkOptions::default()).await.unwrap();
    assert_eq!(orphan.info().await.unwrap().state, ThunkState::Pending);
    store.run_until_idle(WorkOptions::default()).await.unwrap();
    assert_eq!(orphan.info().await.unwrap().cause, Some(ThunkCause::Orphaned));
    assert_eq!(store.slice::<ShownLocally>(id).state().await.unwrap()["to"], "orphaned");
}

#[tokio::test]
async fn the_reason_of_a_rejection_is_what_was_returned_alone_and_comes_back_typed() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).thunk(Status).open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let long = "why ".repeat(5_000);
    let mut handles = Vec::new();
    for what in [json!(3), json!(long), json!("it panicked: no"), json!("panic")] {
        let options = StartOptions::new().document(id);
        handles.push(store.start::<Status>(json!({"do": what}), options).await.unwrap().unwrap());
        soon(store.run_until_idle(WorkOptions::default())).await.unwrap();
        if handles.len() == 1 {
            let reply = json!({"error": {"Quota": {"left": 3}}, "cause": "returned"});
            assert_eq!(store.state(id, "/status/reply").await.unwrap(), reply);
        }
    }
    assert_eq!(handles[0].wait().await.unwrap(), Settled::Rejected(Refusal::Quota { left: 3 }));
    assert!(matches!(handles[0].unwrap().await, Err(ThunkError::Rejected(Refusal::Quota { left: 3 }))));
    assert_eq!(handles[0].info().await.unwrap().error.unwrap(), r#"{"Quota":{"left":3}}"#);
    assert_eq!(handles[1].wait().await.unwrap(), Settled::Rejected(Refusal::Said(long)));
    // What only reads like a panic is none.
    let said = Refusal::Said("it panicked: no".to_owned());
    assert_eq!(handles[2].wait().await.unwrap(), Settled::Rejected(said));
    let panicked = ThunkFailure::new(ThunkCause::Panicked, "a bad day");
    assert_eq!(handles[3].wait().await.unwrap(), Settled::Failed(panicked));
    assert_eq!(
        store.state(id, "/status/reply").await.unwrap(),
        json!({"error": "a bad day", "cause": "panicked"})
    );
}

#[test]
fn thunks_of_an_older_file_keep_their_ends_and_what_they_returned() {
    let raw = rusqlite::Connection::open_in_memory().unwrap();
    for step in &rejoin_migrations::ENGINE.migrations[..11] {
        raw.execute_batch(step.sql).unwrap();
    }
    raw.pragma_update(None, "application_id", rejoin_migrations::ENGINE.application_id).unwrap();
    raw.pragma_update(None, "user_version", 11).unwrap();
    let failed = "the action after it failed: no such place";
    for (name, state, error) in [
        ("a", "rejected", Some("no")),
        ("b", "rejected", Some("it panicked: a bad day")),
        ("c", "rejected", Some("given up: 5 processes died while they ran it")),
        ("d", "fulfilled", Some(failed)),
        ("e", "aborted", Some("aborted")),
        ("f", "pending", None),
    ] {
        let sql =
            "INSERT INTO thunk (id, name, argument, on_death, rejected, state, error, created_at, changed)
                   VALUES (?1, ?2, '{}', 'reject', '{\"action\":{\"type\":\"set\"}}', ?3, ?4, 1, 1)";
        raw.execute(sql, (rejoin::work::ThunkId::random().to_string(), name, state, error)).unwrap();
    }
    let mut core = rejoin::store::Core::open_connection(raw).unwrap();
    let all = core.thunks().unwrap();
    let causes: Vec<_> = all.iter().map(|info| info.cause).collect();
    let (panicked, orphaned) = (ThunkCause::Panicked, ThunkCause::Orphaned);
    let expected =
        [Some(ThunkCause::Returned), Some(panicked), Some(orphaned), None, Some(ThunkCause::Aborted), None];
    assert_eq!(causes, expected);
    assert_eq!((&all[0].rejection, &all[1].rejection), (&Some(json!("no")), &None));
    assert_eq!((&all[3].error, all[3].follow_error.as_deref()), (&None, Some("no such place")));
    let raw = core.into_connection();
    let orphaned: Option<String> = raw
        .query_row(
            "SELECT json_extract(follow_ups, '$.orphaned') FROM job WHERE state = 'waiting'",
            [],
            |r| r.get(0),
        )
        .unwrap();
    assert_eq!(
        orphaned.as_deref(),
        Some("{\"action\":{\"type\":\"set\"}}"),
        "an orphan ends as it would have"
    );
}
