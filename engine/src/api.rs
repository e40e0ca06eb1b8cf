//! The store for apps: a handle that can be cloned and sent, and a thread that owns the file.

mod soon;
mod thread;
mod verbs;
mod weak;

pub use soon::FailedDispatch;
pub use weak::WeakStore;

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
};

use soon::Answer;
pub(crate) use soon::OnFailed;
pub(crate) use thread::refuse_inside;
use thread::{Job, Opened, Worker, open_core};
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    Action, DocumentId, Error, Result, blocking,
    builder::{Builder, Built},
    job::ThunkInfo,
    runner::{Runners, Tasks},
    slice::{Command, Middleware, Slice, SliceHandle},
    store::{Core, Durability, Event, Receipt},
    untrusted::contained,
};

/// A store, for asynchronous callers. Cheap to clone: every clone is the same store. The file is closed when
/// the last clone is dropped.
///
/// All verbs are cancel-safe: one that was asked for, so that its future was polled once, is done even when the future is
/// dropped; only the answer is lost.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// use rejoin::{Action, Store};
/// let dir = tempfile::tempdir().unwrap();
/// let store = Store::open(dir.path().join("notes.db")).await?;
/// let notes = store.create(None, Some("notes")).await?;
/// store.dispatch(notes, Action::Splice { path: "/body".into(), pos: 0, delete: 0, insert: "Hi".into() }).await?;
/// assert_eq!(store.state(notes, "/body").await?, "Hi");
/// assert_eq!(store.queue(None).await?.len(), 1);
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Store {
    worker: Arc<Worker>,
    work: Arc<WorkBench>,
    about: About,
}

/// What every handle knows of its store, and what keeps none open.
#[derive(Clone)]
struct About {
    // Not the sender: those who listen are told of the end when the store's thread drops it.
    events: broadcast::WeakSender<Event>,
    queued: watch::Receiver<u64>,
    asked: watch::Receiver<u64>,
    path: Option<PathBuf>,
    mark: Option<PathBuf>,
}

/// What those who run thunks and listeners need.
struct WorkBench {
    tasks: Tasks,
    runners: Runners,
    failed: OnFailed,
    thunks: broadcast::WeakSender<ThunkInfo>,
    stirred: watch::Receiver<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.about.path).finish_non_exhaustive()
    }
}

impl Store {
    /// Opens the store in this file, or makes it (mode 0600), with [`Durability::Full`].
    ///
    /// # Errors
    /// [`Error::NotAStore`] and [`Error::NewerSchema`] leave the file alone; else what the file system says.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::open_with(path, Durability::Full).await
    }

    /// As [`Store::open`], with a durability.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub async fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self> {
        Self::builder(path).durability(durability).open().await
    }

    /// A store in memory, for tests and for what is not to be kept: it is gone when the last handle is. It syncs as any
    /// other does. [`Builder::in_memory`] makes one with slices.
    ///
    /// ```
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// let store = rejoin::Store::in_memory().await?;
    /// let notes = store.create(None, Some("notes")).await?;
    /// store.dispatch(notes, rejoin::Action::Increment { path: "/n".into(), by: 1 }).await?;
    /// assert_eq!(store.path(), None);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// What SQLite says.
    pub async fn in_memory() -> Result<Self> {
        Builder::in_memory().open().await
    }

    /// A store with slices, kinds of documents and middleware.
    pub fn builder(path: impl AsRef<Path>) -> Builder {
        Builder::new(path.as_ref())
    }

    pub(crate) async fn open_built(path: PathBuf, built: Built) -> Result<Self> {
        let (answer, opened) = oneshot::channel();
        let starting = Self::start_thread(path, built, answer)?;
        Self::finish(starting, opened.await.map_err(|_| Error::Closed)?)
    }

    pub(crate) fn open_built_blocking(path: PathBuf, built: Built) -> Result<Self> {
        let (answer, opened) = oneshot::channel();
        let starting = Self::start_thread(path, built, answer)?;
        Self::finish(starting, blocking::wait(opened)?)
    }

    fn start_thread(
        path: PathBuf,
        built: Built,
        answer: oneshot::Sender<Result<Opened>>,
    ) -> Result<(Worker, Vec<Arc<dyn Middleware>>)> {
        let middleware = built.registry.middleware.clone();
        let (jobs, inbox) = mpsc::channel();
        let failed = path.clone();
        let run = move || match open_core(&path, &built) {
            Ok(core) => {
                let (thunks, stirred) = core.work_senders();
                let about = About {
                    events: core.event_sender(),
                    queued: core.queue_signal(),
                    asked: core.effect_signal(),
                    path: core.path().map(Path::to_owned),
                    mark: core.mark_path(),
                };
                let work = WorkBench {
                    tasks: built.tasks,
                    runners: Runners::default(),
                    failed: built.failed,
                    thunks,
                    stirred,
                };
                let opened = Opened { about, work: Arc::new(work) };
                if answer.send(Ok(opened)).is_ok() {
                    thread::work(core, &inbox);
                }
            }
            Err(error) => drop(answer.send(Err(error))),
        };
        let thread = std::thread::Builder::new().name("rejoin-store".to_owned()).spawn(run);
        let thread = thread.map_err(|source| Error::Io { path: failed, source })?;
        Ok((Worker { jobs: Some(jobs), thread: Some(thread) }, middleware))
    }

    fn finish(
        (worker, middleware): (Worker, Vec<Arc<dyn Middleware>>),
        opened: Result<Opened>,
    ) -> Result<Self> {
        let Opened { about, work } = opened?;
        let store = Self { worker: Arc::new(worker), work, about };
        middleware.iter().for_each(|one| one.opened(&store.downgrade()));
        Ok(store)
    }

    fn submit(&self, job: Job) -> Result<()> {
        self.worker.jobs.as_ref().ok_or(Error::Closed)?.send(job).map_err(|_| Error::Closed)
    }

    /// Asks for something to be done, and does not wait for it.
    pub(crate) fn submit_call(&self, work: impl FnOnce(&mut Core) + Send + 'static) -> Result<()> {
        let job = move |core: &mut Core| {
            work(core);
            core.refresh_views();
        };
        self.submit(Job::Call(Box::new(job)))
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T>>> {
        refuse_inside()?;
        let (answer, result) = oneshot::channel();
        let job = move |core: &mut Core| {
            let done = contained(|| work(core)).unwrap_or_else(|why| {
                // What it had begun in memory is nothing that can be trusted.
                core.forget_replicas();
                Err(Error::Panicked(why))
            });
            // "A view never lags behind what a verb answered."
            core.refresh_views();
            // A caller that went away needs no answer.
            let _ = answer.send(done);
        };
        self.submit(Job::Call(Box::new(job)))?;
        Ok(result)
    }

    /// Runs `work` on the store's own thread, after what was asked before. It must not block for long: reads
    /// and edits wait for it. A panic in it ends it alone: what it had not committed is not there.
    ///
    /// # Errors
    /// Those of `work`, [`Error::Panicked`], [`Error::InsideStore`] and [`Error::Closed`].
    pub async fn with_core<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.call(work)?.await.map_err(|_| Error::Closed)?
    }

    pub(crate) fn with_core_blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        blocking::wait(self.call(work)?)?
    }

    pub(crate) fn submit_dispatch(
        &self,
        id: DocumentId,
        action: Command,
    ) -> Result<oneshot::Receiver<Result<Receipt>>> {
        refuse_inside()?;
        let (answer, result) = oneshot::channel();
        self.submit(Job::Dispatch(id, action, Answer::Told(answer)))?;
        Ok(result)
    }

    /// Does an action. When it returns, change and queue row are durable; dispatches that wait together share
    /// a commit.
    ///
    /// # Errors
    /// [`Error::Action`] when the action does not fit the document, [`Error::Refused`] when its change is
    /// outside the limits: then nothing was changed. [`Error::DiskFull`] and [`Error::Storage`]: nothing was
    /// changed, and it may be tried again.
    pub async fn dispatch(&self, id: DocumentId, action: Action) -> Result<Receipt> {
        self.submit_dispatch(id, action.into())?.await.map_err(|_| Error::Closed)?
    }

    /// A slice of a document, for typed actions and typed state. In a document without a kind ([`Store::create`] without
    /// one) the built-in [`Action`]s may write anywhere, over a slice too: give documents a kind to have that refused.
    pub fn slice<S: Slice>(&self, id: DocumentId) -> SliceHandle<S> {
        SliceHandle::new(self.clone(), id)
    }

    /// Does these actions in one commit, each succeeding or failing alone.
    ///
    /// # Errors
    /// The outer one is the file's: then nothing was done. The inner ones are as for [`Store::dispatch`].
    pub async fn dispatch_all(&self, id: DocumentId, actions: Vec<Action>) -> Result<Vec<Result<Receipt>>> {
        let actions: Vec<_> = actions.into_iter().map(|action| (id, action.bounded())).collect();
        self.with_core(move |core| core.dispatch(&actions)).await
    }

    /// As [`Store::dispatch_all`], but none after the first that fails: what is returned ends with it.
    ///
    /// # Errors
    /// As [`Store::dispatch_all`].
    pub async fn dispatch_in_turn(
        &self,
        id: DocumentId,
        actions: Vec<Action>,
    ) -> Result<Vec<Result<Receipt>>> {
        let actions: Vec<_> = actions.into_iter().map(|action| (id, action.bounded())).collect();
        self.with_core(move |core| core.dispatch_in_turn(&actions)).await
    }

    /// The store's file.
    pub fn path(&self) -> Option<&Path> {
        self.about.path.as_deref()
    }

    /// Whether the store can only be read: see [`Builder::or_read_only`].
    ///
    /// # Errors
    /// [`Error::Closed`].
    pub async fn is_read_only(&self) -> Result<bool> {
        self.with_core(|core| Ok(core.is_read_only())).await
    }

    /// The side file, on which the process that syncs takes its lock.
    pub fn mark_path(&self) -> Option<&Path> {
        self.about.mark.as_deref()
    }

    /// Closes the store, for every clone of the handle: what was asked before is done, and then the file is closed.
    /// Runners ([`Store::run`], [`Store::run_effects`]) end with [`Error::Closed`]; what they were doing is given back,
    /// and whoever opens the store next does it at once.
    /// Dropping the last handle does the same, and blocks while it does; after this it has nothing left to do.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closed already. From then on every verb answers so.
    pub async fn close(&self) -> Result<()> {
        let work = Arc::clone(&self.work);
        self.submit_call(move |core| work.runners.give_back(core))?;
        let (answer, closed) = oneshot::channel();
        self.submit(Job::Close(answer))?;
        closed.await.map_err(|_| Error::Closed)
    }

    /// Where what happens to documents is heard, after it is durable: also what other processes on this store
    /// do, within a tenth of a second. A subscriber that falls 1,024 events behind loses the oldest and is
    /// told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        let events = listen(&self.about.events);
        // Wakes the thread, which from now on looks around. A closed store has nothing to be heard of.
        let _ = self.submit(Job::Call(Box::new(|core| drop(core.begin_to_hear()))));
        events
    }

    /// Woken when something becomes waiting in the queue: here at once; and, while someone holds a
    /// [`Store::write_signal`], when another process wrote anything.
    pub fn queue_signal(&self) -> watch::Receiver<u64> {
        self.about.queued.clone()
    }

    /// The runners on this store.
    pub(crate) fn runners(&self) -> &Runners {
        &self.work.runners
    }

    /// What this process can run.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.work.tasks
    }

    /// Where what happens to thunks is told.
    pub(crate) fn hear_thunks(&self) -> broadcast::Receiver<ThunkInfo> {
        listen(&self.work.thunks)
    }

    /// Woken when anything was written to this store: here at once, by another process within a tenth of a second.
    pub fn write_signal(&self) -> watch::Receiver<u64> {
        let mut stirred = self.work.stirred.clone();
        stirred.mark_unchanged();
        // Wakes the thread, which from now on looks around.
        let _ = self.submit_call(|core| drop(core.hear_others()));
        stirred
    }

    /// Woken when something about effects changed here: asked for, settled, sent again.
    pub fn effect_signal(&self) -> watch::Receiver<u64> {
        self.about.asked.clone()
    }
}

/// A new subscription; of a store that is closed one that has ended.
fn listen<T: Clone>(sender: &broadcast::WeakSender<T>) -> broadcast::Receiver<T> {
    match sender.upgrade() {
        Some(sender) => sender.subscribe(),
        None => broadcast::channel(1).1,
    }
}
