//! Which snapshot is given out, and when a new one is made.

use rejoin_protocol::{
    DocumentId,
    wire::{CHANGES, Response},
};

use super::{ApiError, Code, pull::readable};
use crate::log::{StoredSnapshot, View};

/// A snapshot is made again when so many changes came since, and at least an eighth of what it covers: all
/// making together then costs a small multiple of the last one.
pub(crate) const GROWN_BY: u64 = 1_000;
const GROWN_PART: u64 = 8;

/// Whether a new snapshot is to be made of a log that ends at `end`.
pub(crate) fn wanted(end: u64, stored: Option<StoredSnapshot>) -> bool {
    let Some(stored) = stored else { return true };
    let reach = stored.stop.map_or(end, |stop| stop.saturating_sub(1).min(end));
    let grown = reach.saturating_sub(stored.position);
    grown >= GROWN_BY && grown.saturating_mul(GROWN_PART) >= stored.position
}

/// Whether a better one is to be made first: none is there, or the log has outgrown it.
pub(crate) fn is_due(view: &impl View, id: &DocumentId) -> Result<bool, ApiError> {
    let document = readable(view, id)?;
    Ok(wanted(document.end.position, view.known(document.key)?.snapshot))
}

/// The stored snapshot, unless a better one is to be made first.
pub(crate) fn stored(view: &impl View, id: &DocumentId) -> Result<Option<Response>, ApiError> {
    if is_due(view, id)? { Ok(None) } else { any(view, id) }
}

/// The stored snapshot, however old.
pub(crate) fn any(view: &impl View, id: &DocumentId) -> Result<Option<Response>, ApiError> {
    let document = readable(view, id)?;
    let Some((position, bytes)) = view.snapshot(document.key)? else { return Ok(None) };
    if position == 0 {
        return Err(none("Its first change cannot be held in one."));
    }
    Ok(Some(Response {
        status: 200,
        media_type: CHANGES.to_owned(),
        cursor: view.mark_at(document.key, document.end, position)?.to_cursor(),
        end: document.end.to_cursor(),
        more: position < document.end.position,
        body: bytes,
        ..Response::default()
    }))
}

/// There is none and there will be none: the client reads the changes.
pub(crate) fn none(why: &str) -> ApiError {
    ApiError::because(
        Code::NotFound,
        format!("There is no snapshot of this document: read its changes. {why}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_made_again_when_the_log_has_grown_enough() {
        let stored = |position, stop| Some(StoredSnapshot { position, stop });
        assert!(wanted(1, None));
        assert!(!wanted(1_500, stored(1_000, None)));
        assert!(wanted(2_000, stored(1_000, None)));
        assert!(!wanted(101_000, stored(100_000, None)));
        assert!(wanted(112_500, stored(100_000, None)));
        assert!(!wanted(1_000_000, stored(10, Some(11))), "it cannot hold more");
    }
}
