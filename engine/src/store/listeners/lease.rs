//! Leasing: each thunk is run, and each listener hears a document, in one process at a time.

use std::{sync::Arc, time::Duration};

use super::{
    super::jobs::thunk_rows as rows,
    super::{Core, core::Writing},
    claims::Claim,
    rows as listening, walk,
};
use crate::{
    Millis, Result,
    job::lease::{lease_millis, wait_until},
    job::owner,
    job::{
        Heard, Listener, ThunkCause, ThunkFailure, ThunkInfo,
        work_plan::{Pending, Step, listener_step, step},
    },
    slice::Registry,
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

impl Work {
    fn wake(&mut self, at: Millis, now: Millis) {
        let wait = wait_until(at, now);
        self.wait = Some(self.wait.map_or(wait, |known| known.min(wait)));
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
        let mut due = false;
        for row in rows::read_pending(&self.connection)? {
            match step_of(&row, (terms, &self.registry), now) {
                Step::Run { .. } => due |= terms.most_thunks > 0,
                Step::Reject(_) => due = true,
                Step::Wait(at) => work.wake(at, now),
                Step::Leave => {}
            }
        }
        for listener in &terms.listeners {
            for row in listening::read_behind(&self.connection, &listener.name)? {
                match listener_step(row.held(), row.next_attempt_at, now) {
                    Step::Run { .. } if terms.most_listeners > 0 && !due => {
                        let (last, found) = walk::next(&self.connection, &row, listener)?;
                        due |= found.is_some() || last.saturating_sub(row.position) >= walk::WINDOW;
                    }
                    Step::Wait(at) => work.wake(at, now),
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

fn step_of(row: &rows::ThunkRow, (terms, registry): (&WorkTerms, &Registry), now: Millis) -> Step {
    let handled = terms.thunks.contains(&row.info.name);
    match step(Pending { held: row.held(), on_death: row.on_death, deaths: row.deaths, handled }, now) {
        // One whose action only another process can do ends there.
        Step::Reject(_) if row.unknown_slice(ThunkCause::Orphaned, registry).is_some() => Step::Leave,
        step => step,
    }
}

impl Writing<'_> {
    fn lease_work(&mut self, terms: &WorkTerms) -> Result<Work> {
        let mut work = Work::default();
        for row in rows::read_pending(self.tx)? {
            match step_of(&row, (terms, self.registry), self.now) {
                Step::Run { .. } if work.thunks.len() >= terms.most_thunks => {}
                Step::Run { orphan } => work.thunks.push(self.lease_thunk(row, orphan, terms)?),
                Step::Reject(why) => {
                    self.fail_thunk(row, ThunkFailure::new(ThunkCause::Orphaned, why))?;
                }
                Step::Wait(at) => work.wake(at, self.now),
                Step::Leave => {}
            }
        }
        for listener in &terms.listeners {
            for row in listening::read_behind(self.tx, &listener.name)? {
                match listener_step(row.held(), row.next_attempt_at, self.now) {
                    Step::Run { .. } if work.heard.len() >= terms.most_listeners => {}
                    Step::Run { orphan } => {
                        work.heard.extend(self.lease_listener(row, listener, (orphan, terms.lease))?);
                    }
                    Step::Wait(at) => work.wake(at, self.now),
                    _ => {}
                }
            }
        }
        Ok(work)
    }

    fn lease_thunk(
        &mut self,
        mut row: rows::ThunkRow,
        orphan: bool,
        terms: &WorkTerms,
    ) -> Result<(ThunkInfo, String)> {
        let lease = owner::new_lease();
        row.deaths += u64::from(orphan);
        row.info.attempts += 1;
        row.info.running = true;
        row.info.started_at = Some(self.now);
        row.owner = Some(lease.clone());
        row.lease_until = Some(self.now.saturating_add(lease_millis(terms.lease)));
        self.update_thunk(&row)?;
        Ok((row.info, lease))
    }
}
