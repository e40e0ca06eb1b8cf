//! A listener that answers like a server, with what a test says.

use axum::{
    Router,
    body::Bytes,
    extract::{Request, State},
    http::{HeaderName, HeaderValue, StatusCode},
    response::Response,
};
use std::sync::Arc;

use super::runtime;

/// What an impostor is asked: method, path with query, body.
#[derive(Debug, Clone)]
pub struct Asked {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path and the query.
    pub path: String,
    /// The body as it came.
    pub body: Bytes,
}

/// Status, media type, body, more headers.
pub type Reply = (u16, &'static str, Vec<u8>, Vec<(&'static str, String)>);

type Answer = Arc<dyn Fn(Asked) -> Reply + Send + Sync>;

/// A server that answers whatever it likes, for as long as this process lives. Returns its base address.
pub fn impostor(answer: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> String {
    let answer: Answer = Arc::new(answer);
    let listener = runtime().block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port is free");
    let address = listener.local_addr().expect("a listener has an address");
    let router = Router::new().fallback(reply).with_state(answer);
    runtime().spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn reply(State(answer): State<Answer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap_or_default();
    let path = parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let (status, media_type, body, headers) = answer(Asked { method: parts.method.to_string(), path, body });
    let mut response = Response::new(axum::body::Body::from(body));
    *response.status_mut() = StatusCode::from_u16(status).expect("a status is one");
    response.headers_mut().insert("content-type", HeaderValue::from_static(media_type));
    for (name, value) in headers {
        let value = HeaderValue::from_str(&value).expect("a header is text");
        response.headers_mut().insert(HeaderName::from_static(name), value);
    }
    response
}
