//! The runner: leases what is due, has it sent, records how it ended.

use std::{any::Any, future::Future, pin::pin, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};
use tokio::task::JoinHandle;

use super::{
    Effect, EffectHandler, EffectHandlers, Outcome, Schedule, Tries, judge,
    leases::{Lease, Leases},
};
use crate::{Error, ErrorKind, Result, Store};

/// How effects are sent.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct EffectOptions {
    /// The delays between attempts.
    pub schedule: Schedule,
    /// At most so many at once, each in a lane of its own. Default 4.
    pub at_once: usize,
    /// How long a lease runs without being renewed; it is renewed three times as often while an effect is being
    /// sent. When a process dies and nobody can see that it did, its effects wait so long. Default 30 s, at most
    /// ten minutes.
    pub lease: Duration,
    /// How often the file is looked at for what other processes asked for. Default 1 s.
    pub look_around: Duration,
    /// How long what is being sent may take to end, once the runner is told to stop. Default 5 s.
    pub grace: Duration,
}

impl Default for EffectOptions {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            at_once: 4,
            lease: Duration::from_secs(30),
            look_around: Duration::from_secs(1),
            grace: Duration::from_secs(5),
        }
    }
}

impl EffectOptions {
    /// With these delays.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// At most so many at once; at least one.
    #[must_use]
    pub fn at_once(mut self, most: usize) -> Self {
        self.at_once = most.max(1);
        self
    }

    /// With leases of this length.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// With so much time to end, once told to stop.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }
}

impl Store {
    /// Sends effects until `shutdown` is ready: those of this process and, within a second, those that other
    /// processes on the store ask for. Several processes may do this at once; each effect is sent by one.
    ///
    /// Cancel-safe: what is being sent when this future is dropped, or when the grace is over, is given back, and
    /// sent again under the same key by whoever comes next.
    ///
    /// # Errors
    /// [`Error::Closed`], and what tells that the file is damaged. A full disk or a busy file is waited for.
    pub async fn run_effects(
        &self,
        handlers: EffectHandlers,
        options: EffectOptions,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        let mut runner = Runner::new(self, handlers, options);
        let mut shutdown = pin!(shutdown.fuse());
        let mut signal = self.effect_signal();
        loop {
            let wait = runner.fill().await?;
            tokio::select! {
                () = &mut shutdown => break,
                Some(()) = runner.sending.next() => {}
                changed = signal.changed() => changed.map_err(|_| Error::Closed)?,
                () = tokio::time::sleep(wait) => {}
            }
        }
        let grace = runner.options.grace;
        let rest = async { while runner.sending.next().await.is_some() {} };
        // What has not ended by then is given back when the runner is dropped.
        let _ = tokio::time::timeout(grace, rest).await;
        Ok(())
    }

    /// Sends what is due, and what becomes due by that, and returns when nothing is: effects that wait for a later
    /// time, are held, or are of other kinds are left. For programs that run now and then.
    ///
    /// # Errors
    /// As [`Store::run_effects`].
    pub async fn run_effects_until_idle(
        &self,
        handlers: EffectHandlers,
        options: EffectOptions,
    ) -> Result<()> {
        let mut runner = Runner::new(self, handlers, options);
        loop {
            runner.fill().await?;
            if runner.sending.next().await.is_none() {
                return Ok(());
            }
        }
    }
}

struct Runner {
    sending: FuturesUnordered<BoxFuture<'static, ()>>,
    handlers: EffectHandlers,
    options: EffectOptions,
    leases: Leases,
}

impl Runner {
    fn new(store: &Store, handlers: EffectHandlers, options: EffectOptions) -> Self {
        let leases = Leases::new(store, handlers.kinds(), options.lease);
        Self { sending: FuturesUnordered::new(), handlers, options, leases }
    }

    /// Leases what there is room for. Returns how long nothing has to be looked for.
    async fn fill(&mut self) -> Result<Duration> {
        let look_around = self.options.look_around;
        let room = self.options.at_once.max(1).saturating_sub(self.sending.len());
        if room == 0 {
            return Ok(look_around);
        }
        let leased = match self.leases.take(room).await {
            Ok(leased) => leased,
            Err(error) if error.kind() == ErrorKind::TryAgain && !matches!(error, Error::Closed) => {
                tracing::warn!(%error, "effects could not be leased");
                return Ok(look_around);
            }
            Err(error) => return Err(error),
        };
        for (effect, lease) in leased.effects {
            // Only kinds with a handler are leased.
            let Some(handler) = self.handlers.get(&effect.kind) else { continue };
            let lease = self.leases.hold(effect.id, lease);
            self.sending.push(attempt(lease, handler, effect, self.options.schedule.clone()).boxed());
        }
        Ok(leased.wait.unwrap_or(look_around).min(look_around))
    }
}

/// One attempt, from its lease to its record.
async fn attempt(lease: Lease, handler: Arc<dyn EffectHandler>, effect: Effect, schedule: Schedule) {
    let limit = Duration::from_millis(u64::try_from(effect.timeout).unwrap_or(1));
    let tries = Tries { failures: effect.failures, charged: effect.charged, limit: effect.attempt_limit };
    tracing::debug!(effect = %effect.id, kind = %effect.kind, attempt = effect.attempts, "sending");
    // A task of its own: a panic ends it and nothing else, and when it blocks its thread the others go on.
    let mut task = AbortOnDrop(tokio::spawn(async move { handler.handle(effect).await }));
    let outcome = tokio::select! {
        ended = &mut task.0 => ended.unwrap_or_else(|error| Outcome::Panicked(panic_text(error))),
        () = tokio::time::sleep(limit) => Outcome::TimedOut(limit),
        () = lease.keep() => {
            tracing::warn!(effect = %lease.id(), "the lease was lost while sending; whoever has it records");
            return;
        }
    };
    drop(task);
    let verdict = judge(outcome, tries, &schedule, &mut rand::rng());
    lease.record(verdict).await;
}

/// A task that goes when nobody waits for it any more.
pub(crate) struct AbortOnDrop<T>(pub(crate) JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

pub(crate) fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "its task was cancelled".to_owned() };
    let payload: &(dyn Any + Send) = payload.as_ref();
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
