//! Building a store: its slices, kinds of documents and middleware.

use std::{
    future::Future,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use crate::{
    Durability, Result, Store, TrashLimits, VerifyCommand,
    api::{FailedDispatch, OnFailed},
    blocking,
    job::{Heard, Listener, Reaction},
    runner::{HandlerError, Hearing, Tasks, Thunk},
    slice::{ExtraReducer, Middleware, Registry, Slice},
};

/// What a store is opened with. What is wrong with it is told by `open`.
///
/// ```
/// # use rejoin::{Store, slice::{Before, Draft, Middleware, Rejection, Slice, Verdict}};
/// # struct Todos;
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum TodoAction { Added }
/// # impl Slice for Todos {
/// #     const NAME: &'static str = "todos"; type State = serde_json::Value; type Action = TodoAction;
/// #     fn reduce(draft: &mut Draft<'_>, _: &TodoAction) -> Result<(), Rejection> { draft.set("/n", 1) }
/// # }
/// struct NoWritesOnSunday;
/// impl Middleware for NoWritesOnSunday {}
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// let builder = Store::builder(dir.path().join("app.db")).slice::<Todos>().kind("list", &["todos"]);
/// let store = builder.middleware(NoWritesOnSunday).open().await?;
/// let list = store.create_kind("list", None, None).await?;
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
#[must_use = "a builder does nothing before `open`"]
pub struct Builder {
    path: PathBuf,
    durability: Durability,
    registry: Result<Registry>,
    tasks: Result<Tasks>,
    verify: Option<VerifyCommand>,
    trash: TrashLimits,
    undo_window: Option<Duration>,
    access: Access,
    failed: OnFailed,
}

/// What is to be done with the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Access {
    #[default]
    Write,
    WriteOrRead,
    Read,
    Memory,
}

/// What the store's thread is given.
pub(crate) struct Built {
    pub(crate) access: Access,
    pub(crate) durability: Durability,
    pub(crate) registry: Registry,
    pub(crate) tasks: Tasks,
    pub(crate) failed: OnFailed,
    pub(crate) verify: Option<VerifyCommand>,
    pub(crate) trash: TrashLimits,
    pub(crate) undo_window: Option<Duration>,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Builder {
    /// Of a store in memory, which is gone when its last handle is.
    pub fn in_memory() -> Self {
        Self { access: Access::Memory, ..Self::new(Path::new("")) }
    }

    pub(crate) fn new(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            durability: Durability::default(),
            registry: Ok(Registry::default()),
            tasks: Ok(Tasks::default()),
            verify: None,
            trash: TrashLimits::default(),
            undo_window: None,
            access: Access::default(),
            failed: OnFailed::default(),
        }
    }

    fn register(mut self, add: impl FnOnce(&mut Registry) -> Result<()>) -> Self {
        self.registry = self.registry.and_then(|mut registry| add(&mut registry).map(|()| registry));
        self
    }

    /// When a dispatch counts as done.
    pub fn durability(mut self, durability: Durability) -> Self {
        self.durability = durability;
        self
    }

    /// Where the file, its directory or its disk cannot be written, the store is opened to be read: what writes then fails
    /// with [`crate::Error::ReadOnly`].
    pub fn or_read_only(mut self) -> Self {
        self.access = Access::WriteOrRead;
        self
    }

    /// The store is only read: a missing one is not made, and nothing is written, not even beside it. Not while this process
    /// has it open to write: closing this one would take that one's locks.
    pub fn read_only(mut self) -> Self {
        self.access = Access::Read;
        self
    }

    /// How long and how much the trash keeps: documents that were deleted, and what of them was never sent. What
    /// [`Store::set_trash_limits`] remembered in the store goes before it.
    pub fn trash_limits(mut self, limits: TrashLimits) -> Self {
        self.trash = limits;
        self
    }

    /// How soon after the last action of its group an action must come to be one step of undo with it: see
    /// [`crate::UndoStep::group`]. One second, where nothing is said.
    pub fn undo_window(mut self, window: Duration) -> Self {
        self.undo_window = Some(window);
        self
    }

    /// Who is told when a dispatch fails that nobody waits for: see [`Store::dispatch_soon`]. It is called on the store's own
    /// thread, or on the caller's where the store is closed; it must be quick, and cannot ask the store. Where nothing is said,
    /// failures are logged.
    pub fn on_failed_dispatch(mut self, hook: impl Fn(FailedDispatch) + Send + Sync + 'static) -> Self {
        self.failed = OnFailed::new(hook);
        self
    }

    /// Has what a server sends, and what is imported, tried in a process of its own first. There it may hang, take all
    /// memory (2 GiB) or end the process: the change that does it is quarantined, and the document goes on without it.
    /// The process is started when the first change arrives, and keeps a second copy in memory of documents whose log
    /// has at most 32 MiB; larger ones are tried in this process, as everything is without a command: on copies and
    /// inside `catch_unwind`, which stops panics and nothing else. Where the command cannot be run that is logged,
    /// and the store goes on as without one.
    ///
    /// ```no_run
    /// use rejoin::{Store, VerifyCommand, verify_child};
    ///
    /// # async fn app() -> Result<(), Box<dyn std::error::Error>> {
    /// // First thing in `main`: this may be the process that verifies.
    /// if std::env::args().nth(1).as_deref() == Some("verify-child") {
    ///     return Ok(verify_child(std::io::stdin().lock(), std::io::stdout().lock())?);
    /// }
    /// let command = VerifyCommand::of_this_program(["verify-child"])?;
    /// let store = Store::builder("notes.db").verify_command(command).open().await?;
    /// # Ok(()) }
    /// ```
    pub fn verify_command(mut self, command: VerifyCommand) -> Self {
        self.verify = Some(command);
        self
    }

    /// A slice. A name that is taken, or can be none, is told by `open`.
    pub fn slice<S: Slice>(self) -> Self {
        self.register(Registry::add::<S>)
    }

    /// `S` reacts to the actions of `Other`, in the same change: see [`ExtraReducer`]. Both are registered before it, and live
    /// in the same place ([`Slice::SCOPE`]); in documents of a kind that does not take `S` it does not react.
    pub fn extra_reducer<S: ExtraReducer<Other>, Other: Slice>(self) -> Self {
        self.register(Registry::add_extra::<S, Other>)
    }

    /// A kind of document: documents of it take actions of these slices and no others, the built-in JSON actions not
    /// either. The slices are registered before it. A handler's commits, and a listener's reactions, are such actions
    /// too. Which kind a document is of is remembered in this store only.
    pub fn kind(self, kind: &str, slices: &[&str]) -> Self {
        self.register(|registry| registry.add_kind(kind, slices))
    }

    /// Middleware, after what was given before.
    pub fn middleware(self, middleware: impl Middleware) -> Self {
        self.register(|registry| {
            registry.middleware.push(Arc::new(middleware));
            Ok(())
        })
    }

    fn task(mut self, add: impl FnOnce(&mut Tasks) -> Result<()>) -> Self {
        self.tasks = self.tasks.and_then(|mut tasks| add(&mut tasks).map(|()| tasks));
        self
    }

    /// Registers a thunk: where [`Store::run`] runs, this process can do its work. A name that is taken is told by
    /// `open`.
    pub fn thunk<T: Thunk>(self, thunk: T) -> Self {
        self.task(|tasks| tasks.add_thunk(thunk))
    }

    /// Registers a listener: where [`Store::run`] runs, `handler` is called for each action that it wants, in the
    /// order of each document, one at a time, and its reaction is recorded with its new position. A new name begins
    /// where the listener says; a known one goes on where it stopped. See [`crate::work`] for what is promised. A name
    /// that is taken is told by `open`.
    ///
    /// ```
    /// use rejoin::{Action, Store, work::{Listener, Reaction, WorkOptions}};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let counts = Listener::new("counts").types(["set"]);
    /// let store = Store::builder(dir.path().join("app.db"))
    ///     .listener(counts, |heard| async move {
    ///         println!("{:?} by {:?}", heard.payload, heard.author);
    ///         Ok(Reaction::none().action(Action::Increment { path: "/sets".into(), by: 1 }))
    ///     })
    ///     .open()
    ///     .await?;
    /// let notes = store.create(None, None).await?;
    /// store.dispatch(notes, Action::Set { path: "/title".into(), value: "Hello".into() }).await?;
    /// store.run_until_idle(WorkOptions::default()).await?;
    /// assert_eq!(store.state(notes, "/sets").await?, 1);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    pub fn listener<F, Fut>(self, listener: Listener, handler: F) -> Self
    where
        F: Fn(Heard) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Reaction, HandlerError>> + Send + 'static,
    {
        self.task(|tasks| tasks.add_listener(Hearing::new(listener, handler)))
    }

    fn built(self) -> Result<(PathBuf, Built)> {
        let (registry, tasks) = (self.registry?, self.tasks?);
        let (durability, verify, trash, access) = (self.durability, self.verify, self.trash, self.access);
        let (undo_window, failed) = (self.undo_window, self.failed);
        Ok((self.path, Built { access, durability, registry, tasks, failed, verify, trash, undo_window }))
    }

    /// Opens the store in the file, or makes it (mode 0600).
    ///
    /// # Errors
    /// As [`Store::open`], and [`crate::Error::BadSlice`], [`crate::Error::InvalidThunk`],
    /// [`crate::Error::BadListener`].
    pub async fn open(self) -> Result<Store> {
        let (path, built) = self.built()?;
        Store::open_built(path, built).await
    }

    /// [`Builder::open`], for blocking callers.
    ///
    /// # Errors
    /// As [`Builder::open`].
    pub fn open_blocking(self) -> Result<blocking::Store> {
        let (path, built) = self.built()?;
        Ok(blocking::Store { inner: Store::open_built_blocking(path, built)? })
    }
}
