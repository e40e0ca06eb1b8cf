//! Several actions, all or none.

use rejoin::{
    Action, DocumentId, Error, Store, Transaction, UndoStep,
    effects::EffectRequest,
    slice::{Draft, Rejection, Scope, Slice},
    work::{StartOptions, Thunk, ThunkContext},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::slices::support::*;

/// The second slice: what was counted.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum BookAction {
    Entered { line: String },
}

struct Book;

impl Slice for Book {
    const NAME: &'static str = "book";
    type State = Value;
    type Action = BookAction;

    fn reduce(draft: &mut Draft<'_>, BookAction::Entered { line }: &BookAction) -> Result<(), Rejection> {
        draft.insert("/lines/-", line)
    }

    fn undo_step(_: &BookAction) -> UndoStep {
        UndoStep::new().group("entries")
    }
}

/// A slice in memory.
struct Screen;

impl Slice for Screen {
    const NAME: &'static str = "screen";
    const SCOPE: Scope = Scope::Memory;
    type State = Value;
    type Action = BookAction;

    fn reduce(draft: &mut Draft<'_>, _: &BookAction) -> Result<(), Rejection> {
        draft.set("/on", true)
    }
}

struct Noop;

impl Thunk for Noop {
    const NAME: &'static str = "noop";
    type Argument = ();
    type Output = ();
    type Error = String;

    async fn run(&self, _: ThunkContext, (): ()) -> Result<(), String> {
        Ok(())
    }
}

async fn bench() -> (Store, [DocumentId; 2]) {
    let builder = rejoin::Builder::in_memory().slice::<TaskSlice>().slice::<Book>().slice::<Screen>();
    let store = builder.thunk(Noop).open().await.unwrap();
    let ids = [store.create(None, None).await.unwrap(), store.create(None, None).await.unwrap()];
    (store, ids)
}

fn count(by: i64) -> TaskAction {
    TaskAction::Counted { by }
}

fn entered(line: &str) -> BookAction {
    BookAction::Entered { line: line.to_owned() }
}

fn thunk() -> rejoin::work::ThunkRequest {
    rejoin::work::ThunkRequest::new::<Noop>((), StartOptions::default())
}

#[tokio::test]
async fn a_transaction_over_slices_and_documents_is_one_commit_with_a_receipt_for_each_action() {
    let (store, [a, b]) = bench().await;
    let mut stirred = store.write_signal();
    store.documents().await.unwrap();
    let before = *stirred.borrow_and_update();
    let transaction = Transaction::new()
        .dispatch::<TaskSlice>(a, TaskAction::Added { title: "milk".into() })
        .dispatch::<Book>(a, entered("milk"))
        .effect(EffectRequest::new("mail", json!({})))
        .action(b, Action::Increment { path: "/n".into(), by: 2 })
        .json(b, json!({"type": "tasks/counted", "by": 3}))
        .thunk(thunk());
    let receipts = store.transact(transaction).await.unwrap();
    assert_eq!(*stirred.borrow_and_update(), before + 1, "one commit");
    let queued = store.queue(None).await.unwrap();
    let hashes: Vec<_> = queued.iter().map(|row| row.change_hash).collect();
    assert_eq!(hashes, receipts.iter().map(|receipt| receipt.hash).collect::<Vec<_>>());
    assert_eq!(store.state(b, "").await.unwrap(), json!({"n": 2, "tasks": {"count": 3}}));
    assert_eq!(store.state(a, "/book/lines").await.unwrap(), json!(["milk"]));
    let effects = store.effects().await.unwrap();
    assert_eq!((effects.len(), effects[0].change), (1, receipts[1].hash));
    assert_eq!(store.thunks().await.unwrap().len(), 1);
    // The id of what the reducer made with it.
    let id = receipts[0].id.unwrap().to_string();
    let tasks = store.slice::<TaskSlice>(a).state().await.unwrap();
    assert_eq!(tasks.items.get(&id).unwrap().title, "milk");
    assert_eq!(receipts[2].id, None);
}

#[tokio::test]
async fn a_transaction_of_which_one_action_fails_leaves_nothing_of_it_anywhere() {
    let (store, [a, b]) = bench().await;
    store.slice::<TaskSlice>(a).dispatch(count(1)).await.unwrap();
    let before = (store.queue(None).await.unwrap(), store.documents().await.unwrap());
    let begun = || {
        Transaction::new()
            .dispatch::<Book>(b, entered("a container is made"))
            .effect(EffectRequest::new("mail", json!({})))
            .thunk(thunk())
            .dispatch::<TaskSlice>(a, count(5))
    };
    let rejected = store.transact(begun().dispatch::<TaskSlice>(a, TaskAction::Spoilt)).await;
    assert!(matches!(rejected, Err(Error::Rejected { reason, .. }) if reason == "milk"));
    let panicked = store.transact(begun().dispatch::<TaskSlice>(a, TaskAction::Broken)).await;
    assert!(matches!(panicked, Err(Error::ReducerPanicked { .. })));
    let unknown = store.transact(begun().action(DocumentId::random(), Action::Delete { path: "/n".into() }));
    assert!(matches!(unknown.await, Err(Error::UnknownDocument(_))));
    let memory = store.transact(begun().dispatch::<Screen>(a, entered("x"))).await;
    assert!(matches!(memory, Err(Error::BadAction { .. })));
    let nothing_before = store.transact(Transaction::new().effect(EffectRequest::new("mail", json!({}))));
    assert!(matches!(nothing_before.await, Err(Error::InvalidEffect(_))));
    assert_eq!((store.queue(None).await.unwrap(), store.documents().await.unwrap()), before);
    assert!(store.effects().await.unwrap().is_empty() && store.thunks().await.unwrap().is_empty());
    assert_eq!(store.state(b, "").await.unwrap(), json!({}));
    // What is in memory is what is on the disk.
    store.transact(begun()).await.unwrap();
    assert_eq!(store.state(a, "/tasks/count").await.unwrap(), 6);
    assert!(store.check().await.unwrap().ok);
}

async fn lines_and_count(store: &Store, id: DocumentId) -> (Value, i64) {
    let book = store.slice::<Book>(id).state().await.unwrap();
    (book["lines"].clone(), store.slice::<TaskSlice>(id).state().await.unwrap().count)
}

/// Two actions in one document and two in another, as one step.
async fn book_it(store: &Store, [a, b]: [DocumentId; 2]) {
    let transaction = Transaction::new()
        .dispatch::<TaskSlice>(a, count(2))
        .dispatch::<Book>(a, entered("two"))
        .dispatch::<Book>(b, entered("elsewhere"))
        .dispatch::<TaskSlice>(a, count(1))
        .undo_step(UndoStep::new().label("Book it"));
    store.transact(transaction).await.unwrap();
}

#[tokio::test]
async fn a_transaction_over_documents_is_one_step_of_undo_in_all_of_them() {
    let (store, [a, b]) = bench().await;
    store.slice::<Book>(a).dispatch(entered("before")).await.unwrap();
    book_it(&store, [a, b]).await;
    store.slice::<Book>(a).dispatch(entered("after")).await.unwrap();
    store.slice::<Book>(b).dispatch(entered("after")).await.unwrap();
    store.undo(a).await.unwrap();
    let next = store.next_undo(a).await.unwrap().unwrap();
    assert_eq!((next.label.as_str(), next.actions), ("Book it", 4));
    let mut stirred = store.write_signal();
    store.documents().await.unwrap();
    let before = *stirred.borrow_and_update();
    let undone = store.undo(a).await.unwrap().unwrap();
    assert_eq!(*stirred.borrow_and_update(), before + 1, "one commit");
    assert_eq!((undone.with.len(), undone.beside.len(), undone.gone.len()), (2, 1, 0));
    assert_eq!((undone.beside[0].document, undone.beside[0].undone.label.as_deref()), (b, Some("Book it")));
    assert_eq!(lines_and_count(&store, a).await, (json!(["before"]), 0));
    assert_eq!(lines_and_count(&store, b).await.0, json!(["after"]), "what came later stays");
    assert_eq!(store.next_redo(a).await.unwrap().unwrap().actions, 4);
    store.redo(a).await.unwrap();
    assert_eq!(lines_and_count(&store, a).await, (json!(["before", "two"]), 3));
    assert_eq!(lines_and_count(&store, b).await.0, json!(["elsewhere", "after"]));
    // From the other document it is the same step, also after it was done again.
    store.undo(b).await.unwrap();
    assert_eq!(lines_and_count(&store, b).await.0, json!(["after"]));
    assert_eq!(lines_and_count(&store, a).await, (json!(["before"]), 0));
    store.undo(a).await.unwrap();
    assert_eq!(lines_and_count(&store, a).await.0, json!([]));
    assert!(store.check().await.unwrap().ok);
}

#[tokio::test]
async fn an_undo_of_a_transaction_names_the_document_that_went_away() {
    for deleted in [false, true] {
        let (store, [a, b]) = bench().await;
        book_it(&store, [a, b]).await;
        if deleted {
            store.delete(b).await.unwrap()
        } else {
            store.leave(b).await.unwrap()
        }
        let undone = store.undo(a).await.unwrap().unwrap();
        assert_eq!((undone.beside.len(), undone.gone), (0, vec![b]));
        assert_eq!(lines_and_count(&store, a).await.1, 0);
        store.redo(a).await.unwrap();
        assert_eq!(lines_and_count(&store, a).await.1, 3);
    }
}

#[tokio::test]
async fn what_was_taken_back_alone_of_a_transaction_is_not_taken_back_twice() {
    let (store, [a, b]) = bench().await;
    let add = |by| Action::Increment { path: "/n".into(), by };
    let receipts = store.transact(Transaction::new().action(a, add(1)).action(b, add(2))).await.unwrap();
    store.undo_change(b, receipts[1].hash).await.unwrap();
    let undone = store.undo(a).await.unwrap().unwrap();
    assert!(undone.beside.is_empty());
    assert_eq!(
        (store.state(a, "/n").await.unwrap(), store.state(b, "/n").await.unwrap()),
        (json!(0), json!(0))
    );
}

#[tokio::test]
async fn transactions_of_a_group_are_one_step() {
    let (store, [a, _]) = bench().await;
    for _ in 0..2 {
        let dragged =
            Transaction::new().dispatch::<TaskSlice>(a, count(1)).dispatch::<TaskSlice>(a, count(1));
        store.transact(dragged.undo_step(UndoStep::new().group("dragging"))).await.unwrap();
    }
    assert_eq!(store.next_undo(a).await.unwrap().unwrap().actions, 4);
}

#[test]
fn the_usual_errors_become_rejections() {
    fn fails(what: u8) -> Result<(), Rejection> {
        match what {
            0 => drop("x".parse::<i64>()?),
            1 => drop(serde_json::from_str::<Value>("{")?),
            2 => drop("x".parse::<DocumentId>()?),
            3 => drop(u8::try_from(300)?),
            _ => Err(Box::<dyn std::error::Error + Send + Sync>::from("boxed"))?,
        }
        Ok(())
    }
    assert!((0..5).all(|what| fails(what).is_err()));
    assert_eq!(fails(4).unwrap_err().to_string(), "boxed");
}

#[tokio::test]
async fn find_or_create_makes_a_document_of_a_name_once() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.db");
    let (one, two) = (Store::open(&path).await.unwrap(), Store::open(&path).await.unwrap());
    let (a, b) = tokio::join!(one.find_or_create("inbox"), two.find_or_create("inbox"));
    assert_eq!(a.unwrap(), b.unwrap());
    assert_eq!(one.documents().await.unwrap().len(), 1);
    let other = one.find_or_create("outbox").await.unwrap();
    assert_eq!(two.find("outbox").await.unwrap(), other);
}

#[tokio::test]
async fn what_nobody_waits_for_is_done_in_turn_and_its_failures_are_told_to_the_hook() {
    let place = tempfile::tempdir().unwrap();
    let (tell, told) = std::sync::mpsc::channel();
    let store = Store::builder(place.path().join("a.db"))
        .slice::<TaskSlice>()
        .on_failed_dispatch(move |failed| {
            tell.send((failed.action_type, failed.error)).unwrap();
            panic!("a hook that panics ends alone");
        })
        .open()
        .await
        .unwrap();
    let tasks = store.slice::<TaskSlice>(store.create(None, None).await.unwrap());
    tasks.dispatch_soon(count(1));
    tasks.dispatch_soon(TaskAction::Spoilt);
    tasks.dispatch_soon(count(2));
    store.dispatch_soon(DocumentId::random(), Action::Delete { path: "/x".into() });
    assert_eq!(tasks.state().await.unwrap().count, 3);
    let (kind, error) = told.recv().unwrap();
    assert!(kind == "tasks/spoilt" && matches!(error, Error::Rejected { .. }));
    let (kind, error) = told.recv().unwrap();
    assert!(kind == "delete" && matches!(error, Error::UnknownDocument(_)));
    assert!(told.try_recv().is_err(), "what was done is told to nobody");
    store.close().await.unwrap();
    tasks.dispatch_soon(count(1));
    assert!(matches!(told.recv().unwrap().1, Error::Closed));
}

#[test]
fn blocking_handles_have_the_latest_state_and_dispatches_that_nobody_waits_for() {
    let place = tempfile::tempdir().unwrap();
    let builder = Store::builder(place.path().join("a.db")).slice::<TaskSlice>();
    let store = builder.open_blocking().unwrap();
    let tasks = store.slice::<TaskSlice>(store.find_or_create("a").unwrap());
    let latest = tasks.latest().unwrap();
    tasks.dispatch_soon(count(2));
    tasks.dispatch_all(vec![count(1), TaskAction::Spoilt]).unwrap();
    assert_eq!((latest.borrow().count, tasks.snapshot().unwrap().count), (3, 3));
    let both = Transaction::new().dispatch::<TaskSlice>(store.find("a").unwrap(), count(4));
    store.transact(both).unwrap();
    assert_eq!(latest.borrow().count, 7);
}
