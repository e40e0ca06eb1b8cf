//! Where the changes of a log come from, in batches.

use rejoin_protocol::{fence, untrusted::CROWD};

/// A piece of a log: positions and plain bytes.
pub type Batch = Vec<(u64, Vec<u8>)>;

/// Where a merge reads the log of its document from: a database, or the pipe to the process that has it.
pub trait Source {
    /// Why a log cannot be read.
    type Error;

    /// The stored snapshot: up to where it covers the log, and its bytes.
    ///
    /// # Errors
    /// The log's.
    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>, Self::Error>;

    /// The next changes after `after`, up to `upto` at most, as many as one likes to have in memory; none where there
    /// is none up to there.
    ///
    /// # Errors
    /// The log's.
    fn batch(&mut self, after: u64, upto: u64) -> Result<Batch, Self::Error>;
}

/// How much of a log is read at once: a batch pays once for the size of what it touches, and takes some kilobytes of
/// memory a change while it is applied.
#[derive(Debug, Clone, Copy, Default)]
pub struct BatchSize {
    changes: usize,
    bytes: usize,
    new_actors: usize,
}

impl BatchSize {
    /// Changes and bytes of a batch; and of one with a crowd in it.
    const ORDINARY: (usize, usize) = (10_000, 2 * 1024 * 1024);
    const CROWDED: (usize, usize) = (65_536, 16 * 1024 * 1024);

    /// Counts a change that goes into the batch.
    pub fn add(&mut self, chunk: &[u8]) {
        self.changes += 1;
        self.bytes += chunk.len();
        // What cannot be read is told by who parses it.
        self.new_actors += usize::from(fence::author_of(chunk).is_ok_and(|(_, number)| number == 1));
    }

    /// Whether nothing more goes into it.
    pub fn is_full(&self) -> bool {
        let (changes, bytes) = if self.new_actors >= CROWD { Self::CROWDED } else { Self::ORDINARY };
        self.changes >= changes || self.bytes >= bytes
    }
}
