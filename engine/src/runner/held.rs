//! What the runner of thunks and listeners holds.

use std::{collections::HashMap, time::Duration};

use tokio::sync::broadcast;

use super::lease::{Lease, LeaseSet};
use crate::{
    job::{ThunkId, ThunkInfo},
    store::{Claim, Core},
};

/// How often a runner looks whether its thunks were aborted by other processes.
const LOOK: Duration = Duration::from_secs(1);

/// Thunks, and listeners on documents.
#[derive(Default)]
pub(super) struct WorkLeases {
    pub(super) thunks: HashMap<ThunkId, String>,
    /// By the name of the lease.
    pub(super) claims: HashMap<String, Claim>,
}

impl LeaseSet for WorkLeases {
    fn is_empty(&self) -> bool {
        self.thunks.is_empty() && self.claims.is_empty()
    }

    fn give_back(&mut self, core: &mut Core) {
        for (id, lease) in self.thunks.drain() {
            if let Err(error) = core.give_back_thunk(id, &lease) {
                tracing::warn!(thunk = %id, %error, "a lease could not be given back; it runs out");
            }
        }
        for (_, claim) in self.claims.drain() {
            if let Err(error) = core.give_back_listener(&claim) {
                tracing::warn!(listener = claim.listener, %error, "a lease could not be given back; it runs out");
            }
        }
    }
}

impl WorkLeases {
    pub(super) fn note_claim(&mut self, claim: &Claim) {
        self.claims.insert(claim.lease.clone(), claim.clone());
    }
}

impl Lease<WorkLeases> {
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
            if !self.renew(move |core| core.keep_thunk(id, &lease, length)).await {
                return self.forget_thunk(id);
            }
        }
    }

    /// Keeps a claim for as long as it is awaited. Ready only when it is another's.
    pub(super) async fn keep_claim(&self, claim: &Claim) {
        let (kept, length) = (claim.clone(), self.length);
        self.keep(move |core| core.keep_listener(&kept, length)).await;
        self.forget_claim(claim);
    }

    pub(super) fn forget_thunk(&self, id: ThunkId) {
        self.forget(|held| drop(held.thunks.remove(&id)));
    }

    pub(super) fn forget_claim(&self, claim: &Claim) {
        self.forget(|held| drop(held.claims.remove(&claim.lease)));
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
