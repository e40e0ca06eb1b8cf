//! What the changes of a log depend on.

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::ChangeHash;

use super::source::Source;
use rejoin_protocol::fence;

/// What the changes of a log depend on.
#[derive(Debug, Default)]
pub(super) struct Graph {
    /// Hash and dependencies, by position.
    changes: BTreeMap<u64, (ChangeHash, Vec<ChangeHash>)>,
}

impl Graph {
    /// Of a log up to a position. What is no change is left out.
    pub(super) fn read<S: Source>(source: &mut S, upto: u64) -> Result<Self, S::Error> {
        let (mut graph, mut after) = (Self::default(), 0);
        while after < upto {
            let batch = source.batch(after, upto)?;
            let Some((last, _)) = batch.last() else { break };
            after = *last;
            for (position, bytes) in &batch {
                let frames = fence::frame(bytes).unwrap_or_default();
                if let [only] = frames.as_slice()
                    && let Ok(linked) = fence::hash_and_dependencies(only)
                {
                    graph.changes.insert(*position, linked);
                }
            }
        }
        Ok(graph)
    }

    pub(super) fn hash(&self, position: u64) -> Option<ChangeHash> {
        self.changes.get(&position).map(|(hash, _)| *hash)
    }

    /// The positions before this one of what it was not made on, ascending.
    pub(super) fn beside(&self, position: u64) -> impl Iterator<Item = u64> {
        let places: HashMap<ChangeHash, u64> =
            self.changes.iter().map(|(at, (hash, _))| (*hash, *at)).collect();
        let mut ancestors = HashSet::from([position]);
        for (at, (_, deps)) in self.changes.range(..=position).rev() {
            if ancestors.contains(at) {
                ancestors.extend(deps.iter().filter_map(|dep| places.get(dep)));
            }
        }
        let before: Vec<u64> = self.changes.range(..position).map(|(at, _)| *at).collect();
        before.into_iter().filter(move |at| !ancestors.contains(at))
    }
}
