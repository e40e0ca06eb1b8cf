//! `/v1/documents/ID/changes`: push and pull.

use super::openapi::{BodyRefusals, Chunks};
use axum::{
    Extension,
    body::Body,
    extract::{FromRequestParts, Path, State},
};
use http::{HeaderMap, Uri, header, request::Parts};
use rejoin_protocol::wire::{PROBLEM, Problem, PushReply};
use rejoin_protocol::{
    Cursor, DocumentId,
    wire::{CHANGES, OCTETS, PACK},
};

use super::{
    accept::{plain, prefers},
    body::receive,
    packs::{packed, unpacked},
    pages::Asked,
    reply::{Answer, Failed, Reply, room},
    stored::store,
};
use crate::{
    AppState,
    clock::now,
    log::BackendView,
    rules::{ApiError, Asker, Code, Form, Principal, Receipt, Told, pull, reply, reply_at_end},
    shares::Share,
};

/// Push
///
/// A sequence of Automerge change chunks, dependencies first. What is not in `rejected` is stored.
#[utoipa::path(post,
    operation_id = "push", path = super::paths::CHANGES, tag = "changes",
    params(
        ("id" = Uuid, Path, description = "The document's UUID; a document begins with its first push."),
        ("after" = Option<String>, Query, description = "The cursor of this client; none means from the beginning."),
        ("limit" = Option<u64>, Query, maximum = 4_294_967_295_u64, description = "Most changes in the reply; 0 for none."),
    ),
    request_body(content(
        (Option<Chunks> = "application/vnd.automerge"),
        (Option<Chunks> = "application/vnd.rejoin.pack"),
    )),
    responses(
        BodyRefusals,
        (status = 200, description = "JSON; or, with `Accept: application/vnd.automerge` and nothing rejected, the changes that this client lacks",
            content(
                (PushReply = "application/json"),
                (Chunks = "application/vnd.automerge"),
                (Chunks = "application/vnd.rejoin.pack"),
            ),
            headers(
                ("Rejoin-Cursor" = Option<String>, description = "Up to where this client now has everything."),
                ("Rejoin-End" = Option<String>, description = "The end of the log."),
                ("Rejoin-Accepted" = Option<u64>, description = "How many were new."),
                ("Rejoin-Duplicate" = Option<u64>, description = "How many were held already."),
                ("Rejoin-More" = Option<u8>, description = "1 where the page is not the last: go on with GET."),
                ("Rejoin-Heads" = Option<String>, description = "The heads of the log, with commas between, where this is its end and they are few."),
            ),
        ),
        (status = 404, description = "`not-found`: not a UUID", content_type = PROBLEM, body = Problem),
        (status = 409, description = "`cursor-unknown`: not a cursor of this log; heal", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn post(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    let Asked { after, limit } = Asked::of(&uri)?;
    let media_type = plain(&headers, header::CONTENT_TYPE);
    if !matches!(media_type.as_deref(), None | Some(CHANGES | OCTETS | PACK)) {
        return Err(ApiError::because(Code::MediaType, format!("A push is {CHANGES}.")).into());
    }
    let pack = prefers(&headers, PACK);
    let form = if pack || prefers(&headers, CHANGES) { Form::Changes { limit } } else { Form::Json };
    let received = receive((&state, by.asker()), &headers, body).await?;
    let limits = state.shared.config.limits;
    let work = async {
        let received = match media_type.as_deref() {
            Some(PACK) => unpacked(received, limits).await?,
            _ => received,
        };
        let (receipt, held) = store(&state, received, (document, after, &by)).await?;
        state.shared.metrics.pushes.inc();
        let (told, share) = match reply_at_end(&receipt, form) {
            Some(response) => (response.into(), None),
            None => tell(&state, by.asker(), (receipt, form, pack)).await?,
        };
        Ok((told, (held, share)))
    };
    let (told, memory) = state.in_time(work).await?;
    note(&state, &by, document, &told.response);
    Ok(Reply::told((&state, by.asker()), told, memory))
}

/// Says what a push came to, with what the client lacks. Where there is no memory for that just now, the client is told
/// to go on with a pull: the push is stored.
async fn tell(
    state: &AppState,
    who: Option<Asker>,
    (receipt, form, pack): (Receipt, Form, bool),
) -> Result<(Told, Option<Share<Asker>>), ApiError> {
    let limits = state.shared.config.limits;
    let share = match form {
        Form::Changes { limit: Some(0) } | Form::Json => None,
        Form::Changes { .. } => room(state, who.clone(), limits.page_bytes).await.ok(),
    };
    let form = match form {
        Form::Changes { .. } if share.is_none() => Form::Changes { limit: Some(0) },
        form => form,
    };
    let read = move |view: &BackendView<'_>| {
        let Told { response, rest } = reply(view, &limits, receipt, form)?;
        Ok(Told { response: packed(response, pack), rest })
    };
    Ok((state.shared.readers.read(who, read).await?, share))
}

/// Pull
///
/// Change chunks in the order of the log.
#[utoipa::path(get,
    operation_id = "pull", path = super::paths::CHANGES, tag = "changes",
    params(
        ("id" = Uuid, Path, description = "The document's UUID."),
        ("after" = Option<String>, Query, description = "The cursor of this client; none means from the beginning."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Most changes in the reply."),
    ),
    responses(
        BodyRefusals,
        (status = 200, description = "A page of the log",
            content((Chunks = "application/vnd.automerge"), (Chunks = "application/vnd.rejoin.pack")),
            headers(
                ("Rejoin-Cursor" = Option<String>, description = "Up to where this client has everything once it stored this."),
                ("Rejoin-End" = Option<String>, description = "The end of the log."),
                ("Rejoin-More" = Option<u8>, description = "1 where the page is not the last."),
                ("Rejoin-Heads" = Option<String>, description = "The heads of the log, with commas between, where this is its end and they are few."),
            ),
        ),
        (status = 404, description = "`not-found`: nothing of it was ever pushed here", content_type = PROBLEM, body = Problem),
        (status = 409, description = "`cursor-unknown`: not a cursor of this log; heal", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
    uri: Uri,
    headers: HeaderMap,
) -> Answer {
    let asked = Asked::some(&uri)?;
    let (limits, pack) = (state.shared.config.limits, prefers(&headers, PACK));
    let work = move |view: &BackendView<'_>, page: (Option<&Cursor>, Option<u32>)| {
        Ok(packed(pull(view, &limits, &document, page)?, pack))
    };
    let (response, share) = asked.read((&state, &by), work).await?;
    note(&state, &by, document, &response);
    Ok(Reply::counted((&state, by.asker()), response, share))
}

/// Where this client stands after this reply, for who watches the server.
fn note(state: &AppState, by: &Principal, document: DocumentId, response: &rejoin_protocol::wire::Response) {
    let metrics = &state.shared.metrics;
    if matches!(response.media_type.as_str(), CHANGES | PACK) {
        metrics.pulls.inc();
    }
    let place = response.cursor.as_ref().and_then(|cursor| cursor.as_str().split('.').next()?.parse().ok());
    metrics.clients.note(by, document, (place.unwrap_or(0), now()));
}

/// The document that a path names. What is no UUID, be it no text at all, names none.
pub(super) struct Named(pub(super) DocumentId);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failed> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(document_id(&text.map(|Path(text)| text).unwrap_or_default())?))
    }
}

/// A text that is no UUID names no document.
pub(super) fn document_id(text: &str) -> Result<DocumentId, ApiError> {
    text.parse().map_err(|_| ApiError::because(Code::NotFound, "A document is named by a UUID."))
}
