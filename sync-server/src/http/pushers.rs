//! `/v1/documents/ID/pushers`.

use axum::{Extension, extract::State};
use http::Uri;
use rejoin::wire::{PROBLEM, Problem, PushersReply};

use super::{
    changes::{Named, parameters},
    openapi::BodyRefusals,
    reply::{Answer, Reply, room},
};
use crate::{
    AppState,
    log::View,
    rules::{Code, Fault, Principal, pushers},
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
    let (after, limit) = parameters(&uri)?;
    if limit == Some(0) {
        return Err(
            Fault::because(Code::Malformed, "A page has at least one change: `limit` is 1 or more.").into()
        );
    }
    let limits = state.shared.config.limits;
    let work = move |view: View<'_>| pushers(view, &limits, &document, (after.as_ref(), limit));
    let reading = async {
        let share = room(&state, by.asker(), limits.page_bytes).await?;
        Ok((state.shared.readers.read(by.asker(), work).await?, share))
    };
    let (response, share) = state.in_time(reading).await?;
    Ok(Reply::counted((&state, by.asker()), response, share))
}
