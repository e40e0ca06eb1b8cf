//! The runner: leases what is due, has it sent, records how it ended.

use std::{collections::HashMap, future::Future, sync::Arc, time::Duration};

use futures_util::{
    StreamExt,
    future::{BoxFuture, FutureExt},
    stream::FuturesUnordered,
};

use super::{
    EffectHandler, EffectHandlers,
    lease::{self, Attempt, Lease, LeaseSet, Leases, Runner, attempt},
};
use crate::{
    Result, Store,
    job::{Effect, EffectId, Outcome, Schedule, Tries, judge},
    runtime::needs_timers,
    store::{Core, LeaseTerms, Leased},
};

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
    /// [`crate::Error::Closed`], [`crate::Error::NoRuntime`] outside tokio or where its timers are off, and what tells
    /// that the file is damaged. A full disk or a busy file is waited for.
    pub async fn run_effects(
        &self,
        handlers: EffectHandlers,
        options: EffectOptions,
        shutdown: impl Future<Output = ()>,
    ) -> Result<()> {
        needs_timers()?;
        let around = (self.effect_signal(), options.grace);
        lease::run_until(&mut Sender::new(self, handlers, options), around, shutdown).await
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
        needs_timers()?;
        lease::run_until_idle(&mut Sender::new(self, handlers, options)).await.map(drop)
    }
}

/// The leases by the effects that they are on.
#[derive(Default)]
struct EffectLeases(HashMap<EffectId, String>);

impl LeaseSet for EffectLeases {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn give_back(&mut self, core: &mut Core) {
        for (id, lease) in self.0.drain() {
            if let Err(error) = core.give_back_effect(id, &lease) {
                tracing::warn!(effect = %id, %error, "a lease could not be given back; it runs out");
            }
        }
    }
}

struct Sender {
    sending: FuturesUnordered<BoxFuture<'static, ()>>,
    handlers: EffectHandlers,
    options: EffectOptions,
    leases: Leases<EffectLeases>,
}

impl Sender {
    fn new(store: &Store, handlers: EffectHandlers, options: EffectOptions) -> Self {
        let leases = Leases::new(store, options.lease);
        Self { sending: FuturesUnordered::new(), handlers, options, leases }
    }
}

impl Runner for Sender {
    async fn fill(&mut self) -> Result<Duration> {
        let look_around = self.options.look_around;
        let most = self.options.at_once.max(1).saturating_sub(self.sending.len());
        if most == 0 {
            return Ok(look_around);
        }
        let terms = LeaseTerms { kinds: self.handlers.kinds(), most, lease: self.options.lease };
        let note = |held: &mut EffectLeases, leased: &Leased| {
            held.0.extend(leased.effects.iter().map(|(effect, lease)| (effect.id, lease.clone())));
        };
        let leased = self.leases.take(move |core| core.lease_effects(&terms), note).await?;
        let Some(leased) = leased else { return Ok(look_around) };
        for (effect, name) in leased.effects {
            // Only kinds with a handler are leased.
            let Some(handler) = self.handlers.get(&effect.kind) else { continue };
            let schedule = self.options.schedule.clone();
            self.sending.push(send(self.leases.lease(), name, (handler, schedule), effect).boxed());
        }
        Ok(leased.wait.unwrap_or(look_around).min(look_around))
    }

    async fn next(&mut self) -> Option<()> {
        self.sending.next().await
    }
}

/// One attempt, from its lease to its record.
async fn send(
    lease: Lease<EffectLeases>,
    name: String,
    (handler, schedule): (Arc<dyn EffectHandler>, Schedule),
    effect: Effect,
) {
    let (id, length) = (effect.id, lease.length);
    let limit = Duration::from_millis(u64::try_from(effect.timeout).unwrap_or(1));
    let tries = Tries { failures: effect.failures, charged: effect.charged, limit: effect.attempt_limit };
    tracing::debug!(effect = %id, kind = %effect.kind, attempt = effect.attempts, "sending");
    let kept = name.clone();
    let outcome = tokio::select! {
        ended = attempt(limit, async move { handler.handle(effect).await }) => match ended {
            Attempt::Ended(outcome) => outcome,
            Attempt::Panicked(why) => Outcome::Panicked(why),
            Attempt::TimedOut => Outcome::TimedOut(limit),
        },
        () = lease.keep(move |core| core.renew_effect(id, &kept, length)) => {
            tracing::warn!(effect = %id, "the lease was lost while sending; the process that has it records");
            return lease.forget(|held| drop(held.0.remove(&id)));
        }
    };
    let verdict = judge(outcome, tries, &schedule, &mut rand::rng());
    match lease.record(move |core| core.settle_effect(id, &name, verdict.clone())).await {
        Some(true) => {}
        Some(false) => {
            tracing::info!(effect = %id, "the lease was lost; the process that has it records")
        }
        None => return,
    }
    lease.forget(|held| drop(held.0.remove(&id)));
}
