//! The leases of a runner: kept while effects are sent, given back when the runner goes away.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use super::{EffectId, Verdict};
use crate::{
    Error, Result, Store,
    store::{Core, LeaseTerms, Leased},
};

/// How long recording waits before it is tried again, when the file cannot be written.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// What a runner holds. Dropped, it gives back what it still has: nothing waits for a lease that nobody uses.
pub(super) struct Leases {
    store: Store,
    kinds: Vec<String>,
    length: Duration,
    held: Arc<Mutex<Held>>,
}

#[derive(Default)]
struct Held {
    /// The runner is gone: what is leased from now on is given back at once.
    gone: bool,
    leases: HashMap<EffectId, String>,
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Leases {
    pub(super) fn new(store: &Store, kinds: Vec<String>, length: Duration) -> Self {
        Self { store: store.clone(), kinds, length, held: Arc::default() }
    }

    /// Leases what is due. Noted on the store's own thread, before anybody can go away without knowing of it.
    pub(super) async fn take(&self, most: usize) -> Result<Leased> {
        let terms = LeaseTerms { kinds: self.kinds.clone(), most, lease: self.length };
        let held = Arc::clone(&self.held);
        let (answer, result) = oneshot::channel();
        self.store.submit_call(move |core| {
            let leased = core.lease_effects(&terms);
            if let Ok(leased) = &leased {
                let mut held = lock(&held);
                held.leases.extend(leased.effects.iter().map(|(effect, lease)| (effect.id, lease.clone())));
                if held.gone {
                    give_back(core, std::mem::take(&mut held.leases));
                }
            }
            let _ = answer.send(leased);
        })?;
        result.await.map_err(|_| Error::Closed)?
    }

    /// One of them, for an attempt.
    pub(super) fn hold(&self, id: EffectId, name: String) -> Lease {
        Lease { store: self.store.clone(), id, name, length: self.length, held: Arc::clone(&self.held) }
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        let mut held = lock(&self.held);
        held.gone = true;
        let leases = std::mem::take(&mut held.leases);
        if !leases.is_empty() {
            // A closed store cannot be told: then the lease runs out.
            let _ = self.store.submit_call(move |core| give_back(core, leases));
        }
    }
}

fn give_back(core: &mut Core, leases: HashMap<EffectId, String>) {
    for (id, lease) in leases {
        if let Err(error) = core.give_back_effect(id, &lease) {
            tracing::warn!(effect = %id, %error, "a lease could not be given back; it runs out");
        }
    }
}

/// The lease of one attempt.
pub(super) struct Lease {
    store: Store,
    id: EffectId,
    name: String,
    length: Duration,
    held: Arc<Mutex<Held>>,
}

impl Lease {
    pub(super) fn id(&self) -> EffectId {
        self.id
    }

    /// Renews it for as long as it is awaited. Ready only when it is another's.
    pub(super) async fn keep(&self) {
        loop {
            tokio::time::sleep(self.length / 3).await;
            let (id, name, length) = (self.id, self.name.clone(), self.length);
            match self.store.with_core(move |core| core.renew_effect(id, &name, length)).await {
                Ok(true) => {}
                Ok(false) => return lock(&self.held).forget(self.id),
                // It may hold on the next try; when it ran out meanwhile, it holds until another takes it.
                Err(error) => tracing::warn!(effect = %id, %error, "a lease could not be renewed"),
            }
        }
    }

    /// Records how the attempt ended. What came back is not given up for a file that cannot be written just now.
    pub(super) async fn record(self, verdict: Verdict) {
        loop {
            let (id, name, verdict) = (self.id, self.name.clone(), verdict.clone());
            match self.store.with_core(move |core| core.settle_effect(id, &name, verdict)).await {
                Ok(true) => break,
                Ok(false) => {
                    tracing::info!(effect = %self.id, "the lease was lost; whoever has it records");
                    break;
                }
                Err(Error::Closed) => return,
                Err(error) => {
                    tracing::warn!(effect = %self.id, %error, "an outcome could not be recorded yet")
                }
            }
            tokio::time::sleep(RECORD_AGAIN).await;
        }
        lock(&self.held).forget(self.id);
    }
}

impl Held {
    fn forget(&mut self, id: EffectId) {
        self.leases.remove(&id);
    }
}
