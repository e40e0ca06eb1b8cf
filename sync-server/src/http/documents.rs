//! `/v1/documents`.

use axum::{
    Extension,
    extract::{Query, State},
};
use http::Uri;
use serde::Deserialize;

use super::reply::Answer;
use crate::{
    AppState,
    rules::{Code, Fault, Principal, list, list_reply},
    state::now,
};

#[derive(Debug, Deserialize)]
struct Parameters {
    since: Option<String>,
}

pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    uri: Uri,
) -> Answer {
    let Query(Parameters { since }) = Query::try_from_uri(&uri)
        .map_err(|_| Fault::because(Code::Malformed, "`since` is a token, given at most once."))?;
    let limits = state.shared.config.limits;
    let listed = state.shared.readers.read(move |view| list(view, &limits, since.as_deref(), (&by, now())));
    Ok(list_reply(&state.in_time(listed).await?).into())
}
