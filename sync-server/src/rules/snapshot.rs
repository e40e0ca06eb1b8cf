use std::time::Instant;

use rejoin::{
    DocumentId,
    wire::{CHANGES, Response},
};

use super::{Fault, pull::readable};
use crate::{
    LogError,
    log::{Attempt, View},
    merge::{self, Made},
};

/// The stored snapshot, unless a better one is to be made first: none is there, or the log has outgrown it.
pub(crate) fn stored(view: View<'_>, id: &DocumentId) -> Result<Option<Response>, Fault> {
    let document = readable(view, id)?;
    if merge::wanted(document.end.position, view.stored_snapshot(document.key)?) {
        return Ok(None);
    }
    any(view, id)
}

/// The stored snapshot, however old.
pub(crate) fn any(view: View<'_>, id: &DocumentId) -> Result<Option<Response>, Fault> {
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
pub(super) fn make(view: View<'_>, id: &DocumentId, deadline: Instant) -> Result<Made, Fault> {
    merge::make(view, &readable(view, id)?, deadline)
}

/// Stores one that was made.
pub(crate) fn store(view: View<'_>, made: &Made, now: i64) -> Result<Attempt<()>, LogError> {
    view.store_snapshot(made.document, made.snapshot, &made.bytes, now)?;
    Ok(Attempt::Keep(()))
}
