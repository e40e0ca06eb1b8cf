//! `/v1/events`: server-sent events.

use super::openapi::BodyRefusals;
use rejoin_protocol::wire::{ChangesEvent, PROBLEM, Problem};
use std::collections::HashSet;

use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{Uri, header};

use super::{changes::document_id, guard::Keeper, reply::Failed};
use crate::{
    AppState,
    clock::now,
    events::{Topics, watch},
    log::BackendView,
    rate_limit::Work,
    rules::{ApiError, Code, Principal, hearable},
};

/// What is committed, as it happens
///
/// Server-sent events: `event: changes`, its data a `ChangesEvent`. Events are hints: cursors say where a client stands.
#[utoipa::path(get,
    operation_id = "events", path = super::paths::EVENTS, tag = "changes",
    params(("document" = Option<Vec<Uuid>>, Query, description = "Which documents, as often as needed; all that may be read where it is left out.")),
    responses(
        BodyRefusals,
        (status = 200, description = "A stream without an end", content_type = "text/event-stream", body = ChangesEvent),
        (status = 404, description = "`not-found`: not a UUID", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Extension(Keeper(keeper)): Extension<Keeper>,
    uri: Uri,
) -> Result<Response, Failed> {
    // `Last-Event-ID` is not looked at: where a client stands it says by its cursor when it pulls, once after the
    // stream is open. An event between the two is told twice, which costs nothing.
    let topics = match topics(&uri)? {
        Topics::Only(ids) if by != Principal::Local => {
            let listener = by.clone();
            state.charge(by.asker(), Work::Documents(ids.len()));
            // Not where credentials are looked up: they may be many.
            let read = move |view: &BackendView<'_>| hearable(view, &listener, (ids, now()));
            let reading = state.shared.readers.read(by.asker(), read);
            Topics::Only(state.in_time(reading).await?)
        }
        topics => topics,
    };
    let stream = state.shared.hub.open((by, keeper), topics)?;
    watch(&state);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store, no-transform"),
        // nginx would keep small events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn topics(uri: &Uri) -> Result<Topics, ApiError> {
    let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(uri)
        .map_err(|_| ApiError::because(Code::Malformed, "`document` is a UUID, as often as needed."))?;
    let named = pairs.iter().filter(|(name, _)| name == "document");
    let documents = named.map(|(_, id)| document_id(id)).collect::<Result<HashSet<_>, _>>()?;
    Ok(if documents.is_empty() { Topics::All } else { Topics::Only(documents) })
}
