//! What goes in and out of a session.

use std::time::Duration;

use crate::{ChangeHash, Cursor, fence, wire::Request};

use super::{
    Backoff,
    facts::{BatchBounds, BatchRow},
};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// The time, twice. Waits are counted on the steady clock, which never jumps; what a person reads in the
/// queue comes from the wall clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds since some moment of this process.
    pub steady: Millis,
    /// Milliseconds since 1970, UTC, as the wall clock has it: shown, never compared.
    pub wall: Millis,
}

impl Now {
    /// Both clocks at once, for a simulator that has one.
    pub const fn at(both: Millis) -> Self {
        Self { steady: both, wall: both }
    }
}

/// What bounds a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// Largest push. A server that answers 413 makes it smaller.
    pub batch: BatchBounds,
    /// What a pulled change may be.
    pub change: fence::Limits,
    /// What a snapshot may be.
    pub snapshot: fence::DocumentLimits,
    /// What a document may come to here, in plain bytes of changes, by what is pulled. What is made here is not bounded by
    /// it.
    pub document_bytes: u64,
    /// How many actors it may have here, by what is pulled: each is a place in every index of the library, and many in
    /// small pages cost much more than many at once.
    pub document_actors: u64,
    /// How long to wait after failures.
    pub backoff: Backoff,
    /// The longest `Retry-After` that is obeyed.
    pub longest_retry_after: Duration,
}

/// As much as a server takes by default.
pub const DOCUMENT_BYTES: u64 = 1 << 30;
/// Twice as many as a server takes by default.
pub const DOCUMENT_ACTORS: u64 = 1 << 13;

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            batch: BatchBounds { count: 5_000, bytes: 2 * 1024 * 1024 },
            change: fence::Limits::default(),
            snapshot: fence::DocumentLimits::default(),
            document_bytes: DOCUMENT_BYTES,
            document_actors: DOCUMENT_ACTORS,
            backoff: Backoff::PERSON,
            longest_retry_after: Duration::from_secs(3_600),
        }
    }
}

/// What to do next.
#[derive(Debug)]
pub enum Step {
    /// Send this, and give the reply with the ticket to [`super::judge`] and [`super::Session::settle`].
    Send {
        /// The request.
        request: Request,
        /// What the reply is to be judged by.
        ticket: Ticket,
    },
    /// Ask again at this time of the steady clock (or later).
    Wait {
        /// When.
        until: Millis,
    },
    /// This run is over. Ask again when something became waiting, or start the next run when it is time to poll.
    Done(Outcome),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// What was owed at the start is at the server and covered by the cursor, and the log's end was reached.
    InStep,
    /// The server has no such document, and nothing here is to be pushed: joined before anybody pushed.
    NotThere,
    /// The document was deleted, and the server where it lives knows.
    Deleted,
    /// The document was deleted here, and another server than this one is to be told.
    OwedElsewhere,
    /// This server says that the document was deleted, and is not the one where it lives. Nothing was changed: the
    /// queue and the cursor are kept.
    NotServed,
    /// The server refused the credentials. The queue is kept, and no attempt was counted.
    Unauthorized(String),
    /// The server takes the credentials, and they have not the right to do this. The queue is kept, and no attempt was
    /// counted.
    Forbidden(String),
    /// The server wants a newer release of this program.
    UpgradeRequired(String),
    /// The log brought more than [`SessionLimits::document_bytes`] or [`SessionLimits::document_actors`] (which, and the
    /// limit): nothing more was taken.
    TooLarge(&'static str, u64),
}

/// What a reply is judged by: which request it answers. Lost tickets are harmless.
#[derive(Debug, Clone)]
pub struct Ticket {
    pub(super) number: u64,
    pub(super) sent: Sent,
}

#[derive(Debug, Clone)]
pub(super) enum Sent {
    Push {
        rows: Vec<BatchRow>,
        after: Option<Cursor>,
        /// Offers what the server lacks; its cursor means nothing.
        healing: bool,
    },
    Pull {
        after: Option<Cursor>,
    },
    Snapshot,
    Missing {
        hashes: Vec<ChangeHash>,
    },
    Delete,
    /// Whether the document is deleted still; what it holds is not looked at.
    Standing,
}

/// What a reply brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Changes that were new here.
    pub pulled: u64,
    /// Rows that left the queue, and changes that healing gave back to the server.
    pub pushed: u64,
    /// Rows that were parked.
    pub parked: u64,
    /// Changes that were quarantined.
    pub quarantined: u64,
    /// Changes that were written again because of forks.
    pub rewritten: u64,
    /// Of these, changes that this store had dispatched.
    pub own_rewritten: u64,
    /// They were made in the place of changes of this store that were quarantined.
    pub after_quarantine: bool,
    /// What came was made under this store's actor by somebody else: it writes under another from now on.
    pub left_actor: bool,
    /// The document had been taken for deleted, and its server has it: it left the trash.
    pub returned: bool,
    /// The server answered, and the answer could be used.
    pub answered: bool,
}

impl Progress {
    /// Adds another reply's.
    pub fn add(&mut self, other: &Self) {
        self.pulled += other.pulled;
        self.pushed += other.pushed;
        self.parked += other.parked;
        self.quarantined += other.quarantined;
        self.rewritten += other.rewritten;
        self.own_rewritten += other.own_rewritten;
        self.after_quarantine |= other.after_quarantine;
        self.left_actor |= other.left_actor;
        self.returned |= other.returned;
        self.answered |= other.answered;
    }
}

/// Why the last attempt failed. It is tried again after a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// What kind.
    pub kind: TroubleKind,
    /// One sentence, without secrets.
    pub detail: String,
    /// How often in a row; 1 for the first.
    pub attempts: u32,
}

/// What kind of failure: a caller that does not want to wait gives up sooner on some.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TroubleKind {
    /// No connection.
    NoConnection,
    /// A deadline passed or the connection broke.
    Broken,
    /// What answers is no sync server: a captive portal, a proxy, a wrong address.
    NotASyncServer,
    /// The server is there, and says later: 408, 425, 429, 5xx.
    Busy,
    /// A sync server that contradicts itself, or refuses what this release says.
    Protocol,
}
