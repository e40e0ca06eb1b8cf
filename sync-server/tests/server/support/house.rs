//! A server and everybody who may come to a document, and what they may ask.

use rejoin::DocumentId;
use rejoin_server::Access;
use reqwest::Method;

use super::{Answer, Running, Writer, jwt, send, take_jwts, token};

/// A server with tokens, or one with JWTs, and everybody who may come to a document.
pub struct House {
    pub server: Running,
    pub client: reqwest::Client,
    pub jwts: bool,
}

impl House {
    pub async fn new() -> Self {
        Self { server: Running::start().await, client: reqwest::Client::new(), jwts: false }
    }

    pub async fn with_jwts() -> Self {
        Self { server: Running::start_with(take_jwts).await, client: reqwest::Client::new(), jwts: true }
    }

    /// One of each kind: what holds for tokens holds for JWTs.
    pub async fn both() -> [Self; 2] {
        [Self::new().await, Self::with_jwts().await]
    }

    pub fn database(&self) -> std::path::PathBuf {
        self.server.directory.path().join("log.db")
    }

    pub fn token(&self, name: &str, document: Option<DocumentId>, access: Access) -> String {
        if self.jwts {
            return jwt(name, &[(document, access)], 60);
        }
        token(&self.database(), name, document, access)
    }

    pub async fn ask(&self, who: Option<&str>, what: &Ask) -> Answer {
        let url = format!("http://{}{}", self.server.address, what.path);
        let mut request = self.client.request(what.method.clone(), url).body(what.body.clone());
        if let Some(media_type) = what.media_type {
            request = request.header("content-type", media_type);
        }
        if let Some(token) = who {
            request = request.bearer_auth(token);
        }
        send(request).await
    }
}

/// A request without credentials.
pub struct Ask {
    pub method: Method,
    pub path: String,
    pub media_type: Option<&'static str>,
    pub body: Vec<u8>,
}

pub fn get(path: String) -> Ask {
    Ask { method: Method::GET, path, media_type: None, body: Vec::new() }
}

pub fn push(document: DocumentId, body: Vec<u8>) -> Ask {
    let path = format!("/v1/documents/{document}/changes");
    Ask { method: Method::POST, path, media_type: Some(rejoin::wire::CHANGES), body }
}

pub fn missing(document: DocumentId) -> Ask {
    let path = format!("/v1/documents/{document}/missing");
    Ask {
        method: Method::POST,
        path,
        media_type: Some(rejoin::wire::JSON),
        body: br#"{"hashes":[]}"#.to_vec(),
    }
}

pub fn delete(document: DocumentId) -> Ask {
    Ask { method: Method::DELETE, ..get(format!("/v1/documents/{document}")) }
}

pub fn get_changes(document: DocumentId) -> Ask {
    get(format!("/v1/documents/{document}/changes"))
}

/// Every route, for a document.
pub fn routes(document: DocumentId) -> Vec<(&'static str, Ask)> {
    let of = |rest: &str| format!("/v1/documents/{document}{rest}");
    let head = |ask: Ask| Ask { method: Method::HEAD, ..ask };
    vec![
        ("healthz", get("/healthz".to_owned())),
        ("readyz", get("/readyz".to_owned())),
        ("limits", get("/v1/limits".to_owned())),
        ("documents", get("/v1/documents".to_owned())),
        ("events", get("/v1/events".to_owned())),
        ("metrics", get("/metrics".to_owned())),
        ("openapi", get("/openapi.json".to_owned())),
        ("nothing", get("/v1/nothing".to_owned())),
        ("other method", Ask { method: Method::PUT, ..get(of("/changes")) }),
        ("merged", get(of(""))),
        ("pull", get(of("/changes"))),
        ("head of pull", head(get(of("/changes")))),
        ("snapshot", get(of("/snapshot"))),
        ("missing", missing(document)),
        ("pushers", get(of("/pushers"))),
        ("push", push(document, Writer::new(9).many(1))),
        ("delete", delete(document)),
        ("events of it", get(format!("/v1/events?document={document}"))),
    ]
}

/// The changes events of a stream, as far as one that tells of `last`; `None` where the stream ended before.
pub async fn heard(stream: &mut reqwest::Response, last: DocumentId) -> Option<Vec<String>> {
    let mut text = String::new();
    loop {
        text.push_str(std::str::from_utf8(&stream.chunk().await.ok()??).unwrap());
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
        let told: Vec<rejoin::wire::ChangesEvent> =
            data.map(|data| serde_json::from_str(data).unwrap()).collect();
        if told.iter().any(|event| event.document == last.to_string()) {
            return Some(told.into_iter().map(|event| event.document).collect());
        }
    }
}
