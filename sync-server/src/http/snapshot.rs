//! `/v1/documents/ID/snapshot`.

use axum::extract::{Path, State};

use super::{changes::document_id, reply::Answer};
use crate::{
    AppState,
    rules::{Code, Fault, any_snapshot, stored_snapshot},
    state::now,
};

pub(super) async fn get(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let document = document_id(&id)?;
    let shared = &state.shared;
    let work = async {
        if let Some(stored) = shared.readers.read(move |view| stored_snapshot(view, &document)).await? {
            return Ok(stored);
        }
        let made = shared.merger.snapshot(document).await?;
        shared.committer.snapshot(made, now()).await?;
        let stored = shared.readers.read(move |view| any_snapshot(view, &document)).await?;
        stored.ok_or_else(|| Fault::new(Code::Unavailable))
    };
    Ok(state.in_time(work).await?.into())
}
