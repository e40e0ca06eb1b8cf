//! Processor time: what a bound on work is measured in, for other programs on the machine do not count.

use std::time::Duration;

/// What this thread has had of it so far.
#[cfg(unix)]
pub(crate) fn of_this_thread() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Elsewhere the time that passes, from the first call on.
#[cfg(not(unix))]
pub(crate) fn of_this_thread() -> Duration {
    static START: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    START.elapsed()
}

/// What this takes of it, and what it gives.
pub(crate) fn taken<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let before = of_this_thread();
    let done = work();
    (done, of_this_thread() - before)
}
