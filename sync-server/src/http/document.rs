//! `/v1/documents/ID`: the merged document, and its deletion.

use super::openapi::{Chunks, Refusals};
use axum::{Extension, extract::State};
use http::HeaderMap;
use rejoin::wire::{PROBLEM, Problem};
use rejoin::{
    verify::Shape,
    wire::{CHANGES, JSON, Response},
};

use super::{
    accept::prefers,
    changes::Named,
    reply::{Answer, Reply},
};
use crate::{
    AppState,
    rules::{self, Principal},
    state::now,
};

/// The merged document
#[utoipa::path(get,
    operation_id = "document", path = super::paths::DOCUMENT, tag = "documents",
    params(("id" = Uuid, Path, description = "The document's UUID.")),
    responses(
        Refusals,
        (status = 200, description = "The document as of the log's end when it was asked for: JSON, or a compact Automerge file where `Accept` prefers one",
            content((serde_json::Value = "application/json"), (Chunks = "application/vnd.automerge")),
            headers(
                ("Rejoin-End" = String, description = "The end of the log."),
                ("Rejoin-Quarantined" = Option<u64>, description = "How many changes had to be left out."),
            ),
        ),
        (status = 404, description = "`not-found`: nothing of it was ever pushed here", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(State(state): State<AppState>, Named(document): Named, headers: HeaderMap) -> Answer {
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

/// A tombstone
#[utoipa::path(delete,
    operation_id = "delete_document", path = super::paths::DOCUMENT, tag = "documents",
    params(("id" = Uuid, Path, description = "The document's UUID.")),
    responses(
        Refusals,
        (status = 204, description = "It is deleted, and never comes back"),
        (status = 404, description = "`not-found`: not a UUID, or nobody has begun it, and this token is admin neither of it nor of all", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn delete(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
) -> Answer {
    state.in_time(state.shared.committer.delete(document, by, now())).await?;
    Ok(rules::deleted().into())
}
