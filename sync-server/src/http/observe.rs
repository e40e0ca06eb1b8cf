//! Every request passes here first and last: it gets an id, and is counted and timed.

use std::time::Instant;

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use tracing::Instrument;

use super::{body::Pace, connections::Visit, paths, reply::Refusal, sending::in_pace};
use crate::{AppState, metrics::Because};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longer ones that a client sends are replaced.
const LONGEST_ID: usize = 64;

/// Of a request the log holds its id, its route's pattern and its method: neither its address, which may tell what
/// only its document's readers may know, nor a header.
pub(super) async fn observe(State(state): State<AppState>, request: Request, next: Next) -> Response {
    let began = Instant::now();
    let id = request_id(request.headers());
    let matched = request.extensions().get::<MatchedPath>();
    let route = matched.map_or("none", MatchedPath::as_str).to_owned();
    let method = word(request.method());
    let span = tracing::info_span!("request", id = id.to_str().unwrap_or_default(), method, route);
    let visit = request.extensions().get::<Visit>().cloned();
    let at_work = visit.as_ref().map(Visit::begin);
    let mut response = next.run(request).instrument(span.clone()).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    let metrics = &state.shared.metrics;
    metrics.answered(&route, (method, status), took);
    if let Some(Refusal(code)) = response.extensions().get() {
        metrics.refused.get_or_create(&Because { code }).inc();
    }
    let milliseconds = took.as_secs_f64() * 1_000.0;
    span.in_scope(|| match status {
        500.. => tracing::warn!(status, milliseconds, "answered"),
        _ => tracing::debug!(status, milliseconds, "answered"),
    });
    response.headers_mut().insert(REQUEST_ID, id);
    // What is told to one may not be told to another, and may be forbidden later.
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if visit.is_some_and(|visit| visit.is_kept()) {
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    let streams = route == paths::EVENTS && status == 200;
    let pace = (!streams).then(|| Pace::begin(&state.shared.config));
    in_pace(response, (pace, at_work))
}

/// That of the client, or of the proxy in front, where it is one; a new one else.
fn request_id(headers: &HeaderMap) -> HeaderValue {
    let usable = |value: &&HeaderValue| {
        let bytes = value.as_bytes();
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(byte);
        !bytes.is_empty() && bytes.len() <= LONGEST_ID && bytes.iter().all(plain)
    };
    let given = headers.get(REQUEST_ID).filter(usable).cloned();
    given.unwrap_or_else(|| {
        let id = uuid::Uuid::new_v4().simple().to_string();
        HeaderValue::try_from(id).unwrap_or_else(|_| HeaderValue::from_static("none"))
    })
}

/// A client cannot make labels.
fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
