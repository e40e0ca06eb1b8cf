//! After a sync: who pushed what came. Asked only where a token was shown, for elsewhere nobody knows.

use std::time::Duration;

use crate::{
    Cursor, DocumentId, Error, Result, Store,
    store::Pushers,
    wire::{JSON, PushersReply, Request, Response},
};

use super::Transport;

/// How long it may take altogether. What was not learnt is asked after a later sync.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest name that is kept, in bytes: a subject has 256 at most.
const LONGEST: usize = 512;

/// Asks who pushed, and keeps it. Nothing depends on it: a server that does not know is no failure.
pub(super) async fn learn(store: &Store, transport: &dyn Transport, document: DocumentId) {
    match tokio::time::timeout(PATIENCE, ask_all(store, transport, document)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%document, %error, "it is not known who pushed"),
        Err(_) => tracing::debug!(%document, "who pushed is asked for again later"),
    }
}

async fn ask_all(store: &Store, transport: &dyn Transport, document: DocumentId) -> Result<()> {
    let mut after = store.with_core(move |core| core.pushers_cursor(document)).await?;
    loop {
        let request = Request::Pushers { document, after: after.clone() };
        let response = transport.send(&request).await.map_err(|e| Error::Unreachable(e.to_string()))?;
        // A log that was put back, or another server's: from the beginning, once.
        if response.status == 409 && after.is_some() {
            let forgotten = Pushers { asked: after.take(), ..Pushers::default() };
            store.with_core(move |core| core.store_pushers(document, &forgotten)).await?;
            continue;
        }
        let Some(page) = read(after.clone(), &response) else {
            return Err(Error::Protocol(format!("status {}", response.status)));
        };
        // One that does not get on would be asked for ever.
        let on = response.more && page.cursor != after;
        after.clone_from(&page.cursor);
        store.with_core(move |core| core.store_pushers(document, &page)).await?;
        if !on {
            return Ok(());
        }
    }
}

fn read(asked: Option<Cursor>, response: &Response) -> Option<Pushers> {
    if response.status != 200 || response.media_type != JSON {
        return None;
    }
    let reply: PushersReply = serde_json::from_slice(&response.body).ok()?;
    let named = reply.pushers.into_iter().filter(|pushed| (1..=LONGEST).contains(&pushed.by.len()));
    let pushed = named.map(|one| (one.by, one.hashes.iter().filter_map(|text| text.parse().ok()).collect()));
    Some(Pushers { asked, cursor: response.cursor.clone(), pushed: pushed.collect() })
}
