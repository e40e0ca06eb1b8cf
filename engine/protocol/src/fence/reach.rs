//! How far the counters of operations may run ahead of what a change was made on.

use super::{Refusal, anatomy::dissect, chunk};
use crate::planted::{Bug, is_planted};

/// How many counters all changes together may pass over, on the way to one of them.
///
/// A change begins to count one above all that it depends on, so an honest one passes over nothing. Only what is
/// written again after `queue drop` does: it keeps its counters, and those of the dropped change are missing below
/// them.
///
/// It is a sum over the ancestors, and not an allowance for each change, because the counters of a document end at
/// 2^32: a chain of a few thousand changes would climb there if each might leap. So counters are never more than this
/// above the operations of the longest chain of changes, and whoever wants to use them up has to push two thousand
/// million operations. A change that passes over nothing is never refused for what its ancestors did.
pub const SLACK: u64 = 1 << 31;

/// Each actor may pass over one of so many parts of what is left of [`SLACK`].
///
/// Half a million to begin with: room for five drops of the largest change that there can be. It is a part of what is
/// left, so that nobody uses up what others need. Ten thousand actors that each take all they may leave the next one
/// forty thousand, and each actor counts against the limit of actors of a document.
pub const SHARES: u64 = 1 << 12;

/// How far a change and its ancestors have counted. It follows from them alone, so every replica knows the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reach {
    /// The highest counter of an operation.
    pub last: u64,
    /// How many counters were passed over on the way, where most were.
    pub slack: u64,
    /// How many of these its own actor passed over, in this change and those before it.
    pub own: u64,
}

impl Reach {
    /// That of the changes that were made on nothing but what `start_op` and `operations` say.
    pub fn plain(start_op: u64, operations: u64) -> Self {
        Self { last: start_op.saturating_add(operations).saturating_sub(1), slack: 0, own: 0 }
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
            several => Err(Refusal::malformed(format!(
                "there are {} chunks where one change was expected",
                several.len()
            ))),
        }
    }

    /// That of a change's dependencies together. Of its actor it says nothing.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { last: self.last.max(other.last), slack: self.slack.max(other.slack), own: 0 }
    }

    /// The same, for a change of an actor whose change before it has this reach.
    #[must_use]
    pub fn after(self, previous: Option<Self>) -> Self {
        Self { own: previous.map_or(0, |previous| previous.own), ..self }
    }

    /// That of a change which was made on this. Its plain one says where it ends, also where it has no operations.
    #[must_use]
    pub fn then(self, plain: Self, start_op: u64) -> Self {
        let passed_over = start_op.saturating_sub(self.last.saturating_add(1));
        Self {
            last: self.last.max(plain.last),
            slack: self.slack.saturating_add(passed_over),
            own: self.own.saturating_add(passed_over),
        }
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
                "the change counts its operations from {start_op}, and the changes on which it depends have counted to {}",
                before.last
            )));
        }
        let passed_over = self.own - before.own.min(self.own);
        let most = SLACK.saturating_sub(before.slack) / SHARES;
        if passed_over == 0 || self.own <= most {
            return Ok(());
        }
        Err(Refusal::out_of_range(format!(
            "the change skips {passed_over} operation counters, and its actor may skip {most} in all. Only a large \
             change that was dropped from a queue leaves such a gap: drop this one too, and make it again"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOST: u64 = SLACK / SHARES;

    fn next(before: Reach, start_op: u64, operations: u64) -> Result<Reach, Refusal> {
        let now = before.then(Reach::plain(start_op, operations), start_op);
        now.check(before, start_op).map(|()| now)
    }

    /// By an actor who made nothing before.
    fn newcomer(before: Reach, start_op: u64) -> Result<Reach, Refusal> {
        next(before.after(None), start_op, 1)
    }

    #[test]
    fn who_passes_over_nothing_is_never_refused_for_what_others_did() {
        let far = next(Reach::default(), MOST + 1, 1).unwrap();
        assert_eq!(far, Reach { last: MOST + 1, slack: MOST, own: MOST });
        let after = next(far, MOST + 2, 100).unwrap();
        assert_eq!(after, Reach { last: MOST + 101, slack: MOST, own: MOST });
        assert!(next(after, MOST + 103, 1).is_err(), "one counter is passed over");
        let beside = next(Reach::default(), 1, 5).unwrap();
        assert!(newcomer(after.and(beside), MOST + 102).is_ok());
    }

    #[test]
    fn nobody_uses_up_what_another_may_pass_over() {
        let mut reach = Reach::default();
        for _ in 0..10_000 {
            let most = (SLACK - reach.slack) / SHARES;
            reach = newcomer(reach, reach.last + 1 + most).unwrap();
            assert!(newcomer(reach, reach.last + 2 + most).is_err());
        }
        assert!(newcomer(reach, reach.last + 40_000).is_ok(), "{} are left", SLACK - reach.slack);
        assert!(reach.last < 1 << 31);
    }

    #[test]
    fn a_chain_of_leaps_does_not_climb() {
        let (mut reach, mut climbed) = (Reach::default(), 0);
        while let Ok(higher) = next(reach, reach.last + 10_001, 1) {
            (reach, climbed) = (higher, climbed + 1);
        }
        assert_eq!(climbed, MOST / 10_000);
        assert!(reach.last <= MOST + climbed);
    }

    #[test]
    fn what_was_counted_is_not_counted_again() {
        let far = next(Reach::default(), 1_000, 1).unwrap();
        assert!(next(far, 5, 1).is_err());
        assert!(next(far, 1_000, 1).is_err());
        let merge = next(far, 1_001, 0).unwrap();
        assert_eq!(merge.last, 1_000, "a change without operations counts nothing");
        assert!(next(merge, 1_000, 0).is_err());
        assert_eq!(next(merge, 1_001, 1).unwrap(), Reach { last: 1_001, slack: 999, own: 999 });
    }
}
