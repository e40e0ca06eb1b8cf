//! A handle that keeps no store open.

use std::{
    path::PathBuf,
    sync::{Arc, Weak},
};

use tokio::sync::{broadcast, watch};

use super::{Store, WorkBench, thread::Worker};
use crate::Event;

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
    events: broadcast::WeakSender<Event>,
    queued: watch::Receiver<u64>,
    asked: watch::Receiver<u64>,
    work: Weak<WorkBench>,
    path: Option<PathBuf>,
    mark: Option<PathBuf>,
}

impl std::fmt::Debug for WeakStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WeakStore").field("path", &self.path).finish_non_exhaustive()
    }
}

impl WeakStore {
    /// The store; `None` when its last handle is gone.
    pub fn upgrade(&self) -> Option<Store> {
        Some(Store {
            worker: self.worker.upgrade()?,
            events: self.events.clone(),
            queued: self.queued.clone(),
            asked: self.asked.clone(),
            work: self.work.upgrade()?,
            path: self.path.clone(),
            mark: self.mark.clone(),
        })
    }
}

impl Store {
    /// A handle to this store that does not keep it open.
    pub fn downgrade(&self) -> WeakStore {
        WeakStore {
            worker: Arc::downgrade(&self.worker),
            events: self.events.clone(),
            queued: self.queued.clone(),
            asked: self.asked.clone(),
            work: Arc::downgrade(&self.work),
            path: self.path.clone(),
            mark: self.mark.clone(),
        }
    }
}
