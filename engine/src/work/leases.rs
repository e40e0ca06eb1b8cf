//! The leases of a runner: kept while work is done, given back when the runner goes away.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use tokio::sync::{broadcast, oneshot};

use super::{ThunkId, ThunkInfo};
use crate::{
    Error, Result, Store,
    store::{Claim, Core, Work, WorkTerms},
};

/// How often a runner looks whether its thunks were aborted by other processes.
const LOOK: Duration = Duration::from_secs(1);

/// How long recording waits before it is tried again, when the file cannot be written.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What a runner holds. Dropped, it gives back what it still has: nothing waits for a lease that nobody uses.
pub(super) struct Leases {
    store: Store,
    length: Duration,
    held: Arc<Mutex<Held>>,
    stopping: Arc<AtomicBool>,
}

#[derive(Default)]
struct Held {
    /// The runner is gone: what is leased from now on is given back at once.
    gone: bool,
    thunks: HashMap<ThunkId, String>,
    /// By the name of the lease.
    claims: HashMap<String, Claim>,
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    pub(super) fn new(store: &Store, length: Duration) -> Self {
        Self { store: store.clone(), length, held: Arc::default(), stopping: Arc::default() }
    }

    /// Leases what can be done. Noted on the store's own thread, before anybody can go away without knowing of it.
    pub(super) async fn take(&self, terms: WorkTerms) -> Result<Work> {
        let held = Arc::clone(&self.held);
        let (answer, result) = oneshot::channel();
        self.store.submit_call(move |core| {
            let work = core.lease_work(&terms);
            if let Ok(work) = &work {
                let mut held = lock(&held);
                held.thunks.extend(work.thunks.iter().map(|(info, lease)| (info.id, lease.clone())));
                held.claims.extend(work.heard.iter().map(|(_, claim)| (claim.lease.clone(), claim.clone())));
                held.give_back_if_gone(core);
            }
            let _ = answer.send(work);
        })?;
        result.await.map_err(|_| Error::Closed)?
    }

    /// For one piece of work.
    pub(super) fn lease(&self) -> Lease {
        Lease {
            store: self.store.clone(),
            length: self.length,
            held: Arc::clone(&self.held),
            stopping: Arc::clone(&self.stopping),
        }
    }

    /// From now on what is done is the last.
    pub(super) fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.gone = true;
        if !held.thunks.is_empty() || !held.claims.is_empty() {
            let held = Arc::clone(&self.held);
            // A closed store cannot be told: then the leases run out.
            let _ = self.store.submit_call(move |core| lock(&held).give_back_if_gone(core));
        }
    }
}

impl Held {
    fn give_back_if_gone(&mut self, core: &mut Core) {
        if !self.gone {
            return;
        }
        for (id, lease) in std::mem::take(&mut self.thunks) {
            if let Err(error) = core.give_back_thunk(id, &lease) {
                tracing::warn!(thunk = %id, %error, "a lease could not be given back; it runs out");
            }
        }
        for claim in std::mem::take(&mut self.claims).into_values() {
            if let Err(error) = core.give_back_listener(&claim) {
                tracing::warn!(listener = claim.listener, %error, "a lease could not be given back; it runs out");
            }
        }
    }
}

/// What one piece of work has in its hand.
pub(super) struct Lease {
    pub(super) store: Store,
    pub(super) length: Duration,
    held: Arc<Mutex<Held>>,
    stopping: Arc<AtomicBool>,
}

impl Lease {
    /// The runner was told to stop.
    pub(super) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Keeps a thunk for as long as it is awaited. Ready only when it was aborted or superseded, or is another's.
    pub(super) async fn keep_thunk(
        &self,
        id: ThunkId,
        lease: &str,
        mut told: broadcast::Receiver<ThunkInfo>,
    ) {
        let pause = (self.length / 3).min(LOOK);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ended(id, &mut told) => {}
            }
            let (lease, length) = (lease.to_owned(), self.length);
            match self.store.with_core(move |core| core.keep_thunk(id, &lease, length)).await {
                Ok(true) => {}
                Ok(false) => return self.forget_thunk(id),
                // It may hold on the next try; when it ran out meanwhile, it holds until another takes it.
                Err(error) => tracing::warn!(thunk = %id, %error, "a lease could not be renewed"),
            }
        }
    }

    /// Keeps a claim for as long as it is awaited. Ready only when it is another's.
    pub(super) async fn keep_claim(&self, claim: &Claim) {
        loop {
            tokio::time::sleep(self.length / 3).await;
            let (kept, length) = (claim.clone(), self.length);
            match self.store.with_core(move |core| core.keep_listener(&kept, length)).await {
                Ok(true) => {}
                Ok(false) => return self.forget_claim(claim),
                Err(error) => {
                    tracing::warn!(listener = claim.listener, %error, "a lease could not be renewed")
                }
            }
        }
    }

    /// Records something. What was done is not given up for a file that cannot be written just now. `None`: the
    /// store was closed, or the runner is gone.
    pub(super) async fn record<T: Send + 'static>(
        &self,
        work: impl Fn(&mut Core) -> Result<T> + Clone + Send + 'static,
    ) -> Option<T> {
        loop {
            match self.store.with_core(work.clone()).await {
                Ok(done) => return Some(done),
                Err(Error::Closed) => return None,
                Err(error) => tracing::warn!(%error, "an outcome could not be recorded yet"),
            }
            tokio::time::sleep(RECORD_AGAIN).await;
        }
    }

    /// What is leased on the store's thread is noted there: a runner that is gone gives it back.
    pub(super) fn note_claim(&self) -> impl Fn(&mut Core, &Claim) + Clone + Send + 'static + use<> {
        let held = Arc::clone(&self.held);
        move |core, claim| {
            let mut held = lock(&held);
            held.claims.insert(claim.lease.clone(), claim.clone());
            held.give_back_if_gone(core);
        }
    }

    pub(super) fn forget_thunk(&self, id: ThunkId) {
        lock(&self.held).thunks.remove(&id);
    }

    pub(super) fn forget_claim(&self, claim: &Claim) {
        lock(&self.held).claims.remove(&claim.lease);
    }
}

/// Ready when this thunk is told to be settled, or may have been.
async fn ended(id: ThunkId, told: &mut broadcast::Receiver<ThunkInfo>) {
    loop {
        match told.recv().await {
            Ok(info) if info.id == id && info.state.is_settled() => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
