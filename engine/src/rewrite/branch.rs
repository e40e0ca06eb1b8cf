//! The changes that are written again: who follows whom, and what each refers to.

use std::collections::{HashMap, HashSet};

use automerge::{
    ActorId, Change, ChangeHash,
    legacy::{Op, OpId},
};

use super::{
    Alias, RewriteError, Rewritten,
    order::{order, resolve},
    spell::{Reason, Spelling, operations, references, spell},
};
use crate::container::is_container_actor;

/// What came of a branch.
pub(super) struct Spelled {
    /// What was written again, dependencies first.
    pub(super) rewritten: Vec<Rewritten>,
    /// What was left out.
    pub(super) gone: Vec<ChangeHash>,
}

/// Changes by one actor that follow each other. Where two follow the same one, the second begins a line.
struct Line {
    /// The node of each, in order.
    members: Vec<usize>,
    /// The new actor, from the first that stays.
    actor: Option<ActorId>,
}

/// One change, in the order of its dependencies.
struct Node<'a> {
    change: &'a Change,
    /// How far into each line its ancestors and itself reach: line and count, ordered by line. Memory is
    /// 8 bytes for each change and line: lines are about as many as there are actors in the branch.
    clock: Vec<(usize, u32)>,
    line: usize,
    /// The new sequence number; for one that goes, that of the one before.
    seq: u64,
    /// Whether it is left out.
    gone: bool,
    /// What those who depended on it depend on: its new hash, or what takes its place.
    stands: Vec<ChangeHash>,
}

pub(super) struct Branch<'a> {
    reason: Reason<'a>,
    order: Vec<&'a Change>,
    aliases: HashMap<ChangeHash, Alias<'a>>,
    /// The operations of aliases, by their actor.
    alias_ops: HashMap<&'a ActorId, Vec<Alias<'a>>>,
    nodes: Vec<Node<'a>>,
    by_hash: HashMap<ChangeHash, usize>,
    lines: Vec<Line>,
    lines_of: HashMap<&'a ActorId, Vec<usize>>,
}

impl<'a> Branch<'a> {
    pub(super) fn new(
        affected: impl IntoIterator<Item = &'a Change, IntoIter: Clone>,
        reason: Reason<'a>,
        aliases: &[Alias<'a>],
    ) -> Result<Self, RewriteError> {
        let affected = affected.into_iter();
        if let Some(change) = affected.clone().find(|change| is_container_actor(change.actor_id())) {
            return Err(RewriteError::Container(change.hash()));
        }
        let mut by_actor: HashMap<&ActorId, Vec<Alias<'a>>> = HashMap::new();
        for alias in aliases {
            let (gone, stands_for) = (alias.gone, alias.stands_for);
            if gone.start_op() != stands_for.start_op() || gone.len() != stands_for.len() {
                return Err(RewriteError::Alias { gone: gone.hash(), stands_for: stands_for.hash() });
            }
            by_actor.entry(gone.actor_id()).or_default().push(*alias);
        }
        let aliases: HashMap<_, _> = aliases.iter().map(|alias| (alias.gone.hash(), *alias)).collect();
        Ok(Self {
            reason,
            order: order(affected, &aliases)?,
            aliases,
            alias_ops: by_actor,
            nodes: Vec::new(),
            by_hash: HashMap::new(),
            lines: Vec::new(),
            lines_of: HashMap::new(),
        })
    }

    /// Writes all of them.
    pub(super) fn spell(mut self) -> Result<Spelled, RewriteError> {
        let mut spelled = Spelled { rewritten: Vec::new(), gone: Vec::new() };
        for change in std::mem::take(&mut self.order) {
            let operations = operations(change)?;
            let node = self.enter(change, &operations);
            if self.nodes.get(node).is_none_or(|node| node.gone) {
                spelled.gone.push(change.hash());
                continue;
            }
            let new = self.write(node, operations);
            if let Some(node) = self.nodes.get_mut(node) {
                node.stands = vec![new.hash()];
            }
            spelled.rewritten.push(Rewritten {
                was: change.hash(),
                hash: new.hash(),
                bytes: new.raw_bytes().to_vec(),
            });
        }
        Ok(spelled)
    }

    /// Takes a change in: its line, its clock, and whether it goes.
    fn enter(&mut self, change: &'a Change, operations: &[Op]) -> usize {
        let index = self.nodes.len();
        let mut node = Node {
            change,
            clock: self.clock_of_deps(change),
            line: 0,
            seq: 0,
            gone: false,
            stands: self.stand_ins(change),
        };
        node.gone = self.goes(&node, operations);
        self.join_line(&mut node, index);
        self.by_hash.insert(change.hash(), index);
        self.nodes.push(node);
        index
    }

    /// How far the ancestors reach into each line.
    fn clock_of_deps(&self, change: &Change) -> Vec<(usize, u32)> {
        let mut clock = Vec::new();
        for dep in change.deps() {
            let node = self.by_hash.get(&resolve(&self.aliases, *dep)).and_then(|at| self.nodes.get(*at));
            match node {
                Some(node) if clock.is_empty() => clock.clone_from(&node.clock),
                Some(node) => clock = joined(&clock, &node.clock),
                None => {}
            }
        }
        clock
    }

    /// The dependencies as they are now.
    fn stand_ins(&self, change: &Change) -> Vec<ChangeHash> {
        let mut deps = Vec::with_capacity(change.deps().len());
        for dep in change.deps() {
            let dep = resolve(&self.aliases, *dep);
            match self.by_hash.get(&dep).and_then(|at| self.nodes.get(*at)) {
                Some(node) => deps.extend_from_slice(&node.stands),
                None => deps.push(dep),
            }
        }
        deps.sort_unstable();
        deps.dedup();
        deps
    }

    /// Whether the change is the one that is dropped, or touches what one that goes has made.
    fn goes(&self, node: &Node<'a>, operations: &[Op]) -> bool {
        let Reason::Drop(dropped) = self.reason else { return false };
        node.change.hash() == dropped
            || operations
                .iter()
                .flat_map(references)
                .any(|id| self.maker(&node.clock, id).is_some_and(|maker| maker.gone))
    }

    /// Puts the change into the line of the one before it by its actor, or begins one.
    fn join_line(&mut self, node: &mut Node<'a>, index: usize) {
        let begins = matches!(self.reason, Reason::Fork(starts) if starts.contains(&node.change.hash()));
        let before = if begins { None } else { self.before(node) };
        let (line, actor, seq) = match before {
            None => (None, None, 0),
            Some((line, reached, seq)) => {
                let last = self.lines.get(line).is_some_and(|l| l.members.len() == reached as usize);
                let actor = self.lines.get(line).and_then(|l| l.actor.clone());
                (last.then_some(line), actor, seq)
            }
        };
        node.line = line.unwrap_or_else(|| {
            self.lines.push(Line { members: Vec::new(), actor });
            self.lines_of.entry(node.change.actor_id()).or_default().push(self.lines.len() - 1);
            self.lines.len() - 1
        });
        node.seq = if node.gone { seq } else { seq + 1 };
        let Some(line) = self.lines.get_mut(node.line) else { return };
        if line.actor.is_none() && !node.gone {
            line.actor = Some(self.reason.actor(node.change.actor_id(), &node.change.hash()));
        }
        line.members.push(index);
        let reached = u32::try_from(line.members.len()).unwrap_or(u32::MAX);
        node.clock = joined(&node.clock, &[(node.line, reached)]);
    }

    /// The change before this one by its actor, if it is written again too: its line, its place in it from 1,
    /// and its new sequence number.
    fn before(&self, node: &Node<'a>) -> Option<(usize, u32, u64)> {
        self.reached(&node.clock, node.change.actor_id()).find_map(|(line, reached)| {
            let at = self.lines.get(line)?.members.get(reached as usize - 1)?;
            let before = self.nodes.get(*at)?;
            (before.change.seq().checked_add(1) == Some(node.change.seq()))
                .then_some((line, reached, before.seq))
        })
    }

    /// The lines of an actor among the ancestors, and how far: never 0.
    fn reached(&self, clock: &[(usize, u32)], actor: &ActorId) -> impl Iterator<Item = (usize, u32)> {
        let lines = self.lines_of.get(actor).map_or(&[][..], Vec::as_slice);
        lines.iter().filter_map(|line| {
            let at = clock.binary_search_by_key(line, |(line, _)| *line).ok()?;
            clock.get(at).copied()
        })
    }

    /// Which of the changes made this operation, for one whose ancestors are these. The same id may be in a
    /// branch that is none of its ancestors: there it means another operation.
    fn maker(&self, clock: &[(usize, u32)], id: &OpId) -> Option<&Node<'a>> {
        self.reached(clock, id.actor()).find_map(|(line, reached)| {
            let members = self.lines.get(line)?.members.get(..reached as usize)?;
            let after = members.partition_point(|at| {
                self.nodes.get(*at).is_some_and(|node| node.change.start_op().get() <= id.counter())
            });
            let node = self.nodes.get(*members.get(after.checked_sub(1)?)?)?;
            made(node.change, id).then_some(node)
        })
    }

    /// An operation id as it is now. Counters stay: only the actor may be another.
    fn now(&self, clock: &[(usize, u32)], id: &OpId) -> OpId {
        let alias = self
            .alias_ops
            .get(id.actor())
            .and_then(|aliases| aliases.iter().find(|alias| made(alias.gone, id)));
        let id = alias.map_or_else(|| id.clone(), |a| OpId(id.counter(), a.stands_for.actor_id().clone()));
        let line = self.maker(clock, &id).and_then(|node| self.lines.get(node.line));
        match line.and_then(|line| line.actor.clone()) {
            Some(actor) => OpId(id.counter(), actor),
            None => id,
        }
    }

    fn write(&self, index: usize, operations: Vec<Op>) -> Change {
        let node = &self.nodes[index];
        let actor = self.lines[node.line].actor.clone().unwrap_or_else(|| node.change.actor_id().clone());
        let spelling = Spelling { actor, seq: node.seq, deps: node.stands.clone() };
        spell(node.change, operations, spelling, |id| self.now(&node.clock, id))
    }
}

/// Whether the operation's counter is one of the change's.
fn made(change: &Change, id: &OpId) -> bool {
    id.counter().checked_sub(change.start_op().get()).is_some_and(|nth| nth < change.len() as u64)
}

/// The later of two clocks, line by line.
fn joined(one: &[(usize, u32)], two: &[(usize, u32)]) -> Vec<(usize, u32)> {
    let mut all = Vec::with_capacity(one.len() + two.len());
    let (mut one, mut two) = (one.iter().peekable(), two.iter().peekable());
    while let (Some(a), Some(b)) = (one.peek(), two.peek()) {
        let take_a = a.0 <= b.0;
        let take_b = b.0 <= a.0;
        all.push((
            a.0.min(b.0),
            if take_a && take_b {
                a.1.max(b.1)
            } else if take_a {
                a.1
            } else {
                b.1
            },
        ));
        if take_a {
            one.next();
        }
        if take_b {
            two.next();
        }
    }
    all.extend(one.chain(two));
    all
}

/// Of what lost, those where a branch begins: none of their actor's changes before them lost too.
pub(super) fn first_of_each(
    affected: &[Change],
    aliases: &[Alias<'_>],
    lost: &HashSet<ChangeHash>,
) -> Result<HashSet<ChangeHash>, RewriteError> {
    let none = HashSet::new();
    let mut branch = Branch::new(affected, Reason::Fork(&none), aliases)?;
    // Whether one in the line before it, or it itself, lost.
    let mut after_loser: Vec<bool> = Vec::new();
    let mut firsts = HashSet::new();
    for change in std::mem::take(&mut branch.order) {
        let clock = branch.clock_of_deps(change);
        let node = Node { change, clock, line: 0, seq: 0, gone: false, stands: Vec::new() };
        let before = branch.before(&node).and_then(|(line, reached, _)| {
            let at = branch.lines.get(line)?.members.get(reached as usize - 1)?;
            after_loser.get(*at).copied()
        });
        let after = before.unwrap_or(false);
        if lost.contains(&change.hash()) && !after {
            firsts.insert(change.hash());
        }
        after_loser.push(after || lost.contains(&change.hash()));
        branch.enter(change, &[]);
    }
    Ok(firsts)
}
