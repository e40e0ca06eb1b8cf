//! Sending effects: how, and by whom.

use std::{future::Future, sync::Arc, time::Duration};

use super::{
    EffectHandler, EffectHandlers,
    lease::{Held, Lease},
    run::{Attempt, Duties, Room, Runner, do_job},
};
use crate::{
    Result, Store,
    job::{Effect, Outcome, Schedule, Tries, judge},
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
        Runner::new(self, Duties::Effects(handlers, options)).run_until(shutdown).await
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
        Runner::new(self, Duties::Effects(handlers, options)).run_until_idle().await.map(drop)
    }
}

impl Runner {
    /// Takes effects that are due, and has them sent. Returns when there may be more.
    pub(super) async fn take_effects(
        &mut self,
        handlers: &EffectHandlers,
        options: &EffectOptions,
    ) -> Result<Option<Duration>> {
        let most = self.room(Room::Effects, options.at_once.max(1));
        if most == 0 {
            return Ok(None);
        }
        let terms = LeaseTerms { kinds: handlers.kinds(), most, lease: options.lease };
        let note = |held: &mut Held, leased: &Leased| {
            leased.effects.iter().for_each(|(effect, lease)| held.note_job(effect.id, lease));
        };
        let leased = self.leases.take(move |core| core.lease_effects(&terms), note).await?;
        let Some(leased) = leased else { return Ok(None) };
        for (effect, name) in leased.effects {
            // Only kinds with a handler are leased.
            let Some(handler) = handlers.get(&effect.kind) else { continue };
            let sending = send((self.leases.lease(), name), (handler, options.schedule.clone()), effect);
            self.begin(Room::Effects, sending);
        }
        Ok(leased.wait)
    }
}

/// One attempt.
async fn send(
    (lease, name): (Lease, String),
    (handler, schedule): (Arc<dyn EffectHandler>, Schedule),
    effect: Effect,
) {
    let id = effect.id;
    let limit = Duration::from_millis(u64::try_from(effect.timeout).unwrap_or(1));
    let tries = Tries { failures: effect.failures, charged: effect.charged, limit: effect.attempt_limit };
    tracing::debug!(effect = %id, kind = %effect.kind, attempt = effect.attempts, "sending");
    let settle = |ended| {
        let outcome = match ended {
            Attempt::Ended(outcome) => outcome,
            Attempt::Panicked(why) => Outcome::Panicked(why),
            Attempt::TimedOut => Outcome::TimedOut(limit),
        };
        let verdict = judge(outcome, tries, &schedule, &mut rand::rng());
        move |core: &mut Core, lease: &str| core.settle_effect(id, lease, verdict.clone())
    };
    let work = async move { handler.handle(effect).await };
    do_job((lease, None), (id.into(), name), (limit, work), settle).await;
}
