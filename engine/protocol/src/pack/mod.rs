//! Packs: a run of changes in the order of their dependencies, with what can be derived again left out, then zstd.
//!
//! One codec for two uses: large batches between rejoin's own clients and servers, and the server's log at rest. It
//! needs no document. What is left out is the frame of each chunk (magic, checksum, type, length) and the hashes of
//! dependencies inside the run, which become distances. What is left is sorted by kind: sequence numbers, counters
//! and times as differences from what is to be expected, actors, messages and metadata of columns as places in
//! tables, and the data of columns by column. A body that cannot be cut in this way travels whole. Every chunk comes
//! back byte for byte, and a pack bears a digest of the hashes, so that a damaged one is refused.
//!
//! # The bytes
//! Numbers are LEB128; signed ones are zigzag coded before. `RJPK`, the version (1), the number of changes, the
//! bytes of their plain chunks, the first 16 bytes of SHA-256 over all hashes, the number of streams, and then each stream in the order of their ids: id,
//! length once inflated, length as it stands (0: it stands as it is, and is as long as the first length says, else
//! one zstd frame), and the bytes. The module `layout` lists the streams.

mod column;
mod decode;
mod encode;
mod error;
mod expect;
mod layout;
mod number;
mod streams;

pub use decode::{Claim, Dependency, Unpacked, claim, unpack};
pub use encode::{Effort, pack};
pub use error::PackError;

/// What a pack may come to when it is decoded. Both are asked before memory is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackLimits {
    /// Most changes.
    pub changes: usize,
    /// Most bytes of plain chunks, and most bytes of inflated streams, each.
    pub bytes: usize,
}
