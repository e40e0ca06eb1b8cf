//! A slice of one document, for apps.

use std::{
    collections::VecDeque,
    marker::PhantomData,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use serde_json::Value;
use tokio::sync::{broadcast, oneshot};

use super::{
    Command, EntityQuery, Scope, Slice, Typed, latest::Kept, middleware::parse_action, select::touches,
};
use crate::{
    ChangeHash, DocumentId, Error, Event, EventChange, Origin, Receipt, Result, Store, UndoStep,
    job::EffectRequest, store::Core,
};

/// A slice of one document. Cheap to clone.
///
/// Its verbs are cancel-safe as the store's are: what was asked for is done even when the future is dropped.
pub struct SliceHandle<S: Slice> {
    store: Store,
    document: DocumentId,
    kept: Arc<Kept<S::State>>,
}

impl<S: Slice> Clone for SliceHandle<S> {
    fn clone(&self) -> Self {
        Self { store: self.store.clone(), document: self.document, kept: Arc::clone(&self.kept) }
    }
}

impl<S: Slice> std::fmt::Debug for SliceHandle<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SliceHandle").field("slice", &S::NAME).field("document", &self.document).finish()
    }
}

impl<S: Slice> SliceHandle<S> {
    pub(crate) fn new(store: Store, document: DocumentId) -> Self {
        Self { store, document, kept: Arc::default() }
    }

    pub(super) fn kept(&self) -> &Arc<Kept<S::State>> {
        &self.kept
    }

    /// The document.
    pub fn document(&self) -> DocumentId {
        self.document
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    pub(crate) fn submit(&self, action: S::Action) -> Result<oneshot::Receiver<Result<Receipt>>> {
        self.store.submit_dispatch(self.document, Command::Slice(Arc::new(Typed::<S>::new(action)?)))
    }

    /// Does an action. When it returns, change and queue row are durable (for a slice in memory: it is there).
    ///
    /// # Errors
    /// [`Error::Rejected`] with the reducer's or the middleware's reason, [`Error::ReducerPanicked`],
    /// [`Error::UnknownSlice`], [`Error::NotOfThisKind`], [`Error::NewerSlice`] where [`Slice::NEWER`] says so, and those of
    /// [`Store::dispatch`]: nothing was changed.
    pub async fn dispatch(&self, action: S::Action) -> Result<Receipt> {
        self.submit(action)?.await.map_err(|_| Error::Closed)?
    }

    /// Does an action and records these effects beside those that the slice itself asks for, in one transaction.
    ///
    /// # Errors
    /// As [`SliceHandle::dispatch`], and [`Error::InvalidEffect`]: then nothing was done.
    pub async fn dispatch_with(&self, action: S::Action, effects: Vec<EffectRequest>) -> Result<Receipt> {
        let (document, typed) = (self.document, Command::Slice(Arc::new(Typed::<S>::new(action)?)));
        self.store.with_core(move |core| core.dispatch_command_with(document, &typed, &effects)).await
    }

    /// Does an action that stands in undo as this says, before what [`Slice::undo_step`] says: its label, its group, or
    /// that it cannot be undone.
    ///
    /// # Errors
    /// As [`SliceHandle::dispatch`], and [`Error::BadAction`] for a label or group that is empty or too long.
    pub async fn dispatch_step(&self, action: S::Action, step: &UndoStep) -> Result<Receipt> {
        self.store.with_core(self.stepping(action, step)?).await
    }

    pub(crate) fn stepping(
        &self,
        action: S::Action,
        step: &UndoStep,
    ) -> Result<impl FnOnce(&mut Core) -> Result<Receipt> + Send + 'static> {
        let (document, typed) = (self.document, Command::Slice(Arc::new(Typed::<S>::new(action)?)));
        let step = step.clone();
        Ok(move |core: &mut Core| core.dispatch_command_step(document, &typed, &step))
    }

    /// Does these actions in one commit, each succeeding or failing alone.
    ///
    /// # Errors
    /// The outer one is the file's: then nothing was done. The inner ones are as for [`SliceHandle::dispatch`].
    pub async fn dispatch_all(&self, actions: Vec<S::Action>) -> Result<Vec<Result<Receipt>>> {
        let document = self.document;
        let typed = |action| Ok((document, Command::Slice(Arc::new(Typed::<S>::new(action)?))));
        let commands = actions.into_iter().map(typed).collect::<Result<Vec<_>>>()?;
        self.store.with_core(move |core| core.dispatch_commands(&commands, false)).await
    }

    /// Does an action, and does not wait for it: for a caller that can do nothing about a failure, as one that handles a
    /// key. Actions are done in the order in which they were asked for, by whichever verb. What fails is told to
    /// [`crate::Builder::on_failed_dispatch`], also where the store is closed.
    ///
    /// ```
    /// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Turned { by: i64 } }
    /// # struct Dial;
    /// # impl Slice for Dial {
    /// #     const NAME: &'static str = "dial"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Turned { by }: &Act) -> Result<(), Rejection> {
    /// #         if *by > 9 { return Err("it is stuck".into()) }
    /// #         draft.increment("/at", *by)
    /// #     }
    /// # }
    /// # fn main() -> rejoin::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let (tell, told) = std::sync::mpsc::channel();
    /// let store = Store::builder(dir.path().join("app.db"))
    ///     .slice::<Dial>()
    ///     .on_failed_dispatch(move |failed| drop(tell.send(format!("{}: {}", failed.action_type, failed.error))))
    ///     .open_blocking()?;
    /// let dial = store.slice::<Dial>(store.create(None, None)?);
    /// dial.dispatch_soon(Act::Turned { by: 2 });
    /// dial.dispatch_soon(Act::Turned { by: 10 });
    /// assert_eq!(dial.state()?["at"], 2);
    /// assert!(told.recv().unwrap().contains("it is stuck"));
    /// # Ok(()) }
    /// ```
    pub fn dispatch_soon(&self, action: S::Action) {
        let typed = Typed::<S>::new(action).map(|typed| Command::Slice(Arc::new(typed)));
        self.store.submit_soon(self.document, S::NAME, typed);
    }

    pub(crate) fn read(
        &self,
        part: &str,
        at: Option<Vec<ChangeHash>>,
    ) -> impl FnOnce(&mut Core) -> Result<Option<Value>> + Send + 'static {
        let (document, part) = (self.document, part.to_owned());
        move |core| core.slice_state(document, (S::NAME, S::SCOPE, &part), at.as_deref())
    }

    /// The state, or why it does not fit its type.
    pub(crate) fn typed(state: Option<Value>) -> Result<S::State, String> {
        let Some(state) = state else { return Ok(S::State::default()) };
        serde_json::from_value(state).map_err(|error| error.to_string())
    }

    /// What is said where the state does not fit its type: for what a newer version wrote that it did.
    pub(crate) fn mismatch(
        &self,
        reason: String,
    ) -> impl FnOnce(&mut Core) -> Result<Error> + Send + 'static {
        misfit((self.document, S::NAME, S::SCOPE, S::VERSION), reason)
    }

    pub(super) async fn fit<T>(&self, read: Result<T, String>) -> Result<T> {
        match read {
            Ok(state) => Ok(state),
            Err(reason) => Err(self.store.with_core(self.mismatch(reason)).await?),
        }
    }

    /// The version of this slice that has written to it, here or on another device, where that is newer than this
    /// app's: for an app that says so, or offers to read only. What happens then is [`Slice::NEWER`].
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub async fn newer_version(&self) -> Result<Option<u32>> {
        self.store.with_core(self.reading_newer()).await
    }

    pub(crate) fn reading_newer(&self) -> impl FnOnce(&mut Core) -> Result<Option<u32>> + Send + 'static {
        let document = self.document;
        move |core| core.newer_version(document, (S::NAME, S::SCOPE, S::VERSION))
    }

    /// The state; its default where nothing was written. It costs the size of the slice: see [`SliceHandle::select`]
    /// for a part of it, read again only when that part changed.
    ///
    /// # Errors
    /// When what is in the document does not fit the type: [`Error::NewerSlice`] where a newer version of the slice has
    /// written to it, else [`Error::StateMismatch`]. [`Error::UnknownSlice`]; what a migration says.
    pub async fn state(&self) -> Result<S::State> {
        let state = self.store.with_core(self.read("", None)).await?;
        self.fit(Self::typed(state)).await
    }

    /// The state as it was at these heads, without a migration.
    ///
    /// # Errors
    /// As [`SliceHandle::state`], and [`Error::UnknownChange`].
    pub async fn state_at(&self, heads: &[ChangeHash]) -> Result<S::State> {
        let state = self.store.with_core(self.read("", Some(heads.to_vec()))).await?;
        self.fit(Self::typed(state)).await
    }

    /// The entities of the map at a JSON Pointer, to be filtered, sorted and listed: see [`super::EntityList`].
    pub fn entities<T>(&self, pointer: &str) -> EntityQuery<S, T> {
        EntityQuery::new(self.clone(), pointer)
    }

    /// What happens to this slice from now on, as a stream, after it is durable: every action of it, of this replica
    /// and of others, with who, from where, and what changed. With them what belongs to no slice and wrote to this one:
    /// an undo, an action of the built-in JSON slice, a change of another program.
    ///
    /// It ends when the store is closed, and does not keep it open.
    pub fn changes(&self) -> Changes<S> {
        Changes {
            events: Box::pin(stream(self.store.subscribe())),
            ready: VecDeque::new(),
            document: self.document,
            slice: PhantomData,
        }
    }
}

/// `None` in it: events were lost.
fn stream(events: broadcast::Receiver<Event>) -> impl Stream<Item = Option<Event>> + Send {
    futures_util::stream::unfold(events, async |mut events| match events.recv().await {
        Ok(event) => Some((Some(event), events)),
        Err(broadcast::error::RecvError::Lagged(_)) => Some((None, events)),
        Err(broadcast::error::RecvError::Closed) => None,
    })
}

/// One thing that happened to a slice.
#[non_exhaustive]
pub struct SliceChange<S: Slice> {
    /// The action, where its payload is known (made by this process, or the slice sets [`Slice::PAYLOAD`]) and it is
    /// of a version that this app reads.
    pub action: Option<S::Action>,
    /// The change, its type, version, author and payload as they came. `None`: so much happened that the stream was
    /// overtaken, or the document was rebuilt: read the state again.
    pub change: Option<EventChange>,
    /// From where.
    pub origin: Origin,
    /// What changed in the document, for all actions that came together.
    pub patches: Arc<[automerge::Patch]>,
    /// The heads after it.
    pub heads: Vec<ChangeHash>,
}

impl<S: Slice> std::fmt::Debug for SliceChange<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SliceChange")
            .field("change", &self.change)
            .field("origin", &self.origin)
            .finish_non_exhaustive()
    }
}

/// The stream of [`SliceHandle::changes`].
pub struct Changes<S: Slice> {
    events: Pin<Box<dyn Stream<Item = Option<Event>> + Send>>,
    ready: VecDeque<SliceChange<S>>,
    document: DocumentId,
    slice: PhantomData<fn() -> S>,
}

impl<S: Slice> std::fmt::Debug for Changes<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Changes").field("document", &self.document).finish_non_exhaustive()
    }
}

impl<S: Slice> Changes<S> {
    /// The next change; `None` when the store is closed. Cancel-safe. With `futures::StreamExt` it is a stream as well.
    pub async fn next(&mut self) -> Option<SliceChange<S>> {
        StreamExt::next(self).await
    }

    fn receive(&mut self, event: Option<Event>) {
        let overtaken =
            |origin, heads| SliceChange { action: None, change: None, origin, patches: Arc::from([]), heads };
        let Some(event) = event else {
            return self.ready.push_back(overtaken(Origin::Remote, Vec::new()));
        };
        if event.document != self.document {
            return;
        }
        let touched = touches(&event, &format!("/{}", S::NAME));
        let patches: Arc<[automerge::Patch]> = event.patches.into();
        let rebuilt = event.rebuilt && event.changes.is_empty();
        for change in event.changes {
            let kind = change.action_type.as_deref().unwrap_or_default();
            let own = kind.strip_prefix(S::NAME).is_some_and(|rest| rest.starts_with('/'));
            // An undo, say, an action of the JSON slice, or a change of another program.
            let of_no_slice = !kind.contains('/');
            let reacted = change.reacted.iter().any(|slice| slice == S::NAME);
            if !(own || reacted || (of_no_slice && touched)) {
                continue;
            }
            let action = (change.action_version <= S::VERSION)
                .then(|| change.payload.clone().unwrap_or_else(|| Value::Object(serde_json::Map::new())))
                .and_then(|payload| parse_action(S::NAME, kind, &payload).ok());
            self.ready.push_back(SliceChange {
                action,
                origin: event.origin,
                patches: Arc::clone(&patches),
                heads: event.heads.clone(),
                change: Some(change),
            });
        }
        if rebuilt {
            self.ready.push_back(overtaken(event.origin, event.heads));
        }
    }
}

impl<S: Slice> Stream for Changes<S> {
    type Item = SliceChange<S>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(change) = self.ready.pop_front() {
                return Poll::Ready(Some(change));
            }
            match self.events.poll_next_unpin(context) {
                Poll::Ready(Some(event)) => self.receive(event),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

impl<S: Slice> Unpin for Changes<S> {}

/// What is said where what is in a slice of a document, of this version here, does not fit: for what a newer version wrote
/// that it did.
pub(super) fn misfit(
    (document, slice, scope, version): (DocumentId, &'static str, Scope, u32),
    reason: String,
) -> impl FnOnce(&mut Core) -> Result<Error> + Send + 'static {
    move |core| {
        let newer = core.newer_version(document, (slice, scope, version))?;
        let slice = slice.to_owned();
        Ok(match newer {
            Some(written) => Error::NewerSlice { slice, written, version },
            None => Error::StateMismatch { slice, reason },
        })
    }
}
