//! Which snapshot is given out, and when a new one is made.

use std::time::Duration;

use rejoin_protocol::{
    DocumentId,
    wire::{CHANGES, Response},
};

use super::{Fault, pull::readable};
use crate::{
    log::{Found, View},
    merge,
};

/// Whether a better one is to be made first: none is there, or the log has outgrown it.
pub(crate) fn is_due(view: &impl View, id: &DocumentId) -> Result<bool, Fault> {
    let document = readable(view, id)?;
    Ok(merge::wanted(document.end.position, view.known(document.key)?.snapshot))
}

/// The stored snapshot, unless a better one is to be made first.
pub(super) fn stored(view: &impl View, id: &DocumentId) -> Result<Option<Response>, Fault> {
    if is_due(view, id)? { Ok(None) } else { any(view, id) }
}

/// The stored snapshot, however old.
pub(crate) fn any(view: &impl View, id: &DocumentId) -> Result<Option<Response>, Fault> {
    let document = readable(view, id)?;
    let Some((position, bytes)) = view.snapshot(document.key)? else { return Ok(None) };
    if position == 0 {
        return Err(merge::no_snapshot("Its first change cannot be held in one."));
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

/// Makes one on this thread.
pub(super) fn make(view: &impl View, id: &DocumentId, longest: Duration) -> Result<Found, Fault> {
    merge::examine_here(view, &readable(view, id)?, longest)
}
