//! `/v1/documents/ID/changes`: push and pull.

use axum::{
    Extension,
    body::Body,
    extract::{Path, Query, State},
};
use http::{HeaderMap, Uri, header};
use rejoin::{
    Cursor, DocumentId,
    wire::{CHANGES, OCTETS, PACK},
};
use serde::Deserialize;

use super::{
    accept::{plain, prefers},
    body::receive,
    packs::{packed, unpacked},
    reply::Answer,
};
use crate::{
    AppState,
    log::View,
    rules::{Code, Fault, Form, Principal, Push, check_body, pull, reply, reply_at_end},
    state::now,
};

/// Bodies larger than this are checked on a thread where working long is allowed.
const LARGE: usize = 32 * 1024;

#[derive(Debug, Deserialize)]
struct Parameters {
    after: Option<String>,
    limit: Option<u32>,
}

pub(super) async fn post(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let document = document_id(&id)?;
    let (after, limit) = parameters(&uri)?;
    let media_type = plain(&headers, header::CONTENT_TYPE);
    if !matches!(media_type.as_deref(), None | Some(CHANGES | OCTETS | PACK)) {
        return Err(Fault::because(Code::MediaType, format!("A push is {CHANGES}.")).into());
    }
    let pack = prefers(&headers, PACK);
    let form = if pack || prefers(&headers, CHANGES) { Form::Changes { limit } } else { Form::Json };
    let received = receive(&state, &headers, body).await?;
    let limits = state.shared.config.limits;
    let work = async {
        let received = match media_type.as_deref() {
            Some(PACK) => unpacked(received, limits).await?,
            _ => received,
        };
        let (changes, _held) = if received.bytes.len() > LARGE {
            let check = move || check_body(&received.bytes, &limits).map(|c| (c, received.held));
            tokio::task::spawn_blocking(check).await.map_err(|_| Fault::new(Code::Internal))??
        } else {
            (check_body(&received.bytes, &limits)?, received.held)
        };
        let push = Push { document, after, changes, by };
        let receipt = state.shared.committer.push(push, now()).await?;
        if receipt.accepted > 0 {
            state.shared.notes.pushed(document);
            state.shared.pushes.note(document);
        }
        match reply_at_end(&receipt, form) {
            Some(response) => Ok(response),
            None => {
                let read = move |view: View<'_>| Ok(packed(reply(view, &limits, &receipt, form)?, pack));
                state.shared.readers.read(read).await
            }
        }
    };
    Ok(state.in_time(work).await?.into())
}

pub(super) async fn get(
    State(state): State<AppState>,
    Path(id): Path<String>,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let document = document_id(&id)?;
    let (after, limit) = parameters(&uri)?;
    let (limits, pack) = (state.shared.config.limits, prefers(&headers, PACK));
    let work =
        move |view: View<'_>| Ok(packed(pull(view, &limits, &document, (after.as_ref(), limit))?, pack));
    Ok(state.in_time(state.shared.readers.read(work)).await?.into())
}

/// A text that is no UUID names no document.
pub(super) fn document_id(text: &str) -> Result<DocumentId, Fault> {
    text.parse().map_err(|_| Fault::because(Code::NotFound, "A document is named by a UUID."))
}

fn parameters(uri: &Uri) -> Result<(Option<Cursor>, Option<u32>), Fault> {
    let Query(Parameters { after, limit }) = Query::try_from_uri(uri).map_err(|_| {
        Fault::because(Code::Malformed, "`after` is a cursor and `limit` a number, each given at most once.")
    })?;
    let after = match after.filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => Some(Cursor::parse(&text).ok_or_else(|| Fault::new(Code::CursorUnknown))?),
    };
    Ok((after, limit))
}
