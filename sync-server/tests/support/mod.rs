//! What the tests of the server share: changes to push, and servers to push them to.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use automerge::{ActorId, AutoCommit, Change, ROOT, transaction::Transactable};
use rejoin::{
    ChangeHash, Cursor, DocumentId,
    wire::{Request, Response},
};

/// A client in the simplest form: one Automerge document.
pub struct Writer(pub AutoCommit, i64);

impl Writer {
    pub fn new(actor: u8) -> Self {
        Self(AutoCommit::new().with_actor(ActorId::from([actor; 16])), 0)
    }

    /// Another that has the same changes.
    pub fn fork(&mut self, actor: u8) -> Self {
        Self(self.0.fork().with_actor(ActorId::from([actor; 16])), self.1)
    }

    /// One change: its bytes.
    pub fn set(&mut self, key: &str, value: i64) -> Vec<u8> {
        self.set_with(key, value, None)
    }

    pub fn set_with(&mut self, key: &str, value: i64, message: Option<&str>) -> Vec<u8> {
        self.0.put(ROOT, key, value).unwrap();
        let mut options = automerge::transaction::CommitOptions::default().with_time(0);
        if let Some(message) = message {
            options = options.with_message(message);
        }
        self.0.commit_with(options);
        self.last().raw_bytes().to_vec()
    }

    pub fn last(&mut self) -> Change {
        self.0.get_last_local_change().unwrap()
    }

    pub fn hash(&mut self) -> ChangeHash {
        self.last().hash()
    }

    /// `n` changes, one after another.
    pub fn many(&mut self, n: i64) -> Vec<u8> {
        // Each value is a new one: setting what is there already makes no change.
        let first = self.1;
        self.1 += n;
        (first..self.1).flat_map(|i| self.set(&format!("k{}", i % 50), i)).collect()
    }
}

pub fn push(document: DocumentId, after: Option<&Cursor>, body: &[u8]) -> Request {
    Request::Push { document, after: after.cloned(), limit: None, body: body.to_vec() }
}

pub fn pull(document: DocumentId, after: Option<&Cursor>) -> Request {
    Request::Pull { document, after: after.cloned(), limit: None }
}

pub fn json<T: serde::de::DeserializeOwned>(response: &Response) -> T {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&response.body)))
}

/// The changes of a body, as Automerge reads them.
pub fn changes(body: &[u8]) -> Vec<Change> {
    rejoin::fence::frame(body).unwrap().iter().map(|frame| Change::try_from(frame.bytes).unwrap()).collect()
}

pub fn hashes(body: &[u8]) -> Vec<ChangeHash> {
    changes(body).iter().map(Change::hash).collect()
}

/// A server in this process, on a free port, with a database of its own.
pub struct Running {
    pub address: std::net::SocketAddr,
    pub state: rejoin_server::AppState,
    pub directory: tempfile::TempDir,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    task: Option<tokio::task::JoinHandle<std::io::Result<()>>>,
}

impl Running {
    pub async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut rejoin_server::ServerConfig)) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut config = rejoin_server::ServerConfig::new(directory.path().join("log.db"));
        change(&mut config);
        let state = rejoin_server::AppState::open(config).unwrap();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let serving = rejoin_server::serve(listener, state.clone(), async {
            let _ = stopped.await;
        });
        let task = tokio::spawn(serving);
        Self { address, state, directory, stop: Some(stop), task: Some(task) }
    }

    pub fn url(&self, document: DocumentId, rest: &str) -> String {
        format!("http://{}/v1/documents/{document}{rest}", self.address)
    }

    /// Asks it to stop, and waits until it has.
    pub async fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(task) = self.task.take() {
            task.await.unwrap().unwrap();
        }
    }
}

/// A request, not sent yet.
pub fn post(url: String, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
    reqwest::Client::new().post(url).header("content-type", rejoin::wire::CHANGES).body(body)
}

pub fn get(url: String) -> reqwest::RequestBuilder {
    reqwest::Client::new().get(url)
}

pub async fn send(request: reqwest::RequestBuilder) -> Answer {
    Answer::of(request.send().await.unwrap()).await
}

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: reqwest::header::HeaderMap,
    pub body: Vec<u8>,
}

impl Answer {
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Self { status, headers, body: response.bytes().await.unwrap().to_vec() }
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub fn json<T: serde::de::DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    /// The code of an error, once its form was checked.
    pub fn code(&self) -> (u16, String) {
        assert_eq!(self.header("content-type"), Some(rejoin::wire::PROBLEM), "{self:?}");
        let problem: rejoin::wire::Problem = self.json();
        assert_eq!(problem.status, self.status);
        (self.status, problem.code)
    }
}
