//! `/v1/limits`.

use super::openapi::Refusals;
use axum::{Json, extract::State};
use rejoin_protocol::wire::LimitsReply;

use crate::AppState;

/// Each limit by name; sizes are bytes
#[utoipa::path(get,
    operation_id = "limits", path = super::paths::LIMITS, tag = "server", responses(
    Refusals,
    (status = 200, description = "The limits", body = LimitsReply),
))]
pub(super) async fn get(State(state): State<AppState>) -> Json<LimitsReply> {
    let config = &state.shared.config;
    let millis = |time: std::time::Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    Json(LimitsReply {
        streams: config.streams as u64,
        token_streams: config.token_streams as u64,
        token_requests: config.token_requests as u64,
        address_connections: config.address_connections as u64,
        body_memory: config.body_memory as u64,
        reply_memory: config.reply_memory as u64,
        connections: config.connections as u64,
        header_timeout_ms: millis(config.header_timeout),
        body_timeout_ms: millis(config.body_timeout),
        body_rate: config.body_rate,
        ..config.limits.to_reply()
    })
}
