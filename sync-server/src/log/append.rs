//! Appending: the changes of one push, in one part of a transaction.

use std::collections::{BTreeSet, HashMap, HashSet};

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash,
    fence::{Ancestry, CheckedChange, Last, Reach},
    rewrite::Claim,
};

use super::{
    Document, Edit, LogError, Mark,
    ancestors::Ancestors,
    brought::Tally,
    claimed::Claimed,
    rows::{Head, MovedHeads},
    waiting::Waiting,
};

/// Appends changes to one document's log. What it appended is seen by its own questions at once; the backend gets it
/// many rows at a time, the last when it is finished.
pub(crate) struct Appender<'e, E: Edit> {
    pub(super) edit: &'e E,
    pub(super) document: Document,
    pub(super) start: u64,
    /// What was appended and is not handed to the backend yet.
    waiting: Waiting,
    /// Positions of what was appended here: found without asking the backend.
    fresh: HashMap<ChangeHash, u64>,
    /// Their hashes and their dependencies, from position `start + 1` on.
    hashes: Vec<ChangeHash>,
    deps: Vec<Vec<u64>>,
    /// How far they count.
    reaches: Vec<Reach>,
    /// Its heads, once somebody asked.
    heads: Option<Heads>,
    pub(super) tally: Tally,
    /// What the appended changes are rewritings of.
    rewritten: HashMap<ChangeHash, ChangeHash>,
    /// The claims that were proved here, of what was appended and of what was not.
    proved: HashMap<ChangeHash, Claim>,
    /// What came last of the actors that were asked for, with what was appended here.
    actors: HashMap<ActorId, Option<Last>>,
    ancestors: Ancestors,
    /// A hash that cannot be in the log, known without a look.
    absent: Option<ChangeHash>,
}

/// Heads by their positions.
#[derive(Debug)]
pub(crate) struct Heads {
    all: HashSet<u64>,
    /// Those of whoever pushes.
    own: HashSet<u64>,
}

/// How many heads there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct HeadCount {
    pub(crate) all: u64,
    /// Those of whoever pushes.
    pub(crate) own: u64,
}

impl Heads {
    fn append(&mut self, deps: &[u64], position: u64) {
        for heads in [&mut self.all, &mut self.own] {
            deps.iter().for_each(|dep| {
                heads.remove(dep);
            });
            heads.insert(position);
        }
    }

    fn count(&self) -> HeadCount {
        HeadCount { all: self.all.len() as u64, own: self.own.len() as u64 }
    }

    /// How many there would be with a change that depends on these.
    fn count_with(&self, deps: &[u64]) -> HeadCount {
        let merged: HashSet<&u64> = deps.iter().collect();
        let left = |heads: &HashSet<u64>| heads.iter().filter(|head| !merged.contains(head)).count() as u64;
        HeadCount { all: left(&self.all) + 1, own: left(&self.own) + 1 }
    }
}

impl<'e, E: Edit> Appender<'e, E> {
    /// For a document that is there.
    pub(crate) fn open(edit: &'e E, document: Document) -> Self {
        Self {
            edit,
            start: document.end.position,
            document,
            waiting: Waiting::default(),
            fresh: HashMap::new(),
            hashes: Vec::new(),
            deps: Vec::new(),
            reaches: Vec::new(),
            heads: None,
            tally: Tally::default(),
            rewritten: HashMap::new(),
            proved: HashMap::new(),
            actors: HashMap::new(),
            ancestors: Ancestors::default(),
            absent: None,
        }
    }

    /// Where what is appended here begins.
    pub(crate) fn first(&self) -> u64 {
        self.start + 1
    }

    /// The end of the log as it is now.
    pub(crate) fn end(&self) -> Mark {
        self.document.end
    }

    /// Whether the log holds something of this actor.
    pub(crate) fn knows(&mut self, actor: &ActorId) -> Result<bool, LogError> {
        Ok(self.actor(actor)?.is_some())
    }

    /// How many heads it would have with a change of `by`, who pushes this, that depends on these.
    pub(crate) fn heads_with(&mut self, deps: &[u64], by: Option<&str>) -> Result<HeadCount, LogError> {
        if self.heads.is_none() {
            self.heads = Some(self.read_heads(by)?);
        }
        Ok(self.heads.as_ref().map_or(HeadCount { all: 1, own: 1 }, |heads| heads.count_with(deps)))
    }

    /// How many heads it has now.
    pub(crate) fn count_heads(&self, by: Option<&str>) -> Result<HeadCount, LogError> {
        Ok(self.read_heads(by)?.count())
    }

    fn read_heads(&self, by: Option<&str>) -> Result<Heads, LogError> {
        let rows = self.edit.head_rows(self.document.key)?;
        let mut all: HashSet<u64> = rows.into_iter().map(|head| head.position).collect();
        self.deps.iter().flatten().for_each(|dep| {
            all.remove(dep);
        });
        let mut own = self.edit.pushed_by(self.document.key, &all, by)?;
        let used: HashSet<u64> = self.deps.iter().flatten().copied().collect();
        let fresh = (self.start + 1..=self.document.end.position).filter(|at| !used.contains(at));
        for position in fresh {
            all.insert(position);
            own.insert(position);
        }
        Ok(Heads { all, own })
    }

    /// To be called before the fence places `change`: spares a look at the index where its number alone shows
    /// that the log cannot hold it (an actor's changes are in the log without a gap).
    pub(crate) fn expect(&mut self, change: &CheckedChange) -> Result<(), LogError> {
        let last = self.actor(&change.actor)?.map_or(0, |last| last.seq);
        self.absent = (change.seq > last).then_some(change.hash);
        Ok(())
    }

    /// What the change was before it was rewritten after a fork, where it is proved that it is that one.
    pub(crate) fn prove(&mut self, claimed: &Claimed) -> Result<Option<ChangeHash>, LogError> {
        let Claimed { change, claim } = claimed;
        let mut held: HashMap<ChangeHash, Claim> = HashMap::new();
        for dep in change.deps() {
            if let Some(claim) = self.proved_claim(dep)? {
                held.insert(*dep, claim);
            }
        }
        let holds = claim.holds(change, |dep| Ok::<_, LogError>(held.get(dep).cloned()))?;
        if !holds {
            return Ok(None);
        }
        self.proved.insert(change.hash(), claim.clone());
        Ok(Some(claim.was()))
    }

    /// The claim of a change in the log, or of one that was looked at here, where it was proved.
    fn proved_claim(&mut self, hash: &ChangeHash) -> Result<Option<Claim>, LogError> {
        if let Some(claim) = self.proved.get(hash) {
            return Ok(Some(claim.clone()));
        }
        if self.document.rewritten == 0 {
            return Ok(None);
        }
        let Some(position) = self.locate(hash)? else { return Ok(None) };
        self.edit.proved_claim(self.document.key, (position, hash))
    }

    /// The change in this log that is the same one in another spelling: what `change` was before it was
    /// rewritten after a fork, what it was rewritten as, or another rewriting of the same. `was`: what it is proved
    /// to have been.
    pub(crate) fn twin(
        &mut self,
        change: &CheckedChange,
        was: Option<&ChangeHash>,
    ) -> Result<Option<ChangeHash>, LogError> {
        let first = was.unwrap_or(&change.hash);
        if was.is_some() && self.locate(first)?.is_some() {
            return Ok(Some(*first));
        }
        // Nearly all logs hold no rewritten change: then there is nothing to look for.
        if let Some(as_what) = self.rewritten.get(first) {
            return Ok(Some(*as_what));
        }
        if self.document.rewritten == 0 {
            return Ok(None);
        }
        self.edit.rewritten_as(self.document.key, first)
    }

    /// Appends a change that the fence placed; gives its position. `was`: what it is proved to have been.
    pub(crate) fn append(
        &mut self,
        change: &CheckedChange,
        (deps, reach): (Vec<u64>, Reach),
        was: Option<ChangeHash>,
    ) -> Result<u64, LogError> {
        let end = Mark {
            position: self.document.end.position + 1,
            digest: self.document.end.digest.then_change(&change.hash),
        };
        self.waiting.add(change, end, (&deps, reach, was));
        self.actors.insert(change.actor.clone(), Some(Last { seq: change.seq, position: end.position }));
        self.document.end = end;
        self.document.bytes += change.bytes.len() as u64;
        self.tally.note(change, change.seq == 1);
        self.fresh.insert(change.hash, end.position);
        self.hashes.push(change.hash);
        if let Some(heads) = &mut self.heads {
            heads.append(&deps, end.position);
        }
        self.deps.push(deps);
        self.reaches.push(reach);
        if let Some(was) = was {
            self.rewritten.insert(was, change.hash);
        }
        if self.waiting.is_full() {
            self.hand_over()?;
        }
        Ok(end.position)
    }

    /// Hands what waits to the backend.
    fn hand_over(&mut self) -> Result<(), LogError> {
        self.edit.append(self.document.key, &self.waiting.rows())?;
        self.waiting.clear();
        self.tally.store();
        Ok(())
    }

    /// Writes what follows from the appended changes: heads, the document's end, the feed. Gives the document as it is
    /// now.
    pub(crate) fn finish(mut self) -> Result<Document, LogError> {
        self.hand_over()?;
        self.document.rewritten += self.rewritten.len() as u64;
        let heads = self.moved_heads();
        self.edit.tell(&mut self.document, &heads)?;
        Ok(self.document)
    }

    fn moved_heads(&self) -> MovedHeads {
        let used: BTreeSet<u64> = self.deps.iter().flatten().copied().collect();
        let appended = (self.start + 1..).zip(&self.hashes);
        let new = appended.filter(|(position, _)| !used.contains(position));
        MovedHeads {
            gone: used.range(..=self.start).copied().collect(),
            new: new.map(|(position, hash)| Head { position, hash: *hash }).collect(),
        }
    }

    fn actor(&mut self, actor: &ActorId) -> Result<Option<Last>, LogError> {
        if let Some(known) = self.actors.get(actor) {
            return Ok(*known);
        }
        let last = self.edit.actor(self.document.key, actor)?;
        self.actors.insert(actor.clone(), last);
        Ok(last)
    }
}

/// "What depends on order is decided against rows pending in the same group": those of this push are in
/// memory, those of other pushes of the group are in the same transaction.
impl<E: Edit> Ancestry for Appender<'_, E> {
    type Error = LogError;

    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        if let Some(position) = self.fresh.get(hash) {
            return Ok(Some(*position));
        }
        if self.absent.as_ref() == Some(hash) {
            return Ok(None);
        }
        self.edit.locate(self.document.key, self.start, hash)
    }

    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>, LogError> {
        if position <= self.start {
            return self.ancestors.dependencies(self.edit, self.document.key, position);
        }
        let index = usize::try_from(position - self.start - 1).unwrap_or(usize::MAX);
        let deps = self.deps.get(index).cloned();
        deps.ok_or_else(|| LogError::Damaged(format!("no change was appended at position {position}")))
    }

    fn reach(&mut self, position: u64) -> Result<Reach, LogError> {
        let index = position.checked_sub(self.start + 1).and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.reaches.get(index)) {
            Some(reach) => Ok(*reach),
            None => self.edit.reach(self.document.key, position),
        }
    }

    fn last_of(&mut self, actor: &ActorId) -> Result<Option<Last>, LogError> {
        self.actor(actor)
    }
}
