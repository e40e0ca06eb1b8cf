//! How far the counters of operations may run ahead of what a change was made on.

use super::{Refusal, anatomy::dissect, chunk};
use crate::planted::{Bug, is_planted};

/// How many counters may be passed over, all together, on the way to a change.
///
/// A change begins to count one above all that it depends on, so an honest one passes over nothing. Only what is
/// written again after `queue drop` does: it keeps its counters, and those of the dropped change are missing below
/// them. Sixteen million is room for 160 drops of the largest change that there can be.
///
/// It is a sum over the ancestors, and not an allowance for each change, because the counters of a document end at
/// 2^32: a chain of a few thousand changes would climb there if each might leap. So counters are never more than this
/// above the operations of the longest chain of changes, and whoever wants to use them up has to push four thousand
/// million operations. A change that passes over nothing is never refused for what its ancestors did.
pub const SLACK: u64 = 1 << 24;

/// How far a change and its ancestors have counted. It follows from them alone, so every replica knows the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// The highest counter of an operation.
    pub last: u64,
    /// How many counters were passed over on the way, where most were.
    pub slack: u64,
}

impl Reach {
    /// That of the changes that were made on nothing but what `start_op` and `operations` say.
    pub fn plain(start_op: u64, operations: u64) -> Self {
        Self { last: start_op.saturating_add(operations).saturating_sub(1), slack: 0 }
    }

    /// [`Reach::plain`] of a plain chunk.
    ///
    /// # Errors
    /// Where it is no change.
    pub fn of_chunk(bytes: &[u8]) -> Result<Self, Refusal> {
        match chunk::frame(bytes)?.as_slice() {
            [only] => {
                let parts = dissect(only.body)?;
                Ok(Self::plain(parts.start_op, parts.operations))
            }
            several => Err(Refusal::malformed(format!("{} chunks where one belongs", several.len()))),
        }
    }

    /// That of two changes together.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { last: self.last.max(other.last), slack: self.slack.max(other.slack) }
    }

    /// That of a change which was made on this. Its own says where it ends, also where it has no operations.
    #[must_use]
    pub fn then(self, own: Self, start_op: u64) -> Self {
        let passed_over = start_op.saturating_sub(self.last.saturating_add(1));
        Self { last: self.last.max(own.last), slack: self.slack.saturating_add(passed_over) }
    }

    /// Refuses a change that begins to count at `start_op` and was made on `before`: where it counts again what was
    /// counted (the library cannot write such a document down), or passes over counters where there is no more slack.
    ///
    /// # Errors
    /// `out-of-range`.
    pub fn check(self, before: Self, start_op: u64) -> Result<(), Refusal> {
        if is_planted(Bug::NumbersUnbounded) {
            return Ok(());
        }
        if start_op <= before.last {
            return Err(Refusal::out_of_range(format!(
                "its operations begin at {start_op}, and what it depends on has counted to {}",
                before.last
            )));
        }
        if self.slack <= SLACK || self.slack == before.slack {
            return Ok(());
        }
        Err(Refusal::out_of_range(format!(
            "its operations begin {} counters above those that it depends on, and with what these passed over \
             that is more than {SLACK}",
            self.slack - before.slack
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(before: Reach, start_op: u64, operations: u64) -> Result<Reach, Refusal> {
        let now = before.then(Reach::plain(start_op, operations), start_op);
        now.check(before, start_op).map(|()| now)
    }

    #[test]
    fn who_passes_over_nothing_is_never_refused_for_what_others_did() {
        let far = next(Reach::default(), SLACK + 1, 1).unwrap();
        assert_eq!(far, Reach { last: SLACK + 1, slack: SLACK });
        let after = next(far, SLACK + 2, 100).unwrap();
        assert_eq!(after, Reach { last: SLACK + 101, slack: SLACK });
        assert!(next(after, SLACK + 103, 1).is_err(), "one counter is passed over");
        let beside = next(Reach::default(), 1, 5).unwrap();
        assert!(next(after.and(beside), SLACK + 102, 1).is_ok());
    }

    #[test]
    fn a_chain_of_leaps_does_not_climb() {
        let (mut reach, mut climbed) = (Reach::default(), 0);
        while let Ok(higher) = next(reach, reach.last + 1_000_000, 1) {
            (reach, climbed) = (higher, climbed + 1);
        }
        assert_eq!(climbed, SLACK / 999_999);
        assert!(reach.last <= SLACK + climbed);
    }

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let far = next(Reach::default(), 1_000, 1).unwrap();
        assert!(next(far, 5, 1).is_err());
        assert!(next(far, 1_000, 1).is_err());
        let merge = next(far, 1_001, 0).unwrap();
        assert_eq!(merge.last, 1_000, "a change without operations counts nothing");
        assert!(next(merge, 1_000, 0).is_err());
        assert_eq!(next(merge, 1_001, 1).unwrap(), Reach { last: 1_001, slack: 999 });
    }
}
