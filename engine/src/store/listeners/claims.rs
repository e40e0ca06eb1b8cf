//! A listener's lease on a document, and what becomes of the action that it heard.

use std::time::Duration;

use automerge::ChangeHash;

use super::{
    super::{Core, core::Writing},
    rows::{self as rows, Listening},
    walk,
};
use crate::{
    DocumentId, Error, Millis, Result,
    job::lease::lease_millis,
    job::{Heard, Listener, Reaction},
    job::{judge::short, owner},
};

/// A lease on a document for a listener, and the position of the action that it hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    pub(crate) listener: String,
    pub(crate) document: i64,
    pub(crate) position: u64,
    pub(crate) lease: String,
}

/// What came of recording a reaction.
#[derive(Debug)]
#[non_exhaustive]
pub enum Reacted {
    /// It is recorded; the lease goes on, with the next action.
    Next(Box<(Heard, Claim)>),
    /// It is recorded, and there is nothing more to hear, or it was not asked for: the lease is given back.
    Done,
    /// The lease is another's by now: nothing was recorded, and the other one hears the action.
    Lost,
    /// The reaction cannot be recorded, for this reason; nothing of it was.
    Refused(Error),
}

/// How a listener failed.
#[derive(Debug, Clone)]
pub struct HeardFailure {
    /// Why.
    pub why: String,
    /// When it is tried again, in milliseconds from now.
    pub wait: Millis,
    /// At so many failures it is parked.
    pub limit: u32,
}

impl Core {
    /// Records what a listener does about an action with its new position, in one transaction: exactly once. With
    /// `go_on` the lease is kept where there is more to hear.
    ///
    /// # Errors
    /// The file's: then nothing was recorded, and it may be tried again.
    pub fn react(
        &mut self,
        claim: &Claim,
        (heard, reaction): (&Heard, &Reaction),
        (listener, length, go_on): (&Listener, Duration, bool),
    ) -> Result<Reacted> {
        let recorded = self.write(&[], |w| {
            let Some(mut row) = held(w, claim)? else { return Ok(Reacted::Lost) };
            w.record_reaction(&row, heard, (reaction, listener.undoable || reaction.undoable))?;
            let from = std::mem::replace(&mut row.position, claim.position);
            (row.attempts, row.last_error, row.next_attempt_at) = (0, None, None);
            (row.owner, row.lease_until) = (None, None);
            rows::forget_heard(w.tx, &row, from)?;
            rows::follow_renamed(w.tx, &row, heard.key)?;
            // The document may have grown by the reaction.
            if let Some(now) = rows::read_one(w.tx, &row.listener, row.document)? {
                row.last = now.last;
            }
            rows::write(w.tx, &row)?;
            let next = if go_on { w.lease_listener(row, listener, (false, length))? } else { None };
            Ok(next.map_or(Reacted::Done, |next| Reacted::Next(Box::new(next))))
        });
        match recorded {
            Err(error) if !error.is_of_the_file() && !matches!(error, Error::Corrupt(_) | Error::Closed) => {
                Ok(Reacted::Refused(error))
            }
            recorded => recorded,
        }
    }

    /// Records that a listener failed on an action: the position stays. `false`: the lease is another's by now.
    ///
    /// # Errors
    /// The file's.
    pub fn fail_listener(&mut self, claim: &Claim, failure: &HeardFailure) -> Result<bool> {
        self.write(&[], |w| {
            let Some(mut row) = held(w, claim)? else { return Ok(false) };
            // What was passed over on the way to it is passed: the action is the next one.
            row.position = claim.position.saturating_sub(1);
            row.attempts += 1;
            row.last_error = Some(short(failure.why.clone()));
            row.next_attempt_at = Some(w.now.saturating_add(failure.wait));
            row.parked = row.attempts >= u64::from(failure.limit);
            (row.owner, row.lease_until) = (None, None);
            rows::write(w.tx, &row)?;
            Ok(true)
        })
    }

    /// Holds a lease longer. `false`: it is another's by now.
    ///
    /// # Errors
    /// The file's.
    pub fn keep_listener(&mut self, claim: &Claim, length: Duration) -> Result<bool> {
        self.write(&[], |w| {
            let Some(mut row) = held(w, claim)? else { return Ok(false) };
            row.lease_until = Some(w.now.saturating_add(lease_millis(length)));
            rows::write(w.tx, &row)?;
            Ok(true)
        })
    }

    /// Gives a lease back without an outcome: whoever comes next hears the action again.
    ///
    /// # Errors
    /// The file's.
    pub fn give_back_listener(&mut self, claim: &Claim) -> Result<()> {
        self.write(&[], |w| {
            let Some(mut row) = held(w, claim)? else { return Ok(()) };
            (row.owner, row.lease_until) = (None, None);
            rows::write(w.tx, &row)
        })
    }
}

/// The row, as long as this lease on it holds: the position "moves only if it is still the one that was read".
fn held(w: &Writing<'_>, claim: &Claim) -> Result<Option<Listening>> {
    let row = rows::read_one(w.tx, &claim.listener, claim.document)?;
    Ok(row.filter(|row| row.owner.as_deref() == Some(&claim.lease) && row.position < claim.position))
}

impl Writing<'_> {
    /// Leases a document to a listener, where there is something to hear. What was passed over is written down.
    pub(super) fn lease_listener(
        &mut self,
        mut row: Listening,
        listener: &Listener,
        (orphan, length): (bool, Duration),
    ) -> Result<Option<(Heard, Claim)>> {
        if orphan {
            // A handler that kills its process is not to kill processes for ever: that counts as a failure.
            row.attempts += 1;
            row.last_error = Some("the process that heard it ended before it did".to_owned());
            row.parked = row.attempts >= u64::from(listener.attempts);
            (row.owner, row.lease_until) = (None, None);
        }
        let before = row.position;
        let found = loop {
            let (last, found) = walk::next(self.tx, &row, listener)?;
            if found.is_some() || last == row.position {
                break found;
            }
            row.position = last;
        };
        rows::forget_heard(self.tx, &row, before)?;
        let Some((position, mut heard)) = found.filter(|_| !row.parked) else {
            if orphan || row.position != before {
                rows::write(self.tx, &row)?;
            }
            return Ok(None);
        };
        let lease = owner::new_lease();
        heard.attempt = row.attempts + 1;
        row.owner = Some(lease.clone());
        row.lease_until = Some(self.now.saturating_add(lease_millis(length)));
        rows::write(self.tx, &row)?;
        let claim = Claim { listener: row.listener, document: row.document, position, lease };
        Ok(Some((heard, claim)))
    }

    /// # Errors
    /// What fails fails the whole: the transaction is given up.
    fn record_reaction(
        &mut self,
        row: &Listening,
        heard: &Heard,
        (reaction, undoable): (&Reaction, bool),
    ) -> Result<()> {
        for (document, action) in &reaction.actions {
            let document = document.unwrap_or(heard.document);
            let receipt = self.dispatch_within(document, (action, undoable))??;
            self.note_own(row, document, receipt.hash)?;
        }
        self.check_effects(&reaction.effects)??;
        let kind = heard.action_type.as_deref().unwrap_or_default();
        let mut action = heard.payload.clone().unwrap_or_else(|| serde_json::json!({}));
        if let Some(fields) = action.as_object_mut() {
            fields.insert("type".to_owned(), kind.into());
        }
        let asked_by = (heard.document, heard.hash);
        self.enqueue_effects(asked_by, (kind, &action), &reaction.effects)?;
        for thunk in &reaction.thunks {
            self.start_thunk(thunk)?;
        }
        Ok(())
    }

    /// A listener does not hear its own reactions.
    fn note_own(&mut self, row: &Listening, document: DocumentId, hash: ChangeHash) -> Result<()> {
        let homes = self.companions.iter().copied().chain([document]).collect::<Vec<_>>();
        for home in homes {
            let home = self.replicas.peek(home).filter(|home| home.row.heads.contains(&hash));
            if let Some(home) = home {
                rows::insert_heard(self.tx, &row.listener, home.row.id, hash)?;
            }
        }
        Ok(())
    }
}
