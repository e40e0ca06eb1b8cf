//! Replies: a status, headers, a body that is counted until it is sent.

use std::any::Any;

use super::{
    body::Held,
    sending::{Rest, Sending},
};
use crate::{
    AppState,
    rate_limit::Work,
    rules::{ApiError, Asker, Code, RejectionStream, Told},
    shares::{Share, Taker},
};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use rejoin_protocol::{
    ChangeHash, Cursor,
    wire::{self, header as names},
};

/// A response of the rules.
pub(super) struct Reply {
    response: wire::Response,
    merged: Option<Merged>,
    /// What its body takes of the memory for replies.
    share: Option<Share<Asker>>,
    rest: Option<Rest>,
}

/// What is said of a merged document.
#[derive(Debug, Default)]
pub(super) struct Merged {
    /// Up to where it was verified.
    pub(super) verified: Option<Cursor>,
    /// How many changes it leaves out.
    pub(super) quarantined: usize,
}

/// Waits a moment for memory for a reply.
pub(super) async fn room(
    state: &AppState,
    who: Option<Asker>,
    bytes: usize,
) -> Result<Share<Asker>, ApiError> {
    let memory = &state.shared.reply_memory;
    // What is larger is refused by who makes it; so what is asked for can be had.
    memory.wait(Taker::ordinary(who), bytes.min(memory.each())).await
}

/// The same for a reply that is there already, and may be too large.
pub(super) async fn large(
    state: &AppState,
    who: Option<Asker>,
    bytes: usize,
) -> Result<Share<Asker>, ApiError> {
    let most = state.shared.reply_memory.each();
    if bytes > most {
        let detail = format!(
            "It has {bytes} bytes, and a reply of at most {most} is given here (a quarter of reply_memory): \
             read its changes."
        );
        return Err(ApiError::because(Code::TooLarge, detail));
    }
    room(state, who, bytes).await
}

impl Reply {
    /// One that has its share of the memory; what is too much of that is given back. Whoever asked is charged for it.
    pub(super) fn counted(
        (state, who): (&AppState, Option<Asker>),
        response: wire::Response,
        mut share: Share<Asker>,
    ) -> Self {
        state.charge(who, Work::Bytes(response.body.len()));
        share.shrink(response.body.len());
        Self { share: Some(share), ..response.into() }
    }

    /// That of a merged document.
    pub(super) fn of_merged(self, merged: Merged) -> Self {
        Self { merged: Some(merged), ..self }
    }

    /// What a push came to. A long list of rejections is written as the client reads it.
    pub(super) fn told(
        asker: (&AppState, Option<Asker>),
        mut told: Told,
        (held, share): (Held, Option<Share<Asker>>),
    ) -> Self {
        let first = told.rest.as_mut().and_then(RejectionStream::next);
        told.response.body.extend(first.unwrap_or_default());
        let rest = told.rest.filter(|rest| !rest.is_over()).map(|listing| Rest { listing, _held: held });
        let reply = match share {
            Some(share) => Self::counted(asker, told.response, share),
            None => told.response.into(),
        };
        Self { rest, ..reply }
    }
}

impl From<wire::Response> for Reply {
    fn from(response: wire::Response) -> Self {
        Self { response, merged: None, share: None, rest: None }
    }
}

/// What a handler gives.
pub(super) type Answer = Result<Reply, Failed>;

/// Why a handler gives nothing else: `application/problem+json`.
pub(super) struct Failed(pub(super) ApiError);

impl From<ApiError> for Failed {
    fn from(fault: ApiError) -> Self {
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
        let Self { response: reply, merged, share, rest } = self;
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
        put(names::HEADS, (!reply.heads.is_empty()).then(|| in_hex(&reply.heads)));
        put(names::MORE, reply.more.then(|| "1".to_owned()));
        let Merged { verified, quarantined } = merged.unwrap_or_default();
        put(names::VERIFIED, text(verified));
        put(names::QUARANTINED, (quarantined > 0).then(|| quarantined.to_string()));
        put("retry-after", reply.retry_after.map(|after| after.as_secs().max(1).to_string()));
        // RFC 9110, section 15.5.2.
        put("www-authenticate", (reply.status == 401).then(|| "Bearer".to_owned()));
        // A page is of one moment, and what was forbidden may be allowed later.
        put(header::CACHE_CONTROL.as_str(), Some("no-store".to_owned()));
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        (status, headers, Sending::new(reply.body, share, rest).into_body()).into_response()
    }
}

fn in_hex(hashes: &[ChangeHash]) -> String {
    let hashes: Vec<String> = hashes.iter().map(ToString::to_string).collect();
    hashes.join(",")
}

/// A panic of a handler: the panic hook has logged it, and the client learns nothing of it.
pub(super) fn of_panic(_: Box<dyn Any + Send + 'static>) -> Response {
    Failed(ApiError::new(Code::Internal)).into_response()
}
