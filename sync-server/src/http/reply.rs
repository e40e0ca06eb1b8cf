use std::{any::Any, io};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rejoin::{
    Cursor,
    wire::{self, header as names},
};
use tokio::time::Instant;

use super::body::{Held, Pace};
use crate::rules::{Code, Fault, Listing, Told};

/// A response of the rules.
pub(super) struct Reply {
    response: wire::Response,
    quarantined: usize,
    rest: Option<Rest>,
}

/// What follows a body.
struct Rest {
    listing: Listing,
    /// The share of memory that it lives in.
    held: Held,
    /// Who reads it more slowly is cut: others wait for that memory.
    pace: Pace,
}

impl Reply {
    /// That of a merged document which leaves so many changes out.
    pub(super) fn without(response: wire::Response, quarantined: usize) -> Self {
        Self { response, quarantined, rest: None }
    }

    /// What a push came to. A long list of rejections is written as the client reads it.
    pub(super) fn told(mut told: Told, (held, pace): (Held, Pace)) -> Self {
        let first = told.rest.as_mut().and_then(Listing::next);
        told.response.body.extend(first.unwrap_or_default());
        let rest = told.rest.filter(|rest| !rest.is_over()).map(|listing| Rest { listing, held, pace });
        Self { response: told.response, quarantined: 0, rest }
    }
}

impl From<wire::Response> for Reply {
    fn from(response: wire::Response) -> Self {
        Self { response, quarantined: 0, rest: None }
    }
}

/// What a handler gives.
pub(super) type Answer = Result<Reply, Failed>;

/// Why a handler gives nothing else: `application/problem+json`.
pub(super) struct Failed(pub(super) Fault);

impl From<Fault> for Failed {
    fn from(fault: Fault) -> Self {
        Self(fault)
    }
}

/// The word of a refusal, for who counts them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Refusal(pub(super) &'static str);

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let refusal = Refusal(self.0.code.word());
        let mut response = Reply::from(self.0.into_response()).into_response();
        response.extensions_mut().insert(refusal);
        response
    }
}

impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let Self { response: reply, quarantined, rest } = self;
        let mut headers = HeaderMap::new();
        let mut put = |name: &'static str, value: Option<String>| {
            if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        let text = |cursor: Option<Cursor>| cursor.map(|cursor| cursor.to_string());
        put("content-type", (!reply.media_type.is_empty()).then_some(reply.media_type));
        put(names::CURSOR, text(reply.cursor));
        put(names::END, text(reply.end));
        put(names::ACCEPTED, reply.accepted.map(|n| n.to_string()));
        put(names::DUPLICATE, reply.duplicate.map(|n| n.to_string()));
        put(names::MORE, reply.more.then(|| "1".to_owned()));
        put(names::QUARANTINED, (quarantined > 0).then(|| quarantined.to_string()));
        put("retry-after", reply.retry_after.map(|after| after.as_secs().max(1).to_string()));
        // RFC 9110, section 15.5.2.
        put("www-authenticate", (reply.status == 401).then(|| "Bearer".to_owned()));
        // A page is of one moment, and what was forbidden may be allowed later.
        put(header::CACHE_CONTROL.as_str(), Some("no-store".to_owned()));
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, body(reply.body, rest)).into_response()
    }
}

fn body(first: Vec<u8>, rest: Option<Rest>) -> Body {
    let Some(Rest { listing, held, pace }) = rest else { return Body::from(first) };
    let mut given = 0;
    // The memory is let go with the last part, or with the connection.
    let parts = std::iter::once(first).chain(listing).map(move |part| {
        let _held = &held;
        if Instant::now() > pace.deadline(given) {
            return Err(io::Error::from(io::ErrorKind::TimedOut));
        }
        given += part.len();
        Ok(part)
    });
    Body::from_stream(futures_util::stream::iter(parts))
}

/// A panic of a handler: the panic hook has logged it, and the client learns nothing of it.
pub(super) fn of_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    Failed(Fault::new(Code::Internal)).into_response()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use http_body_util::BodyExt;
    use tokio::sync::Semaphore;

    use super::*;
    use crate::{ServerConfig, rules::long_listing};

    fn long_body(memory: &Arc<Semaphore>, config: &ServerConfig) -> Body {
        let mut held = Held::new(Arc::clone(memory));
        held.grow(512 * 1024).unwrap();
        body(Vec::new(), Some(Rest { listing: long_listing(), held, pace: Pace::begin(config) }))
    }

    #[tokio::test]
    async fn who_reads_a_long_reply_too_slowly_is_cut_and_its_memory_is_free() {
        let (memory, mut config) = (Arc::new(Semaphore::new(1_024)), ServerConfig::new("unused.db"));
        let body = long_body(&memory, &config);
        assert_eq!(memory.available_permits(), 512);
        let whole = body.collect().await.unwrap().to_bytes();
        assert!(whole.len() > 1_000_000, "{}", whole.len());
        assert_eq!(memory.available_permits(), 1_024);
        // A time that nobody can keep.
        (config.body_timeout, config.body_rate) = (Duration::ZERO, u64::MAX);
        let cut = long_body(&memory, &config).collect().await;
        assert!(cut.is_err());
        assert_eq!(memory.available_permits(), 1_024);
    }
}
