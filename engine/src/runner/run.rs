//! The runner: takes what is due under leases, has it done, and ends when it is told to.

use std::{
    any::Any,
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use tokio::{
    sync::{broadcast, watch},
    task::{JoinError, JoinHandle},
};

use super::{
    EffectHandlers, EffectOptions, WorkOptions,
    lease::{Lease, Leases},
};
use crate::{
    Error, Result, Store,
    job::{JobId, ThunkInfo},
    store::Core,
};

/// What a runner does.
pub(super) enum Duties {
    /// It sends effects.
    Effects(EffectHandlers, EffectOptions),
    /// It runs thunks, and hears actions.
    Work(WorkOptions),
}

/// What takes room of its own: none takes another's.
#[derive(Debug, Clone, Copy)]
pub(super) enum Room {
    Effects,
    Thunks,
    Listeners,
}

/// Takes what is due under leases, and has it done.
pub(super) struct Runner {
    /// Before the leases: what is dropped ends first, and then somebody else may have it.
    doing: FuturesUnordered<BoxFuture<'static, Room>>,
    pub(super) leases: Leases,
    pub(super) store: Store,
    duties: Arc<Duties>,
    /// How many of each are being done.
    busy: [usize; 3],
    /// Listeners begin nothing more.
    pub(super) stopping: Arc<AtomicBool>,
}

impl Runner {
    pub(super) fn new(store: &Store, duties: Duties) -> Self {
        let length = match &duties {
            Duties::Effects(_, options) => options.lease,
            Duties::Work(options) => options.lease,
        };
        Self {
            store: store.clone(),
            leases: Leases::new(store, length),
            duties: Arc::new(duties),
            doing: FuturesUnordered::new(),
            busy: [0; 3],
            stopping: Arc::default(),
        }
    }

    /// Runs until `shutdown` is ready, and lets what is being done then end within the grace. What has not ended by then is
    /// given back when the runner is dropped.
    pub(super) async fn run_until(mut self, shutdown: impl Future<Output = ()>) -> Result<()> {
        let (mut signal, grace): (watch::Receiver<u64>, Duration) = match &*self.duties {
            Duties::Effects(_, options) => (self.store.effect_signal(), options.grace),
            Duties::Work(options) => (self.store.write_signal(), options.grace),
        };
        let mut shutdown = pin!(shutdown.fuse());
        loop {
            let wait = self.fill().await?;
            tokio::select! {
                () = &mut shutdown => break,
                Some(()) = self.next() => {}
                changed = signal.changed() => changed.map_err(|_| Error::Closed)?,
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.stopping.store(true, Ordering::SeqCst);
        let rest = async { while self.next().await.is_some() {} };
        let _ = tokio::time::timeout(grace, rest).await;
        Ok(())
    }

    /// Runs until nothing is due, and returns whether anything was.
    pub(super) async fn run_until_idle(mut self) -> Result<bool> {
        let mut did = false;
        loop {
            self.fill().await?;
            if self.next().await.is_none() {
                return Ok(did);
            }
            did = true;
        }
    }

    /// Leases what there is room for. Returns how long nothing has to be looked for.
    async fn fill(&mut self) -> Result<Duration> {
        let (wait, look_around) = match &*Arc::clone(&self.duties) {
            Duties::Effects(handlers, options) => {
                (self.take_effects(handlers, options).await?, options.look_around)
            }
            Duties::Work(options) => (self.take_work(options).await?, options.look_around),
        };
        Ok(wait.map_or(look_around, |wait| wait.min(look_around)))
    }

    /// How much more of this may be begun, where there may be so much at once.
    pub(super) fn room(&self, room: Room, most: usize) -> usize {
        most.saturating_sub(self.busy[room as usize])
    }

    pub(super) fn begin(&mut self, room: Room, work: impl Future<Output = ()> + Send + 'static) {
        self.busy[room as usize] += 1;
        self.doing.push(work.map(move |()| room).boxed());
    }

    /// The next that ends; `None` where nothing is being done.
    async fn next(&mut self) -> Option<()> {
        let room = self.doing.next().await?;
        self.busy[room as usize] -= 1;
        Some(())
    }
}

/// Does a job in a task of its own, from its lease to its record: `settle` says what is recorded of how it ended.
pub(super) async fn do_job<T, S>(
    (lease, told): (Lease, Option<broadcast::Receiver<ThunkInfo>>),
    (id, name): (JobId, String),
    (limit, work): (Duration, impl Future<Output = T> + Send + 'static),
    settle: impl FnOnce(Attempt<T>) -> S,
) where
    T: Send + 'static,
    S: Fn(&mut Core, &str) -> Result<bool> + Clone + Send + 'static,
{
    let ended = tokio::select! {
        ended = attempt(limit, work) => ended,
        () = lease.keep_job(id, &name, told) => {
            tracing::info!(job = %id, "it was ended, or the lease was lost, while it was done");
            return;
        }
    };
    let settle = settle(ended);
    if lease.record(move |core| settle(core, &name)).await == Some(false) {
        tracing::info!(job = %id, "it was ended, or the lease was lost, before it was recorded");
    }
    lease.forget_job(id);
}

/// How an attempt ended.
pub(super) enum Attempt<T> {
    /// By itself.
    Ended(T),
    /// It panicked, with these words.
    Panicked(String),
    /// It took too long.
    TimedOut,
}

/// Runs something in a task of its own: a panic ends it and nothing else, and when it blocks its thread the others go
/// on. It goes when nobody waits for it any more.
pub(super) async fn attempt<T: Send + 'static>(
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
