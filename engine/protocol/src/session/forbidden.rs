//! A server that takes the credentials and refuses what is asked with them.

use rand::Rng;

use super::{
    next::may_not_begin,
    plans::{After, Note, Write},
    settle::{ANSWERED, Go, Turn},
    types::{Outcome, Progress, Sent},
};

impl<R: Rng> Turn<'_, R> {
    pub(super) fn forbidden(&mut self, sent: &Sent, detail: String) -> Go {
        match sent {
            // "pushes what is missing, if it may write": a reader heals without offering.
            Sent::Push { healing: true, .. } if self.session.healing.is_some() => {
                if let Some(healing) = self.session.healing.as_mut() {
                    healing.only_read();
                }
                Go::Over(ANSWERED)
            }
            Sent::Push { .. } => Go::Over(self.only_read(detail)),
            // The server has the tombstone already, and whether it lost it is for those to mend who may delete.
            Sent::Delete if self.session.facts.tombstone_known => Go::Over(self.not_told_again(&detail)),
            // Of a document that was never at a server there is nothing to delete.
            Sent::Delete => Go::write(Write::EndDeletionOfUnsent, After::Deleting(detail)),
            _ => Go::Over(self.may_not(detail)),
        }
    }

    pub(super) fn not_told_again(&mut self, detail: &str) -> Progress {
        tracing::debug!(document = %self.session.document, %detail, "the deletion is not told again");
        self.session.learn().tombstone_told = true;
        ANSWERED
    }

    pub(super) fn may_not_delete(&mut self, detail: &str) -> Progress {
        let detail = format!("{} to delete it for everyone: {detail}", self.session.document);
        // What was refused first says more: the edit is what the person made.
        let refused = self.session.learn().only_read.clone().unwrap_or(detail);
        self.stop(Outcome::Forbidden(refused))
    }

    /// This token may not even read here.
    fn may_not(&mut self, detail: String) -> Progress {
        let first = self.session.learn().only_read.clone();
        let tried = first.is_none();
        let refused = first.unwrap_or(detail);
        if !self.session.queued {
            return self.stop(Outcome::Forbidden(refused));
        }
        // What waits is refused as well: who may not read may not push.
        let why = if self.session.facts.begun {
            refused
        } else {
            may_not_begin("nothing shows that the document has begun there", &refused)
        };
        self.notes.push(Note::NotAllowed { why: why.clone(), tried });
        self.stop(Outcome::Forbidden(why))
    }

    /// This token may not write here. The refusal is noted in each row that waits, and what others did is read all the
    /// same: the run ends with it.
    fn only_read(&mut self, detail: String) -> Progress {
        self.notes.push(Note::NotAllowed { why: detail.clone(), tried: true });
        self.session.learn().only_read = Some(detail);
        ANSWERED
    }
}
