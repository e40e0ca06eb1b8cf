//! `/v1/documents/ID/pushers`.

use axum::{Extension, extract::State};
use http::Uri;
use rejoin_protocol::{
    Cursor,
    wire::{PROBLEM, Problem, PushersReply},
};

use super::{
    changes::Named,
    openapi::BodyRefusals,
    pages::Asked,
    reply::{Answer, Reply},
};
use crate::{
    AppState,
    log::BackendView,
    rules::{Principal, pushers},
};

/// Who pushed
///
/// Whose token or JWT brought the changes after a cursor here: not who made them. What was pushed where nobody was
/// asked for one is left out.
#[utoipa::path(get,
    operation_id = "pushers", path = super::paths::PUSHERS, tag = "changes",
    params(
        ("id" = Uuid, Path, description = "The document's UUID."),
        ("after" = Option<String>, Query, description = "A cursor; none means from the beginning."),
        ("limit" = Option<u64>, Query, minimum = 1, maximum = 4_294_967_295_u64, description = "Most changes in the reply."),
    ),
    responses(
        BodyRefusals,
        (status = 200, description = "Names and hashes, in the log's order", body = PushersReply,
            headers(
                ("Rejoin-Cursor" = Option<String>, description = "Up to where this tells."),
                ("Rejoin-End" = Option<String>, description = "The end of the log."),
                ("Rejoin-More" = Option<u8>, description = "1 where this is not all: ask again after `Rejoin-Cursor`."),
            ),
        ),
        (status = 404, description = "`not-found`: nothing of it was ever pushed here", content_type = PROBLEM, body = Problem),
        (status = 409, description = "`cursor-unknown`: not a cursor of this log", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn get(
    State(state): State<AppState>,
    Extension(by): Extension<Principal>,
    Named(document): Named,
    uri: Uri,
) -> Answer {
    let (asked, limits) = (Asked::some(&uri)?, state.shared.config.limits);
    let work = move |view: &BackendView<'_>, page: (Option<&Cursor>, Option<u32>)| {
        pushers(view, &limits, &document, page)
    };
    let (response, share) = asked.read((&state, &by), work).await?;
    Ok(Reply::counted((&state, by.asker()), response, share))
}
