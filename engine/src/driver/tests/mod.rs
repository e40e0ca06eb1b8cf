//! The driver against real sockets: a listener that answers what a test tells it, byte for byte.

mod replies;
mod requests;
mod waiting;
mod watching;

use super::*;
use crate::{
    Action, DocumentId, Error, QueueState, Store, fence,
    wire::{Request, Response, TransportError},
};
use serde_json::json;
use std::{
    io::Write,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
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
