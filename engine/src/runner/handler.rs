//! Who sends effects.

use std::{collections::HashMap, fmt, future::Future, sync::Arc};

use futures_util::future::{BoxFuture, FutureExt};

use crate::job::{Effect, Outcome};

/// Sends effects of one kind. What it does should be harmless when it is done twice under the same
/// [`Effect::id`]: that happens when a process dies between sending and recording.
///
/// It may be dropped at any `await` (the attempt took too long, the app ends): then the effect is sent again. A
/// panic ends the attempt and counts as a failed one. It should not block its thread: a blocked thread cannot be
/// taken back, only given up.
pub trait EffectHandler: Send + Sync {
    /// One attempt.
    fn handle(&self, effect: Effect) -> BoxFuture<'_, Outcome>;
}

struct Closure<F>(F);

impl<F, Fut> EffectHandler for Closure<F>
where
    F: Fn(Effect) -> Fut + Send + Sync,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    fn handle(&self, effect: Effect) -> BoxFuture<'_, Outcome> {
        self.0(effect).boxed()
    }
}

/// A handler from an asynchronous closure.
///
/// ```
/// use rejoin::effects::{Outcome, handler};
/// let mail = handler(|effect| async move { Outcome::Done(effect.request) });
/// # let _ = mail;
/// ```
pub fn handler<F, Fut>(send: F) -> impl EffectHandler
where
    F: Fn(Effect) -> Fut + Send + Sync,
    Fut: Future<Output = Outcome> + Send + 'static,
{
    Closure(send)
}

/// Which handler sends which kind. Effects of other kinds are left for other processes; they hold up their lanes.
#[derive(Clone, Default)]
pub struct EffectHandlers(HashMap<String, Arc<dyn EffectHandler>>);

impl EffectHandlers {
    /// None yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Effects of this kind are sent by this handler.
    #[must_use]
    pub fn with(mut self, kind: impl Into<String>, handler: impl EffectHandler + 'static) -> Self {
        self.0.insert(kind.into(), Arc::new(handler));
        self
    }

    pub(super) fn kinds(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    pub(super) fn get(&self, kind: &str) -> Option<Arc<dyn EffectHandler>> {
        self.0.get(kind).cloned()
    }
}

impl fmt::Debug for EffectHandlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
