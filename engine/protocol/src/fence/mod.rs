//! The fence: what every change passes before it is stored or given to the library, at the server, at a
//! client that pulls, and for a local change before it is committed.
//!
//! The library panics on hostile bytes with good checksums, and has no limits of its own. So a change is
//! framed, measured and hashed here first, without the library, in time and memory that stay inside [`Limits`].

mod anatomy;
mod check;
mod chunk;
mod columns;
mod document;
mod nesting;
mod place;
mod reach;
mod read;
mod refusal;

pub(crate) use anatomy::{ACTION, Entries, Parts, count_operations, dependencies_of, dissect};
pub use anatomy::{author_of, hash_and_dependencies};
pub use check::{LAST_TIME, check, check_bytes};
pub use chunk::{ChunkKind, Frame, frame, frames};
pub(crate) use chunk::{hash, plain_chunk, plain_size};
pub(crate) use columns::values;
pub use document::{DEPTH, DocumentLimits, check_document};
pub use place::{Ancestry, Last, Placement, WalkBudget, place};
pub use reach::{Reach, SHARES, SLACK};
pub(crate) use read::Reader;
pub use refusal::{Refusal, RefusalCode};

use automerge::{ActorId, ChangeHash};

/// What one change may be. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Largest plain chunk; a compressed one is inflated no further.
    pub change_bytes: usize,
    /// Most operations, summed from the run lengths of the action column.
    pub operations: u64,
    /// Most dependencies.
    pub dependencies: usize,
    /// Longest actor id, own or named.
    pub actor_bytes: usize,
    /// Most other actors that operations name.
    pub actors: usize,
    /// Longest commit message.
    pub message_bytes: usize,
}

/// What a change may grow by when it is written again after a fork: another actor, and what proves what it was.
const ROOM_TO_BE_REWRITTEN: usize = 16 * 1024;

impl Limits {
    /// None: for what passed the fence when it was stored, perhaps under other limits than those of today.
    pub const fn unbounded() -> Self {
        Self {
            change_bytes: usize::MAX,
            operations: u64::MAX,
            dependencies: usize::MAX,
            actor_bytes: usize::MAX,
            actors: usize::MAX,
            message_bytes: usize::MAX,
        }
    }

    /// What a change that is made here may be, so that it is within these limits when it has to be written again.
    pub fn of_own(&self) -> Self {
        Self {
            change_bytes: self.change_bytes.saturating_sub(ROOM_TO_BE_REWRITTEN),
            message_bytes: self.message_bytes.saturating_sub(ROOM_TO_BE_REWRITTEN),
            ..*self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            change_bytes: 1024 * 1024,
            operations: 100_000,
            dependencies: 4_096,
            actor_bytes: 64,
            actors: 4_096,
            message_bytes: 64 * 1024,
        }
    }
}

/// A change that was framed and measured: its header, and its plain bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedChange {
    /// SHA-256 over type, length and body, computed here.
    pub hash: ChangeHash,
    /// Who made it.
    pub actor: ActorId,
    /// The actor's sequence number, from 1.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// How many operations it has.
    pub operations: u64,
    /// The changes it was made on.
    pub deps: Vec<ChangeHash>,
    /// Seconds since 1970, as its author's clock had it.
    pub time: i64,
    /// The commit message.
    pub message: Option<String>,
    /// The plain chunk (type 1), header and checksum included.
    pub bytes: Vec<u8>,
}
