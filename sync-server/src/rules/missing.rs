use rejoin::{
    ChangeHash, DocumentId,
    wire::{JSON, MissingReply, Response},
};

use super::{Code, Fault, fault::to_json};
use crate::{ServerLimits, log::View};

/// Which of `hashes` the log lacks. A log that never began lacks all of them: that is how a client offers a
/// document to a server that lost it.
pub(crate) fn missing(
    view: View<'_>,
    limits: &ServerLimits,
    id: &DocumentId,
    hashes: &[ChangeHash],
) -> Result<Response, Fault> {
    if hashes.len() > limits.missing_hashes {
        let detail = format!("{} hashes asked; at most {} are.", hashes.len(), limits.missing_hashes);
        return Err(Fault::because(Code::TooLarge, detail));
    }
    let Some(document) = view.document(id)? else {
        return Ok(reply(hashes.to_vec(), &[], Response::default()));
    };
    if document.deleted {
        return Err(Fault::new(Code::Deleted));
    }
    let mut lacking = Vec::new();
    for hash in hashes {
        if view.locate(document.key, document.end.position, hash)?.is_none() {
            lacking.push(*hash);
        }
    }
    let cursor = document.end.to_cursor();
    let head = Response { end: cursor.clone(), cursor, ..Response::default() };
    Ok(reply(lacking, &view.heads(document.key)?, head))
}

fn reply(lacking: Vec<ChangeHash>, heads: &[ChangeHash], head: Response) -> Response {
    let hex = |hashes: &[ChangeHash]| hashes.iter().map(ToString::to_string).collect();
    let body = to_json(&MissingReply { hashes: hex(&lacking), heads: hex(heads) });
    Response { status: 200, media_type: JSON.to_owned(), body, ..head }
}
