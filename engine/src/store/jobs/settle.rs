//! Settling: the outcome and what follows from it, once.

use serde_json::{Value, json};

use super::{
    super::{Core, Receipt, UndoKind, core::Writing},
    lease::unknown_slice,
    prune::prune,
    rows,
};
use crate::{
    ChangeHash, DocumentId, Error, Result,
    job::{
        EffectId, FollowUp, Job, JobKind, JobState, Rollback, RolledBack, ThunkCause, ThunkFailure, ThunkId,
        Verdict, judge::short,
    },
};

/// How a job ends.
#[derive(Debug)]
pub(super) struct Ending {
    state: JobState,
    why: Option<String>,
    /// What came back, if anything did.
    outcome: Option<Value>,
    /// Why a thunk has no output.
    cause: Option<ThunkCause>,
    roll_back: bool,
}

impl Ending {
    fn done(outcome: Value) -> Self {
        Self { state: JobState::Done, why: None, outcome: Some(outcome), cause: None, roll_back: false }
    }

    fn dead(why: String, outcome: Option<Value>) -> Self {
        Self { state: JobState::Dead, why: Some(why), outcome, cause: None, roll_back: true }
    }

    /// It died before anything came back.
    pub(super) fn died(kind: JobKind, why: String) -> Self {
        match kind {
            JobKind::Effect => Self::dead(why, None),
            JobKind::Thunk => Self::failed(ThunkCause::Orphaned, why),
        }
    }

    /// Taken off by a person.
    pub(super) fn dropped(roll_back: bool) -> Self {
        let why = "dropped by a person".to_owned();
        Self { state: JobState::Dropped, roll_back, ..Self::dead(why, None) }
    }

    /// A thunk without an output, for another reason than an error that it returned.
    pub(super) fn failed(cause: ThunkCause, why: String) -> Self {
        Self::of(ThunkFailure::new(cause, why))
    }

    fn of(ThunkFailure { cause, why, returned }: ThunkFailure) -> Self {
        // The reason of a rejection is what was returned, alone.
        let why = if returned.is_some() { why } else { short(why) };
        Self { state: cause.job_state(), cause: Some(cause), ..Self::dead(why, returned) }
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
            let Some(mut job) = w.held_job(id.into(), lease)? else { return Ok(false) };
            match verdict {
                Verdict::Done { reply } => w.end_job(job, Ending::done(reply))?,
                Verdict::Dead { why, reply } => {
                    w.end_job(job, Ending::dead(why, Some(reply).filter(|reply| !reply.is_null())))?;
                }
                Verdict::Again { wait, why, charged } => {
                    job.state = JobState::Waiting;
                    job.failures += 1;
                    job.charged += u64::from(charged);
                    job.next_attempt_at = Some(w.now.saturating_add(wait));
                    job.error = Some(why);
                    w.release_job(job)?;
                }
                Verdict::Hold { why } => {
                    job.state = JobState::Held;
                    job.error = Some(why);
                    w.release_job(job)?;
                }
            }
            Ok(true)
        })
    }

    /// Records how a thunk ended, with the action after it, in one transaction: exactly once. `false`: it was
    /// aborted or superseded meanwhile, or the lease is another's; then what came is discarded.
    ///
    /// # Errors
    /// The file's: then nothing was recorded, and it may be tried again.
    pub fn settle_thunk(
        &mut self,
        id: ThunkId,
        lease: &str,
        outcome: Result<Value, ThunkFailure>,
    ) -> Result<bool> {
        self.write(&[], |w| {
            let Some(job) = w.held_job(id.into(), lease)? else { return Ok(false) };
            w.end_job(job, outcome.map_or_else(Ending::of, Ending::done))?;
            Ok(true)
        })
    }
}

impl Writing<'_> {
    /// Ends a job that is not settled, with what follows from it. Those that come after one that was not done end with
    /// it.
    pub(super) fn end_job(&mut self, job: Job, ending: Ending) -> Result<()> {
        let kind = job.id.kind;
        let mut ends = vec![(job, ending)];
        while let Some((job, ending)) = ends.pop() {
            let (id, done) = (EffectId(job.id.uuid), ending.state == JobState::Done);
            self.end_one(job, ending)?;
            if done || kind == JobKind::Thunk {
                continue;
            }
            for dependant in rows::read_dependants(self.tx, id)? {
                let open = rows::read_one(self.tx, dependant)?.filter(|job| !job.state.is_settled());
                // One whose rollback only another process can do dies there.
                let known = |job: &Job| unknown_slice(job, ThunkCause::Orphaned, self.registry).is_none();
                if let Some(job) = open.filter(known) {
                    let why = format!("it comes after the effect {id}, which was not done");
                    ends.push((job, Ending::dead(why, None)));
                }
            }
        }
        prune(self.tx, kind)
    }

    fn end_one(&mut self, mut job: Job, ending: Ending) -> Result<()> {
        job.state = ending.state;
        job.settled_at = Some(self.now);
        job.next_attempt_at = None;
        (job.error, job.cause) = (ending.why, ending.cause);
        if ending.outcome.is_some() {
            job.outcome = ending.outcome;
        }
        match job.id.kind {
            JobKind::Thunk => self.follow_thunk(&mut job)?,
            JobKind::Effect if ending.state == JobState::Done => self.commit(&mut job)?,
            JobKind::Effect if ending.roll_back => self.roll_back(&mut job)?,
            JobKind::Effect => {}
        }
        self.release_job(job)
    }

    /// Does the action that follows the end of a thunk. One that fails is told in the row: what was done stays done.
    fn follow_thunk(&mut self, job: &mut Job) -> Result<()> {
        let (follow, reply) = match job.cause {
            None => (job.follow_ups.done.as_ref(), job.outcome.clone().unwrap_or_default()),
            Some(cause) => {
                let error = job.outcome.clone().unwrap_or_else(|| json!(job.error));
                let mut reply = json!({"error": error, "cause": cause});
                if let (Some(by), Some(fields)) = (job.replaced_by, reply.as_object_mut()) {
                    fields.insert("by".to_owned(), json!(by));
                }
                (job.follow_ups.after(cause), reply)
            }
        };
        let (Some(follow), Some(document)) = (follow, job.document) else { return Ok(()) };
        match self.follow(document, follow, &reply)? {
            Ok(receipt) => job.settled_change = Some(receipt.hash),
            Err(error) => {
                let why = short(error.to_string());
                tracing::error!(thunk = %job.id.uuid, why, "the action that follows a thunk failed");
                if job.cause.is_none() {
                    self.follow_failed(job, document, &why)?;
                }
                job.follow_error = Some(why);
            }
        }
        Ok(())
    }

    /// A thunk was fulfilled, and the action for that does not fit the document: the one for a rejection says so, for what
    /// `pending` wrote is not to stay for ever.
    fn follow_failed(&mut self, job: &mut Job, document: DocumentId, why: &str) -> Result<()> {
        let cause = ThunkCause::Unreadable;
        let Some(rejected) = job.follow_ups.after(cause) else { return Ok(()) };
        if let Ok(receipt) = self.follow(document, rejected, &json!({"error": why, "cause": cause}))? {
            job.settled_change = Some(receipt.hash);
        }
        Ok(())
    }

    /// What was done stays done, whatever becomes of its commit action: one that does not fit the document makes
    /// a dead letter that bears the reply, and nothing is rolled back.
    fn commit(&mut self, job: &mut Job) -> Result<()> {
        let (Some(commit), Some(document)) = (&job.follow_ups.done, job.document) else { return Ok(()) };
        match self.follow(document, commit, &job.outcome.clone().unwrap_or_default())? {
            Ok(receipt) => job.settled_change = Some(receipt.hash),
            // Nobody waits for what is to be recorded there.
            Err(Error::UnknownDocument(_) | Error::Deleted(_)) => {
                job.error = Some("its document is not here any more: nothing was recorded in it".to_owned());
            }
            Err(error) => {
                job.state = JobState::Dead;
                job.error = Some(format!("it was done, but its commit action failed: {error}"));
            }
        }
        Ok(())
    }

    /// The rollback of this effect and of those it took the place of, newest first; once, also when the effect was
    /// sent again by a person since.
    fn roll_back(&mut self, job: &mut Job) -> Result<()> {
        self.roll_back_one(job)?;
        let mut stack = vec![job.id];
        while let Some(id) = stack.pop() {
            for mut replaced in rows::read_replaced(self.tx, id)? {
                replaced.outcome.clone_from(&job.outcome);
                self.roll_back_one(&mut replaced)?;
                self.write_job(&replaced)?;
                stack.push(replaced.id);
            }
        }
        Ok(())
    }

    fn roll_back_one(&mut self, job: &mut Job) -> Result<()> {
        let (Some(asked_by), Some(document)) = (&mut job.asked_by, job.document) else { return Ok(()) };
        if asked_by.rollback != Some(RolledBack::Owed) {
            return Ok(());
        }
        asked_by.rollback = Some(RolledBack::Done);
        let done = match &job.follow_ups.dead {
            None => return Ok(()),
            Some(Rollback::Guarded) => self.roll_back_guarded(document, asked_by.change)?,
            Some(Rollback::Action(follow)) => {
                let reply = job.outcome.clone().unwrap_or_default();
                self.follow(document, follow, &reply)?.map(|receipt| Some(receipt.hash))
            }
        };
        match done {
            Ok(change) => job.settled_change = change,
            Err(Error::UnknownDocument(_) | Error::Deleted(_)) => {}
            Err(error) => {
                let why = job.error.take().unwrap_or_default();
                job.error = Some(format!("{why}; its rollback failed: {error}"));
            }
        }
        Ok(())
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

    /// Dispatches an action that follows from something. The inner result is the action's.
    pub(super) fn follow(
        &mut self,
        document: DocumentId,
        follow: &FollowUp,
        reply: &Value,
    ) -> Result<Result<Receipt>> {
        self.dispatch_within(document, (&follow.with_reply(reply), follow.is_undoable()))
    }

    /// Dispatches an action in this transaction and settles the documents it wrote to. The inner result is the
    /// action's.
    pub(in super::super) fn dispatch_within(
        &mut self,
        document: DocumentId,
        (action, undoable): (&Value, bool),
    ) -> Result<Result<Receipt>> {
        self.also.push(document);
        let done = self.dispatch_value(document, action, undoable)?;
        self.settle_document(document)?;
        Ok(done)
    }
}
