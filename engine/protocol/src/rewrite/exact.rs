//! Who descends from whom in the spellings in which the changes were made. What stands for what is of no account
//! here: an operation id means what it meant to the one who wrote it.

use std::collections::HashMap;

use automerge::{ActorId, Change, ChangeHash, legacy::OpId};

use super::order::topological;

/// The changes that are written again and those that go, as they are spelled.
pub(super) struct Exact<'a> {
    changes: Vec<&'a Change>,
    /// How far into each line the ancestors of each, and itself, reach: line and count, ordered by line. Memory
    /// is 16 bytes for each change and line: lines are about as many as there are actors in the branch.
    clocks: Vec<Vec<(usize, u32)>>,
    /// Changes by one actor that follow each other. Where two follow the same one, the second begins a line.
    lines: Vec<Vec<usize>>,
    lines_of: HashMap<&'a ActorId, Vec<usize>>,
    by_hash: HashMap<ChangeHash, usize>,
}

impl<'a> Exact<'a> {
    pub(super) fn new(changes: Vec<&'a Change>) -> Self {
        // Hashes depend on each other in no circle: all are ordered.
        let order = topological(&changes, |hash| hash);
        let changes: Vec<&'a Change> = order.into_iter().map(|index| changes[index]).collect();
        let mut exact = Self {
            clocks: Vec::with_capacity(changes.len()),
            lines: Vec::new(),
            lines_of: HashMap::new(),
            by_hash: HashMap::with_capacity(changes.len()),
            changes: Vec::with_capacity(changes.len()),
        };
        changes.into_iter().for_each(|change| exact.enter(change));
        exact
    }

    fn enter(&mut self, change: &'a Change) {
        let index = self.changes.len();
        let mut clock = Vec::new();
        for dep in change.deps() {
            match self.by_hash.get(dep).and_then(|at| self.clocks.get(*at)) {
                Some(reached) if clock.is_empty() => clock.clone_from(reached),
                Some(reached) => clock = joined(&clock, reached),
                None => {}
            }
        }
        let follows = self.place_before(&clock, change).filter(|(line, reached)| {
            self.lines.get(*line).is_some_and(|members| members.len() == *reached as usize)
        });
        let line = follows.map(|(line, _)| line).unwrap_or_else(|| {
            self.lines.push(Vec::new());
            self.lines_of.entry(change.actor_id()).or_default().push(self.lines.len() - 1);
            self.lines.len() - 1
        });
        if let Some(members) = self.lines.get_mut(line) {
            members.push(index);
            let reached = u32::try_from(members.len()).unwrap_or(u32::MAX);
            clock = joined(&clock, &[(line, reached)]);
        }
        self.by_hash.insert(change.hash(), index);
        self.clocks.push(clock);
        self.changes.push(change);
    }

    /// Where the change before this one by its actor is, among ancestors who reach so far.
    fn place_before(&self, clock: &[(usize, u32)], change: &Change) -> Option<(usize, u32)> {
        let before = change.seq().checked_sub(1)?;
        self.reached(clock, change.actor_id()).find_map(|(line, reached)| {
            let members = self.lines.get(line)?.get(..reached as usize)?;
            let at = members.iter().rposition(|m| self.changes.get(*m).is_some_and(|c| c.seq() == before))?;
            Some((line, u32::try_from(at + 1).ok()?))
        })
    }

    /// The change before this one by its actor, if it is one of these.
    pub(super) fn before(&self, change: &Change) -> Option<&'a Change> {
        let clock = self.clocks.get(*self.by_hash.get(&change.hash())?)?;
        let (line, at) = self.place_before(clock, change)?;
        let member = self.lines.get(line)?.get(at as usize - 1)?;
        self.changes.get(*member).copied()
    }

    /// Which of these made this operation, to which `change` refers: itself or an ancestor. The same id may be in
    /// a branch that is none of its ancestors: there it means another operation.
    pub(super) fn maker(&self, change: &Change, id: &OpId) -> Option<&'a Change> {
        let clock = self.clocks.get(*self.by_hash.get(&change.hash())?)?;
        self.reached(clock, id.actor()).find_map(|(line, reached)| {
            let members = self.lines.get(line)?.get(..reached as usize)?;
            let after = members.partition_point(|at| {
                self.changes.get(*at).is_some_and(|change| change.start_op().get() <= id.counter())
            });
            let found = self.changes.get(*members.get(after.checked_sub(1)?)?)?;
            made(found, id).then_some(*found)
        })
    }

    /// The lines of an actor that are reached, and how far: never 0.
    fn reached(&self, clock: &[(usize, u32)], actor: &ActorId) -> impl Iterator<Item = (usize, u32)> {
        let lines = self.lines_of.get(actor).map_or(&[][..], Vec::as_slice);
        lines.iter().filter_map(|line| {
            let at = clock.binary_search_by_key(line, |(line, _)| *line).ok()?;
            clock.get(at).copied()
        })
    }
}

/// Whether the operation's counter is one of the change's.
fn made(change: &Change, id: &OpId) -> bool {
    id.counter().checked_sub(change.start_op().get()).is_some_and(|nth| nth < change.len() as u64)
}

/// The later of two clocks, line by line.
fn joined(one: &[(usize, u32)], two: &[(usize, u32)]) -> Vec<(usize, u32)> {
    let mut all = Vec::with_capacity(one.len() + two.len());
    let (mut one, mut two) = (one.iter().copied().peekable(), two.iter().copied().peekable());
    while let (Some(a), Some(b)) = (one.peek().copied(), two.peek().copied()) {
        let reached = match a.0.cmp(&b.0) {
            std::cmp::Ordering::Less => a.1,
            std::cmp::Ordering::Equal => a.1.max(b.1),
            std::cmp::Ordering::Greater => b.1,
        };
        all.push((a.0.min(b.0), reached));
        one.next_if(|next| next.0 <= b.0);
        two.next_if(|next| next.0 <= a.0);
    }
    all.extend(one.chain(two));
    all
}
