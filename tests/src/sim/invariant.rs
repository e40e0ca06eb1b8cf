//! The invariants that the simulator checks, by number.

use std::fmt;

/// What must hold. The sentences are those of the design.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Invariant {
    /// 1
    Atomic,
    /// 2
    Acknowledged,
    /// 3
    NoOpenTransaction,
    /// 4
    NoHole,
    /// 5
    Convergence,
    /// 6
    Isolation,
    /// 7
    LocalFirst,
    /// 8
    NoPanic,
    /// 9
    NothingLost,
    /// 10
    SnapshotIsCache,
    /// Nothing is done twice, and nothing that nobody did.
    ExactlyOnce,
    /// An undo is a change that takes back what this replica did last, and nothing that others wrote.
    Undo,
    /// When the faults stop, every queue drains.
    Liveness,
    /// No verb fails where nothing struck.
    NoError,
}

impl Invariant {
    /// The promise as a sentence.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Atomic => "1. A change and its queue row are both there or both not.",
            Self::Acknowledged => {
                "2. Acknowledged means durable at the server. A row leaves the queue only in a transaction whose cursor covers it."
            }
            Self::NoOpenTransaction => {
                "3. No transaction is open across a network call. An edit made during an upload stays queued."
            }
            Self::NoHole => {
                "4. A cursor moves in the transaction that stores what it counts. A phantom is allowed, a hole never."
            }
            Self::Convergence => {
                "5. Two replicas with the same changes have equal heads and equal state, whatever the order, the duplicates and the crashes between."
            }
            Self::Isolation => {
                "6. No document, no change and no peer can stop another document from syncing; the good part of a batch is stored."
            }
            Self::LocalFirst => "7. Local reads and edits never wait for the network.",
            Self::NoPanic => "8. Whatever a remote side sends, nothing panics past its task.",
            Self::NothingLost => {
                "9. A restored or copied database, on either side, heals by itself and loses nothing that some replica still holds."
            }
            Self::SnapshotIsCache => {
                "10. The raw bytes of a change are the system of record. A snapshot is a cache: it covers a prefix of the log."
            }
            Self::ExactlyOnce => "Nothing is doubled, and nothing is there that nobody did.",
            Self::Undo => {
                "An undo is one change, which takes back what is next once, as far as it still wins, and nothing that others wrote."
            }
            Self::Liveness => "When the faults stop, every queue drains and all replicas become equal.",
            Self::NoError => "No verb of the store fails where nothing struck.",
        }
    }
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// How.
    pub detail: String,
    /// When, in simulated milliseconds.
    pub at: i64,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} Broken at {} ms: {}", self.invariant.sentence(), self.at, self.detail)
    }
}

pub(super) type Checked<T = ()> = Result<T, Violation>;
