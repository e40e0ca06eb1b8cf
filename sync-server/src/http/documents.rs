//! `/v1/documents`.

use super::openapi::BodyRefusals;
use axum::{
    Extension,
    extract::{Query, State},
};
use http::Uri;
use rejoin_protocol::wire::{DocumentsReply, PROBLEM, Problem};
use serde::Deserialize;

use super::reply::{Answer, Reply, room};
use crate::{
    AppState,
    clock::now,
    log::BackendView,
    rate_limit::Work,
    rules::{ApiError, Code, Principal, list, list_reply},
};

#[derive(Debug, Deserialize)]
struct Parameters {
    since: Option<String>,
}

/// The documents that may be read here, and changed since a token
#[utoipa::path(get,
    operation_id = "documents", path = super::paths::DOCUMENTS, tag = "documents",
    params(("since" = Option<String>, Query, description = "`next` of the reply before; all of them where it is left out.")),
    responses(
        BodyRefusals,
        (status = 200, description = "A page of them; ask on with `next` until it is empty", body = DocumentsReply),
        (status = 409, description = "`cursor-unknown`: the token is not one of this server", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    uri: Uri,
) -> Answer {
    let Query(Parameters { since }) = Query::try_from_uri(&uri)
        .map_err(|_| ApiError::because(Code::Malformed, "`since` is a token, given at most once."))?;
    let limits = state.shared.config.limits;
    let (who, readers) = (by.asker(), &state.shared.readers);
    let listed = async {
        let share = room(&state, who.clone(), limits.page_bytes).await?;
        let read = move |view: &BackendView<'_>| list(view, &limits, since.as_deref(), (&by, now()));
        Ok((readers.read(who.clone(), read).await?, share))
    };
    let (listed, share) = state.in_time(listed).await?;
    state.charge(who.clone(), Work::Documents(listed.documents.len()));
    Ok(Reply::counted((&state, who), list_reply(&listed), share))
}
