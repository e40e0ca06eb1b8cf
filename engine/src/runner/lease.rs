//! Leases that are kept while something is done under them, and given back when the runner goes away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use tokio::sync::{broadcast, oneshot};

use crate::{
    Error, ErrorKind, Result, Store,
    job::{JobId, ThunkInfo},
    store::{Claim, Core},
};

/// How long recording waits before it is tried again, when the file cannot be written.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// How often it is looked whether a job was ended by another process.
const LOOK: Duration = Duration::from_secs(1);

/// What is leased: jobs, and documents to listeners.
#[derive(Default)]
pub(super) struct Held {
    /// The names of their leases.
    jobs: HashMap<JobId, String>,
    /// By the names of their leases.
    claims: HashMap<String, Claim>,
}

impl Held {
    pub(super) fn note_job(&mut self, id: impl Into<JobId>, lease: &str) {
        self.jobs.insert(id.into(), lease.to_owned());
    }

    pub(super) fn note_claim(&mut self, claim: &Claim) {
        self.claims.insert(claim.lease.clone(), claim.clone());
    }

    /// Gives all of it back. What cannot be given back runs out.
    fn give_back(&mut self, core: &mut Core) {
        for (id, lease) in self.jobs.drain() {
            if let Err(error) = core.give_back_job(id, &lease) {
                tracing::warn!(job = %id, %error, "a lease could not be given back; it runs out");
            }
        }
        for (_, claim) in self.claims.drain() {
            if let Err(error) = core.give_back_listener(&claim) {
                tracing::warn!(listener = claim.listener, %error, "a lease could not be given back; it runs out");
            }
        }
    }
}

#[derive(Default)]
struct Kept {
    /// The runner is gone: what is leased from now on is given back at once.
    gone: bool,
    held: Held,
}

impl Kept {
    fn give_back_if_gone(&mut self, core: &mut Core) {
        if self.gone {
            std::mem::take(&mut self.held).give_back(core);
        }
    }
}

fn lock(kept: &Mutex<Kept>) -> MutexGuard<'_, Kept> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The runners of a store that are there.
#[derive(Default)]
pub(crate) struct Runners(Mutex<Vec<Weak<Mutex<Kept>>>>);

impl std::fmt::Debug for Runners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runners").finish_non_exhaustive()
    }
}

impl Runners {
    fn list(&self) -> MutexGuard<'_, Vec<Weak<Mutex<Kept>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, runner: &Arc<Mutex<Kept>>) {
        let mut runners = self.list();
        runners.retain(|runner| runner.strong_count() > 0);
        runners.push(Arc::downgrade(runner));
    }

    /// What they hold is given back, and what they lease from now on at once: the store is about to be closed, and nobody
    /// is to wait for leases to run out.
    pub(crate) fn give_back(&self, core: &mut Core) {
        let runners = std::mem::take(&mut *self.list());
        for runner in runners.iter().filter_map(Weak::upgrade) {
            let mut kept = lock(&runner);
            kept.gone = true;
            kept.give_back_if_gone(core);
        }
    }
}

/// What a runner holds. Dropped, it gives back what it still has: nothing waits for a lease that nobody uses.
pub(super) struct Leases {
    store: Store,
    length: Duration,
    kept: Arc<Mutex<Kept>>,
}

impl Leases {
    pub(super) fn new(store: &Store, length: Duration) -> Self {
        let kept = Arc::default();
        store.runners().add(&kept);
        Self { store: store.clone(), length, kept }
    }

    /// Leases what can be done, and notes it. Noted on the store's own thread, before anybody can go away without
    /// knowing of it. `None`: the file could not be written just now.
    pub(super) async fn take<T: Send + 'static>(
        &self,
        lease: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
        note: impl FnOnce(&mut Held, &T) + Send + 'static,
    ) -> Result<Option<T>> {
        let kept = Arc::clone(&self.kept);
        let (answer, result) = oneshot::channel();
        self.store.submit_call(move |core| {
            let leased = lease(core);
            if let Ok(leased) = &leased {
                let mut kept = lock(&kept);
                note(&mut kept.held, leased);
                kept.give_back_if_gone(core);
            }
            let _ = answer.send(leased);
        })?;
        match result.await.map_err(|_| Error::Closed)? {
            Ok(leased) => Ok(Some(leased)),
            Err(error) if error.kind() == ErrorKind::TryAgain && !matches!(error, Error::Closed) => {
                tracing::warn!(%error, "nothing could be leased");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// For one piece of work.
    pub(super) fn lease(&self) -> Lease {
        Lease { store: self.store.clone(), length: self.length, kept: Arc::clone(&self.kept) }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let mut kept = lock(&self.kept);
        kept.gone = true;
        if !(kept.held.jobs.is_empty() && kept.held.claims.is_empty()) {
            let kept = Arc::clone(&self.kept);
            // A closed store cannot be told: then the leases run out.
            let _ = self.store.submit_call(move |core| lock(&kept).give_back_if_gone(core));
        }
    }
}

/// What one piece of work has in its hand.
pub(super) struct Lease {
    pub(super) store: Store,
    pub(super) length: Duration,
    kept: Arc<Mutex<Kept>>,
}

impl Lease {
    /// Keeps a job for as long as it is awaited, renewing its lease three times in its length. Ready only when it was
    /// aborted or superseded, as the events tell at once, or is another's.
    pub(super) async fn keep_job(
        &self,
        id: JobId,
        lease: &str,
        mut told: Option<broadcast::Receiver<ThunkInfo>>,
    ) {
        let pause = (self.length / 3).min(LOOK);
        loop {
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = ended(id, &mut told) => {}
            }
            let (lease, length) = (lease.to_owned(), self.length);
            if !self.renew(move |core| core.keep_job(id, &lease, length)).await {
                return self.forget_job(id);
            }
        }
    }

    /// Keeps a claim for as long as it is awaited. Ready only when it is another's.
    pub(super) async fn keep_claim(&self, claim: &Claim) {
        loop {
            tokio::time::sleep(self.length / 3).await;
            let (kept, length) = (claim.clone(), self.length);
            if !self.renew(move |core| core.keep_listener(&kept, length)).await {
                return self.forget_claim(claim);
            }
        }
    }

    /// Renews it. `false`: it is lost.
    async fn renew(&self, renew: impl FnOnce(&mut Core) -> Result<bool> + Send + 'static) -> bool {
        self.store.with_core(renew).await.unwrap_or_else(|error| {
            // It may hold on the next try; when it ran out meanwhile, it holds until another takes it.
            tracing::warn!(%error, "a lease could not be renewed");
            true
        })
    }

    /// Records something. What was done is not given up for a file that cannot be written just now. `None`: the
    /// store was closed.
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

    /// What notes, on the store's thread, what is leased there: a runner that is gone gives it back.
    pub(super) fn noting_claims(&self) -> impl Fn(&mut Core, &Claim) + Clone + Send + 'static + use<> {
        let kept = Arc::clone(&self.kept);
        move |core, claim| {
            let mut kept = lock(&kept);
            kept.held.note_claim(claim);
            kept.give_back_if_gone(core);
        }
    }

    /// Forgets a job that is settled, or lost.
    pub(super) fn forget_job(&self, id: JobId) {
        lock(&self.kept).held.jobs.remove(&id);
    }

    /// Forgets a claim that is recorded, or lost.
    pub(super) fn forget_claim(&self, claim: &Claim) {
        lock(&self.kept).held.claims.remove(&claim.lease);
    }
}

/// Ready when this job is told to be settled, or may have been.
async fn ended(id: JobId, told: &mut Option<broadcast::Receiver<ThunkInfo>>) {
    let Some(told) = told else { return std::future::pending().await };
    loop {
        match told.recv().await {
            Ok(info) if JobId::from(info.id) == id && info.state.is_settled() => return,
            Ok(_) => {}
            Err(broadcast::error::RecvError::Lagged(_)) => return,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}
