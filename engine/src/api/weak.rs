//! A handle that keeps no store open.

use std::sync::{Arc, Weak};

use super::{About, Store, WorkBench, thread::Worker};

/// A handle that does not keep the store open: for what the store itself holds, as middleware. Cheap to clone.
///
/// ```
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
/// let store = rejoin::Store::in_memory().await?;
/// let weak = store.downgrade();
/// assert!(weak.upgrade().is_some());
/// drop(store);
/// assert!(weak.upgrade().is_none());
/// # Ok::<(), rejoin::Error>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct WeakStore {
    worker: Weak<Worker>,
    work: Weak<WorkBench>,
    about: About,
}

impl std::fmt::Debug for WeakStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakStore").field("path", &self.about.path).finish_non_exhaustive()
    }
}

impl WeakStore {
    /// The store; `None` when its last handle is gone.
    pub fn upgrade(&self) -> Option<Store> {
        let (worker, work) = (self.worker.upgrade()?, self.work.upgrade()?);
        Some(Store { worker, work, about: self.about.clone() })
    }
}

impl Store {
    /// A handle to this store that does not keep it open.
    pub fn downgrade(&self) -> WeakStore {
        let (worker, work) = (Arc::downgrade(&self.worker), Arc::downgrade(&self.work));
        WeakStore { worker, work, about: self.about.clone() }
    }
}
