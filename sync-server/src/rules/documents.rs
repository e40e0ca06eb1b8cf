//! The list of documents that somebody may read.

use rejoin_protocol::{
    DocumentId,
    wire::{DocumentEntry, DocumentsReply, JSON, Response},
};

use super::{
    ApiError, Code, Principal, Verb,
    access::{listed, permit},
    api_error::to_json,
};
use crate::{
    LogError, ServerLimits,
    log::{Attempt, Claim, Edit, Mark, View, Which},
};

/// About what an entry takes in a page without its heads, and what a head takes.
const ENTRY_BYTES: usize = 192;
const HEAD_BYTES: usize = 67;

/// The documents that this principal may read, and that changed since a token, which proves itself as a cursor does.
pub(crate) fn list(
    view: &impl View,
    limits: &ServerLimits,
    since: Option<&str>,
    (by, now): (&Principal, i64),
) -> Result<DocumentsReply, ApiError> {
    let claim = since.map_or(Claim::Beginning, Claim::read);
    let since = claim
        .prove(view.feed_end()?, |entry| view.feed_digest_at(entry))?
        .ok_or_else(|| ApiError::because(Code::CursorUnknown, "This token is not one of this server."))?;
    let listed = listed(view, by, now)?;
    let mut next = since;
    let (mut documents, mut bytes) = (Vec::new(), 0_usize);
    let changed = Which::Changed(since.position, listed);
    for document in view.documents(&changed, limits.list_documents)? {
        let entry = document.entry;
        let digest = view
            .feed_digest_at(entry)?
            .ok_or_else(|| LogError::Damaged(format!("entry {entry} of the feed is missing")))?;
        let heads = view.heads(document.key)?;
        bytes = bytes.saturating_add(ENTRY_BYTES).saturating_add(heads.len().saturating_mul(HEAD_BYTES));
        if bytes > limits.page_bytes && !documents.is_empty() {
            // The rest is in the next page.
            break;
        }
        next = Mark { position: entry, digest };
        documents.push(DocumentEntry {
            id: document.uuid.to_string(),
            cursor: document.end.to_text(),
            heads: heads.iter().map(ToString::to_string).collect(),
            deleted: document.deleted,
        });
    }
    Ok(DocumentsReply { documents, next: next.to_text() })
}

/// A tombstone, also on a document that was never here, by whoever is admin of it or of all: a server restored to before
/// its first push must not take it again.
pub(crate) fn delete(
    edit: &impl Edit,
    id: &DocumentId,
    (by, now): (&Principal, i64),
) -> Result<Attempt<Result<(), ApiError>>, LogError> {
    let permission = match permit(edit, by, Verb::Delete, (id, now))? {
        Ok(permission) => permission,
        Err(fault) => return Ok(Attempt::Undo(Err(fault))),
    };
    permission.note(edit, id)?;
    Ok(if edit.delete(id, now)? { Attempt::Keep(Ok(())) } else { Attempt::Undo(Ok(())) })
}

/// What a deletion is answered with, the first one and any other.
pub(crate) fn deleted() -> Response {
    Response { status: 204, ..Response::default() }
}

/// The list as a response.
pub(crate) fn list_reply(reply: &DocumentsReply) -> Response {
    Response { status: 200, media_type: JSON.to_owned(), body: to_json(reply), ..Response::default() }
}
