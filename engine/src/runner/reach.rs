//! What a listener's handler can do beside its reaction: ask the store, wait for another action, do several things at once.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::{AbortHandle, JoinSet},
};

use crate::{
    DocumentId, Error, Receipt, Result, Slice, Store, WeakStore,
    job::{Heard, Reach, Reaction},
    slice::{SliceChange, SliceHandle, read_action, typed_json},
};

/// What is behind a [`Reach`].
struct Reached {
    store: WeakStore,
    forks: Arc<Forks>,
}

fn reached(heard: &Heard) -> Option<&Reached> {
    heard.reach.0.as_ref()?.downcast_ref()
}

/// What a handler forked; `None`: it has ended, and nothing more is begun.
struct Forks(Mutex<Option<JoinSet<()>>>);

impl Default for Forks {
    fn default() -> Self {
        Self(Mutex::new(Some(JoinSet::new())))
    }
}

impl Forks {
    fn with<T>(&self, work: impl FnOnce(&mut Option<JoinSet<()>>) -> T) -> T {
        // A panic in between leaves nothing half done here.
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Ends what a handler forked when it is dropped.
#[derive(Default)]
pub(super) struct EndsForks(Arc<Forks>);

impl EndsForks {
    pub(super) fn reach(&self, store: &Store) -> Reach {
        Reach(Some(Arc::new(Reached { store: store.downgrade(), forks: Arc::clone(&self.0) })))
    }
}

impl Drop for EndsForks {
    fn drop(&mut self) {
        drop(self.0.with(Option::take));
    }
}

/// What [`Heard::fork`] began. Dropping it changes nothing: it goes on until the handler ends.
#[derive(Debug)]
pub struct Fork<T> {
    result: oneshot::Receiver<T>,
    task: Option<AbortHandle>,
}

impl<T> Fork<T> {
    /// What it gave; `None` where it was cancelled, or panicked.
    pub async fn join(self) -> Option<T> {
        self.result.await.ok()
    }

    /// Ends it at its next `await`.
    pub fn cancel(&self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

impl Heard {
    /// The store that called the handler.
    ///
    /// # Errors
    /// [`Error::Closed`] where its last handle is gone, or nobody called: a simulator took it from a
    /// [`crate::store::Core`].
    pub fn store(&self) -> Result<Store> {
        reached(self).and_then(|reached| reached.store.upgrade()).ok_or(Error::Closed)
    }

    /// A slice of the document of the action that was heard.
    ///
    /// # Errors
    /// As [`Heard::store`].
    pub fn slice<S: Slice>(&self) -> Result<SliceHandle<S>> {
        Ok(self.store()?.slice(self.document))
    }

    /// The action that was heard, where it is one of this slice and its payload is known.
    pub fn action_of<S: Slice>(&self) -> Option<S::Action> {
        let empty = serde_json::json!({});
        read_action::<S>(self.action_type.as_deref()?, self.payload.as_ref().unwrap_or(&empty))
    }

    /// Does an action now, in the document of the action that was heard.
    ///
    /// # Errors
    /// As [`SliceHandle::dispatch`] and [`Heard::store`].
    pub async fn dispatch<S: Slice>(&self, action: S::Action) -> Result<Receipt> {
        self.slice::<S>()?.dispatch(action).await
    }

    /// The state of a slice of the document as it is now, which may be later than the action that was heard. As it was right
    /// after the action: `heard.slice::<S>()?.state_at(&[heard.hash])`.
    ///
    /// # Errors
    /// As [`SliceHandle::state`] and [`Heard::store`].
    pub async fn state<S: Slice>(&self) -> Result<S::State> {
        self.slice::<S>()?.state().await
    }

    /// Waits for what happens next to a slice of the document, of which `wanted` says so: from this call on, and not only
    /// from the first `await`. The handler's deadline goes on ([`crate::work::Listener::deadline`]).
    ///
    /// # Errors
    /// [`Error::Closed`] when the store is closed meanwhile; as [`Heard::store`].
    pub fn take<S: Slice>(
        &self,
        mut wanted: impl FnMut(&SliceChange<S>) -> bool + Send,
    ) -> impl Future<Output = Result<SliceChange<S>>> + Send {
        // Not the store: it may be closed while somebody waits.
        let changes = self.slice::<S>().map(|slice| slice.changes());
        async move {
            let mut changes = changes?;
            while let Some(change) = changes.next().await {
                if wanted(&change) {
                    return Ok(change);
                }
            }
            Err(Error::Closed)
        }
    }

    /// Does something beside the handler. It ends with the handler at the latest, however that ends: when it returns, at its
    /// deadline, when the runner stops. So await what is to be done to its end. Called after the handler's end it begins
    /// nothing.
    ///
    /// ```
    /// use rejoin::{Action, Store, work::{Listener, Reaction, WorkOptions}};
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// async fn look_up(word: &'static str) -> usize { word.len() }
    ///
    /// let store = Store::builder(dir.path().join("app.db"))
    ///     .listener(Listener::new("words").types(["set"]), |heard| async move {
    ///         let (one, two) = (heard.fork(look_up("one")), heard.fork(look_up("three")));
    ///         let sum = one.join().await.unwrap_or(0) + two.join().await.unwrap_or(0);
    ///         let store = heard.store()?;
    ///         let before = store.state(heard.document, "/title").await?;
    ///         let said = format!("{sum} letters for {before}");
    ///         Ok(Reaction::none().action(Action::Insert { path: "/said/-".into(), value: said.into() }))
    ///     })
    ///     .open()
    ///     .await?;
    /// let id = store.create(None, None).await?;
    /// store.dispatch(id, Action::Set { path: "/title".into(), value: "Hello".into() }).await?;
    /// store.run_until_idle(WorkOptions::default()).await?;
    /// assert_eq!(store.state(id, "/said/0").await?, "8 letters for \"Hello\"");
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    pub fn fork<T: Send + 'static>(&self, work: impl Future<Output = T> + Send + 'static) -> Fork<T> {
        let (give, result) = oneshot::channel();
        let work = async move {
            // Nobody waits for it: nothing is lost.
            let _ = give.send(work.await);
        };
        let begin = |forks: &mut Option<JoinSet<()>>| {
            let forks = forks.as_mut()?;
            while forks.try_join_next().is_some() {}
            let runtime = Handle::try_current().ok()?;
            Some(forks.spawn_on(work, &runtime))
        };
        let task = reached(self).and_then(|reached| reached.forks.with(begin));
        Fork { result, task }
    }
}

impl Reaction {
    /// Does this action of a slice, in the document of the action that was heard. One that fails fails the whole reaction.
    ///
    /// ```
    /// # use rejoin::{Slice, slice::{Draft, Rejection}, work::Reaction};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum StatsAction { Counted { by: i64 } }
    /// # struct Stats;
    /// # impl Slice for Stats {
    /// #     const NAME: &'static str = "stats"; type State = serde_json::Value; type Action = StatsAction;
    /// #     fn reduce(_: &mut Draft<'_>, _: &StatsAction) -> Result<(), Rejection> { Ok(()) }
    /// # }
    /// let reaction = Reaction::none().dispatch::<Stats>(StatsAction::Counted { by: 1 });
    /// # let _ = reaction;
    /// ```
    pub fn dispatch<S: Slice>(self, action: S::Action) -> Self {
        self.json(typed_json::<S>(action))
    }

    /// As [`Reaction::dispatch`], in another document.
    pub fn dispatch_in<S: Slice>(self, document: DocumentId, action: S::Action) -> Self {
        self.json_in(document, typed_json::<S>(action))
    }
}
