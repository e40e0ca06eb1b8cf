//! A revision of what was shown, as one new change.

use automerge::{Automerge, ChangeHash, PatchLog, transaction::CommitOptions};
use serde_json::json;

use super::{
    Core,
    core::Writing,
    dispatch::Failed,
    make::{Made, commit_options, library},
    read::check_heads,
    record::Told,
    steps::Attempt,
    undo::read_all_standing,
};
use crate::{
    DocumentId, Error, Message, Result,
    revision::{self, Revised, Revision, RevisionPlan},
    untrusted::guarded,
};

/// The type of the action.
const EDIT: &str = "edit";

impl Core {
    /// Writes what a revision made of the value at a JSON Pointer as it was at these heads, when it was shown: what
    /// differs, where that belongs now.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that led nowhere then, and for what cannot be written; [`Error::UnknownChange`]
    /// for a head that is not held; else as [`Core::dispatch`](super::Core::dispatch).
    pub fn revise(
        &mut self,
        id: DocumentId,
        (pointer, heads): (&str, &[ChangeHash]),
        revision: &Revision,
    ) -> Result<Revised> {
        self.undoing(id, |w| match w.try_revise(id, (pointer, heads), revision) {
            Ok(revised) => Ok(Ok(revised)),
            Err(Failed::Action(error)) => Ok(Err(error)),
            Err(Failed::Transaction(error)) => Err(error),
        })
    }
}

impl Writing<'_> {
    fn try_revise(
        &mut self,
        id: DocumentId,
        at: (&str, &[ChangeHash]),
        revision: &Revision,
    ) -> Result<Revised, Failed> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if replica.row.tombstone.is_some() {
            return Err(Error::Deleted(id).into());
        }
        check_heads(replica, at.1)?;
        let done = self.in_steps(id, |w| w.revise_once(id, at, revision))?;
        done.map_err(|refused| Error::Refused(refused.1).into())
    }

    fn revise_once(
        &mut self,
        id: DocumentId,
        at: (&str, &[ChangeHash]),
        revision: &Revision,
    ) -> Attempt<Revised> {
        let message = self.first_bears_nonce(id, Message::of_action(EDIT).by(self.author))?;
        let options = commit_options(&message, self.now);
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let standing = read_all_standing(self.tx, replica)?;
        let listening = self.listening;
        let made = guarded(|| {
            let plan = revision::plan(&replica.am, at, revision, &standing)?;
            let made = commit(&mut replica.am, &plan, options, listening)?;
            Ok::<_, Error>((plan, made))
        });
        let (plan, made) = match made.map_err(Error::Library).and_then(|made| made) {
            Ok((plan, Some(made))) => (plan, made),
            Ok((plan, None)) => {
                return Ok(Ok(Revised { hash: None, left: plan.left, over: plan.over }));
            }
            Err(error) => {
                if matches!(error, Error::Library(_)) {
                    self.reopen(id)?;
                }
                return Err(error.into());
            }
        };
        let json = json!({"type": EDIT, "path": at.0});
        let text = json.to_string();
        let told =
            Told { shown_as: id, message: &message, json: &json, text: &text, step: None, extras: &[] };
        let stored = self.store_made(id, made, &told)?;
        let (left, over) = (plan.left, plan.over);
        Ok(stored.map(|checked| Revised { hash: Some(checked.hash), left: left.clone(), over: over.clone() }))
    }
}

/// Does the plan in memory, and makes its change; none where nothing is to be written.
fn commit(
    am: &mut Automerge,
    plan: &RevisionPlan,
    options: CommitOptions,
    listening: bool,
) -> Result<Option<Made>> {
    if plan.is_empty() {
        return Ok(None);
    }
    let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let mut tx = am.transaction_log_patches(log).map_err(library)?;
    if let Err(error) = revision::apply(&mut tx, plan) {
        tx.rollback();
        return Err(library(error));
    }
    let (hash, mut log) = tx.commit_with(options);
    if hash.is_none() {
        return Ok(None);
    }
    let patches = if listening { am.make_patches(&mut log) } else { Vec::new() };
    let change = am.get_last_local_change().ok_or_else(|| library("a commit left no change"))?;
    Ok(Some(Made { containers: Vec::new(), change, patches }))
}
