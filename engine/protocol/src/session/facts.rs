//! What the store tells a session, and what a session has the store do. Each verb is one transaction.

use crate::{
    ChangeHash, Cursor, DocumentId,
    fence::{CheckedChange, Refusal},
    wire::Rejected,
};

use super::types::Millis;

/// What a session needs to know of a document to plan its next step, about one server.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// Up to where everything of the server's log is here. A cursor that another server gave is none.
    pub cursor: Option<Cursor>,
    /// The server did not know the cursor: what it lacks is to be offered.
    pub healing: bool,
    /// Rows in the queue that may be sent, container changes included.
    pub waiting: u64,
    /// Rows accepted and not yet covered by the cursor.
    pub sent: u64,
    /// Rows that need a person.
    pub parked: u64,
    /// Live changes held.
    pub changes: u64,
    /// Live changes that are not in the queue.
    pub unqueued: u64,
    /// The last reply reached the log's end.
    pub at_end: bool,
    /// Deleted here, and the server is to be told.
    pub tombstone_owed: bool,
    /// Deleted, and a server knows.
    pub tombstone_known: bool,
    /// Of a deleted document: this is the server that is to be told, or that has the tombstone.
    pub tombstone_here: bool,
    /// The tombstone was told by this store, or heard of again an hour or more after it was first heard of. Until then the
    /// server is asked whether it stands.
    pub tombstone_sure: bool,
    /// The document is known to have begun at some server.
    pub begun: bool,
    /// Changes whenever another change becomes waiting: tells an edit during an upload.
    pub enqueued: u64,
}

/// What bounds one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchBounds {
    /// At most so many changes.
    pub count: usize,
    /// At most so many bytes, unless one change alone is larger.
    pub bytes: usize,
}

/// Changes taken for one push, dependencies first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Batch {
    /// The changes, with their place in the store.
    pub rows: Vec<BatchRow>,
    /// Their plain chunks, one after another.
    pub body: Vec<u8>,
}

/// One change of a [`Batch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchRow {
    /// Its place: opaque, given back to the store.
    pub id: i64,
    /// Its hash.
    pub hash: ChangeHash,
    /// How many bytes of the body are its.
    pub bytes: usize,
}

/// What a reply brought, to be stored in one transaction.
#[derive(Debug, Clone, Default)]
pub struct Page {
    /// The base address of the server that replied.
    pub server: String,
    /// The cursor that was asked with: the stored one moves only if it is still this.
    pub asked: Option<Cursor>,
    /// The reply's cursor; `None` leaves the stored one alone.
    pub cursor: Option<Cursor>,
    /// The reply reached the log's end (cursor and end are equal).
    pub at_end: bool,
    /// The heads of the log, where the reply reached its end and told them: what holds all of them has no hole.
    pub heads: Vec<ChangeHash>,
    /// Changes that were pulled, checked by the fence, in the log's order.
    pub changes: Vec<CheckedChange>,
    /// Changes that were pulled and that the fence itself refused, with their bytes: they are quarantined, so
    /// that they stop nothing.
    pub refused: Vec<(Refusal, Vec<u8>)>,
    /// Rows that this request carried and the server holds now (accepted or duplicate).
    pub accepted: Vec<i64>,
    /// Rows that this request carried and the server refused.
    pub rejected: Vec<(i64, Rejected)>,
    /// The server says that the document was deleted.
    pub deleted: bool,
}

/// What storing a [`Page`] did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PageOutcome {
    /// Changes that were new here.
    pub pulled: u64,
    /// Rows that left the queue.
    pub drained: u64,
    /// The cursor was no longer the one asked with, and stayed.
    pub stale: bool,
    /// Changes that were written again because of forks.
    pub rewritten: u64,
    /// Of these, changes that this store had dispatched.
    pub own_rewritten: u64,
    /// They were made in the place of changes of this store that were quarantined.
    pub after_quarantine: bool,
    /// What came was made under this store's actor by somebody else: it writes under another from now on.
    pub left_actor: bool,
    /// Changes that were quarantined.
    pub quarantined: u64,
    /// Rows that were parked.
    pub parked: u64,
    /// A pulled change lacks a dependency that this store does not hold: the page is not taken past it,
    /// and the log is to be read from the beginning.
    pub hole: bool,
    /// The log's heads were told, nothing waits here, and a change that was acknowledged is in none of them: the server lacks
    /// it.
    pub lacking: bool,
    /// The server says that the document was deleted, and is not the one where it lives: nothing was changed.
    pub not_served: bool,
}

impl PageOutcome {
    /// That of two parts of a page, the later one last.
    #[must_use]
    pub fn and(self, later: Self) -> Self {
        Self {
            pulled: self.pulled + later.pulled,
            drained: self.drained + later.drained,
            stale: later.stale,
            rewritten: self.rewritten + later.rewritten,
            own_rewritten: self.own_rewritten + later.own_rewritten,
            after_quarantine: self.after_quarantine || later.after_quarantine,
            left_actor: self.left_actor || later.left_actor,
            quarantined: self.quarantined + later.quarantined,
            parked: self.parked + later.parked,
            hole: self.hole || later.hole,
            lacking: later.lacking,
            not_served: self.not_served || later.not_served,
        }
    }
}

/// One change as healing sees it: oldest first, dependencies as indexes into the same list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealNode {
    /// Its place: opaque, given back to the store.
    pub id: i64,
    /// Its hash.
    pub hash: ChangeHash,
    /// Indexes of its dependencies.
    pub deps: Vec<u32>,
}

/// Why an attempt failed, to be shown in the queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The document.
    pub document: DocumentId,
    /// One sentence.
    pub error: String,
    /// When it is tried again.
    pub next_attempt_at: Option<Millis>,
}
