//! What an action asks for.

use std::time::Duration;

use serde_json::Value;

use super::{AskedBy, EffectId, FollowUp, FollowUps, Job, Rollback, RolledBack};
use crate::{ChangeHash, DocumentId, Error, Millis, Result};

/// An attempt that takes longer has failed, where the request says nothing else.
const TIMEOUT: Duration = Duration::from_secs(60);

/// An effect is given up after so many failed attempts, where the request says nothing else: about a day of a
/// receiver that answers, and fails.
const ATTEMPTS: u32 = 32;

/// The longest `kind`, lane and key, in bytes.
const NAME_BYTES: usize = 200;

/// The largest request, and the largest follow-up, in bytes of JSON.
const REQUEST_BYTES: usize = 1 << 20;

/// At most so many effects can be waited for.
const AFTER: usize = 100;

/// An effect that an action asks for, see [`crate::Store::dispatch_with`].
///
/// It has its id from the beginning, so that others can come [after](Self::after) it.
///
/// ```
/// use rejoin::effects::EffectRequest;
/// use serde_json::json;
/// let create = EffectRequest::new("http", json!({"method": "PUT", "url": "/notes/1", "body": {"title": "A"}}))
///     .lane("notes/1")
///     .coalesce("notes/1")
///     .roll_back_guarded();
/// let tell = EffectRequest::new("mail", json!({"to": "ben"})).after(create.id());
/// # let _ = tell;
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct EffectRequest {
    pub(crate) id: EffectId,
    pub(crate) kind: String,
    pub(crate) lane: Option<String>,
    pub(crate) request: Value,
    pub(crate) coalesce: Option<String>,
    pub(crate) after: Vec<EffectId>,
    pub(crate) deadline: Option<Duration>,
    pub(crate) timeout: Duration,
    pub(crate) attempt_limit: u32,
    pub(crate) commit: Option<FollowUp>,
    pub(crate) rollback: Option<Rollback>,
}

impl EffectRequest {
    /// An effect of this kind. `request` is for the handler; it is kept in the file as it is, so secrets do not
    /// belong there.
    pub fn new(kind: impl Into<String>, request: Value) -> Self {
        Self {
            id: EffectId::random(),
            kind: kind.into(),
            lane: None,
            request,
            coalesce: None,
            after: Vec::new(),
            deadline: None,
            timeout: TIMEOUT,
            attempt_limit: ATTEMPTS,
            commit: None,
            rollback: None,
        }
    }

    /// Its name, and the key under which every attempt is sent.
    pub fn id(&self) -> EffectId {
        self.id
    }

    /// With a name of the app's own choosing. A name that was used before is an error when it is dispatched.
    #[must_use]
    pub fn with_id(mut self, id: EffectId) -> Self {
        self.id = id;
        self
    }

    /// In this lane: first in, first out. Without one, the lane is the document's.
    #[must_use]
    pub fn lane(mut self, lane: impl Into<String>) -> Self {
        self.lane = Some(lane.into());
        self
    }

    /// It takes the place of the last effect in its lane that has this key and is not under way, done or settled:
    /// of many edits of one thing only the last is sent. An effect in between, or one that comes after the other,
    /// is a barrier: then both are sent. What was replaced is shown as dropped; it is rolled back with this one.
    #[must_use]
    pub fn coalesce(mut self, key: impl Into<String>) -> Self {
        self.coalesce = Some(key.into());
        self
    }

    /// It is sent when this one is done. When that one is refused or dropped, this one dies with it.
    #[must_use]
    pub fn after(mut self, effect: EffectId) -> Self {
        self.after.push(effect);
        self
    }

    /// It is given up when this time has passed since it was asked for, by the wall clock. None by default.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// An attempt that takes longer has failed. 60 s by default.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// It is given up after so many failed attempts; 32 by default. Attempts that reached nobody, and those that
    /// were asked to come back later, do not count: being offline kills nothing.
    #[must_use]
    pub fn attempt_limit(mut self, limit: u32) -> Self {
        self.attempt_limit = limit.max(1);
        self
    }

    /// Dispatched to the document when it is done.
    #[must_use]
    pub fn commit(mut self, action: impl Into<FollowUp>) -> Self {
        self.commit = Some(action.into());
        self
    }

    /// Dispatched to the document when it is refused for good or given up.
    #[must_use]
    pub fn roll_back(mut self, action: impl Into<FollowUp>) -> Self {
        self.rollback = Some(Rollback::Action(action.into()));
        self
    }

    /// When it is refused for good or given up, what the action wrote is taken back where it still stands.
    #[must_use]
    pub fn roll_back_guarded(mut self) -> Self {
        self.rollback = Some(Rollback::Guarded);
        self
    }

    /// The job that it is, asked for by this action of a document.
    pub(crate) fn job(
        &self,
        (document, change): (DocumentId, ChangeHash),
        (action_type, action): (&str, &Value),
        now: Millis,
    ) -> Job {
        let mut job = Job::new(self.id.into(), &self.kind, self.request.clone(), now);
        job.key = self.coalesce.clone();
        job.document = Some(document);
        job.follow_ups =
            FollowUps { done: self.commit.clone(), dead: self.rollback.clone(), ..FollowUps::default() };
        job.attempt_limit = u64::from(self.attempt_limit);
        job.deadline_at = self.deadline.map(|deadline| now.saturating_add(millis(deadline)));
        job.asked_by = Some(AskedBy {
            change,
            action_type: Some(action_type.to_owned()),
            action: Some(action.clone()),
            lane: self.lane.clone().unwrap_or_else(|| document.to_string()),
            timeout: millis(self.timeout).max(1),
            after: self.after.clone(),
            rollback: self.rollback.as_ref().map(|_| RolledBack::Owed),
        });
        job
    }

    /// What can be checked without the store.
    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |what: String| Err(Error::InvalidEffect(what));
        let names =
            [("kind", Some(&self.kind)), ("lane", self.lane.as_ref()), ("key", self.coalesce.as_ref())];
        for (what, name) in names {
            if let Some(name) = name.filter(|n| n.is_empty() || n.len() > NAME_BYTES) {
                return wrong(format!(
                    "its {what} has {} bytes, and 1 to {NAME_BYTES} are possible",
                    name.len()
                ));
            }
        }
        let follow = self.rollback.as_ref().and_then(Rollback::action);
        for (what, follow) in [("commit action", self.commit.as_ref()), ("rollback action", follow)] {
            if let Some(problem) = follow.and_then(FollowUp::problem) {
                return wrong(format!("its {what} {problem}"));
            }
            let size = follow.map_or(0, |f| json_bytes(&serde_json::to_value(f).unwrap_or_default()));
            if size > REQUEST_BYTES {
                return wrong(format!("its {what} has {size} bytes, and {REQUEST_BYTES} are possible"));
            }
        }
        let size = json_bytes(&self.request);
        if size > REQUEST_BYTES {
            return wrong(format!("its request has {size} bytes, and {REQUEST_BYTES} are possible"));
        }
        if self.after.len() > AFTER || self.after.contains(&self.id) {
            return wrong(format!("it comes after itself, or after more than {AFTER} others"));
        }
        Ok(())
    }
}

fn json_bytes(value: &Value) -> usize {
    value.to_string().len()
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}
