//! Leasing: each thunk is run, and each listener hears a document, in one process at a time.

use std::{sync::Arc, time::Duration};

use super::{
    super::{
        Core,
        core::Writing,
        jobs::{JobTerms, look},
    },
    claims::Claim,
    rows, walk,
};
use crate::{
    Millis, Result,
    job::{
        Heard, Job, JobKind, Listener, ThunkInfo,
        lease::wait_until,
        plan::{Ready, ready},
    },
};

/// Under which terms work is leased.
#[derive(Debug, Clone)]
pub struct WorkTerms {
    /// Which thunks can be run here, by name.
    pub thunks: Vec<String>,
    /// Which listeners can hear here.
    pub listeners: Vec<Arc<Listener>>,
    /// At most so many thunks.
    pub most_thunks: usize,
    /// At most so many listeners, each on one document.
    pub most_listeners: usize,
    /// For how long; renewed while it is done. At most ten minutes.
    pub lease: Duration,
}

/// What was leased.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Work {
    /// To be run now, each with the name of its lease.
    pub thunks: Vec<(ThunkInfo, String)>,
    /// To be heard now.
    pub heard: Vec<(Heard, Claim)>,
    /// When there may be more, from now.
    pub wait: Option<Duration>,
}

impl WorkTerms {
    fn of_thunks(&self) -> JobTerms<'_> {
        JobTerms { kind: JobKind::Thunk, names: &self.thunks, most: self.most_thunks, length: self.lease }
    }
}

impl Work {
    fn wake(&mut self, at: Option<Millis>, now: Millis) {
        self.wait = self.wait.into_iter().chain(at.map(|at| wait_until(at, now))).min();
    }
}

impl Core {
    /// Takes what can be run, and settles orphans. Nothing is written where there is nothing to do.
    ///
    /// # Errors
    /// The file's.
    pub fn lease_work(&mut self, terms: &WorkTerms) -> Result<Work> {
        let now = self.now();
        let mut work = Work::default();
        let (_, thunks) = look(&self.connection, terms.of_thunks(), &self.registry, now)?;
        work.wake(thunks.wake_at, now);
        let mut due = !thunks.dying.is_empty() || (!thunks.due.is_empty() && terms.most_thunks > 0);
        for listener in &terms.listeners {
            for row in rows::read_behind(&self.connection, &listener.name)? {
                match ready(row.held(), row.next_attempt_at, now) {
                    Ready::Now { .. } if terms.most_listeners > 0 && !due => {
                        let (last, found) = walk::next(&self.connection, &row, listener)?;
                        due |= found.is_some() || last.saturating_sub(row.position) >= walk::WINDOW;
                    }
                    Ready::At(at) => work.wake(Some(at), now),
                    _ => {}
                }
            }
        }
        if due { self.write(&[], |w| w.lease_work(terms)) } else { Ok(work) }
    }

    /// Settles the orphans that are not to be resumed, as far as their processes are seen to be gone.
    pub(crate) fn settle_orphans(&mut self) -> Result<()> {
        let terms = WorkTerms {
            thunks: Vec::new(),
            listeners: Vec::new(),
            most_thunks: 0,
            most_listeners: 0,
            lease: Duration::from_secs(1),
        };
        self.lease_work(&terms).map(drop)
    }
}

impl Writing<'_> {
    fn lease_work(&mut self, terms: &WorkTerms) -> Result<Work> {
        let mut work = Work::default();
        let thunks = self.lease_jobs(terms.of_thunks())?;
        work.thunks = thunks.jobs.into_iter().map(|(job, lease)| (Job::into_thunk(job), lease)).collect();
        work.wake(thunks.wake_at, self.now);
        for listener in &terms.listeners {
            for row in rows::read_behind(self.tx, &listener.name)? {
                match ready(row.held(), row.next_attempt_at, self.now) {
                    Ready::Now { .. } if work.heard.len() >= terms.most_listeners => {}
                    Ready::Now { orphan } => {
                        work.heard.extend(self.lease_listener(row, listener, (orphan, terms.lease))?);
                    }
                    Ready::At(at) => work.wake(Some(at), self.now),
                    Ready::Never => {}
                }
            }
        }
        Ok(work)
    }
}
