//! `/v1/documents/ID/missing`.

use std::sync::Arc;

use super::openapi::BodyRefusals;
use axum::{Extension, body::Body, extract::State};
use http::{HeaderMap, header};
use rejoin_protocol::{
    ChangeHash, DocumentId,
    wire::{JSON, MissingReply, MissingRequest, PROBLEM, Problem},
};

use super::{
    accept::plain,
    body::{Travelled, receive_travelled},
    changes::Named,
    reply::{Answer, Reply, room},
    strict_json::Question,
};
use crate::{
    AppState,
    rate_limit::Work,
    rules::{ApiError, Asker, Code, Principal, question},
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
    Extension(by): Extension<Principal>,
    Named(document): Named,
    headers: HeaderMap,
    body: Body,
) -> Answer {
    if plain(&headers, header::CONTENT_TYPE).as_deref() != Some(JSON) {
        return Err(ApiError::because(Code::MediaType, format!("The question is {JSON}.")).into());
    }
    let limits = state.shared.config.limits;
    let travelled = receive_travelled((&state, by.asker()), (&headers, body), limits.json_bytes()).await?;
    let work = async {
        state.charge(by.asker(), Work::Bytes(travelled.length()));
        let hashes = read_hashes(&state, by.asker(), travelled).await?;
        state.charge(by.asker(), Work::Hashes(hashes.len()));
        answer(&state, by.asker(), (document, hashes)).await
    };
    state.in_time(work).await.map_err(Into::into)
}

/// How many hashes are looked for before others have their turn.
const PIECE: usize = 1_024;

async fn answer(
    state: &AppState,
    who: Option<Asker>,
    (document, hashes): (DocumentId, Vec<ChangeHash>),
) -> Result<Reply, ApiError> {
    let readers = &state.shared.readers;
    let asked = Arc::new(readers.read(who.clone(), move |view| question(view, &document)).await?);
    let memory = room(state, who.clone(), asked.reply_bytes(hashes.len())).await?;
    let mut lacking = Vec::new();
    for piece in hashes.chunks(PIECE) {
        let (asked, piece) = (Arc::clone(&asked), piece.to_vec());
        let read = readers.read(who.clone(), move |view| Ok(asked.lacking(view, &piece)?));
        lacking.extend(read.await?);
    }
    Ok(Reply::counted((state, who), asked.reply(&lacking), memory))
}

/// Reads the question where it takes no reader of the log, nor the time of those who have one.
async fn read_hashes(
    state: &AppState,
    who: Option<Asker>,
    travelled: Travelled,
) -> Result<Vec<ChangeHash>, ApiError> {
    let turn = state.shared.questions.take(who).await?;
    let limits = state.shared.config.limits;
    let read = tokio::task::spawn_blocking(move || {
        let _turn = turn;
        let most = (limits.missing_hashes, "missing_hashes");
        let question = Question { field: "hashes", most, limits: &limits };
        question.read(travelled.decoded(limits.json_bytes())?, hash)
    });
    read.await.map_err(|_| ApiError::new(Code::Internal))?
}

fn hash(text: &str) -> Result<ChangeHash, ApiError> {
    let lower = text.len() == 64 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    let hash = if lower { text.parse().ok() } else { None };
    hash.ok_or_else(|| ApiError::because(Code::Malformed, "A hash has 64 lower-case hex digits."))
}
