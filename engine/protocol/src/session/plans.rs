//! What a session has the store do, and what it is told of that. A session touches no store: these values go out and in.

use crate::{ChangeHash, Cursor};

use super::{
    facts::{Batch, BatchBounds, BatchRow, Failure, HealNode, Page, PageOutcome},
    pages::PageRead,
    types::{Progress, Step},
};

/// What comes next: a step for the driver, or something for the store first.
#[derive(Debug)]
pub enum Next {
    /// This is the step.
    Step(Step),
    /// The store does this, and [`super::Session::found`] is told what came of it. Then `next` is asked again.
    Store(Need),
}

/// What a session needs of the store before it can say the next step. Each is one transaction.
#[derive(Debug)]
pub enum Need {
    /// Offer changes again that were parked: those for which a server had no room, or else those that waited for one
    /// that found room meanwhile.
    OfferParked {
        /// For want of room.
        room: bool,
    },
    /// Note in each waiting row that the document has not begun at the server, and that this token may not begin it.
    NoteNotBegun(String),
    /// The next changes to push.
    Batch(BatchBounds),
    /// All live changes, for the walk of a healing.
    Graph,
    /// These changes, as many as fit.
    Changes(Vec<i64>, BatchBounds),
    /// End the healing, where every one of these heads is held; the cursor is then the stored one.
    EndHeal {
        /// The server's heads.
        heads: Vec<ChangeHash>,
        /// The server's cursor.
        cursor: Option<Cursor>,
        /// Where it does not end: forget the stored cursor, for it is not one of this log.
        forget_cursor: bool,
    },
}

/// What came of a [`Need`].
#[derive(Debug)]
pub enum Found {
    /// So many parked changes wait again.
    Offered(u64),
    /// It is noted.
    Noted,
    /// The next changes to push.
    Batch(Batch),
    /// All live changes, oldest first.
    Graph(Vec<HealNode>),
    /// Of the changes that were asked for (their places), those that fit.
    Changes(Vec<i64>, Batch),
    /// Whether the healing ended.
    HealEnded(bool),
}

/// What follows from a reply.
#[derive(Debug)]
pub enum Plan {
    /// The store writes this, and [`super::Session::stored`] is told what came of it.
    Store(Write, Then),
    /// The reply is settled but for these notes.
    Settled(Settled),
}

/// What a reply brought, and what the store is to note of it.
#[derive(Debug, Default)]
pub struct Settled {
    /// What it brought.
    pub progress: Progress,
    /// What the store is to note, in this order.
    pub notes: Vec<Note>,
}

/// What a reply has the store write. Each is one transaction.
#[derive(Debug)]
pub enum Write {
    /// A page, where the document has room for it.
    Page {
        /// The page.
        page: Page,
        /// How large the document may become here.
        most: Most,
        /// Count what is held, afterwards.
        count: bool,
    },
    /// The answer to what a healing offered: what was refused (if anything), and which of the rows offered are not in
    /// the queue is counted.
    Healed {
        /// What was refused.
        refused: Option<Page>,
        /// What was offered.
        rows: Vec<BatchRow>,
    },
    /// The server says that the document was deleted.
    Deleted(Page),
    /// A first copy.
    Snapshot {
        /// An Automerge file, measured.
        bytes: Vec<u8>,
        /// The cursor that goes with it.
        cursor: Cursor,
    },
    /// The server that had the tombstone holds the document: it leaves the trash.
    WithdrawDeletion,
    /// The deletion of a document that was never at a server is told to nobody.
    EndDeletionOfUnsent,
}

/// How large a document may become by what is pulled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Most {
    /// In plain bytes of its changes.
    pub bytes: u64,
    /// In actors.
    pub actors: u64,
}

/// What came of a [`Write`].
#[derive(Debug)]
pub enum Written {
    /// The page is stored. Changes held and quarantined, where they were to be counted.
    Page(PageOutcome, Option<u64>),
    /// The document has no room for the page: too much of what, and the limit.
    TooLarge(&'static str, u64),
    /// What was refused is stored, and so many of the rows offered are not in the queue.
    Healed(PageOutcome, u64),
    /// The deletion is stored.
    Deleted(PageOutcome),
    /// The first copy is stored, of so many changes; `None`: it could not be taken.
    Snapshot(Option<u64>),
    /// Whether the document left the trash.
    Withdrawn(bool),
    /// Whether there was a deletion of an unsent document.
    Ended(bool),
}

/// Something for the store to note. Each is one transaction.
#[derive(Debug)]
pub enum Note {
    /// The document heals from now on.
    BeginHeal,
    /// The stored cursor is none of this server's log.
    ForgetCursor,
    /// Each waiting row bears this refusal.
    NotAllowed {
        /// What the server said.
        why: String,
        /// It counts as an attempt.
        tried: bool,
    },
    /// Each waiting row bears this failure.
    Failed(Failure),
}

/// How a reply goes on when the store has written: opaque, given back to the session.
#[derive(Debug)]
pub struct Then(pub(super) After);

/// How a reply goes on after its [`Write`].
#[derive(Debug)]
pub(super) enum After {
    Page(PageRead),
    Healed(Offered),
    Deleted,
    Snapshot,
    Standing,
    /// A deletion that this token may not make; what the server said.
    Deleting(String),
}

/// What is known of an offer of healing before it is stored.
#[derive(Debug)]
pub(super) struct Offered {
    pub new_there: u64,
    /// The server lacks something else than what it refused.
    pub lost: bool,
}
