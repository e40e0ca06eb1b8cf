//! Which changes another was made on.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    rc::Rc,
};

use automerge::{ActorId, Automerge, Change, ChangeHash};

use super::{Checked, Objection};

/// Why a change is held.
pub(super) const TOO_MUCH: &str = "looking up what its batch refers to takes long";

/// How many entries the views of a batch may have together: 8 bytes each.
const MOST_ENTRIES: usize = 8_000_000;
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
    /// Of the batch, of these runs all up to these places in them. Sorted.
    more: Vec<(u32, u32)>,
}

impl View {
    fn add(&mut self, (run, nth): (u32, u32)) {
        match self.more.binary_search_by_key(&run, |(known, _)| *known) {
            Ok(at) => {
                if let Some((_, known)) = self.more.get_mut(at) {
                    *known = nth.max(*known);
                }
            }
            Err(at) => self.more.insert(at, (run, nth)),
        }
    }

    fn has(&self, (run, nth): (u32, u32)) -> bool {
        let known = self.more.binary_search_by_key(&run, |(run, _)| *run);
        known.is_ok_and(|at| self.more.get(at).is_some_and(|(_, upto)| nth <= *upto))
    }
}

/// The changes of a document, and of a batch for it.
///
/// Those of the batch are in runs: each of a run was made on the one before it. So what a change was made on is said with
/// one number for each run, however many actors a run has.
pub(super) struct Lineage<'d> {
    document: &'d Automerge,
    heads: HashSet<ChangeHash>,
    /// The order of each change in the batch, from 1, and what it was made on.
    batch: HashMap<ChangeHash, (usize, View)>,
    /// By their order, from 1: the run of each, and its place there.
    places: Vec<(u32, u32)>,
    /// How long each run is.
    lengths: Vec<u32>,
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
            places: Vec::new(),
            lengths: Vec::new(),
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
                Some((order, before)) => {
                    view.whole = view.whole.max(before.whole);
                    heads.extend(before.heads.iter().copied());
                    let own = self.place(*order);
                    before.more.iter().copied().chain(own).for_each(|place| view.add(place));
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
        if view.whole.is_some_and(|upto| by.order <= upto) {
            return Ok(true);
        }
        if by.order > 0 {
            return Ok(self.place(by.order).is_some_and(|place| view.has(place)));
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

    /// The run of a change in the batch, and its place there.
    fn place(&self, order: usize) -> Option<(u32, u32)> {
        order.checked_sub(1).and_then(|at| self.places.get(at)).copied()
    }

    /// The run that a change goes on, made on the last of it; else one of its own.
    fn next_place(&mut self, deps: &[ChangeHash]) -> (u32, u32) {
        let of_batch = deps.iter().filter_map(|dep| self.batch.get(dep));
        let last = of_batch
            .filter_map(|(order, _)| self.place(*order))
            .find(|(run, nth)| self.lengths.get(*run as usize).is_some_and(|length| *nth + 1 == *length));
        match last {
            Some((run, nth)) => (run, nth + 1),
            None => (self.lengths.len() as u32, 0),
        }
    }

    /// Takes in a change of the batch; gives its order there.
    pub(super) fn take_in(&mut self, change: &Change, view: View) -> Checked<usize> {
        self.entries = self.entries.saturating_add(view.more.len() + view.heads.len());
        if self.entries > MOST_ENTRIES {
            return Err(Objection::Held(TOO_MUCH));
        }
        for dep in change.deps() {
            self.heads.remove(dep);
        }
        self.heads.insert(change.hash());
        let (run, nth) = self.next_place(change.deps());
        match self.lengths.get_mut(run as usize) {
            Some(length) => *length = nth + 1,
            None => self.lengths.push(1),
        }
        self.places.push((run, nth));
        self.batch.insert(change.hash(), (self.places.len(), view));
        Ok(self.places.len())
    }
}
