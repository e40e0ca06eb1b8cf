//! Packs on the wire: between rejoin's own, and plain changes to everybody else.

use rejoin_protocol::{
    pack::{Effort, PackError, PackLimits, claim, pack, unpack},
    wire::{CHANGES, PACK, Response},
};

use super::body::{Received, grow};
use crate::{
    ServerLimits,
    rules::{ApiError, Code},
};

/// Changes up to this size travel plain, in bytes.
const SMALL: usize = 1_024;
/// The streams of a pack may come to a little more than its changes.
const ROOM: usize = 64 * 1024;

/// The plain changes of a body that is a pack, within the limits of a push: they are asked before memory is given.
pub(super) async fn unpacked(received: Received, limits: ServerLimits) -> Result<Received, ApiError> {
    let work = tokio::task::spawn_blocking(move || {
        let Received { bytes, mut held } = received;
        let claimed = claim(&bytes).map_err(|error| fault(&error))?;
        let plain = usize::try_from(claimed.bytes).unwrap_or(usize::MAX);
        if plain > limits.inflated_body_bytes {
            return Err(too_large("bytes", limits.inflated_body_bytes));
        }
        grow(&mut held, plain)?;
        let limits = PackLimits { changes: limits.push_changes, bytes: plain.saturating_add(ROOM) };
        let bytes = unpack(&bytes, &limits).map_err(|error| fault(&error))?.into_bytes();
        Ok(Received { bytes, held })
    });
    work.await.map_err(|_| ApiError::new(Code::Internal))?
}

fn fault(error: &PackError) -> ApiError {
    match error {
        PackError::TooLarge { what, limit } => too_large(what, *limit),
        error => ApiError::because(Code::Malformed, format!("The body is no pack: {error}.")),
    }
}

fn too_large(what: &str, limit: usize) -> ApiError {
    ApiError::because(Code::TooLarge, format!("A pack may have at most {limit} {what}."))
}

/// The reply with its changes as a pack, where the client takes one and it is worth it. Slow for many.
pub(super) fn packed(response: Response, wanted: bool) -> Response {
    if !wanted || response.media_type != CHANGES || response.body.len() <= SMALL {
        return response;
    }
    match pack(&response.body, Effort::Quick) {
        Ok(body) => Response { media_type: PACK.to_owned(), body, ..response },
        Err(error) => {
            tracing::warn!(%error, "changes of a log travel plain");
            response
        }
    }
}
