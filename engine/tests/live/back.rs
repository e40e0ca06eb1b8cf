use std::time::Duration;

use rejoin::{Store, SyncOptions};
use serde_json::json;

use crate::support::{Client, Events, Server};

/// A client that began to watch while its server was away, so that it waits: at random, up to half a minute.
async fn waiting(server: &Server) -> (Client, rejoin::DocumentId, crate::support::Watch) {
    let client = Client::new(server).await;
    let document = client.store.create(None, None).await.unwrap();
    client.set(document, "a", 1).await;
    let watch = client.watch(|options| options.poll(Duration::from_millis(100)), Events::Buffered);
    while client.store.queue(None).await.unwrap().iter().all(|row| row.attempts == 0) {
        tokio::task::yield_now().await;
    }
    (client, document, watch)
}

/// Waits, shorter than most waits after a failure, until the queue is empty.
async fn drained(client: &Client) {
    let look = async {
        while !client.store.queue(None).await.unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), look).await.expect("it waits");
}

#[tokio::test]
async fn an_edit_hurries_a_watch_that_waits_for_its_server() {
    let mut server = Server::absent().await;
    let (client, document, watch) = waiting(&server).await;
    server.restart().await;
    client.set(document, "b", 2).await;
    drained(&client).await;
    watch.end().await;
}

#[tokio::test]
async fn another_process_that_gets_through_hurries_a_watch() {
    let mut server = Server::absent().await;
    let (client, document, watch) = waiting(&server).await;
    let other = client.store.create(None, None).await.unwrap();
    client.set(other, "a", 1).await;
    server.restart().await;
    let outside = Store::open(client.directory.path().join("a.db")).await.unwrap();
    let one = SyncOptions::default().server(server.url()).documents([document]);
    assert!(outside.sync(one).await.unwrap().worst().is_none());
    drained(&client).await;
    assert_eq!(client.state(other).await, json!({"a": 1}));
    watch.end().await;
}
