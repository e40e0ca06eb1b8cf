//! Processes that could not do their work: counted, so that somebody sees it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How often a process that was to verify came to no answer, since its [`VerifyCommand`](super::VerifyCommand) was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ProcessFailures {
    /// It ended over its work: by a signal, for want of memory, or by itself.
    pub died: u64,
    /// Its time was over, and it said so or was killed.
    pub timed_out: u64,
    /// It could not be started.
    pub not_started: u64,
}

/// The count of a command and of all its clones.
#[derive(Debug, Clone, Default)]
pub(super) struct Failures(Arc<[AtomicU64; 3]>);

/// What one failed of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    Died,
    TimedOut,
    NotStarted,
}

impl Failures {
    pub(super) fn count(&self, failure: Failure) {
        let [died, timed_out, not_started] = &*self.0;
        let counter = match failure {
            Failure::Died => died,
            Failure::TimedOut => timed_out,
            Failure::NotStarted => not_started,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn so_far(&self) -> ProcessFailures {
        let [died, timed_out, not_started] = self.0.each_ref().map(|count| count.load(Ordering::Relaxed));
        ProcessFailures { died, timed_out, not_started }
    }
}

/// A count says nothing of which command it is.
impl PartialEq for Failures {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Failures {}
