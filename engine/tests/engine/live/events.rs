use std::time::{Duration, Instant};

use rejoin::DocumentId;
use serde_json::json;

use crate::live::support::{Client, Events, NEVER, Server, Watch};

/// Two clients with one document, the second of which watches with a stream that is open.
async fn two(server: &Server, events: Events) -> (Client, Client, DocumentId, Watch) {
    let (ada, bob) = (Client::new(server).await, Client::new(server).await);
    let document = ada.store.create(None, None).await.unwrap();
    ada.set(document, "a", 0).await;
    assert_eq!(ada.sync().await.pushed, 1);
    bob.store.join(document, None, None).await.unwrap();
    drop(bob.sync().await);
    let watch = bob.watch(|options| options, events);
    watch.opened().await;
    (ada, bob, document, watch)
}

#[tokio::test]
async fn another_client_has_an_edit_soon_after_it_is_durable() {
    let server = Server::start().await;
    let (ada, bob, document, watch) = two(&server, Events::Pass).await;
    let floor = Floor::new(&server).await;
    let (mut live, mut asked) = (Vec::new(), Vec::new());
    let edits = ada.watch(|options| options, Events::Pass);
    edits.opened().await;
    for n in 1..=20 {
        let start = Instant::now();
        ada.set(document, "a", n).await;
        bob.reads(document, json!({"a": n})).await;
        live.push(start.elapsed());
        let start = Instant::now();
        floor.round(n).await;
        asked.push(start.elapsed());
    }
    live.sort();
    asked.sort();
    let ratio = live[10].as_secs_f64() / asked[10].as_secs_f64();
    println!("edit to edit {:?}, its parts by hand {:?}: {ratio:.1}", live[10], asked[10]);
    assert!(ratio < 3.0, "{ratio}");
    edits.end().await;
    watch.end().await;
}

/// What an edit costs on its way whoever carries it: a durable dispatch, a durable push, and another file's commit.
struct Floor {
    from: Client,
    to: Client,
    document: DocumentId,
    beside: DocumentId,
}

impl Floor {
    async fn new(server: &Server) -> Self {
        let (from, to) = (Client::new(server).await, Client::new(server).await);
        let document = from.store.create(None, None).await.unwrap();
        let beside = to.store.create(None, None).await.unwrap();
        Self { from, to, document, beside }
    }

    async fn round(&self, n: i64) {
        self.from.set(self.document, "a", n).await;
        assert_eq!(self.from.sync().await.pushed, 1);
        self.to.set(self.beside, "a", n).await;
    }
}

#[tokio::test]
async fn doubled_late_and_reordered_events_cost_nothing() {
    for events in [Events::Doubled, Events::Late, Events::Reordered] {
        let server = Server::start().await;
        let (ada, bob, document, watch) = two(&server, events).await;
        for n in 1..=10 {
            ada.set(document, "a", n).await;
            assert_eq!(ada.sync().await.pushed, 1);
        }
        // Late ones tell of all but the last, or of it too where something was pulled.
        if events == Events::Late {
            ada.set(document, "a", 11).await;
            drop(ada.sync().await);
        }
        let last = if events == Events::Late { None } else { Some(json!({"a": 10})) };
        match last {
            Some(last) => bob.reads(document, last).await,
            None => {
                bob.set(document, "b", 1).await;
                bob.reads(document, json!({"a": 11, "b": 1})).await;
            }
        }
        let (one, two) = (bob.sync().await, ada.sync().await);
        assert!(one.worst().is_none() && two.worst().is_none());
        assert_eq!(ada.state(document).await, bob.state(document).await, "{events:?}");
        watch.end().await;
    }
}

#[tokio::test]
async fn a_lost_event_is_found_within_the_poll_interval() {
    let server = Server::start().await;
    let (ada, bob, document, watch) = two(&server, Events::Lost).await;
    watch.end().await;
    let poll = Duration::from_millis(50);
    let watch = bob.watch(|options| options.poll(poll).live_poll(poll), Events::Lost);
    watch.opened().await;
    ada.set(document, "a", 1).await;
    drop(ada.sync().await);
    bob.reads(document, json!({"a": 1})).await;
    watch.end().await;
}

#[tokio::test]
async fn behind_a_proxy_that_keeps_everything_polling_still_gets_there() {
    let server = Server::start().await;
    let (ada, bob, document, watch) = two(&server, Events::Pass).await;
    watch.end().await;
    // A poll beside streams that pass would never come.
    let watch =
        bob.watch(|options| options.poll(Duration::from_millis(50)).live_poll(NEVER), Events::Buffered);
    for n in 1..=3 {
        ada.set(document, "a", n).await;
        drop(ada.sync().await);
        bob.reads(document, json!({"a": n})).await;
    }
    watch.end().await;
}

#[tokio::test]
async fn a_stream_that_says_nothing_is_opened_again() {
    let server = Server::start().await;
    let (_ada, bob, _document, watch) = two(&server, Events::Pass).await;
    watch.end().await;
    let watch = bob.watch(|options| options.watchdog(Duration::from_millis(50)), Events::Pass);
    for _ in 0..3 {
        watch.opened().await;
    }
    watch.end().await;
}

#[tokio::test]
async fn a_document_that_is_joined_meanwhile_is_followed_too() {
    let server = Server::start().await;
    let (ada, bob, _document, watch) = two(&server, Events::Pass).await;
    let other = ada.store.create(None, None).await.unwrap();
    bob.store.join(other, None, None).await.unwrap();
    let mine = bob.store.create(None, None).await.unwrap();
    // Any edit makes the watch look at what is there.
    bob.set(mine, "x", 1).await;
    watch.opened().await;
    ada.set(other, "a", 1).await;
    drop(ada.sync().await);
    bob.reads(other, json!({"a": 1})).await;
    watch.end().await;
}

#[tokio::test]
async fn a_server_that_restarts_is_followed_again() {
    let mut server = Server::start().await;
    let (ada, bob, document, watch) = two(&server, Events::Pass).await;
    for n in 1..=3 {
        server.stop().await;
        ada.set(document, "a", n).await;
        server.restart().await;
        drop(ada.sync().await);
        bob.reads(document, json!({"a": n})).await;
    }
    watch.end().await;
}
