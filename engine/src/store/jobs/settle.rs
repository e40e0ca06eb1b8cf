//! Settling: the outcome and what follows from it, once.

use serde_json::Value;

use super::{
    super::{Core, Receipt, UndoKind, core::Writing},
    lease::held,
    rows::{self, EffectRow},
};
use crate::{
    ChangeHash, DocumentId, Error, Result,
    job::{EffectId, EffectState, Rollback, Verdict},
};

/// How many of those that are done, and of those that were dropped, are kept to be looked at.
const KEPT: i64 = 1_000;

/// How an effect ends.
#[derive(Debug)]
pub(super) struct Ending {
    state: EffectState,
    why: Option<String>,
    reply: Value,
    roll_back: bool,
}

impl Ending {
    fn done(reply: Value) -> Self {
        Self { state: EffectState::Done, why: None, reply, roll_back: false }
    }

    pub(super) fn dead(why: String) -> Self {
        Self { state: EffectState::Dead, why: Some(why), reply: Value::Null, roll_back: true }
    }

    pub(super) fn dropped(roll_back: bool) -> Self {
        let why = Some("dropped by a person".to_owned());
        Self { state: EffectState::Dropped, why, reply: Value::Null, roll_back }
    }
}

impl Core {
    /// Records how an attempt ended, with the commit action or the rollback, in one transaction: exactly once.
    /// `false`: the lease is another's by now, and nothing was recorded; the other one records.
    ///
    /// # Errors
    /// The file's: then nothing was recorded, and it may be tried again.
    pub fn settle_effect(&mut self, id: EffectId, lease: &str, verdict: Verdict) -> Result<bool> {
        self.write(&[], |w| {
            let Some(row) = held(w, id, lease)? else { return Ok(false) };
            match verdict {
                Verdict::Done { reply } => w.settle_row(row, Ending::done(reply))?,
                Verdict::Dead { why, reply } => {
                    w.settle_row(row, Ending { reply, ..Ending::dead(why) })?;
                }
                Verdict::Again { wait, why, charged } => w.put_back(row, (wait, charged), why)?,
                Verdict::Hold { why } => w.hold(row, why)?,
            }
            Ok(true)
        })
    }
}

impl Writing<'_> {
    fn put_back(&mut self, mut row: EffectRow, (wait, charged): (i64, bool), why: String) -> Result<()> {
        let effect = &mut row.effect;
        effect.state = EffectState::Waiting;
        effect.failures += 1;
        effect.charged += u64::from(charged);
        effect.next_attempt_at = Some(self.now.saturating_add(wait));
        effect.last_error = Some(why);
        self.release(row)
    }

    fn hold(&mut self, mut row: EffectRow, why: String) -> Result<()> {
        row.effect.state = EffectState::Held;
        row.effect.next_attempt_at = None;
        row.effect.last_error = Some(why);
        self.release(row)
    }

    fn release(&mut self, mut row: EffectRow) -> Result<()> {
        (row.owner, row.lease_until) = (None, None);
        self.asked += 1;
        rows::update(self.tx, &row)
    }

    /// Ends an effect that is not settled, with what follows from it. Those that come after one that was not done
    /// end with it.
    pub(super) fn settle_row(&mut self, row: EffectRow, ending: Ending) -> Result<()> {
        let mut ends = vec![(row, ending)];
        while let Some((row, ending)) = ends.pop() {
            let (id, state) = (row.effect.id, ending.state);
            self.end(row, ending)?;
            if state == EffectState::Done {
                continue;
            }
            for dependant in rows::read_dependants(self.tx, id)? {
                let open = rows::read_one(self.tx, dependant)?.filter(|r| !r.effect.state.is_settled());
                // One whose rollback only another process can do dies there.
                if let Some(row) = open.filter(|r| r.unknown_slice(self.registry).is_none()) {
                    let why = format!("it comes after the effect {id}, which was not done");
                    ends.push((row, Ending::dead(why)));
                }
            }
        }
        rows::prune(self.tx, KEPT)
    }

    fn end(&mut self, mut row: EffectRow, ending: Ending) -> Result<()> {
        row.effect.state = ending.state;
        row.effect.settled_at = Some(self.now);
        row.effect.next_attempt_at = None;
        row.effect.last_error = ending.why;
        if ending.reply != Value::Null || ending.state == EffectState::Done {
            row.effect.outcome = Some(ending.reply);
        }
        if ending.state == EffectState::Done {
            self.commit_of(&mut row)?;
        }
        if ending.roll_back {
            self.roll_back(&mut row)?;
        }
        self.release(row)
    }

    /// What was done stays done, whatever becomes of its commit action: one that does not fit the document makes
    /// a dead letter that bears the reply, and nothing is rolled back.
    fn commit_of(&mut self, row: &mut EffectRow) -> Result<()> {
        let Some(commit) = &row.commit else { return Ok(()) };
        let action = commit.with_reply(row.effect.outcome.as_ref().unwrap_or(&Value::Null));
        match self.follow(row.effect.document, (&action, commit.is_undoable()))? {
            Ok(receipt) => row.effect.settled_change = Some(receipt.hash),
            // Nobody waits for what is to be recorded there.
            Err(Error::UnknownDocument(_) | Error::Deleted(_)) => {
                row.effect.last_error =
                    Some("its document is not here any more: nothing was recorded in it".to_owned());
            }
            Err(error) => {
                row.effect.state = EffectState::Dead;
                row.effect.last_error = Some(format!("it was done, but its commit action failed: {error}"));
            }
        }
        Ok(())
    }

    /// The rollback of this effect and of those it took the place of, newest first; once, also when the effect was
    /// sent again by a person since.
    fn roll_back(&mut self, row: &mut EffectRow) -> Result<()> {
        self.roll_back_one(row)?;
        let mut stack = vec![row.effect.id];
        while let Some(id) = stack.pop() {
            for mut replaced in rows::read_replaced(self.tx, id)? {
                replaced.effect.outcome.clone_from(&row.effect.outcome);
                self.roll_back_one(&mut replaced)?;
                rows::update(self.tx, &replaced)?;
                stack.push(replaced.effect.id);
            }
        }
        Ok(())
    }

    fn roll_back_one(&mut self, row: &mut EffectRow) -> Result<()> {
        if std::mem::replace(&mut row.rolled_back, true) {
            return Ok(());
        }
        let done = match &row.rollback {
            None => return Ok(()),
            Some(Rollback::Guarded) => self.roll_back_guarded(row.effect.document, row.effect.change)?,
            Some(Rollback::Action(follow)) => {
                let reply = row.effect.outcome.as_ref().unwrap_or(&Value::Null);
                self.follow(row.effect.document, (&follow.with_reply(reply), follow.is_undoable()))?
                    .map(|r| Some(r.hash))
            }
        };
        match done {
            Ok(change) => row.effect.settled_change = change,
            Err(Error::UnknownDocument(_) | Error::Deleted(_)) => {}
            Err(error) => {
                let why = row.effect.last_error.take().unwrap_or_default();
                row.effect.last_error = Some(format!("{why}; its rollback failed: {error}"));
            }
        }
        Ok(())
    }

    /// Dispatches a commit or rollback action. The inner result is the action's.
    fn follow(
        &mut self,
        document: DocumentId,
        (action, undoable): (&Value, bool),
    ) -> Result<Result<Receipt>> {
        self.also.push(document);
        let done = self.dispatch_value(document, action, undoable)?;
        self.settle_document(document)?;
        Ok(done)
    }

    /// The guarded rollback: what the change wrote is taken back where it still stands, by a new change. `None`
    /// where nothing was left to take back.
    fn roll_back_guarded(
        &mut self,
        document: DocumentId,
        change: ChangeHash,
    ) -> Result<Result<Option<ChangeHash>>> {
        self.also.push(document);
        let done = match self.undo_change(document, change, UndoKind::Rollback)? {
            Ok(undone) => Ok(undone.map(|undone| undone.hash)),
            // The action was taken back before: there is nothing left of it.
            Err(Error::UnknownChange(_)) => Ok(None),
            Err(error) => Err(error),
        };
        self.settle_document(document)?;
        Ok(done)
    }
}
