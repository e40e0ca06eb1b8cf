//! Starting thunks, and what becomes of them.

use std::{fmt, marker::PhantomData};

use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::broadcast;

use super::Thunk;
use crate::{
    Error, Result, Store,
    job::{StartOptions, ThunkCause, ThunkFailure, ThunkId, ThunkInfo, ThunkRequest, ThunkState},
};

/// How a thunk ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Settled<T, E = String> {
    /// With this output.
    Fulfilled(T),
    /// With this error, which it returned.
    Rejected(E),
    /// Without having returned anything: it panicked, took too long, or its process died.
    Failed(ThunkFailure),
    /// For this reason: somebody aborted it, or a later one took its place.
    Aborted(String),
}

/// Why there is no output.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ThunkError<E = String> {
    /// It returned this error.
    #[error("the thunk was rejected: {0}")]
    Rejected(E),
    /// It returned nothing: it panicked, took too long, or its process died.
    #[error("the thunk failed: {0}")]
    Failed(ThunkFailure),
    /// It was aborted, or a later one took its place.
    #[error("the thunk was aborted: {0}")]
    Aborted(String),
    /// The store could not be asked.
    #[error(transparent)]
    Store(#[from] Error),
}

/// One start of a thunk. Cheap to clone. Dropping it changes nothing: the thunk goes on, in this process or another.
pub struct ThunkHandle<T: Thunk> {
    store: Store,
    id: ThunkId,
    of: PhantomData<fn() -> T>,
}

impl<T: Thunk> Clone for ThunkHandle<T> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), id: self.id, of: PhantomData }
    }
}

impl<T: Thunk> fmt::Debug for ThunkHandle<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThunkHandle").field("name", &T::NAME).field("id", &self.id).finish_non_exhaustive()
    }
}

impl<T: Thunk> ThunkHandle<T> {
    /// Its name, with which any process finds it again: [`Store::thunk`].
    pub fn id(&self) -> ThunkId {
        self.id
    }

    /// How it stands.
    ///
    /// # Errors
    /// As [`Store::thunk_info`].
    pub async fn info(&self) -> Result<ThunkInfo> {
        self.store.thunk_info(self.id).await
    }

    /// Aborts it, and drops its future wherever it runs: in this process at once, in another within a second.
    /// `false`: it was settled before.
    ///
    /// # Errors
    /// As [`Store::abort_thunk`].
    pub async fn abort(&self) -> Result<bool> {
        self.store.abort_thunk(self.id).await
    }

    /// Waits until it is settled, by whichever process. Cancel-safe, and as long as nobody runs it, without end.
    ///
    /// # Errors
    /// [`Error::UnknownThunk`] when it was settled so long ago that its row is gone; [`Error::InvalidThunk`] when its
    /// output or its error is not of this type.
    pub async fn wait(&self) -> Result<Settled<T::Output, T::Error>> {
        let info = self.store.wait_for_thunk(self.id).await?;
        let why = info.error.unwrap_or_default();
        match (info.state, info.rejection) {
            (ThunkState::Fulfilled, _) => {
                Ok(Settled::Fulfilled(read::<T, _>("output", info.result.unwrap_or(Value::Null))?))
            }
            (ThunkState::Aborted, _) => Ok(Settled::Aborted(why)),
            (_, Some(error)) => Ok(Settled::Rejected(read::<T, _>("error", error)?)),
            // A later release may know other causes.
            (_, None) => {
                Ok(Settled::Failed(ThunkFailure::new(info.cause.unwrap_or(ThunkCause::Unreadable), why)))
            }
        }
    }

    /// Waits for its output.
    ///
    /// # Errors
    /// [`ThunkError::Rejected`], [`ThunkError::Failed`], [`ThunkError::Aborted`], and what [`ThunkHandle::wait`] says.
    pub async fn unwrap(&self) -> Result<T::Output, ThunkError<T::Error>> {
        match self.wait().await? {
            Settled::Fulfilled(output) => Ok(output),
            Settled::Rejected(error) => Err(ThunkError::Rejected(error)),
            Settled::Failed(failure) => Err(ThunkError::Failed(failure)),
            Settled::Aborted(why) => Err(ThunkError::Aborted(why)),
        }
    }
}

fn read<T: Thunk, V: DeserializeOwned>(what: &str, json: Value) -> Result<V> {
    serde_json::from_value(json)
        .map_err(|error| Error::InvalidThunk(format!("{:?}: its {what} cannot be read: {error}", T::NAME)))
}

impl Store {
    /// Starts a thunk: when this returns, it is durably pending. It runs where [`Store::run`] does, in this process or
    /// another on this store in which it is registered. `None`: its condition does not hold, and nothing was started.
    ///
    /// Its [`Thunk::pending`] is dispatched in the same transaction.
    ///
    /// # Errors
    /// [`Error::InvalidThunk`], also where an action of it is for a slice that lives in memory; [`Error::UnknownSlice`]
    /// where that slice is not registered; [`Error::UnknownDocument`]; what [`Thunk::pending`] fails with; the file's.
    /// Then nothing was started.
    pub async fn start<T: Thunk>(
        &self,
        argument: T::Argument,
        options: StartOptions,
    ) -> Result<Option<ThunkHandle<T>>> {
        let request = ThunkRequest::new::<T>(argument, options);
        let started = self.with_core(move |core| core.start_thunk(&request)).await?;
        Ok(started.map(|id| self.thunk(id)))
    }

    /// A handle on one that was started before, perhaps in another process.
    pub fn thunk<T: Thunk>(&self, id: ThunkId) -> ThunkHandle<T> {
        ThunkHandle { store: self.clone(), id, of: PhantomData }
    }

    /// What happens to thunks, each as it stands then, after it is durable: also what other processes on this store
    /// do, within a tenth of a second. A subscriber that falls 1,024 behind loses the oldest and is told so.
    pub fn thunk_events(&self) -> broadcast::Receiver<ThunkInfo> {
        let events = self.hear_thunks();
        // A closed store has nothing to be heard of.
        let _ = self.submit_call(|core| core.tell_thunks());
        events
    }

    async fn wait_for_thunk(&self, id: ThunkId) -> Result<ThunkInfo> {
        let mut events = self.hear_thunks();
        loop {
            let read = move |core: &mut crate::store::Core| {
                // First: what comes after this is told.
                core.tell_thunks();
                core.thunk_info(id)
            };
            let info = self.with_core(read).await?;
            if info.state.is_settled() {
                return Ok(info);
            }
            loop {
                match events.recv().await {
                    Ok(info) if info.id == id && info.state.is_settled() => return Ok(info),
                    Ok(_) => {}
                    Err(broadcast::error::RecvError::Lagged(_)) => break,
                    Err(broadcast::error::RecvError::Closed) => return Err(Error::Closed),
                }
            }
        }
    }
}
