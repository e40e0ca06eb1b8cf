//! A store whose clock a test turns, and short ways to say what a test does.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use rejoin::{
    Action, DocumentId, Millis,
    effects::{Effect, EffectId, EffectRequest, EffectState, Outcome, Schedule, Tries, judge},
    store::{Core, LeaseTerms},
};
use serde_json::{Value, json};

pub(crate) const NOW: Millis = 1_800_000_000_000;

pub(crate) fn set(path: &str, value: impl Into<Value>) -> Action {
    Action::Set { path: path.to_owned(), value: value.into() }
}

pub(crate) fn increment(path: &str, by: i64) -> Action {
    Action::Increment { path: path.to_owned(), by }
}

/// An effect of the kind `test`.
pub(crate) fn ask(lane: &str) -> EffectRequest {
    EffectRequest::new("test", json!({"lane": lane})).lane(lane)
}

/// A store in memory under a clock that stands still.
pub(crate) struct Bench {
    pub(crate) core: Core,
    pub(crate) id: DocumentId,
    clock: Arc<AtomicI64>,
}

impl Bench {
    pub(crate) fn new() -> Self {
        Self::over(Core::open_in_memory().unwrap(), None)
    }

    fn over(mut core: Core, id: Option<DocumentId>) -> Self {
        let clock = Arc::new(AtomicI64::new(NOW));
        let shared = Arc::clone(&clock);
        core.set_clock(Box::new(move || shared.load(Ordering::SeqCst)));
        let id = id.unwrap_or_else(|| core.create(None, None).unwrap());
        Self { core, id, clock }
    }

    /// The same file, opened again, as after a restart.
    pub(crate) fn reopened(self) -> Self {
        let now = self.clock.load(Ordering::SeqCst);
        let bench = Self::over(Core::open_connection(self.core.into_connection()).unwrap(), Some(self.id));
        bench.clock.store(now, Ordering::SeqCst);
        bench
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as i64, Ordering::SeqCst);
    }

    pub(crate) fn turn_clock(&self, by: Millis) {
        self.clock.fetch_add(by, Ordering::SeqCst);
    }

    /// Does an action that asks for this.
    pub(crate) fn dispatch(&mut self, action: Action, effects: &[EffectRequest]) {
        self.core.dispatch_with(self.id, &action, effects).unwrap();
    }

    /// Asks for this with an action of no interest.
    pub(crate) fn ask(&mut self, effect: EffectRequest) -> EffectId {
        let id = effect.id();
        self.dispatch(increment("/asked", 1), &[effect]);
        id
    }

    pub(crate) fn lease(&mut self) -> Vec<(Effect, String)> {
        let terms = LeaseTerms { kinds: vec!["test".to_owned()], most: 100, lease: Duration::from_secs(30) };
        self.core.lease_effects(&terms).unwrap().effects
    }

    /// Which are sent now, each ending so.
    pub(crate) fn send(&mut self, mut outcome: impl FnMut(&Effect) -> Outcome) -> Vec<EffectId> {
        let leased = self.lease();
        for (effect, lease) in &leased {
            let outcome = outcome(effect);
            self.end(effect, lease, outcome);
        }
        leased.into_iter().map(|(effect, _)| effect.id).collect()
    }

    pub(crate) fn end(&mut self, effect: &Effect, lease: &str, outcome: Outcome) -> bool {
        let tries = Tries { failures: effect.failures, charged: effect.charged, limit: effect.attempt_limit };
        let verdict = judge(outcome, tries, &Schedule::default().exact(), &mut rand::rng());
        self.core.settle_effect(effect.id, lease, verdict).unwrap()
    }

    pub(crate) fn effect(&mut self, id: EffectId) -> Effect {
        self.core.effect(&id.to_string()).unwrap()
    }

    pub(crate) fn state_of(&mut self, id: EffectId) -> EffectState {
        self.effect(id).state
    }

    pub(crate) fn state(&mut self, pointer: &str) -> Value {
        self.core.state(self.id, pointer, None).unwrap_or(Value::Null)
    }

    pub(crate) fn changes(&mut self) -> usize {
        self.core.history(self.id, None).unwrap().len()
    }
}

pub(crate) fn done() -> Outcome {
    Outcome::Done(Value::Null)
}

pub(crate) fn answered(status: u16) -> Outcome {
    Outcome::Reply { status, retry_after: None, body: json!({"title": "no"}) }
}
