use std::time::Duration;

use rejoin::{
    Action, Store, SyncOptions,
    effects::{EffectHandlers, EffectOptions, EffectRequest, EffectState, Outcome, Schedule, handler},
};
use serde_json::json;

use crate::live::support::{Client, Events, Server};

/// A client that began to watch while its server was away, so that it waits: at random, up to half a minute.
async fn waiting(server: &Server) -> (Client, rejoin::DocumentId, crate::live::support::Watch) {
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

#[tokio::test]
async fn a_server_that_answers_again_has_effects_sent_that_reached_nobody_and_no_others() {
    let mut server = Server::absent().await;
    let (client, document, watch) = waiting(&server).await;
    let ask = |lane: &str| EffectRequest::new("shop", json!({"lane": lane})).lane(lane);
    let asked = [ask("cut"), ask("busy")];
    let ids = asked.each_ref().map(|effect| effect.id().to_string());
    let order = Action::Set { path: "/order".into(), value: json!("tent") };
    client.store.dispatch_with(document, order, asked.to_vec()).await.unwrap();
    let shop = handler(|effect| async move {
        match (effect.lane.as_str(), effect.attempts) {
            ("busy", _) => Outcome::Again { why: "closed".into(), after: Some(Duration::from_secs(3_600)) },
            (_, 1) => Outcome::Unreachable("no network".into()),
            _ => Outcome::Done(json!(null)),
        }
    });
    let store = client.store.clone();
    let options = EffectOptions::default().schedule(Schedule::of([Duration::from_secs(3_600)]));
    let sending = tokio::spawn(async move {
        let handlers = EffectHandlers::new().with("shop", shop);
        store.run_effects(handlers, options, std::future::pending()).await
    });
    let all_tried = |effects: Vec<rejoin::effects::Effect>| {
        effects.iter().all(|effect| effect.attempts == 1 && effect.state == EffectState::Waiting)
    };
    while !all_tried(client.store.effects().await.unwrap()) {
        tokio::task::yield_now().await;
    }
    server.restart().await;
    client.set(document, "b", 2).await;
    let look = async {
        while client.store.effect(&ids[0]).await.unwrap().state != EffectState::Done {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), look).await.expect("it waits for its hour");
    assert_eq!(client.store.effect(&ids[1]).await.unwrap().attempts, 1, "the receiver said when");
    sending.abort();
    watch.end().await;
}
