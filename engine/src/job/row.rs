//! A job, as the store and the rules know it, and its two faces: the effect and the thunk that an app sees.

use std::fmt;

use serde_json::Value;
use uuid::Uuid;

use super::{
    Effect, EffectId, EffectState, FollowUps, ThunkCause, ThunkId, ThunkInfo, ThunkState, lease::Held,
};
use crate::{ChangeHash, DocumentId, Error, Millis, Result};

/// What a job is to those who asked for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum JobKind {
    /// A request to the outside, sent by a handler.
    Effect,
    /// Work with an output, done by code that is registered under a name.
    Thunk,
}

impl JobKind {
    /// The word for it in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Effect => "effect",
            Self::Thunk => "thunk",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Effect, Self::Thunk].into_iter().find(|kind| kind.as_str() == text)
    }
}

/// Where a job stands. An effect shows it as it is, a thunk in its own words ([`ThunkState::of`]).
pub(crate) type JobState = EffectState;

/// The name of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct JobId {
    pub(crate) kind: JobKind,
    pub(crate) uuid: Uuid,
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uuid.fmt(f)
    }
}

impl From<EffectId> for JobId {
    fn from(id: EffectId) -> Self {
        Self { kind: JobKind::Effect, uuid: id.0 }
    }
}

impl From<ThunkId> for JobId {
    fn from(id: ThunkId) -> Self {
        Self { kind: JobKind::Thunk, uuid: id.0 }
    }
}

/// Whether the rollback of an effect is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RolledBack {
    /// It has one, which was not done.
    Owed,
    /// It was done.
    Done,
}

impl RolledBack {
    /// The word for it in the file.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Owed => "owed",
            Self::Done => "done",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Owed, Self::Done].into_iter().find(|state| state.as_str() == text)
    }
}

/// What only an effect has: the action that asked for it, and how it is sent.
#[derive(Debug, Clone)]
pub(crate) struct AskedBy {
    /// The change of the action, as it is spelled now.
    pub(crate) change: ChangeHash,
    pub(crate) action_type: Option<String>,
    pub(crate) action: Option<Value>,
    pub(crate) lane: String,
    /// How long one attempt may take.
    pub(crate) timeout: Millis,
    /// What has to be done before it.
    pub(crate) after: Vec<EffectId>,
    /// `None`: it has no rollback.
    pub(crate) rollback: Option<RolledBack>,
}

/// A job as it stands in the file.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its place among all jobs.
    pub(crate) ordinal: i64,
    pub(crate) id: JobId,
    /// Its place among those of its kind.
    pub(crate) position: u64,
    /// Which handler sends it, or which code runs it.
    pub(crate) name: String,
    /// An effect's coalescing key, a thunk's key.
    pub(crate) key: Option<String>,
    /// Where what follows from it goes.
    pub(crate) document: Option<DocumentId>,
    /// The request, or the argument.
    pub(crate) payload: Value,
    pub(crate) follow_ups: FollowUps,
    pub(crate) state: JobState,
    /// How often it was begun.
    pub(crate) attempts: u64,
    /// How many attempts failed: the next delay.
    pub(crate) failures: u64,
    /// How many of those count against the limit; of a thunk, how many processes died while they ran it.
    pub(crate) charged: u64,
    /// At so many it is given up.
    pub(crate) attempt_limit: u64,
    pub(crate) next_attempt_at: Option<Millis>,
    pub(crate) deadline_at: Option<Millis>,
    /// The lease: its name tells the process that has it.
    pub(crate) owner: Option<String>,
    pub(crate) lease_until: Option<Millis>,
    /// Why the last attempt failed; why there is no output.
    pub(crate) error: Option<String>,
    /// What came back: a reply, an output, what was returned as an error.
    pub(crate) outcome: Option<Value>,
    pub(crate) created_at: Millis,
    pub(crate) started_at: Option<Millis>,
    pub(crate) settled_at: Option<Millis>,
    /// The change that the action after it made.
    pub(crate) settled_change: Option<ChangeHash>,
    /// The later one that stands for it: coalesced, or superseded.
    pub(crate) replaced_by: Option<Uuid>,
    /// Why a thunk has no output, in kind.
    pub(crate) cause: Option<ThunkCause>,
    /// Why the action that follows a thunk was not done.
    pub(crate) follow_error: Option<String>,
    /// Of an effect.
    pub(crate) asked_by: Option<AskedBy>,
}

impl Job {
    /// One that waits, and of which nothing more is known yet.
    pub(crate) fn new(id: JobId, name: &str, payload: Value, now: Millis) -> Self {
        Self {
            ordinal: 0,
            id,
            position: 0,
            name: name.to_owned(),
            key: None,
            document: None,
            payload,
            follow_ups: FollowUps::default(),
            state: JobState::Waiting,
            attempts: 0,
            failures: 0,
            charged: 0,
            attempt_limit: 1,
            next_attempt_at: None,
            deadline_at: None,
            owner: None,
            lease_until: None,
            error: None,
            outcome: None,
            created_at: now,
            started_at: None,
            settled_at: None,
            settled_change: None,
            replaced_by: None,
            cause: None,
            follow_error: None,
            asked_by: None,
        }
    }

    /// How it is held, if it is: exactly while it is running.
    pub(crate) fn held(&self) -> Option<Held> {
        let running = self.state == JobState::Running;
        running.then(|| Held::by(self.owner.as_deref(), self.lease_until))
    }

    /// Whether this lease on it holds. One that ran out holds until somebody else takes the job.
    pub(crate) fn is_held_under(&self, lease: &str) -> bool {
        self.state == JobState::Running && self.owner.as_deref() == Some(lease)
    }

    /// Nobody holds it any more.
    pub(crate) fn release(&mut self) {
        (self.owner, self.lease_until) = (None, None);
        if self.state == JobState::Running {
            self.state = JobState::Waiting;
        }
    }

    /// Whether it must not be begun twice: a thunk with [`super::Orphan::Reject`].
    pub(crate) fn is_begun_once(&self) -> bool {
        self.id.kind == JobKind::Thunk && self.attempt_limit == 1
    }

    /// What an app sees of an effect.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for a job that is none.
    pub(crate) fn into_effect(self) -> Result<Effect> {
        let (Some(asked_by), Some(document)) = (self.asked_by, self.document) else {
            return Err(Error::Corrupt(format!("the job {} is no effect", self.id)));
        };
        Ok(Effect {
            position: self.position,
            id: EffectId(self.id.uuid),
            document,
            change: asked_by.change,
            action_type: asked_by.action_type,
            action: asked_by.action,
            kind: self.name,
            lane: asked_by.lane,
            request: self.payload,
            coalesce: self.key,
            after: asked_by.after,
            state: self.state,
            attempts: self.attempts,
            failures: self.failures,
            charged: self.charged,
            attempt_limit: self.attempt_limit,
            timeout: asked_by.timeout,
            created_at: self.created_at,
            next_attempt_at: self.next_attempt_at,
            deadline_at: self.deadline_at,
            last_error: self.error,
            outcome: self.outcome,
            settled_at: self.settled_at,
            settled_change: self.settled_change,
            replaced_by: self.replaced_by.map(EffectId),
        })
    }

    /// What an app sees of a thunk.
    pub(crate) fn into_thunk(self) -> ThunkInfo {
        let state = ThunkState::of(self.state);
        let returned = self.cause == Some(ThunkCause::Returned);
        let (result, rejection) = match state {
            ThunkState::Fulfilled => (self.outcome, None),
            _ if returned => (None, self.outcome),
            _ => (None, None),
        };
        ThunkInfo {
            position: self.position,
            id: ThunkId(self.id.uuid),
            name: self.name,
            key: self.key,
            document: self.document,
            argument: self.payload,
            state,
            running: self.owner.is_some(),
            attempts: self.attempts,
            result,
            error: self.error,
            cause: self.cause,
            rejection,
            follow_error: self.follow_error,
            created_at: self.created_at,
            started_at: self.started_at,
            settled_at: self.settled_at,
            settled_change: self.settled_change,
            superseded_by: self.replaced_by.map(ThunkId),
        }
    }
}
