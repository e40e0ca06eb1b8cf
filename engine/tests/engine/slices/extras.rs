//! Slices that react to the actions of others.

use rejoin::{
    DocumentId, Error, Store,
    slice::{Draft, ExtraReducer, Migration, Newer, Rejection, Scope, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::slices::support::*;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum StatsAction {
    Cleared,
}

/// How many tasks were added; refuses the third.
struct Stats;

fn count(draft: &mut Draft<'_>, action: &TaskAction, path: &str) -> Result<(), Rejection> {
    match action {
        TaskAction::Added { .. } => {
            let added: i64 = draft.read(path)?.unwrap_or_default();
            if added == 2 {
                return Err("two are enough".into());
            }
            draft.increment(path, 1)
        }
        TaskAction::Noted { .. } => panic!("it cannot read"),
        _ => Ok(()),
    }
}

impl Slice for Stats {
    const NAME: &'static str = "stats";
    const NEWER: Newer = Newer::ReadOnly;
    type State = Value;
    type Action = StatsAction;

    fn reduce(draft: &mut Draft<'_>, _: &StatsAction) -> Result<(), Rejection> {
        draft.set("/added", 0)
    }
}

impl ExtraReducer<TaskSlice> for Stats {
    fn react(draft: &mut Draft<'_>, action: &TaskAction) -> Result<(), Rejection> {
        count(draft, action, "/added")
    }
}

/// The same in the next version of the app: in another place.
struct NewStats;

impl Slice for NewStats {
    const NAME: &'static str = "stats";
    const VERSION: u32 = 2;
    type State = Value;
    type Action = StatsAction;

    fn reduce(draft: &mut Draft<'_>, _: &StatsAction) -> Result<(), Rejection> {
        draft.set("/tasks/added", 0)
    }

    fn migrate(_: u32, migration: &mut Migration<'_, '_>) -> Result<(), Rejection> {
        let Some(added) = migration.read::<Value>("/added")? else { return Ok(()) };
        migration.put("/before", added)?;
        migration.delete("/added")
    }
}

impl ExtraReducer<TaskSlice> for NewStats {
    fn react(draft: &mut Draft<'_>, action: &TaskAction) -> Result<(), Rejection> {
        count(draft, action, "/tasks/added")
    }
}

struct Elsewhere;

impl Slice for Elsewhere {
    const NAME: &'static str = "elsewhere";
    const SCOPE: Scope = Scope::Local;
    type State = Value;
    type Action = StatsAction;

    fn reduce(_: &mut Draft<'_>, _: &StatsAction) -> Result<(), Rejection> {
        Ok(())
    }
}

impl ExtraReducer<TaskSlice> for Elsewhere {
    fn react(_: &mut Draft<'_>, _: &TaskAction) -> Result<(), Rejection> {
        Ok(())
    }
}

fn added(title: &str) -> TaskAction {
    TaskAction::Added { title: title.to_owned() }
}

async fn open(path: &std::path::Path) -> Store {
    let builder = Store::builder(path).slice::<TaskSlice>().slice::<Stats>();
    builder.extra_reducer::<Stats, TaskSlice>().open().await.unwrap()
}

async fn stats(store: &Store, id: DocumentId) -> Value {
    store.slice::<Stats>(id).state().await.unwrap()["added"].clone()
}

#[tokio::test]
async fn a_slice_that_reacts_writes_in_the_change_of_the_action_and_is_undone_with_it() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let (a, b) = (open(&place.path().join("a.db")).await, open(&place.path().join("b.db")).await);
    let id = a.create(None, None).await.unwrap();
    b.join(id, None, None).await.unwrap();
    let mut told = a.slice::<Stats>(id).changes();
    let receipt = a.slice::<TaskSlice>(id).dispatch(added("milk")).await.unwrap();
    assert_eq!(stats(&a, id).await, 1);
    let history = a.history(id, None).await.unwrap();
    assert_eq!(history.iter().map(|entry| entry.hash).collect::<Vec<_>>(), [receipt.hash]);
    assert_eq!(told.next().await.unwrap().change.unwrap().hash, receipt.hash);
    // No reducer runs for it on another device, and both are there.
    server.sync(&[&a, &b]).await;
    assert_eq!(
        (stats(&b, id).await, b.slice::<TaskSlice>(id).state().await.unwrap().items.len()),
        (json!(1), 1)
    );
    // Others' additions stay.
    b.slice::<TaskSlice>(id).dispatch(added("bread")).await.unwrap();
    server.sync(&[&a, &b]).await;
    assert_eq!(stats(&a, id).await, 2);
    a.undo(id).await.unwrap();
    assert_eq!(
        (stats(&a, id).await, a.slice::<TaskSlice>(id).state().await.unwrap().items.len()),
        (json!(1), 1)
    );
    a.redo(id).await.unwrap();
    assert_eq!(
        (stats(&a, id).await, a.slice::<TaskSlice>(id).state().await.unwrap().items.len()),
        (json!(2), 2)
    );
    assert!(a.check().await.unwrap().ok);
}

#[tokio::test]
async fn a_slice_that_reacts_rejects_the_action_whole() {
    let place = tempfile::tempdir().unwrap();
    let store = open(&place.path().join("a.db")).await;
    let id = store.create(None, None).await.unwrap();
    let tasks = store.slice::<TaskSlice>(id);
    tasks.dispatch(added("milk")).await.unwrap();
    tasks.dispatch(added("bread")).await.unwrap();
    let third = tasks.dispatch(added("salt")).await;
    assert!(matches!(third, Err(Error::Rejected { reason, .. }) if reason == "two are enough"));
    let panics = tasks.dispatch(TaskAction::Noted { text: "x".into() }).await;
    assert!(matches!(panics, Err(Error::ReducerPanicked { .. })));
    assert_eq!(tasks.state().await.unwrap().items.len(), 2);
    assert_eq!((store.queue(None).await.unwrap().len(), stats(&store, id).await), (2, json!(2)));
    assert_eq!(tasks.state().await.unwrap().notes, "");
}

#[tokio::test]
async fn what_a_slice_wrote_as_a_reaction_is_migrated_and_told_to_older_apps() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.db");
    let old = open(&path).await;
    let id = old.create(None, None).await.unwrap();
    old.slice::<TaskSlice>(id).dispatch(added("milk")).await.unwrap();
    old.close().await.unwrap();
    let builder = Store::builder(&path).slice::<TaskSlice>().slice::<NewStats>();
    let new = builder.extra_reducer::<NewStats, TaskSlice>().open().await.unwrap();
    assert_eq!(new.slice::<NewStats>(id).state().await.unwrap(), json!({"before": 1}));
    new.slice::<TaskSlice>(id).dispatch(added("bread")).await.unwrap();
    let state = new.slice::<NewStats>(id).state().await.unwrap();
    assert_eq!(state, json!({"before": 1, "tasks": {"added": 1}}));
    new.close().await.unwrap();
    // The older app only reads it, so that it takes no action that it would react to.
    let old = open(&path).await;
    assert_eq!(old.slice::<Stats>(id).newer_version().await.unwrap(), Some(2));
    let refused = old.slice::<TaskSlice>(id).dispatch(added("salt")).await;
    assert!(matches!(refused, Err(Error::NewerSlice { written: 2, .. })));
}

#[tokio::test]
async fn a_reaction_alone_by_a_newer_version_is_told_to_older_apps() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("a.db");
    let builder = Store::builder(&path).slice::<TaskSlice>().slice::<NewStats>();
    let new = builder.extra_reducer::<NewStats, TaskSlice>().open().await.unwrap();
    let id = new.create(None, None).await.unwrap();
    new.slice::<TaskSlice>(id).dispatch(added("bread")).await.unwrap();
    new.close().await.unwrap();
    let old = open(&path).await;
    assert_eq!(old.slice::<Stats>(id).newer_version().await.unwrap(), Some(2));
}

#[tokio::test]
async fn a_slice_reacts_only_where_it_lives_and_in_documents_of_its_kind() {
    let place = tempfile::tempdir().unwrap();
    let at = |name: &str| Store::builder(place.path().join(name)).slice::<TaskSlice>();
    let unknown = at("a.db").extra_reducer::<Stats, TaskSlice>().open().await;
    assert!(matches!(unknown, Err(Error::BadSlice { .. })));
    let apart = at("a.db").slice::<Elsewhere>().extra_reducer::<Elsewhere, TaskSlice>().open().await;
    assert!(matches!(apart, Err(Error::BadSlice { reason, .. }) if reason.contains("different places")));
    let twice = at("a.db").slice::<Stats>().extra_reducer::<Stats, TaskSlice>();
    let twice = twice.extra_reducer::<Stats, TaskSlice>().open().await;
    assert!(matches!(twice, Err(Error::BadSlice { .. })));
    let kinds = at("b.db").slice::<Stats>().extra_reducer::<Stats, TaskSlice>();
    let kinds = kinds.kind("plain", &["tasks"]).kind("counted", &["tasks", "stats"]).open().await.unwrap();
    for (kind, want) in [("plain", Value::Null), ("counted", json!(1))] {
        let id = kinds.create_kind(kind, None, None).await.unwrap();
        kinds.slice::<TaskSlice>(id).dispatch(added("milk")).await.unwrap();
        assert_eq!(stats(&kinds, id).await, want, "{kind}");
    }
}
