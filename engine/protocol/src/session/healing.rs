//! Healing: the server did not know the cursor, or this store holds changes that no cursor speaks of. What the
//! server lacks is found out and offered; then its cursor is taken, or its log read from the beginning.

use std::collections::{HashSet, VecDeque};

use crate::{ChangeHash, Cursor};

use super::{HealWalk, facts::HealNode, types::Millis};

/// The longest time over which the offers of many clients are spread, in milliseconds.
const LONGEST_SPREAD: Millis = 30_000;

/// Where one healing stands. It may vanish at any time: the store still says `healing`, and the walk begins again.
#[derive(Debug)]
pub(super) struct Healing {
    walk: HealWalk,
    stage: Stage,
    /// What the server lacks and has not been offered yet, dependencies first.
    owed: VecDeque<(i64, ChangeHash)>,
    /// What the server refused for good, so that what depends on it is not taken for lost.
    refused: HashSet<ChangeHash>,
    /// Others may heal the same document at the same time: a server lost its log.
    crowd: bool,
}

#[derive(Debug)]
enum Stage {
    /// Finding out what the server lacks.
    Walking,
    /// Asking again which of the next ones it still lacks: others may have offered them meanwhile.
    Asking,
    /// Offering the next ones.
    Offering,
    /// All is offered: asking for heads and cursor.
    Closing,
    /// The server holds what it will hold; its heads and the cursor that goes with them.
    Closed(Vec<ChangeHash>, Option<Cursor>),
}

/// What healing does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HealMove {
    Ask(Vec<ChangeHash>),
    /// Push the first of these, as many as fit.
    Offer(Vec<i64>),
    Close(Vec<ChangeHash>, Option<Cursor>),
}

impl Healing {
    pub(super) fn new(nodes: Vec<HealNode>, crowd: bool) -> Self {
        let walk = HealWalk::new(nodes);
        // A store without live changes has nothing to offer: it reads the log from the beginning.
        let stage = if walk.is_empty() { Stage::Closed(Vec::new(), None) } else { Stage::Walking };
        Self { walk, stage, owed: VecDeque::new(), refused: HashSet::new(), crowd }
    }

    /// The next move; the same one again until it is answered. At most `count` changes are offered at once.
    pub(super) fn next(&mut self, count: usize) -> HealMove {
        let ahead = || self.owed.iter().take(count.max(1));
        match &self.stage {
            Stage::Walking => HealMove::Ask(self.walk.question().unwrap_or_default()),
            Stage::Asking => HealMove::Ask(ahead().map(|o| o.1).collect()),
            Stage::Offering => HealMove::Offer(ahead().map(|o| o.0).collect()),
            Stage::Closing => HealMove::Ask(self.walk.heads()),
            Stage::Closed(heads, cursor) => HealMove::Close(heads.clone(), cursor.clone()),
        }
    }

    /// Takes the answer to a question. The milliseconds are the window of a random wait that comes before the
    /// next move. `None`: the server lacks what it was given: the walk is to begin again.
    pub(super) fn answered(
        &mut self,
        asked: &[ChangeHash],
        missing: &HashSet<ChangeHash>,
        (heads, cursor): (Vec<ChangeHash>, Option<Cursor>),
    ) -> Option<Millis> {
        match self.stage {
            Stage::Walking => {
                if heads.is_empty() {
                    // Its log is empty: no need to walk.
                    self.walk.answer_all_missing();
                } else {
                    self.walk.answer(missing);
                }
                if self.walk.question().is_some() {
                    return Some(0);
                }
                self.owed = self.walk.missing().into();
                Some(self.end_walk(heads, cursor))
            }
            Stage::Asking => {
                let asked: HashSet<_> = asked.iter().collect();
                self.owed.retain(|(_, hash)| !asked.contains(hash) || missing.contains(hash));
                let still = self.owed.front().is_some_and(|(_, hash)| asked.contains(hash));
                self.stage = match (still, self.owed.is_empty()) {
                    (true, _) => Stage::Offering,
                    (false, false) => Stage::Asking,
                    (false, true) => Stage::Closing,
                };
                Some(0)
            }
            Stage::Closing if !missing.is_subset(&self.refused) => None,
            Stage::Closing | Stage::Offering | Stage::Closed(..) => {
                self.stage = Stage::Closed(heads, cursor);
                Some(0)
            }
        }
    }

    fn end_walk(&mut self, heads: Vec<ChangeHash>, cursor: Option<Cursor>) -> Millis {
        if self.owed.is_empty() {
            self.stage = Stage::Closed(heads, cursor);
            return 0;
        }
        if !self.crowd {
            self.stage = Stage::Offering;
            return 0;
        }
        // "When everyone heals at once: full jitter first, and `missing` asked again before each batch." Over a
        // millisecond a change: what could be sent twice for nothing, and nothing to wait for when it is little.
        self.stage = Stage::Asking;
        Millis::try_from(self.owed.len()).unwrap_or(LONGEST_SPREAD).min(LONGEST_SPREAD)
    }

    /// These were offered and answered; what the server refused for good is named.
    pub(super) fn offered(&mut self, carried: &[ChangeHash], refused: impl IntoIterator<Item = ChangeHash>) {
        let carried: HashSet<_> = carried.iter().collect();
        self.owed.retain(|(_, hash)| !carried.contains(hash));
        self.refused.extend(refused);
        self.stage = match (self.owed.is_empty(), self.crowd) {
            (true, _) => Stage::Closing,
            (false, true) => Stage::Asking,
            (false, false) => Stage::Offering,
        };
    }

    /// These are not here any more (written again, dropped): they are not offered.
    pub(super) fn gone(&mut self, rows: &[i64]) {
        let rows: HashSet<_> = rows.iter().collect();
        self.owed.retain(|(id, _)| !rows.contains(id));
        if self.owed.is_empty() {
            self.stage = Stage::Closing;
        }
    }

    /// This token may not write: nothing is offered.
    pub(super) fn only_read(&mut self) {
        self.refused.extend(self.owed.drain(..).map(|(_, hash)| hash));
        self.stage = Stage::Closing;
    }

    /// Whether the server refused this one for good in this healing.
    pub(super) fn was_refused(&self, hash: &ChangeHash) -> bool {
        self.refused.contains(hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(n: u32) -> ChangeHash {
        let mut bytes = [0_u8; 32];
        bytes[..4].copy_from_slice(&n.to_be_bytes());
        ChangeHash(bytes)
    }

    fn chain(n: u32) -> Vec<HealNode> {
        let deps = |i: u32| if i == 0 { vec![] } else { vec![i - 1] };
        (0..n).map(|i| HealNode { id: i64::from(i), hash: hash(i), deps: deps(i) }).collect()
    }

    fn end() -> (Vec<ChangeHash>, Option<Cursor>) {
        (vec![hash(0)], Cursor::parse("9.ff"))
    }

    #[test]
    fn nothing_missing_closes_with_the_first_answer() {
        let mut healing = Healing::new(chain(10), true);
        let HealMove::Ask(asked) = healing.next(100) else { panic!() };
        assert_eq!(asked, [hash(9)]);
        assert_eq!(healing.answered(&asked, &HashSet::new(), end()), Some(0));
        assert_eq!(healing.next(100), HealMove::Close(end().0, end().1));
    }

    #[test]
    fn an_empty_store_reads_from_the_beginning() {
        assert_eq!(Healing::new(vec![], true).next(9), HealMove::Close(vec![], None));
    }

    #[test]
    fn an_empty_log_is_not_walked() {
        let mut healing = Healing::new(chain(5_000), false);
        let HealMove::Ask(asked) = healing.next(100) else { panic!() };
        healing.answered(&asked, &asked.iter().copied().collect(), (vec![], None));
        assert_eq!(healing.next(3), HealMove::Offer(vec![0, 1, 2]));
    }

    #[test]
    fn a_crowd_waits_a_random_time_and_asks_again_before_each_batch() {
        let mut healing = Healing::new(chain(10), true);
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        let wait = healing.answered(&asked, &HashSet::from([hash(9)]), (vec![], None));
        assert_eq!(wait, Some(10), "a window that grows with what could be sent twice");
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        assert_eq!(asked, (0..4).map(hash).collect::<Vec<_>>());
        // Others offered 0 to 2 meanwhile.
        healing.answered(&asked, &HashSet::from([hash(3)]), end());
        assert_eq!(healing.next(4), HealMove::Offer(vec![3, 4, 5, 6]));
        healing.offered(&[hash(3), hash(4), hash(5), hash(6)], []);
        assert_eq!(healing.next(4), HealMove::Ask(vec![hash(7), hash(8), hash(9)]));
        let asked = [hash(7), hash(8), hash(9)];
        healing.answered(&asked, &HashSet::new(), end());
        assert_eq!(healing.next(4), HealMove::Ask(vec![hash(9)]), "all is there: heads and cursor");
        healing.answered(&[hash(9)], &HashSet::new(), end());
        assert_eq!(healing.next(4), HealMove::Close(end().0, end().1));
    }

    #[test]
    fn the_spread_is_at_most_thirty_seconds() {
        let mut healing = Healing::new(chain(50_000), true);
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        assert_eq!(healing.answered(&asked, &HashSet::new(), (vec![], None)), Some(30_000));
    }

    #[test]
    fn a_server_that_still_lacks_what_it_was_given_is_walked_again() {
        let mut healing = Healing::new(chain(1), false);
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        healing.answered(&asked, &HashSet::from([hash(0)]), (vec![], None));
        healing.offered(&[hash(0)], []);
        assert_eq!(healing.answered(&[hash(0)], &HashSet::from([hash(0)]), end()), None);
    }

    #[test]
    fn what_was_refused_for_good_does_not_keep_healing_open() {
        let mut healing = Healing::new(chain(1), false);
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        healing.answered(&asked, &HashSet::from([hash(0)]), (vec![], None));
        healing.offered(&[hash(0)], [hash(0)]);
        assert_eq!(healing.answered(&[hash(0)], &HashSet::from([hash(0)]), end()), Some(0));
        assert!(matches!(healing.next(4), HealMove::Close(..)));
    }

    #[test]
    fn a_reader_heals_without_offering() {
        let mut healing = Healing::new(chain(3), false);
        let HealMove::Ask(asked) = healing.next(4) else { panic!() };
        healing.answered(&asked, &HashSet::from([hash(2)]), (vec![], None));
        healing.only_read();
        assert_eq!(healing.next(4), HealMove::Ask(vec![hash(2)]));
        healing.answered(&[hash(2)], &HashSet::from([hash(2)]), end());
        assert!(matches!(healing.next(4), HealMove::Close(..)));
    }
}
