//! An action with its effects.

use automerge::ChangeHash;
use serde_json::Value;

use super::{
    super::{Core, Receipt, core::Writing, dispatch::Asked, rows as documents},
    rows,
};
use crate::{
    Action, DocumentId, Error, Result,
    job::{EffectId, EffectRequest, Job, JobState},
    slice::{Command, Scope},
};

impl Core {
    /// Does an action and records the effects it asks for, in one transaction: "An action and its effects are both
    /// there or both not."
    ///
    /// # Errors
    /// As [`Core::dispatch`], and [`Error::InvalidEffect`]: then nothing was done.
    pub fn dispatch_with(
        &mut self,
        id: DocumentId,
        action: &Action,
        effects: &[EffectRequest],
    ) -> Result<Receipt> {
        self.dispatch_command_with(id, &Command::Json(action.clone()), effects)
    }

    pub(crate) fn dispatch_command_with(
        &mut self,
        id: DocumentId,
        action: &Command,
        effects: &[EffectRequest],
    ) -> Result<Receipt> {
        let json = action.to_json()?;
        if action.scope() != Scope::Synced && !effects.is_empty() {
            let why = format!("the action {:?} is of a slice that is not synced", action.kind());
            return Err(Error::InvalidEffect(why));
        }
        self.write(&[id], |w| {
            if let Err(error) = w.check_effects(effects)? {
                return Ok(Err(error));
            }
            let done = w.dispatch_one(id, action, Asked::default())?;
            if let Ok(receipt) = &done {
                w.enqueue_effects((id, receipt.hash), (action.kind(), &json), effects)?;
            }
            w.settle_document(id)?;
            Ok(done)
        })?
    }
}

impl Writing<'_> {
    /// What can be said against effects before their action is done. The inner result is theirs.
    pub(in super::super) fn check_effects(&self, effects: &[EffectRequest]) -> Result<Result<()>> {
        for (nth, effect) in effects.iter().enumerate() {
            if let Err(error) = effect.check() {
                return Ok(Err(error));
            }
            let earlier = effects.get(..nth).unwrap_or_default();
            let taken = earlier.iter().any(|e| e.id == effect.id);
            if taken || rows::read_state_of(self.tx, effect.id)?.is_some() {
                return Ok(Err(Error::InvalidEffect(format!("its id {} was used before", effect.id))));
            }
            for after in &effect.after {
                let known = earlier.iter().any(|e| e.id == *after);
                if !known && rows::read_state_of(self.tx, *after)?.is_none() {
                    let why = format!("it comes after the effect {after}, which is not here");
                    return Ok(Err(Error::InvalidEffect(why)));
                }
            }
        }
        Ok(Ok(()))
    }

    /// Records what an action asks for, in the transaction of the action: "An action and its effects are both
    /// there or both not." They were checked before the action was done.
    pub(in super::super) fn enqueue_effects(
        &mut self,
        (document, change): (DocumentId, ChangeHash),
        action: (&str, &Value),
        effects: &[EffectRequest],
    ) -> Result<()> {
        for request in effects {
            let mut job = request.job((document, change), action, self.now);
            let replaced = self.find_replaced(&job)?;
            if let Some(replaced) = &replaced {
                // It waits as long as the one whose place it takes.
                (job.failures, job.next_attempt_at) = (replaced.failures, replaced.next_attempt_at);
            }
            rows::insert(self.tx, &job, None)?;
            if let Some(mut replaced) = replaced {
                replaced.state = JobState::Dropped;
                replaced.replaced_by = Some(job.id.uuid);
                replaced.settled_at = Some(self.now);
                replaced.next_attempt_at = None;
                self.write_job(&replaced)?;
            }
        }
        self.asked += effects.len() as u64;
        Ok(())
    }

    /// The effect whose place this one takes. Only the last of its lane: what stands in between is a barrier, for
    /// it was asked for on what the earlier one does; and so is one that comes after the earlier one.
    fn find_replaced(&self, job: &Job) -> Result<Option<Job>> {
        let Some(asked_by) = job.asked_by.as_ref().filter(|_| job.key.is_some()) else { return Ok(None) };
        let Some(last) = rows::read_last_open(self.tx, &asked_by.lane)? else { return Ok(None) };
        let same = last.key == job.key && last.name == job.name;
        let free = last.document == job.document && last.state != JobState::Running;
        let id = EffectId(last.id.uuid);
        let waited_for = asked_by.after.contains(&id) || !rows::read_dependants(self.tx, id)?.is_empty();
        Ok((same && free && !waited_for).then_some(last))
    }

    /// The document's row, and those of companions, say what was dispatched to them in this transaction.
    pub(in super::super) fn settle_document(&mut self, id: DocumentId) -> Result<()> {
        for id in std::iter::once(&id).chain(&self.companions) {
            if let Some(replica) = self.replicas.peek(*id) {
                replica.settle_heads();
                documents::write_document(self.tx, &replica.row)?;
            }
        }
        Ok(())
    }
}
