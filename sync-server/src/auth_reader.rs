//! Who asks: whether the server asks for tokens, and which principal a token names. One thread looks it up.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use tokio::sync::{mpsc, oneshot};

use crate::{
    LogError,
    log::{BackendReader, BackendView, Opener, Read, View},
    rules::{ApiError, Code},
};

/// Most requests that wait to be looked up; more are told to come later.
const WAITING: usize = 1_024;

type Lookup = Box<dyn FnOnce(&BackendReader) + Send>;

/// Whether this server asks for tokens. Another process may make the first one at any time, and revoke any: nothing
/// of a token is remembered between requests.
#[derive(Debug)]
pub(crate) struct AuthReader {
    /// A thread and a connection of its own: a long read elsewhere holds up nobody at the door, and looking costs
    /// no second thread its memory.
    lookups: Mutex<Option<mpsc::Sender<Lookup>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// Once a token was seen it stays so, whatever becomes of the database: a server that listens to the world must
    /// not take it for its own machine.
    guarded: AtomicBool,
}

impl AuthReader {
    /// The reader of tokens of a database that was opened before.
    /// `guarded`: tokens are asked for in any case, as JWTs are taken.
    pub(crate) fn start(opener: &Opener<BackendReader>, guarded: bool) -> Result<Self, LogError> {
        let reader = opener.open()?;
        let guarded = guarded || reader.read(|view| view.has_tokens())?;
        let (lookups, mut waiting) = mpsc::channel::<Lookup>(WAITING);
        let thread = std::thread::Builder::new().name("auth_reader".to_owned()).spawn(move || {
            while let Some(lookup) = waiting.blocking_recv() {
                // Invariant 8: "Whatever a remote side sends, nothing panics past its task." Who asked is told.
                drop(catch_unwind(AssertUnwindSafe(|| lookup(&reader))));
            }
        })?;
        Ok(Self {
            lookups: Mutex::new(Some(lookups)),
            thread: Mutex::new(Some(thread)),
            guarded: AtomicBool::new(guarded),
        })
    }

    /// Looks nothing up any more, and lets the database go. Blocks until then.
    pub(crate) fn close(&self) {
        drop(lock(&self.lookups).take());
        if let Some(thread) = lock(&self.thread).take()
            && thread.join().is_err()
        {
            tracing::error!("the reader of tokens panicked");
        }
    }

    /// Reads with one state of the database from first to last.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&BackendView<'_>) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<T, ApiError> {
        let (told, answer) = oneshot::channel();
        let lookup: Lookup = Box::new(move |reader| drop(told.send(reader.read(work))));
        let lookups = lock(&self.lookups).clone().ok_or_else(|| ApiError::new(Code::Unavailable))?;
        lookups.try_send(lookup).map_err(|_| ApiError::new(Code::Unavailable))?;
        drop(lookups);
        answer.await.unwrap_or_else(|_| Err(ApiError::new(Code::Internal)))
    }

    /// Whether a token had been made when this was last looked at.
    pub(crate) fn was_guarded(&self) -> bool {
        self.guarded.load(Ordering::Acquire)
    }

    /// Whether a token was ever made. While none was this is looked up for each request: who made the first one, and
    /// was told that it is there, must not find the door open still.
    pub(crate) async fn is_guarded(&self) -> Result<bool, ApiError> {
        if self.was_guarded() {
            return Ok(true);
        }
        if self.read(|view| Ok(view.has_tokens()?)).await? && !self.guarded.swap(true, Ordering::AcqRel) {
            tracing::info!("a token was made: from now on every resource needs one");
        }
        Ok(self.was_guarded())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
