//! `/v1/limits`.

use axum::{Json, extract::State};
use rejoin::wire::LimitsReply;

use crate::AppState;

pub(super) async fn get(State(state): State<AppState>) -> Json<LimitsReply> {
    let config = &state.shared.config;
    Json(config.limits.to_reply(config.streams))
}
