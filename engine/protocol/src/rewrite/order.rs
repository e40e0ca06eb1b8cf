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
    let mut known: HashMap<ChangeHash, ()> = HashMap::new();
    for change in affected.filter(|change| !aliases.contains_key(&change.hash())) {
        if known.insert(change.hash(), ()).is_none() {
            kept.push(change);
        }
    }
    let order = topological(&kept, |hash| resolve(aliases, hash));
    if order.len() != kept.len() {
        return Err(RewriteError::Circle);
    }
    Ok(order.into_iter().map(|index| kept[index]).collect())
}

/// The places of these, dependencies first, otherwise as they came; `stands` says what a dependency is now.
/// Those in a circle are left out.
pub(super) fn topological(changes: &[&Change], stands: impl Fn(ChangeHash) -> ChangeHash) -> Vec<usize> {
    let by_hash: HashMap<ChangeHash, usize> =
        changes.iter().enumerate().map(|(index, change)| (change.hash(), index)).collect();
    let mut waiting: Vec<usize> = vec![0; changes.len()];
    let mut children: Vec<Vec<usize>> = vec![Vec::new(); changes.len()];
    for (index, change) in changes.iter().enumerate() {
        for dep in change.deps() {
            if let Some(dep) = by_hash.get(&stands(*dep)) {
                waiting[index] += 1;
                children[*dep].push(index);
            }
        }
    }
    let mut ready: BinaryHeap<Reverse<usize>> =
        waiting.iter().enumerate().filter(|(_, n)| **n == 0).map(|(i, _)| Reverse(i)).collect();
    let mut order = Vec::with_capacity(changes.len());
    while let Some(Reverse(index)) = ready.pop() {
        order.push(index);
        for child in &children[index] {
            waiting[*child] -= 1;
            if waiting[*child] == 0 {
                ready.push(Reverse(*child));
            }
        }
    }
    order
}
