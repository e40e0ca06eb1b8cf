//! Running thunks and hearing actions: how, and by whom.

use std::{
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::{FutureExt, try_join};

use super::{
    EffectHandlers, EffectOptions, Hearing, ThunkContext,
    lease::{Held, Lease},
    reach::EndsForks,
    run::{Attempt, Duties, Room, Runner, attempt, do_job},
    thunk::AnyThunk,
};
use crate::{
    Result, Store,
    job::{Heard, Reaction, Schedule, ThunkCause, ThunkFailure, ThunkInfo},
    runtime::needs_timers,
    store::{Claim, Core, HeardFailure, Reacted, Work, WorkTerms},
};

/// How work is done.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct WorkOptions {
    /// At most so many thunks at once. Default 8.
    pub thunks_at_once: usize,
    /// At most so many listeners at once, each on one document. Default 8.
    pub listeners_at_once: usize,
    /// The delays between attempts of a listener that fails.
    pub schedule: Schedule,
    /// How long a lease runs without being renewed; it is renewed three times as often while work is done. When a
    /// process dies and nobody can see that it did, its work waits so long. Default 30 s, at most ten minutes.
    pub lease: Duration,
    /// How often the file is looked at when nothing is heard. What other processes on this store write is seen within
    /// a tenth of a second; that one of them died, within this. Default 1 s.
    pub look_around: Duration,
    /// How long what is being done may take to end, once the runner is told to stop. Default 5 s.
    pub grace: Duration,
    /// Effects are sent as well, with these handlers.
    pub effects: Option<(EffectHandlers, EffectOptions)>,
}

impl Default for WorkOptions {
    fn default() -> Self {
        Self {
            thunks_at_once: 8,
            listeners_at_once: 8,
            schedule: Schedule::default(),
            lease: Duration::from_secs(30),
            look_around: Duration::from_secs(1),
            grace: Duration::from_secs(5),
            effects: None,
        }
    }
}

impl WorkOptions {
    /// Sends effects as well.
    #[must_use]
    pub fn effects(mut self, handlers: EffectHandlers, options: EffectOptions) -> Self {
        self.effects = Some((handlers, options));
        self
    }

    /// At most so many thunks at once. With 0 it runs none.
    #[must_use]
    pub fn thunks_at_once(mut self, most: usize) -> Self {
        self.thunks_at_once = most;
        self
    }

    /// At most so many listeners at once, each on one document. With 0 it runs none.
    #[must_use]
    pub fn listeners_at_once(mut self, most: usize) -> Self {
        self.listeners_at_once = most;
        self
    }

    /// With these delays between attempts of a listener that fails.
    #[must_use]
    pub fn schedule(mut self, schedule: Schedule) -> Self {
        self.schedule = schedule;
        self
    }

    /// With leases of this length.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease;
        self
    }

    /// Looking at the file so often.
    #[must_use]
    pub fn look_around(mut self, pause: Duration) -> Self {
        self.look_around = pause;
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
    /// Runs thunks and listeners until `shutdown` is ready, and sends effects where the options have handlers for
    /// them: those of this process, and those that other processes on the store leave. Several processes may do this
    /// at once; each thunk is run, and each action heard, by one.
    ///
    /// Cancel-safe: what is being done when this future is dropped, or when the grace is over, is dropped and given
    /// back. A thunk is run again by whoever comes next (or rejected, see [`crate::work::Thunk::ON_DEATH`]), and an action
    /// is heard again.
    ///
    /// # Errors
    /// [`crate::Error::Closed`], [`crate::Error::NoRuntime`] outside tokio or where its timers are off, and what tells
    /// that the file is damaged. A full disk or a busy file is waited for.
    pub async fn run(&self, options: WorkOptions, shutdown: impl Future<Output = ()>) -> Result<()> {
        needs_timers()?;
        let shutdown = shutdown.shared();
        let effects = async {
            match options.effects.clone() {
                Some((handlers, effects)) => self.run_effects(handlers, effects, shutdown.clone()).await,
                None => Ok(()),
            }
        };
        let work = Runner::new(self, Duties::Work(options.clone())).run_until(shutdown.clone());
        // The first that fails ends the other, which is cancel-safe.
        try_join(effects, work).await.map(drop)
    }

    /// Does what there is to do, and what follows from that, and returns when nothing is left that could be done now:
    /// a listener that failed waits for its next attempt, and what other processes hold is theirs. For programs that
    /// run now and then.
    ///
    /// # Errors
    /// As [`Store::run`].
    pub async fn run_until_idle(&self, options: WorkOptions) -> Result<()> {
        needs_timers()?;
        let mut first = true;
        loop {
            let did = Runner::new(self, Duties::Work(options.clone())).run_until_idle().await?;
            let Some((handlers, effects)) = options.effects.clone().filter(|_| first || did) else {
                return Ok(());
            };
            // What effects record may be for listeners.
            self.run_effects_until_idle(handlers, effects).await?;
            first = false;
        }
    }
}

impl Runner {
    /// Takes thunks and listeners that can go on, and has them do so. Returns when there may be more.
    pub(super) async fn take_work(&mut self, options: &WorkOptions) -> Result<Option<Duration>> {
        let tasks = self.store.tasks();
        let terms = WorkTerms {
            thunks: tasks.thunk_names(),
            listeners: tasks.listeners(),
            most_thunks: self.room(Room::Thunks, options.thunks_at_once),
            most_listeners: self.room(Room::Listeners, options.listeners_at_once),
            lease: options.lease,
        };
        let note = |held: &mut Held, work: &Work| {
            work.thunks.iter().for_each(|(info, lease)| held.note_job(info.id, lease));
            work.heard.iter().for_each(|(_, claim)| held.note_claim(claim));
        };
        let work = self.leases.take(move |core| core.lease_work(&terms), note).await?;
        let Some(work) = work else { return Ok(None) };
        for (info, name) in work.thunks {
            // Only what is registered is leased.
            let Some(thunk) = self.store.tasks().thunk(&info.name) else { continue };
            let lease = self.leases.lease();
            self.begin(Room::Thunks, run_thunk((lease, name), thunk, info));
        }
        for (heard, claim) in work.heard {
            let Some(hearing) = self.store.tasks().hearing(&claim.listener) else { continue };
            let ear = Ear {
                lease: self.leases.lease(),
                hearing,
                schedule: options.schedule.clone(),
                stopping: Arc::clone(&self.stopping),
            };
            self.begin(Room::Listeners, hear(ear, (heard, claim)));
        }
        Ok(work.wait)
    }
}

/// One run of a thunk.
async fn run_thunk((lease, name): (Lease, String), thunk: Arc<dyn AnyThunk>, info: ThunkInfo) {
    let (id, deadline) = (info.id, thunk.deadline());
    // Before it begins: an abort that comes from now on is heard.
    let told = Some(lease.store.thunk_events());
    let cx = ThunkContext { id, document: info.document, attempt: info.attempts, store: lease.store.clone() };
    tracing::debug!(thunk = %id, name = info.name, attempt = info.attempts, "running");
    let settle = |ended| {
        let outcome = match ended {
            Attempt::Ended(outcome) => outcome,
            Attempt::Panicked(why) => Err(ThunkFailure::new(ThunkCause::Panicked, why)),
            Attempt::TimedOut => {
                let why = format!("it did not end within {} ms", deadline.as_millis());
                Err(ThunkFailure::new(ThunkCause::TimedOut, why))
            }
        };
        move |core: &mut Core, lease: &str| core.settle_thunk(id, lease, outcome.clone())
    };
    let work = async move { thunk.run(cx, info).await };
    do_job((lease, told), (id.into(), name), (deadline, work), settle).await;
}

/// What a listener on one document needs.
struct Ear {
    lease: Lease,
    hearing: Hearing,
    schedule: Schedule,
    stopping: Arc<AtomicBool>,
}

/// Hears action after action, as long as there are any and the runner goes on.
async fn hear(ear: Ear, first: (Heard, Claim)) {
    let Ear { lease, hearing, schedule, .. } = &ear;
    let mut next = Some(first);
    while let Some((heard, claim)) = next.take() {
        let handled = tokio::select! {
            handled = handle((&lease.store, hearing), heard.clone()) => handled,
            () = lease.keep_claim(&claim) => return,
        };
        let why = match handled {
            Ok(reaction) => match react(&ear, reaction, (&heard, &claim)).await {
                Some(Reacted::Next(more)) => {
                    next = Some(*more);
                    None
                }
                Some(Reacted::Refused(error)) => Some(format!("its reaction failed: {error}")),
                Some(Reacted::Lost | Reacted::Done) => None,
                None => return,
            },
            Err(why) => Some(why),
        };
        if let Some(why) = why {
            tracing::warn!(listener = claim.listener, key = %heard.key, why, "a listener failed");
            let wait = schedule.wait(heard.attempt, None, &mut rand::rng());
            let failure = HeardFailure { why, wait, limit: hearing.listener.attempts };
            let failed = claim.clone();
            if lease.record(move |core| core.fail_listener(&failed, &failure)).await.is_none() {
                return;
            }
        }
        lease.forget_claim(&claim);
    }
}

/// One call of the handler, in a task of its own.
async fn handle((store, hearing): (&Store, &Hearing), heard: Heard) -> Result<Reaction, String> {
    let (call, deadline) = (Arc::clone(&hearing.handle), hearing.listener.deadline);
    // "What a listener forked ends with it", however it ends.
    let ends = EndsForks::default();
    let heard = Heard { reach: ends.reach(store), ..heard };
    match attempt(deadline, async move { call(heard).await }).await {
        Attempt::Ended(handled) => handled,
        Attempt::Panicked(why) => Err(format!("the handler panicked: {why}")),
        Attempt::TimedOut => Err(format!("the handler did not end within {} ms", deadline.as_millis())),
    }
}

/// Records a reaction, and notes what was leased with it where that is known first.
async fn react(ear: &Ear, reaction: Reaction, (heard, claim): (&Heard, &Claim)) -> Option<Reacted> {
    let note = ear.lease.noting_claims();
    let (heard, claim) = (heard.clone(), claim.clone());
    let (listener, length) = (Arc::clone(&ear.hearing.listener), ear.lease.length);
    let go_on = !ear.stopping.load(Ordering::SeqCst);
    let record = move |core: &mut Core| {
        let reacted = core.react(&claim, (&heard, &reaction), (&listener, length, go_on))?;
        if let Reacted::Next(next) = &reacted {
            note(core, &next.1);
        }
        Ok(reacted)
    };
    ear.lease.record(record).await
}
