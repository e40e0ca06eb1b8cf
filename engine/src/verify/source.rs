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
