//! What a pull is answered.

use rejoin_protocol::{
    Cursor, DocumentId,
    wire::{CHANGES, HEADS_TOLD, Response},
};

use super::{ApiError, Code, cursor::prove};
use crate::{
    ServerLimits,
    log::{Document, Mark, Page, PageLimit, View},
};

/// A page of a log, in its order.
pub(crate) fn pull(
    view: &impl View,
    limits: &ServerLimits,
    id: &DocumentId,
    (after, limit): (Option<&Cursor>, Option<u32>),
) -> Result<Response, ApiError> {
    let document = readable(view, id)?;
    let after = prove(view, Some(&document), after)??;
    let span = (after.position, document.end.position);
    let page = view.page(document.key, span, &[], page_limit(limits, limit))?;
    changes_reply(view, document.key, document.end, page)
}

/// The document, if there is one to read.
pub(crate) fn readable(view: &impl View, id: &DocumentId) -> Result<Document, ApiError> {
    let document = view.document(id)?.ok_or_else(ApiError::no_document)?;
    if document.deleted {
        return Err(ApiError::new(Code::Deleted));
    }
    Ok(document)
}

pub(super) fn page_limit(limits: &ServerLimits, asked: Option<u32>) -> PageLimit {
    let asked = asked.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    PageLimit { changes: asked.min(limits.page_changes), bytes: limits.page_bytes }
}

/// Invariant 4: "A phantom is allowed, a hole never": the cursor is where the page and what the client has
/// end, not where the log does.
pub(super) fn changes_reply(
    view: &impl View,
    document: i64,
    end: Mark,
    page: Page,
) -> Result<Response, ApiError> {
    let cursor = view.mark_at(document, end, page.covered)?;
    let heads = if cursor.position == end.position { view.heads(document)? } else { Vec::new() };
    Ok(Response {
        status: 200,
        media_type: CHANGES.to_owned(),
        cursor: cursor.to_cursor(),
        end: end.to_cursor(),
        more: cursor.position < end.position,
        heads: if heads.len() <= HEADS_TOLD { heads } else { Vec::new() },
        body: page.bytes,
        ..Response::default()
    })
}
