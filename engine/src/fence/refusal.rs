use automerge::ChangeHash;
use serde::{Deserialize, Serialize};

/// Why a change was not taken, in a word that stays (CONTRACT: HTTP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
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
}

/// One change that was not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
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
