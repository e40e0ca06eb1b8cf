//! `/v1/documents/ID/missing`.

use super::openapi::BodyRefusals;
use axum::{body::Body, extract::State};
use http::{HeaderMap, header};
use rejoin::wire::{MissingReply, PROBLEM, Problem};
use rejoin::{
    ChangeHash,
    wire::{JSON, MissingRequest},
};

use super::{accept::plain, body::receive, changes::Named, reply::Answer, strict_json};
use crate::{
    AppState,
    rules::{Code, Fault, missing},
};

/// Which of these changes the server lacks
#[utoipa::path(post,
    operation_id = "missing", path = super::paths::MISSING, tag = "changes",
    params(("id" = Uuid, Path, description = "The document's UUID.")),
    request_body = MissingRequest,
    responses(
        BodyRefusals,
        (status = 200, description = "Those that it lacks", body = MissingReply,
            headers(("Rejoin-Cursor" = Option<String>, description = "The end of the log."))),
        (status = 404, description = "`not-found`: not a UUID", content_type = PROBLEM, body = Problem),
        (status = 410, description = "`deleted`: it has a tombstone, and never comes back", content_type = PROBLEM, body = Problem),
    ),
)]
pub(super) async fn post(
    State(state): State<AppState>,
    Named(document): Named,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    if plain(&headers, header::CONTENT_TYPE).as_deref() != Some(JSON) {
        return Err(Fault::because(Code::MediaType, format!("The question is {JSON}.")).into());
    }
    let received = receive(&state, &headers, body).await?;
    let limits = state.shared.config.limits;
    let answer = state.shared.readers.read(move |view| {
        let hashes = read_hashes(&received.bytes)?;
        missing(view, &limits, &document, &hashes)
    });
    Ok(state.in_time(answer).await?.into())
}

fn read_hashes(body: &[u8]) -> Result<Vec<ChangeHash>, Fault> {
    let malformed = |why: String| Fault::because(Code::Malformed, why);
    let question: MissingRequest = strict_json::read(body).map_err(malformed)?;
    let hash = |text: &String| {
        let lower = text.len() == 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
        let hash = if lower { text.parse().ok() } else { None };
        hash.ok_or_else(|| malformed("A hash has 64 lower-case hex digits.".to_owned()))
    };
    question.hashes.iter().map(hash).collect()
}
