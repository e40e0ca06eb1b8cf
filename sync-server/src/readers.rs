//! Threads with connections that read, and whose turn it is on them.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    LogError,
    log::{BackendReader, BackendView, Opener, Read},
    rules::{ApiError, Asker, Code},
    turns::Turns,
};

/// Connections that read, beside the committer's: opened when first needed, at most so many. No asker has more than
/// half of them.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    opener: Opener<BackendReader>,
    turns: Turns,
    pool: Arc<Pool>,
}

#[derive(Debug, Default)]
struct Pool {
    state: Mutex<Lent>,
    returned: Condvar,
}

#[derive(Debug, Default)]
struct Lent {
    idle: Vec<BackendReader>,
    /// How many are at work.
    busy: usize,
    closed: bool,
}

impl Readers {
    pub(crate) fn new(opener: Opener<BackendReader>, most: usize) -> Self {
        Self { opener, turns: Turns::new(most, most / 2), pool: Arc::default() }
    }

    /// Reads on a thread where blocking is allowed, with one state of the log from first to last.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        who: Option<Asker>,
        work: impl FnOnce(&BackendView<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let turn = self.turns.take(who).await?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            // Held until the work ends, also where nobody waits for it any more.
            let _turn = turn;
            readers.read_here(work)
        });
        read.await.map_err(|_| ApiError::new(Code::Internal))?
    }

    /// Reads on this thread, which may block.
    pub(crate) fn read_here<T, E: From<LogError>>(
        &self,
        work: impl FnOnce(&BackendView<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let (_at_work, idle) = self.pool.lend().ok_or(LogError::Closed)?;
        let reader = match idle {
            Some(reader) => reader,
            None => self.opener.open()?,
        };
        let result = reader.read(work);
        self.pool.give_back(reader);
        result
    }

    /// Lets the database go, waiting so long for those who read. Nobody begins to read after that.
    pub(crate) fn close(&self, longest: Duration) {
        let mut state = self.pool.lock();
        state.closed = true;
        state.idle.clear();
        let ended = self.pool.returned.wait_timeout_while(state, longest, |state| state.busy > 0);
        if ended.is_ok_and(|(_, waited)| waited.timed_out()) {
            tracing::warn!(
                "somebody still reads the log: SQLite's files beside it stay, which harms nothing"
            );
        }
    }
}

impl Pool {
    /// A reader that is idle, or leave to open one; `None` after the end.
    fn lend(&self) -> Option<(AtWork<'_>, Option<BackendReader>)> {
        let mut state = self.lock();
        if state.closed {
            return None;
        }
        state.busy += 1;
        let idle = state.idle.pop();
        Some((AtWork(self), idle))
    }

    fn give_back(&self, reader: BackendReader) {
        let mut state = self.lock();
        if !state.closed {
            state.idle.push(reader);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Lent> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who reads; it ends also where that fails or panics.
struct AtWork<'p>(&'p Pool);

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().busy -= 1;
        self.0.returned.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{LogStore, log::Log};

    #[test]
    fn after_the_end_nobody_reads_and_who_reads_is_not_waited_for_too_long() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        let opener = LogStore::open(&path).unwrap().opener();
        let readers = Readers::new(opener, 1);
        let begun = readers.read_here(|_| {
            readers.close(Duration::from_millis(1));
            Ok::<_, LogError>(())
        });
        assert!(begun.is_ok());
        assert!(matches!(readers.read_here(|_| Ok::<_, LogError>(())), Err(LogError::Closed)));
        assert_eq!(readers.pool.lock().busy, 0);
        assert!(readers.pool.lock().idle.is_empty());
    }
}
