//! A thunk as it is shown, and its name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use super::JobState;
use crate::{ChangeHash, DocumentId, Millis};

/// The name of one start of a thunk: a random UUID, the same in every attempt and in every process.
///
/// ```
/// use rejoin::work::ThunkId;
/// let id = ThunkId::random();
/// assert_eq!(id.to_string().parse::<ThunkId>().unwrap(), id);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ThunkId(pub(crate) Uuid);

impl ThunkId {
    /// A new random one (UUID version 4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}

impl fmt::Display for ThunkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of a thunk")]
pub struct InvalidThunkId(pub String);

impl FromStr for ThunkId {
    type Err = InvalidThunkId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidThunkId(text.to_owned()))
    }
}

/// Where a thunk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ThunkState {
    /// Started: it waits for a process that can run it, or is being run.
    Pending,
    /// It ended with a result.
    Fulfilled,
    /// It ended with an error, a panic or a deadline; or its process died, and it is none to be resumed.
    Rejected,
    /// It was aborted, or a later one of the same key took its place.
    Aborted,
}

impl ThunkState {
    /// The word for it, as in the SQL view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Fulfilled => "fulfilled",
            Self::Rejected => "rejected",
            Self::Aborted => "aborted",
        }
    }

    /// How a thunk shows where its job stands.
    pub(crate) const fn of(state: JobState) -> Self {
        match state {
            JobState::Waiting | JobState::Running | JobState::Held => Self::Pending,
            JobState::Done => Self::Fulfilled,
            JobState::Dead => Self::Rejected,
            JobState::Dropped => Self::Aborted,
        }
    }

    /// Nothing more happens to it.
    pub const fn is_settled(self) -> bool {
        !matches!(self, Self::Pending)
    }
}

impl fmt::Display for ThunkState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a thunk gave no output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ThunkCause {
    /// It returned an error.
    Returned,
    /// It panicked.
    Panicked,
    /// It did not end within [`crate::work::Thunk::DEADLINE`].
    TimedOut,
    /// Its argument could not be read, or what it gave not be written or was too large.
    Unreadable,
    /// Its process died or stopped before it ended, and it is not run again.
    Orphaned,
    /// Somebody aborted it.
    Aborted,
    /// A later one of the same key took its place.
    Superseded,
}

impl ThunkCause {
    const ALL: [Self; 7] = [
        Self::Returned,
        Self::Panicked,
        Self::TimedOut,
        Self::Unreadable,
        Self::Orphaned,
        Self::Aborted,
        Self::Superseded,
    ];

    /// The word for it, as in the SQL view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Returned => "returned",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Unreadable => "unreadable",
            Self::Orphaned => "orphaned",
            Self::Aborted => "aborted",
            Self::Superseded => "superseded",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|cause| cause.as_str() == text)
    }

    /// How the job of a thunk stands that ended so.
    pub(crate) const fn job_state(self) -> JobState {
        match self {
            Self::Aborted | Self::Superseded => JobState::Dropped,
            _ => JobState::Dead,
        }
    }

    /// How a thunk stands that ended so.
    pub const fn state(self) -> ThunkState {
        ThunkState::of(self.job_state())
    }
}

impl fmt::Display for ThunkCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A thunk that gave no output.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{why}")]
#[non_exhaustive]
pub struct ThunkFailure {
    /// Why, in kind.
    pub cause: ThunkCause,
    /// Why, in words.
    pub why: String,
    /// What it returned as its error, as JSON.
    pub returned: Option<Value>,
}

impl ThunkFailure {
    /// For another reason than an error that it returned.
    pub fn new(cause: ThunkCause, why: impl Into<String>) -> Self {
        Self { cause, why: why.into(), returned: None }
    }

    /// It returned this error. A text says it by itself, anything else as JSON.
    pub fn returned(error: Value) -> Self {
        let why = error.as_str().map_or_else(|| error.to_string(), str::to_owned);
        Self { cause: ThunkCause::Returned, why, returned: Some(error) }
    }
}

/// What becomes of a thunk whose process died while it ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Orphan {
    /// It is run again from its beginning, by whichever process comes first: for work that may be done twice.
    #[default]
    Resume,
    /// It is rejected: for work that must not be begun twice. Also when its runner is told to stop and it does not
    /// end within the grace.
    Reject,
}

/// A thunk that may be resumed is rejected when so many processes died while they ran it: or one that kills its
/// process would kill processes for ever.
const DEATHS: u64 = 5;

impl Orphan {
    /// After so many deaths it is given up.
    pub(crate) const fn attempt_limit(self) -> u64 {
        match self {
            Self::Resume => DEATHS,
            Self::Reject => 1,
        }
    }
}

/// One thunk, as a list shows it, and as events tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ThunkInfo {
    /// Its place in the order of starts: 1 for the first of the store.
    pub position: u64,
    /// Its name.
    pub id: ThunkId,
    /// Which code runs it.
    pub name: String,
    /// Of several with one name and key only the latest counts.
    pub key: Option<String>,
    /// The document that its actions go to.
    pub document: Option<DocumentId>,
    /// What it was started with.
    pub argument: Value,
    /// Where it stands.
    pub state: ThunkState,
    /// Some process runs it, or died while it did.
    pub running: bool,
    /// How often it was begun.
    pub attempts: u64,
    /// What it gave.
    pub result: Option<Value>,
    /// Why it was rejected or aborted, in words: of an error that it returned the text alone, or its JSON.
    pub error: Option<String>,
    /// Why it was rejected or aborted, in kind.
    pub cause: Option<ThunkCause>,
    /// What it returned as its error.
    pub rejection: Option<Value>,
    /// Why the action that follows its end was not done: a reducer or middleware that rejected it, say.
    pub follow_error: Option<String>,
    /// When it was started.
    pub created_at: Millis,
    /// When it was last begun.
    pub started_at: Option<Millis>,
    /// When it was settled.
    pub settled_at: Option<Millis>,
    /// The change that the action after it made.
    pub settled_change: Option<ChangeHash>,
    /// The later one with its name and key.
    pub superseded_by: Option<ThunkId>,
}
