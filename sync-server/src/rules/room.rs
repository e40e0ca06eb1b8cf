//! What a document may become: how large its log, and how many heads and actors it has.

use rejoin::{
    container::is_container_actor,
    fence::{CheckedChange, Refusal, RefusalCode},
};

use crate::{LogError, ServerLimits, log::Appender};

/// Containers are made under actors of their own, at most so many: whoever writes must be able to make them.
const FOR_CONTAINERS: u64 = 1_000;

/// The most of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Room {
    /// Plain bytes of the log.
    pub(crate) bytes: u64,
    pub(crate) heads: u64,
    pub(crate) actors: u64,
}

impl Room {
    pub(crate) fn of(limits: &ServerLimits) -> Self {
        Self { bytes: limits.document_bytes, heads: limits.document_heads, actors: limits.document_actors }
    }

    /// Why a change that the fence placed finds no room. `strict`: heads are counted after each change, and not at the
    /// push's end, because there they were too many.
    ///
    /// A head more than there may be is refused only to an actor of whom the log holds nothing. Each actor has one head
    /// at most, for its changes follow each other, so heads stay bounded; and nobody who wrote here before can be kept
    /// from writing by those who come after.
    pub(super) fn refuses(
        self,
        appender: &mut Appender<'_>,
        change: &CheckedChange,
        (deps, strict): (&[u64], bool),
    ) -> Result<Option<Refusal>, LogError> {
        if appender.bytes().saturating_add(change.bytes.len() as u64) > self.bytes {
            let detail = format!(
                "the log of the document would have more than {} bytes (limit document_bytes)",
                self.bytes
            );
            return Ok(Some(refusal(change, RefusalCode::TooLarge, detail)));
        }
        if appender.knows(&change.actor)? {
            return Ok(None);
        }
        let spare = if is_container_actor(&change.actor) { FOR_CONTAINERS } else { 0 };
        if appender.actors()? >= self.actors.saturating_add(spare) {
            let detail = format!(
                "it is the first of its actor, and the document has {} actors (limit document_actors)",
                self.actors
            );
            return Ok(Some(refusal(change, RefusalCode::TooManyActors, detail)));
        }
        if strict && appender.heads_with(deps)? > self.heads.saturating_add(spare) {
            let detail = format!(
                "the document would have more than {} heads (limit document_heads); a push that merges them is taken",
                self.heads
            );
            return Ok(Some(refusal(change, RefusalCode::TooManyHeads, detail)));
        }
        Ok(None)
    }
}

fn refusal(change: &CheckedChange, code: RefusalCode, detail: String) -> Refusal {
    Refusal { hash: Some(change.hash), code, detail, missing: Vec::new() }
}
