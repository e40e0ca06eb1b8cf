//! Which of the changes that are asked for the log lacks.

use rejoin_protocol::{
    ChangeHash, DocumentId,
    wire::{JSON, MissingReply, Response},
};

use super::{ApiError, Code, api_error::to_json};
use crate::{
    LogError, ServerLimits,
    log::{Document, View},
};

/// A log as it was when a question was put to it. It only grows: what is found in it later was not missing, and what
/// its end stands for stays true.
#[derive(Debug)]
pub(crate) struct Questioned {
    /// `None`: nothing was ever pushed.
    document: Option<Document>,
    heads: Vec<ChangeHash>,
}

/// Puts a question to a log.
pub(crate) fn question(view: &impl View, id: &DocumentId) -> Result<Questioned, ApiError> {
    let document = view.document(id)?;
    if document.as_ref().is_some_and(|document| document.deleted) {
        return Err(ApiError::new(Code::Deleted));
    }
    let heads = match &document {
        Some(document) => view.heads(document.key)?,
        None => Vec::new(),
    };
    Ok(Questioned { document, heads })
}

impl Questioned {
    /// Which of these the log lacks. One that never began lacks all of them: that is how a client offers a document to
    /// a server that lost it.
    pub(crate) fn lacking(
        &self,
        view: &impl View,
        hashes: &[ChangeHash],
    ) -> Result<Vec<ChangeHash>, LogError> {
        let Some(document) = &self.document else { return Ok(hashes.to_vec()) };
        let mut lacking = Vec::new();
        for hash in hashes {
            if view.locate(document.key, document.end.position, hash)?.is_none() {
                lacking.push(*hash);
            }
        }
        Ok(lacking)
    }

    /// About how large the reply is if all of so many are lacking.
    pub(crate) fn reply_bytes(&self, hashes: usize) -> usize {
        // 64 digits, two quotes, a comma.
        (hashes + self.heads.len()).saturating_mul(67).saturating_add(64)
    }

    pub(crate) fn reply(&self, lacking: &[ChangeHash]) -> Response {
        let hex = |hashes: &[ChangeHash]| hashes.iter().map(ToString::to_string).collect();
        let body = to_json(&MissingReply { hashes: hex(lacking), heads: hex(&self.heads) });
        let cursor = self.document.as_ref().and_then(|document| document.end.to_cursor());
        let end = cursor.clone();
        Response { status: 200, media_type: JSON.to_owned(), cursor, end, body, ..Response::default() }
    }
}

/// Which of `hashes` the log lacks, in one look.
pub(crate) fn missing(
    view: &impl View,
    limits: &ServerLimits,
    id: &DocumentId,
    hashes: &[ChangeHash],
) -> Result<Response, ApiError> {
    if hashes.len() > limits.missing_hashes {
        let detail = format!("{} hashes asked; at most {} are.", hashes.len(), limits.missing_hashes);
        return Err(ApiError::because(Code::TooLarge, detail));
    }
    let questioned = question(view, id)?;
    let lacking = questioned.lacking(view, hashes)?;
    Ok(questioned.reply(&lacking))
}
