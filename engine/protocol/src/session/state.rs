//! One session's memory. All of it may vanish at any time (a crash, a new process): the store's facts are
//! enough to begin again, and what is sent twice costs nothing.

use rand::Rng;

use crate::{
    DocumentId,
    planted::{self, Bug},
};

use super::{
    facts::{BatchBounds, Facts},
    healing::Healing,
    plan::Run,
    types::{Millis, Outcome, SessionLimits, Trouble, TroubleKind},
};

/// The syncing of one document with one server.
#[derive(Debug)]
pub struct Session {
    pub(super) document: DocumentId,
    /// The base address of the server: by it the store tells whose cursor, and whose tombstone, it has.
    pub(super) server: String,
    pub(super) limits: SessionLimits,
    /// The number of the last ticket, and of the one whose reply is waited for.
    pub(super) tickets: u64,
    pub(super) open: Option<u64>,
    pub(super) wait_until: Option<Millis>,
    pub(super) trouble: Option<Trouble>,
    /// What a push may hold now: smaller after a 413, larger again after each success.
    pub(super) batch: BatchBounds,
    /// At most so many changes in a pulled page; `None` leaves it to the server.
    pub(super) page: Option<u32>,
    pub(super) run: Option<Run>,
    pub(super) healing: Option<Healing>,
    pub(super) ended: Option<Outcome>,
    /// [`Facts::enqueued`] when the run began.
    pub(super) seen: Option<u64>,
    /// Only for the planted bug: what was enqueued up to here is never looked for again, and what is enqueued by the
    /// next step is forgotten.
    pub(super) lost: Option<u64>,
    pub(super) forgets_wake_up: bool,
    /// The facts of the last step.
    pub(super) facts: Facts,
    /// In the run that begins, parked changes were offered again.
    pub(super) offered_parked: bool,
    /// How often in a row the store was asked for something before there was a step.
    pub(super) turns: u32,
    /// Something is in the queue, and bears the last error.
    pub(super) queued: bool,
    pub(super) guards: Guards,
}

/// Counts what must not go on for ever, whatever the server answers. They begin anew with each run.
#[derive(Debug, Default)]
pub(super) struct Guards {
    /// Healings that began.
    pub heals: u32,
    /// Pushes that were answered with forks.
    pub forks: u32,
    /// Replies in a row that brought nothing.
    pub idle: u32,
    /// Times that healing read the log to its end.
    pub readings: u32,
    /// Times the log was read from the beginning because of a hole.
    pub holes: u32,
    /// Changes of pages in which nothing was new here.
    pub repeated: u64,
}

impl Session {
    /// A session that knows nothing yet.
    pub fn new(document: DocumentId, limits: SessionLimits) -> Self {
        Self {
            document,
            server: String::new(),
            limits,
            tickets: 0,
            open: None,
            wait_until: None,
            trouble: None,
            batch: limits.batch,
            page: None,
            run: None,
            healing: None,
            ended: None,
            seen: None,
            lost: None,
            forgets_wake_up: false,
            facts: Facts::default(),
            offered_parked: false,
            turns: 0,
            queued: false,
            guards: Guards::default(),
        }
    }

    /// With this server from now on. Without it all servers are one, as in a simulation.
    pub fn speak_to(&mut self, server: &str) {
        if self.server != server {
            server.clone_into(&mut self.server);
            (self.healing, self.open) = (None, None);
        }
    }

    /// The document.
    pub fn document(&self) -> DocumentId {
        self.document
    }

    /// The base address of the server with which it speaks; empty where all servers are one.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// What bounds it.
    pub fn limits(&self) -> &SessionLimits {
        &self.limits
    }

    /// Why the last attempt failed; `None` after a reply that could be used.
    pub fn trouble(&self) -> Option<&Trouble> {
        self.trouble.as_ref()
    }

    /// Until when it waits, on the steady clock.
    pub fn waits_until(&self) -> Option<Millis> {
        self.wait_until
    }

    /// Whether the server refused what this run pushed, because this token may not write here.
    pub fn only_reads(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.only_read.is_some())
    }

    /// Ends a wait for a connection: there is reason to think that it can be had now. A server that answered, and
    /// said "later", is waited for all the same.
    pub fn hurry(&mut self) {
        let network =
            |trouble: &Trouble| matches!(trouble.kind, TroubleKind::NoConnection | TroubleKind::Broken);
        if self.trouble.as_ref().is_some_and(network) {
            self.wait_until = None;
        }
    }

    /// Begins a run: what is owed now is pushed, and the log is read to its end. Call it when it is time to
    /// poll; a wait after a failure goes on.
    pub fn start_run(&mut self) {
        self.run = None;
        self.ended = None;
        self.open = None;
        self.offered_parked = false;
        self.guards = Guards::default();
    }

    /// Whether the next step begins a run.
    pub(super) fn begins_run(&self) -> bool {
        self.run.is_none()
    }

    /// The facts as they are at the start of a step; begins a run where there is none.
    pub(super) fn take_facts(&mut self, facts: &Facts) {
        self.queued = facts.waiting + facts.sent > 0;
        self.facts.clone_from(facts);
        if std::mem::take(&mut self.forgets_wake_up) {
            self.seen = Some(facts.enqueued);
            self.lost = self.seen;
        }
        // Something became waiting after the run ended, or while it went on: another run.
        if self.ended.is_some() && self.seen < Some(facts.enqueued) {
            self.start_run();
        }
        if self.run.is_none() {
            let mut owed = facts.waiting + facts.sent;
            if planted::is_planted(Bug::LostWakeUp) && self.lost >= Some(facts.enqueued) {
                owed = 0;
            }
            self.seen = Some(facts.enqueued);
            self.run = Some(Run { owed, ..Run::default() });
        }
    }

    pub(super) fn learn(&mut self) -> &mut Run {
        self.run.get_or_insert_default()
    }

    /// The server could not take so much.
    pub(super) fn shrink_batch(&mut self, carried: usize, bytes: usize) {
        self.batch = BatchBounds { count: (carried / 2).max(1), bytes: (bytes / 2).max(1) };
    }

    /// A push got through: the next may be twice as large, up to the limit.
    pub(super) fn grow_batch(&mut self) {
        let limit = self.limits.batch;
        self.batch = BatchBounds {
            count: self.batch.count.saturating_mul(2).min(limit.count),
            bytes: self.batch.bytes.saturating_mul(2).min(limit.bytes),
        };
    }

    /// Halves the pages that are asked for; false when they are down to one change.
    pub(super) fn shrink_page(&mut self) -> bool {
        let page = self.page.unwrap_or(8_192) / 2;
        self.page = Some(page.max(1));
        page >= 1
    }

    /// A wait for as long as jitter says, in a window of milliseconds.
    pub(super) fn wait_within(&mut self, window: Millis, now: Millis, rng: &mut impl Rng) {
        use rand::RngExt;
        if window > 0 {
            self.wait_until = Some(now.saturating_add(rng.random_range(0..=window)));
        }
    }
}
