//! Documents that are kept for the next task.

use std::collections::HashMap;

use super::merged::Merged;

/// A document, and which history of it.
pub(super) type Key = (i64, i64);

/// Merged documents for the next question, within a budget of bytes; the one not asked for longest goes first.
#[derive(Debug)]
pub(super) struct Cache {
    budget: usize,
    used: usize,
    clock: u64,
    entries: HashMap<Key, (u64, Merged)>,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        Self { budget, used: 0, clock: 0, entries: HashMap::new() }
    }

    /// Bytes in use, as estimated.
    pub(super) fn used(&self) -> usize {
        self.used
    }

    /// Takes one out, to be put back when it is as new as the log.
    pub(super) fn take(&mut self, document: Key) -> Option<Merged> {
        let (_, merged) = self.entries.remove(&document)?;
        self.used -= merged.weight();
        Some(merged)
    }

    /// Keeps one, if it fits at all. Of two that were made at once the newer stays.
    pub(super) fn put(&mut self, document: Key, merged: Merged) {
        if let Some(other) = self.take(document)
            && other.position > merged.position
        {
            return self.put(document, other);
        }
        let weight = merged.weight();
        if weight > self.budget {
            return;
        }
        while self.used + weight > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, (asked, _))| *asked).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.take(oldest);
        }
        self.clock += 1;
        self.used += weight;
        self.entries.insert(document, (self.clock, merged));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use automerge::{ActorId, ROOT, transaction::Transactable};

    use super::*;

    fn merged(position: u64) -> Merged {
        Merged { position, ..Merged::empty(BTreeSet::new()) }
    }

    #[test]
    fn actors_weigh_beside_bytes() {
        let weight = |actors: u32| {
            let mut merged = merged(1);
            for nth in 0..320_u32 {
                let name = (nth % actors).to_be_bytes().to_vec();
                let mut tx = merged.document.set_actor(ActorId::from(name)).transaction();
                tx.put(ROOT, "key", nth).unwrap();
                tx.commit();
            }
            merged.weight()
        };
        assert_eq!(weight(320) - weight(1), 319 * 320 / 4);
    }

    #[test]
    fn the_document_not_asked_for_longest_goes_first() {
        let weight = merged(1).weight();
        let mut cache = Cache::new(2 * weight);
        cache.put((1, 0), merged(1));
        cache.put((2, 0), merged(1));
        let one = cache.take((1, 0)).unwrap();
        cache.put((1, 0), one);
        cache.put((3, 0), merged(1));
        assert_eq!((cache.take((2, 0)).is_none(), cache.take((1, 0)).is_some()), (true, true));
        assert!(cache.take((3, 0)).is_some());
        assert_eq!(cache.used, 0);
        let mut small = Cache::new(weight - 1);
        small.put((1, 0), merged(1));
        assert!(small.take((1, 0)).is_none());
    }

    #[test]
    fn the_newer_of_two_stays() {
        let mut cache = Cache::new(usize::MAX);
        cache.put((1, 0), merged(5));
        cache.put((1, 0), merged(4));
        assert_eq!(cache.take((1, 0)).unwrap().position, 5);
    }
}
