//! Lists of entities that follow what changes.

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    Store,
    slice::{Draft, EntityList, EntityMap, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::slices::support::Server;

#[derive(Debug, Clone, PartialEq, Deserialize)]
struct Todo {
    #[serde(default)]
    due: i64,
    #[serde(default)]
    done: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Todos {
    items: EntityMap<Todo>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type")]
enum Act {
    Due { id: String, due: i64 },
    Done { id: String, done: bool },
    Removed { id: String },
    Cleared,
    Filled { n: usize },
}

struct TodoSlice;

impl Slice for TodoSlice {
    const NAME: &'static str = "todos";
    type State = Todos;
    type Action = Act;
    fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
        let mut items = draft.entities("/items");
        match action {
            Act::Due { id, due } => items.upsert(id, json!({"due": due})),
            Act::Done { id, done } => items.upsert(id, json!({"done": done})),
            Act::Removed { id } => items.remove(id).map(drop),
            Act::Cleared => draft.set("/items", json!({})),
            Act::Filled { n } => {
                let all = (0..*n).map(|nth| (format!("{nth:05}"), json!({"due": nth})));
                draft.set("/items", all.collect::<serde_json::Map<_, _>>())
            }
        }
    }
}

type List = EntityList<TodoSlice, Todo, (bool, std::cmp::Reverse<i64>)>;

fn list_of(handle: &rejoin::slice::SliceHandle<TodoSlice>) -> List {
    let query = handle.entities::<Todo>("/items").filter(|todo| todo.due % 3 != 0);
    query.sort_by(|todo| (todo.done, std::cmp::Reverse(todo.due))).list()
}

/// The same, made of the whole state.
async fn naive(handle: &rejoin::slice::SliceHandle<TodoSlice>) -> Vec<(String, Todo)> {
    let state = handle.state().await.unwrap();
    let mut all: Vec<_> = state.items.into_iter().filter(|(_, todo)| todo.due % 3 != 0).collect();
    all.sort_by_key(|(id, todo)| (todo.done, std::cmp::Reverse(todo.due), id.clone()));
    all
}

async fn listed(list: &List) -> Vec<(String, Todo)> {
    list.get().await.unwrap().iter().map(|(id, todo)| (id.to_string(), Todo::clone(todo))).collect()
}

/// Whoever changes the state: two devices, a second handle on one file, undo and redo.
#[tokio::test]
async fn a_list_is_what_the_whole_state_would_give_whoever_changed_it() {
    let seed =
        std::env::var("REJOIN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(rand::random);
    println!("REJOIN_SEED={seed}");
    let mut rng = StdRng::seed_from_u64(seed);
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let open = |name: &str| Store::builder(place.path().join(name)).slice::<TodoSlice>().open();
    let stores = [open("a.db").await.unwrap(), open("a.db").await.unwrap(), open("b.db").await.unwrap()];
    let id = stores[0].create(None, None).await.unwrap();
    stores[2].join(id, None, None).await.unwrap();
    let handles = stores.each_ref().map(|store| store.slice::<TodoSlice>(id));
    let lists = handles.each_ref().map(list_of);
    for _ in 0..150 {
        let who = rng.random_range(0..3);
        let one = ["a", "b/c", "d~e", "f", "", "g"][rng.random_range(0..6)].to_owned();
        let done = match rng.random_range(0..20) {
            0 => Some(Act::Cleared),
            1..4 => Some(Act::Removed { id: one }),
            4..12 => Some(Act::Due { id: one, due: rng.random_range(0..9) }),
            12..16 => Some(Act::Done { id: one, done: rng.random() }),
            16 => stores[who].undo(id).await.map(|_| None).unwrap(),
            17 => stores[who].redo(id).await.map(|_| None).unwrap(),
            _ => {
                server.sync(&[&stores[0], &stores[2]]).await;
                None
            }
        };
        if let Some(action) = done {
            handles[who].dispatch(action).await.unwrap();
        }
        // Not each time: so that several changes come at once.
        for (list, handle) in lists.iter().zip(&handles).filter(|_| rng.random_ratio(2, 3)) {
            assert_eq!(listed(list).await, naive(handle).await);
        }
    }
    for (list, handle) in lists.iter().zip(&handles) {
        assert_eq!(listed(list).await, naive(handle).await);
    }
}

#[tokio::test]
async fn a_list_of_thousands_reads_what_changed_and_no_more() {
    let store = rejoin::Builder::in_memory().slice::<TodoSlice>().open().await.unwrap();
    let handle = store.slice::<TodoSlice>(store.create(None, None).await.unwrap());
    let list = list_of(&handle);
    handle.dispatch(Act::Filled { n: 5_000 }).await.unwrap();
    let first = list.get().await.unwrap();
    assert_eq!((first.len(), list.read()), (3_333, 5_000));
    for due in [1, 2, 4] {
        handle.dispatch(Act::Due { id: "00007".into(), due }).await.unwrap();
        list.get().await.unwrap();
    }
    handle.dispatch(Act::Removed { id: "00008".into() }).await.unwrap();
    let last = list.get().await.unwrap();
    assert_eq!((last.len(), list.read()), (3_332, 5_004));
    assert_eq!(first.len(), 3_333, "what was given out stays as it was");
    list.get().await.unwrap();
    assert_eq!(list.read(), 5_004, "nothing changed");
}

#[tokio::test]
async fn an_entity_that_does_not_fit_is_an_error_until_it_fits() {
    let store = rejoin::Builder::in_memory().slice::<TodoSlice>().open().await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let handle = store.slice::<TodoSlice>(id);
    let list = list_of(&handle);
    handle.dispatch(Act::Due { id: "a".into(), due: 1 }).await.unwrap();
    list.get().await.unwrap();
    let set = |value| rejoin::Action::Set { path: "/todos/items/a/due".into(), value };
    store.dispatch(id, set(json!("soon"))).await.unwrap();
    let error = list.get().await.unwrap_err().to_string();
    assert!(error.contains("/items/a"), "{error}");
    store.dispatch(id, set(json!(5))).await.unwrap();
    assert_eq!(list.get().await.unwrap()[0].1.due, 5);
}
