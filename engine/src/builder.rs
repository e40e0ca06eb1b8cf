//! Building a store: its slices, kinds of documents and middleware.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use crate::{
    Durability, Result, Store, blocking,
    slice::{Middleware, Registry, Slice},
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
}

/// What the store's thread is given.
pub(crate) struct Built {
    pub(crate) durability: Durability,
    pub(crate) registry: Registry,
}

impl std::fmt::Debug for Builder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Builder").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Builder {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), durability: Durability::default(), registry: Ok(Registry::default()) }
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

    /// A slice. A name that is taken, or can be none, is told by `open`.
    pub fn slice<S: Slice>(self) -> Self {
        self.register(Registry::add::<S>)
    }

    /// A kind of document: documents of it take actions of these slices and no others. The slices are registered
    /// before it. Which kind a document is of is remembered in this store only.
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

    fn built(self) -> Result<(PathBuf, Built)> {
        Ok((self.path, Built { durability: self.durability, registry: self.registry? }))
    }

    /// Opens the store in the file, or makes it (mode 0600).
    ///
    /// # Errors
    /// As [`Store::open`], and [`crate::Error::BadSlice`].
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
