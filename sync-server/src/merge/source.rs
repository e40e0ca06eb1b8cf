use crate::{
    LogError,
    log::View,
    rules::{Code, Fault},
};

/// How much of a log is read at once: a batch pays once for the size of what it touches, and takes some kilobytes
/// of memory a change while it is applied.
const BATCH_CHANGES: usize = 10_000;
const BATCH_BYTES: usize = 2 * 1024 * 1024;

/// A piece of a log: positions and plain bytes.
pub(super) type Batch = Vec<(u64, Vec<u8>)>;

/// Where a merge reads the log of its document from: the database, or the pipe to the process that has it.
pub(super) trait Source {
    /// The stored snapshot: up to where it covers the log, and its bytes.
    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>, Fault>;

    /// The next changes after `after`, up to `upto` at most; never none.
    fn batch(&mut self, after: u64, upto: u64) -> Result<Batch, Fault>;
}

/// The database.
#[derive(Debug, Clone, Copy)]
pub(super) struct LogSource<'v> {
    pub(super) view: View<'v>,
    pub(super) document: i64,
}

impl Source for LogSource<'_> {
    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>, Fault> {
        Ok(self.view.snapshot(self.document)?)
    }

    fn batch(&mut self, after: u64, upto: u64) -> Result<Batch, Fault> {
        let (mut batch, mut bytes) = (Batch::new(), 0);
        self.view.for_each(self.document, (after, upto), |position, change| {
            if batch.len() >= BATCH_CHANGES || bytes >= BATCH_BYTES {
                return false;
            }
            bytes += change.len();
            batch.push((position, change.to_vec()));
            true
        })?;
        if batch.is_empty() {
            return Err(LogError::Damaged(format!("the log has no row after position {after}")).into());
        }
        Ok(batch)
    }
}

/// What a peer of the pipe sent that is no such batch.
pub(super) fn nonsense() -> Fault {
    tracing::error!("a verifying process was sent what it did not ask for");
    Fault::new(Code::Internal)
}
