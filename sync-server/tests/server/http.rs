//! The resources over real sockets, in this process.

use std::time::Duration;

use crate::support::{Running, Writer, get, hashes, post, send};
use automerge::Automerge;
use rejoin::{
    DocumentId,
    wire::{CHANGES, DocumentsReply, JSON, LimitsReply, MissingReply, OCTETS},
};

fn changes_url(server: &Running, document: DocumentId) -> String {
    server.url(document, "/changes")
}

#[tokio::test]
async fn a_page_of_no_changes_is_refused_for_it_would_never_end() {
    let server = Running::start().await;
    let url = changes_url(&server, DocumentId::random());
    send(post(url.clone(), Writer::new(1).many(3))).await;
    let answer = send(get(format!("{url}?limit=0"))).await;
    assert_eq!(answer.code(), (422, "malformed".to_owned()));
    // Whoever pushes may want nothing back: the cursor moves all the same.
    let theirs = Writer::new(2).many(2);
    let request = post(format!("{url}?limit=0"), theirs).header("accept", CHANGES);
    let answer = send(request).await;
    assert_eq!((answer.status, answer.body.len(), answer.header("rejoin-more")), (200, 0, Some("1")));
}

#[tokio::test]
async fn every_mistake_gets_a_4xx_with_a_code() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let client = reqwest::Client::new();
    let missing = server.url(document, "/missing");
    let ask = |body: &str| client.post(&missing).header("content-type", JSON).body(body.to_owned());
    let deep = format!(r#"{{"hashes":[],"x":{}}}"#, "[".repeat(50_000));
    let changes = changes_url(&server, document);
    let root = format!("http://{}", server.address);
    let cases = [
        (ask(r#"{"hashes":[],"hashes":[]}"#), 422, "malformed"),
        (ask(r#"{"hashes":["zz"]}"#), 422, "malformed"),
        (ask(r#"{"hashes":"#), 422, "malformed"),
        (ask("{}"), 422, "malformed"),
        (ask(&deep), 422, "malformed"),
        (client.post(&missing).body("{}"), 415, "malformed"),
        (client.post(&changes).header("content-type", JSON).body("{}"), 415, "malformed"),
        (client.post(&changes).header("content-type", "text/html").body("x"), 415, "malformed"),
        (post(changes.clone(), "not a change"), 422, "malformed"),
        (post(format!("{changes}?limit=x"), ""), 422, "malformed"),
        (post(format!("{changes}?limit=-1"), ""), 422, "malformed"),
        (post(format!("{changes}?after=1&after=1"), ""), 422, "malformed"),
        (post(format!("{changes}?after=7.ab"), ""), 409, "cursor-unknown"),
        (post(format!("{changes}?after=%20"), ""), 409, "cursor-unknown"),
        (get(changes.clone()), 404, "not-found"),
        (get(server.url(document, "")), 404, "not-found"),
        (get(server.url(document, "/snapshot")), 404, "not-found"),
        (get(format!("{root}/v1/documents/not-a-uuid/changes")), 404, "not-found"),
        (get(format!("{root}/v1/documents/%ff")), 404, "not-found"),
        (post(format!("{root}/v1/documents/%c3%28/changes"), ""), 404, "not-found"),
        (get(format!("{root}/v1/nothing")), 404, "not-found"),
        (get(root.clone()), 404, "not-found"),
        (get(format!("{root}/v1/documents?since=9.ab")), 409, "cursor-unknown"),
        (client.put(&changes).body(""), 405, "method-not-allowed"),
        (client.delete(&changes), 405, "method-not-allowed"),
    ];
    for (request, status, code) in cases {
        let text = format!("{request:?}");
        assert_eq!(send(request).await.code(), (status, code.to_owned()), "{text}");
    }
    let unknown_field = send(ask(r#"{"hashes":[],"more":1}"#)).await;
    assert_eq!((unknown_field.status, unknown_field.json::<MissingReply>().hashes.len()), (200, 0));
    let octets = client.post(&changes).header("content-type", format!("{OCTETS}; x=y")).body("");
    assert_eq!(send(octets).await.status, 200);
}

#[tokio::test]
async fn health_and_limits_are_told() {
    let mut server = Running::start_with(|config| config.limits.push_changes = 77).await;
    let root = format!("http://{}", server.address);
    assert_eq!(send(get(format!("{root}/healthz"))).await.status, 200);
    assert_eq!(send(get(format!("{root}/readyz"))).await.status, 200);
    let limits: LimitsReply = send(get(format!("{root}/v1/limits"))).await.json();
    assert_eq!((limits.push_changes, limits.change_bytes), (77, 1 << 20));
    server.stop().await;
    assert!(reqwest::get(format!("{root}/healthz")).await.is_err());
}

#[tokio::test]
async fn the_list_tells_what_changed_since_a_token() {
    let server = Running::start_with(|config| config.limits.list_documents = 2).await;
    let list = format!("http://{}/v1/documents", server.address);
    let empty: DocumentsReply = send(get(list.clone())).await.json();
    assert_eq!((empty.documents.len(), empty.next), (0, None));
    let documents = [DocumentId::random(), DocumentId::random(), DocumentId::random()];
    let mut ada = Writer::new(1);
    let body = ada.many(2);
    for document in documents {
        send(post(changes_url(&server, document), body.clone())).await;
    }
    let first: DocumentsReply = send(get(list.clone())).await.json();
    let ids = |reply: &DocumentsReply| reply.documents.iter().map(|d| d.id.clone()).collect::<Vec<_>>();
    assert_eq!(ids(&first), [documents[0].to_string(), documents[1].to_string()]);
    assert_eq!(first.documents[0].heads, [ada.hash().to_string()]);
    let since = |token: Option<String>| format!("{list}?since={}", token.unwrap());
    let second: DocumentsReply = send(get(since(first.next))).await.json();
    assert_eq!(ids(&second), [documents[2].to_string()]);
    send(reqwest::Client::new().delete(server.url(documents[0], ""))).await;
    let third: DocumentsReply = send(get(since(second.next))).await.json();
    assert_eq!(ids(&third), [documents[0].to_string()]);
    assert!(third.documents[0].deleted);
    let nothing: DocumentsReply = send(get(since(third.next.clone()))).await.json();
    assert_eq!((nothing.documents.len(), nothing.next), (0, third.next.clone()));
    let other = Running::start().await;
    let foreign = format!("http://{}/v1/documents?since={}", other.address, third.next.unwrap());
    assert_eq!(send(get(foreign)).await.code(), (409, "cursor-unknown".to_owned()));
}

#[tokio::test]
async fn the_merged_document_is_never_older_than_the_log() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    for value in 0..5 {
        send(post(changes_url(&server, document), ada.set("n", value))).await;
        let json = send(get(server.url(document, ""))).await;
        assert_eq!(json.header("content-type"), Some(JSON));
        assert_eq!(json.json::<serde_json::Value>(), serde_json::json!({ "n": value }));
        assert_eq!(json.header("rejoin-cursor"), json.header("rejoin-end"));
        let file = send(get(server.url(document, "")).header("accept", CHANGES)).await;
        let loaded = Automerge::load(&file.body).unwrap();
        assert_eq!(loaded.get_heads(), [ada.hash()]);
        assert_eq!(file.header("rejoin-quarantined"), None);
    }
}

#[tokio::test]
async fn text_reads_as_a_string_and_a_counter_as_a_number() {
    use automerge::{ObjType, ROOT, ScalarValue, transaction::Transactable};
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    let text = ada.0.put_object(ROOT, "text", ObjType::Text).unwrap();
    ada.0.splice_text(&text, 0, 0, "héllo").unwrap();
    ada.0.put(ROOT, "count", ScalarValue::counter(5)).unwrap();
    let body = ada.set("n", 1);
    send(post(changes_url(&server, document), body)).await;
    let state: serde_json::Value = send(get(server.url(document, ""))).await.json();
    assert_eq!(state, serde_json::json!({ "count": 5, "n": 1, "text": "héllo" }));
}

#[tokio::test]
async fn a_snapshot_covers_a_prefix_and_its_cursor_goes_on() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    send(post(changes_url(&server, document), ada.many(30))).await;
    let snapshot = send(get(server.url(document, "/snapshot"))).await;
    assert_eq!((snapshot.status, snapshot.header("content-type")), (200, Some(CHANGES)));
    let mut loaded = Automerge::load(&snapshot.body).unwrap();
    assert_eq!(loaded.get_heads(), [ada.hash()]);
    send(post(changes_url(&server, document), ada.many(5))).await;
    let snapshot = send(get(server.url(document, "/snapshot"))).await;
    let cursor = snapshot.header("rejoin-cursor").unwrap();
    let rest = send(get(format!("{}?after={cursor}", changes_url(&server, document)))).await;
    assert_eq!(hashes(&rest.body).len(), 5);
    loaded.apply_changes(crate::support::changes(&rest.body)).unwrap();
    assert_eq!(loaded.get_heads(), [ada.hash()]);
}

#[tokio::test]
async fn a_snapshot_is_made_behind_when_a_log_has_grown() {
    let server = Running::start_with(|config| config.snapshot_quiet = Duration::ZERO).await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    send(post(changes_url(&server, document), ada.many(1_500))).await;
    let path = server.directory.path().join("log.db");
    let made = tokio::task::spawn_blocking(move || {
        let database = rusqlite::Connection::open(path).unwrap();
        let stored = || database.query_row("SELECT position FROM snapshot", [], |row| row.get::<_, i64>(0));
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_secs(30) {
            if let Ok(position) = stored() {
                return Some(position);
            }
            std::thread::yield_now();
        }
        None
    });
    assert_eq!(made.await.unwrap(), Some(1_500));
}

#[tokio::test]
async fn only_a_loopback_host_and_its_own_origin_are_answered() {
    let server = Running::start().await;
    let url = format!("http://{}/healthz", server.address);
    let forbidden = (403, "forbidden".to_owned());
    for (name, value) in [("host", "example.org"), ("origin", "http://example.org"), ("origin", "null")] {
        assert_eq!(send(get(url.clone()).header(name, value)).await.code(), forbidden, "{name} {value}");
    }
    for host in ["localhost", "127.0.0.1:1", "[::1]:4810"] {
        assert_eq!(send(get(url.clone()).header("host", host)).await.status, 200, "{host}");
    }
    let own = format!("http://{}", server.address);
    assert_eq!(send(get(url).header("origin", own)).await.status, 200);
}

#[tokio::test]
async fn only_loopback_listeners_are_served() {
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let server = Running::start().await;
    let served = rejoin_server::serve(listener, server.state.clone(), std::future::pending()).await;
    assert_eq!(served.unwrap_err().kind(), std::io::ErrorKind::InvalidInput);
}

#[tokio::test]
async fn a_write_ahead_log_deleted_underneath_acknowledges_nothing() {
    let server = Running::start().await;
    let url = changes_url(&server, DocumentId::random());
    let mut ada = Writer::new(1);
    assert_eq!(send(post(url.clone(), ada.set("a", 1))).await.status, 200);
    std::fs::remove_file(server.directory.path().join("log.db-wal")).unwrap();
    assert_eq!(send(post(url, ada.set("b", 1))).await.code(), (503, "unavailable".to_owned()));
}

#[tokio::test]
async fn a_database_deleted_underneath_acknowledges_nothing() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    assert_eq!(send(post(changes_url(&server, document), ada.set("a", 1))).await.status, 200);
    std::fs::rename(server.directory.path().join("log.db"), server.directory.path().join("moved")).unwrap();
    let answer = send(post(changes_url(&server, document), ada.set("b", 1))).await;
    assert_eq!(answer.code(), (503, "unavailable".to_owned()));
    assert!(answer.header("retry-after").is_some());
    std::fs::rename(server.directory.path().join("moved"), server.directory.path().join("log.db")).unwrap();
    assert_eq!(send(post(changes_url(&server, document), ada.set("c", 1))).await.status, 200);
}

#[tokio::test]
async fn an_answer_that_takes_too_long_is_told_to_come_later() {
    let server = Running::start_with(|config| config.request_timeout = Duration::from_millis(200)).await;
    let url = changes_url(&server, DocumentId::random());
    let body = Writer::new(1).many(1);
    // Another program holds the database.
    let other = rusqlite::Connection::open(server.directory.path().join("log.db")).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = send(post(url.clone(), body.clone())).await;
    assert_eq!(answer.code(), (503, "unavailable".to_owned()));
    assert!(answer.header("retry-after").is_some());
    other.execute_batch("ROLLBACK").unwrap();
    drop(other);
    let start = std::time::Instant::now();
    while send(post(url.clone(), body.clone())).await.status != 200 {
        assert!(start.elapsed() < Duration::from_secs(20), "it does not go on");
    }
    assert_eq!(send(get(url)).await.body, body);
}
