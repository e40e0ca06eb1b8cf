//! Which change comes before which, when some stand for others.

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, HashMap},
};

use automerge::{Change, ChangeHash};

use super::{Alias, RewriteError};

/// What stands for a dependency, through aliases of aliases.
pub(super) fn resolve(aliases: &HashMap<ChangeHash, Alias<'_>>, mut hash: ChangeHash) -> ChangeHash {
    for _ in 0..=aliases.len() {
        match aliases.get(&hash) {
            Some(alias) => hash = alias.stands_for.hash(),
            None => break,
        }
    }
    hash
}

/// The changes with dependencies first, those that go through an alias left out. Otherwise as they came.
pub(super) fn order<'a>(
    affected: impl Iterator<Item = &'a Change>,
    aliases: &HashMap<ChangeHash, Alias<'a>>,
) -> Result<Vec<&'a Change>, RewriteError> {
    let mut kept: Vec<&Change> = Vec::new();
    let mut by_hash: HashMap<ChangeHash, usize> = HashMap::new();
    for change in affected.filter(|change| !aliases.contains_key(&change.hash())) {
        by_hash.entry(change.hash()).or_insert_with(|| {
            kept.push(change);
            kept.len() - 1
        });
    }
    let mut waiting: Vec<usize> = vec![0; kept.len()];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); kept.len()];
    for (index, change) in kept.iter().enumerate() {
        for dep in change.deps() {
            if let Some(dep) = by_hash.get(&resolve(aliases, *dep)) {
                waiting[index] += 1;
                children[*dep].push(index);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| Reverse(i)).collect();
    let mut order = Vec::with_capacity(kept.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(kept[index]);
        for child in &children[index] {
            waiting[*child] -= 1;
            if waiting[*child] == 0 {
                ready.push(Reverse(*child));
            }
        }
    }
    if order.len() == kept.len() { Ok(order) } else { Err(RewriteError::Circle) }
}
