//! Leasing: each job is done by one process at a time.

use std::time::Duration;

use rusqlite::Connection;

use super::{
    super::{Core, core::Writing},
    rows,
    settle::Ending,
};
use crate::{
    Millis, Result,
    job::{
        Effect, EffectId, FollowUp, Job, JobId, JobKind, JobState, ThunkCause, ThunkId,
        lease::{lease_millis, wait_until},
        owner,
        plan::{Dependencies, Facts, Plan, SENDER_DIED, plan},
    },
    slice::Registry,
};

/// Under which terms effects are leased.
#[derive(Debug, Clone)]
pub struct LeaseTerms {
    /// Which kinds can be sent here.
    pub kinds: Vec<String>,
    /// At most so many at once.
    pub most: usize,
    /// For how long; renewed while the effect is being sent. At most ten minutes.
    pub lease: Duration,
}

/// What was leased.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct Leased {
    /// To be sent now, each with the name of its lease.
    pub effects: Vec<(Effect, String)>,
    /// When there may be more, from now.
    pub wait: Option<Duration>,
}

/// Under which terms jobs are leased.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct JobTerms<'a> {
    pub(in super::super) kind: JobKind,
    /// Which can be done here, by name.
    pub(in super::super) names: &'a [String],
    pub(in super::super) most: usize,
    pub(in super::super) length: Duration,
}

/// What was leased of one kind.
#[derive(Debug)]
pub(in super::super) struct LeasedJobs {
    /// To be done now, each with the name of its lease.
    pub(in super::super) jobs: Vec<(Job, String)>,
    /// When there may be more.
    pub(in super::super) wake_at: Option<Millis>,
}

impl Core {
    /// Takes what is due, and settles what died. Nothing is written where nothing is due.
    ///
    /// # Errors
    /// The file's.
    pub fn lease_effects(&mut self, terms: &LeaseTerms) -> Result<Leased> {
        let (kind, now) = (JobKind::Effect, self.now());
        let terms = JobTerms { kind, names: &terms.kinds, most: terms.most, length: terms.lease };
        let (_, looked) = look(&self.connection, terms, &self.registry, now)?;
        let wait = |at: Option<Millis>| at.map(|at| wait_until(at, now));
        if looked.due.is_empty() && looked.dying.is_empty() {
            return Ok(Leased { effects: Vec::new(), wait: wait(looked.wake_at) });
        }
        let LeasedJobs { jobs, wake_at } = self.write(&[], |w| w.lease_jobs(terms))?;
        let effects = jobs.into_iter().map(|(job, lease)| Ok((job.into_effect()?, lease)));
        Ok(Leased { effects: effects.collect::<Result<_>>()?, wait: wait(wake_at) })
    }

    /// Holds a lease longer. `false`: it is another's by now.
    ///
    /// # Errors
    /// The file's.
    pub fn renew_effect(&mut self, id: EffectId, lease: &str, length: Duration) -> Result<bool> {
        self.renew_job(id.into(), lease, length)
    }

    /// Holds a lease, and renews it when a third of it has passed. `false`: the thunk was aborted or superseded, or
    /// the lease is another's.
    ///
    /// # Errors
    /// The file's.
    pub fn keep_thunk(&mut self, id: ThunkId, lease: &str, length: Duration) -> Result<bool> {
        self.keep_job(id.into(), lease, length)
    }

    /// Gives a lease back without an outcome: whoever comes next sends it again, at once and under the same key.
    ///
    /// # Errors
    /// The file's.
    pub fn give_back_effect(&mut self, id: EffectId, lease: &str) -> Result<()> {
        self.give_back_job(id.into(), lease)
    }

    /// Gives a lease back without an outcome: whoever comes next runs it again, or it is rejected where it must not
    /// be begun twice.
    ///
    /// # Errors
    /// The file's.
    pub fn give_back_thunk(&mut self, id: ThunkId, lease: &str) -> Result<()> {
        self.give_back_job(id.into(), lease)
    }

    /// Holds a lease, and renews it when a third of it has passed. `false`: the job was settled, or is another's.
    pub(crate) fn keep_job(&mut self, id: JobId, lease: &str, length: Duration) -> Result<bool> {
        let (now, millis) = (self.now(), lease_millis(length));
        let Some(job) = rows::read_one(&self.connection, id)?.filter(|job| job.is_held_under(lease)) else {
            return Ok(false);
        };
        let fresh = |until: Millis| until.saturating_sub(now) > millis - millis / 3;
        if job.lease_until.is_some_and(fresh) { Ok(true) } else { self.renew_job(id, lease, length) }
    }

    fn renew_job(&mut self, id: JobId, lease: &str, length: Duration) -> Result<bool> {
        self.write(&[], |w| {
            let Some(job) = w.held_job(id, lease)? else { return Ok(false) };
            rows::renew(w.tx, job.ordinal, w.now.saturating_add(lease_millis(length)))?;
            Ok(true)
        })
    }

    pub(crate) fn give_back_job(&mut self, id: JobId, lease: &str) -> Result<()> {
        self.write(&[], |w| {
            let Some(mut job) = w.held_job(id, lease)? else { return Ok(()) };
            if job.is_begun_once() {
                let why = "it was broken off before it ended".to_owned();
                return w.end_job(job, Ending::failed(ThunkCause::Orphaned, why));
            }
            if id.kind == JobKind::Effect {
                job.error = Some("sending it was broken off before it ended".to_owned());
            }
            w.release_job(job)
        })
    }
}

impl Writing<'_> {
    /// The job, as long as this lease on it holds. A lease that ran out holds until somebody else takes it.
    pub(super) fn held_job(&self, id: JobId, lease: &str) -> Result<Option<Job>> {
        Ok(rows::read_one(self.tx, id)?.filter(|job| job.is_held_under(lease)))
    }

    /// Writes a job back, and tells those who listen.
    pub(super) fn write_job(&mut self, job: &Job) -> Result<()> {
        let thunk = job.id.kind == JobKind::Thunk;
        self.worked |= thunk;
        rows::update(self.tx, job, thunk.then_some(self.ordinal))
    }

    /// As [`Writing::write_job`], and nobody has it any more: a runner looks for what is due now.
    pub(super) fn release_job(&mut self, mut job: Job) -> Result<()> {
        job.release();
        self.asked += u64::from(job.id.kind == JobKind::Effect);
        self.write_job(&job)
    }

    /// Takes what is due, and settles what died.
    pub(in super::super) fn lease_jobs(&mut self, terms: JobTerms<'_>) -> Result<LeasedJobs> {
        loop {
            let (open, plan) = look(self.tx, terms, self.registry, self.now)?;
            if plan.dying.is_empty() {
                let due = open.into_iter().filter(|job| plan.due.contains(&job.ordinal)).take(terms.most);
                let leased = due.map(|job| self.lease_job(job, terms.length)).collect::<Result<_>>()?;
                return Ok(LeasedJobs { jobs: leased, wake_at: plan.wake_at });
            }
            // What dies lets the next of its lane step forward.
            for (ordinal, why) in plan.dying {
                let open = rows::read_ordinal(self.tx, ordinal)?.filter(|job| !job.state.is_settled());
                if let Some(job) = open {
                    let ending = Ending::died(job.id.kind, why);
                    self.end_job(job, ending)?;
                }
            }
        }
    }

    fn lease_job(&mut self, mut job: Job, length: Duration) -> Result<(Job, String)> {
        if job.state == JobState::Running {
            job.failures += 1;
            job.charged += 1;
            if job.id.kind == JobKind::Effect {
                job.error = Some(SENDER_DIED.to_owned());
            }
        }
        let lease = owner::new_lease();
        job.state = JobState::Running;
        job.attempts += 1;
        job.next_attempt_at = None;
        job.started_at = Some(self.now);
        job.owner = Some(lease.clone());
        job.lease_until = Some(self.now.saturating_add(lease_millis(length)));
        self.write_job(&job)?;
        Ok((job, lease))
    }
}

/// The rows that matter, and what is to be done with them.
pub(in super::super) fn look(
    connection: &Connection,
    terms: JobTerms<'_>,
    registry: &Registry,
    now: Millis,
) -> Result<(Vec<Job>, Plan)> {
    let open = rows::read_open(connection, terms.kind, now)?;
    let facts =
        open.iter().map(|job| facts(connection, job, (terms, registry))).collect::<Result<Vec<_>>>()?;
    let mut plan = plan(&facts, now);
    plan.wake(rows::next_deadline(connection)?.filter(|at| terms.kind == JobKind::Effect && *at > now));
    Ok((open, plan))
}

fn facts(connection: &Connection, job: &Job, (terms, registry): (JobTerms<'_>, &Registry)) -> Result<Facts> {
    let known = unknown_slice(job, ThunkCause::Orphaned, registry).is_none();
    let named = terms.names.contains(&job.name);
    Ok(Facts {
        ordinal: job.ordinal,
        kind: job.id.kind,
        lane: job.asked_by.as_ref().map(|asked_by| asked_by.lane.clone()),
        state: job.state,
        next_attempt_at: job.next_attempt_at,
        deadline_at: job.deadline_at,
        held: job.held(),
        charged: job.charged,
        attempt_limit: job.attempt_limit,
        dependencies: dependencies(connection, job)?,
        // A thunk's slices were asked for when it was started.
        handled: named && (known || job.id.kind == JobKind::Thunk),
        known,
    })
}

fn dependencies(connection: &Connection, job: &Job) -> Result<Dependencies> {
    let mut dependencies = Dependencies::Done;
    for after in job.asked_by.iter().flat_map(|asked_by| &asked_by.after) {
        match rows::read_state_of(connection, *after)? {
            // Done so long ago that its row is gone.
            None | Some(JobState::Done) => {}
            Some(JobState::Dead | JobState::Dropped) => return Ok(Dependencies::Dead(after.to_string())),
            Some(_) => dependencies = Dependencies::Open,
        }
    }
    Ok(dependencies)
}

/// A slice whose action follows from such an end, and that is not registered here: then its end is another process's.
/// Of an effect all that may follow counts.
pub(super) fn unknown_slice<'a>(job: &'a Job, cause: ThunkCause, registry: &Registry) -> Option<&'a str> {
    let follow_ups = match job.id.kind {
        JobKind::Effect => job.follow_ups.ends(),
        JobKind::Thunk => [job.follow_ups.after(cause), None],
    };
    let slices = follow_ups.into_iter().flatten().filter_map(FollowUp::slice);
    slices.into_iter().find(|slice| !registry.knows_slice(slice))
}
