//! Rows of a log, as a backend gives them out and takes them.

use automerge::ActorId;
use rejoin_protocol::{ChangeHash, fence::Reach};

use super::Digest;

/// A row without its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Line<'r> {
    pub(crate) position: u64,
    pub(crate) hash: ChangeHash,
    /// The running digest after it.
    pub(crate) digest: Digest,
    /// Of the first change of an actor its name.
    pub(crate) begins: Option<&'r [u8]>,
    /// How many plain bytes it has.
    pub(crate) length: u64,
}

/// A row to be written.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRow<'r> {
    pub(crate) position: u64,
    pub(crate) hash: ChangeHash,
    pub(crate) actor: &'r ActorId,
    pub(crate) seq: u64,
    /// As [`rejoin_protocol::positions`] writes them.
    pub(crate) deps: &'r [u8],
    /// The running digest after it.
    pub(crate) digest: Digest,
    pub(crate) bytes: &'r [u8],
    /// What it is proved to have been before it was written again.
    pub(crate) was: Option<ChangeHash>,
    /// How far it counts, where that does not follow from its bytes.
    pub(crate) reach: Option<Reach>,
}

/// A change that no other depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) position: u64,
    pub(crate) hash: ChangeHash,
}

/// What became of a document's heads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MovedHeads {
    /// The positions of those that are none any more.
    pub(crate) gone: Vec<u64>,
    pub(crate) new: Vec<Head>,
}
