//! What takes its time, or goes on: on a thread of its own, with a runtime of its own.

use std::{future::Future, pin::pin, thread};

use tokio::{runtime, sync::oneshot};

use super::{SliceHandle, Store, block_on};
use crate::{
    Error, Receipt, Result,
    api::refuse_inside,
    effects::{EffectHandlers, EffectOptions, EffectRequest},
    slice::{self, Slice, SliceChange},
    work::{self, Settled, StartOptions, Thunk, ThunkError, ThunkId, ThunkInfo, WorkOptions},
};
#[cfg(feature = "sync")]
use crate::{SyncOptions, SyncReport, WatchOptions};

/// Something that goes on on a thread of its own, until it is told to stop: a watch, a runner.
///
/// Dropped, it is told to stop, and nobody waits for it.
#[derive(Debug)]
#[must_use = "it stops when this is dropped"]
pub struct Going {
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<Result<()>>>,
}

impl Going {
    fn begin<F: Future<Output = Result<()>>>(
        name: &str,
        work: impl FnOnce(oneshot::Receiver<()>) -> F + Send + 'static,
    ) -> Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let thread = spawn(name, move || on_a_runtime(work(stopped)))?;
        Ok(Self { stop: Some(stop), thread: Some(thread) })
    }

    /// Whether it ended: it was told to, the store was closed, or it failed.
    pub fn is_over(&self) -> bool {
        self.thread.as_ref().is_none_or(thread::JoinHandle::is_finished)
    }

    /// Tells it to stop, and waits until it has. From inside what it calls (the callback of a watch, say) it would wait for
    /// itself: drop it there.
    ///
    /// # Errors
    /// Why it ended before, if it failed; [`Error::Panicked`] for a callback that did.
    pub fn stop(mut self) -> Result<()> {
        drop(self.stop.take());
        self.thread.take().map_or(Ok(()), join)
    }
}

fn spawn<T: Send + 'static>(
    name: &str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<thread::JoinHandle<Result<T>>> {
    let spawned = thread::Builder::new().name(name.to_owned()).spawn(work);
    spawned.map_err(|_| Error::NoRuntime("the system starts no more threads"))
}

fn join<T>(thread: thread::JoinHandle<Result<T>>) -> Result<T> {
    thread.join().unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        Err(Error::Panicked(text.unwrap_or_else(|| "without a message".to_owned())))
    })
}

fn on_a_runtime<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|_| Error::NoRuntime("the system gives no more files or timers"))?.block_on(work)
}

/// Does work on a thread and waits for it: so the caller may be on a thread of a runtime too.
fn away<T: Send + 'static, F: Future<Output = Result<T>>>(
    name: &str,
    work: impl FnOnce() -> F + Send + 'static,
) -> Result<T> {
    refuse_inside()?;
    join(spawn(name, move || on_a_runtime(work()))?)
}

#[cfg(feature = "sync")]
impl Store {
    /// Pushes and pulls until nothing that was there at the start is owed.
    ///
    /// ```no_run
    /// # let store = rejoin::blocking::Store::open("notes.db")?;
    /// match store.sync(rejoin::SyncOptions::default())?.reached() {
    ///     Ok(report) => println!("{} came, {} wait", report.pulled, report.queued),
    ///     Err(error) => println!("{error}; what waits is kept"),
    /// }
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    ///
    /// # Errors
    /// As [`crate::Store::sync`].
    pub fn sync(&self, options: SyncOptions) -> Result<SyncReport> {
        let store = self.inner.clone();
        away("rejoin-sync", move || async move { store.sync(options).await })
    }

    /// Stays in step, on a thread of its own, until it is told to stop. `on_report` is called there, after each round in which
    /// something happened or failed.
    ///
    /// ```no_run
    /// # let store = rejoin::blocking::Store::open("notes.db")?;
    /// let watch = store.watch(rejoin::WatchOptions::default(), |report| println!("{} came", report.pulled))?;
    /// // The app's own work.
    /// watch.stop()?;
    /// # Ok::<(), rejoin::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::NoRuntime`] where no thread can be started. What goes wrong later is told by [`Going::stop`].
    pub fn watch(
        &self,
        options: WatchOptions,
        on_report: impl FnMut(&SyncReport) + Send + 'static,
    ) -> Result<Going> {
        let store = self.inner.clone();
        Going::begin("rejoin-watch", move |stop| async move {
            store.watch(options, on_report, async { drop(stop.await) }).await
        })
    }
}

impl Store {
    /// Runs thunks and listeners, and sends effects where the options have handlers for them, on a thread of its own.
    ///
    /// # Errors
    /// As [`Store::watch`](crate::Store::watch) on a thread: [`Error::NoRuntime`] where none can be started.
    pub fn run(&self, options: WorkOptions) -> Result<Going> {
        let store = self.inner.clone();
        Going::begin(
            "rejoin-run",
            move |stop| async move { store.run(options, async { drop(stop.await) }).await },
        )
    }

    /// Sends effects, on a thread of its own.
    ///
    /// # Errors
    /// [`Error::NoRuntime`] where no thread can be started.
    pub fn run_effects(&self, handlers: EffectHandlers, options: EffectOptions) -> Result<Going> {
        let store = self.inner.clone();
        Going::begin("rejoin-effects", move |stop| async move {
            store.run_effects(handlers, options, async { drop(stop.await) }).await
        })
    }

    /// Sends what is due, and returns when nothing is.
    ///
    /// # Errors
    /// As [`crate::Store::run_effects_until_idle`].
    pub fn run_effects_until_idle(&self, handlers: EffectHandlers, options: EffectOptions) -> Result<()> {
        let store = self.inner.clone();
        away("rejoin-effects", move || async move { store.run_effects_until_idle(handlers, options).await })
    }

    /// Does what thunks, listeners and effects there are to do, and returns when nothing is left that could be done now.
    ///
    /// # Errors
    /// As [`crate::Store::run_until_idle`].
    pub fn run_until_idle(&self, options: WorkOptions) -> Result<()> {
        let store = self.inner.clone();
        away("rejoin-run", move || async move { store.run_until_idle(options).await })
    }

    /// Starts a thunk: when this returns, it is durably pending.
    ///
    /// # Errors
    /// As [`crate::Store::start`].
    pub fn start<T: Thunk>(
        &self,
        argument: T::Argument,
        options: StartOptions,
    ) -> Result<Option<ThunkHandle<T>>> {
        refuse_inside()?;
        Ok(block_on(self.inner.start(argument, options))?.map(|inner| ThunkHandle { inner }))
    }

    /// A handle on a thunk that was started before, perhaps in another process.
    pub fn thunk<T: Thunk>(&self, id: ThunkId) -> ThunkHandle<T> {
        ThunkHandle { inner: self.inner.thunk(id) }
    }

    /// Closes the store, for every clone of the handle, with the async ones.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closed already.
    pub fn close(&self) -> Result<()> {
        refuse_inside()?;
        block_on(self.inner.close())
    }
}

/// A started thunk, for blocking callers: the verbs of [`work::ThunkHandle`] without `async`.
#[derive(Debug, Clone)]
pub struct ThunkHandle<T: Thunk> {
    inner: work::ThunkHandle<T>,
}

impl<T: Thunk> ThunkHandle<T> {
    /// Its id.
    pub fn id(&self) -> ThunkId {
        self.inner.id()
    }

    /// As it stands now.
    ///
    /// # Errors
    /// As [`work::ThunkHandle::info`].
    pub fn info(&self) -> Result<ThunkInfo> {
        refuse_inside()?;
        block_on(self.inner.info())
    }

    /// Aborts it. Whether it was pending.
    ///
    /// # Errors
    /// As [`work::ThunkHandle::abort`].
    pub fn abort(&self) -> Result<bool> {
        refuse_inside()?;
        block_on(self.inner.abort())
    }

    /// Waits until it is settled, by whichever process.
    ///
    /// # Errors
    /// As [`work::ThunkHandle::wait`].
    pub fn wait(&self) -> Result<Settled<T::Output, T::Error>> {
        refuse_inside()?;
        block_on(self.inner.wait())
    }

    /// Waits for what it gives.
    ///
    /// # Errors
    /// As [`work::ThunkHandle::unwrap`].
    pub fn unwrap(&self) -> Result<T::Output, ThunkError<T::Error>> {
        refuse_inside().map_err(ThunkError::from)?;
        block_on(self.inner.unwrap())
    }
}

impl<S: Slice> SliceHandle<S> {
    /// Does an action and records these effects, in one transaction.
    ///
    /// # Errors
    /// As [`slice::SliceHandle::dispatch_with`].
    pub fn dispatch_with(&self, action: S::Action, effects: Vec<EffectRequest>) -> Result<Receipt> {
        refuse_inside()?;
        block_on(self.inner.dispatch_with(action, effects))
    }

    /// Does these actions in one commit, each succeeding or failing alone.
    ///
    /// # Errors
    /// As [`slice::SliceHandle::dispatch_all`].
    pub fn dispatch_all(&self, actions: Vec<S::Action>) -> Result<Vec<Result<Receipt>>> {
        refuse_inside()?;
        block_on(self.inner.dispatch_all(actions))
    }

    /// What happens to this slice from now on, after it is durable: each step of the iterator waits for the next. It ends when
    /// the store is closed, and does not keep it open.
    pub fn changes(&self) -> Changes<S> {
        Changes(self.inner.changes())
    }

    /// The same slice for async callers.
    pub fn as_async(&self) -> &slice::SliceHandle<S> {
        &self.inner
    }
}

/// The iterator of [`SliceHandle::changes`].
#[derive(Debug)]
pub struct Changes<S: Slice>(slice::Changes<S>);

impl<S: Slice> Iterator for Changes<S> {
    type Item = SliceChange<S>;

    fn next(&mut self) -> Option<SliceChange<S>> {
        // On the store's own thread nothing would ever come.
        refuse_inside().ok()?;
        block_on(pin!(self.0.next()))
    }
}
