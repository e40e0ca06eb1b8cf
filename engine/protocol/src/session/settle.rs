//! A reply and what it changes. The verdict is pure, and so is what follows from it: the store is told what to write, and
//! what came of that goes back into the session.

use std::collections::HashSet;

use rand::Rng;

use crate::{
    ChangeHash, Cursor,
    fence::RefusalCode,
    planted::{self, Bug},
    wire::Rejected,
};

use super::{
    facts::{BatchRow, Failure, Page},
    pages::{PushRead, counted},
    plans::{After, Note, Offered, Plan, Settled, Then, Write, Written},
    state::Session,
    types::{Now, Outcome, Progress, Sent, Ticket, Trouble, TroubleKind},
    verdict::{Meaning, Pushed, Verdict, is_mended},
};

/// So many pushes of a run may be answered with forks: each one writes changes again.
const FORK_REPLIES: u32 = 64;
/// So many healings a run: the second is there for a server that is replaced while it heals.
const HEALINGS: u32 = 3;

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

/// How a turn goes on.
pub(super) enum Go {
    /// The store writes this first.
    Write(Box<Write>, After),
    /// It is over.
    Over(Progress),
}

impl Go {
    pub(super) fn write(write: Write, after: After) -> Self {
        Self::Write(Box::new(write), after)
    }
}

/// One reply being settled.
pub(super) struct Turn<'a, R: Rng> {
    pub(super) session: &'a mut Session,
    pub(super) notes: Vec<Note>,
    now: Now,
    rng: &'a mut R,
}

impl Session {
    /// Says what follows from a verdict. A ticket that is not the one waited for (a late or repeated reply) changes
    /// nothing.
    pub fn settle(&mut self, ticket: Ticket, verdict: Verdict, now: Now, rng: &mut impl Rng) -> Plan {
        if self.open != Some(ticket.number) {
            return Plan::Settled(Settled::default());
        }
        self.open = None;
        // A server that contradicts itself also gives answers that can be used in between: that trouble stays until
        // a run ends well, so that its waits grow.
        let contradicts = self.trouble.as_ref().is_some_and(|t| t.kind == TroubleKind::Protocol);
        let usable =
            !matches!(verdict.0, Meaning::Failed { .. } | Meaning::Split(..) | Meaning::SmallerPages(_));
        if usable && !contradicts {
            self.trouble = None;
        }
        tracing::debug!(document = %self.document, ticket = ticket.number, "reply");
        let mut turn = Turn { session: self, notes: Vec::new(), now, rng };
        let go = turn.settle(ticket.sent, verdict.0);
        turn.plan(go)
    }

    /// The store has written what [`Session::settle`] or [`Session::take_event`] asked for.
    pub fn stored(&mut self, then: Then, written: Written, now: Now, rng: &mut impl Rng) -> Settled {
        let mut turn = Turn { session: self, notes: Vec::new(), now, rng };
        let progress = turn.stored(then.0, written);
        Settled { progress, notes: turn.notes }
    }

    /// A page without a reply: what an event brought.
    pub(super) fn take_page(&mut self, page: Page, now: Now, rng: &mut impl Rng) -> Plan {
        let mut turn = Turn { session: self, notes: Vec::new(), now, rng };
        let go = turn.page(page, None);
        turn.plan(go)
    }
}

impl<R: Rng> Turn<'_, R> {
    fn plan(self, go: Go) -> Plan {
        match go {
            Go::Write(write, after) => Plan::Store(*write, Then(after)),
            Go::Over(progress) => Plan::Settled(Settled { progress, notes: self.notes }),
        }
    }

    fn settle(&mut self, sent: Sent, meaning: Meaning) -> Go {
        Go::Over(match meaning {
            Meaning::Pushed(pushed) => return self.pushed(sent, pushed),
            Meaning::Pulled(page) => return self.page(page, None),
            Meaning::Snapshot { bytes, cursor } => {
                return Go::write(Write::Snapshot { bytes, cursor }, After::Snapshot);
            }
            Meaning::NoSnapshot(detail) => {
                tracing::debug!(document = %self.session.document, %detail, "the snapshot is not taken");
                self.no_snapshot()
            }
            Meaning::Lacks { missing, heads, cursor } => return self.lacks(&sent, &missing, (heads, cursor)),
            Meaning::NotThere => return self.not_there(sent),
            Meaning::CursorUnknown => self.begin_heal(),
            Meaning::Deleted => {
                let page = self.at_server(Page { deleted: true, ..Page::default() });
                return Go::write(Write::Deleted(page), After::Deleted);
            }
            Meaning::Split(code, detail) => return self.split(sent, code, detail),
            Meaning::SmallerPages(detail) => self.smaller_pages(&detail),
            Meaning::Unauthorized(detail) => self.stop(Outcome::Unauthorized(detail)),
            Meaning::Forbidden(detail) => return self.forbidden(&sent, detail),
            Meaning::UpgradeRequired(detail) => self.stop(Outcome::UpgradeRequired(detail)),
            Meaning::Failed { kind, detail, retry_after } => {
                // A line too slow for this much before the deadline: less at once.
                if let (TroubleKind::Broken, Sent::Push { rows, .. }) = (kind, &sent) {
                    self.session.shrink_batch(rows.len(), rows.iter().map(|r| r.bytes).sum());
                }
                let least = retry_after.map_or(0, |d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX));
                self.failed_for(kind, &detail, least)
            }
        })
    }

    fn stored(&mut self, after: After, written: Written) -> Progress {
        match (after, written) {
            (After::Page(read), written) => self.page_stored(read, written),
            (After::Healed(offered), Written::Healed(outcome, unqueued)) => {
                let told = offered.new_there.min(unqueued);
                let progress = Progress { pushed: told, ..counted(&outcome) };
                self.healed(&offered, outcome.rewritten > 0, progress)
            }
            (After::Deleted, Written::Deleted(outcome)) if outcome.not_served => {
                self.stop(Outcome::NotServed)
            }
            (After::Deleted, Written::Deleted(outcome)) => {
                self.session.learn().tombstone_told = true;
                counted(&outcome)
            }
            (After::Snapshot, Written::Snapshot(Some(pulled))) => Progress { pulled, ..ANSWERED },
            // It holds something by now, or the snapshot does not stand.
            (After::Snapshot, _) => self.no_snapshot(),
            (After::Standing, Written::Withdrawn(returned)) => {
                // What waited is owed again.
                self.session.start_run();
                Progress { returned, ..ANSWERED }
            }
            (After::Deleting(detail), Written::Ended(true)) => self.not_told_again(&detail),
            (After::Deleting(detail), _) => self.may_not_delete(&detail),
            _ => ANSWERED,
        }
    }

    pub(super) fn at_server(&self, page: Page) -> Page {
        Page { server: self.session.server.clone(), ..page }
    }

    fn pushed(&mut self, sent: Sent, pushed: Pushed) -> Go {
        let Sent::Push { rows, healing, .. } = sent else { return Go::Over(ANSWERED) };
        self.session.grow_batch();
        if healing {
            return self.offered(rows, pushed);
        }
        let settled = pushed.page.accepted.len() + pushed.page.rejected.len() - pushed.forked_roots();
        let push = PushRead {
            settled: settled as u64,
            forked: !pushed.forked.is_empty(),
            lost: !pushed.lost.is_empty(),
        };
        self.page(pushed.page, Some(push))
    }

    /// An ordinary push: "A row leaves the queue only in a transaction whose cursor covers it; accepted and not
    /// yet covered, it is `sent`." The store decides, for the page says all it needs: the rows that this request
    /// carried and that were not refused, the cursor, and whether it is the log's end.
    pub(super) fn drained(&mut self, push: &PushRead, progress: Progress) -> Progress {
        self.session.learn().offered += push.settled;
        self.session.forgets_wake_up = planted::is_planted(Bug::LostWakeUp);
        if push.forked {
            let run = self.session.learn();
            run.read_first = !run.end_reached;
            if self.forks_for_ever() {
                return self.contradicted();
            }
        }
        if push.lost {
            // It lacks what it acknowledged: it lost something, and is offered it again.
            self.begin_heal();
        }
        progress
    }

    /// A push of healing was answered: what is refused for good is remembered, and what is lost begins the walk again.
    fn offered(&mut self, rows: Vec<BatchRow>, pushed: Pushed) -> Go {
        let Some(healing) = self.session.healing.as_mut() else { return Go::Over(ANSWERED) };
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
        let refused = (!page.rejected.is_empty()).then(|| self.at_server(page));
        let offered = Offered { new_there: pushed.new_there, lost };
        Go::write(Write::Healed { refused, rows }, After::Healed(offered))
    }

    fn healed(&mut self, offered: &Offered, rewritten: bool, mut progress: Progress) -> Progress {
        if rewritten {
            // Changes have other names now: what the server lacks is found out again.
            self.session.healing = None;
            if self.forks_for_ever() {
                return self.contradicted();
            }
        } else if offered.lost {
            progress.add(&self.begin_heal());
        }
        progress
    }

    fn forks_for_ever(&mut self) -> bool {
        self.session.guards.forks += 1;
        self.session.guards.forks > FORK_REPLIES
    }

    fn contradicted(&mut self) -> Progress {
        self.failed(TroubleKind::Protocol, "the server refuses again what was mended as it asked")
    }

    fn no_snapshot(&mut self) -> Progress {
        self.session.learn().no_snapshot = true;
        ANSWERED
    }

    fn lacks(
        &mut self,
        sent: &Sent,
        missing: &HashSet<ChangeHash>,
        end: (Vec<ChangeHash>, Option<Cursor>),
    ) -> Go {
        if matches!(sent, Sent::Standing) {
            return self.stands(end.1.is_some());
        }
        let (Some(healing), Sent::Missing { hashes }) = (self.session.healing.as_mut(), sent) else {
            return Go::Over(ANSWERED);
        };
        // "The old cursor stays until the new one is stored, so a crash in between heals again."
        if !self.session.facts.healing {
            self.notes.push(Note::BeginHeal);
        }
        match healing.answered(hashes, missing, end) {
            Some(window) => self.session.wait_within(window, self.now.steady, self.rng),
            None => return Go::Over(self.begin_heal()),
        }
        Go::Over(ANSWERED)
    }

    fn not_there(&mut self, sent: Sent) -> Go {
        Go::Over(match sent {
            // A server without snapshots looks the same: only a pull is proof.
            Sent::Snapshot => self.no_snapshot(),
            Sent::Pull { after: None } => {
                let run = self.session.learn();
                (run.nothing_there, run.reading) = (true, false);
                ANSWERED
            }
            Sent::Pull { after: Some(_) } | Sent::Push { after: Some(_), .. } => self.begin_heal(),
            Sent::Missing { hashes } => {
                let all = hashes.iter().copied().collect();
                return self.lacks(&Sent::Missing { hashes }, &all, (Vec::new(), None));
            }
            Sent::Standing => return self.stands(false),
            Sent::Push { after: None, .. } | Sent::Delete => {
                let detail = "the server does not know this address (404): is its path right?";
                self.failed(TroubleKind::NotASyncServer, detail)
            }
        })
    }

    /// The server does not know the cursor, or the document, or what it acknowledged.
    pub(super) fn begin_heal(&mut self) -> Progress {
        self.session.healing = None;
        let run = self.session.learn();
        (run.end_reached, run.reading) = (false, false);
        self.notes.push(Note::BeginHeal);
        self.session.guards.heals += 1;
        if self.session.guards.heals > HEALINGS {
            return self.failed(TroubleKind::Protocol, "the server lacks again and again what it was given");
        }
        ANSWERED
    }

    /// The server that said once that the document was deleted does not say so again. Where it `holds` the document, that
    /// was another's word under its address, or it was restored to before the deletion: who is sure of a deletion tells it.
    fn stands(&mut self, holds: bool) -> Go {
        self.session.learn().tombstone_told = true;
        if holds { Go::write(Write::WithdrawDeletion, After::Standing) } else { Go::Over(ANSWERED) }
    }

    /// Fewer at once; a change that cannot be taken alone is parked, and the rest goes on.
    fn split(&mut self, sent: Sent, code: RefusalCode, detail: String) -> Go {
        let Sent::Push { rows, after, healing } = sent else {
            return Go::Over(self.failed(TroubleKind::Protocol, &detail));
        };
        let [row] = rows.as_slice() else {
            self.session.shrink_batch(rows.len(), rows.iter().map(|r| r.bytes).sum());
            return Go::Over(ANSWERED);
        };
        let rejected =
            Rejected { hash: row.hash.to_string(), code, detail, missing: Vec::new(), stands: None };
        let page = Page { asked: after, rejected: vec![(row.id, rejected)], ..Page::default() };
        let pushed = Pushed { page, new_there: 0, lost: Vec::new(), forked: Vec::new() };
        self.pushed(Sent::Push { rows, after: None, healing }, pushed)
    }

    fn smaller_pages(&mut self, detail: &str) -> Progress {
        if self.session.shrink_page() { ANSWERED } else { self.failed(TroubleKind::Protocol, detail) }
    }

    /// Ends the run. No attempt is counted, and the queue is kept.
    pub(super) fn stop(&mut self, outcome: Outcome) -> Progress {
        self.session.ended = Some(outcome);
        ANSWERED
    }

    /// Waits for a random time of a window that grows.
    pub(super) fn failed(&mut self, kind: TroubleKind, detail: &str) -> Progress {
        self.failed_for(kind, detail, 0)
    }

    /// Waits: a random time of a window that grows, and no less than the server asked for, in milliseconds.
    fn failed_for(&mut self, kind: TroubleKind, detail: &str, least: i64) -> Progress {
        let attempts = self.session.trouble.as_ref().map_or(0, |t| t.attempts).saturating_add(1);
        let wait = self.session.limits.backoff.wait(attempts, self.rng).saturating_add(least);
        self.session.wait_until = Some(self.now.steady.saturating_add(wait));
        if self.session.queued {
            let next_attempt_at = Some(self.now.wall.saturating_add(wait));
            let document = self.session.document;
            self.notes.push(Note::Failed(Failure { document, error: detail.to_owned(), next_attempt_at }));
        }
        self.session.trouble = Some(Trouble { kind, detail: detail.to_owned(), attempts });
        Progress::default()
    }
}

impl Pushed {
    /// Refused as forks, which are offered again under another name, or as heads too many, which are offered again with
    /// a merge.
    fn forked_roots(&self) -> usize {
        self.page.rejected.iter().filter(|(_, r)| is_mended(r.code)).count()
    }
}
