//! Requests to a server, and its answers, without a client.

use std::sync::OnceLock;

use tokio::runtime::Runtime;

/// What a server answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// The body as JSON; `null` when it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }
}

/// The runtime of the harness's own requests and servers.
pub fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let made = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
        made.expect("the system gives threads")
    })
}

/// `GET`, with what is accepted.
pub fn get(url: &str, accept: &str) -> Answer {
    send(client().get(url).header("accept", accept))
}

/// `POST` of change chunks, to be answered with JSON.
pub fn post(url: &str, body: Vec<u8>) -> Answer {
    let request = client().post(url).header("accept", "application/json");
    send(request.header("content-type", "application/vnd.automerge").body(body))
}

fn client() -> &'static reqwest::Client {
    static CLIENT: OnceLock<reqwest::Client> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let made = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0).build();
        made.expect("a client can be made")
    })
}

fn send(request: reqwest::RequestBuilder) -> Answer {
    runtime().block_on(async {
        let response = request.send().await.expect("the server answers");
        let header = |(n, v): (&reqwest::header::HeaderName, &reqwest::header::HeaderValue)| {
            (n.as_str().to_owned(), String::from_utf8_lossy(v.as_bytes()).into_owned())
        };
        Answer {
            status: response.status().as_u16(),
            headers: response.headers().iter().map(header).collect(),
            body: response.bytes().await.expect("the body arrives").to_vec(),
        }
    })
}
