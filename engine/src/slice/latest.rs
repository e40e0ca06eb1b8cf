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
    Input, Selector, Slice, SliceHandle,
    select::{Compute, Misfit, ReadParts},
};
use crate::{
    Result,
    store::{Core, Parts, SeenPart},
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

fn at<P: DeserializeOwned + Default>(nth: usize, part: Option<Value>) -> Result<P, Misfit> {
    match part {
        None | Some(Value::Null) => Ok(P::default()),
        Some(part) => serde_json::from_value(part).map_err(|error| Misfit { nth, reason: error.to_string() }),
    }
}

/// The next of these parts, as its type.
fn next<P: DeserializeOwned + Default>(
    parts: &mut impl Iterator<Item = (usize, Option<Value>)>,
) -> Result<P, Misfit> {
    let (nth, part) = parts.next().unwrap_or_default();
    at(nth, part)
}

type Looked<S> = Result<watch::Receiver<Arc<<S as Slice>::State>>, String>;

impl<S: Slice> SliceHandle<S> {
    pub(super) fn seen(&self, pointer: String) -> SeenPart {
        let (slice, scope, version) = (S::NAME, S::SCOPE, S::VERSION);
        SeenPart { document: self.document(), slice, scope, version, pointer }
    }

    fn inputs(&self, inputs: impl IntoIterator<Item = impl Into<Input>>) -> Vec<SeenPart> {
        inputs.into_iter().map(|input| input.into().seen_by(self)).collect()
    }

    /// What asks for the state to be kept read.
    pub(crate) fn looking(&self) -> impl FnOnce(&mut Core) -> Result<Looked<S>> + Send + 'static {
        let (seen, kept) = (vec![self.seen(String::new())], Arc::clone(self.kept()));
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
        let read: ReadParts<P> = |parts| next(&mut parts.into_iter().enumerate());
        Selector::new(self.clone(), self.inputs([pointer]), (read, Arc::new(compute)))
    }

    /// As [`SliceHandle::select`], of two parts, read at one time: `compute` runs again after something in either changed. A
    /// JSON Pointer names a part of this slice, and [`SliceHandle::input`] one of another slice, of this document or of
    /// another one of the store.
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
    pub fn select2<A, B, T, F>(&self, inputs: [impl Into<Input>; 2], compute: F) -> Selector<S, (A, B), T>
    where
        A: DeserializeOwned + Default,
        B: DeserializeOwned + Default,
        F: Fn(&A, &B) -> T + Send + Sync + 'static,
    {
        let read: ReadParts<(A, B)> = |parts| {
            let mut parts = parts.into_iter().enumerate();
            Ok((next(&mut parts)?, next(&mut parts)?))
        };
        let compute: Compute<(A, B), T> = Arc::new(move |(a, b)| compute(a, b));
        Selector::new(self.clone(), self.inputs(inputs), (read, compute))
    }

    /// As [`SliceHandle::select2`], of three parts. Here they are of two slices:
    ///
    /// ```
    /// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Set { at: String, to: i64 } }
    /// # struct Prices; struct Stock;
    /// # impl Slice for Prices {
    /// #     const NAME: &'static str = "prices"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Set { at, to }: &Act) -> Result<(), Rejection> { draft.set(at, to) }
    /// # }
    /// # impl Slice for Stock {
    /// #     const NAME: &'static str = "stock"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Set { at, to }: &Act) -> Result<(), Rejection> { draft.set(at, to) }
    /// # }
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// # let store = rejoin::Builder::in_memory().slice::<Prices>().slice::<Stock>().open().await?;
    /// # let id = store.create(None, None).await?;
    /// # let set = |at: &str, to| Act::Set { at: at.into(), to };
    /// let (prices, stock) = (store.slice::<Prices>(id), store.slice::<Stock>(id));
    /// let inputs = [prices.input("/tent"), prices.input("/discount"), stock.input("/tent")];
    /// let worth = stock.select3(inputs, |price: &i64, discount: &i64, count: &i64| (price - discount) * count);
    /// prices.dispatch(set("/tent", 100)).await?;
    /// stock.dispatch(set("/tent", 3)).await?;
    /// assert_eq!(*worth.get().await?, 300);
    /// prices.dispatch(set("/discount", 10)).await?;
    /// assert_eq!(*worth.get().await?, 270);
    /// # Ok::<(), rejoin::Error>(()) }).unwrap();
    /// ```
    pub fn select3<A, B, C, T, F>(
        &self,
        inputs: [impl Into<Input>; 3],
        compute: F,
    ) -> Selector<S, (A, B, C), T>
    where
        A: DeserializeOwned + Default,
        B: DeserializeOwned + Default,
        C: DeserializeOwned + Default,
        F: Fn(&A, &B, &C) -> T + Send + Sync + 'static,
    {
        let read: ReadParts<(A, B, C)> = |parts| {
            let mut parts = parts.into_iter().enumerate();
            Ok((next(&mut parts)?, next(&mut parts)?, next(&mut parts)?))
        };
        let compute: Compute<(A, B, C), T> = Arc::new(move |(a, b, c)| compute(a, b, c));
        Selector::new(self.clone(), self.inputs(inputs), (read, compute))
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
        let results = move |parts| read(parts).map(|part| Arc::new(compute(&part)));
        let look = move |core: &mut Core| core.look(seen, results, |last, new| last == new);
        let looked = self.handle().store().with_core(look).await?;
        self.fit(looked).await
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
