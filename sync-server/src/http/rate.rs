//! How often one principal may ask: a pace that it may keep up, and a number at once after a rest.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use axum::{
    Extension,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};

use super::reply::Failed;
use crate::rules::{Fault, Principal};

/// So many principals are remembered before those that rest are forgotten.
const MANY: usize = 1_024;

/// Who asked how much.
#[derive(Debug, Clone)]
pub(super) struct Rate {
    pace: Pace,
    /// When each would be at rest again if it asked no more.
    rested: Arc<Mutex<HashMap<Principal, Instant>>>,
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The time that one request takes up; none where there is no limit.
    each: Duration,
    /// How much may be taken up at once.
    most: Duration,
}

impl Pace {
    fn new(a_second: u32, at_once: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(a_second).unwrap_or_default();
        Self { each, most: each.saturating_mul(at_once.max(1)) }
    }

    /// When who is at rest at `rested` will be after one request more; or how long it has to wait for that.
    fn take(&self, rested: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let next = rested.map_or(now, |rested| rested.max(now)) + self.each;
        let ahead = next.duration_since(now);
        if ahead <= self.most { Ok(next) } else { Err(ahead - self.most) }
    }
}

impl Rate {
    /// So many requests a second, and so many at once; 0 a second is no limit.
    pub(super) fn new(a_second: u32, at_once: u32) -> Self {
        Self { pace: Pace::new(a_second, at_once), rested: Arc::default() }
    }

    fn admit(&self, by: Principal, now: Instant) -> Result<(), Fault> {
        if by == Principal::Local || self.pace.each.is_zero() {
            return Ok(());
        }
        let mut rested = self.rested.lock().unwrap_or_else(PoisonError::into_inner);
        if rested.len() >= MANY {
            rested.retain(|_, rested| *rested > now);
        }
        let next = self.pace.take(rested.get(&by).copied(), now).map_err(Fault::too_many)?;
        rested.insert(by, next);
        Ok(())
    }
}

/// Behind the guard: it knows who asks.
pub(super) async fn limit(
    State(rate): State<Rate>,
    by: Option<Extension<Principal>>,
    request: Request,
    next: Next,
) -> Result<Response, Failed> {
    if let Some(Extension(by)) = by {
        rate.admit(by, Instant::now())?;
    }
    Ok(next.run(request).await)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_at_once_as_may_be_and_then_at_the_pace() {
        let (pace, start) = (Pace::new(10, 3), Instant::now());
        let mut rested = None;
        for _ in 0..3 {
            rested = Some(pace.take(rested, start).unwrap());
        }
        assert_eq!(pace.take(rested, start), Err(Duration::from_millis(100)), "the fourth");
        let later = start + Duration::from_millis(100);
        rested = Some(pace.take(rested, later).unwrap());
        assert_eq!(pace.take(rested, later), Err(Duration::from_millis(100)));
        let much_later = start + Duration::from_secs(60);
        for _ in 0..3 {
            rested = Some(pace.take(rested, much_later).unwrap());
        }
        assert!(pace.take(rested, much_later).is_err(), "a long rest saves up no more");
    }

    #[test]
    fn who_sits_at_this_machine_is_not_held_back_and_no_rate_is_no_limit() {
        let now = Instant::now();
        let rate = Rate::new(1, 1);
        assert!((0..100).all(|_| rate.admit(Principal::Local, now).is_ok()));
        let none = Pace::new(0, 1);
        assert!(none.each.is_zero());
    }
}
