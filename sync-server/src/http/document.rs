//! `/v1/documents/ID`: the merged document, and its deletion.

use std::sync::Arc;

use super::openapi::{Chunks, Refusals};
use axum::{Extension, extract::State};
use http::HeaderMap;
use rejoin_protocol::wire::{CHANGES, JSON, Response};
use rejoin_protocol::wire::{PROBLEM, Problem};
use rejoin_verifier::Shape;

use super::{
    accept::prefers,
    changes::Named,
    reply::{Answer, Merged, Reply, large},
};
use crate::{
    AppState,
    clock::now,
    merge::For,
    rate_limit::Work,
    rules::{self, Asker, Principal},
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
                ("Rejoin-Verified" = Option<String>, description = "Up to where it was verified; left out where nothing of it was."),
                ("Rejoin-Quarantined" = Option<u64>, description = "How many changes had to be left out."),
            ),
        ),
        (status = 404, description = "`not-found`: nothing of it was ever pushed here", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
    headers: HeaderMap,
) -> Answer {
    let (shape, media_type) =
        if prefers(&headers, CHANGES) { (Shape::File, CHANGES) } else { (Shape::Json, JSON) };
    let work = async {
        // How large it is is known when it is there: until it has its share of the memory few others are made.
        let asks = merging(&state, by.asker());
        let (written, _turn) = state.shared.merger.document((document, shape), asks).await?;
        let share = large(&state, by.asker(), written.bytes.len()).await?;
        Ok((written, share))
    };
    let (written, share) = state.in_time(work).await?;
    let end = written.end.to_cursor();
    // "In every reply the cursor is one up to which this client now has everything."
    let cursor = written.upto.to_cursor().filter(|_| written.left_out == 0);
    let media_type = media_type.to_owned();
    let response =
        Response { status: 200, media_type, cursor, end, body: written.bytes, ..Response::default() };
    let merged = Merged { verified: written.verified.to_cursor(), quarantined: written.left_out };
    Ok(Reply::counted((&state, by.asker()), response, share).of_merged(merged))
}

/// Who asks for a merge is charged for the time that it takes, whatever becomes of it.
pub(super) fn merging(state: &AppState, who: Option<Asker>) -> For {
    let (state, asker) = (state.clone(), who.clone());
    For { who, took: Arc::new(move |time| state.charge(asker.clone(), Work::Merging(time))) }
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
