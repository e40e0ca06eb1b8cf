//! What was made of logs by long reading, kept for the next look, within a budget of bytes.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
};

use super::{
    Digest,
    brought::Brought,
    pack::{Pack, PackRow},
};

/// Default budget, in bytes as estimated: some thirty packs of small changes.
const BUDGET: usize = 24 * 1024 * 1024;
/// The same for what was counted of who brought what: some thousand documents.
const BROUGHT_BUDGET: usize = 1024 * 1024;

/// Decoded packs, and the index of each document's packs. What is asked for by its digest can never be stale: two
/// packs that end in one digest hold the same changes.
#[derive(Debug)]
pub(crate) struct PackCache {
    packs: Mutex<Lru<(i64, u64, Digest), Arc<Pack>>>,
    indexes: Mutex<Lru<i64, Arc<PackIndex>>>,
    brought: Mutex<Lru<i64, Arc<Brought>>>,
}

impl Default for PackCache {
    fn default() -> Self {
        Self {
            packs: Mutex::new(Lru::new(BUDGET * 2 / 3)),
            indexes: Mutex::new(Lru::new(BUDGET / 3)),
            brought: Mutex::new(Lru::new(BROUGHT_BUDGET)),
        }
    }
}

impl PackCache {
    pub(super) fn pack(&self, key: &(i64, u64, Digest)) -> Option<Arc<Pack>> {
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).get(key)
    }

    pub(super) fn put_pack(&self, key: (i64, u64, Digest), pack: &Arc<Pack>) {
        let weight = pack.weight();
        self.packs.lock().unwrap_or_else(PoisonError::into_inner).put(key, Arc::clone(pack), weight);
    }

    pub(super) fn index(&self, document: i64) -> Option<Arc<PackIndex>> {
        self.indexes.lock().unwrap_or_else(PoisonError::into_inner).get(&document)
    }

    pub(super) fn put_index(&self, document: i64, index: &Arc<PackIndex>) {
        let weight = index.0.iter().map(|(_, prefixes)| 64 + 4 * prefixes.len()).sum();
        let mut indexes = self.indexes.lock().unwrap_or_else(PoisonError::into_inner);
        indexes.put(document, Arc::clone(index), weight);
    }

    pub(super) fn brought(&self, document: i64) -> Option<Arc<Brought>> {
        self.brought.lock().unwrap_or_else(PoisonError::into_inner).get(&document)
    }

    pub(super) fn put_brought(&self, document: i64, brought: &Arc<Brought>) {
        let mut all = self.brought.lock().unwrap_or_else(PoisonError::into_inner);
        all.put(document, Arc::clone(brought), brought.weight());
    }
}

/// The sorted prefixes of each pack of a document, oldest pack first.
#[derive(Debug)]
pub(super) struct PackIndex(pub(super) Vec<(PackRow, Arc<[u32]>)>);

/// What was not asked for longest goes first.
#[derive(Debug)]
struct Lru<K, V> {
    budget: usize,
    used: usize,
    clock: u64,
    entries: HashMap<K, Entry<V>>,
}

#[derive(Debug)]
struct Entry<V> {
    asked: u64,
    weight: usize,
    value: V,
}

impl<K: Eq + Hash + Copy, V: Clone> Lru<K, V> {
    fn new(budget: usize) -> Self {
        Self { budget, used: 0, clock: 0, entries: HashMap::new() }
    }

    fn get(&mut self, key: &K) -> Option<V> {
        self.clock += 1;
        let entry = self.entries.get_mut(key)?;
        entry.asked = self.clock;
        Some(entry.value.clone())
    }

    fn put(&mut self, key: K, value: V, weight: usize) {
        self.remove(&key);
        if weight > self.budget {
            return;
        }
        while self.used + weight > self.budget {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.asked).map(|(key, _)| *key);
            let Some(oldest) = oldest else { break };
            self.remove(&oldest);
        }
        self.clock += 1;
        self.used += weight;
        self.entries.insert(key, Entry { asked: self.clock, weight, value });
    }

    fn remove(&mut self, key: &K) {
        if let Some(entry) = self.entries.remove(key) {
            self.used -= entry.weight;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Lru;

    #[test]
    fn what_was_not_asked_for_longest_goes_first_and_the_budget_holds() {
        let mut lru = Lru::new(100);
        lru.put(1, 'a', 40);
        lru.put(2, 'b', 40);
        assert_eq!(lru.get(&1), Some('a'));
        lru.put(3, 'c', 40);
        assert_eq!((lru.get(&1), lru.get(&2), lru.get(&3)), (Some('a'), None, Some('c')));
        lru.put(3, 'd', 10);
        assert_eq!((lru.get(&3), lru.used), (Some('d'), 50));
        lru.put(4, 'e', 101);
        assert_eq!((lru.get(&4), lru.used), (None, 50), "what never fits is not kept");
    }
}
