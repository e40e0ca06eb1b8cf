//! A page of the log, from its arrival to what it means for the run: whether the log's end is reached, and whether a
//! server goes on for ever without bringing anything.

use rand::Rng;

use super::{
    facts::{Page, PageOutcome},
    plans::{After, Most, Note, Write, Written},
    settle::{ANSWERED, Go, Turn},
    types::{Outcome, Progress, TroubleKind},
};

/// So many replies in a row may bring nothing before it is called a failure.
const IDLE_REPLIES: u32 = 16;
/// So many times what is held may be sent again in a run, and so many changes more: each healing and each hole
/// reads the log from its beginning, and a page that another process stored first comes twice.
const REPEATED_READS: u64 = 16;
const REPEATED_CHANGES: u64 = 64;
/// So many times a run may read the log to its end and still not hold the heads that the server names: while
/// others push, each time may bring more.
const READINGS: u32 = 16;

/// What is known of a page before it is stored.
#[derive(Debug)]
pub(super) struct PageRead {
    at_end: bool,
    /// It holds changes, or says what became of those that were pushed.
    brought: bool,
    /// Its cursor is another than the one asked with.
    moved: bool,
    carried: u64,
    /// The push that it answers.
    push: Option<PushRead>,
}

/// What is known of a push before its page is stored.
#[derive(Debug)]
pub(super) struct PushRead {
    /// Rows that the server took, or refused for good.
    pub settled: u64,
    /// Some were refused as forks, or as heads too many.
    pub forked: bool,
    /// Some were refused because the server lacks what it acknowledged.
    pub lost: bool,
}

impl<R: Rng> Turn<'_, R> {
    /// Has a page stored: "A cursor moves in the transaction that stores what it counts."
    pub(super) fn page(&mut self, page: Page, push: Option<PushRead>) -> Go {
        let carried = (page.changes.len() + page.refused.len()) as u64;
        let read = PageRead {
            at_end: page.at_end,
            brought: !page.changes.is_empty() || !page.refused.is_empty() || !page.rejected.is_empty(),
            moved: page.cursor.is_some() && page.cursor != page.asked,
            carried,
            push,
        };
        let limits = &self.session.limits;
        let most = Most { bytes: limits.document_bytes, actors: limits.document_actors };
        let count = self.session.guards.repeated.saturating_add(carried) > REPEATED_CHANGES;
        Go::write(Write::Page { page: self.at_server(page), most, count }, After::Page(read))
    }

    /// The page is stored, or has no room here.
    pub(super) fn page_stored(&mut self, mut read: PageRead, written: Written) -> Progress {
        let push = read.push.take();
        let progress = match written {
            Written::Page(outcome, held) => self.read_on(&read, &outcome, held),
            // Its own rows are the next run's: what the server did with them is known when its log is read.
            Written::TooLarge(of, most) => self.stop(Outcome::TooLarge(of, most)),
            _ => ANSWERED,
        };
        match push {
            Some(push) => self.drained(&push, progress),
            None => progress,
        }
    }

    /// What a stored page means for the run.
    fn read_on(&mut self, read: &PageRead, outcome: &PageOutcome, held: Option<u64>) -> Progress {
        let run = self.session.learn();
        run.end_reached = read.at_end && !outcome.stale && !outcome.hole;
        run.read_first &= !run.end_reached;
        let to_the_end = run.reading && run.end_reached;
        let progress = counted(outcome);
        if outcome.hole {
            self.hole();
            return progress;
        }
        if outcome.lacking {
            self.begin_heal();
            return progress;
        }
        self.session.guards.readings += u32::from(to_the_end);
        if self.session.guards.readings > READINGS {
            self.failed(TroubleKind::Protocol, "the server names heads that its log does not hold");
            return progress;
        }
        if outcome.pulled + outcome.quarantined == 0 && self.repeats_for_ever(read.carried, held) {
            let detail = "the server sends the same changes again and again, and its log does not end";
            return self.failed(TroubleKind::Protocol, detail);
        }
        let moves_on = read.brought && read.moved;
        if read.at_end || moves_on || outcome.drained + outcome.parked + outcome.rewritten > 0 {
            self.session.guards.idle = 0;
            return progress;
        }
        self.session.guards.idle += 1;
        if self.session.guards.idle > IDLE_REPLIES {
            let detail = "the server's answers bring nothing, and its log does not end";
            self.failed(TroubleKind::Protocol, detail);
        }
        progress
    }

    /// Whether more came again by now than an honest log, read from its beginning a few times, can hold.
    fn repeats_for_ever(&mut self, carried: u64, held: Option<u64>) -> bool {
        self.session.guards.repeated += carried;
        let most = held.map(|held| REPEATED_CHANGES + REPEATED_READS * held);
        most.is_some_and(|most| self.session.guards.repeated > most)
    }

    /// A pulled change lacks a dependency that is not here, or the log's end was reached without its heads (pages that were
    /// cut short, by this server or in its name, left a hole): the log is read from its beginning.
    fn hole(&mut self) {
        self.notes.push(Note::ForgetCursor);
        self.session.guards.holes += 1;
        let run = self.session.learn();
        run.reading = true;
        run.from_the_beginning = true;
        run.end_reached = false;
        if self.session.guards.holes > 1 {
            let detail = "the server's log lacks what its changes were made on, or its newest changes";
            self.failed(TroubleKind::Protocol, detail);
        }
    }
}

pub(super) fn counted(outcome: &PageOutcome) -> Progress {
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
