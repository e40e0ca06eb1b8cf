//! A server in this process, and requests to any server.

use rejoin::DocumentId;

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
    /// Of a stream of events, which has no end, only the head.
    pub async fn of(response: reqwest::Response) -> Self {
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        if headers.get("content-type").is_some_and(|value| value == "text/event-stream") {
            return Self { status, headers, body: Vec::new() };
        }
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
