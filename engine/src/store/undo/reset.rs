//! A document as it was, by a new change.

use automerge::ChangeHash;
use serde_json::json;

use super::{commit, facts::read_all_standing};
use crate::{
    DocumentId, Error, Message, Result, state,
    store::{
        Core, Receipt,
        core::Writing,
        dispatch::Failed,
        make::{library, seconds},
        read::check_heads,
        record::Told,
        rows,
        steps::Attempt,
    },
    undo,
    untrusted::guarded,
};

/// The type of the action.
const RESET: &str = "reset";

impl Core {
    /// Makes the document read as it did at these heads, by a new change: an action of this replica, which can be undone.
    /// `None`: it reads so already.
    ///
    /// # Errors
    /// [`Error::UnknownChange`] for a head that is not held; else as [`Core::undo`].
    pub fn reset(&mut self, id: DocumentId, heads: &[ChangeHash]) -> Result<Option<Receipt>> {
        self.undoing(id, |w| match w.try_reset(id, heads) {
            Ok(receipt) => Ok(Ok(receipt)),
            Err(Failed::Action(error)) => Ok(Err(error)),
            Err(Failed::Transaction(error)) => Err(error),
        })
    }
}

impl Writing<'_> {
    fn try_reset(&mut self, id: DocumentId, heads: &[ChangeHash]) -> Result<Option<Receipt>, Failed> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if replica.row.tombstone.is_some() {
            return Err(Error::Deleted(id).into());
        }
        check_heads(replica, heads)?;
        let done = self.in_steps(id, |w| w.reset_once(id, heads))?;
        done.map_err(|refused| Error::Refused(refused.1).into())
    }

    fn reset_once(&mut self, id: DocumentId, heads: &[ChangeHash]) -> Attempt<Option<Receipt>> {
        let mut message = self.first_bears_nonce(id, Message::of_action(RESET).by(self.author))?;
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let standing = read_all_standing(self.tx, replica)?;
        // It names what it goes back to: so what it puts back is found in its message.
        let first = heads.iter().min().copied();
        let named = first.map(|head| rows::read_was(self.tx, replica.row.id, &head)).transpose()?.flatten();
        message.undoes = named.or(first).map(|hash| hash.to_string());
        let (time, listening) = (seconds(self.now), self.listening);
        let made = guarded(|| {
            // Other objects may read the same.
            if state::to_json(&replica.am, "", Some(heads))? == state::to_json(&replica.am, "", None)? {
                return Ok(None);
            }
            let plan = undo::plan_reset(&replica.am, heads, &standing).map_err(library)?;
            if plan.inverses.is_empty() {
                return Ok(None);
            }
            commit(&mut replica.am, &plan, &mut message, (time, listening)).map(Some)
        });
        let made = match made.map_err(Error::Library).and_then(|made| made) {
            Ok(Some(made)) => made,
            Ok(None) => return Ok(Ok(None)),
            Err(error) => {
                self.reopen(id)?;
                return Err(error.into());
            }
        };
        let to: Vec<String> = heads.iter().map(ToString::to_string).collect();
        let json = json!({"type": RESET, "to": to});
        let text = json.to_string();
        let told =
            Told { shown_as: id, message: &message, json: &json, text: &text, step: None, extras: &[] };
        let stored = self.store_made(id, made, &told)?;
        Ok(stored.map(|checked| Some(Receipt { hash: checked.hash, id: None })))
    }
}
