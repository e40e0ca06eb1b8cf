//! A real server in this process, and small impostors.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread::JoinHandle;

use rejoin_server::{Access, AppState, NewToken, ServerConfig, serve};
use tokio::sync::oneshot;

use crate::loopback::own_loopback;

/// Where a server begins that may be started again there.
pub(crate) fn own_address() -> SocketAddr {
    SocketAddr::new(own_loopback(), 0)
}

/// A server on a port of its own, until it is dropped.
pub(crate) struct Server {
    address: SocketAddr,
    database: PathBuf,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(database: PathBuf) -> Self {
        Self::start_with(database, own_address(), |_| {})
    }

    pub(crate) fn start_with(
        database: PathBuf,
        address: SocketAddr,
        change: impl FnOnce(&mut ServerConfig),
    ) -> Self {
        let mut config = ServerConfig::new(&database);
        change(&mut config);
        let listener = TcpListener::bind(address).unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::spawn(move || {
            let runtime =
                tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let state = AppState::open(config).unwrap();
                serve(listener, state, async { drop(stopped.await) }).await.unwrap();
            });
        });
        Self { address, database, stop: Some(stop), thread: Some(thread) }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Stops it; `start_with` on the same database and address starts it again.
    pub(crate) fn stop(mut self) -> (PathBuf, SocketAddr) {
        self.end();
        (self.database.clone(), self.address)
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            thread.join().unwrap();
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
    }
}

/// Something that gives every request the same answer, and tells what was asked.
pub(crate) struct Impostor {
    address: SocketAddr,
    asked: mpsc::Receiver<String>,
}

impl Impostor {
    pub(crate) fn answering(status: &str, content_type: &str, body: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::channel();
        let answer = format!(
            "HTTP/1.1 {status}\r\ncontent-type: {content_type}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = vec![0; 8192];
                let read = stream.read(&mut head).unwrap_or(0);
                head.truncate(read);
                let _ = stream.write_all(answer.as_bytes());
                if sender.send(String::from_utf8_lossy(&head).into_owned()).is_err() {
                    return;
                }
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The heads of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

/// An address where nobody listens.
pub(crate) fn nobody() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// A server that says of every document that it was deleted, in its answers and on its stream of events; and counts
/// who asked it to delete something.
pub(crate) struct Burier {
    address: SocketAddr,
    asked: mpsc::Receiver<String>,
}

impl Burier {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, asked) = mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let sender = sender.clone();
                std::thread::spawn(move || bury(stream.unwrap(), &sender));
            }
        });
        Self { address, asked }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The first lines of the requests so far.
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.try_iter().collect()
    }
}

/// One connection, one answer.
fn bury(stream: std::net::TcpStream, sender: &mpsc::Sender<String>) {
    use std::io::{BufRead as _, BufReader};
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    if reader.read_line(&mut first).is_err() {
        return;
    }
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let mut body = vec![0; length];
    let _ = reader.read_exact(&mut body);
    let _ = sender.send(first.trim().to_owned());
    let mut stream = stream;
    if !first.contains("/v1/events") {
        let problem = r#"{"code":"deleted","title":"The document was deleted","status":410}"#;
        let head = "HTTP/1.1 410 Gone\r\ncontent-type: application/problem+json\r\nconnection: close\r\ncontent-length:";
        let _ = write!(stream, "{head} {}\r\n\r\n{problem}", problem.len());
        return;
    }
    let _ = write!(stream, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: here\n\n");
    let query =
        first.split_whitespace().nth(1).and_then(|path| path.split_once('?')).map_or("", |(_, query)| query);
    for document in query.split('&').filter_map(|part| part.strip_prefix("document=")) {
        let event = format!(
            "event: changes\ndata: {{\"document\":\"{document}\",\"heads\":[],\"deleted\":true}}\n\n"
        );
        let _ = stream.write_all(event.as_bytes());
    }
    // Open until the client goes.
    let _ = reader.read(&mut [0]);
}

/// What a token for all documents is made of.
pub(crate) fn new_token(name: &str, access: Access) -> NewToken {
    NewToken { name: name.to_owned(), document: None, access, lifetime: None }
}
