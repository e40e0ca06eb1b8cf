//! `/v1/documents/ID/snapshot`.

use super::openapi::{Chunks, Refusals};
use rejoin::wire::{PROBLEM, Problem};
use std::time::Duration;

use axum::extract::State;

use super::{changes::Named, reply::Answer};
use crate::{
    AppState,
    merge::no_snapshot,
    rules::{Code, Fault, any_snapshot, stored_snapshot},
};

/// How long a client waits for a snapshot to be made. Then it does better to read the changes: invariant 6, "no
/// document, no change and no peer can stop another document from syncing".
const PATIENCE: Duration = Duration::from_secs(15);

/// A first copy
///
/// A compact Automerge file, and the cursor up to which it holds the log.
#[utoipa::path(get,
    operation_id = "snapshot", path = super::paths::SNAPSHOT, tag = "changes",
    params(("id" = Uuid, Path, description = "The document's UUID.")),
    responses(
        Refusals,
        (status = 200, description = "The file", content_type = "application/vnd.automerge", body = Chunks,
            headers(("Rejoin-Cursor" = String, description = "Up to where it holds the log; pull from there."))),
        (status = 404, description = "`not-found`: nothing of it was ever pushed here, or there is no snapshot: pull", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(State(state): State<AppState>, Named(document): Named) -> Answer {
    let readers = &state.shared.readers;
    let work = async {
        if let Some(stored) = readers.read(move |view| stored_snapshot(view, &document)).await? {
            return Ok(stored);
        }
        let made = tokio::time::timeout(PATIENCE, state.shared.merger.snapshot(document)).await;
        made.unwrap_or_else(|_| Err(no_snapshot("It takes too long to make one.")))?;
        let stored = readers.read(move |view| any_snapshot(view, &document)).await?;
        stored.ok_or_else(|| Fault::new(Code::Unavailable))
    };
    Ok(state.in_time(work).await?.into())
}
