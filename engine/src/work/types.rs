//! Names, and what is shown.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

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
pub struct ThunkId(Uuid);

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

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Fulfilled, Self::Rejected, Self::Aborted];
        all.into_iter().find(|state| state.as_str() == text)
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

impl Orphan {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Resume => "resume",
            Self::Reject => "reject",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Resume, Self::Reject].into_iter().find(|orphan| orphan.as_str() == text)
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
    /// Why it was rejected or aborted; of a fulfilled one, why the action after it failed.
    pub error: Option<String>,
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

/// How far a listener has heard one document.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ListenerInfo {
    /// The listener.
    pub name: String,
    /// The document. Its local-only slices are counted by themselves: then the document is listed twice.
    pub document: DocumentId,
    /// Everything up to this position of the document was heard, or is not for this listener.
    pub position: u64,
    /// The document's newest position.
    pub last: u64,
    /// It failed too often on the action after its position, and waits for [`crate::Store::resume_listener`] or
    /// [`crate::Store::skip_listener`].
    pub parked: bool,
    /// Some process hears it now, or died while it did.
    pub running: bool,
    /// How often it failed on the action after its position.
    pub attempts: u64,
    /// Why it last failed.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Millis>,
}
