//! `/healthz` and `/readyz`.

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::openapi::Refusals;
use axum::extract::State;
use rejoin_protocol::wire::{JSON, Response};
use tokio::sync::Mutex;

use super::reply::{Answer, Reply};
use crate::{
    AppState,
    log::View,
    rules::{ApiError, Code},
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
        return Err(ApiError::because(Code::Unavailable, "The server is about to stop.").into());
    }
    if !state.shared.committer.is_alive() {
        return Err(ApiError::because(Code::Unavailable, "No pushes are taken.").into());
    }
    let reading = || state.in_time(state.shared.readers.read(None, |view| Ok(view.feed_end().map(drop)?)));
    state.shared.readable.ask(Instant::now(), reading).await?;
    Ok(ok())
}

fn ok() -> Reply {
    let body = br#"{"status":"ok"}"#.to_vec();
    Response { status: 200, media_type: JSON.to_owned(), body, ..Response::default() }.into()
}

/// Whether the log can be read, looked at once a second at most: whoever asks without end, and needs no token for it, gets
/// what was found.
#[derive(Debug, Default)]
pub(crate) struct Readable(Mutex<Option<(Instant, Result<(), ApiError>)>>);

/// How long what was found is told.
const GOOD_FOR: Duration = Duration::from_secs(1);

impl Readable {
    async fn ask<F: Future<Output = Result<(), ApiError>>>(
        &self,
        now: Instant,
        look: impl FnOnce() -> F,
    ) -> Result<(), ApiError> {
        let mut found = self.0.lock().await;
        if let Some((at, found)) = &*found
            && now.saturating_duration_since(*at) < GOOD_FOR
        {
            return found.clone();
        }
        let readable = look().await;
        *found = Some((now, readable.clone()));
        readable
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[tokio::test]
    async fn the_database_is_looked_at_once_a_second_however_many_ask() {
        let (readable, looks, start) = (Readable::default(), AtomicUsize::new(0), Instant::now());
        let ask = |now| {
            readable.ask(now, async || match looks.fetch_add(1, Ordering::Relaxed) {
                1 => Err(ApiError::new(Code::Unavailable)),
                _ => Ok(()),
            })
        };
        for number in 0..1_000 {
            assert!(ask(start + Duration::from_micros(number * 900)).await.is_ok());
        }
        let later = start + GOOD_FOR;
        let (one, other) = tokio::join!(ask(later), ask(later));
        assert!(one.is_err() && other.is_err(), "what failed is told to all as well");
        assert!(ask(later + GOOD_FOR).await.is_ok());
        assert_eq!(looks.load(Ordering::Relaxed), 3);
    }
}
