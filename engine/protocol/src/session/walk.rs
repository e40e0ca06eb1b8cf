//! Which changes the server lacks: the walk from the heads back to what it holds.

use std::collections::VecDeque;

use crate::ChangeHash;

use super::facts::HealNode;

/// How many hashes the first question after the heads holds, and the largest one.
const FIRST_PAGE: usize = 1_000;
const LARGEST_PAGE: usize = 32_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Known {
    Nothing,
    Asked,
    /// The server holds it, and so every ancestor of it: its fence takes no change before its dependencies.
    Held,
    Missing,
}

/// Asks for the heads, then for the ancestors of those that are missing, nearest first, in pages that double,
/// until no ancestor of a missing one is unasked.
#[derive(Debug)]
pub struct HealWalk {
    nodes: Vec<HealNode>,
    known: Vec<Known>,
    /// Whether a node was ever put into `frontier`.
    reached: Vec<bool>,
    frontier: VecDeque<u32>,
    heads: Vec<u32>,
    page: Vec<u32>,
    /// Questions asked so far.
    asked: u32,
}

impl HealWalk {
    /// A walk over all live changes of a document, oldest first.
    pub fn new(nodes: Vec<HealNode>) -> Self {
        let mut is_dependency = vec![false; nodes.len()];
        for dep in nodes.iter().flat_map(|n| &n.deps) {
            if let Some(flag) = is_dependency.get_mut(*dep as usize) {
                *flag = true;
            }
        }
        let heads: Vec<u32> = (0_u32..).zip(&is_dependency).filter(|(_, d)| !**d).map(|(i, _)| i).collect();
        let mut reached = vec![false; nodes.len()];
        for head in &heads {
            mark(&mut reached, *head);
        }
        Self {
            known: vec![Known::Nothing; nodes.len()],
            frontier: heads.iter().copied().rev().collect(),
            reached,
            heads,
            nodes,
            page: Vec::new(),
            asked: 0,
        }
    }

    /// The hashes to ask for next; `None` when everything is known. Asked again without an answer, it gives
    /// the same page.
    pub fn question(&mut self) -> Option<Vec<ChangeHash>> {
        if self.page.is_empty() {
            self.turn_page();
        }
        let hashes: Vec<_> =
            self.page.iter().filter_map(|i| Some(self.nodes.get(*i as usize)?.hash)).collect();
        (!hashes.is_empty()).then_some(hashes)
    }

    fn turn_page(&mut self) {
        // The heads alone come first: most often the server lacks little or nothing, and then nothing more
        // is asked than needed.
        let size = match self.asked {
            0 => self.heads.len().clamp(1, LARGEST_PAGE),
            n => FIRST_PAGE.saturating_mul(1 << (n - 1).min(16)).min(LARGEST_PAGE),
        };
        while self.page.len() < size
            && let Some(next) = self.frontier.pop_front()
        {
            if self.known_of(next) != Known::Nothing {
                continue;
            }
            self.set(next, Known::Asked);
            self.page.push(next);
            for dep in self.deps_of(next) {
                if mark(&mut self.reached, dep) {
                    self.frontier.push_back(dep);
                }
            }
        }
    }

    /// Takes the answer to the last question: those of its hashes that the server lacks.
    pub fn answer(&mut self, missing: &std::collections::HashSet<ChangeHash>) {
        let page = std::mem::take(&mut self.page);
        self.asked += 1;
        for index in page {
            match self.nodes.get(index as usize) {
                Some(node) if missing.contains(&node.hash) => self.set(index, Known::Missing),
                _ => self.hold(index),
            }
        }
    }

    /// The server has no such document: it lacks everything.
    pub fn answer_all_missing(&mut self) {
        self.page.clear();
        self.frontier.clear();
        self.known.fill(Known::Missing);
    }

    /// The server holds this one, and so everything it was made on.
    fn hold(&mut self, index: u32) {
        let mut stack = vec![index];
        while let Some(next) = stack.pop() {
            if self.known_of(next) == Known::Held {
                continue;
            }
            self.set(next, Known::Held);
            stack.extend(self.deps_of(next).into_iter().filter(|d| self.known_of(*d) != Known::Held));
        }
    }

    /// What the server lacks, dependencies first.
    pub fn missing(&self) -> Vec<(i64, ChangeHash)> {
        let both = self.nodes.iter().zip(&self.known);
        both.filter(|(_, known)| **known == Known::Missing).map(|(node, _)| (node.id, node.hash)).collect()
    }

    /// The heads of what is held here, at most as many as one question takes.
    pub fn heads(&self) -> Vec<ChangeHash> {
        self.heads.iter().filter_map(|i| Some(self.nodes.get(*i as usize)?.hash)).take(LARGEST_PAGE).collect()
    }

    /// Whether there is nothing to walk over.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    fn known_of(&self, index: u32) -> Known {
        // An index outside the list can only come from a damaged store: there is nothing to offer for it.
        self.known.get(index as usize).copied().unwrap_or(Known::Held)
    }

    fn set(&mut self, index: u32, known: Known) {
        if let Some(slot) = self.known.get_mut(index as usize) {
            *slot = known;
        }
    }

    fn deps_of(&self, index: u32) -> Vec<u32> {
        self.nodes.get(index as usize).map(|n| n.deps.clone()).unwrap_or_default()
    }
}

/// Sets a flag; true if it was not set before.
fn mark(flags: &mut [bool], index: u32) -> bool {
    flags.get_mut(index as usize).is_some_and(|flag| !std::mem::replace(flag, true))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    fn hash(n: usize) -> ChangeHash {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&(n as u64).to_be_bytes());
        ChangeHash(bytes)
    }

    fn graph(deps: &[Vec<u32>]) -> Vec<HealNode> {
        let node =
            |(i, deps): (usize, &Vec<u32>)| HealNode { id: i as i64 + 1, hash: hash(i), deps: deps.clone() };
        deps.iter().enumerate().map(node).collect()
    }

    fn chain(n: u32) -> Vec<HealNode> {
        graph(&(0..n).map(|i| if i == 0 { vec![] } else { vec![i - 1] }).collect::<Vec<_>>())
    }

    /// Walks against a server that holds `held`; gives the sizes of the questions and what was found missing.
    fn run(nodes: Vec<HealNode>, held: &HashSet<ChangeHash>) -> (Vec<usize>, Vec<i64>) {
        let mut walk = HealWalk::new(nodes);
        let mut sizes = Vec::new();
        while let Some(question) = walk.question() {
            assert_eq!(
                walk.question().as_ref(),
                Some(&question),
                "a question without an answer is asked again"
            );
            sizes.push(question.len());
            walk.answer(&question.into_iter().filter(|h| !held.contains(h)).collect());
        }
        (sizes, walk.missing().into_iter().map(|m| m.0).collect())
    }

    #[test]
    fn a_server_that_lacks_nothing_is_asked_once_for_the_heads() {
        let held = (0..100_000).map(hash).collect();
        assert_eq!(run(chain(100_000), &held), (vec![1], vec![]));
    }

    #[test]
    fn a_server_that_lacks_the_last_ten_of_a_hundred_thousand_is_asked_twice() {
        let held = (0..99_990).map(hash).collect();
        let (sizes, missing) = run(chain(100_000), &held);
        assert_eq!(sizes, [1, 1_000]);
        assert_eq!(missing, (99_991..=100_000).collect::<Vec<i64>>());
    }

    #[test]
    fn pages_double_up_to_the_largest() {
        let (sizes, missing) = run(chain(100_000), &HashSet::new());
        assert_eq!(sizes, [1, 1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 32_000, 4_999]);
        assert_eq!(missing.len(), 100_000);
    }

    #[test]
    fn a_document_that_the_server_does_not_know_is_missing_whole() {
        let mut walk = HealWalk::new(chain(5_000));
        assert!(walk.question().is_some());
        walk.answer_all_missing();
        assert_eq!(walk.question(), None);
        assert_eq!(walk.missing().len(), 5_000);
    }

    #[test]
    fn only_the_branch_that_is_missing_is_walked() {
        // 0 is the root; odd ones are one branch, even ones the other, 2,000 each.
        let deps: Vec<Vec<u32>> =
            (0..4_001_u32).map(|i| if i == 0 { vec![] } else { vec![i.saturating_sub(2)] }).collect();
        let held: HashSet<_> = (0..4_001).filter(|i| i % 2 == 0).map(hash).collect();
        let (sizes, missing) = run(graph(&deps), &held);
        assert_eq!(missing.len(), 2_000);
        assert_eq!(sizes, [2, 1_000, 999]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
        #[test]
        fn what_is_found_is_exactly_what_is_missing(
            raw in proptest::collection::vec(proptest::collection::vec(0_u32..10_000, 0..4), 1..300),
            heads_held in proptest::collection::vec(0_usize..300, 0..6),
        ) {
            let deps: Vec<Vec<u32>> = raw.iter().enumerate()
                .map(|(i, d)| if i == 0 { vec![] } else { d.iter().map(|x| x % i as u32).collect() }).collect();
            // What a server can hold is closed under dependencies.
            let mut held = HashSet::new();
            let mut stack: Vec<usize> = heads_held.into_iter().filter(|i| *i < deps.len()).collect();
            while let Some(i) = stack.pop() {
                if held.insert(hash(i)) { stack.extend(deps[i].iter().map(|d| *d as usize)); }
            }
            let (_, missing) = run(graph(&deps), &held);
            let wanted: Vec<i64> = (0..deps.len()).filter(|i| !held.contains(&hash(*i))).map(|i| i as i64 + 1).collect();
            prop_assert_eq!(missing, wanted);
        }
    }
}
