use std::{
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::Semaphore;

use crate::{
    LogError,
    log::{LogReader, PackCache, View},
    rules::{Code, Fault},
};

/// Connections that read, beside the committer's: opened when first needed, at most so many.
#[derive(Debug, Clone)]
pub(crate) struct Readers {
    path: PathBuf,
    packs: Arc<PackCache>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<LogReader>>>,
}

impl Readers {
    pub(crate) fn new(path: PathBuf, packs: Arc<PackCache>, most: usize) -> Self {
        Self { path, packs, permits: Arc::new(Semaphore::new(most.max(1))), idle: Arc::default() }
    }

    /// Reads on a thread where blocking is allowed, with one state of the log from first to last.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(View<'_>) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Fault::new(Code::Unavailable))?;
        let readers = self.clone();
        let read = tokio::task::spawn_blocking(move || {
            // Held until the work ends, also where nobody waits for it any more.
            let _permit = permit;
            readers.read_here(work)
        });
        read.await.map_err(|_| Fault::new(Code::Internal))?
    }

    /// Reads on this thread, which may block.
    pub(crate) fn read_here<T, E: From<LogError>>(
        &self,
        work: impl FnOnce(View<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let reader = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let reader = match reader {
            Some(reader) => reader,
            None => LogReader::sharing(&self.path, Arc::clone(&self.packs))?,
        };
        let result = reader.read(work);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(reader);
        result
    }
}
