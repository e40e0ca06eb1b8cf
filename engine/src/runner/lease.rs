//! What runners have in common: leases that are kept while something is done under them and given back when the
//! runner goes away, and attempts in tasks of their own.

use std::{
    any::Any,
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures_util::FutureExt;
use tokio::{
    sync::{oneshot, watch},
    task::{JoinError, JoinHandle},
};

use crate::{Error, ErrorKind, Result, Store, store::Core};

/// How long recording waits before it is tried again, when the file cannot be written.
const RECORD_AGAIN: Duration = Duration::from_secs(1);

/// The leases that a runner has.
pub(crate) trait LeaseSet: Default + Send + 'static {
    /// Whether there are none.
    fn is_empty(&self) -> bool;

    /// Gives all of them back. What cannot be given back runs out.
    fn give_back(&mut self, core: &mut Core);
}

/// What a runner holds. Dropped, it gives back what it still has: nothing waits for a lease that nobody uses.
pub(crate) struct Leases<H: LeaseSet> {
    store: Store,
    length: Duration,
    kept: Arc<Mutex<Kept<H>>>,
}

#[derive(Default)]
pub(crate) struct Kept<H> {
    /// The runner is gone: what is leased from now on is given back at once.
    gone: bool,
    held: H,
}

impl<H: LeaseSet> Kept<H> {
    fn give_back_if_gone(&mut self, core: &mut Core) {
        if self.gone {
            std::mem::take(&mut self.held).give_back(core);
        }
    }
}

fn lock<H>(kept: &Mutex<Kept<H>>) -> MutexGuard<'_, Kept<H>> {
    kept.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is held under leases, whatever it is: given back when the store is closed.
pub(crate) trait GivesBack: Send + Sync {
    /// Gives back what is held now, and what is leased from now on at once.
    fn give_all_back(&self, core: &mut Core);
}

impl<H: LeaseSet> GivesBack for Mutex<Kept<H>> {
    fn give_all_back(&self, core: &mut Core) {
        let mut kept = lock(self);
        kept.gone = true;
        kept.give_back_if_gone(core);
    }
}

/// The runners of a store that are there.
#[derive(Default)]
pub(crate) struct Runners(Mutex<Vec<Weak<dyn GivesBack>>>);

impl std::fmt::Debug for Runners {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runners").finish_non_exhaustive()
    }
}

impl Runners {
    fn add(&self, runner: Weak<dyn GivesBack>) {
        let mut runners = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        runners.retain(|runner| runner.strong_count() > 0);
        runners.push(runner);
    }

    /// What they hold is given back: the store is about to be closed, and nobody is to wait for leases to run out.
    pub(crate) fn give_back(&self, core: &mut Core) {
        let runners = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        runners.iter().filter_map(Weak::upgrade).for_each(|runner| runner.give_all_back(core));
    }
}

impl<H: LeaseSet> Leases<H> {
    pub(crate) fn new(store: &Store, length: Duration) -> Self {
        let kept: Arc<Mutex<Kept<H>>> = Arc::default();
        let held: Weak<Mutex<Kept<H>>> = Arc::downgrade(&kept);
        store.runners().add(held);
        Self { store: store.clone(), length, kept }
    }

    /// Leases what can be done, and notes it. Noted on the store's own thread, before anybody can go away without
    /// knowing of it. `None`: the file could not be written just now.
    pub(crate) async fn take<T: Send + 'static>(
        &self,
        lease: impl FnOnce(&mut Core) -> Result<T> + Send + 'static,
        note: impl FnOnce(&mut H, &T) + Send + 'static,
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
    pub(crate) fn lease(&self) -> Lease<H> {
        Lease { store: self.store.clone(), length: self.length, kept: Arc::clone(&self.kept) }
    }
}

impl<H: LeaseSet> Drop for Leases<H> {
    fn drop(&mut self) {
        let mut kept = lock(&self.kept);
        kept.gone = true;
        if !kept.held.is_empty() {
            let kept = Arc::clone(&self.kept);
            // A closed store cannot be told: then the leases run out.
            let _ = self.store.submit_call(move |core| lock(&kept).give_back_if_gone(core));
        }
    }
}

/// What one piece of work has in its hand.
pub(crate) struct Lease<H: LeaseSet> {
    pub(crate) store: Store,
    pub(crate) length: Duration,
    kept: Arc<Mutex<Kept<H>>>,
}

impl<H: LeaseSet> Lease<H> {
    /// Renews it three times in its length, for as long as it is awaited. Ready only when it is lost.
    pub(crate) async fn keep(&self, renew: impl Fn(&mut Core) -> Result<bool> + Clone + Send + 'static) {
        loop {
            tokio::time::sleep(self.length / 3).await;
            if !self.renew(renew.clone()).await {
                return;
            }
        }
    }

    /// Renews it. `false`: it is lost.
    pub(crate) async fn renew(&self, renew: impl FnOnce(&mut Core) -> Result<bool> + Send + 'static) -> bool {
        self.store.with_core(renew).await.unwrap_or_else(|error| {
            // It may hold on the next try; when it ran out meanwhile, it holds until another takes it.
            tracing::warn!(%error, "a lease could not be renewed");
            true
        })
    }

    /// Records something. What was done is not given up for a file that cannot be written just now. `None`: the
    /// store was closed.
    pub(crate) async fn record<T: Send + 'static>(
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
    pub(crate) fn noting<T: 'static, N: Fn(&mut H, &T) + Clone + Send + 'static>(
        &self,
        note: N,
    ) -> impl Fn(&mut Core, &T) + Clone + Send + 'static + use<H, T, N> {
        let kept = Arc::clone(&self.kept);
        move |core, leased| {
            let mut kept = lock(&kept);
            note(&mut kept.held, leased);
            kept.give_back_if_gone(core);
        }
    }

    /// Forgets what is settled, or lost.
    pub(crate) fn forget(&self, forget: impl FnOnce(&mut H)) {
        forget(&mut lock(&self.kept).held);
    }
}

/// Something that takes what is due, and has it done.
pub(crate) trait Runner {
    /// Leases what there is room for. Returns how long nothing has to be looked for.
    async fn fill(&mut self) -> Result<Duration>;

    /// The next that ends; `None` where nothing is being done.
    async fn next(&mut self) -> Option<()>;

    /// What is being done now is the last.
    fn stop(&mut self) {}
}

/// Runs until `shutdown` is ready, and lets what is being done then end within `grace`. What has not ended by then is
/// given back when the runner is dropped.
pub(crate) async fn run_until(
    runner: &mut impl Runner,
    (mut signal, grace): (watch::Receiver<u64>, Duration),
    shutdown: impl Future<Output = ()>,
) -> Result<()> {
    let mut shutdown = pin!(shutdown.fuse());
    loop {
        let wait = runner.fill().await?;
        tokio::select! {
            () = &mut shutdown => break,
            Some(()) = runner.next() => {}
            changed = signal.changed() => changed.map_err(|_| Error::Closed)?,
            () = tokio::time::sleep(wait) => {}
        }
    }
    runner.stop();
    let rest = async { while runner.next().await.is_some() {} };
    let _ = tokio::time::timeout(grace, rest).await;
    Ok(())
}

/// Runs until nothing is due, and returns whether anything was.
pub(crate) async fn run_until_idle(runner: &mut impl Runner) -> Result<bool> {
    let mut did = false;
    loop {
        runner.fill().await?;
        if runner.next().await.is_none() {
            return Ok(did);
        }
        did = true;
    }
}

/// How an attempt ended.
pub(crate) enum Attempt<T> {
    /// By itself.
    Ended(T),
    /// It panicked, with these words.
    Panicked(String),
    /// It took too long.
    TimedOut,
}

/// Runs something in a task of its own: a panic ends it and nothing else, and when it blocks its thread the others go
/// on. It goes when nobody waits for it any more.
pub(crate) async fn attempt<T: Send + 'static>(
    limit: Duration,
    work: impl Future<Output = T> + Send + 'static,
) -> Attempt<T> {
    let mut task = AbortOnDrop(tokio::spawn(work));
    match tokio::time::timeout(limit, &mut task.0).await {
        Ok(Ok(ended)) => Attempt::Ended(ended),
        Ok(Err(error)) => Attempt::Panicked(panic_text(error)),
        Err(_) => Attempt::TimedOut,
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn panic_text(error: JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "its task was cancelled".to_owned() };
    let payload: &(dyn Any + Send) = payload.as_ref();
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
