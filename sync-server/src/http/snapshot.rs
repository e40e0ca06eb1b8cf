//! `/v1/documents/ID/snapshot`.

use super::openapi::{Chunks, Refusals};
use rejoin_protocol::{
    DocumentId,
    wire::{PROBLEM, Problem},
};
use std::time::Duration;

use axum::{Extension, extract::State};

use super::{
    changes::Named,
    document::merging,
    reply::{Answer, Reply, large},
};
use crate::{
    AppState,
    rules::{ApiError, Asker, Code, Principal, any_snapshot, no_snapshot, snapshot_is_due},
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
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
) -> Answer {
    let work = async {
        make(&state, by.asker(), document).await?;
        // How large it is is known when it is there: until it has its share of the memory few others are read.
        let _turn = state.shared.large_replies.take(by.asker()).await?;
        let readers = &state.shared.readers;
        let stored = readers.read(by.asker(), move |view| any_snapshot(view, &document)).await?;
        let stored = stored.ok_or_else(|| ApiError::new(Code::Unavailable))?;
        let share = large(&state, by.asker(), stored.body.len()).await.map_err(|fault| match fault.code {
            Code::TooLarge => no_snapshot("It is larger than one that is given out here."),
            _ => fault,
        })?;
        Ok(Reply::counted((&state, by.asker()), stored, share))
    };
    state.in_time(work).await.map_err(Into::into)
}

/// Has one made where it is due.
async fn make(state: &AppState, who: Option<Asker>, document: DocumentId) -> Result<(), ApiError> {
    let readers = &state.shared.readers;
    if !readers.read(who.clone(), move |view| snapshot_is_due(view, &document)).await? {
        return Ok(());
    }
    let making = state.shared.merger.snapshot(document, merging(state, who));
    let made = tokio::time::timeout(PATIENCE, making).await;
    made.unwrap_or_else(|_| Err(no_snapshot("It takes too long to make one.")))
}
