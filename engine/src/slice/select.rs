//! Memoised selectors.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use automerge::{Patch, PatchAction, Prop};
use tokio::sync::broadcast;

use super::{Slice, SliceHandle, draft::escape, handle::misfit};
use crate::{
    Event, Result,
    store::{Parts, SeenPart},
};

pub(super) type Compute<P, T> = Arc<dyn Fn(&P) -> T + Send + Sync>;

/// How the parts at the selector's paths become what it computes with, or which of them does not fit.
pub(super) type ReadParts<P> = fn(Parts) -> Result<P, Misfit>;

/// A part that does not fit its type: which one, and why.
#[derive(Debug)]
pub(super) struct Misfit {
    pub(super) nth: usize,
    pub(super) reason: String,
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)
    }
}

/// What a selector with several inputs reads: a part of its own slice, named by a JSON Pointer, or of another slice of this
/// store, by [`SliceHandle::input`].
#[derive(Debug, Clone)]
pub struct Input(Of);

#[derive(Debug, Clone)]
enum Of {
    Own(String),
    Other(SeenPart),
}

impl From<&str> for Input {
    fn from(pointer: &str) -> Self {
        Self(Of::Own(pointer.to_owned()))
    }
}

impl Input {
    /// For a selector of this slice.
    pub(super) fn seen_by<S: Slice>(self, handle: &SliceHandle<S>) -> SeenPart {
        match self.0 {
            Of::Own(pointer) => handle.seen(pointer),
            Of::Other(part) => part,
        }
    }
}

impl<S: Slice> SliceHandle<S> {
    /// The part of this slice at a JSON Pointer (from its root), for a selector of another slice: see
    /// [`SliceHandle::select2`].
    pub fn input(&self, pointer: &str) -> Input {
        Input(Of::Other(self.seen(pointer.to_owned())))
    }
}

/// A memoised view of a part of a slice: made by [`SliceHandle::select`].
///
/// ```
/// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
/// # struct Todos;
/// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Added { id: String, done: bool } }
/// # impl Slice for Todos {
/// #     const NAME: &'static str = "todos"; type State = serde_json::Value; type Action = Act;
/// #     fn reduce(draft: &mut Draft<'_>, action: &Act) -> Result<(), Rejection> {
/// #         let Act::Added { id, done } = action; draft.set(&format!("/items/{id}/done"), done) }
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let dir = tempfile::tempdir().unwrap();
/// # let store = Store::builder(dir.path().join("app.db")).slice::<Todos>().open().await?;
/// # let todos = store.slice::<Todos>(store.create(None, None).await?);
/// # #[derive(Default, serde::Deserialize)] struct Item { done: bool }
/// use std::collections::BTreeMap;
/// let open = todos.select("/items", |items: &BTreeMap<String, Item>| items.values().filter(|i| !i.done).count());
/// todos.dispatch(Act::Added { id: "a".into(), done: false }).await?;
/// assert_eq!(*open.get().await?, 1);
/// assert_eq!(*open.get().await?, 1);
/// assert_eq!(open.computed(), 1);
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
pub struct Selector<S: Slice, P, T> {
    handle: SliceHandle<S>,
    inputs: Vec<SeenPart>,
    read: ReadParts<P>,
    compute: Compute<P, T>,
    memo: Mutex<Memo<T>>,
    computed: AtomicU64,
}

struct Memo<T> {
    events: broadcast::Receiver<Event>,
    value: Option<Arc<T>>,
    /// Counts what touched it: a value that was computed before the last is not kept.
    touched: u64,
}

impl<S: Slice, P, T> std::fmt::Debug for Selector<S, P, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Selector")
            .field("handle", &self.handle)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl<S: Slice, P, T> Selector<S, P, T> {
    pub(super) fn new(
        handle: SliceHandle<S>,
        inputs: Vec<SeenPart>,
        (read, compute): (ReadParts<P>, Compute<P, T>),
    ) -> Self {
        let memo = Mutex::new(Memo { events: handle.store().subscribe(), value: None, touched: 0 });
        Self { handle, inputs, read, compute, memo, computed: AtomicU64::new(0) }
    }

    pub(super) fn handle(&self) -> &SliceHandle<S> {
        &self.handle
    }

    /// What it reads, and how it makes its value of that.
    pub(super) fn parts(&self) -> (Vec<SeenPart>, ReadParts<P>, Compute<P, T>) {
        (self.inputs.clone(), self.read, Arc::clone(&self.compute))
    }

    /// The value: the one of the last call, unless something at, above or below the selector's path has changed since,
    /// here or in another process. It is never older than what [`SliceHandle::state`] read before.
    ///
    /// # Errors
    /// As [`SliceHandle::state`].
    pub async fn get(&self) -> Result<Arc<T>> {
        // What others wrote is told now, and not only when the store looks around.
        self.handle.store().with_core(|core| core.hear_others()).await?;
        let touched = match self.known() {
            Ok(value) => return Ok(value),
            Err(touched) => touched,
        };
        let (seen, read, _) = self.parts();
        let parts = self.handle.store().with_core(move |core| core.read_seen(&seen)).await?;
        let part = self.fit(read(parts)).await?;
        let value = Arc::new((self.compute)(&part));
        self.computed.fetch_add(1, Ordering::Relaxed);
        let mut memo = self.lock();
        if memo.touched == touched {
            memo.value = Some(Arc::clone(&value));
        }
        Ok(value)
    }

    /// What was read, or what is said of the slice where it does not fit.
    pub(super) async fn fit<V>(&self, read: Result<V, Misfit>) -> Result<V> {
        let Misfit { nth, reason } = match read {
            Ok(value) => return Ok(value),
            Err(misfit) => misfit,
        };
        let part = self.inputs.get(nth).cloned().unwrap_or_else(|| self.handle.seen(String::new()));
        let reason = format!("at {:?}: {reason}", part.pointer);
        let of = (part.document, part.slice, part.scope, part.version);
        Err(self.handle.store().with_core(misfit(of, reason)).await?)
    }

    /// How often it was computed.
    pub fn computed(&self) -> u64 {
        self.computed.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Memo<T>> {
        // A panic in between leaves nothing half done here.
        self.memo.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last value, if nothing touched it; else how often it was touched. What happened until now is taken from the events before the state is
    /// read: so a change in between makes it compute once more, and none is missed.
    fn known(&self) -> Result<Arc<T>, u64> {
        let mut memo = self.lock();
        let path = |part: &SeenPart| format!("/{}{}", part.slice, part.pointer);
        let paths: Vec<_> = self.inputs.iter().map(|part| (part.document, path(part))).collect();
        loop {
            let touched = match memo.events.try_recv() {
                Ok(event) => {
                    paths.iter().any(|(document, path)| event.document == *document && touches(&event, path))
                }
                Err(broadcast::error::TryRecvError::Lagged(_)) => true,
                Err(_) => return memo.value.clone().ok_or(memo.touched),
            };
            if touched {
                memo.value = None;
                memo.touched += 1;
            }
        }
    }
}

/// Whether something at, above or below this path changed, as far as is known.
pub(super) fn touches(event: &Event, path: &str) -> bool {
    let related = |at: &str| is_under(at, path) || is_under(path, at);
    event.rebuilt || event.patches.iter().any(|patch| related(&place_of(patch)))
}

pub(crate) fn is_under(path: &str, above: &str) -> bool {
    path.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Where a patch writes, as a JSON Pointer; inside a list it ends with the list, whose indexes move.
pub(crate) fn place_of(patch: &Patch) -> String {
    let mut place = String::new();
    let own = match &patch.action {
        PatchAction::PutMap { key, .. } | PatchAction::DeleteMap { key } => Some(Prop::Map(key.clone())),
        PatchAction::Increment { prop, .. } | PatchAction::Conflict { prop } => Some(prop.clone()),
        _ => None,
    };
    for prop in patch.path.iter().map(|(_, prop)| prop).chain(&own) {
        match prop {
            Prop::Map(key) => {
                place.push('/');
                place.push_str(&escape(key));
            }
            Prop::Seq(_) => break,
        }
    }
    place
}
