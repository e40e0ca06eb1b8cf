use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use rejoin::{
    Error, Scope, Store,
    slice::{Draft, Rejection, Slice},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::slices::support::{Server, TaskAction, TaskSlice};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type")]
enum Set {
    Set { value: String },
}

fn set(draft: &mut Draft<'_>, action: &Set) -> Result<(), Rejection> {
    let Set::Set { value } = action;
    draft.set("/value", value)
}

struct Window;

impl Slice for Window {
    const NAME: &'static str = "window-secret";
    const SCOPE: Scope = Scope::Local;
    type State = Value;
    type Action = Set;
    fn reduce(draft: &mut Draft<'_>, action: &Set) -> Result<(), Rejection> {
        set(draft, action)
    }
}

struct Search;

impl Slice for Search {
    const NAME: &'static str = "search-secret";
    const SCOPE: Scope = Scope::Memory;
    type State = Value;
    type Action = Set;
    fn reduce(draft: &mut Draft<'_>, action: &Set) -> Result<(), Rejection> {
        set(draft, action)
    }
}

async fn open(path: &Path) -> Store {
    Store::builder(path).slice::<TaskSlice>().slice::<Window>().slice::<Search>().open().await.unwrap()
}

fn value(value: &str) -> Set {
    Set::Set { value: value.to_owned() }
}

/// Everything that goes over this wire, both ways.
async fn tapped(target: String) -> (String, Arc<Mutex<Vec<u8>>>) {
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let tap = Arc::clone(&seen);
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(target.trim_start_matches("http://")).await.unwrap();
            let (client_in, client_out) = client.into_split();
            let (server_in, server_out) = server.into_split();
            for (mut from, mut to) in [(client_in, server_out), (server_in, client_out)] {
                let tap = Arc::clone(&tap);
                tokio::spawn(async move {
                    let mut buffer = [0; 4096];
                    while let Ok(n @ 1..) = from.read(&mut buffer).await {
                        tap.lock().unwrap().extend_from_slice(&buffer[..n]);
                        if to.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    (url, seen)
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_local_slice_is_durable_and_nothing_of_it_leaves_the_device() {
    let (place, server) = (tempfile::tempdir().unwrap(), Server::start().await);
    let path = place.path().join("store.db");
    let store = open(&path).await;
    let id = store.create(None, None).await.unwrap();
    for n in 0..50 {
        store.slice::<Window>(id).dispatch(value(&format!("private{n}"))).await.unwrap();
    }
    store.slice::<TaskSlice>(id).dispatch(TaskAction::Counted { by: 1 }).await.unwrap();
    assert_eq!(store.queue(None).await.unwrap().len(), 1);
    let (url, seen) = tapped(server.url.clone()).await;
    // Plain bodies, so that what is looked for could be seen.
    let through = Server { url, ..server };
    through.sync(&[&store]).await;
    let seen = seen.lock().unwrap().clone();
    assert!(holds(&seen, &id.to_string()), "the tap sees what is sent");
    assert!(!holds(&seen, "private") && !holds(&seen, "window-secret"));
    let pushed = store.history(id, None).await.unwrap();
    assert_eq!(pushed.len(), 1, "not even a sequence number is missing");
    let file = automerge::Automerge::load(&store.export(id).await.unwrap()).unwrap();
    let own = file
        .get_changes_meta(&[])
        .iter()
        .filter(|c| c.message.as_ref().is_some_and(|m| m.contains("counted")))
        .map(|c| c.seq)
        .collect::<Vec<_>>();
    assert_eq!(own, [1]);
    assert_eq!(store.documents().await.unwrap().len(), 1);
    store.close().await.unwrap();
    assert!(matches!(store.close().await, Err(Error::Closed)));
    assert!(matches!(store.slice::<Window>(id).dispatch(value("late")).await, Err(Error::Closed)));
    assert!(matches!(store.slice::<Window>(id).state().await, Err(Error::Closed)));
    let store = open(&path).await;
    assert_eq!(store.slice::<Window>(id).state().await.unwrap(), serde_json::json!({"value": "private49"}));
    store.leave(id).await.unwrap();
    assert!(store.slice::<Window>(id).state().await.is_err());
    drop(store);
    let connection = rusqlite::Connection::open(&path).unwrap();
    let left: i64 = connection
        .query_row("SELECT (SELECT count(*) FROM change) + (SELECT count(*) FROM document)", [], |r| r.get(0))
        .unwrap();
    assert_eq!(left, 0, "its companion goes with a document");
}

#[tokio::test]
async fn a_slice_in_memory_is_gone_with_the_store() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store.db");
    let store = open(&path).await;
    let id = store.create(None, None).await.unwrap();
    let search = store.slice::<Search>(id);
    let shout = search.select("/value", |value: &String| value.to_uppercase());
    search.dispatch(value("bread")).await.unwrap();
    assert_eq!(*shout.get().await.unwrap(), "BREAD");
    search.dispatch(value("milk")).await.unwrap();
    assert_eq!(*shout.get().await.unwrap(), "MILK");
    assert_eq!(store.queue(None).await.unwrap().len(), 0);
    drop((search, shout));
    let on_disk = std::fs::read(&path).unwrap();
    assert!(!holds(&on_disk, "milk"));
    drop(store);
    let store = open(&path).await;
    assert_eq!(store.slice::<Search>(id).state().await.unwrap(), Value::Null);
}

#[tokio::test]
async fn what_another_process_does_to_a_local_slice_is_heard_as_of_its_document() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store.db");
    let (store, other) = (open(&path).await, open(&path).await);
    let id = store.create(None, None).await.unwrap();
    let view = store.slice::<Window>(id).select("/value", String::clone);
    let mut heard = store.slice::<Window>(id).changes();
    assert_eq!(*view.get().await.unwrap(), "");
    other.slice::<Window>(id).dispatch(value("wide")).await.unwrap();
    assert!(heard.next().await.is_some());
    assert_eq!(*view.get().await.unwrap(), "wide");
}
