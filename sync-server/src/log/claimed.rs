//! Changes that are proved to be others written again.

use automerge::Change;
use rejoin_protocol::rewrite::Claim;

/// A change out of which comes the one that it says it was.
#[derive(Debug)]
pub(crate) struct Claimed {
    pub(crate) change: Change,
    pub(crate) claim: Claim,
}

impl Claimed {
    /// What the change claims, unless that is false whatever it builds on. Takes as long as reading it once more.
    pub(crate) fn of(change: Change) -> Option<Self> {
        // Most messages say nothing of it, and reading JSON costs more than looking for the word.
        let claims = change.message().is_some_and(|text| text.contains("\"was\""));
        let claim = if claims { Claim::of(&change)? } else { return None };
        Some(Self { change, claim })
    }
}
