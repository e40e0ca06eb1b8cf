//! Which changes another was made on.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use automerge::{ActorId, Automerge, Change, ChangeHash};

use super::{Checked, Objection};

/// Why a change is held.
pub(super) const TOO_MUCH: &str = "looking up what its batch refers to takes long";

/// How many entries the views of a batch may have together: 16 bytes each.
const MOST_ENTRIES: usize = 4_000_000;
/// How many changes that lie beside others are read from the document for one batch, at most: about a second.
const MOST_BESIDE: usize = 2_000_000;
/// For how many places in the document it is kept at hand what lies beside them.
const AT_HAND: usize = 64;

/// Whose operation it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct By {
    /// The place of its change in the batch, from 1; 0 where the document holds it.
    pub(super) order: usize,
    pub(super) actor: u32,
    pub(super) seq: u64,
}

/// What a change was made on: nearly always all that there was.
#[derive(Debug, Clone, Default)]
pub(super) struct View {
    /// All of the document, and so many changes of the batch.
    whole: Option<usize>,
    /// Otherwise, of the document, these and what they were made on. Sorted.
    heads: Rc<Vec<ChangeHash>>,
    /// Of the batch, of these actors all up to these sequence numbers. Sorted.
    more: Vec<(u32, u64)>,
}

impl View {
    fn add(&mut self, actor: u32, seq: u64) {
        match self.more.binary_search_by_key(&actor, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, known)) = self.more.get_mut(at) {
                    *known = seq.max(*known);
                }
            }
            Err(at) => self.more.insert(at, (actor, seq)),
        }
    }

    fn has(&self, by: By) -> bool {
        let known = self.more.binary_search_by_key(&by.actor, |(actor, _)| *actor);
        self.whole.is_some_and(|upto| by.order <= upto)
            || known.is_ok_and(|at| self.more.get(at).is_some_and(|(_, seq)| by.seq <= *seq))
    }
}

/// The changes of a document, and of a batch for it.
pub(super) struct Lineage<'d> {
    document: &'d Automerge,
    heads: HashSet<ChangeHash>,
    batch: HashMap<ChangeHash, (By, View)>,
    entries: usize,
    /// Of some heads: from which sequence number on an actor's changes in the document lie beside them.
    beside: HashMap<Rc<Vec<ChangeHash>>, HashMap<ActorId, u64>>,
    read: usize,
}

impl<'d> Lineage<'d> {
    pub(super) fn new(document: &'d Automerge) -> Self {
        Self {
            document,
            heads: document.get_heads().into_iter().collect(),
            batch: HashMap::new(),
            entries: 0,
            beside: HashMap::new(),
            read: 0,
        }
    }

    /// What a change with these dependencies was made on.
    pub(super) fn view_of(&self, deps: &[ChangeHash]) -> Checked<View> {
        if self.is_whole(deps) {
            return Ok(View { whole: Some(self.batch.len()), ..View::default() });
        }
        let (mut view, mut heads) = (View::default(), BTreeSet::new());
        for dep in deps {
            match self.batch.get(dep) {
                None => drop(heads.insert(*dep)),
                Some((by, before)) => {
                    view.whole = view.whole.max(before.whole);
                    heads.extend(before.heads.iter().copied());
                    before.more.iter().for_each(|(actor, seq)| view.add(*actor, *seq));
                    view.add(by.actor, by.seq);
                }
            }
        }
        if view.whole.is_none() {
            view.heads = Rc::new(heads.into_iter().collect());
        }
        Ok(view)
    }

    /// Whether these are all heads that there are.
    fn is_whole(&self, deps: &[ChangeHash]) -> bool {
        match (deps.len(), self.heads.len()) {
            (_, 0) => true,
            (named, there) if named < there => false,
            (_, 1) => deps.iter().any(|dep| self.heads.contains(dep)),
            (_, there) => {
                let named: HashSet<&ChangeHash> =
                    deps.iter().filter(|dep| self.heads.contains(dep)).collect();
                named.len() == there
            }
        }
    }

    /// Whether the change of this operation, by the actor of this name, is one that the view has.
    pub(super) fn is_ancestor(&mut self, (by, actor): (By, &ActorId), view: &View) -> Checked<bool> {
        if by.order > 0 || view.whole.is_some() {
            return Ok(view.has(by));
        }
        if view.heads.is_empty() {
            return Ok(false);
        }
        if !self.beside.contains_key(&view.heads) {
            self.read_beside(&view.heads)?;
        }
        let first = self.beside.get(&view.heads).and_then(|beside| beside.get(actor));
        Ok(first.is_none_or(|first| by.seq < *first))
    }

    fn read_beside(&mut self, heads: &Rc<Vec<ChangeHash>>) -> Checked<()> {
        if self.read > MOST_BESIDE {
            return Err(Objection::Held(TOO_MUCH));
        }
        let mut beside: HashMap<ActorId, u64> = HashMap::new();
        for change in self.document.get_changes_meta(heads) {
            self.read += 1;
            let first = beside.entry(change.actor.into_owned()).or_insert(change.seq);
            *first = change.seq.min(*first);
        }
        if self.beside.len() == AT_HAND {
            self.beside.clear();
        }
        self.beside.insert(Rc::clone(heads), beside);
        Ok(())
    }

    /// Takes in a change of the batch; gives its place there.
    pub(super) fn take_in(&mut self, change: &Change, actor: u32, view: View) -> Checked<usize> {
        self.entries = self.entries.saturating_add(view.more.len() + view.heads.len());
        if self.entries > MOST_ENTRIES {
            return Err(Objection::Held(TOO_MUCH));
        }
        for dep in change.deps() {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash());
        let order = self.batch.len() + 1;
        self.batch.insert(change.hash(), (By { order, actor, seq: change.seq() }, view));
        Ok(order)
    }
}
