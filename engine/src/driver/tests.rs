//! The driver against real sockets: a listener that answers what a test tells it, byte for byte.

use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

use super::*;
use crate::{
    Action, DocumentId, Error, QueueState, Store, fence,
    wire::{Request, Response, TransportError},
};

/// A request as it came.
#[derive(Debug, Clone)]
struct Heard {
    line: String,
    head: String,
    body: Vec<u8>,
}

impl Heard {
    /// The body after decoding.
    fn plain(&self) -> Vec<u8> {
        if self.head.contains("content-type: application/vnd.rejoin.pack") {
            let limits = crate::pack::PackLimits { changes: 100_000, bytes: 64 << 20 };
            return crate::pack::unpack(&self.body, &limits).unwrap().into_bytes();
        }
        match self.head.contains("content-encoding: zstd") {
            true => zstd::decode_all(&self.body[..]).unwrap(),
            false => self.body.clone(),
        }
    }
}

/// What a connection is answered with.
enum Say {
    /// These bytes; the connection stays open.
    Bytes(Vec<u8>),
    /// These bytes; then the connection is closed.
    Close(Vec<u8>),
    /// These bytes; then nothing, for ever.
    Hang(Vec<u8>),
}

type Script = Arc<dyn Fn(&Heard) -> Say + Send + Sync>;

/// A listener on a free port, and what it heard.
struct Server {
    url: String,
    heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    async fn start(script: impl Fn(&Heard) -> Say + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let heard = Arc::new(Mutex::new(Vec::new()));
        let (script, log): (Script, _) = (Arc::new(script), Arc::clone(&heard));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&script), Arc::clone(&log)));
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, script: Script, log: Arc<Mutex<Vec<Heard>>>) {
    while let Some(heard) = hear(&mut stream).await {
        let say = script(&heard);
        log.lock().unwrap().push(heard);
        match say {
            Say::Bytes(bytes) => stream.write_all(&bytes).await.unwrap_or_default(),
            Say::Close(bytes) => {
                stream.write_all(&bytes).await.unwrap_or_default();
                return;
            }
            Say::Hang(bytes) => {
                stream.write_all(&bytes).await.unwrap_or_default();
                std::future::pending::<()>().await;
            }
        }
    }
}

async fn hear(stream: &mut TcpStream) -> Option<Heard> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.ok()?);
    }
    let head = String::from_utf8(head).ok()?;
    let lower = head.to_ascii_lowercase();
    let length =
        lower.split("content-length: ").nth(1).map_or(0, |t| t.lines().next().unwrap().parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    let line = head.lines().next()?.to_owned();
    // Only names are compared; a token keeps its case.
    let head = head.lines().map(|l| match l.split_once(": ") {
        Some((name, value)) => format!("{}: {value}\n", name.to_ascii_lowercase()),
        None => format!("{l}\n"),
    });
    Some(Heard { line, head: head.collect(), body })
}

fn reply(status: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut bytes = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        bytes += &format!("{name}: {value}\r\n");
    }
    [bytes.as_bytes(), b"\r\n", body].concat()
}

/// The reply of a server that was empty, took everything, and has nothing else.
fn accepted(heard: &Heard) -> Vec<u8> {
    let count = fence::frame(&heard.plain()).unwrap().len().to_string();
    let headers = [
        ("content-type", "application/vnd.automerge"),
        ("rejoin-cursor", "9.aa"),
        ("rejoin-end", "9.aa"),
        ("rejoin-accepted", count.as_str()),
        ("rejoin-duplicate", "0"),
    ];
    reply("200 OK", &headers, b"")
}

fn portal() -> Vec<u8> {
    reply("200 OK", &[("content-type", "text/html; charset=utf-8")], b"<html>please log in</html>")
}

/// A store with `edits` in its queue.
async fn store_with(edits: usize) -> (tempfile::TempDir, Store, DocumentId) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).await.unwrap();
    let id = store.create(None, Some("notes")).await.unwrap();
    let set = |i| Action::Set { path: format!("/k{i}"), value: json!(i) };
    store.dispatch_all(id, (0..edits).map(set).collect()).await.unwrap();
    (dir, store, id)
}

fn to(server: &str) -> SyncOptions {
    SyncOptions::default().server(server).timeout(Duration::from_secs(20))
}

async fn waiting(store: &Store) -> usize {
    let queue = store.queue(None).await.unwrap();
    queue.iter().filter(|q| q.state == QueueState::Waiting).count()
}

/// One sync against a server that always says this; it must fail as unreachable, and keep the queue.
async fn never_an_acknowledgement(say: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
    let server = Server::start(move |_| Say::Bytes(say())).await;
    let (_dir, store, _) = store_with(3).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))), "{:?}", report.worst());
    assert_eq!((report.queued, report.pushed, waiting(&store).await), (3, 0, 3));
}

#[tokio::test]
async fn a_thousand_edits_are_one_small_request() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, id) = store_with(1_000).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert_eq!((report.pushed, report.queued), (1_000, 0));
    assert_eq!(report.documents[0].state, SyncState::InStep);
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].line, format!("POST /v1/documents/{id}/changes HTTP/1.1"));
    assert!(heard[0].head.contains("accept: application/vnd.automerge, application/vnd.rejoin.pack"));
    assert!(heard[0].head.contains("content-type: application/vnd.rejoin.pack"));
    assert!(heard[0].body.len() < heard[0].plain().len() / 10);
}

#[tokio::test]
async fn a_base_with_a_path_and_a_token_are_used() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, id) = store_with(1).await;
    let base = format!("{}/team/sync/", server.url);
    let options = to(&base).token(&base, Token::new("Secret-1").unwrap());
    assert!(store.sync(options).await.unwrap().worst().is_none());
    let heard = server.heard();
    assert_eq!(heard[0].line, format!("POST /team/sync/v1/documents/{id}/changes HTTP/1.1"));
    assert!(heard[0].head.contains("authorization: Bearer Secret-1\n"));
}

#[tokio::test]
async fn a_token_is_sent_to_no_other_server() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, _) = store_with(1).await;
    let options = to(&server.url).token("http://elsewhere.example", Token::new("Secret-1").unwrap());
    store.sync(options).await.unwrap();
    assert!(!server.heard()[0].head.contains("authorization"));
}

#[tokio::test]
async fn a_captive_portal_is_never_an_acknowledgement() {
    never_an_acknowledgement(portal).await;
}

#[tokio::test]
async fn a_wrong_media_type_is_never_an_acknowledgement() {
    never_an_acknowledgement(|| {
        let headers = [
            ("rejoin-cursor", "9.aa"),
            ("rejoin-end", "9.aa"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        reply("200 OK", &headers, b"")
    })
    .await;
}

#[tokio::test]
async fn a_malformed_cursor_is_never_an_acknowledgement() {
    never_an_acknowledgement(|| {
        let headers = [
            ("content-type", "application/vnd.automerge"),
            ("rejoin-cursor", "9 aa/../"),
            ("rejoin-end", "9 aa/../"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        reply("200 OK", &headers, b"")
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_| Say::Bytes(reply("302 Found", &[("location", "/login")], b""))).await;
    let (_dir, store, _) = store_with(1).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert!(server.heard().iter().all(|h| h.line.contains("/changes")));
    assert_eq!(waiting(&store).await, 1);
}

/// A reply whose body ends before its length, at every byte of it, or that does not tell its length.
#[tokio::test]
async fn a_short_body_is_never_an_acknowledgement() {
    let whole = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&whole);
    let server = Server::start(move |heard| {
        *seen.lock().unwrap() = heard.plain();
        Say::Bytes(accepted(heard))
    })
    .await;
    let (_dir, store, _) = store_with(3).await;
    store.sync(to(&server.url)).await.unwrap();
    let changes = whole.lock().unwrap().clone();
    let first = fence::frame(&changes).unwrap()[0].bytes.len();
    // Without a length, and cut between two changes: nothing but the missing length tells.
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/vnd.automerge\r\n\
                rejoin-cursor: 3.aa\r\nrejoin-end: 3.aa\r\n";
    for cut in [1, first, changes.len() - 1] {
        for length in [Some(changes.len()), None] {
            let length = length.map_or(String::new(), |l| format!("content-length: {l}\r\n"));
            let bytes = [head.as_bytes(), length.as_bytes(), b"\r\n", &changes[..cut]].concat();
            let cutting = Server::start(move |_| Say::Close(bytes.clone())).await;
            let transport = HttpTransport::new(&cutting.url, None).unwrap();
            let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
            let result = transport.send(&pull).await;
            assert!(
                matches!(result, Err(TransportError::Broken(_) | TransportError::NotASyncServer(_))),
                "{result:?}"
            );
        }
    }
}

#[tokio::test]
async fn bombs_in_replies_are_refused_at_the_cap() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![0; 1 << 20];
    for _ in 0..=REPLY_BYTES >> 20 {
        gzip.write_all(&piece).unwrap();
    }
    let gzip = gzip.finish().unwrap();
    let zeros = std::io::repeat(0);
    let zstd = zstd::encode_all(std::io::Read::take(zeros, REPLY_BYTES as u64 + 1), 1).unwrap();
    for (name, bomb) in [("gzip", gzip), ("zstd", zstd)] {
        assert!(bomb.len() < 1 << 20);
        let headers = [("content-type", "application/vnd.automerge"), ("content-encoding", name)];
        let bytes = reply("200 OK", &headers, &bomb);
        let server = Server::start(move |_| Say::Bytes(bytes.clone())).await;
        let transport = HttpTransport::new(&server.url, None).unwrap();
        let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
        assert_eq!(transport.send(&pull).await, Err(TransportError::TooLarge(REPLY_BYTES)), "{name}");
    }
}

#[tokio::test]
async fn retry_after_is_obeyed_and_the_sync_goes_on() {
    let times = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&times);
    let server = Server::start(move |heard| {
        Say::Bytes(match seen.fetch_add(1, Ordering::SeqCst) {
            0 => reply("429 Too Many Requests", &[("retry-after", "1")], b""),
            _ => accepted(heard),
        })
    })
    .await;
    let (_dir, store, _) = store_with(2).await;
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert_eq!((report.pushed, times.load(Ordering::SeqCst)), (2, 2));
}

#[tokio::test]
async fn a_wait_longer_than_the_timeout_is_not_begun() {
    let server = Server::start(|_| Say::Bytes(reply("503 Busy", &[("retry-after", "3000")], b""))).await;
    let (_dir, store, _) = store_with(2).await;
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(10));
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up_at_the_timeout() {
    let server = Server::start(|_| Say::Hang(Vec::new())).await;
    let (_dir, store, _) = store_with(2).await;
    let options = to(&server.url).timeout(Duration::from_millis(300));
    let report = store.sync(options).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(waiting(&store).await, 2);
}

#[tokio::test]
async fn a_reply_of_a_byte_now_and_then_ends_at_the_timeout() {
    let server =
        Server::start(|_| Say::Hang(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nx".to_vec())).await;
    let (_dir, store, _) = store_with(2).await;
    let options = to(&server.url).timeout(Duration::from_millis(300));
    let report = store.sync(options).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
}

#[tokio::test]
async fn a_refused_connection_fails_fast_and_for_all_documents_at_once() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let (_dir, store, _) = store_with(2).await;
    for _ in 0..20 {
        store.create(None, None).await.unwrap();
    }
    let start = tokio::time::Instant::now();
    let report = store.sync(to(&url)).await.unwrap();
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    assert_eq!(report.documents.len(), 21);
    assert!(report.documents.iter().all(|d| d.state == SyncState::Failed));
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert_eq!(report.queued, 2);
}

#[tokio::test]
async fn refused_credentials_are_told_and_one_document_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(dir.path().join("a.db")).await.unwrap();
    let mut ids = Vec::new();
    for i in 0..3 {
        let id = store.create(None, None).await.unwrap();
        store.dispatch(id, Action::Set { path: "/a".into(), value: json!(i) }).await.unwrap();
        ids.push(id);
    }
    let forbidden = ids[1].to_string();
    let server = Server::start(move |heard| {
        Say::Bytes(match heard.line.contains(&forbidden) {
            true => reply("403 Forbidden", &[("content-type", "application/problem+json")], b"{}"),
            false => accepted(heard),
        })
    })
    .await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unauthorized(_))));
    assert_eq!((report.pushed, report.queued), (2, 1));
    assert!(store.queue(None).await.unwrap().iter().all(|q| q.attempts == 0));
}

#[tokio::test]
async fn a_server_that_takes_no_compression_gets_plain_bodies() {
    let server = Server::start(|heard| {
        Say::Bytes(match heard.head.contains("content-encoding") || packed(heard) {
            true => reply("415 Unsupported Media Type", &[], b""),
            false => accepted(heard),
        })
    })
    .await;
    let (_dir, store, _) = store_with(100).await;
    assert_eq!(store.sync(to(&server.url)).await.unwrap().pushed, 100);
    assert_eq!(server.heard().len(), 3, "a pack, zstd, plain");
}

fn packed(heard: &Heard) -> bool {
    heard.head.contains("content-type: application/vnd.rejoin.pack")
}

#[tokio::test]
async fn a_server_that_knows_no_packs_is_sent_changes_whatever_it_says_to_them() {
    for refusal in ["400 Bad Request", "415 Unsupported Media Type", "422 Unprocessable", "500 Oops"] {
        let server = Server::start(move |heard| {
            Say::Bytes(if packed(heard) { reply(refusal, &[], b"") } else { accepted(heard) })
        })
        .await;
        let (_dir, store, _) = store_with(100).await;
        assert_eq!(store.sync(to(&server.url)).await.unwrap().pushed, 100, "{refusal}");
        let heard = server.heard();
        assert_eq!(heard.len(), 2);
        assert!(heard[1].head.contains("content-encoding: zstd"));
    }
}

#[tokio::test]
async fn a_reply_that_is_no_whole_pack_is_no_acknowledgement() {
    let server = Server::start(|_| {
        let headers = [
            ("content-type", "application/vnd.rejoin.pack"),
            ("rejoin-cursor", "9.aa"),
            ("rejoin-end", "9.aa"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        Say::Bytes(reply("200 OK", &headers, b"RJPK\x01 and then nothing"))
    })
    .await;
    let (_dir, store, _) = store_with(3).await;
    let report = store.sync(to(&server.url).timeout(Duration::from_secs(2))).await.unwrap();
    assert!(report.worst().is_some());
    assert_eq!((report.queued, waiting(&store).await), (3, 3));
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again_at_once() {
    let server = Server::start(|_| Say::Close(reply("404 Not Found", &[], b""))).await;
    let transport = HttpTransport::new(&server.url, None).unwrap();
    let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
    for _ in 0..5 {
        let response: Response = transport.send(&pull).await.unwrap();
        assert_eq!(response.status, 404);
    }
}

#[tokio::test]
async fn without_a_server_each_document_says_so() {
    let (_dir, store, _) = store_with(1).await;
    let report = store.sync(SyncOptions::default()).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::NoServer)));
}

#[tokio::test]
async fn two_syncs_of_one_store_do_not_push_twice() {
    let server = Server::start(|heard| match heard.line.starts_with("POST") {
        true => Say::Bytes(accepted(heard)),
        false => {
            let headers = [
                ("content-type", "application/vnd.automerge"),
                ("rejoin-cursor", "9.aa"),
                ("rejoin-end", "9.aa"),
            ];
            Say::Bytes(reply("200 OK", &headers, b""))
        }
    })
    .await;
    let (dir, store, _) = store_with(50).await;
    let other = Store::open(dir.path().join("a.db")).await.unwrap();
    let (one, two) = tokio::join!(store.sync(to(&server.url)), other.sync(to(&server.url)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert!(one.worst().is_none() && two.worst().is_none());
    assert_eq!(one.pushed + two.pushed, 50);
    assert_eq!(server.heard().iter().filter(|h| h.line.starts_with("POST")).count(), 1);
}

/// The next report's count, long before the next poll.
async fn told_soon(reports: &mut tokio::sync::mpsc::UnboundedReceiver<u64>) -> u64 {
    let soon = tokio::time::timeout(Duration::from_secs(30), reports.recv()).await;
    soon.expect("nothing was pushed").unwrap()
}

#[tokio::test]
async fn a_watch_pushes_an_edit_at_once_and_ends_when_told() {
    let server = Server::start(|heard| match heard.line.starts_with("POST") {
        true => Say::Bytes(accepted(heard)),
        false => {
            let headers = [
                ("content-type", "application/vnd.automerge"),
                ("rejoin-cursor", "9.aa"),
                ("rejoin-end", "9.aa"),
            ];
            Say::Bytes(reply("200 OK", &headers, b""))
        }
    })
    .await;
    let (_dir, store, id) = store_with(1).await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (pushed, mut seen) = tokio::sync::mpsc::unbounded_channel();
    // Far longer than the test: only the edit itself can wake it.
    let options = WatchOptions::default().sync(to(&server.url)).poll(Duration::from_secs(3_600));
    let watched = store.clone();
    let watch = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or_default() };
        watched.watch(options, |report| pushed.send(report.pushed).unwrap(), shutdown).await
    });
    assert_eq!(told_soon(&mut seen).await, 1);
    store.dispatch(id, Action::Set { path: "/b".into(), value: json!(2) }).await.unwrap();
    assert_eq!(told_soon(&mut seen).await, 1);
    assert_eq!(waiting(&store).await, 0);
    stop.send(()).unwrap();
    watch.await.unwrap().unwrap();
}

#[tokio::test]
async fn an_edit_during_an_upload_of_a_watch_goes_in_another_round() {
    let (_dir, store, id) = store_with(1).await;
    let first = Arc::new(AtomicUsize::new(0));
    let editing = store.clone();
    let seen = Arc::clone(&first);
    let server = Server::start(move |heard| {
        if seen.fetch_add(1, Ordering::SeqCst) == 0 {
            let action = Action::Set { path: "/late".into(), value: json!(1) };
            let editing = editing.clone();
            let edit = move || {
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                runtime.block_on(editing.dispatch(id, action)).unwrap();
            };
            std::thread::spawn(edit).join().unwrap();
        }
        match heard.line.starts_with("POST") {
            true => Say::Bytes(accepted(heard)),
            false => {
                let headers = [
                    ("content-type", "application/vnd.automerge"),
                    ("rejoin-cursor", "9.aa"),
                    ("rejoin-end", "9.aa"),
                ];
                Say::Bytes(reply("200 OK", &headers, b""))
            }
        }
    })
    .await;
    let (stop, stopped) = oneshot::channel::<()>();
    let (pushed, mut told) = tokio::sync::mpsc::unbounded_channel();
    // Far longer than the test: only the edit itself can wake it.
    let options = WatchOptions::default().sync(to(&server.url)).poll(Duration::from_secs(3_600));
    let watched = store.clone();
    let watch = tokio::spawn(async move {
        let shutdown = async { stopped.await.unwrap_or_default() };
        watched.watch(options, |report| pushed.send(report.pushed).unwrap(), shutdown).await
    });
    let mut total = 0;
    while total < 2 {
        total += told_soon(&mut told).await;
    }
    stop.send(()).unwrap();
    watch.await.unwrap().unwrap();
}
