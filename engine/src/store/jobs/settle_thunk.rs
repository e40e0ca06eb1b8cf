//! Settling thunks: the outcome and the action after it, once.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    super::{Core, Receipt, core::Writing},
    thunk_rows::{self as rows, ThunkRow},
};
use crate::{
    DocumentId, Result,
    job::lease::lease_millis,
    job::{FollowUp, judge::short},
    job::{Orphan, ThunkCause, ThunkFailure, ThunkId, ThunkState},
};

/// How many of each way to end are kept to be looked at.
const KEPT: i64 = 1_000;

impl Core {
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
            let Some(row) = held_thunk(w, id, lease)? else { return Ok(false) };
            match outcome {
                Ok(result) => w.fulfil(row, result)?,
                Err(failure) => w.fail_thunk(row, failure)?,
            }
            Ok(true)
        })
    }

    /// Holds a lease, and renews it when a third of it has passed. `false`: the thunk was aborted or superseded, or
    /// the lease is another's.
    ///
    /// # Errors
    /// The file's.
    pub fn keep_thunk(&mut self, id: ThunkId, lease: &str, length: Duration) -> Result<bool> {
        let (now, millis) = (self.now(), lease_millis(length));
        let Some(row) = rows::read_one(&self.connection, id)?.filter(|row| is_held(row, lease)) else {
            return Ok(false);
        };
        if row.lease_until.is_some_and(|until| until.saturating_sub(now) > millis - millis / 3) {
            return Ok(true);
        }
        self.write(&[], |w| {
            if held_thunk(w, id, lease)?.is_none() {
                return Ok(false);
            }
            rows::renew(w.tx, id, w.now.saturating_add(millis))?;
            Ok(true)
        })
    }

    /// Gives a lease back without an outcome: whoever comes next runs it again, or it is rejected where it must not
    /// be begun twice.
    ///
    /// # Errors
    /// The file's.
    pub fn give_back_thunk(&mut self, id: ThunkId, lease: &str) -> Result<()> {
        self.write(&[], |w| {
            let Some(mut row) = held_thunk(w, id, lease)? else { return Ok(()) };
            if row.on_death == Orphan::Reject {
                let why = "it was broken off before it ended";
                return w.fail_thunk(row, ThunkFailure::new(ThunkCause::Orphaned, why));
            }
            (row.owner, row.lease_until) = (None, None);
            w.update_thunk(&row)
        })
    }
}

fn is_held(row: &ThunkRow, lease: &str) -> bool {
    row.info.state == ThunkState::Pending && row.owner.as_deref() == Some(lease)
}

/// The row, as long as this lease on it holds. A lease that ran out holds until somebody else takes it.
fn held_thunk(w: &Writing<'_>, id: ThunkId, lease: &str) -> Result<Option<ThunkRow>> {
    Ok(rows::read_one(w.tx, id)?.filter(|row| is_held(row, lease)))
}

impl Writing<'_> {
    fn fulfil(&mut self, mut row: ThunkRow, result: Value) -> Result<()> {
        let follow = row.follow.fulfilled.clone();
        // What was done stays done.
        self.follow_thunk(&mut row, follow.as_ref(), &result)?;
        row.info.result = Some(result);
        self.end_thunk(row, ThunkState::Fulfilled)
    }

    /// Ends a thunk without an output. The reason of a rejection is what was returned, alone.
    pub(in super::super) fn fail_thunk(&mut self, mut row: ThunkRow, failure: ThunkFailure) -> Result<()> {
        let ThunkFailure { cause, why, returned } = failure;
        let why = if returned.is_some() { why } else { short(why) };
        let mut reply = json!({"error": returned.as_ref().unwrap_or(&json!(why)), "cause": cause});
        if let (Some(by), Some(fields)) = (row.info.superseded_by, reply.as_object_mut()) {
            fields.insert("by".to_owned(), json!(by));
        }
        let follow = row.follow.after(cause).cloned();
        self.follow_thunk(&mut row, follow.as_ref(), &reply)?;
        (row.info.error, row.info.cause, row.info.rejection) = (Some(why), Some(cause), returned);
        self.end_thunk(row, cause.state())
    }

    fn end_thunk(&mut self, mut row: ThunkRow, state: ThunkState) -> Result<()> {
        row.info.state = state;
        row.info.settled_at = Some(self.now);
        (row.owner, row.lease_until) = (None, None);
        self.update_thunk(&row)?;
        rows::prune(self.tx, state, KEPT)
    }

    pub(in super::super) fn update_thunk(&mut self, row: &ThunkRow) -> Result<()> {
        self.worked = true;
        rows::update(self.tx, row, self.ordinal)
    }

    /// Does the action that follows what happened to a thunk. One that fails is told in the row.
    fn follow_thunk(&mut self, row: &mut ThunkRow, follow: Option<&FollowUp>, reply: &Value) -> Result<()> {
        let (Some(follow), Some(document)) = (follow, row.info.document) else { return Ok(()) };
        match self.dispatch_within(document, (&follow.with_reply(reply), follow.is_undoable()))? {
            Ok(receipt) => row.info.settled_change = Some(receipt.hash),
            Err(error) => row.info.follow_error = Some(short(error.to_string())),
        }
        Ok(())
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
        for companion in self.companions.clone() {
            self.settle_document(companion)?;
        }
        Ok(done)
    }
}
