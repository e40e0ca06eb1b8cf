//! `/v1/documents/ID/snapshot`.

use axum::extract::{Path, State};
use rejoin::DocumentId;

use super::{changes::document_id, reply::Answer};
use crate::{
    AppState,
    rules::{Code, Fault, any_snapshot, stored_snapshot},
    state::now,
};

pub(super) async fn get(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let document = document_id(&id)?;
    let readers = state.shared.readers.clone();
    let work = async {
        if let Some(stored) = readers.read(move |view| stored_snapshot(view, &document)).await? {
            return Ok(stored);
        }
        // It is stored for the next who asks, also where this one does not wait for it.
        let made = tokio::spawn(make(state.clone(), document));
        made.await.map_err(|_| Fault::new(Code::Internal))??;
        let stored = readers.read(move |view| any_snapshot(view, &document)).await?;
        stored.ok_or_else(|| Fault::new(Code::Unavailable))
    };
    Ok(state.in_time(work).await?.into())
}

async fn make(state: AppState, document: DocumentId) -> Result<(), Fault> {
    let made = state.shared.merger.snapshot(document).await?;
    state.shared.committer.snapshot(made, now()).await
}
