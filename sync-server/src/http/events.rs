//! `/v1/events`: server-sent events.

use std::collections::HashSet;

use axum::{
    Extension,
    body::Body,
    extract::{Query, State},
    response::{IntoResponse, Response},
};
use http::{Uri, header};

use super::{changes::document_id, reply::Failed};
use crate::{
    AppState,
    events::{Topics, watch},
    rules::{Code, Fault, Principal, hearable},
    state::now,
};

/// `Last-Event-ID` is not looked at: where a client stands it says by its cursor when it pulls, once after the
/// stream is open. An event between the two is told twice, which costs nothing.
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    uri: Uri,
) -> Result<Response, Failed> {
    let topics = match topics(&uri)? {
        Topics::Only(ids) if by != Principal::Local => {
            let reading = state.shared.gate.read(move |view| hearable(view, by, (ids, now())));
            Topics::Only(state.in_time(reading).await?)
        }
        topics => topics,
    };
    let stream = state.shared.hub.open(by, topics)?;
    watch(&state);
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-cache, no-transform"),
        // nginx would keep small events back.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn topics(uri: &Uri) -> Result<Topics, Fault> {
    let Query(pairs): Query<Vec<(String, String)>> = Query::try_from_uri(uri)
        .map_err(|_| Fault::because(Code::Malformed, "`document` is a UUID, as often as needed."))?;
    let named = pairs.iter().filter(|(name, _)| name == "document");
    let documents = named.map(|(_, id)| document_id(id)).collect::<Result<HashSet<_>, _>>()?;
    Ok(if documents.is_empty() { Topics::All } else { Topics::Only(documents) })
}
