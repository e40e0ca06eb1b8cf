//! A push on its way into the log.

use rejoin_protocol::{Cursor, DocumentId};

use super::body::{Held, Received};
use crate::{
    AppState,
    clock::now,
    rate_limit::Work,
    rules::{ApiError, Changes, Code, Principal, Push, Receipt, Room},
};

/// Bodies larger than this are read on a thread where working long is allowed.
const LARGE: usize = 32 * 1024;

/// Checks and commits a push. The body is gone then; its share of memory is given back by who has told of it.
pub(super) async fn store(
    state: &AppState,
    received: Received,
    (document, after, by): (DocumentId, Option<Cursor>, &Principal),
) -> Result<(Receipt, Held), ApiError> {
    let Received { bytes, held } = received;
    let (shared, limits) = (&state.shared, state.shared.config.limits);
    let changes = if bytes.len() > LARGE {
        let read = tokio::task::spawn_blocking(move || Changes::read(bytes, &limits));
        read.await.map_err(|_| ApiError::new(Code::Internal))??
    } else {
        Changes::read(bytes, &limits)?
    };
    let _turn = if changes.are_many() { Some(shared.large_pushes.take(by.asker()).await?) } else { None };
    let push = Push { document, after, changes, by: by.clone(), room: Room::of(&limits) };
    let receipt = shared.committer.push(push, now()).await?;
    state.charge(by.asker(), Work::Changes(receipt.changes()));
    state.charge(by.asker(), Work::Steps(receipt.steps));
    if receipt.accepted > 0 {
        shared.notes.pushed(document);
        shared.pushes.note(document);
    }
    Ok((receipt, held))
}
