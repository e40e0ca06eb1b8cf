//! Looking at effects, sending them again, dropping them.

use super::{super::Core, lease::unknown_slice, rows, settle::Ending};
use crate::{
    Error, Result,
    job::{Effect, EffectId, Job, JobKind, JobState, ThunkCause},
};

/// The shortest prefix of an id that names an effect, in characters.
const SHORTEST_PREFIX: usize = 4;

/// What dropping an effect does.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
#[non_exhaustive]
pub struct EffectDrop {
    /// The effect.
    pub dropped: Effect,
    /// Those that come after it: they become dead letters, and are rolled back.
    pub dependants: Vec<Effect>,
}

impl Core {
    /// All effects that are kept, in the order in which they were asked for: what waits and what is dead, and the
    /// newest thousand of those that are done and of those that were dropped.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn effects(&mut self) -> Result<Vec<Effect>> {
        rows::read_all(&self.connection, JobKind::Effect)?.into_iter().map(Job::into_effect).collect()
    }

    /// One effect, by its position, its id or the beginning of it (4 characters or more).
    ///
    /// # Errors
    /// [`Error::UnknownEffect`] when none or several answer to it.
    pub fn effect(&mut self, id: &str) -> Result<Effect> {
        self.find_effect(id)?.into_effect()
    }

    fn find_effect(&self, id: &str) -> Result<Job> {
        // A short number is a position; a prefix of digits alone would be longer than any list.
        if let Ok(position) = id.parse()
            && let Some(job) = rows::read_position(&self.connection, position)?
        {
            return Ok(job);
        }
        let prefix = id.to_ascii_lowercase();
        let mut found = rows::read_prefix(&self.connection, &prefix)?;
        match (found.pop(), found.pop()) {
            (Some(job), None) if prefix.len() >= SHORTEST_PREFIX => Ok(job),
            _ => Err(Error::UnknownEffect(id.to_owned())),
        }
    }

    /// Sends an effect now: one that waits at once, one that is held or dead again, with those dead ones that it
    /// comes after, under the same keys. Returns how many that are. A dead letter has its attempts anew and no
    /// deadline; what its rollback took back stays taken back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done or was dropped.
    pub fn retry_effect(&mut self, id: &str) -> Result<u64> {
        let job = self.find_effect(id)?;
        self.write(&[], |w| {
            let mut again = vec![EffectId(job.id.uuid)];
            let mut count = 0;
            while let Some(id) = again.pop() {
                let job = rows::read_one(w.tx, id)?.ok_or_else(|| Error::UnknownEffect(id.to_string()))?;
                match job.state {
                    JobState::Running => continue,
                    JobState::Done | JobState::Dropped => {
                        return Err(Error::EffectSettled { id: id.to_string(), state: job.state });
                    }
                    _ => {}
                }
                for after in job.asked_by.iter().flat_map(|asked_by| &asked_by.after) {
                    if rows::read_state_of(w.tx, *after)?
                        .is_some_and(|s| matches!(s, JobState::Dead | JobState::Dropped))
                    {
                        again.push(*after);
                    }
                }
                count += 1;
                w.write_job(&made_anew(job))?;
            }
            w.asked += count;
            Ok(count)
        })
    }

    /// What dropping this effect would do. Changes nothing.
    ///
    /// # Errors
    /// As [`Core::drop_effect`].
    pub fn plan_effect_drop(&mut self, id: &str) -> Result<EffectDrop> {
        let job = self.find_effect(id)?;
        droppable(&job)?;
        let mut dependants: Vec<Effect> = Vec::new();
        let mut stack = vec![EffectId(job.id.uuid)];
        while let Some(id) = stack.pop() {
            for dependant in rows::read_dependants(&self.connection, id)? {
                let open = rows::read_one(&self.connection, dependant)?.filter(|job| !job.state.is_settled());
                if let Some(job) = open.filter(|job| dependants.iter().all(|d| d.id.0 != job.id.uuid)) {
                    stack.push(EffectId(job.id.uuid));
                    dependants.push(job.into_effect()?);
                }
            }
        }
        Ok(EffectDrop { dropped: job.into_effect()?, dependants })
    }

    /// Takes an effect off: it is not sent any more. What its action wrote stays, unless `roll_back`. Those that
    /// come after it become dead letters, and are rolled back.
    ///
    /// # Errors
    /// [`Error::UnknownEffect`]; [`Error::EffectSettled`] for one that is done, was dropped, or is being sent;
    /// [`Error::UnknownSlice`] when its rollback is an action of a slice that is not registered here.
    pub fn drop_effect(&mut self, id: &str, roll_back: bool) -> Result<EffectDrop> {
        let plan = self.plan_effect_drop(id)?;
        self.write(&[], |w| {
            let id = plan.dropped.id;
            let job = rows::read_one(w.tx, id)?.ok_or_else(|| Error::UnknownEffect(id.to_string()))?;
            droppable(&job)?;
            if let Some(slice) = unknown_slice(&job, ThunkCause::Orphaned, w.registry).filter(|_| roll_back) {
                return Err(Error::UnknownSlice(slice.to_owned()));
            }
            w.end_job(job, Ending::dropped(roll_back))
        })?;
        Ok(plan)
    }

    /// Sends again what was held for want of credentials: to be called when there are new ones. Returns how many.
    ///
    /// # Errors
    /// The file's.
    pub fn release_held_effects(&mut self) -> Result<u64> {
        self.bring_forward(JobState::Held)
    }

    /// Sends now what waits for its next time: to be called when there is a connection again. Returns how many. A watch
    /// does it by itself, for what reached nobody, when its server answers again.
    ///
    /// # Errors
    /// The file's.
    pub fn hurry_effects(&mut self) -> Result<u64> {
        self.bring_forward(JobState::Waiting)
    }

    /// Sends now what waits because its last attempt reached nobody. What a receiver asked to wait for is waited for.
    /// Returns how many.
    ///
    /// # Errors
    /// The file's.
    pub fn hurry_unreached_effects(&mut self) -> Result<u64> {
        self.bring(JobState::Waiting, rows::bring_unreached_forward)
    }

    fn bring_forward(&mut self, state: JobState) -> Result<u64> {
        self.bring(state, |tx| rows::bring_forward(tx, state))
    }

    fn bring(
        &mut self,
        state: JobState,
        forward: impl FnOnce(&rusqlite::Connection) -> Result<u64>,
    ) -> Result<u64> {
        if !rows::is_any(&self.connection, state)? {
            return Ok(0);
        }
        self.write(&[], |w| {
            let count = forward(w.tx)?;
            w.asked += count;
            Ok(count)
        })
    }

    /// Woken when something about effects changed: asked for, settled, sent again.
    pub fn effect_signal(&self) -> tokio::sync::watch::Receiver<u64> {
        self.asked.subscribe()
    }
}

fn droppable(job: &Job) -> Result<()> {
    match job.state {
        JobState::Waiting | JobState::Held | JobState::Dead => Ok(()),
        state => Err(Error::EffectSettled { id: EffectId(job.id.uuid).to_string(), state }),
    }
}

/// As it was when it was asked for, but for what is known of the attempts.
fn made_anew(mut job: Job) -> Job {
    if job.state == JobState::Dead {
        (job.failures, job.charged, job.deadline_at) = (0, 0, None);
        (job.settled_at, job.outcome) = (None, None);
    }
    job.state = JobState::Waiting;
    job.next_attempt_at = None;
    job
}
