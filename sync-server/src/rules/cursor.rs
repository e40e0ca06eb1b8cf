//! Where a cursor stands in a log.

use rejoin_protocol::Cursor;

use super::{ApiError, Code};
use crate::log::{Claim, Document, LogError, Mark, View};

/// The place in this document's log that `after` names. A cursor proves itself by its digest, also against a
/// restored log that has grown past it; a bare number only has to be within the log.
pub(super) fn prove(
    view: &impl View,
    document: Option<&Document>,
    after: Option<&Cursor>,
) -> Result<Result<Mark, ApiError>, LogError> {
    let claim = after.map_or(Claim::Beginning, |cursor| Claim::read(cursor.as_str()));
    let proven = match document {
        Some(document) => claim.prove(document.end, |at| view.digest_at(document.key, at))?,
        None => claim.prove(Mark::default(), |_| Ok::<_, LogError>(None))?,
    };
    Ok(proven.ok_or_else(|| {
        ApiError::because(
            Code::CursorUnknown,
            "This log does not have that place: ask `missing`, then offer what is lacking here.",
        )
    }))
}
