//! A server that takes the credentials and refuses what is asked with them.

use super::{
    next::may_not_begin,
    settle::{ANSWERED, Turn},
    types::{Outcome, Progress, Sent},
};
use crate::Result;

impl Turn<'_> {
    pub(super) fn forbidden(&mut self, sent: &Sent, detail: String) -> Result<Progress> {
        // "pushes what is missing, if it may write": a reader heals without offering.
        if let (Sent::Push { healing: true, .. }, Some(healing)) = (sent, self.session.healing.as_mut()) {
            healing.only_read();
            return Ok(ANSWERED);
        }
        // The server has the tombstone already, and whether it lost it is for those to mend who may delete. Of a document
        // that was never at a server there is nothing to delete.
        let ended = matches!(sent, Sent::Delete)
            && (self.core.facts_at(self.session.document, &self.session.server)?.tombstone_known
                || self.core.end_deletion_of_unsent(self.session.document)?);
        if ended {
            tracing::debug!(document = %self.session.document, %detail, "the deletion is not told again");
            self.session.learn().tombstone_told = true;
            return Ok(ANSWERED);
        }
        if matches!(sent, Sent::Push { .. }) {
            return self.only_read(detail);
        }
        let deleting = matches!(sent, Sent::Delete).then_some("to delete it for everyone");
        let detail =
            deleting.map_or(detail.clone(), |what| format!("{} {what}: {detail}", self.session.document));
        // What was refused first says more: the edit is what the person made.
        let first = self.session.learn().only_read.clone();
        let tried = first.is_none();
        let refused = first.unwrap_or(detail);
        if deleting.is_some() || !self.session.queued {
            return Ok(self.stop(Outcome::Forbidden(refused)));
        }
        // What waits is refused as well: who may not read may not push.
        let why = if self.core.document(self.session.document)?.was_anywhere() {
            refused
        } else {
            may_not_begin("nothing shows that the document has begun there", &refused)
        };
        self.core.note_not_allowed(self.session.document, &why, tried)?;
        Ok(self.stop(Outcome::Forbidden(why)))
    }

    /// This token may not write here. The refusal is noted in each row that waits, and what others did is read all the
    /// same: the run ends with it.
    fn only_read(&mut self, detail: String) -> Result<Progress> {
        self.core.note_not_allowed(self.session.document, &detail, true)?;
        self.session.learn().only_read = Some(detail);
        Ok(ANSWERED)
    }
}
