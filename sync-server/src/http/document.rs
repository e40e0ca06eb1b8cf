//! `/v1/documents/ID`.

use axum::extract::{Path, State};

use super::{
    changes::document_id,
    reply::{Answer, Reply},
};
use crate::{AppState, rules, state::now};

pub(super) async fn get(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let _ = (state, document_id(&id)?);
    Err(rules::Fault::new(rules::Code::Unavailable).into())
}

pub(super) async fn delete(State(state): State<AppState>, Path(id): Path<String>) -> Answer {
    let document = document_id(&id)?;
    state.in_time(state.shared.committer.delete(document, now())).await?;
    Ok(Reply(rules::deleted()))
}
