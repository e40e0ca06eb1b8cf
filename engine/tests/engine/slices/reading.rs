use std::future::Future;

use rejoin::{
    Action, Origin, Store,
    slice::{Draft, EntityMap, Rejection, Slice},
};
use serde_json::json;

use crate::slices::support::{Device, Task, TaskAction, TaskSlice, two_devices};

#[tokio::test]
async fn a_selector_is_computed_again_only_when_its_part_changed() {
    let (a, b, server, id) = two_devices().await;
    let tasks = a.store.slice::<TaskSlice>(id);
    let open = tasks.select("/items", |items: &EntityMap<Task>| items.filtered(|task| !task.done).count());
    assert_eq!(*open.get().await.unwrap(), 0);
    tasks.dispatch(TaskAction::Added { title: "bread".into() }).await.unwrap();
    assert_eq!(*open.get().await.unwrap(), 1);
    assert_eq!(open.computed(), 2);
    // Another part, another document, and nothing at all.
    tasks.dispatch(TaskAction::Noted { text: "unrelated".into() }).await.unwrap();
    let other = a.store.create(None, None).await.unwrap();
    a.store.slice::<TaskSlice>(other).dispatch(TaskAction::Added { title: "x".into() }).await.unwrap();
    assert_eq!((*open.get().await.unwrap(), open.computed()), (1, 2));
    // A remote change to its part.
    server.sync(&[&a.store, &b.store]).await;
    b.store.slice::<TaskSlice>(id).dispatch(TaskAction::Added { title: "milk".into() }).await.unwrap();
    server.sync(&[&b.store, &a.store]).await;
    assert_eq!((*open.get().await.unwrap(), open.computed()), (2, 3));
}

/// As the tasks, with payloads for others.
struct Loud;

impl Slice for Loud {
    const NAME: &'static str = "tasks";
    const PAYLOAD: bool = true;
    type State = serde_json::Value;
    type Action = TaskAction;
    fn reduce(draft: &mut Draft<'_>, action: &TaskAction) -> Result<(), Rejection> {
        TaskSlice::reduce(draft, action)
    }
}

#[tokio::test]
async fn a_subscriber_hears_each_action_with_its_author_origin_and_patches() {
    let (a, b, server, id) = two_devices().await;
    let mut heard = a.store.slice::<TaskSlice>(id).changes();
    a.store.set_author(Some("ada")).await.unwrap();
    b.store.set_author(Some("ben")).await.unwrap();
    a.store.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 2 }).await.unwrap();
    let own = heard.next().await.unwrap();
    assert!(matches!(own.action, Some(TaskAction::Counted { by: 2 })));
    assert_eq!(own.origin, Origin::Local);
    assert_eq!(own.change.unwrap().author.as_deref(), Some("ada"));
    assert!(!own.patches.is_empty());
    server.sync(&[&a.store, &b.store]).await;
    b.store.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 3 }).await.unwrap();
    server.sync(&[&b.store, &a.store]).await;
    let other = heard.next().await.unwrap();
    let change = other.change.unwrap();
    assert_eq!(change.action_type.as_deref(), Some("tasks/counted"));
    assert_eq!(change.author.as_deref(), Some("ben"));
    assert_eq!(other.origin, Origin::Remote);
    assert!(!other.patches.is_empty());
    assert!(other.action.is_none(), "its slice does not put payloads into the message");
}

#[tokio::test]
async fn an_undo_and_an_action_of_no_slice_are_heard_where_they_wrote_to_the_slice() {
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    let tasks = device.store.slice::<TaskSlice>(id);
    tasks.dispatch(TaskAction::Counted { by: 2 }).await.unwrap();
    let mut heard = tasks.changes();
    device.store.undo(id).await.unwrap().unwrap();
    let set = |path: &str| Action::Set { path: path.to_owned(), value: json!("x") };
    device.store.dispatch(id, set("/elsewhere")).await.unwrap();
    device.store.dispatch(id, set("/tasks/notes")).await.unwrap();
    tasks.dispatch(TaskAction::Counted { by: 1 }).await.unwrap();
    let mut next = async || heard.next().await.unwrap().change.unwrap().action_type;
    assert_eq!(next().await.as_deref(), Some("undo"));
    assert_eq!(next().await.as_deref(), Some("set"));
    assert_eq!(next().await.as_deref(), Some("tasks/counted"), "what wrote elsewhere is not heard");
}

#[tokio::test]
async fn a_slice_that_asks_for_it_sends_its_payload() {
    let (a, b, server, id) = two_devices().await;
    let path = b.place.path().join("loud.db");
    let loud = Store::builder(path).slice::<Loud>().open().await.unwrap();
    loud.join(id, None, None).await.unwrap();
    let done = a.store.slice::<TaskSlice>(id).select("/items", EntityMap::<Task>::clone);
    assert!(done.get().await.unwrap().is_empty());
    let mut heard = a.store.slice::<TaskSlice>(id).changes();
    loud.slice::<Loud>(id)
        .dispatch(TaskAction::Upserted { id: "x".into(), fields: json!({"done": false}) })
        .await
        .unwrap();
    server.sync(&[&loud, &a.store]).await;
    assert!(heard.next().await.unwrap().change.is_none(), "a first copy is read as a whole");
    assert_eq!(done.get().await.unwrap().len(), 1);
    loud.slice::<Loud>(id)
        .dispatch(TaskAction::Upserted { id: "x".into(), fields: json!({"done": true}) })
        .await
        .unwrap();
    server.sync(&[&loud, &a.store]).await;
    let change = heard.next().await.unwrap();
    let Some(TaskAction::Upserted { id, fields }) = change.action else { panic!("{:?}", change.change) };
    assert_eq!((id.as_str(), fields), ("x", json!({"done": true})));
}

#[tokio::test]
async fn a_live_view_hears_what_another_process_does() {
    // Another handle on the file stands for another process: it has its own connection and memory.
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    let other =
        Store::builder(device.place.path().join("store.db")).slice::<TaskSlice>().open().await.unwrap();
    let mut heard = device.store.slice::<TaskSlice>(id).changes();
    device.store.documents().await.unwrap();
    other.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 2 }).await.unwrap();
    let change = heard.next().await.unwrap();
    assert_eq!(change.change.unwrap().action_type.as_deref(), Some("tasks/counted"));
    assert_eq!(device.store.slice::<TaskSlice>(id).state().await.unwrap().count, 2);
}

#[tokio::test]
async fn an_unknown_or_newer_action_is_shown_by_its_name_and_counts() {
    let (a, b, server, id) = two_devices().await;
    a.store.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 2 }).await.unwrap();
    let plain = Store::open(b.place.path().join("plain.db")).await.unwrap();
    plain.join(id, None, None).await.unwrap();
    server.sync(&[&a.store, &plain]).await;
    let history = plain.history(id, None).await.unwrap();
    assert_eq!(history[0].action_type.as_deref(), Some("tasks/counted"));
    assert_eq!(plain.state(id, "").await.unwrap(), json!({"tasks": {"count": 2}}));
}

#[tokio::test]
async fn what_apps_await_can_be_spawned() {
    fn is_send<T: Send>(_: &T) {}
    let device = Device::new().await;
    let id = device.store.create(None, None).await.unwrap();
    let tasks = device.store.slice::<TaskSlice>(id);
    let count = tasks.select("/items", EntityMap::<Task>::len);
    is_send(&tasks);
    is_send(&tasks.changes());
    is_send(&tasks.dispatch(TaskAction::Counted { by: 1 }));
    is_send(&tasks.state());
    is_send(&count.get());
    is_send(&device.store.dispatch_json(id, &json!({})));
    is_send(&device.store.undo(id));
    is_send(&device.store.sync(rejoin::SyncOptions::default()));
    // Cancel-safe: what was asked for is done even when its future goes away.
    drop(tasks.dispatch(TaskAction::Counted { by: 0 }));
    let mut asked = Box::pin(tasks.dispatch(TaskAction::Counted { by: 7 }));
    let waker = futures_util::task::noop_waker();
    let _ = asked.as_mut().poll(&mut std::task::Context::from_waker(&waker));
    drop(asked);
    assert_eq!(tasks.state().await.unwrap().count, 7);
}
