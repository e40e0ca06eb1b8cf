//! A todo list on two devices, with a server between them, all in this process.
//!
//! `cargo run --release -p rejoin --example todo`

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example shows what it does")]

use std::error::Error;

use rejoin::{
    DocumentId, Store, SyncOptions,
    slice::{Draft, EntityMap, Rejection, Slice, SliceHandle},
};
use rejoin_server::{AppState, ServerConfig, serve};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::{net::TcpListener, sync::oneshot};

#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum TodoAction {
    Added { title: String },
    Renamed { id: String, title: String },
    Toggled { id: String, done: bool },
    Removed { id: String },
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
struct Todo {
    title: String,
    done: bool,
    rank: i64,
}

#[derive(Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
struct TodoState {
    items: EntityMap<Todo>,
}

struct Todos;

impl Slice for Todos {
    const NAME: &'static str = "todos";
    type State = TodoState;
    type Action = TodoAction;

    fn reduce(draft: &mut Draft<'_>, action: &TodoAction) -> Result<(), Rejection> {
        // The id and the time of an action are given: a reducer has no randomness and no clock of its own.
        let (new, now) = (draft.info().id.to_string(), draft.info().made_at);
        let mut items = draft.entities("/items");
        let found = match action {
            TodoAction::Added { title } if title.trim().is_empty() => {
                return Err("a todo needs a title".into());
            }
            TodoAction::Added { title } => {
                items.add(&new, json!({"title": title, "done": false, "rank": now}))?
            }
            TodoAction::Renamed { id, title } => items.update(id, json!({"title": title}))?,
            TodoAction::Toggled { id, done } => items.update(id, json!({"done": done}))?,
            TodoAction::Removed { id } => items.remove(id)?,
        };
        if found { Ok(()) } else { Err("there is no such todo".into()) }
    }
}

struct Device {
    name: &'static str,
    todos: SliceHandle<Todos>,
}

impl Device {
    async fn new(name: &'static str, store: Store, id: DocumentId) -> Result<Self, Box<dyn Error>> {
        store.set_author(Some(name)).await?;
        Ok(Self { name, todos: store.slice::<Todos>(id) })
    }

    async fn add(&self, title: &str) -> Result<(), rejoin::Error> {
        self.todos.dispatch(TodoAction::Added { title: title.to_owned() }).await.map(drop)
    }

    async fn id_of(&self, title: &str) -> Result<String, Box<dyn Error>> {
        let state = self.todos.state().await?;
        let found = state.items.iter().find(|(_, todo)| todo.title == title);
        Ok(found.map(|(id, _)| id.to_owned()).ok_or(format!("no todo is called {title:?}"))?)
    }

    async fn sync(&self, server: &str) -> Result<(), Box<dyn Error>> {
        let report = self.todos.store().sync(SyncOptions::default().server(server)).await?;
        println!("{:>6}: pushed {}, pulled {}", self.name, report.pushed, report.pulled);
        Ok(())
    }

    async fn show(&self) -> Result<(), Box<dyn Error>> {
        println!("{:>6}:", self.name);
        for (_, todo) in self.todos.state().await?.items.sorted_by(|todo| (todo.rank, todo.title.clone())) {
            println!("       [{}] {}", if todo.done { "x" } else { " " }, todo.title);
        }
        Ok(())
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let place = tempfile::tempdir()?;
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let server = format!("http://{}", listener.local_addr()?);
    let state = AppState::open(ServerConfig::new(place.path().join("server.db")))?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve(listener, state, async { drop(stopped.await) }));

    let open = |name: &str| Store::builder(place.path().join(name)).slice::<Todos>().open();
    let (phone, laptop) = (open("phone.db").await?, open("laptop.db").await?);
    let list = phone.create(None, Some("shopping")).await?;
    laptop.join(list, Some("shopping"), None).await?;
    let (phone, laptop) =
        (Device::new("phone", phone, list).await?, Device::new("laptop", laptop, list).await?);

    println!("-- together");
    phone.add("bread").await?;
    phone.add("milk").await?;
    phone.sync(&server).await?;
    laptop.sync(&server).await?;

    println!("-- apart: both change the same todo, and each adds one");
    let bread = phone.id_of("bread").await?;
    phone.todos.dispatch(TodoAction::Renamed { id: bread.clone(), title: "rye bread".into() }).await?;
    phone.add("jam").await?;
    laptop.todos.dispatch(TodoAction::Toggled { id: bread, done: true }).await?;
    laptop.todos.dispatch(TodoAction::Removed { id: laptop.id_of("milk").await? }).await?;
    laptop.add("tea").await?;
    println!("laptop: {}", laptop.add("  ").await.unwrap_err());
    phone.show().await?;
    laptop.show().await?;

    println!("-- together again");
    for device in [&phone, &laptop, &phone] {
        device.sync(&server).await?;
    }
    phone.show().await?;
    let (one, other) = (phone.todos.state().await?, laptop.todos.state().await?);
    assert_eq!(one, other, "both read the same");
    let rye = one.items.iter().any(|(_, todo)| todo.title == "rye bread" && todo.done);
    assert!(rye && one.items.len() == 3, "nothing is lost and nothing doubled");
    println!("-- both read the same, and nothing waits");
    drop(stop);
    serving.await??;
    Ok(())
}
