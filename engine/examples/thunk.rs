//! Thunks against a small HTTP server in the same program: one that is fulfilled, one that is aborted, a search in
//! which only the latest question counts, and one that a second handle on the file takes over from the first.
//!
//! `cargo run -p rejoin --example thunk`. It asserts what it shows and ends by itself.
#![allow(clippy::print_stdout, reason = "an example shows what happens")]

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rejoin::{
    Store,
    effects::FollowUp,
    work::{Settled, StartOptions, Thunk, ThunkContext, ThunkError, WorkOptions},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{oneshot, watch},
};

/// Asks the server what it knows of a word. The value holds what a process needs; the argument is in the file.
struct Search {
    server: String,
}

impl Thunk for Search {
    const NAME: &'static str = "search";
    const DEADLINE: Duration = Duration::from_secs(20);
    type Argument = String;
    type Output = String;
    type Error = String;

    async fn run(&self, _: ThunkContext, word: String) -> Result<String, String> {
        get(&self.server, &word).await.map_err(|error| error.to_string())
    }

    fn fulfilled(_: &String) -> Option<FollowUp> {
        Some(FollowUp::new(json!({"type": "set", "path": "/found"})).put("", "/value"))
    }
}

async fn open(path: &std::path::Path, server: &str) -> rejoin::Result<Store> {
    Store::builder(path).thunk(Search { server: server.to_owned() }).open().await
}

/// A runner in the background, until it is told to stop.
fn run(store: &Store) -> (oneshot::Sender<()>, tokio::task::JoinHandle<rejoin::Result<()>>) {
    let (stop, stopped) = oneshot::channel::<()>();
    let store = store.clone();
    let options = WorkOptions::default().grace(Duration::ZERO);
    (stop, tokio::spawn(async move { store.run(options, async { drop(stopped.await) }).await }))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = tempfile::tempdir()?;
    let path = dir.path().join("app.db");
    let server = Server::start().await?;
    let store = open(&path, &server.address).await?;
    let notes = store.create(None, Some("notes")).await?;
    let (stop, running) = run(&store);
    let options = || StartOptions::new().document(notes);

    println!("1. pending, then fulfilled, with an action in the same transaction");
    let mut events = store.thunk_events();
    let tent = store.start::<Search>("tent".to_owned(), options()).await?.ok_or("not started")?;
    server.until_asked("tent").await;
    server.answer("tent");
    let found = tent.unwrap().await?;
    while let Ok(told) = events.try_recv() {
        println!("   event: {} {}{}", told.name, told.state, if told.running { ", running" } else { "" });
    }
    println!("   output: {found:?}; in the document: {}", store.state(notes, "/found").await?);
    assert_eq!(
        (found.as_str(), store.state(notes, "/found").await?),
        ("all about tent", json!("all about tent"))
    );

    println!("2. an abort stops the work: the server sees the connection go");
    let boat = store.start::<Search>("boat".to_owned(), options()).await?.ok_or("not started")?;
    server.until_asked("boat").await;
    assert!(boat.abort().await?);
    server.until_hung_up("boat").await;
    println!("   {:?}", boat.wait().await?);
    assert!(matches!(boat.unwrap().await, Err(ThunkError::Aborted(_))));

    println!("3. only the latest counts: the older question is dropped, and its late answer goes nowhere");
    let latest = || options().latest_only("search");
    let older = store.start::<Search>("map".to_owned(), latest()).await?.ok_or("not started")?;
    server.until_asked("map").await;
    let newer = store.start::<Search>("mapmaker".to_owned(), latest()).await?.ok_or("not started")?;
    server.until_asked("mapmaker").await;
    server.answer("mapmaker");
    assert_eq!(newer.unwrap().await?, "all about mapmaker");
    server.answer("map");
    let Settled::Aborted(why) = older.wait().await? else { return Err("the older one counted".into()) };
    println!("   the older one: {why}; found: {}", store.state(notes, "/found").await?);
    assert_eq!(store.state(notes, "/found").await?, "all about mapmaker");

    println!("4. what one handle on the file began, another ends");
    let rope = store.start::<Search>("rope".to_owned(), options()).await?.ok_or("not started")?;
    let id = rope.id();
    server.until_asked("rope").await;
    drop(stop);
    running.await??;
    drop((rope, tent, boat, older, newer, events, store));
    server.until_hung_up("rope").await;
    println!("   the first is closed; the row says: {:?}", row(&path, &id.to_string())?);
    server.answer("rope");
    let second = open(&path, &server.address).await?;
    let (stop, running) = run(&second);
    let output = second.thunk::<Search>(id).unwrap().await?;
    println!("   the second says: {output:?}, attempt {}", second.thunk_info(id).await?.attempts);
    assert_eq!((output.as_str(), second.thunk_info(id).await?.attempts), ("all about rope", 2));
    drop(stop);
    running.await??;
    Ok(())
}

/// The thunk as anyone can read it with `sqlite3`.
fn row(path: &std::path::Path, id: &str) -> rusqlite::Result<(String, String)> {
    let raw = rusqlite::Connection::open_with_flags(path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    raw.query_row("SELECT name, state FROM thunks WHERE id = ?1", [id], |r| Ok((r.get(0)?, r.get(1)?)))
}

async fn get(server: &str, word: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(server).await?;
    let request = format!("GET /{word} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = String::new();
    stream.read_to_string(&mut reply).await?;
    let body = reply.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    body.ok_or_else(|| std::io::Error::other("that is no HTTP"))
}

/// What the server has seen and may say.
#[derive(Debug, Default)]
struct Seen {
    asked: Vec<String>,
    hung_up: Vec<String>,
    answered: Vec<String>,
}

/// A server that answers when it is told to.
struct Server {
    address: String,
    seen: watch::Sender<Seen>,
    errors: Arc<Mutex<Vec<std::io::Error>>>,
}

impl Server {
    async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?.to_string();
        let server = Self { address, seen: watch::Sender::default(), errors: Arc::default() };
        let (seen, errors) = (server.seen.clone(), Arc::clone(&server.errors));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (seen, errors) = (seen.clone(), Arc::clone(&errors));
                tokio::spawn(async move {
                    if let Err(error) = serve(stream, &seen).await
                        && let Ok(mut errors) = errors.lock()
                    {
                        errors.push(error);
                    }
                });
            }
        });
        Ok(server)
    }

    fn answer(&self, word: &str) {
        self.seen.send_modify(|seen| seen.answered.push(word.to_owned()));
    }

    async fn until_asked(&self, word: &str) {
        // The server lives as long as its sender.
        let _ = self.seen.subscribe().wait_for(|seen| seen.asked.iter().any(|w| w == word)).await;
    }

    async fn until_hung_up(&self, word: &str) {
        let _ = self.seen.subscribe().wait_for(|seen| seen.hung_up.iter().any(|w| w == word)).await;
    }
}

async fn serve(mut stream: TcpStream, seen: &watch::Sender<Seen>) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
    let request = String::from_utf8_lossy(&bytes).into_owned();
    let word = request.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
    seen.send_modify(|seen| seen.asked.push(word.clone()));
    let mut told = seen.subscribe();
    tokio::select! {
        _ = told.wait_for(|seen| seen.answered.contains(&word)) => {}
        // Nothing more is to be read: what comes is the end of the connection.
        _ = stream.read_u8() => {
            seen.send_modify(|seen| seen.hung_up.push(word));
            return Ok(());
        }
    }
    let body = format!("all about {word}");
    let reply =
        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len());
    stream.write_all(reply.as_bytes()).await
}
