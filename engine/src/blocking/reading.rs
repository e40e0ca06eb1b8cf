//! Selectors and lists of entities, for blocking callers.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use tokio::sync::watch;

use super::{SliceHandle, block_on};
use crate::{
    DocumentId, Result,
    api::refuse_inside,
    slice::{Entity, EntityList, EntityQuery, Input, Results, Selector, Slice},
};

impl<S: Slice> SliceHandle<S> {
    /// The document that the slice is in.
    pub fn document(&self) -> DocumentId {
        self.inner.document()
    }

    /// A part of this slice, for a selector of another one: see [`crate::slice::SliceHandle::input`].
    pub fn input(&self, pointer: &str) -> Input {
        self.inner.input(pointer)
    }

    /// A memoised view of a part of the state, read by [`Selector::blocking_get`]: see
    /// [`crate::slice::SliceHandle::select`].
    ///
    /// ```
    /// # use rejoin::{Store, slice::{Draft, Rejection, Slice}};
    /// # #[derive(serde::Serialize, serde::Deserialize)] #[serde(tag = "type")] enum Act { Set { at: String, to: i64 } }
    /// # struct Sheet;
    /// # impl Slice for Sheet {
    /// #     const NAME: &'static str = "sheet"; type State = serde_json::Value; type Action = Act;
    /// #     fn reduce(draft: &mut Draft<'_>, Act::Set { at, to }: &Act) -> Result<(), Rejection> { draft.set(at, to) }
    /// # }
    /// # fn main() -> rejoin::Result<()> {
    /// # let dir = tempfile::tempdir().unwrap();
    /// let store = Store::builder(dir.path().join("app.db")).slice::<Sheet>().open_blocking()?;
    /// let sheet = store.slice::<Sheet>(store.create(None, None)?);
    /// let total = sheet.select2(["/price", "/count"], |price: &i64, count: &i64| price * count);
    /// sheet.dispatch(Act::Set { at: "/price".into(), to: 3 })?;
    /// sheet.dispatch(Act::Set { at: "/count".into(), to: 2 })?;
    /// assert_eq!(*total.blocking_get()?, 6);
    /// # Ok(())
    /// # }
    /// ```
    pub fn select<P, T, F>(&self, pointer: &str, compute: F) -> Selector<S, P, T>
    where
        P: DeserializeOwned + Default,
        F: Fn(&P) -> T + Send + Sync + 'static,
    {
        self.inner.select(pointer, compute)
    }

    /// As [`SliceHandle::select`], of two parts: see [`crate::slice::SliceHandle::select2`].
    pub fn select2<A, B, T, F>(&self, inputs: [impl Into<Input>; 2], compute: F) -> Selector<S, (A, B), T>
    where
        A: DeserializeOwned + Default,
        B: DeserializeOwned + Default,
        F: Fn(&A, &B) -> T + Send + Sync + 'static,
    {
        self.inner.select2(inputs, compute)
    }

    /// As [`SliceHandle::select`], of three parts: see [`crate::slice::SliceHandle::select3`].
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
        self.inner.select3(inputs, compute)
    }

    /// The entities at a JSON Pointer, read by [`EntityList::blocking_get`]: see
    /// [`crate::slice::SliceHandle::entities`].
    pub fn entities<T>(&self, pointer: &str) -> EntityQuery<S, T> {
        self.inner.entities(pointer)
    }
}

impl<S: Slice, P, T> Selector<S, P, T> {
    /// As [`Selector::get`], for a caller without a runtime: this thread waits until the store has answered.
    ///
    /// # Errors
    /// As [`Selector::get`], and [`crate::Error::InsideStore`] on the store's own thread.
    pub fn blocking_get(&self) -> Result<Arc<T>> {
        refuse_inside()?;
        block_on(self.get())
    }
}

impl<S: Slice, P: 'static, T: PartialEq + Send + Sync + 'static> Selector<S, P, T> {
    /// As [`Selector::latest`], for a caller without a runtime.
    ///
    /// # Errors
    /// As [`Selector::blocking_get`].
    pub fn blocking_latest(&self) -> Result<watch::Receiver<Arc<T>>> {
        refuse_inside()?;
        block_on(self.latest())
    }

    /// As [`Selector::results`], for a caller without a runtime: [`Results::blocking_next`] waits for the next.
    ///
    /// # Errors
    /// As [`Selector::blocking_get`].
    pub fn blocking_results(&self) -> Result<Results<T>> {
        refuse_inside()?;
        block_on(self.results())
    }
}

impl<S: Slice, T: DeserializeOwned, K: Ord> EntityList<S, T, K> {
    /// As [`EntityList::get`], for a caller without a runtime.
    ///
    /// # Errors
    /// As [`EntityList::get`], and [`crate::Error::InsideStore`] on the store's own thread.
    pub fn blocking_get(&self) -> Result<Arc<Vec<Entity<T>>>> {
        refuse_inside()?;
        block_on(self.get())
    }
}

impl<T> Results<T> {
    /// As [`Results::next`], for a caller without a runtime. On the store's own thread nothing would ever come: it is `None`
    /// there.
    pub fn blocking_next(&mut self) -> Option<Arc<T>> {
        refuse_inside().ok()?;
        block_on(self.next())
    }
}
