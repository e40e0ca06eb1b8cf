//! The undos and redos of one action, as a family: when one of them is taken back, the action stands again or is
//! undone, and with it the elements of lists and texts that this one did not write, for they were away.
//!
//! Somebody types, somebody else deletes a part of it, and both undo: the part does not come back with the undo of the
//! deletion, for its typing is undone. When the typing is done again, the part comes with the rest.

use std::collections::{HashMap, HashSet};

use automerge::{Change, ChangeHash, ObjId, ReadDoc as _};

use super::{
    OpId, Standing, TooDeep,
    plan::Planner,
    target::{At, Left, Place, Target},
};

/// The action at the end of the undos and redos that a change takes back.
#[derive(Clone, Copy)]
pub(super) struct Root<'a> {
    pub(super) target: &'a Target,
    /// It stands again when this is done; else it is undone.
    pub(super) again: bool,
}

/// Why elements are away: the actions that stand and took them away, and the one that inserted them where it is undone;
/// when the change was made that is taken back, and now. Elements are named by what they stand for in the end.
#[derive(Debug, Clone, Default)]
pub struct Away {
    then: HashMap<OpId, HashSet<ChangeHash>>,
    now: HashMap<OpId, HashSet<ChangeHash>>,
}

impl Away {
    /// Notes that an element was away then, is away now, or both, because of this action.
    pub fn note(&mut self, first: &OpId, why: ChangeHash, (then, now): (bool, bool)) {
        if then {
            self.then.entry(first.clone()).or_default().insert(why);
        }
        if now {
            self.now.entry(first.clone()).or_default().insert(why);
        }
    }

    /// Something takes it away now that did not then.
    fn is_barred(&self, first: &OpId) -> bool {
        let then = self.then.get(first);
        let new = |why: &ChangeHash| then.is_none_or(|then| !then.contains(why));
        self.now.get(first).is_some_and(|now| now.iter().any(new))
    }

    /// Something took it away then, and nothing does now.
    fn is_free_again(&self, first: &OpId) -> bool {
        self.then.contains_key(first) && !self.now.contains_key(first)
    }
}

/// The elements that a change inserted or deleted, as what they stand for in the end: what [`Away`] is to say of.
pub fn elements_of(change: &Change, standing: &Standing) -> HashSet<OpId> {
    let target = Target::of(change);
    let ids = target.places.iter().filter_map(elements).flatten();
    ids.map(|id| standing.first(id)).collect()
}

/// What a change took away of these elements, and did not put back itself.
pub fn gone_by(change: &Change, of: &HashSet<OpId>, standing: &Standing) -> HashSet<OpId> {
    let (start, actor) = (change.start_op().get(), change.actor_id());
    let operations = change.decode().operations;
    let mut gone = HashSet::new();
    for op in &operations {
        if !matches!(op.action, automerge::legacy::OpType::Increment(_)) {
            let firsts = op.pred.iter().map(|pred| standing.first(pred));
            gone.extend(firsts.filter(|first| of.contains(first)));
        }
    }
    if !gone.is_empty() {
        for counter in (start..).take(operations.len()) {
            gone.remove(&standing.first(&OpId(counter, actor.clone())));
        }
    }
    gone
}

/// The elements that were inserted or deleted at a place.
fn elements(place: &Place) -> Option<&Vec<OpId>> {
    match (&place.at, place.inserted, place.left) {
        (At::Element(_), true, Left::Value) => Some(&place.puts),
        (At::Element(_), false, Left::Nothing) => Some(&place.preds),
        _ => None,
    }
}

impl<'a> Planner<'a> {
    /// Whether one of these may not come back: somebody took it away since, or its insertion was undone since.
    pub(super) fn is_barred(&self, ids: &[OpId]) -> bool {
        ids.iter().any(|id| self.facts.away.is_barred(&self.first(id)))
    }

    /// Does to the elements of the action what the change that is taken back did not write, where it did not because they
    /// were away. What was there, or was away for no reason, because two did something at once, stays as it is.
    pub(super) fn root_places(&mut self) -> Result<(), TooDeep> {
        let Some(root) = self.root else { return Ok(()) };
        let wrote: HashSet<OpId> =
            self.target.places.iter().flat_map(|place| &place.preds).map(|id| self.first(id)).collect();
        for place in &root.target.places {
            let (Some(ids), At::Element(element)) = (elements(place), &place.at) else { continue };
            let Some(live) = self.live(&place.object) else { continue };
            let firsts: Vec<OpId> = ids.iter().map(|id| self.first(id)).collect();
            let nth = self.list(&place.object, live);
            self.read_before(nth);
            if firsts.iter().any(|first| wrote.contains(first))
                || self.lists.get(nth).is_some_and(|list| list.had(&firsts))
            {
                continue;
            }
            if place.inserted == root.again {
                let free = firsts.iter().any(|first| self.facts.away.is_free_again(first));
                if free && !self.is_barred(ids) {
                    self.restore(nth, &firsts, element)?;
                }
            } else {
                self.take_away(nth, place.inserted, firsts);
            }
        }
        Ok(())
    }

    /// Of what the action inserted only what is not others' goes; what it deleted goes as it was deleted.
    fn take_away(&mut self, nth: usize, inserted: bool, firsts: Vec<OpId>) {
        let Some(list) = self.lists.get_mut(nth) else { return };
        if inserted {
            list.inserts = true;
            list.wanted.extend(firsts);
            return;
        }
        let there: Vec<usize> =
            firsts.iter().flat_map(|first| list.now.find_all(first)).map(|(which, _)| which).collect();
        list.inserts |= !there.is_empty();
        list.removed.extend(there);
    }

    /// What stood for it last, where it is an object: with what others wrote into it.
    pub(super) fn newest(&self, id: &OpId) -> ObjId {
        let first = self.first(id);
        let newest = self.facts.standing.copies(&first).last().map(super::exid);
        let is_object = |object: &ObjId| self.am.object_type(object).is_ok();
        newest.filter(is_object).unwrap_or_else(|| super::exid(id))
    }
}
