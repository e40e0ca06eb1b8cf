//! Why the fence refuses a change.

use std::fmt;

use automerge::ChangeHash;
use serde::{Deserialize, Serialize};

/// Why a change was not taken, in a word that stays (PROTOCOL.md: What is rejected).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum RefusalCode {
    /// Cannot be read as a change.
    Malformed,
    /// The checksum does not fit the bytes.
    Checksum,
    /// A document or bundle chunk.
    NotAChange,
    /// Larger than a change may be.
    TooLarge,
    /// More operations than a change may have.
    TooManyOperations,
    /// A dependency is not in the log.
    MissingDependency,
    /// The same actor and sequence number as another change.
    ActorFork,
    /// A time, an operation counter or a sequence number that no honest change has.
    OutOfRange,
    /// With it the document would have more heads than it may have.
    TooManyHeads,
    /// It is the first of its actor, and the document has as many actors as it may have.
    TooManyActors,
    /// A word that this release does not know: the change is refused all the same.
    #[serde(other)]
    Unknown,
}

impl RefusalCode {
    /// The word itself, as it goes over HTTP.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Checksum => "checksum",
            Self::NotAChange => "not-a-change",
            Self::TooLarge => "too-large",
            Self::TooManyOperations => "too-many-operations",
            Self::MissingDependency => "missing-dependency",
            Self::ActorFork => "actor-fork",
            Self::OutOfRange => "out-of-range",
            Self::TooManyHeads => "too-many-heads",
            Self::TooManyActors => "too-many-actors",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for RefusalCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One change that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Refusal {
    /// Its computed hash; `None` where it could not be read that far.
    pub hash: Option<ChangeHash>,
    /// Why.
    pub code: RefusalCode,
    /// Why, in a sentence.
    pub detail: String,
    /// For [`RefusalCode::MissingDependency`]: which.
    pub missing: Vec<ChangeHash>,
}

impl Refusal {
    /// One that names no hash yet: see [`Self::of`].
    pub(crate) fn new(code: RefusalCode, detail: impl Into<String>) -> Self {
        Self { hash: None, code, detail: detail.into(), missing: Vec::new() }
    }

    /// The same, with the hash of the change that it speaks of.
    pub(crate) fn of(self, hash: ChangeHash) -> Self {
        Self { hash: Some(hash), ..self }
    }

    pub(crate) fn out_of_range(detail: impl Into<String>) -> Self {
        Self::new(RefusalCode::OutOfRange, detail)
    }

    pub(crate) fn malformed(detail: impl Into<String>) -> Self {
        Self::new(RefusalCode::Malformed, detail)
    }
}
