//! Why bytes are no pack, or cannot be made one.

use crate::fence::Refusal;

/// Why a pack was not made or not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PackError {
    /// To be packed was something else than plain change chunks with good checksums, as [`crate::fence::check`] gives
    /// them.
    #[error("only plain changes with good checksums can be packed, and number {0} is not one")]
    NotPlain(usize),
    /// What is no pack, or a damaged one.
    #[error("the pack cannot be read: {0}")]
    Malformed(String),
    /// More than the limit that is named.
    #[error("the pack is larger than the limit of {limit} {what}")]
    TooLarge {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl PackError {
    pub(super) fn malformed(why: impl Into<String>) -> Self {
        Self::Malformed(why.into())
    }
}

impl From<Refusal> for PackError {
    fn from(refusal: Refusal) -> Self {
        Self::Malformed(refusal.detail)
    }
}
