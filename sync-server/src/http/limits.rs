//! `/v1/limits`.

use super::openapi::Refusals;
use axum::{Json, extract::State};
use rejoin::wire::LimitsReply;

use crate::AppState;

/// Each limit by name; sizes are bytes
#[utoipa::path(get,
    operation_id = "limits", path = super::paths::LIMITS, tag = "server", responses(
    Refusals,
    (status = 200, description = "The limits", body = LimitsReply),
))]
pub(super) async fn get(State(state): State<AppState>) -> Json<LimitsReply> {
    let config = &state.shared.config;
    Json(config.limits.to_reply(config.streams))
}
