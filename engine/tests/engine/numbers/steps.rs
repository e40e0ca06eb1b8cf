//! What takes more than one change, and what the library cannot do.

use automerge::{Change, ScalarValue, legacy::ObjectId};
use rejoin::{
    Action, ChangeHash, DocumentId, Error, ErrorKind, Store, SyncOptions,
    fence::{CheckedChange, RefusalCode},
    slice::{Draft, Migration, Rejection, Slice},
    store::{Choice, Core, Durability, Page},
    wire::Rejected,
};
use rejoin_server::{AppState, ServerConfig, serve};
use rusqlite::Connection;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::numbers::support::{Hand, act, as_automerge, bring, checked, set, waiting};

const MANY: u32 = 5_000;

fn splice(pos: u64, delete: u64, insert: &str) -> Action {
    Action::Splice { path: "/text".into(), pos, delete, insert: insert.into() }
}

/// The object that the last of these changes writes in, and where its counters end.
fn place_of(changes: &[CheckedChange]) -> (ObjectId, u64, ChangeHash) {
    let last = changes.last().unwrap();
    let change = Change::try_from(last.bytes.as_slice()).unwrap();
    (change.decode().operations[0].obj.clone(), last.start_op + last.operations, last.hash)
}

#[test]
fn one_of_five_thousand_values_is_taken() {
    let values = |actor| Hand { value: ScalarValue::Int(i64::from(actor)), ..Hand::of(actor) };
    let changes: Vec<CheckedChange> = (0..MANY).map(|actor| checked(&values(actor).change())).collect();
    let mut core = Core::open_in_memory().unwrap();
    core.set_clock(Box::new(|| i64::MAX));
    let id = core.create(None, None).unwrap();
    bring(&mut core, id, changes.clone());
    core.take(id, "/key", Choice::Change(changes[17].hash)).unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), json!({"key": 17}));
    assert!(core.conflicts(id, "").unwrap().is_empty());
    assert_eq!(core.queue(None).unwrap().len(), 1, "the steps have no line");
    let all = as_automerge(&[changes, waiting(&mut core, id)].concat());
    assert_eq!(automerge::ReadDoc::get_all(&all, automerge::ROOT, "key").unwrap().len(), 1);
    core.undo(id).unwrap().unwrap();
    act(&mut core, id, set("/key", json!("mine")));
    assert_eq!(core.state(id, "", None).unwrap(), json!({"key": "mine"}));
}

#[test]
fn the_characters_of_five_thousand_actors_are_replaced() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, splice(0, 0, "x"));
    let (object, start_op, base) = place_of(&waiting(&mut core, id));
    let by = |actor| Hand {
        value: ScalarValue::Str("a".into()),
        object: object.clone(),
        start_op,
        deps: vec![base],
        ..Hand::of(actor)
    };
    let changes: Vec<CheckedChange> = (0..MANY).map(|actor| checked(&by(actor).inserting())).collect();
    assert_eq!(bring(&mut core, id, changes).quarantined, 0);
    assert_eq!(core.state(id, "/text", None).unwrap().as_str().unwrap().len(), MANY as usize + 1);
    act(&mut core, id, splice(1, u64::from(MANY), "new"));
    assert_eq!(core.state(id, "/text", None).unwrap(), "anew");
    let lines = core.queue(None).unwrap().len();
    assert!((11..=24).contains(&lines), "one line for each part of a long deletion: {lines}");
    while core.undo(id).unwrap().is_some() {}
    act(&mut core, id, splice(0, 1, "on"));
    assert!(core.check().unwrap().ok);
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Act {
    Name { name: String },
}

fn name(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
    let Act::Name { name } = action;
    draft.set("/me/name", name)
}

struct V1;

impl Slice for V1 {
    const NAME: &'static str = "people";
    type State = Value;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        name(draft, action)
    }
}

struct V2;

impl Slice for V2 {
    const NAME: &'static str = "people";
    const VERSION: u32 = 2;
    type State = Value;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        name(draft, action)
    }
    fn migrate(_: u32, people: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        people.rename("/me/name", "/me/full_name")
    }
}

#[tokio::test]
async fn five_thousand_values_of_one_key_are_migrated() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store.db");
    let store = Store::builder(&path).slice::<V1>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    store.slice::<V1>(id).dispatch(Act::Name { name: "Ada".into() }).await.unwrap();
    drop(store);
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let (object, start_op, base) = place_of(&waiting(&mut core, id));
    let by = |actor| Hand {
        key: "name",
        value: ScalarValue::Str("Eve".into()),
        object: object.clone(),
        start_op,
        deps: vec![base],
        ..Hand::of(actor)
    };
    let changes = (0..MANY).map(|actor| checked(&by(actor).change())).collect();
    assert_eq!(bring(&mut core, id, changes).quarantined, 0);
    drop(core);
    let store = Store::builder(&path).slice::<V2>().open().await.unwrap();
    let state = store.slice::<V2>(id).state().await.unwrap();
    assert_eq!(state, json!({"me": {"full_name": "Eve"}}));
}

/// A document in a store of an older release, which no fence of today would let in: every commit in it panics.
fn spoilt(place: &tempfile::TempDir) -> (Core, DocumentId) {
    let path = place.path().join("store.db");
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/a", json!(2)));
    let time = waiting(&mut core, id).last().unwrap().time;
    let other = |actor, time, start_op, deps| {
        Hand { time, start_op, deps, value: ScalarValue::Int(i64::from(actor)), ..Hand::of(actor) }.change()
    };
    let deps = vec![waiting(&mut core, id).last().unwrap().hash];
    let first = other(1, time, 3, deps.clone());
    let second = other(2, time, 3, deps);
    let harmless = other(3, 0, 4, vec![first.hash(), second.hash()]);
    let hostile = other(3, time.wrapping_add(i64::MIN), 4, vec![first.hash(), second.hash()]);
    bring(&mut core, id, [&first, &second, &harmless].map(checked).to_vec());
    drop(core);
    let raw = Connection::open(&path).unwrap();
    let swap = "UPDATE change SET hash = ?1, bytes = ?2 WHERE hash = ?3";
    raw.execute(swap, (hostile.hash().0, hostile.raw_bytes(), harmless.hash().0)).unwrap();
    raw.execute("UPDATE document SET heads = ?1, epoch = epoch + 1", [hostile.hash().to_string()]).unwrap();
    drop(raw);
    (Core::open(&path, Durability::Full).unwrap(), id)
}

#[test]
fn what_the_library_cannot_do_is_said_as_what_it_is_and_changes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let (mut core, id) = spoilt(&place);
    let before = core.state(id, "", None).unwrap();
    let dispatched = core.dispatch(&[(id, set("/b", json!(1)))]).unwrap().pop().unwrap().unwrap_err();
    let undone = core.undo(id).unwrap_err();
    let taken = core.take(id, "/key", Choice::Index(1)).unwrap_err();
    for error in [dispatched, undone, taken] {
        assert!(matches!(error, Error::Library(_)), "{error:?}");
        assert_eq!(error.kind(), ErrorKind::Refused);
        assert!(error.to_string().contains("nothing was changed"), "{error}");
    }
    assert_eq!(core.state(id, "", None).unwrap(), before);
    assert_eq!(core.queue(None).unwrap().len(), 2);
}

fn too_many_heads(core: &mut Core, id: DocumentId, at_end: bool) -> Page {
    let batch = core.take_batch(id, crate::numbers::support::ALL).unwrap();
    let (accepted, last) = (&batch.rows[..batch.rows.len() - 1], batch.rows.last().unwrap());
    let rejected = Rejected {
        hash: last.hash.to_string(),
        code: RefusalCode::TooManyHeads,
        detail: "too many".to_owned(),
        missing: Vec::new(),
        stands: None,
    };
    let accepted = accepted.iter().map(|row| row.id).collect();
    Page { accepted, rejected: vec![(last.id, rejected)], at_end, ..Page::default() }
}

#[test]
fn heads_that_are_too_many_are_merged_when_the_log_was_read_and_never_parked() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    bring(&mut core, id, (0..4).map(|actor| checked(&Hand::of(actor).change())).collect());
    core.set_clock(Box::new(|| 1_000));
    let mut other = Core::open_in_memory().unwrap();
    other.join(id, None, None).unwrap();
    act(&mut other, id, set("/beside", json!(1)));
    bring(&mut other, id, (0..4).map(|actor| checked(&Hand::of(actor).change())).collect());
    for (at_end, waits) in [(false, 1), (true, 2)] {
        let page = too_many_heads(&mut other, id, at_end);
        assert_eq!(other.store_page(id, page).unwrap().parked, 0);
        assert_eq!(waiting(&mut other, id).len(), waits);
    }
    assert_eq!(other.document(id).unwrap().heads.len(), 1);
    let page = too_many_heads(&mut other, id, true);
    assert_eq!(other.store_page(id, page).unwrap().parked, 1, "with nothing to merge it waits for a person");
}

#[test]
fn a_merge_that_lost_against_a_clone_is_written_again_and_has_no_line() {
    let open = |disk: Connection| {
        let mut core = Core::open_connection(disk).unwrap();
        core.set_clock(Box::new(|| 1_000));
        core
    };
    let mut a = open(Connection::open_in_memory().unwrap());
    let id = a.create(None, None).unwrap();
    act(&mut a, id, set("/first", json!(1)));
    let first = waiting(&mut a, id);
    bring(&mut a, id, (0..4).map(|actor| checked(&Hand::of(actor).change())).collect());
    let disk = a.into_connection();
    let mut copy = Connection::open_in_memory().unwrap();
    rusqlite::backup::Backup::new(&disk, &mut copy)
        .unwrap()
        .run_to_completion(1_000, std::time::Duration::ZERO, None)
        .unwrap();
    let (mut a, mut b) = (open(disk), open(copy));
    let page = too_many_heads(&mut a, id, true);
    a.store_page(id, page).unwrap();
    assert_eq!(a.document(id).unwrap().heads.len(), 1);
    act(&mut a, id, set("/mine", json!(1)));
    act(&mut b, id, set("/theirs", json!(1)));
    let theirs = waiting(&mut b, id).into_iter().filter(|c| c.hash != first[0].hash).collect();
    let outcome = bring(&mut a, id, theirs);
    assert!(outcome.rewritten >= 2, "the merge, and what was made on it: {outcome:?}");
    let want = json!({"first": 1, "key": 1, "mine": 1, "theirs": 1});
    assert_eq!(a.state(id, "", None).unwrap(), want);
    let lines = |core: &mut Core| {
        core.history(id, None).unwrap().iter().filter(|line| line.replaced_by.is_none()).count()
    };
    assert_eq!(lines(&mut a), 7, "three actions, and four of others");
    assert_eq!(a.queue(None).unwrap().iter().filter(|row| row.action.is_some()).count(), 2);
    let all = waiting(&mut a, id);
    let mut joins = Core::open_in_memory().unwrap();
    joins.join(id, None, None).unwrap();
    bring(&mut joins, id, (0..4).map(|actor| checked(&Hand::of(actor).change())).collect());
    let theirs: Vec<CheckedChange> = waiting(&mut b, id);
    bring(&mut joins, id, theirs);
    assert_eq!(bring(&mut joins, id, all).quarantined, 0);
    assert_eq!(joins.state(id, "", None).unwrap(), want);
    assert_eq!(lines(&mut joins), 7);
    assert_eq!(joins.document(id).unwrap().heads, a.document(id).unwrap().heads);
    assert!(a.check().unwrap().ok);
}

#[tokio::test]
async fn one_head_too_many_is_merged_and_pushed_by_the_same_sync() {
    let place = tempfile::tempdir().unwrap();
    let mut config = ServerConfig::new(place.path().join("server.db"));
    config.limits.document_heads = 4;
    let state = AppState::open(config).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (_stop, stopped) = tokio::sync::oneshot::channel::<()>();
    tokio::spawn(serve(listener, state, async move { drop(stopped.await) }));
    let id = DocumentId::random();
    let mut stores = Vec::new();
    for member in 0..7 {
        let store = Store::builder(place.path().join(format!("{member}.db"))).open().await.unwrap();
        store.join(id, None, None).await.unwrap();
        store.dispatch(id, set(&format!("/{member}"), json!(member))).await.unwrap();
        let report = store.sync(SyncOptions::default().server(&url)).await.unwrap();
        assert!(report.worst().is_none(), "{member}: {report:?}");
        let left = store.queue(Some(id)).await.unwrap();
        assert!(left.is_empty(), "{member}: {left:?} {report:?}");
        stores.push(store);
    }
    let want: serde_json::Map<_, _> = (0..7).map(|member| (member.to_string(), json!(member))).collect();
    for store in stores {
        store.sync(SyncOptions::default().server(&url)).await.unwrap().reached().unwrap();
        assert_eq!(store.state(id, "").await.unwrap(), Value::Object(want.clone()));
    }
}
