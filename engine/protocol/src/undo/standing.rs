//! Which operation stands for which: an undo writes what it puts back by operations of its own.

use std::collections::{BTreeMap, HashMap};

use automerge::{Automerge, ChangeHash};
use serde_json::Value;

use super::{Copy, OpId, Plan};
use crate::{Message, untrusted::guarded};

/// The most runs that an undo's message names. What it puts back beyond that is new to later undos.
const MOST_RUNS: usize = 2_000;

/// What was put back, and what it was: operations of an undo that stand for older ones.
#[derive(Debug, Clone, Default)]
pub struct Standing {
    first: HashMap<OpId, OpId>,
    copies: HashMap<OpId, Vec<OpId>>,
}

impl Standing {
    /// Notes that one operation stands for another. Older undos must be noted first.
    pub fn note(&mut self, new: OpId, old: &OpId) {
        let first = self.first(old);
        if first != new {
            self.copies.entry(first.clone()).or_default().push(new.clone());
            self.first.insert(new, first);
        }
    }

    /// What it stands for in the end; itself, where it stands for nothing.
    pub fn first(&self, id: &OpId) -> OpId {
        self.first.get(id).unwrap_or(id).clone()
    }

    /// What stood for it, oldest first.
    pub fn copies(&self, first: &OpId) -> &[OpId] {
        self.copies.get(first).map_or(&[], Vec::as_slice)
    }
}

/// A run of operations in an undo that stand for a run in another change, by their places in both: so that it
/// stays true when a change is written again under another actor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restored {
    /// The place of the first in the undo, from 0.
    pub at: u64,
    /// How many.
    pub len: u64,
    /// The place of the first in the other change, from 0.
    pub from: u64,
}

/// The runs by the change that they stand for: under the hash that it was first made with.
pub type RestoredMap = BTreeMap<String, Vec<Restored>>;

/// Where the operations that a plan puts back are in the history.
#[derive(Debug, Default)]
pub struct Origins {
    /// The changes, under the hashes that they were first made with.
    changes: Vec<String>,
    /// Which of these changes, and the place in it.
    places: HashMap<OpId, (usize, u64)>,
}

impl Origins {
    /// Looks them up, before the plan is done.
    pub fn of(am: &Automerge, plan: &Plan) -> Self {
        Self::of_each(am, |enter| plan.each_copy(enter))
    }

    /// As [`Origins::of`], of one value.
    pub fn of_copy(am: &Automerge, copy: &Copy) -> Self {
        Self::of_each(am, |enter| copy.each(enter))
    }

    fn of_each(am: &Automerge, walk: impl FnOnce(&mut dyn FnMut(&Copy))) -> Self {
        let mut starts: HashMap<ChangeHash, Option<(usize, u64)>> = HashMap::new();
        let mut origins = Self::default();
        let mut enter = |of: &OpId| {
            let Some(hash) = am.hash_for_opid(&super::exid(of)) else { return };
            let start = starts.entry(hash).or_insert_with(|| {
                let (key, start) = key_and_start(am, &hash)?;
                origins.changes.push(key);
                Some((origins.changes.len() - 1, start))
            });
            if let Some((change, start)) = start
                && let Some(from) = of.0.checked_sub(*start)
            {
                origins.places.insert(of.clone(), (*change, from));
            }
        };
        walk(&mut |copy| enter(&copy.of));
        origins
    }

    /// Puts what [`super::apply`] gave into runs.
    pub fn encode(&self, written: &[(u64, OpId)]) -> RestoredMap {
        let mut map = RestoredMap::new();
        let mut runs = 0;
        for (at, old) in written {
            let Some((change, from)) = self.places.get(old) else { continue };
            let Some(key) = self.changes.get(*change) else { continue };
            if let Some(run) = map.get_mut(key).and_then(|list: &mut Vec<Restored>| list.last_mut())
                && run.at + run.len == *at
                && run.from + run.len == *from
            {
                run.len += 1;
            } else if runs < MOST_RUNS {
                runs += 1;
                map.entry(key.clone()).or_default().push(Restored { at: *at, len: 1, from: *from });
            }
        }
        map
    }
}

/// The hash that a change was first made with, and its first operation's counter.
fn key_and_start(am: &Automerge, hash: &ChangeHash) -> Option<(String, u64)> {
    let meta = guarded(|| am.get_change_meta_by_hash(hash)).ok()??;
    let was = Message::decode(meta.message.as_deref()).was();
    Some((was.unwrap_or(*hash).to_string(), meta.start_op))
}

/// The JSON of the runs for a message: for each change a flat list of (at, length, from). None where there are none.
pub fn restored_json(map: &RestoredMap) -> Option<Value> {
    let flat = |runs: &Vec<Restored>| runs.iter().flat_map(|r| [r.at, r.len, r.from]).collect::<Value>();
    let json = || Value::Object(map.iter().map(|(hash, runs)| (hash.clone(), flat(runs))).collect());
    (!map.is_empty()).then(json)
}

/// Reads the runs of a message; anything else is no run.
pub fn decode_restored(json: &Value) -> RestoredMap {
    let mut map = RestoredMap::new();
    let mut left = MOST_RUNS;
    for (hash, flat) in json.as_object().into_iter().flatten() {
        let numbers: Vec<u64> = flat.as_array().into_iter().flatten().filter_map(Value::as_u64).collect();
        for run in numbers.chunks_exact(3).take(left) {
            let &[at, len, from] = run else { continue };
            left = left.saturating_sub(1);
            map.entry(hash.clone()).or_default().push(Restored { at, len, from });
        }
    }
    map
}
