//! `/healthz` and `/readyz`.

use std::sync::atomic::Ordering;

use super::openapi::Refusals;
use axum::extract::State;
use rejoin::wire::{JSON, Response};

use super::reply::{Answer, Reply};
use crate::{
    AppState,
    rules::{Code, Fault},
};

/// Whether the process answers
#[utoipa::path(get,
    operation_id = "alive", path = super::paths::HEALTH, tag = "server", responses(Refusals, (status = 200, description = "It does.", content_type = "application/json", body = serde_json::Value)))]
pub(super) async fn alive() -> Reply {
    ok()
}

/// Whether the log can be read, pushes are taken, and no stop was asked for
#[utoipa::path(get,
    operation_id = "ready", path = super::paths::READY, tag = "server", responses(Refusals, (status = 200, description = "It does.", content_type = "application/json", body = serde_json::Value)))]
pub(super) async fn ready(State(state): State<AppState>) -> Answer {
    if state.shared.draining.load(Ordering::Acquire) {
        return Err(Fault::because(Code::Unavailable, "The server is about to stop.").into());
    }
    if !state.shared.committer.is_alive() {
        return Err(Fault::because(Code::Unavailable, "No pushes are taken.").into());
    }
    state.in_time(state.shared.readers.read(|view| Ok(view.feed_end()?))).await?;
    Ok(ok())
}

fn ok() -> Reply {
    let body = br#"{"status":"ok"}"#.to_vec();
    Response { status: 200, media_type: JSON.to_owned(), body, ..Response::default() }.into()
}
