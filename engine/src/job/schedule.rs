//! How long to wait after a failure.

use std::time::Duration;

use rand::RngExt;

use crate::Millis;

/// No wait is longer: a stored time further ahead is a clock's fault, and counts as due.
pub const LONGEST_WAIT: Duration = Duration::from_secs(24 * 3600);

/// By how much a delay differs from the schedule's, up or down.
const JITTER: f64 = 0.2;

/// The delays between attempts.
///
/// ```
/// use rejoin::effects::Schedule;
/// use std::time::Duration;
/// let schedule = Schedule::default();
/// assert_eq!(schedule.step(1), Duration::from_secs(1));
/// assert_eq!(schedule.step(10), Duration::from_secs(3600));
/// assert_eq!(schedule.step(1_000), Duration::from_secs(3600));
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Schedule {
    steps: Vec<Duration>,
    jitter: f64,
}

impl Default for Schedule {
    /// 1, 5, 15, 30, 60, 180, 300, 600, 1800, 3600 s, each up to a fifth more or less; then 3600 s again.
    fn default() -> Self {
        let seconds = [1, 5, 15, 30, 60, 180, 300, 600, 1800, 3600];
        Self { steps: seconds.map(Duration::from_secs).to_vec(), jitter: JITTER }
    }
}

impl Schedule {
    /// Other delays, the last one repeated; without any, an attempt follows at once. A delay above
    /// [`LONGEST_WAIT`] is that long.
    pub fn of(steps: impl IntoIterator<Item = Duration>) -> Self {
        Self { steps: steps.into_iter().map(|s| s.min(LONGEST_WAIT)).collect(), jitter: JITTER }
    }

    /// Without jitter: for tests, and where nobody else waits.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.jitter = 0.0;
        self
    }

    /// The delay after so many failures, 1 for the first, before jitter.
    pub fn step(&self, failures: u64) -> Duration {
        let nth = usize::try_from(failures.saturating_sub(1)).unwrap_or(usize::MAX);
        self.steps.get(nth).or(self.steps.last()).copied().unwrap_or_default()
    }

    /// The delay after so many failures, in milliseconds. What the receiver asked for (`Retry-After`) goes before
    /// the schedule, and is never cut short.
    pub(crate) fn wait(&self, failures: u64, asked: Option<Duration>, rng: &mut impl rand::Rng) -> Millis {
        let share = rng.random_range(0.0..=1.0) * self.jitter;
        let delay = match asked {
            Some(asked) => asked.min(LONGEST_WAIT).mul_f64(1.0 + share),
            None => self.step(failures).mul_f64(1.0 - self.jitter + 2.0 * share),
        };
        Millis::try_from(delay.min(LONGEST_WAIT).as_millis()).unwrap_or(Millis::MAX)
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_schedule_is_1_5_15_30_60_180_300_600_1800_3600_seconds() {
        let exact = Schedule::default().exact();
        let mut rng = StdRng::seed_from_u64(1);
        let waits: Vec<_> = (1..=12).map(|n| exact.wait(n, None, &mut rng) / 1000).collect();
        assert_eq!(waits, [1, 5, 15, 30, 60, 180, 300, 600, 1800, 3600, 3600, 3600]);
    }

    #[test]
    fn jitter_is_a_fifth_either_way_and_never_shortens_what_was_asked_for() {
        let (schedule, mut rng) = (Schedule::default(), StdRng::seed_from_u64(2));
        let waits: Vec<_> = (0..1_000).map(|_| schedule.wait(3, None, &mut rng)).collect();
        assert!(waits.iter().all(|w| (12_000..=18_000).contains(w)));
        assert!(waits.iter().min().unwrap() < &12_600 && waits.iter().max().unwrap() > &17_400);
        let asked = Some(Duration::from_secs(100));
        assert!((0..1_000).all(|_| (100_000..=120_000).contains(&schedule.wait(1, asked, &mut rng))));
        let ever = schedule.wait(1, Some(Duration::MAX), &mut rng);
        assert_eq!(ever, 86_400_000);
    }
}
