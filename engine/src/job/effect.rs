//! An effect as it is shown, and its name.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::{ChangeHash, DocumentId, Millis};

/// The name of an effect: a random UUID, and the `Idempotency-Key` of every attempt to send it.
///
/// ```
/// use rejoin::effects::EffectId;
/// let id = EffectId::random();
/// assert_eq!(id.to_string().parse::<EffectId>().unwrap(), id);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EffectId(pub(crate) Uuid);

impl EffectId {
    /// A new random one (UUID version 4).
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }

    /// The one with these 16 bytes: for an app that derives the key from something of its own.
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is no UUID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not the id of an effect")]
pub struct InvalidEffectId(pub String);

impl FromStr for EffectId {
    type Err = InvalidEffectId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Uuid::try_parse(text).map(Self).map_err(|_| InvalidEffectId(text.to_owned()))
    }
}

/// Where an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum EffectState {
    /// To be sent, at once or at its next time.
    Waiting,
    /// Being sent by a process that holds the lease on it.
    Running,
    /// The receiver wants other credentials: it waits for [`crate::Store::release_held_effects`].
    Held,
    /// Done; its commit action is recorded.
    Done,
    /// A dead letter: refused for good or given up. It stays until it is sent again or dropped.
    Dead,
    /// Taken off by a person, or replaced by a later one of the same coalescing key.
    Dropped,
}

impl EffectState {
    /// The word for it, as in the SQL view.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Held => "held",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Dropped => "dropped",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let all = [Self::Waiting, Self::Running, Self::Held, Self::Done, Self::Dead, Self::Dropped];
        all.into_iter().find(|state| state.as_str() == text)
    }

    /// Nothing more happens to it by itself.
    pub const fn is_settled(self) -> bool {
        matches!(self, Self::Done | Self::Dead | Self::Dropped)
    }
}

impl fmt::Display for EffectState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One effect, as a list shows it and as its handler gets it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Effect {
    /// Its place in the order in which effects were asked for: 1 for the first of the store.
    pub position: u64,
    /// Its name, and the key under which every attempt is sent.
    pub id: EffectId,
    /// The document of the action that asked for it.
    pub document: DocumentId,
    /// The change of that action, as it is spelled now.
    pub change: ChangeHash,
    /// The type of that action.
    pub action_type: Option<String>,
    /// That action.
    pub action: Option<Value>,
    /// Which handler sends it.
    pub kind: String,
    /// The lane it goes in.
    pub lane: String,
    /// What is to be done, in the handler's terms.
    pub request: Value,
    /// Its coalescing key.
    pub coalesce: Option<String>,
    /// What has to be done before it.
    pub after: Vec<EffectId>,
    /// Where it stands.
    pub state: EffectState,
    /// How often sending it began, the attempt that is under way included.
    pub attempts: u64,
    /// How many attempts failed since it was made, or sent again by a person.
    pub failures: u64,
    /// How many of those count against the limit: nobody reached, and "come back later", do not.
    pub charged: u64,
    /// At so many it is given up.
    pub attempt_limit: u64,
    /// How long one attempt may take, in milliseconds.
    pub timeout: Millis,
    /// When it was asked for.
    pub created_at: Millis,
    /// When it is tried next; `None` for at once.
    pub next_attempt_at: Option<Millis>,
    /// When it is given up, sent or not.
    pub deadline_at: Option<Millis>,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// What came back.
    pub outcome: Option<Value>,
    /// When it was done, refused, given up or dropped.
    pub settled_at: Option<Millis>,
    /// The change that its commit action or its rollback made.
    pub settled_change: Option<ChangeHash>,
    /// The effect that stands for it, where it was coalesced.
    pub replaced_by: Option<EffectId>,
}
