//! Looking from time to time who may still listen.

use std::{collections::HashSet, time::Duration};

use super::Hub;
use crate::{AppState, clock::now, rules::is_good};

/// How often. A revoked or expired token is refused at once, "and its open streams end within 10 s" (OPERATIONS.md).
const EVERY: Duration = Duration::from_secs(10);

/// Begins to look, until no stream is open any more. To be called when one was opened, inside a runtime.
pub(crate) fn watch(state: &AppState) {
    if state.shared.hub.begin_watch() {
        let state = state.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(EVERY.min(state.shared.config.heartbeat)).await;
                if state.shared.hub.end_watch() {
                    return;
                }
                look(&state, &state.shared.hub).await;
            }
        });
    }
}

async fn look(state: &AppState, hub: &Hub) {
    let who = hub.principals();
    // Whoever came when no token was made yet came without one.
    let Ok(guarded) = state.shared.auth_reader.is_guarded().await else { return };
    let reading = state.shared.auth_reader.read(move |view| {
        let mut gone = HashSet::new();
        for principal in who {
            if !is_good(view, &principal, (guarded, now()))? {
                gone.insert(principal);
            }
        }
        Ok(gone)
    });
    match reading.await {
        Ok(gone) => hub.cut(&gone),
        // Next time; what is published is asked for anew anyway.
        Err(fault) => tracing::warn!(?fault, "whose streams may stay open could not be looked up"),
    }
}
