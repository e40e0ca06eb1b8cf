//! The store for apps: a handle that can be cloned and sent, and a thread that owns the file.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde_json::Value;
use tokio::sync::{broadcast, oneshot, watch};

use crate::{
    Action, ChangeHash, DocumentId, Error, Result, blocking,
    builder::{Builder, Built},
    effects::{Effect, EffectRequest},
    slice::{Command, Slice, SliceHandle},
    store::{
        Blame, CheckReport, Choice, Conflict, Core, Difference, DocumentInfo, DropPlan, Durability,
        EffectDrop, Event, HistoryEntry, QueueEntry, Receipt, Settings, Undone,
    },
    work::{Tasks, ThunkInfo},
};

/// At most so many waiting dispatches share a commit.
const GROUP: usize = 1_000;

/// How often the thread looks for what other processes wrote, while someone is subscribed.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How long nothing must be asked before snapshots are made.
const QUIET: Duration = Duration::from_millis(250);

/// What the thread is asked.
enum Job {
    /// A dispatch: those that wait together share a commit.
    Dispatch(DocumentId, Command, oneshot::Sender<Result<Receipt>>),
    /// Anything else.
    Call(Box<dyn FnOnce(&mut Core) + Send>),
    /// The end: what was asked before is done, what is asked later is not.
    Close(oneshot::Sender<()>),
}

/// Closes the channel and waits for the thread when the last handle goes: what was asked is done, and at
/// rest the store is its file and the side file.
struct Worker {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Only a panic makes it fail, and that was logged where it happened.
            let _ = thread.join();
        }
    }
}

/// A store, for asynchronous callers. Cheap to clone: every clone is the same store. The file is closed when
/// the last clone is dropped.
///
/// All verbs are cancel-safe: one that was asked for is done even when its future is dropped; only the answer
/// is lost.
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
    events: broadcast::Sender<Event>,
    queued: watch::Receiver<u64>,
    asked: watch::Receiver<u64>,
    work: Arc<WorkBench>,
    path: Option<PathBuf>,
    mark: Option<PathBuf>,
}

/// What those who run thunks and listeners need.
struct WorkBench {
    tasks: Tasks,
    thunks: broadcast::Sender<ThunkInfo>,
    stirred: watch::Sender<u64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
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
        Self::finish(starting, opened.blocking_recv().map_err(|_| Error::Closed)?)
    }

    fn start_thread(path: PathBuf, built: Built, answer: oneshot::Sender<Result<Opened>>) -> Result<Worker> {
        let (jobs, inbox) = mpsc::channel();
        let failed = path.clone();
        let run = move || match open_core(&path, &built) {
            Ok(core) => {
                let (thunks, stirred) = core.work_senders();
                let opened = Opened {
                    events: core.event_sender(),
                    queued: core.queue_signal(),
                    asked: core.effect_signal(),
                    path: core.path().map(Path::to_owned),
                    mark: core.mark_path(),
                    work: Arc::new(WorkBench { tasks: built.tasks, thunks, stirred }),
                };
                if answer.send(Ok(opened)).is_ok() {
                    work(core, &inbox);
                }
            }
            Err(error) => drop(answer.send(Err(error))),
        };
        let thread = thread::Builder::new().name("rejoin-store".to_owned()).spawn(run);
        let thread = thread.map_err(|source| Error::Io { path: failed, source })?;
        Ok(Worker { jobs: Some(jobs), thread: Some(thread) })
    }

    fn finish(worker: Worker, opened: Result<Opened>) -> Result<Self> {
        let Opened { events, queued, asked, work, path, mark } = opened?;
        Ok(Self { worker: Arc::new(worker), events, queued, asked, work, path, mark })
    }

    fn submit(&self, job: Job) -> Result<()> {
        self.worker.jobs.as_ref().ok_or(Error::Closed)?.send(job).map_err(|_| Error::Closed)
    }

    /// Asks for something to be done, and does not wait for it.
    pub(crate) fn submit_call(&self, work: impl FnOnce(&mut Core) + Send + 'static) -> Result<()> {
        self.submit(Job::Call(Box::new(work)))
    }

    fn call<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
    ) -> Result<oneshot::Receiver<Result<T>>> {
        let (answer, result) = oneshot::channel();
        let job = move |core: &mut Core| {
            // A caller that went away needs no answer.
            let _ = answer.send(work(core));
        };
        self.submit(Job::Call(Box::new(job)))?;
        Ok(result)
    }

    /// Runs `work` on the store's own thread, after what was asked before. It must not block for long: reads
    /// and edits wait for it.
    ///
    /// # Errors
    /// Those of `work`, and [`Error::Closed`].
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
        self.call(work)?.blocking_recv().map_err(|_| Error::Closed)?
    }

    pub(crate) fn submit_dispatch(
        &self,
        id: DocumentId,
        action: Command,
    ) -> Result<oneshot::Receiver<Result<Receipt>>> {
        let (answer, result) = oneshot::channel();
        self.submit(Job::Dispatch(id, action, answer))?;
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

    /// A slice of a document, for typed actions and typed state.
    pub fn slice<S: Slice>(&self, id: DocumentId) -> SliceHandle<S> {
        SliceHandle::new(self.clone(), id)
    }

    /// Does these actions in one commit, each succeeding or failing alone.
    ///
    /// # Errors
    /// The outer one is the file's: then nothing was done. The inner ones are as for [`Store::dispatch`].
    pub async fn dispatch_all(&self, id: DocumentId, actions: Vec<Action>) -> Result<Vec<Result<Receipt>>> {
        self.with_core(move |core| core.dispatch(&actions.into_iter().map(|a| (id, a)).collect::<Vec<_>>()))
            .await
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
        let actions: Vec<_> = actions.into_iter().map(|a| (id, a)).collect();
        self.with_core(move |core| core.dispatch_in_turn(&actions)).await
    }

    /// The store's file.
    pub fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// The side file, on which the process that syncs takes its lock.
    pub fn mark_path(&self) -> Option<&Path> {
        self.mark.as_deref()
    }

    /// Closes the store, for every clone of the handle: what was asked before is done, and then the file is closed.
    /// Dropping the last handle does the same, and blocks while it does; after this it has nothing left to do.
    ///
    /// # Errors
    /// [`Error::Closed`] when it is closed already. From then on every verb answers so.
    pub async fn close(&self) -> Result<()> {
        let (answer, closed) = oneshot::channel();
        self.submit(Job::Close(answer))?;
        closed.await.map_err(|_| Error::Closed)
    }

    /// Where what happens to documents is heard, after it is durable: also what other processes on this store
    /// do, within a tenth of a second. A subscriber that falls 1,024 events behind loses the oldest and is
    /// told so.
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        let events = self.events.subscribe();
        // Wakes the thread, which from now on looks around. A closed store has nothing to be heard of.
        let _ = self.submit(Job::Call(Box::new(|core| drop(core.hear_others()))));
        events
    }

    /// Woken when something becomes waiting in the queue.
    pub fn queue_signal(&self) -> watch::Receiver<u64> {
        self.queued.clone()
    }

    /// What this process can run.
    pub(crate) fn tasks(&self) -> &Tasks {
        &self.work.tasks
    }

    /// Where what happens to thunks is told.
    pub(crate) fn thunk_sender(&self) -> &broadcast::Sender<ThunkInfo> {
        &self.work.thunks
    }

    /// Woken when anything was written to this store: here at once, by another process within a tenth of a second.
    pub fn write_signal(&self) -> watch::Receiver<u64> {
        let stirred = self.work.stirred.subscribe();
        // Wakes the thread, which from now on looks around.
        let _ = self.submit_call(|core| drop(core.hear_others()));
        stirred
    }

    /// Woken when something about effects changed here: asked for, settled, sent again.
    pub fn effect_signal(&self) -> watch::Receiver<u64> {
        self.asked.clone()
    }
}

/// What the thread tells of the store it opened.
struct Opened {
    events: broadcast::Sender<Event>,
    queued: watch::Receiver<u64>,
    asked: watch::Receiver<u64>,
    work: Arc<WorkBench>,
    path: Option<PathBuf>,
    mark: Option<PathBuf>,
}

/// The store with its slices and listeners, and the orphans settled that dead processes left.
fn open_core(path: &Path, built: &Built) -> Result<Core> {
    let mut core = match &built.verify {
        Some(command) => Core::open_verified(path, built.durability, command.clone())?,
        None => Core::open(path, built.durability)?,
    };
    core.set_registry(built.registry.clone());
    let listeners = built.tasks.listeners();
    core.register_listeners(listeners.iter().map(Arc::as_ref))?;
    core.settle_orphans()?;
    Ok(core)
}

/// The thread: jobs in order, waiting dispatches together, snapshots when it is quiet.
fn work(mut core: Core, inbox: &mpsc::Receiver<Job>) {
    let mut next = None;
    let mut rested = true;
    let asked = loop {
        let job = match next.take() {
            Some(job) => Ok(job),
            None if core.is_heard() => inbox.recv_timeout(LOOK_AROUND),
            None if !rested => inbox.recv_timeout(QUIET),
            None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
        };
        match job {
            Ok(Job::Call(work)) => {
                work(&mut core);
                rested = false;
            }
            Ok(Job::Dispatch(id, action, answer)) => {
                next = dispatch_group(&mut core, inbox, (id, action, answer));
                rested = false;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                rest(&mut core, &mut rested);
            }
            Ok(Job::Close(answer)) => break Some(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
        }
    };
    if let Err(error) = core.make_snapshots() {
        tracing::debug!(%error, "no snapshot was made at the end");
    }
    drop(core);
    if let Some(answer) = asked {
        // Whoever went away needs no answer.
        let _ = answer.send(());
    }
}

fn rest(core: &mut Core, rested: &mut bool) {
    if let Err(error) = core.hear_others() {
        tracing::debug!(%error, "what other processes wrote could not be read");
    }
    if !*rested && let Err(error) = core.make_snapshots() {
        tracing::debug!(%error, "no snapshot was made");
    }
    *rested = true;
}

type Waiting = (DocumentId, Command, oneshot::Sender<Result<Receipt>>);

/// Takes the dispatches that wait, and returns the first job that is none.
fn dispatch_group(core: &mut Core, inbox: &mpsc::Receiver<Job>, first: Waiting) -> Option<Job> {
    let mut actions = vec![(first.0, first.1)];
    let mut answers = vec![first.2];
    let mut other = None;
    while actions.len() < GROUP {
        match inbox.try_recv() {
            Ok(Job::Dispatch(id, action, answer)) => {
                actions.push((id, action));
                answers.push(answer);
            }
            Ok(job) => {
                other = Some(job);
                break;
            }
            Err(_) => break,
        }
    }
    match core.dispatch_commands(&actions, false) {
        Ok(results) => {
            for (answer, result) in answers.into_iter().zip(results) {
                let _ = answer.send(result);
            }
        }
        // The group's commit failed, and nothing of it was done: each tries alone and is told its own error.
        Err(_) => {
            for (action, answer) in actions.iter().zip(answers) {
                let result = core.dispatch_commands(std::slice::from_ref(action), false);
                let _ = answer.send(result.and_then(|mut r| r.pop().unwrap_or(Err(Error::Closed))));
            }
        }
    }
    other
}

/// Writes the verbs of [`Store`] and [`blocking::Store`] out of one list, so that they cannot differ.
macro_rules! verbs {
    ($($(#[$doc:meta])* $name:ident($($arg:ident: $ty:ty = $owned:expr),*) -> $out:ty { |$core:ident| $body:expr })*) => {
        #[allow(clippy::redundant_locals, reason = "an argument that needs no copy names itself")]
        impl Store {
            $($(#[$doc])* pub async fn $name(&self, $($arg: $ty),*) -> Result<$out> {
                $(let $arg = $owned;)*
                self.with_core(move |$core| $body).await
            })*
        }

        #[allow(clippy::redundant_locals, reason = "an argument that needs no copy names itself")]
        impl blocking::Store {
            $($(#[$doc])* pub fn $name(&self, $($arg: $ty),*) -> Result<$out> {
                $(let $arg = $owned;)*
                self.inner.with_core_blocking(move |$core| $body)
            })*
        }
    };
}

verbs! {
    /// What is remembered for all documents.
    ///
    /// # Errors
    /// The file's.
    settings() -> Settings { |core| core.settings() }
    /// Remembers the server's base address, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    set_server(server: Option<&str> = server.map(str::to_owned)) -> () { |core| core.set_server(server.as_deref()) }
    /// Remembers that plain HTTP may be spoken to this server, or forgets it.
    ///
    /// # Errors
    /// [`Error::InvalidServer`] unless it is `http://` or `https://` and a host.
    set_allow_http_to(server: Option<&str> = server.map(str::to_owned)) -> () { |core| core.set_allow_http_to(server.as_deref()) }
    /// Remembers the file of certificates (PEM) that are trusted beside this machine's, or forgets it.
    ///
    /// # Errors
    /// The file's; [`Error::InvalidCertificates`] for a path that is not Unicode.
    set_ca_file(path: Option<&Path> = path.map(Path::to_owned)) -> () { |core| core.set_ca_file(path.as_deref()) }
    /// Remembers the name that changes made here bear from now on, or forgets it.
    ///
    /// # Errors
    /// The file's.
    set_author(author: Option<&str> = author.map(str::to_owned)) -> () { |core| core.set_author(author.as_deref()) }
    /// Makes an empty document.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when the id or the name is taken.
    create(id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.create(id, name.as_deref())
    }
    /// Takes part in a document that exists elsewhere. Works offline: it is filled at the next sync.
    ///
    /// # Errors
    /// [`Error::DocumentExists`], [`Error::InvalidServer`].
    join(id: DocumentId = id, name: Option<&str> = name.map(str::to_owned), server: Option<&str> = server.map(str::to_owned)) -> DocumentId {
        |core| core.join(id, name.as_deref(), server.as_deref())
    }
    /// Makes an empty document of a kind that was registered with the builder.
    ///
    /// # Errors
    /// As [`Store::create`], and [`Error::BadSlice`] for an unknown kind.
    create_kind(kind: &str = kind.to_owned(), id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.create_kind(&kind, id, name.as_deref())
    }
    /// Says of which kind a document is: for one that was joined.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::BadSlice`] for an unknown kind.
    set_kind(id: DocumentId = id, kind: &str = kind.to_owned()) -> () { |core| core.set_kind(id, &kind) }
    /// Does an action that is given as JSON, with its type: of the built-in slice, or `slice/action` of one that is
    /// registered.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::BadAction`], [`Error::UnknownSlice`].
    dispatch_json(id: DocumentId = id, action: &Value = action.clone()) -> Receipt { |core| core.dispatch_json(id, &action) }
    /// The document with this local name, UUID, unique prefix of one (4 characters or more), or `automerge:`
    /// URL.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`], [`Error::Deleted`].
    find(name_or_id: &str = name_or_id.to_owned()) -> DocumentId { |core| core.find(&name_or_id) }
    /// Every document of this store, the deleted ones left out.
    ///
    /// # Errors
    /// The file's.
    documents() -> Vec<DocumentInfo> { |core| core.documents() }
    /// One document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    document(id: DocumentId = id) -> DocumentInfo { |core| core.document(id) }
    /// Forgets the document here, with what waits of it. Others keep it.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    leave(id: DocumentId = id) -> () { |core| core.leave(id) }
    /// Deletes the document for everyone, at the next sync.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    delete(id: DocumentId = id) -> () { |core| core.delete(id) }
    /// The state at a JSON Pointer (`""` is the whole document) as JSON.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere.
    state(id: DocumentId = id, pointer: &str = pointer.to_owned()) -> Value { |core| core.state(id, &pointer, None) }
    /// The state as it was at the given heads.
    ///
    /// # Errors
    /// As [`Store::state`], and [`Error::UnknownChange`] for a head that is not held.
    state_at(id: DocumentId = id, pointer: &str = pointer.to_owned(), heads: &[ChangeHash] = heads.to_vec()) -> Value {
        |core| core.state(id, &pointer, Some(&heads))
    }
    /// The history, oldest first: all of it, or the newest so many actions.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    history(id: DocumentId = id, newest: Option<usize> = newest) -> Vec<HistoryEntry> { |core| core.history(id, newest) }
    /// What differs between two points of the history; `to` is now when it is `None`.
    ///
    /// # Errors
    /// [`Error::UnknownChange`].
    diff(id: DocumentId = id, from: &[ChangeHash] = from.to_vec(), to: Option<&[ChangeHash]> = to.map(<[ChangeHash]>::to_vec)) -> Vec<Difference> {
        |core| core.diff(id, &from, to.as_deref())
    }
    /// The change of this document whose hash begins with `prefix` (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownChange`] when none or several do.
    resolve_hash(id: DocumentId = id, prefix: &str = prefix.to_owned()) -> ChangeHash { |core| core.resolve_hash(id, &prefix) }
    /// What waits, in order; of one document or of all.
    ///
    /// # Errors
    /// The file's.
    queue(id: Option<DocumentId> = id) -> Vec<QueueEntry> { |core| core.queue(id) }
    /// One queue row, by position or by a prefix of its change's hash (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    find_queued(id: &str = id.to_owned()) -> QueueEntry { |core| core.find_queued(&id) }
    /// The raw change of a queue row: a plain Automerge chunk.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    queued_bytes(id: &str = id.to_owned()) -> Vec<u8> { |core| core.queued_bytes(&id) }
    /// Has a row tried again at once, with those that wait for it. Returns how many that are.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    retry(id: &str = id.to_owned()) -> u64 { |core| core.retry(&id) }
    /// What dropping this row would take along.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`]; [`Error::AlreadySent`] when the server holds it.
    plan_drop(id: &str = id.to_owned()) -> DropPlan { |core| core.plan_drop(&id) }
    /// Removes the row's change from queue and document, with those later ones that touch what it made; the
    /// other later ones are written again without it.
    ///
    /// # Errors
    /// As [`Store::plan_drop`].
    drop_queued(id: &str = id.to_owned()) -> DropPlan { |core| core.drop_queued(&id) }
    /// Does an action and records the effects it asks for, in one transaction: both are there or both not.
    ///
    /// # Errors
    /// As [`Store::dispatch`], and [`Error::InvalidEffect`]: then nothing was done.
    dispatch_with(id: DocumentId = id, action: Action = action, effects: Vec<EffectRequest> = effects) -> Receipt {
        |core| core.dispatch_with(id, &action, &effects)
    }
    /// All effects that are kept, in the order in which they were asked for: what waits and what is dead, and the
    /// newest thousand of those that are done and of those that were dropped.
    ///
    /// # Errors
    /// The file's.
    effects() -> Vec<Effect> { |core| core.effects() }
    /// One effect, by its position, its id or the beginning of it (4 characters or more).
    ///
    /// # Errors
    /// [`Error::UnknownEffect`].
    effect(id: &str = id.to_owned()) -> Effect { |core| core.effect(&id) }
    /// Sends an effect now, also one that is held or dead, with those dead ones that it comes after: under the
    /// same keys. Returns how many. A dead letter has its attempts anew and no deadline; what its rollback took
    /// back stays taken back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done or was dropped.
    retry_effect(id: &str = id.to_owned()) -> u64 { |core| core.retry_effect(&id) }
    /// What dropping this effect would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Store::drop_effect`].
    plan_effect_drop(id: &str = id.to_owned()) -> EffectDrop { |core| core.plan_effect_drop(&id) }
    /// Takes an effect off: it is not sent any more. What its action wrote stays, unless `roll_back`. Those that
    /// come after it become dead letters, and are rolled back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done, was dropped, or is being sent.
    drop_effect(id: &str = id.to_owned(), roll_back: bool = roll_back) -> EffectDrop {
        |core| core.drop_effect(&id, roll_back)
    }
    /// Sends again what is held for want of credentials: to be called when there are new ones. Returns how many.
    ///
    /// # Errors
    /// The file's.
    release_held_effects() -> u64 { |core| core.release_held_effects() }
    /// Sends now what waits for its next time: to be called when there is a connection again. Returns how many.
    ///
    /// # Errors
    /// The file's.
    hurry_effects() -> u64 { |core| core.hurry_effects() }
    /// The document as a compact Automerge file.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    export(id: DocumentId = id) -> Vec<u8> { |core| core.export(id) }
    /// A new document from an Automerge file.
    ///
    /// # Errors
    /// [`Error::Import`], [`Error::DocumentExists`].
    import(bytes: Vec<u8> = bytes, id: Option<DocumentId> = id, name: Option<&str> = name.map(str::to_owned)) -> DocumentId {
        |core| core.import(&bytes, id, name.as_deref())
    }
    /// A consistent copy of the whole store in a new file, while it is in use.
    ///
    /// # Errors
    /// [`Error::Io`] when the file exists or cannot be made, [`Error::DiskFull`].
    backup(to: impl AsRef<Path> = to.as_ref().to_owned()) -> () { |core| core.backup(&to) }
    /// Reads the whole file and says what is wrong with it, and what to do.
    ///
    /// # Errors
    /// Only when not even the check can be made.
    check() -> CheckReport { |core| core.check() }
    /// Undoes the last action of this replica that is not undone, by a new change: before a sync and after it, and
    /// where others wrote in between, what still wins. `None`: there is none.
    ///
    /// # Errors
    /// [`Error::Refused`] when what it would write is outside the limits; [`Error::Deleted`].
    undo(id: DocumentId = id) -> Option<Undone> { |core| core.undo(id) }
    /// Does the last undone action of this replica again, by a new change. `None`: there is none, or an action came
    /// after the undo.
    ///
    /// # Errors
    /// As [`Store::undo`].
    redo(id: DocumentId = id) -> Option<Undone> { |core| core.redo(id) }
    /// Undoes this change of this replica, whatever came after it. `None`: it is undone already.
    ///
    /// # Errors
    /// As [`Store::undo`]; [`Error::UnknownChange`], and [`Error::NotOwn`] for a change of another replica.
    undo_change(id: DocumentId = id, change: ChangeHash = change) -> Option<Undone> {
        |core| core.undo_change(id, change)
    }
    /// Whether there is an action to undo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    can_undo(id: DocumentId = id) -> bool { |core| core.can_undo(id) }
    /// Whether there is an action to redo.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    can_redo(id: DocumentId = id) -> bool { |core| core.can_redo(id) }
    /// Who wrote what is at a JSON Pointer, now or at the given heads: of a text its runs, of a counter the
    /// change that made it and those that added to it, of a map or list the one that made it and then everything in it.
    ///
    /// # Errors
    /// As [`Store::state_at`].
    blame(id: DocumentId = id, pointer: &str = pointer.to_owned(), heads: Option<&[ChangeHash]> = heads.map(<[_]>::to_vec)) -> Vec<Blame> {
        |core| core.blame(id, &pointer, heads.as_deref())
    }
    /// The places at and under a JSON Pointer where concurrent writes met, with every value, who wrote it and when;
    /// until one is taken or written over.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere.
    conflicts(id: DocumentId = id, pointer: &str = pointer.to_owned()) -> Vec<Conflict> {
        |core| core.conflicts(id, &pointer)
    }
    /// Takes one of the values at a conflict, by a new action `take`.
    ///
    /// # Errors
    /// [`Error::NoConflict`] where no writes met, or none of them is the chosen one; else as [`Store::dispatch`].
    take(id: DocumentId = id, pointer: &str = pointer.to_owned(), choice: impl Into<Choice> = choice.into()) -> Receipt {
        |core| core.take(id, &pointer, choice)
    }
}
