//! How long a lease holds.

use std::time::Duration;

use super::owner;
use crate::Millis;

/// No lease is longer, in milliseconds: one that ends further ahead is a clock's fault.
pub(crate) const LONGEST_LEASE: Millis = 10 * 60 * 1000;

/// A lease's length in milliseconds: at least one, at most [`LONGEST_LEASE`].
pub(crate) fn lease_millis(length: Duration) -> Millis {
    Millis::try_from(length.as_millis()).unwrap_or(LONGEST_LEASE).clamp(1, LONGEST_LEASE)
}

/// How long it is until then.
pub(crate) fn wait_until(at: Millis, now: Millis) -> Duration {
    Duration::from_millis(u64::try_from(at.saturating_sub(now)).unwrap_or(0))
}

/// Who holds a lease, and how long.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) until: Option<Millis>,
    /// Who holds it is known to be gone.
    pub(crate) owner_gone: bool,
}

impl Held {
    /// By this owner, until then.
    pub(crate) fn by(owner: Option<&str>, until: Option<Millis>) -> Self {
        Self { until, owner_gone: owner.is_some_and(owner::is_gone) }
    }

    /// Whether nobody holds it any more: its owner is known to be gone, it ran out, or its end is further ahead than
    /// any can be.
    pub(crate) fn lapsed(self, now: Millis) -> bool {
        self.owner_gone || self.until.is_none_or(|until| until <= now || until - now > LONGEST_LEASE)
    }
}
