//! The changes that are written again: who follows whom, and what each refers to.

use std::collections::{HashMap, HashSet};

use automerge::{
    ActorId, Change, ChangeHash,
    legacy::{Op, OpId},
};

use super::{
    Alias, Claim, RewriteError, Rewritten,
    claim::{Line as ProvedLine, Lines, Proof, join, span},
    exact::Exact,
    order::{order, resolve},
    spell::{Reason, Spelling, bears_was, operations, references, spell},
};
use crate::container::is_container_actor;

/// What came of a branch.
pub(super) struct Spelled {
    /// What was written again, dependencies first.
    pub(super) rewritten: Vec<Rewritten>,
    /// What was left out.
    pub(super) gone: Vec<ChangeHash>,
}

/// Changes that follow each other under one new actor. Where two follow the same one, the second begins a line.
struct Line {
    /// The node of the newest.
    newest: usize,
    /// The new actor, from the first that stays.
    actor: Option<ActorId>,
}

/// One change, in the order of its dependencies.
struct Node<'a> {
    change: &'a Change,
    line: usize,
    /// The new sequence number; for one that goes, that of the one before.
    seq: u64,
    /// Whether it is left out.
    gone: bool,
    /// What those who depended on it depend on: its new hash, or what takes its place.
    stands: Vec<ChangeHash>,
    /// What proves to others that its new spelling is this change. `None`: nothing does.
    proof: Option<Proof>,
}

pub(super) struct Branch<'a> {
    reason: Reason<'a>,
    order: Vec<&'a Change>,
    aliases: HashMap<ChangeHash, Alias<'a>>,
    exact: Exact<'a>,
    nodes: Vec<Node<'a>>,
    by_hash: HashMap<ChangeHash, usize>,
    lines: Vec<Line>,
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
        for Alias { gone, stands_for } in aliases {
            if gone.start_op() != stands_for.start_op() || gone.len() != stands_for.len() {
                return Err(RewriteError::Alias { gone: gone.hash(), stands_for: stands_for.hash() });
            }
        }
        let aliases: HashMap<_, _> = aliases.iter().map(|alias| (alias.gone.hash(), *alias)).collect();
        let order = order(affected, &aliases)?;
        let spelled = order.iter().copied().chain(aliases.values().map(|alias| alias.gone));
        let exact = Exact::new(spelled.collect());
        let (nodes, by_hash, lines) = (Vec::new(), HashMap::new(), Vec::new());
        Ok(Self { reason, order, aliases, exact, nodes, by_hash, lines })
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
            let proof = self.prove(node);
            if let Some(node) = self.nodes.get_mut(node) {
                node.proof = proof;
            }
            let new = self.write(node, operations);
            if let Some(node) = self.nodes.get_mut(node) {
                node.stands = vec![new.hash()];
            }
            spelled.rewritten.push(Rewritten {
                was: change.hash(),
                hash: new.hash(),
                actor: new.actor_id().clone(),
                seq: new.seq(),
                bytes: new.raw_bytes().to_vec(),
            });
        }
        Ok(spelled)
    }

    /// Takes a change in: its line, and whether it goes.
    fn enter(&mut self, change: &'a Change, operations: &[Op]) -> usize {
        let index = self.nodes.len();
        let stands = self.stand_ins(change);
        let mut node = Node { change, line: 0, seq: 0, gone: false, stands, proof: None };
        node.gone = self.goes(change, operations);
        self.join_line(&mut node, index);
        self.by_hash.insert(change.hash(), index);
        self.nodes.push(node);
        index
    }

    /// What is written again in place of this spelling.
    fn node_of(&self, hash: ChangeHash) -> Option<usize> {
        self.by_hash.get(&resolve(&self.aliases, hash)).copied()
    }

    /// The dependencies as they are now.
    fn stand_ins(&self, change: &Change) -> Vec<ChangeHash> {
        let mut deps = Vec::with_capacity(change.deps().len());
        for dep in change.deps() {
            match self.node_of(*dep).and_then(|at| self.nodes.get(at)) {
                Some(node) => deps.extend_from_slice(&node.stands),
                None => deps.push(resolve(&self.aliases, *dep)),
            }
        }
        deps.sort_unstable();
        deps.dedup();
        deps
    }

    /// Whether the change is the one that is dropped, or touches what one that goes has made.
    fn goes(&self, change: &Change, operations: &[Op]) -> bool {
        let Reason::Drop(dropped) = self.reason else { return false };
        let gone = |maker: &Change| {
            self.node_of(maker.hash()).and_then(|at| self.nodes.get(at)).is_some_and(|node| node.gone)
        };
        change.hash() == dropped
            || operations.iter().flat_map(references).any(|id| self.exact.maker(change, id).is_some_and(gone))
    }

    /// Puts the change into the line of the one before it by its actor, or begins one.
    fn join_line(&mut self, node: &mut Node<'a>, index: usize) {
        let begins = matches!(self.reason, Reason::Fork(starts) if starts.contains(&node.change.hash()));
        let before = if begins { None } else { self.before(node.change) };
        let before = before.and_then(|at| Some((at, self.nodes.get(at)?)));
        let (line, actor, seq) = match before {
            None => (None, None, 0),
            Some((at, before)) => {
                let last = self.lines.get(before.line).is_some_and(|line| line.newest == at);
                let actor = self.lines.get(before.line).and_then(|line| line.actor.clone());
                (last.then_some(before.line), actor, before.seq)
            }
        };
        node.line = line.unwrap_or_else(|| {
            self.lines.push(Line { newest: index, actor });
            self.lines.len() - 1
        });
        node.seq = if node.gone { seq } else { seq + 1 };
        let Some(line) = self.lines.get_mut(node.line) else { return };
        if line.actor.is_none() && !node.gone {
            line.actor = Some(self.reason.actor(node.change.actor_id(), &node.change.hash()));
        }
        line.newest = index;
    }

    /// The change before this one by its actor, if it is written again too.
    fn before(&self, change: &Change) -> Option<usize> {
        self.node_of(self.exact.before(change)?.hash())
    }

    /// An operation id as it is now. Counters stay: only the actor may be another.
    fn now(&self, change: &Change, id: &OpId) -> OpId {
        let Some(maker) = self.exact.maker(change, id) else { return id.clone() };
        let written = self.node_of(maker.hash()).and_then(|at| self.nodes.get(at));
        let line = written.and_then(|node| self.lines.get(node.line));
        if let Some(actor) = line.and_then(|line| line.actor.clone()) {
            return OpId(id.counter(), actor);
        }
        let mut stands = maker;
        for _ in 0..=self.aliases.len() {
            match self.aliases.get(&stands.hash()) {
                Some(alias) => stands = alias.stands_for,
                None => break,
            }
        }
        OpId(id.counter(), stands.actor_id().clone())
    }

    /// What proves that the new spelling is this change: see [`Claim`]. Dependencies that are there in another spelling
    /// need a proof of their own.
    fn prove(&self, index: usize) -> Option<Proof> {
        let node = self.nodes.get(index)?;
        let change = node.change;
        if matches!(self.reason, Reason::Drop(_)) || change.message().is_some_and(bears_was) {
            return None;
        }
        let mut lines = Lines::new();
        for dep in change.deps() {
            if !join(&mut lines, &self.proved_lines(dep)?) {
                return None;
            }
        }
        let (from, to) = span(change);
        let actor = self.lines.get(node.line)?.actor.clone()?;
        match lines.get_mut(&actor) {
            Some(line) => line.to = to,
            None if node.seq == 1 => {
                lines.insert(actor, ProvedLine { was: change.actor_id().clone(), from, to });
            }
            None => return None,
        }
        Some(Proof { seq: change.seq(), deps: change.deps().to_vec(), lines })
    }

    /// The lines behind a dependency: none where it stands as it is named.
    fn proved_lines(&self, dep: &ChangeHash) -> Option<Lines> {
        let stands = resolve(&self.aliases, *dep);
        if let Some(node) = self.by_hash.get(&stands).and_then(|at| self.nodes.get(*at)) {
            let proof = node.proof.as_ref().filter(|_| stands == *dep)?;
            return Some(proof.lines.clone());
        }
        if stands == *dep {
            return Some(Lines::new());
        }
        let alias = self.aliases.values().find(|alias| alias.stands_for.hash() == stands)?;
        Claim::of(alias.stands_for).filter(|claim| claim.was() == *dep).map(Claim::into_lines)
    }

    fn write(&self, index: usize, operations: Vec<Op>) -> Change {
        let node = &self.nodes[index];
        let actor = self.lines[node.line].actor.clone().unwrap_or_else(|| node.change.actor_id().clone());
        let spelling =
            Spelling { actor, seq: node.seq, deps: node.stands.clone(), proof: node.proof.clone() };
        spell(node.change, operations, spelling, |id| self.now(node.change, id))
    }
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
        let before = branch.before(change).and_then(|at| after_loser.get(at).copied());
        let after = before.unwrap_or(false);
        if lost.contains(&change.hash()) && !after {
            firsts.insert(change.hash());
        }
        after_loser.push(after || lost.contains(&change.hash()));
        branch.enter(change, &[]);
    }
    Ok(firsts)
}
