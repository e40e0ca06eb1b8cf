//! How long to wait after a failure.

use rand::{Rng, RngExt};

use super::types::Millis;

/// How a wait grows: the window is `first`, doubled with each failure in a row, at most `cap`; the wait is a
/// random point of the window, drawn after the cap (full jitter), so that clients that failed together come
/// back spread over the whole window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The window after the first failure, in milliseconds.
    pub first: Millis,
    /// The longest window, in milliseconds.
    pub cap: Millis,
}

impl Backoff {
    /// Somebody is waiting for the result: 0.5 s, doubling up to 60 s.
    pub const PERSON: Self = Self { first: 500, cap: 60_000 };
    /// Nobody is waiting: from 30 s up to 60 s. When a server restarts under thousands of clients that follow
    /// it, all of them fail within the same second: they must come back spread over at least 30 s.
    pub const BACKGROUND: Self = Self { first: 30_000, cap: 60_000 };

    /// The window after `failures` in a row (1 for the first), in milliseconds.
    pub fn window(&self, failures: u32) -> Millis {
        let doublings = failures.saturating_sub(1).min(32);
        self.first.saturating_mul(1_i64 << doublings).clamp(1, self.cap.max(1))
    }

    /// A wait after `failures` in a row, in milliseconds: between 0 and the window.
    pub fn wait(&self, failures: u32, rng: &mut impl Rng) -> Millis {
        rng.random_range(0..=self.window(failures))
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};

    use super::*;

    #[test]
    fn the_window_doubles_up_to_the_cap() {
        let windows: Vec<_> = (0..10).map(|n| Backoff::PERSON.window(n)).collect();
        assert_eq!(windows, [500, 500, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000]);
        assert_eq!(Backoff::PERSON.window(u32::MAX), 60_000);
    }

    #[test]
    fn jitter_is_drawn_after_the_cap_and_fills_the_window() {
        let mut rng = StdRng::seed_from_u64(1);
        let waits: Vec<_> = (0..10_000).map(|_| Backoff::PERSON.wait(40, &mut rng)).collect();
        assert!(waits.iter().all(|w| (0..=60_000).contains(w)));
        let early = waits.iter().filter(|w| **w < 6_000).count();
        assert!((800..1_200).contains(&early), "a tenth of the waits is in the first tenth: {early}");
    }

    #[test]
    fn clients_that_fail_together_come_back_over_at_least_thirty_seconds() {
        let mut rng = StdRng::seed_from_u64(2);
        let mut second = [0_u32; 31];
        for _ in 0..5_000 {
            let wait = Backoff::BACKGROUND.wait(1, &mut rng);
            second[usize::try_from(wait / 1_000).unwrap()] += 1;
        }
        assert!(second[..30].iter().all(|n| (100..250).contains(n)), "{second:?}");
    }
}
