//! `/v1/documents/ID`: the merged document, and its deletion.

use axum::{
    Extension,
    extract::{Path, State},
};
use http::HeaderMap;
use rejoin::wire::{CHANGES, JSON, Response};

use super::{
    accept::prefers,
    changes::document_id,
    reply::{Answer, Reply},
};
use crate::{
    AppState,
    merge::Shape,
    rules::{self, Principal},
    state::now,
};

pub(super) async fn get(State(state): State<AppState>, Path(id): Path<String>, headers: HeaderMap) -> Answer {
    let document = document_id(&id)?;
    let (shape, media_type) =
        if prefers(&headers, CHANGES) { (Shape::File, CHANGES) } else { (Shape::Json, JSON) };
    let written = state.in_time(state.shared.merger.document(document, shape)).await?;
    let end = written.end.to_cursor();
    // "In every reply the cursor is one up to which this client now has everything."
    let cursor = end.clone().filter(|_| written.left_out == 0);
    let media_type = media_type.to_owned();
    let response =
        Response { status: 200, media_type, cursor, end, body: written.bytes, ..Response::default() };
    Ok(Reply::without(response, written.left_out))
}

pub(super) async fn delete(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Path(id): Path<String>,
) -> Answer {
    let document = document_id(&id)?;
    state.in_time(state.shared.committer.delete(document, by, now())).await?;
    Ok(rules::deleted().into())
}
