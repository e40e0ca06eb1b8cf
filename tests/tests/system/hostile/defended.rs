//! The client tries what a server sends in a process of its own: a change over which the library never ends, that takes
//! all memory or that ends the process is quarantined, and its document goes on.

use std::time::{Duration, Instant};

use automerge::AutoCommit;
use rejoin::{Action, DocumentId, Store, SyncOptions, verify::VerifyCommand};
use rejoin_tests::harness::{self, Place, Server, foreign_change, runtime};

/// What no known change makes the library do, a message makes it do in the process that verifies, in the builds of
/// tests.
const STRIKES: [&str; 3] = ["planted: never ends", "planted: takes all memory", "planted: ends the process"];

fn commit(document: &mut AutoCommit, key: &str, message: Option<&str>) -> Vec<u8> {
    foreign_change(document, key, true, message)
}

fn push(server: &Server, id: DocumentId, bytes: Vec<u8>) {
    let answer = tokio::task::block_in_place(|| harness::push(&server.url, id, bytes));
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["rejected"], serde_json::json!([]));
}

/// A client that tries what arrives in a process of this build, where the messages work.
async fn open(place: &Place, name: &str) -> Store {
    let command = VerifyCommand::new(env!("CARGO_BIN_EXE_verifier"), Vec::<String>::new());
    Store::builder(place.path(name)).verify_command(command).open().await.unwrap()
}

async fn sync(store: &Store, server: &Server) -> Duration {
    let began = Instant::now();
    let report = store.sync(SyncOptions::default().server(&server.url)).await.unwrap();
    assert!(report.documents.iter().all(|document| document.error.is_none()), "{report:?}");
    began.elapsed()
}

async fn quarantined(store: &Store, id: DocumentId) -> u64 {
    let documents = store.documents().await.unwrap();
    documents.iter().find(|document| document.id == id).unwrap().quarantined
}

#[test]
fn a_change_that_hangs_or_kills_the_library_does_not_stop_its_document_at_the_client() {
    let place = Place::new();
    let server = Server::start(place.path("server.db"));
    for strike in STRIKES {
        runtime().block_on(strike_one(&place, &server, strike));
    }
}

async fn strike_one(place: &Place, server: &Server, strike: &str) {
    let id = DocumentId::random();
    let mut ada = AutoCommit::new();
    push(server, id, commit(&mut ada, "good", None));
    let ben = open(place, &format!("{id}.db")).await;
    ben.join(id, None, None).await.unwrap();
    sync(&ben, server).await;
    assert_eq!(ben.state(id, "").await.unwrap(), serde_json::json!({"good": true}));

    let mut eve = ada.fork();
    let bad = commit(&mut eve, "bad", Some(strike));
    let after = commit(&mut eve, "after", None);
    let more: Vec<u8> = (0..20).flat_map(|n| commit(&mut ada, &format!("more{n}"), None)).collect();
    push(server, id, [bad, after, more].concat());
    ben.dispatch(id, Action::Set { path: "/offline".into(), value: true.into() }).await.unwrap();
    println!("{strike}: {:?}", sync(&ben, server).await);
    let state = ben.state(id, "").await.unwrap();
    assert_eq!((&state["more19"], &state["offline"]), (&true.into(), &true.into()), "{strike}");
    assert_eq!((&state["bad"], &state["after"]), (&().into(), &().into()), "{strike}");
    assert_eq!(quarantined(&ben, id).await, 2, "{strike}: it, and what depends on it");

    // It is over: what comes later comes at once, and what the client did went out.
    push(server, id, commit(&mut ada, "later", None));
    println!("{strike}: the next sync took {:?}", sync(&ben, server).await);
    assert_eq!(ben.state(id, "/later").await.unwrap(), true, "{strike}");
    assert_eq!(quarantined(&ben, id).await, 2, "{strike}");
    assert!(ben.queue(None).await.unwrap().is_empty(), "{strike}");
}

#[test]
fn where_the_command_cannot_be_run_the_store_goes_on_without() {
    let place = Place::new();
    let server = Server::start(place.path("server.db"));
    let id = DocumentId::random();
    push(&server, id, commit(&mut AutoCommit::new(), "good", None));
    runtime().block_on(async {
        let nothing = VerifyCommand::new(place.path("no such program"), Vec::<String>::new());
        let store = Store::builder(place.path("ben.db")).verify_command(nothing).open().await.unwrap();
        store.join(id, None, None).await.unwrap();
        sync(&store, &server).await;
        assert_eq!(store.state(id, "").await.unwrap(), serde_json::json!({"good": true}));
    });
}
