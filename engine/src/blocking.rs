//! The same store for callers without an async runtime: each verb waits on the calling thread.

mod away;
mod reading;

use std::{
    future::Future,
    path::Path,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
};

use tokio::sync::{broadcast, oneshot, watch};

pub use away::{Changes, Going, ThunkHandle};

use crate::{
    Action, ChangeHash, DocumentId, Error, Receipt, Result, UndoStep,
    slice::{self, Slice},
    store::{Durability, Event},
};

/// Waits for an answer on the calling thread, wherever that is: the store answers on its own.
pub(crate) fn wait<T>(answer: oneshot::Receiver<T>) -> Result<T> {
    block_on(answer).map_err(|_| Error::Closed)
}

/// Waits for a future on the calling thread: one that needs no runtime, for another thread wakes it.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut context, mut future) = (Context::from_waker(&waker), pin!(future));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => thread::park(),
        }
    }
}

/// A slice of a document, for blocking callers: the verbs of [`crate::slice::SliceHandle`] without `async`.
#[derive(Debug, Clone)]
pub struct SliceHandle<S: Slice> {
    inner: slice::SliceHandle<S>,
}

impl<S: Slice> SliceHandle<S> {
    /// Does an action. When it returns, change and queue row are durable.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::dispatch`].
    pub fn dispatch(&self, action: S::Action) -> Result<Receipt> {
        wait(self.inner.submit(action)?)?
    }

    /// Does an action that stands in undo as this says.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::dispatch_step`].
    pub fn dispatch_step(&self, action: S::Action, step: &UndoStep) -> Result<Receipt> {
        self.inner.store().with_core_blocking(self.inner.stepping(action, step)?)
    }

    /// Does an action, and does not wait for it: see [`crate::slice::SliceHandle::dispatch_soon`].
    pub fn dispatch_soon(&self, action: S::Action) {
        self.inner.dispatch_soon(action);
    }

    /// The latest state, kept read from now on: `borrow` reads it at once, and `has_changed` tells whether there is a newer
    /// one.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::latest`].
    pub fn latest(&self) -> Result<watch::Receiver<Arc<S::State>>> {
        self.fit(self.inner.store().with_core_blocking(self.inner.looking())?)
    }

    /// The latest state, at once: see [`crate::slice::SliceHandle::snapshot`].
    pub fn snapshot(&self) -> Option<Arc<S::State>> {
        self.inner.snapshot()
    }

    /// The version of this slice that has written to it, where that is newer than this app's.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::newer_version`].
    pub fn newer_version(&self) -> Result<Option<u32>> {
        self.inner.store().with_core_blocking(self.inner.reading_newer())
    }

    /// The state; its default where nothing was written.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::state`].
    pub fn state(&self) -> Result<S::State> {
        let state = self.inner.store().with_core_blocking(self.inner.read("", None))?;
        self.fit(slice::SliceHandle::<S>::typed(state))
    }

    /// The state as it was at these heads.
    ///
    /// # Errors
    /// As [`crate::slice::SliceHandle::state_at`].
    pub fn state_at(&self, heads: &[ChangeHash]) -> Result<S::State> {
        let heads = Some(heads.to_vec());
        let state = self.inner.store().with_core_blocking(self.inner.read("", heads))?;
        self.fit(slice::SliceHandle::<S>::typed(state))
    }

    fn fit<T>(&self, read: Result<T, String>) -> Result<T> {
        match read {
            Ok(state) => Ok(state),
            Err(reason) => Err(self.inner.store().with_core_blocking(self.inner.mismatch(reason))?),
        }
    }
}

/// A store, for blocking callers: the verbs of [`crate::Store`] without `async`. Cheap to clone.
///
/// On an async runtime's thread a verb holds that thread up until the store has answered: use [`crate::Store`] there. Inside
/// the store itself (a reducer, middleware) it is [`Error::InsideStore`].
///
/// ```
/// use rejoin::{Action, blocking::Store};
/// let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("notes.db")).unwrap();
/// let notes = store.create(None, Some("notes")).unwrap();
/// store.dispatch(notes, Action::Increment { path: "/seen".into(), by: 2 }).unwrap();
/// assert_eq!(store.state(notes, "/seen").unwrap(), 2);
/// ```
#[derive(Debug, Clone)]
pub struct Store {
    pub(crate) inner: crate::Store,
}

impl Store {
    /// Opens the store in this file, or makes it, with [`Durability::Full`].
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Durability::Full)
    }

    /// As [`Store::open`], with a durability.
    ///
    /// # Errors
    /// As [`crate::Store::open`].
    pub fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self> {
        crate::Store::builder(path).durability(durability).open_blocking()
    }

    /// A store in memory, which no file knows: for tests, and for what need not last.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn in_memory() -> Result<Self> {
        block_on(crate::Store::in_memory()).map(|inner| Self { inner })
    }

    /// Where the store's file is; `None` for one in memory.
    pub fn path(&self) -> Option<&Path> {
        self.inner.path()
    }

    /// Whether the store can only be read: see [`crate::Builder::or_read_only`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub fn is_read_only(&self) -> Result<bool> {
        self.inner.with_core_blocking(|core| Ok(core.is_read_only()))
    }

    /// A slice of a document, for typed actions and typed state.
    pub fn slice<S: Slice>(&self, id: DocumentId) -> SliceHandle<S> {
        SliceHandle { inner: self.inner.slice(id) }
    }

    /// The same store for async callers.
    pub fn as_async(&self) -> &crate::Store {
        &self.inner
    }

    /// Does an action. When it returns, change and queue row are durable.
    ///
    /// # Errors
    /// As [`crate::Store::dispatch`].
    pub fn dispatch(&self, id: DocumentId, action: Action) -> Result<Receipt> {
        wait(self.inner.submit_dispatch(id, action.into())?)?
    }

    /// Does an action, and does not wait for it: see [`crate::Store::dispatch_soon`].
    pub fn dispatch_soon(&self, id: DocumentId, action: Action) {
        self.inner.dispatch_soon(id, action);
    }

    /// Does these actions in one commit, each succeeding or failing alone.
    ///
    /// # Errors
    /// As [`crate::Store::dispatch_all`].
    pub fn dispatch_all(&self, id: DocumentId, actions: Vec<Action>) -> Result<Vec<Result<Receipt>>> {
        let actions: Vec<_> = actions.into_iter().map(|action| (id, action.bounded())).collect();
        self.inner.with_core_blocking(move |core| core.dispatch(&actions))
    }

    /// Where what happens to documents is heard: `blocking_recv` waits for the next.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.inner.subscribe()
    }
}
