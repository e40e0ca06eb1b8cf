use rejoin::{
    Action, Error, ErrorKind, Store,
    slice::{Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::slices::support::{Device, TaskAction, TaskSlice, two_devices};

#[tokio::test]
async fn an_action_is_one_change_with_its_slice_in_its_type() {
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    let tasks = device.store.slice::<TaskSlice>(id);
    let made = tasks.dispatch(TaskAction::Added { title: "bread".into() }).await.unwrap();
    let queue = device.store.queue(Some(id)).await.unwrap();
    assert_eq!(queue.len(), 1);
    assert_eq!(queue[0].action_type.as_deref(), Some("tasks/added"));
    assert_eq!(queue[0].action, Some(json!({"type": "tasks/added", "title": "bread"})));
    assert_eq!(queue[0].change_hash, made.hash);
    assert_eq!(tasks.state().await.unwrap().items.len(), 1);
}

#[tokio::test]
async fn a_reducer_that_fails_or_panics_changes_nothing_and_says_which_action() {
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    let tasks = device.store.slice::<TaskSlice>(id);
    tasks.dispatch(TaskAction::Counted { by: 1 }).await.unwrap();
    let before = device.store.state(id, "").await.unwrap();
    let failed = tasks.dispatch(TaskAction::Spoilt).await.unwrap_err();
    assert_eq!(failed.to_string(), "the action \"tasks/spoilt\" was rejected: milk");
    assert_eq!(failed.kind(), ErrorKind::Refused);
    let broken = tasks.dispatch(TaskAction::Broken).await.unwrap_err();
    assert_eq!(broken.to_string(), "the action \"tasks/broken\" made its reducer panic: glass");
    assert_eq!(device.store.state(id, "").await.unwrap(), before);
    assert_eq!(device.store.queue(None).await.unwrap().len(), 1);
    // Others in the same group are done.
    let many = vec![
        TaskAction::Counted { by: 1 },
        TaskAction::Broken,
        TaskAction::Spoilt,
        TaskAction::Counted { by: 1 },
    ];
    let results = tasks.dispatch_all(many).await.unwrap();
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, false, true]);
    assert_eq!(tasks.state().await.unwrap().count, 3);
}

/// A thing that is added with a text and a counter in it.
struct Pages;

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum PageAction {
    Added { id: String, fields: serde_json::Value },
}

impl Slice for Pages {
    const NAME: &'static str = "pages";
    type State = serde_json::Value;
    type Action = PageAction;
    fn reduce(draft: &mut Draft<'_>, action: &PageAction) -> Result<(), Rejection> {
        let PageAction::Added { id, fields } = action;
        if !draft.entities("/items").add(id, fields)? {
            return Err("it is there".into());
        }
        draft.splice(&format!("/items/{id}/body"), 0, 0, "Once")?;
        draft.increment(&format!("/items/{id}/read"), 1)
    }
}

#[tokio::test]
async fn what_an_action_makes_in_the_entity_that_it_adds_is_part_of_it() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::builder(place.path().join("a.db")).slice::<Pages>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let pages = store.slice::<Pages>(id);
    for (page, fields) in [("a", json!({"title": "A"})), ("b", json!({}))] {
        pages.dispatch(PageAction::Added { id: page.into(), fields }).await.unwrap();
    }
    let state = pages.state().await.unwrap();
    assert_eq!(state["items"]["a"], json!({"title": "A", "body": "Once", "read": 1}));
    assert_eq!(state["items"]["b"], json!({"body": "Once", "read": 1}));
    store.undo(id).await.unwrap().unwrap();
    assert_eq!(
        pages.state().await.unwrap()["items"],
        json!({"a": state["items"]["a"]}),
        "nothing of it stays"
    );
}

#[tokio::test]
async fn two_devices_that_upsert_one_thing_merge_it_field_by_field() {
    let (a, b, server, id) = two_devices().await;
    let (on_a, on_b) = (a.store.slice::<TaskSlice>(id), b.store.slice::<TaskSlice>(id));
    let upsert = |fields| TaskAction::Upserted { id: "x".into(), fields };
    on_a.dispatch(upsert(json!({"title": "bread", "labels": {"shop": "north"}}))).await.unwrap();
    on_b.dispatch(upsert(json!({"done": true, "labels": {"price": 3}}))).await.unwrap();
    on_a.dispatch(TaskAction::Counted { by: 5 }).await.unwrap();
    on_b.dispatch(TaskAction::Counted { by: 10 }).await.unwrap();
    on_a.dispatch(TaskAction::Noted { text: "from a".into() }).await.unwrap();
    on_b.dispatch(TaskAction::Noted { text: "from b".into() }).await.unwrap();
    server.sync(&[&a.store, &b.store]).await;
    let state = on_a.state().await.unwrap();
    assert_eq!(state, on_b.state().await.unwrap());
    let task = state.items.get("x").unwrap();
    assert_eq!((task.title.as_str(), task.done), ("bread", true));
    assert_eq!(json!(task.labels), json!({"price": 3, "shop": "north"}));
    assert_eq!(state.count, 15);
    assert!(state.notes.contains("from a") && state.notes.contains("from b"), "{}", state.notes);
}

#[tokio::test]
async fn what_is_removed_and_made_again_is_new() {
    let (a, b, server, id) = two_devices().await;
    let (on_a, on_b) = (a.store.slice::<TaskSlice>(id), b.store.slice::<TaskSlice>(id));
    let upsert = |fields| TaskAction::Upserted { id: "x".into(), fields };
    on_a.dispatch(upsert(json!({"title": "bread", "done": true}))).await.unwrap();
    on_a.dispatch(TaskAction::Removed { id: "x".into() }).await.unwrap();
    on_a.dispatch(upsert(json!({"title": "milk"}))).await.unwrap();
    server.sync(&[&a.store, &b.store]).await;
    let state = on_b.state().await.unwrap();
    assert_eq!(state, on_a.state().await.unwrap());
    let task = state.items.get("x").unwrap();
    assert_eq!((task.title.as_str(), task.done), ("milk", false));
}

#[tokio::test]
async fn an_action_can_be_given_as_json() {
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    device.store.dispatch_json(id, &json!({"type": "tasks/counted", "by": 4})).await.unwrap();
    device.store.dispatch_json(id, &json!({"type": "set", "path": "/a", "value": 1})).await.unwrap();
    assert_eq!(device.store.state(id, "").await.unwrap(), json!({"a": 1, "tasks": {"count": 4}}));
    let wrong =
        device.store.dispatch_json(id, &json!({"type": "tasks/counted", "by": "four"})).await.unwrap_err();
    assert!(matches!(&wrong, Error::BadAction { action, .. } if action == "tasks/counted"), "{wrong}");
    let unknown = device.store.dispatch_json(id, &json!({"type": "bills/paid"})).await.unwrap_err();
    assert!(matches!(&unknown, Error::UnknownSlice(slice) if slice == "bills"), "{unknown}");
}

struct SameName;

impl Slice for SameName {
    const NAME: &'static str = "tasks";
    type State = Vec<u8>;
    type Action = ();
    fn reduce(_: &mut Draft<'_>, (): &()) -> Result<(), Rejection> {
        Ok(())
    }
}

struct BadName;

impl Slice for BadName {
    const NAME: &'static str = "my/tasks";
    type State = ();
    type Action = ();
    fn reduce(_: &mut Draft<'_>, (): &()) -> Result<(), Rejection> {
        Ok(())
    }
}

#[tokio::test]
async fn what_cannot_be_registered_is_told_when_the_store_is_opened() {
    let place = tempfile::tempdir().unwrap();
    let path = || place.path().join("store.db");
    let twice = Store::builder(path()).slice::<TaskSlice>().slice::<SameName>().open().await.unwrap_err();
    assert!(twice.to_string().contains("registered already"), "{twice}");
    let name = Store::builder(path()).slice::<BadName>().open().await.unwrap_err();
    assert!(name.to_string().contains("letters"), "{name}");
    let kind = Store::builder(path()).kind("board", &["tasks"]).open().await.unwrap_err();
    assert!(kind.to_string().contains("not registered"), "{kind}");
    assert!(!path().exists(), "nothing was made");
}

#[tokio::test]
async fn a_slice_that_was_not_registered_and_an_action_without_a_tag_are_clear_errors() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::open(place.path().join("store.db")).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let error = store.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 1 }).await.unwrap_err();
    assert!(matches!(&error, Error::UnknownSlice(slice) if slice == "tasks"), "{error}");
    let error = store.slice::<TaskSlice>(id).state().await.unwrap_err();
    assert!(matches!(&error, Error::UnknownSlice(slice) if slice == "tasks"), "{error}");
    let error = store.slice::<SameName>(id).dispatch(()).await.unwrap_err();
    assert!(error.to_string().contains("serde(tag"), "{error}");
}

struct Untagged;

#[derive(Serialize, Deserialize)]
enum Bare {
    Added { n: u64 },
}

impl Slice for Untagged {
    const NAME: &'static str = "untagged";
    type State = serde_json::Value;
    type Action = Bare;

    fn reduce(draft: &mut Draft<'_>, Bare::Added { n }: &Bare) -> Result<(), Rejection> {
        draft.set("/n", n)
    }
}

#[tokio::test]
async fn actions_without_a_tag_are_refused_when_the_store_is_opened() {
    let error = rejoin::Builder::in_memory().slice::<Untagged>().open().await.unwrap_err();
    assert!(error.to_string().contains("serde(tag = \"type\")"), "{error}");
}

#[tokio::test]
async fn a_kind_of_document_takes_its_own_slices_only() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store.db");
    let build = || Store::builder(&path).slice::<TaskSlice>().kind("board", &["tasks"]).kind("page", &[]);
    let store = build().open().await.unwrap();
    let board = store.create_kind("board", None, None).await.unwrap();
    let page = store.create_kind("page", None, None).await.unwrap();
    let add = || TaskAction::Counted { by: 1 };
    store.slice::<TaskSlice>(board).dispatch(add()).await.unwrap();
    drop(store);
    let store = build().open().await.unwrap();
    let error = store.slice::<TaskSlice>(page).dispatch(add()).await.unwrap_err();
    assert!(matches!(&error, Error::NotOfThisKind { kind, .. } if kind == "page"), "{error}");
    // Nor do they take what writes beside the slices, over one or into one.
    for path in ["/elsewhere", "/tasks", "/tasks/count"] {
        let action = Action::Set { path: path.into(), value: json!(1) };
        for document in [board, page] {
            let error = store.dispatch(document, action.clone()).await.unwrap_err();
            assert!(matches!(error, Error::NotOfThisKind { .. }), "{path}: {error}");
        }
        let json = json!({"type": "delete", "path": path});
        assert!(store.dispatch_json(board, &json).await.is_err(), "{path}");
    }
    assert_eq!(store.state(board, "").await.unwrap(), json!({"tasks": {"count": 1}}));
    assert!(store.create_kind("shelf", None, None).await.is_err());
}

struct Loose;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Write {
    Verb { nth: usize, path: String },
}

impl Slice for Loose {
    const NAME: &'static str = "todo";
    type State = serde_json::Value;
    type Action = Write;

    fn reduce(draft: &mut Draft<'_>, Write::Verb { nth, path }: &Write) -> Result<(), Rejection> {
        match nth {
            0 => draft.set(path, 1),
            1 => draft.set(path, json!({"a": 1})),
            2 => draft.merge(path, json!({"a": 1})),
            3 => draft.delete(path),
            4 => draft.increment(path, 1),
            5 => draft.insert(path, 1),
            6 => draft.splice(path, 0, 0, "x"),
            7 => draft.update_text(path, "x"),
            8 => draft.get(path).map(drop),
            9 => draft.object(path, rejoin::container::ContainerKind::Map).map(drop),
            10 => draft.entities(path).upsert("x", json!({"a": 1})),
            _ => draft.entities(path).add("x", json!({"a": 1})).map(drop),
        }
    }
}

/// A path that begins with no `/` would lead into another slice: `todo` and `s/stolen` is `/todos/stolen`.
#[tokio::test]
async fn a_path_never_leaves_its_slice() {
    let place = tempfile::tempdir().unwrap();
    let store = Store::builder(place.path().join("a.db")).slice::<Loose>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let slice = store.slice::<Loose>(id);
    for path in ["s/stolen", "n", "s", " /a", "~/a", "/~2"] {
        for nth in 0..12 {
            let error = slice.dispatch(Write::Verb { nth, path: path.into() }).await.unwrap_err();
            assert!(error.to_string().contains(&format!("\"{path}")), "{nth}: {error}");
        }
        let error = slice.select(path, |n: &i64| *n).get().await.unwrap_err();
        assert!(error.to_string().contains(&format!("{path:?}")), "{error}");
    }
    assert_eq!(store.state(id, "").await.unwrap(), json!({}));
    slice.dispatch(Write::Verb { nth: 0, path: rejoin::slice::pointer(["s/stolen"]) }).await.unwrap();
    assert_eq!(store.state(id, "").await.unwrap(), json!({"todo": {"s/stolen": 1}}));
}

#[tokio::test]
async fn a_state_that_does_not_fit_its_type_is_an_error_and_is_kept() {
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    device
        .store
        .dispatch_json(id, &json!({"type": "set", "path": "/tasks/count", "value": "many"}))
        .await
        .unwrap();
    let error = device.store.slice::<TaskSlice>(id).state().await.unwrap_err();
    assert!(matches!(&error, Error::StateMismatch { slice, .. } if slice == "tasks"), "{error}");
    assert_eq!(device.store.state(id, "/tasks/count").await.unwrap(), "many");
}

/// What a form writes: all its fields, whether they changed or not.
#[tokio::test]
async fn what_an_action_merges_again_over_a_queued_one_goes_with_it_and_nothing_else_is_written() {
    let (a, b, server, id) = two_devices().await;
    let (tasks, others) = (a.store.slice::<TaskSlice>(id), b.store.slice::<TaskSlice>(id));
    let form = |title: &str, done: bool| TaskAction::Upserted {
        id: "1".into(),
        fields: json!({"title": title, "done": done}),
    };
    tasks.dispatch(form("bread", false)).await.unwrap();
    let again = tasks.dispatch(form("bread", false)).await.unwrap();
    let first = a.store.queue(Some(id)).await.unwrap()[0].change_hash.to_string();
    let plan = a.store.plan_drop(&first).await.unwrap();
    assert!(plan.dropped.iter().any(|entry| entry.change_hash == again.hash), "{plan:?}");
    server.sync(&[&a.store, &b.store]).await;
    // What is at the server is written by nobody again: whoever changes it at the same time has the word.
    others.dispatch(form("milk", false)).await.unwrap();
    tasks.dispatch(form("bread", true)).await.unwrap();
    server.sync(&[&a.store, &b.store]).await;
    let task = tasks.state().await.unwrap().items.get("1").cloned().unwrap();
    assert_eq!((task.title.as_str(), task.done), ("milk", true));
}

/// Keeps a number as it comes, and a value that its reducer makes of it.
struct Weights;

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum WeightAction {
    Weighed { kilos: f64 },
    Divided { by: f64 },
    Edited { by: f64 },
    Put { value: serde_json::Value },
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Weight {
    kilos: f64,
}

impl Slice for Weights {
    const NAME: &'static str = "weights";
    type State = Weight;
    type Action = WeightAction;
    fn reduce(draft: &mut Draft<'_>, action: &WeightAction) -> Result<(), Rejection> {
        match action {
            WeightAction::Weighed { kilos } => draft.set("/kilos", kilos),
            WeightAction::Divided { by } => draft.set("/kilos", 1.0 / by),
            WeightAction::Edited { by } => draft.edit(|weight: &mut Weight| {
                weight.kilos = 1.0 / by;
                Ok(())
            }),
            WeightAction::Put { value } => draft.set("/kilos", value),
        }
    }
}

/// It would be written as null, which nobody can read as a number again: on no replica.
#[tokio::test]
async fn a_number_that_json_cannot_hold_is_refused_and_the_slice_stays_readable() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::builder(dir.path().join("a.db")).slice::<Weights>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let weights = store.slice::<Weights>(id);
    weights.dispatch(WeightAction::Weighed { kilos: 70.5 }).await.unwrap();
    for bad in [
        WeightAction::Weighed { kilos: f64::NAN },
        WeightAction::Weighed { kilos: f64::INFINITY },
        WeightAction::Divided { by: 0.0 },
        WeightAction::Edited { by: 0.0 },
    ] {
        let refused = weights.dispatch(bad).await.unwrap_err();
        assert!(refused.to_string().contains("not finite"), "{refused}");
    }
    assert_eq!(weights.state().await.unwrap(), Weight { kilos: 70.5 });
    assert_eq!(store.queue(None).await.unwrap().len(), 1);
}

/// "120 levels": whatever it is given, the process goes on.
#[test]
fn a_value_of_any_depth_is_refused_and_overflows_no_stack() {
    let nested = |levels| (0..levels).fold(json!(1), |value, _| serde_json::Value::Array(vec![value]));
    let run = move || {
        let dir = tempfile::tempdir().unwrap();
        let builder = Store::builder(dir.path().join("a.db")).slice::<Weights>();
        let store = builder.open_blocking().unwrap();
        let id = store.create(None, None).unwrap();
        for levels in [121, 2_000, 20_000] {
            let set = Action::Set { path: "/deep".into(), value: nested(levels) };
            let refused = store.dispatch(id, set).unwrap_err();
            assert!(refused.to_string().contains("120 levels"), "{refused}");
        }
        let (deep, set) = (nested(20_000), |value| Action::Set { path: "/deep".into(), value });
        let all = store.dispatch_all(id, vec![set(json!(1)), set(deep.clone()), set(json!(2))]).unwrap();
        assert_eq!(all.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
        let as_json = json!({"type": "set", "path": "/deep", "value": deep});
        for refused in [
            store.dispatch_step(id, set(deep.clone()), &rejoin::UndoStep::new()),
            store.dispatch_with(id, set(deep.clone()), Vec::new()),
            store.dispatch_json(id, &as_json),
        ] {
            let refused = refused.unwrap_err();
            assert!(refused.to_string().contains("120 levels"), "{refused}");
        }
        let transaction = rejoin::Transaction::new().action(id, set(deep.clone()));
        assert!(store.transact(transaction).is_err());
        assert!(store.transact(rejoin::Transaction::new().json(id, as_json)).is_err());
        let put = WeightAction::Put { value: nested(2_000) };
        let refused = store.slice::<Weights>(id).dispatch(put).unwrap_err();
        assert!(refused.to_string().contains("120 levels"), "{refused}");
        store.dispatch(id, Action::Set { path: "/deep".into(), value: nested(100) }).unwrap();
    };
    // The values themselves want a large stack, which the app has: the store's own thread has not.
    std::thread::Builder::new().stack_size(256 << 20).spawn(run).unwrap().join().unwrap();
}
