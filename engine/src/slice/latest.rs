//! What is read of a slice without asking the store: its latest state, and a selector's latest result.

use std::{
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{Stream, StreamExt};
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use super::{
    Selector, Slice, SliceHandle,
    select::{Compute, ReadParts},
};
use crate::{
    Result,
    store::{Core, Parts, Seen},
};

/// The state that a handle and its clones keep read, once somebody asked for it.
#[derive(Debug)]
pub(crate) struct Kept<T> {
    latest: OnceLock<watch::Receiver<Arc<T>>>,
    asking: AtomicBool,
}

impl<T> Default for Kept<T> {
    fn default() -> Self {
        Self { latest: OnceLock::new(), asking: AtomicBool::new(false) }
    }
}

impl<T> Kept<T> {
    /// A receiver that has seen what is there now.
    fn receiver(&self) -> Option<watch::Receiver<Arc<T>>> {
        let mut receiver = self.latest.get()?.clone();
        receiver.mark_unchanged();
        Some(receiver)
    }
}

fn at<P: DeserializeOwned + Default>(pointer: &str, part: Option<Value>) -> Result<P, String> {
    match part {
        None | Some(Value::Null) => Ok(P::default()),
        Some(part) => serde_json::from_value(part).map_err(|error| format!("at {pointer:?}: {error}")),
    }
}

/// The next of these parts, as its type.
fn next<P: DeserializeOwned + Default>(
    parts: &mut impl Iterator<Item = (String, Option<Value>)>,
) -> Result<P, String> {
    let (pointer, part) = parts.next().unwrap_or_default();
    at(&pointer, part)
}

fn pairs(pointers: &[String], parts: Parts) -> impl Iterator<Item = (String, Option<Value>)> {
    pointers.iter().cloned().zip(parts)
}

fn owned(pointers: impl IntoIterator<Item = impl ToString>) -> Vec<String> {
    pointers.into_iter().map(|pointer| pointer.to_string()).collect()
}

type Looked<S> = Result<watch::Receiver<Arc<<S as Slice>::State>>, String>;

impl<S: Slice> SliceHandle<S> {
    pub(super) fn seen(&self, pointers: Vec<String>) -> Seen {
        Seen { document: self.document(), slice: S::NAME, scope: S::SCOPE, pointers }
    }

    /// What asks for the state to be kept read.
    pub(crate) fn looking(&self) -> impl FnOnce(&mut Core) -> Result<Looked<S>> + Send + 'static {
        let (seen, kept) = (self.seen(owned([""])), Arc::clone(self.kept()));
        move |core| {
            if let Some(receiver) = kept.receiver() {
                return Ok(Ok(receiver));
            }
            let typed = |parts: Parts| Self::typed(parts.into_iter().next().flatten()).map(Arc::new);
            // It is shown when what was read differs.
            let looked = core.look(seen, typed, |_, _| false)?;
            if let Ok(receiver) = &looked {
                // Another call was first: both are shown the same.
                let _ = kept.latest.set(receiver.clone());
            }
            Ok(looked)
        }
    }

    /// The latest state, for those who draw it: it is read once now, and again after everything that changes it, by this
    /// process, by others on the store, and by other replicas (what other processes write within a tenth of a second).
    /// Each read costs the size of the slice, on the store's own thread; one handle and its clones read once for all their
    /// receivers.
    ///
    /// It never lags behind [`SliceHandle::state`] or a dispatch: when these return, the receiver has at least what they
    /// saw. Where what is written later does not fit the type, it stays at the last state that did. It ends when the store
    /// is closed, keeps it not open, and then has the last state. [`SliceHandle::changes`] may tell of a change a moment before
    /// it is here: who draws waits for the receiver.
    ///
    /// ```
    /// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Set { to: i64 } }
    /// # struct Dial;
    /// # impl Slice for Dial {
    /// #     const NAME: &'static str = "dial"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Set { to }: &Act) -> Result<(), Rejection> { draft.set("/at", to) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::builder(dir.path().join("app.db")).slice::<Dial>().open().await?;
    /// let dial = store.slice::<Dial>(store.create(None, None).await?);
    /// let mut latest = dial.latest().await?;
    /// dial.dispatch(Act::Set { to: 7 }).await?;
    /// assert_eq!(latest.borrow_and_update()["at"], 7);
    /// // A thread that draws asks the handle, and never waits:
    /// assert_eq!(dial.snapshot().unwrap()["at"], 7);
    /// store.close().await?;
    /// assert!(latest.changed().await.is_err());
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`SliceHandle::state`].
    pub async fn latest(&self) -> Result<watch::Receiver<Arc<S::State>>> {
        let looked = self.store().with_core(self.looking()).await?;
        self.fit(looked).await
    }

    /// The latest state, at once, on any thread: it never waits for the store. `None` until it was read for the first time,
    /// which [`SliceHandle::latest`] does, and else the first call asks for. So keep the handle; a new one has read
    /// nothing yet. It is kept as [`SliceHandle::latest`] is, as long as this handle or a clone of it is there.
    pub fn snapshot(&self) -> Option<Arc<S::State>> {
        if let Some(latest) = self.kept().latest.get() {
            return Some(Arc::clone(&latest.borrow()));
        }
        if !self.kept().asking.swap(true, Ordering::SeqCst) {
            let (look, kept) = (self.looking(), Arc::clone(self.kept()));
            let ask = move |core: &mut Core| {
                if !matches!(look(core), Ok(Ok(_))) {
                    // The next call asks again.
                    kept.asking.store(false, Ordering::SeqCst);
                }
            };
            // A closed store has nothing to be seen.
            let _ = self.store().submit_call(ask);
        }
        None
    }

    /// A memoised view of the part of the state at a JSON Pointer (from the slice's root; `""` is all of it):
    /// `compute` runs again only after something at, above or below that path changed. [`super::pointer`] makes a path of
    /// keys. Of one that begins with no `/`, [`Selector::get`] is an error.
    pub fn select<P, T, F>(&self, pointer: &str, compute: F) -> Selector<S, P, T>
    where
        P: DeserializeOwned + Default,
        F: Fn(&P) -> T + Send + Sync + 'static,
    {
        let read: ReadParts<P> = |pointers, parts| next(&mut pairs(pointers, parts));
        Selector::new(self.clone(), owned([pointer]), (read, Arc::new(compute)))
    }

    /// As [`SliceHandle::select`], of two parts, read at one time: `compute` runs again after something in either changed.
    ///
    /// ```
    /// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Set { at: String, to: i64 } }
    /// # struct Sheet;
    /// # impl Slice for Sheet {
    /// #     const NAME: &'static str = "sheet"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Set { at, to }: &Act) -> Result<(), Rejection> { draft.set(at, to) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let dir = tempfile::tempdir().unwrap();
    /// # let store = Store::builder(dir.path().join("app.db")).slice::<Sheet>().open().await?;
    /// # let sheet = store.slice::<Sheet>(store.create(None, None).await?);
    /// # let set = |at: &str, to| Act::Set { at: at.into(), to };
    /// let total = sheet.select2(["/price", "/count"], |price: &i64, count: &i64| price * count);
    /// let mut totals = total.results().await?;
    /// assert_eq!(*totals.next().await.unwrap(), 0);
    /// sheet.dispatch(set("/price", 3)).await?; // still 0: nobody is told
    /// sheet.dispatch(set("/count", 2)).await?;
    /// assert_eq!(*totals.next().await.unwrap(), 6);
    /// assert_eq!(*total.get().await?, 6);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    pub fn select2<A, B, T, F>(&self, pointers: [&str; 2], compute: F) -> Selector<S, (A, B), T>
    where
        A: DeserializeOwned + Default,
        B: DeserializeOwned + Default,
        F: Fn(&A, &B) -> T + Send + Sync + 'static,
    {
        let read: ReadParts<(A, B)> = |pointers, parts| {
            let mut parts = pairs(pointers, parts);
            Ok((next(&mut parts)?, next(&mut parts)?))
        };
        let compute: Compute<(A, B), T> = Arc::new(move |(a, b)| compute(a, b));
        Selector::new(self.clone(), owned(pointers), (read, compute))
    }

    /// As [`SliceHandle::select2`], of three parts.
    pub fn select3<A, B, C, T, F>(&self, pointers: [&str; 3], compute: F) -> Selector<S, (A, B, C), T>
    where
        A: DeserializeOwned + Default,
        B: DeserializeOwned + Default,
        C: DeserializeOwned + Default,
        F: Fn(&A, &B, &C) -> T + Send + Sync + 'static,
    {
        let read: ReadParts<(A, B, C)> = |pointers, parts| {
            let mut parts = pairs(pointers, parts);
            Ok((next(&mut parts)?, next(&mut parts)?, next(&mut parts)?))
        };
        let compute: Compute<(A, B, C), T> = Arc::new(move |(a, b, c)| compute(a, b, c));
        Selector::new(self.clone(), owned(pointers), (read, compute))
    }
}

impl<S: Slice, P: 'static, T: PartialEq + Send + Sync + 'static> Selector<S, P, T> {
    /// The latest result, as [`SliceHandle::latest`] has the latest state: it changes only when the result is another one.
    /// It is computed on the store's own thread, and does not count as [`Selector::computed`].
    ///
    /// # Errors
    /// As [`SliceHandle::state`].
    pub async fn latest(&self) -> Result<watch::Receiver<Arc<T>>> {
        let (seen, read, compute) = self.parts();
        let pointers = seen.pointers.clone();
        let results = move |parts| read(&pointers, parts).map(|part| Arc::new(compute(&part)));
        let look = move |core: &mut Core| core.look(seen, results, |last, new| last == new);
        let looked = self.handle().store().with_core(look).await?;
        self.handle().fit(looked).await
    }

    /// The results as a stream: first what it is now, then each time that it is another one. Of several that come while
    /// nobody asks, the last is told. It ends when the store is closed, and does not keep it open.
    ///
    /// # Errors
    /// As [`SliceHandle::state`].
    pub async fn results(&self) -> Result<Results<T>> {
        let latest = (self.latest().await?, true);
        let results = futures_util::stream::unfold(latest, async |(mut latest, first)| {
            if !first {
                latest.changed().await.ok()?;
            }
            let result = Arc::clone(&latest.borrow_and_update());
            Some((result, (latest, false)))
        });
        Ok(Results { results: Box::pin(results) })
    }
}

/// The stream of [`Selector::results`].
pub struct Results<T> {
    results: Pin<Box<dyn Stream<Item = Arc<T>> + Send>>,
}

impl<T> std::fmt::Debug for Results<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Results").finish_non_exhaustive()
    }
}

impl<T> Results<T> {
    /// The next result; `None` when the store is closed. Cancel-safe.
    pub async fn next(&mut self) -> Option<Arc<T>> {
        StreamExt::next(self).await
    }
}

impl<T> Stream for Results<T> {
    type Item = Arc<T>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.results.poll_next_unpin(context)
    }
}
