//! A reply and what it changes: the verdict is pure, and what follows from it is one small transaction.

use std::collections::HashSet;

use rand::Rng;

use crate::{
    ChangeHash, Cursor, Error, Result,
    fence::RefusalCode,
    store::{BatchRow, Core, Failure, Page, PageOutcome},
    wire::{Rejected, Response, TransportError},
};

use super::{
    state::Session,
    types::{Now, Outcome, Progress, Sent, Ticket, Trouble, TroubleKind},
    verdict::{Meaning, Pushed, Verdict, is_mended, judge},
};

/// So many replies in a row may bring nothing before it is called a failure.
const IDLE_REPLIES: u32 = 16;
/// So many pushes of a run may be answered with forks: each one writes changes again.
const FORK_REPLIES: u32 = 64;
/// So many times what is held may be sent again in a run, and so many changes more: each healing and each hole
/// reads the log from its beginning, and a page that another process stored first comes twice.
const REPEATED_READS: u64 = 16;
const REPEATED_CHANGES: u64 = 64;
/// So many times a run may read the log to its end and still not hold the heads that the server names: while
/// others push, each time may bring more.
const READINGS: u32 = 16;
/// So many healings a run: the second is there for a server that is replaced while it heals.
const HEALINGS: u32 = 3;
/// How often in a row what was held is tried again. Each time some of what does harm is found.
const HELD_TURNS: u32 = 16;

/// Takes a reply, or the news that none came: [`judge`] and [`settle`] in one.
///
/// # Errors
/// Those of the store. Nothing of the reply was taken: ask `next`, which asks the server again.
pub fn handle(
    core: &mut Core,
    session: &mut Session,
    ticket: Ticket,
    result: Result<Response, TransportError>,
    (now, rng): (Now, &mut impl Rng),
) -> Result<Progress> {
    let verdict = judge(&ticket, result, &session.limits);
    settle(core, session, ticket, verdict, (now, rng))
}

/// Carries out a verdict. A ticket that is not the one waited for (a late or repeated reply) changes nothing.
///
/// # Errors
/// Those of the store, as for [`handle`].
pub fn settle(
    core: &mut Core,
    session: &mut Session,
    ticket: Ticket,
    verdict: Verdict,
    (now, rng): (Now, &mut impl Rng),
) -> Result<Progress> {
    if session.open != Some(ticket.number) {
        return Ok(Progress::default());
    }
    session.open = None;
    let document = session.document;
    let mut turn = Turn { core, session, now };
    // A server that contradicts itself also gives answers that can be used in between: that trouble stays until
    // a run ends well, so that its waits grow.
    let contradicts = turn.session.trouble.as_ref().is_some_and(|t| t.kind == TroubleKind::Protocol);
    let usable = !matches!(verdict.0, Meaning::Failed { .. } | Meaning::Split(..) | Meaning::SmallerPages(_));
    if usable && !contradicts {
        turn.session.trouble = None;
    }
    tracing::debug!(%document, ticket = ticket.number, "reply");
    match verdict.0 {
        Meaning::Pushed(pushed) => turn.pushed(ticket.sent, pushed, rng),
        Meaning::Pulled(page) => turn.page(page, rng),
        Meaning::Snapshot { bytes, cursor } => turn.snapshot(&bytes, &cursor),
        Meaning::NoSnapshot(detail) => {
            tracing::debug!(%document, %detail, "the snapshot is not taken");
            turn.no_snapshot()
        }
        Meaning::Lacks { missing, heads, cursor } => turn.lacks(&ticket.sent, &missing, (heads, cursor), rng),
        Meaning::NotThere => turn.not_there(ticket.sent, rng),
        Meaning::CursorUnknown => turn.begin_heal(rng),
        Meaning::Deleted => turn.deleted(),
        Meaning::Split(code, detail) => turn.split(ticket.sent, code, detail, rng),
        Meaning::SmallerPages(detail) => turn.smaller_pages(detail, rng),
        Meaning::Unauthorized(detail) => Ok(turn.stop(Outcome::Unauthorized(detail))),
        Meaning::Forbidden(detail) => turn.forbidden(&ticket.sent, detail),
        Meaning::UpgradeRequired(detail) => Ok(turn.stop(Outcome::UpgradeRequired(detail))),
        Meaning::Failed { kind, detail, retry_after } => {
            // A line too slow for this much before the deadline: less at once.
            if let (TroubleKind::Broken, Sent::Push { rows, .. }) = (kind, &ticket.sent) {
                turn.session.shrink_batch(rows.len(), rows.iter().map(|r| r.bytes).sum());
            }
            let least = retry_after.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
            turn.failed(kind, detail, least, rng)
        }
    }
}

pub(super) const ANSWERED: Progress = Progress {
    answered: true,
    pulled: 0,
    pushed: 0,
    parked: 0,
    quarantined: 0,
    rewritten: 0,
    own_rewritten: 0,
    after_quarantine: false,
    left_actor: false,
    returned: false,
};

pub(super) struct Turn<'a> {
    pub(super) core: &'a mut Core,
    pub(super) session: &'a mut Session,
    now: Now,
}

impl Turn<'_> {
    fn pushed(&mut self, sent: Sent, pushed: Pushed, rng: &mut impl Rng) -> Result<Progress> {
        let Sent::Push { rows, healing, .. } = sent else { return Ok(ANSWERED) };
        self.session.grow_batch();
        if healing { self.healed(rows, pushed, rng) } else { self.drained(pushed, rng) }
    }

    /// An ordinary push: "A row leaves the queue only in a transaction whose cursor covers it; accepted and not
    /// yet covered, it is `sent`." The store decides, for the page says all it needs: the rows that this request
    /// carried and that were not refused, the cursor, and whether it is the log's end.
    fn drained(&mut self, pushed: Pushed, rng: &mut impl Rng) -> Result<Progress> {
        let settled = pushed.page.accepted.len() + pushed.page.rejected.len() - pushed.forked_roots();
        let (forked, lost) = (pushed.forked.len(), pushed.lost.len());
        let progress = self.page(pushed.page, rng)?;
        self.session.learn().offered += settled as u64;
        if crate::planted::is_planted(crate::planted::Bug::LostWakeUp) {
            let facts = self.core.facts_at(self.session.document, &self.session.server)?;
            self.session.forget_wake_up(&facts);
        }
        if forked > 0 {
            let run = self.session.learn();
            run.read_first = !run.end_reached;
            self.session.guards.forks += 1;
            if self.session.guards.forks > FORK_REPLIES {
                let detail = "the server refuses again what was mended as it asked".to_owned();
                return self.failed(TroubleKind::Protocol, detail, 0, rng);
            }
        }
        if lost > 0 {
            // It lacks what it acknowledged: it lost something, and is offered it again.
            self.begin_heal(rng)?;
        }
        Ok(progress)
    }

    /// A push of healing: what is refused for good is remembered, and what is lost begins the walk again.
    fn healed(&mut self, rows: Vec<BatchRow>, pushed: Pushed, rng: &mut impl Rng) -> Result<Progress> {
        let Some(healing) = self.session.healing.as_mut() else { return Ok(ANSWERED) };
        let hash_of = |id: i64| rows.iter().find(|r| r.id == id).map(|r| r.hash);
        let mut refused: HashSet<ChangeHash> =
            pushed.page.rejected.iter().filter_map(|(id, _)| hash_of(*id)).collect();
        let mut page = pushed.page;
        let mut lost = false;
        // Where the log holds the same change in another spelling, it comes when the log is read.
        refused.extend(&pushed.forked);
        for (row, rejected, missing) in pushed.lost {
            // What depends on something refused for good, in this batch or an earlier one, is refused with it.
            let known = |h: &ChangeHash| refused.contains(h) || healing.was_refused(h);
            if !missing.is_empty() && missing.iter().all(known) {
                refused.insert(row.hash);
                page.rejected.push((row.id, rejected));
            } else {
                lost = true;
            }
        }
        let carried: Vec<_> = rows.iter().map(|r| r.hash).collect();
        healing.offered(&carried, refused);
        let outcome = if page.rejected.is_empty() { PageOutcome::default() } else { self.store(page)? };
        let told = pushed.new_there.min(self.core.count_unqueued(&rows)?);
        let mut progress = Progress { pushed: told, ..counted(&outcome) };
        if outcome.rewritten > 0 {
            // Changes have other names now: what the server lacks is found out again.
            self.session.healing = None;
            self.session.guards.forks += 1;
            if self.session.guards.forks > FORK_REPLIES {
                let detail = "the server refuses again what was mended as it asked".to_owned();
                return self.failed(TroubleKind::Protocol, detail, 0, rng);
            }
        } else if lost {
            progress.add(&self.begin_heal(rng)?);
        }
        Ok(progress)
    }

    fn store(&mut self, page: Page) -> Result<PageOutcome> {
        let server = self.session.server.clone();
        self.core.store_page(self.session.document, Page { server, ..page })
    }

    /// Stores a page: "A cursor moves in the transaction that stores what it counts."
    fn page(&mut self, page: Page, rng: &mut impl Rng) -> Result<Progress> {
        let at_end = page.at_end;
        let brought = !page.changes.is_empty() || !page.refused.is_empty() || !page.rejected.is_empty();
        let moved = page.cursor.is_some() && page.cursor != page.asked;
        let carried = (page.changes.len() + page.refused.len()) as u64;
        if let Some(outcome) = self.outgrows(&page)? {
            // Its own rows are the next run's: what the server did with them is known when its log is read.
            return Ok(self.stop(outcome));
        }
        let outcome = self.store(page)?;
        if at_end {
            self.try_held()?;
        }
        let run = self.session.learn();
        run.end_reached = at_end && !outcome.stale && !outcome.hole;
        run.read_first &= !run.end_reached;
        let read = run.reading && run.end_reached;
        let progress = counted(&outcome);
        if outcome.hole {
            return self.hole(progress, rng);
        }
        if outcome.lacking {
            self.begin_heal(rng)?;
            return Ok(progress);
        }
        self.session.guards.readings += u32::from(read);
        if self.session.guards.readings > READINGS {
            let detail = "the server names heads that its log does not hold".to_owned();
            self.failed(TroubleKind::Protocol, detail, 0, rng)?;
            return Ok(progress);
        }
        if outcome.pulled + outcome.quarantined == 0 && self.repeats_for_ever(carried)? {
            let detail = "the server sends the same changes again and again, and its log does not end";
            return self.failed(TroubleKind::Protocol, detail.to_owned(), 0, rng);
        }
        if at_end || (brought && moved) || outcome.drained > 0 || outcome.parked > 0 || outcome.rewritten > 0
        {
            self.session.guards.idle = 0;
            return Ok(progress);
        }
        self.session.guards.idle += 1;
        if self.session.guards.idle > IDLE_REPLIES {
            let detail = "the server's answers bring nothing, and its log does not end".to_owned();
            self.failed(TroubleKind::Protocol, detail, 0, rng)?;
        }
        Ok(progress)
    }

    /// What the document would have too much of here with a page, and how much there may be.
    fn outgrows(&mut self, page: &Page) -> Result<Option<Outcome>> {
        let (id, limits) = (self.session.document, self.session.limits);
        let changes = page.changes.iter().map(|change| change.bytes.len());
        let bytes: usize = changes.chain(page.refused.iter().map(|(_, bytes)| bytes.len())).sum();
        let (most, of) = (limits.document_bytes, "bytes");
        if bytes > 0 && self.core.exceeds(id, most.saturating_sub(bytes as u64))? {
            return Ok(Some(Outcome::TooLarge(of, most)));
        }
        let actors = page.changes.iter().filter(|change| change.seq == 1).count() as u64;
        let (most, of) = (limits.document_actors, "actors");
        if actors > 0 && self.core.count_actors(id)?.saturating_add(actors) > most {
            return Ok(Some(Outcome::TooLarge(of, most)));
        }
        Ok(None)
    }

    /// Whoever sends much that does harm keeps nobody for good: what was held with it is tried again when the log was read
    /// to its end, a turn at a time.
    fn try_held(&mut self) -> Result<()> {
        for _ in 0..HELD_TURNS {
            if !self.core.retry_held(self.session.document)? {
                break;
            }
        }
        Ok(())
    }

    /// Whether more came again by now than an honest log, read from its beginning a few times, can hold.
    fn repeats_for_ever(&mut self, carried: u64) -> Result<bool> {
        self.session.guards.repeated += carried;
        let repeated = self.session.guards.repeated;
        if repeated <= REPEATED_CHANGES {
            return Ok(false);
        }
        let held = self.core.document(self.session.document)?;
        Ok(repeated > REPEATED_CHANGES + REPEATED_READS * (held.changes + held.quarantined))
    }

    /// A pulled change lacks a dependency that is not here, or the log's end was reached without its heads (pages that were
    /// cut short, by this server or in its name, left a hole): the log is read from its beginning.
    fn hole(&mut self, progress: Progress, rng: &mut impl Rng) -> Result<Progress> {
        self.core.forget_cursor(self.session.document, &self.session.server)?;
        self.session.guards.holes += 1;
        let run = self.session.learn();
        run.reading = true;
        run.from_the_beginning = true;
        run.end_reached = false;
        if self.session.guards.holes > 1 {
            let detail =
                "the server's log lacks what its changes were made on, or its newest changes".to_owned();
            self.failed(TroubleKind::Protocol, detail, 0, rng)?;
        }
        Ok(progress)
    }

    fn snapshot(&mut self, bytes: &[u8], cursor: &Cursor) -> Result<Progress> {
        match self.core.store_snapshot(self.session.document, bytes, (&self.session.server, cursor)) {
            Ok(true) => {
                let pulled = self.core.document(self.session.document)?.changes;
                Ok(Progress { pulled, ..ANSWERED })
            }
            // It holds something by now.
            Ok(false) => self.no_snapshot(),
            Err(Error::Import(_) | Error::Refused(_) | Error::Protocol(_) | Error::Action(_)) => {
                self.no_snapshot()
            }
            Err(error) => Err(error),
        }
    }

    fn no_snapshot(&mut self) -> Result<Progress> {
        self.session.learn().no_snapshot = true;
        Ok(ANSWERED)
    }

    fn lacks(
        &mut self,
        sent: &Sent,
        missing: &HashSet<ChangeHash>,
        end: (Vec<ChangeHash>, Option<Cursor>),
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        if matches!(sent, Sent::Standing) {
            return self.stands(end.1.is_some());
        }
        let (Some(healing), Sent::Missing { hashes }) = (self.session.healing.as_mut(), sent) else {
            return Ok(ANSWERED);
        };
        // "The old cursor stays until the new one is stored, so a crash in between heals again."
        if !self.core.facts_at(self.session.document, &self.session.server)?.healing {
            self.core.begin_heal(self.session.document)?;
        }
        match healing.answered(hashes, missing, end) {
            Some(window) => self.session.wait_within(window, self.now.steady, rng),
            None => return self.begin_heal(rng),
        }
        Ok(ANSWERED)
    }

    fn not_there(&mut self, sent: Sent, rng: &mut impl Rng) -> Result<Progress> {
        match sent {
            // A server without snapshots looks the same: only a pull is proof.
            Sent::Snapshot => self.no_snapshot(),
            Sent::Pull { after: None } => {
                let run = self.session.learn();
                (run.nothing_there, run.reading) = (true, false);
                Ok(ANSWERED)
            }
            Sent::Pull { after: Some(_) } | Sent::Push { after: Some(_), .. } => self.begin_heal(rng),
            Sent::Missing { hashes } => {
                let all = hashes.iter().copied().collect();
                self.lacks(&Sent::Missing { hashes }, &all, (Vec::new(), None), rng)
            }
            Sent::Standing => self.stands(false),
            Sent::Push { after: None, .. } | Sent::Delete => {
                let detail = "the server does not know this address (404): is its path right?".to_owned();
                self.failed(TroubleKind::NotASyncServer, detail, 0, rng)
            }
        }
    }

    /// The server does not know the cursor, or the document, or what it acknowledged.
    fn begin_heal(&mut self, rng: &mut impl Rng) -> Result<Progress> {
        self.session.healing = None;
        let run = self.session.learn();
        (run.end_reached, run.reading) = (false, false);
        self.core.begin_heal(self.session.document)?;
        self.session.guards.heals += 1;
        if self.session.guards.heals > HEALINGS {
            let detail = "the server lacks again and again what it was given".to_owned();
            return self.failed(TroubleKind::Protocol, detail, 0, rng);
        }
        Ok(ANSWERED)
    }

    fn deleted(&mut self) -> Result<Progress> {
        let outcome = self.store(Page { deleted: true, ..Page::default() })?;
        if outcome.not_served {
            return Ok(self.stop(Outcome::NotServed));
        }
        self.session.learn().tombstone_told = true;
        Ok(counted(&outcome))
    }

    /// The server that said once that the document was deleted does not say so again. Where it `holds` the document, that
    /// was another's word under its address, or it was restored to before the deletion: who is sure of a deletion tells it.
    fn stands(&mut self, holds: bool) -> Result<Progress> {
        self.session.learn().tombstone_told = true;
        if !holds {
            return Ok(ANSWERED);
        }
        let returned = self.core.withdraw_deletion(self.session.document, &self.session.server)?;
        // What waited is owed again.
        self.session.start_run();
        Ok(Progress { returned, ..ANSWERED })
    }

    /// Fewer at once; a change that cannot be taken alone is parked, and the rest goes on.
    fn split(
        &mut self,
        sent: Sent,
        code: RefusalCode,
        detail: String,
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        let Sent::Push { rows, after, healing } = sent else {
            return self.failed(TroubleKind::Protocol, detail, 0, rng);
        };
        let [row] = rows.as_slice() else {
            self.session.shrink_batch(rows.len(), rows.iter().map(|r| r.bytes).sum());
            return Ok(ANSWERED);
        };
        let rejected =
            Rejected { hash: row.hash.to_string(), code, detail, missing: Vec::new(), stands: None };
        let page = Page { asked: after, rejected: vec![(row.id, rejected)], ..Page::default() };
        let pushed = Pushed { page, new_there: 0, lost: Vec::new(), forked: Vec::new() };
        self.pushed(Sent::Push { rows, after: None, healing }, pushed, rng)
    }

    fn smaller_pages(&mut self, detail: String, rng: &mut impl Rng) -> Result<Progress> {
        if self.session.shrink_page() {
            return Ok(ANSWERED);
        }
        self.failed(TroubleKind::Protocol, detail, 0, rng)
    }

    /// Ends the run. No attempt is counted, and the queue is kept.
    pub(super) fn stop(&mut self, outcome: Outcome) -> Progress {
        self.session.ended = Some(outcome);
        ANSWERED
    }

    /// Waits: a random time of a window that grows, and no less than the server asked for.
    fn failed(
        &mut self,
        kind: TroubleKind,
        detail: String,
        least: i64,
        rng: &mut impl Rng,
    ) -> Result<Progress> {
        let attempts = self.session.trouble.as_ref().map_or(0, |t| t.attempts).saturating_add(1);
        let wait = self.session.limits.backoff.wait(attempts, rng).saturating_add(least);
        self.session.wait_until = Some(self.now.steady.saturating_add(wait));
        if self.session.queued {
            let next_attempt_at = Some(self.now.wall.saturating_add(wait));
            let failure = Failure { document: self.session.document, error: detail.clone(), next_attempt_at };
            self.core.store_failure(&failure)?;
        }
        self.session.trouble = Some(Trouble { kind, detail, attempts });
        Ok(Progress::default())
    }
}

impl Pushed {
    /// Refused as forks, which are offered again under another name, or as heads too many, which are offered again with
    /// a merge.
    fn forked_roots(&self) -> usize {
        self.page.rejected.iter().filter(|(_, r)| is_mended(r.code)).count()
    }
}

fn counted(outcome: &PageOutcome) -> Progress {
    Progress {
        pulled: outcome.pulled,
        pushed: outcome.drained,
        parked: outcome.parked,
        quarantined: outcome.quarantined,
        rewritten: outcome.rewritten,
        own_rewritten: outcome.own_rewritten,
        after_quarantine: outcome.after_quarantine,
        left_actor: outcome.left_actor,
        returned: false,
        answered: true,
    }
}
