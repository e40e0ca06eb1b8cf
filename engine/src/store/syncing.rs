//! Syncing on this store: carries out what a [`Session`] asks of it. The session decides and touches nothing; here is
//! what it asks for, each thing one transaction. "No transaction is open across a network call": all of them have ended
//! when a verb returns.

use rand::Rng;

use super::{BatchBounds, Core, Page};
use crate::{
    DocumentId, Error, Result,
    session::{
        Found, Heard, Hint, Most, Need, Next, Note, Now, Plan, Progress, Session, Settled, Step, Ticket,
        Verdict, Write, Written, judge,
    },
    wire::{ChangesEvent, Response, TransportError},
};

/// How often in a row what was held is tried again. Each time some of what does harm is found.
const HELD_TURNS: usize = 16;

impl Core {
    /// The next step of a session.
    ///
    /// # Errors
    /// Those of the store. What the session believed of it is learnt anew: ask again.
    pub fn sync_step(&mut self, session: &mut Session, now: Now, rng: &mut impl Rng) -> Result<Step> {
        if let Some(until) = session.waits(now) {
            return Ok(Step::Wait { until });
        }
        loop {
            let facts = self.facts_at(session.document(), session.server())?;
            let need = match session.next(&facts, now, rng) {
                Next::Step(step) => return Ok(step),
                Next::Store(need) => need,
            };
            let found = self.find_for(session, need).inspect_err(|_| session.failed_to_find())?;
            if let Some(step) = session.found(&facts, found) {
                return Ok(step);
            }
        }
    }

    /// Takes a reply, or the news that none came: judges and settles it.
    ///
    /// # Errors
    /// As for [`Self::settle`].
    pub fn take_reply(
        &mut self,
        session: &mut Session,
        ticket: Ticket,
        result: Result<Response, TransportError>,
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        let verdict = judge(&ticket, result, session.limits());
        self.settle(session, (ticket, verdict), now, rng)
    }

    /// Carries out a verdict. A ticket that is not the one waited for (a late or repeated reply) changes nothing.
    ///
    /// # Errors
    /// Those of the store. The server is asked again by the next step.
    pub fn settle(
        &mut self,
        session: &mut Session,
        (ticket, verdict): (Ticket, Verdict),
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        let plan = session.settle(ticket, verdict, now, rng);
        self.carry_out(session, plan, now, rng)
    }

    /// Takes an event of a stream, where it fits.
    ///
    /// # Errors
    /// Those of the store. Nothing of the event was taken.
    pub fn take_event(
        &mut self,
        session: &mut Session,
        event: &ChangesEvent,
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<Hint> {
        let facts = self.facts_at(session.document(), session.server())?;
        match session.take_event(&facts, event, now, rng) {
            Heard::Known => Ok(Hint::Known),
            Heard::Pull => Ok(Hint::Pull),
            Heard::Take(plan) => {
                let progress = self.carry_out(session, *plan, now, rng)?;
                Ok(session.event_taken(progress))
            }
        }
    }

    fn find_for(&mut self, session: &Session, need: Need) -> Result<Found> {
        let (id, server) = (session.document(), session.server());
        Ok(match need {
            Need::OfferParked { room } => Found::Offered(self.offer_parked(id, room)?),
            Need::NoteNotBegun(why) => {
                self.note_not_allowed(id, &why, false)?;
                Found::Noted
            }
            Need::Batch(bounds) => Found::Batch(self.take_batch(id, bounds)?),
            Need::Graph => Found::Graph(self.heal_graph(id)?),
            Need::Changes(rows, bounds) => self.find_changes(id, rows, bounds)?,
            Need::EndHeal { heads, cursor, forget_cursor } => {
                let ended = self.end_heal(id, &heads, (server, cursor.as_ref()))?;
                if !ended && forget_cursor {
                    self.forget_cursor(id, server)?;
                }
                Found::HealEnded(ended)
            }
        })
    }

    fn find_changes(&mut self, id: DocumentId, rows: Vec<i64>, bounds: BatchBounds) -> Result<Found> {
        let batch = self.take_changes(id, &rows, bounds)?;
        Ok(Found::Changes(rows, batch))
    }

    fn carry_out(
        &mut self,
        session: &mut Session,
        plan: Plan,
        now: Now,
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        let Settled { progress, notes } = match plan {
            Plan::Settled(settled) => settled,
            Plan::Store(write, then) => {
                let written = self.write_reply(session, write)?;
                session.stored(then, written, now, rng)
            }
        };
        for note in notes {
            self.note(session, note).inspect_err(|_| session.failed_to_find())?;
        }
        Ok(progress)
    }

    fn write_reply(&mut self, session: &Session, write: Write) -> Result<Written> {
        let (id, server) = (session.document(), session.server());
        Ok(match write {
            Write::Page { page, most, count } => self.write_page(id, page, most, count)?,
            Write::Healed { refused, rows } => {
                let outcome = refused.map(|page| self.store_page(id, page)).transpose()?.unwrap_or_default();
                Written::Healed(outcome, self.count_unqueued(&rows)?)
            }
            Write::Deleted(page) => Written::Deleted(self.store_page(id, page)?),
            Write::Snapshot { bytes, cursor } => {
                match self.store_snapshot(id, &bytes, (server, &cursor)) {
                    Ok(true) => Written::Snapshot(Some(self.document(id)?.changes)),
                    // It holds something by now.
                    Ok(false) => Written::Snapshot(None),
                    Err(Error::Import(_) | Error::Refused(_) | Error::Protocol(_) | Error::Action(_)) => {
                        Written::Snapshot(None)
                    }
                    Err(error) => return Err(error),
                }
            }
            Write::WithdrawDeletion => Written::Withdrawn(self.withdraw_deletion(id, server)?),
            Write::EndDeletionOfUnsent => Written::Ended(self.end_deletion_of_unsent(id)?),
        })
    }

    fn write_page(&mut self, id: DocumentId, page: Page, most: Most, count: bool) -> Result<Written> {
        if let Some(of) = self.outgrows(id, &page, most)? {
            let limit = if of == BYTES { most.bytes } else { most.actors };
            return Ok(Written::TooLarge(of, limit));
        }
        let at_end = page.at_end;
        let outcome = self.store_page(id, page)?;
        if at_end {
            self.try_held(id)?;
        }
        let held = if count { Some(self.document(id)?) } else { None };
        Ok(Written::Page(outcome, held.map(|held| held.changes + held.quarantined)))
    }

    /// What the document would have too much of here with a page.
    fn outgrows(&mut self, id: DocumentId, page: &Page, most: Most) -> Result<Option<&'static str>> {
        let changes = page.changes.iter().map(|change| change.bytes.len());
        let bytes: usize = changes.chain(page.refused.iter().map(|(_, bytes)| bytes.len())).sum();
        if bytes > 0 && self.exceeds(id, most.bytes.saturating_sub(bytes as u64))? {
            return Ok(Some(BYTES));
        }
        let actors = page.changes.iter().filter(|change| change.seq == 1).count() as u64;
        if actors > 0 && self.count_actors(id)?.saturating_add(actors) > most.actors {
            return Ok(Some(ACTORS));
        }
        Ok(None)
    }

    /// Whoever sends much that does harm keeps nobody for good: what was held with it is tried again when the log was read
    /// to its end, a turn at a time.
    fn try_held(&mut self, id: DocumentId) -> Result<()> {
        for _ in 0..HELD_TURNS {
            if !self.retry_held(id)? {
                break;
            }
        }
        Ok(())
    }

    fn note(&mut self, session: &Session, note: Note) -> Result<()> {
        let (id, server) = (session.document(), session.server());
        match note {
            Note::BeginHeal => self.begin_heal(id),
            Note::ForgetCursor => self.forget_cursor(id, server),
            Note::NotAllowed { why, tried } => self.note_not_allowed(id, &why, tried),
            Note::Failed(failure) => self.store_failure(&failure),
        }
    }
}

/// What a document may have too much of, as an error says it.
const BYTES: &str = "bytes";
const ACTORS: &str = "actors";
