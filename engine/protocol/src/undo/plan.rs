//! What is to be written so that a change counts as undone.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, Change, ChangeHash, ObjId, Prop, ROOT, ReadDoc, ScalarValue, Value, marks::Mark};

use super::{
    Content, Copy, OpId, Standing, TooDeep,
    copy::read,
    exid,
    family::{Away, Root},
    lists::ListEdit,
    op_of,
    target::{At, Left, Place, Target},
};
use crate::{
    planted::{Bug, is_planted},
    state,
};

/// How far back a value is followed whose change was undone itself.
const MOST_BACK: usize = 1_000;

/// What an undo must know beside the document.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What stands for what.
    pub standing: Standing,
    /// The same, only by the undos since the change; where there is none, by all.
    pub recent: Option<Standing>,
    /// Operations that somebody replaced or deleted beside the change, not having seen it.
    pub touched: HashSet<OpId>,
    /// What somebody added to counters beside the change.
    pub added: HashMap<OpId, i64>,
    /// Changes that count as undone: what they wrote is not put back.
    pub undone: HashSet<ChangeHash>,
    /// Why elements of lists and texts are away.
    pub away: Away,
}

impl Facts {
    /// Notes what another replica wrote beside the change.
    pub fn note_beside(&mut self, change: &Change, of: &HashSet<OpId>) {
        for op in change.decode().operations {
            let met = op.pred.iter().filter(|pred| of.contains(*pred));
            match op.action {
                automerge::legacy::OpType::Increment(by) => {
                    for pred in met {
                        let sum = self.added.entry(pred.clone()).or_default();
                        *sum = sum.saturating_add(by);
                    }
                }
                _ => self.touched.extend(met.cloned()),
            }
        }
    }
}

/// One step of an undo.
#[derive(Debug, Clone)]
pub enum Inverse {
    /// Puts a value in the place of what is there.
    Put {
        /// The map or list.
        object: ObjId,
        /// The key or index.
        at: Prop,
        /// What.
        copy: Copy,
    },
    /// Removes a key of a map.
    Delete {
        /// The map.
        object: ObjId,
        /// The key.
        at: Prop,
    },
    /// Adds to a counter.
    Add {
        /// The map or list.
        object: ObjId,
        /// The key or index.
        at: Prop,
        /// How much.
        by: i64,
    },
    /// Marks a part of a text, or unmarks it with null.
    Mark {
        /// The text.
        object: ObjId,
        /// The mark.
        mark: Mark,
    },
    /// Removes elements of a list or code points of a text.
    Remove {
        /// The list or text.
        object: ObjId,
        /// From here.
        index: usize,
        /// How many.
        count: usize,
        /// It is a text.
        text: bool,
    },
    /// Inserts elements into a list or text.
    Insert {
        /// The list or text.
        object: ObjId,
        /// Before this index.
        index: usize,
        /// What.
        copies: Vec<Copy>,
        /// It is a text.
        text: bool,
    },
}

/// What is to be written, in this order.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// The steps.
    pub inverses: Vec<Inverse>,
    /// At how many places something is undone. Of a list or text, everything inserted is one place, and
    /// everything deleted another.
    pub undone: u64,
    /// At how many places the change no longer wins, or what it replaced cannot be put back.
    pub skipped: u64,
    /// Where that is, as the change found it: JSON Pointers, of lists and texts that of the whole.
    pub left: Vec<String>,
}

impl Plan {
    /// Notes a place that is left as it is.
    fn note_left(&mut self, path: String) {
        if !self.left.contains(&path) {
            self.left.push(path);
        }
    }

    /// Every value that the plan writes, with what is in it.
    pub(super) fn each_copy(&self, each: &mut dyn FnMut(&Copy)) {
        for inverse in &self.inverses {
            match inverse {
                Inverse::Put { copy, .. } => copy.each(each),
                Inverse::Insert { copies, .. } => copies.iter().for_each(|copy| copy.each(each)),
                Inverse::Delete { .. }
                | Inverse::Add { .. }
                | Inverse::Mark { .. }
                | Inverse::Remove { .. } => {}
            }
        }
    }
}

/// Every operation of the change that replaced, deleted or added to one of somebody else: what
/// [`Facts::note_beside`] is to look for.
pub fn preds_of(change: &Change) -> HashSet<OpId> {
    Target::of(change).preds().into_iter().cloned().collect()
}

/// What takes the change back, on the document as it is. The change must be in the document.
///
/// # Errors
/// [`TooDeep`].
pub fn plan(am: &Automerge, change: &Change, facts: &Facts) -> Result<Plan, TooDeep> {
    plan_of(am, (change, None), facts)
}

/// The same for an undo or redo, with the action that it has to do with, and whether that stands again then.
///
/// # Errors
/// [`TooDeep`].
pub fn plan_of(
    am: &Automerge,
    (change, root): (&Change, Option<(&Change, bool)>),
    facts: &Facts,
) -> Result<Plan, TooDeep> {
    let target = Target::of(change);
    let action = root.map(|(action, again)| (Target::of(action), again));
    let root = action.as_ref().map(|(target, again)| Root { target, again: *again });
    // What the action inserted goes as its own.
    let undone = root.filter(|root| !root.again && root.target.places.iter().any(|place| place.inserted));
    let more = undone.iter().flat_map(|root| &root.target.operations);
    let ours = target.operations.iter().chain(more).map(|id| facts.standing.first(id)).collect();
    let mut planner =
        Planner { am, facts, target: &target, root, ours, plan: Plan::default(), lists: Vec::new() };
    for place in &target.places {
        let skipped = planner.plan.skipped;
        planner.place(place)?;
        if planner.plan.skipped > skipped {
            let path = planner.path_of(place);
            planner.plan.note_left(path);
        }
    }
    planner.root_places()?;
    planner.finish()
}

pub(super) struct Planner<'a> {
    pub(super) am: &'a Automerge,
    pub(super) facts: &'a Facts,
    pub(super) target: &'a Target,
    pub(super) root: Option<Root<'a>>,
    /// What the change's operations stand for in the end.
    pub(super) ours: HashSet<OpId>,
    pub(super) plan: Plan,
    pub(super) lists: Vec<ListEdit>,
}

impl Planner<'_> {
    pub(super) fn first(&self, id: &OpId) -> OpId {
        self.facts.standing.first(id)
    }

    /// Whether the change wrote it itself.
    pub(super) fn is_own(&self, id: &OpId) -> bool {
        let of = &self.target.operations;
        of.first().zip(of.last()).is_some_and(|(from, to)| id.1 == from.1 && (from.0..=to.0).contains(&id.0))
    }

    pub(super) fn is_ours(&self, id: &ObjId) -> bool {
        op_of(id).is_some_and(|id| self.ours.contains(&self.first(&id)))
    }

    /// The object as it is in the document now: itself, or what was put back in its place.
    pub(super) fn live(&self, object: &ObjId) -> Option<ObjId> {
        let Some(id) = op_of(object) else { return Some(ROOT) };
        let first = self.first(&id);
        let copies = self.facts.standing.copies(&first).iter().rev();
        let candidates = copies.chain([&first, &id]).map(exid);
        let visible = |object: &ObjId| {
            self.am.parents(object).ok().and_then(|parents| parents.visible_path()).is_some()
        };
        candidates.into_iter().find(visible)
    }

    /// Where a place was when the change was made.
    fn path_of(&self, place: &Place) -> String {
        let path = self.object_path(&place.object);
        match &place.at {
            At::Key(key) => format!("{path}{}", state::pointer([&Prop::Map(key.clone())].into_iter())),
            At::Element(_) => path,
        }
    }

    fn object_path(&self, object: &ObjId) -> String {
        state::path_at(self.am, object, &[self.target.hash])
    }

    fn place(&mut self, place: &Place) -> Result<(), TooDeep> {
        if place.inserted && place.left == Left::Nothing {
            return Ok(());
        }
        let Some(live) = self.live(&place.object) else {
            self.plan.skipped += 1;
            return Ok(());
        };
        match &place.at {
            At::Key(key) => self.key(place, &live, key),
            At::Element(element) => self.element(place, live, element),
        }
    }

    fn key(&mut self, place: &Place, live: &ObjId, key: &str) -> Result<(), TooDeep> {
        let at = Prop::Map(key.to_owned());
        let there = self.am.get(live, key).ok().flatten();
        match (place.left, there) {
            (Left::Nothing, None) => {
                let before = self.before_key(place, key)?;
                self.put_or_skip(live, at, before);
            }
            (Left::Value, Some((value, id))) if self.puts(place, &id) => {
                self.take_back(place, (live, at), (value, id))?;
            }
            (Left::Counter, Some((value, id))) => self.subtract(place, (live, at), (&value, &id)),
            _ => self.plan.skipped += 1,
        }
        Ok(())
    }

    /// Whether the value that reads there is one that the change put at this place.
    fn puts(&self, place: &Place, winner: &ObjId) -> bool {
        self.stands_for_one(&place.puts, winner)
    }

    fn stands_for_one(&self, ids: &[OpId], winner: &ObjId) -> bool {
        let Some(winner) = op_of(winner).map(|id| self.first(&id)) else { return false };
        ids.iter().any(|id| self.first(id) == winner)
    }

    pub(super) fn put_or_skip(&mut self, object: &ObjId, at: Prop, copy: Option<Copy>) {
        match copy {
            Some(copy) => {
                self.plan.inverses.push(Inverse::Put { object: object.clone(), at, copy });
                self.plan.undone += 1;
            }
            None => self.plan.skipped += 1,
        }
    }

    /// The change's value wins: what it hid comes forward, what it replaced is put back, or nothing is there.
    pub(super) fn take_back(
        &mut self,
        place: &Place,
        (object, at): (&ObjId, Prop),
        (value, id): (Value<'_>, ObjId),
    ) -> Result<(), TooDeep> {
        if let Value::Object(kind) = value
            && self.is_shared(&id, kind)
        {
            self.plan.skipped += 1;
            return self.empty_of_ours(&id, kind);
        }
        let since = self.added_since(&value, &id);
        let before = match self.beside(object, &at)? {
            Some(copy) if !is_planted(Bug::UndoOverOthers) => Some(copy),
            _ => match &place.at {
                At::Key(key) => self.before_key(place, key)?,
                At::Element(_) => {
                    let nth = self.lists.iter().position(|list| list.live == *object);
                    nth.map_or(Ok(None), |nth| self.before_element(place, nth))?
                }
            },
        };
        match (before, since) {
            (before, 0) => match (before, &at) {
                (Some(copy), _) => self.put_or_skip(object, at, Some(copy)),
                (None, Prop::Map(_)) => {
                    self.plan.inverses.push(Inverse::Delete { object: object.clone(), at });
                    self.plan.undone += 1;
                }
                (None, Prop::Seq(_)) => self.plan.skipped += 1,
            },
            // Others have added to the counter: that stays, where there is a counter to have it.
            (Some(Copy { of, content: Content::Scalar(ScalarValue::Counter(n)) }), since) => {
                let sum = ScalarValue::counter(i64::from(&n).saturating_add(since));
                self.put_or_skip(object, at, Some(Copy { of, content: Content::Scalar(sum) }));
            }
            _ => self.plan.skipped += 1,
        }
        Ok(())
    }

    /// What others added to a counter that the change put.
    pub(super) fn added_since(&self, value: &Value<'_>, id: &ObjId) -> i64 {
        let Some(ScalarValue::Counter(now)) = value.as_scalar() else { return 0 };
        let then = op_of(id).and_then(|id| self.target.counters.get(&id));
        then.map_or(0, |then| i64::from(now).saturating_sub(*then))
    }

    /// The best of what others wrote at the same place without having seen the change.
    pub(super) fn beside(&self, object: &ObjId, at: &Prop) -> Result<Option<Copy>, TooDeep> {
        let all = self.am.get_all(object, at.clone()).unwrap_or_default();
        match all.iter().rev().find(|(_, id)| !self.is_ours(id)) {
            Some((value, id)) => read(self.am, value, id),
            None => Ok(None),
        }
    }

    /// What was under the key before the change; `None` where there was nothing, where somebody else took it away
    /// as well, and where it counts as undone itself and there was nothing before it.
    fn before_key(&self, place: &Place, key: &str) -> Result<Option<Copy>, TooDeep> {
        let mut heads = self.target.deps.clone();
        for _ in 0..MOST_BACK {
            let Some((value, id)) = self.am.get_at(&place.object, key, &heads).ok().flatten() else {
                return Ok(None);
            };
            let Some(op) = op_of(&id) else { return Ok(None) };
            if self.facts.touched.contains(&op) {
                return Ok(None);
            }
            let Some(earlier) = self.deps_if_undone(&op) else {
                return self.copy_before(&value, &id);
            };
            heads = earlier;
        }
        Ok(None)
    }

    /// What the change that wrote it was made on, where that change counts as undone.
    fn deps_if_undone(&self, op: &OpId) -> Option<Vec<ChangeHash>> {
        let first = self.facts.recent.as_ref().unwrap_or(&self.facts.standing).first(op);
        let hash = [op, &first].into_iter().find_map(|op| {
            let hash = self.am.hash_for_opid(&exid(op))?;
            self.facts.undone.contains(&hash).then_some(hash)
        })?;
        Some(self.am.get_change_meta_by_hash(&hash)?.deps.to_vec())
    }

    /// A value as it was, a counter with what others added beside the change.
    pub(super) fn copy_before(&self, value: &Value<'_>, id: &ObjId) -> Result<Option<Copy>, TooDeep> {
        let mut copy = read(self.am, value, id)?;
        if let Some(Copy { of, content: Content::Scalar(ScalarValue::Counter(n)) }) = &mut copy
            && let Some(by) = self.facts.added.get(of)
        {
            *n = i64::from(&*n).saturating_add(*by).into();
        }
        Ok(copy)
    }

    pub(super) fn subtract(
        &mut self,
        place: &Place,
        (object, at): (&ObjId, Prop),
        (value, id): (&Value<'_>, &ObjId),
    ) {
        let counter = matches!(value.as_scalar(), Some(ScalarValue::Counter(_)));
        let by = place.added.checked_neg();
        match by {
            Some(by) if counter && self.stands_for_one(&place.preds, id) => {
                self.plan.inverses.push(Inverse::Add { object: object.clone(), at, by });
                self.plan.undone += 1;
            }
            _ => self.plan.skipped += 1,
        }
    }

    fn finish(mut self) -> Result<Plan, TooDeep> {
        let target = self.target;
        for (object, name) in &target.marks {
            let skipped = self.plan.skipped;
            self.unmark(object, name);
            if self.plan.skipped > skipped {
                let path = self.object_path(object);
                self.plan.note_left(path);
            }
        }
        // What is found in one list may add another, of what is inside.
        let mut nth = 0;
        while nth < self.lists.len() {
            self.uninsert(nth)?;
            nth += 1;
        }
        for mut list in std::mem::take(&mut self.lists) {
            list.settle();
            let undone = u64::from(list.inserts && !list.removed.is_empty());
            self.plan.undone += undone + u64::from(!list.inserted.is_empty());
            let left = u64::from(list.inserts_left) + u64::from(list.deletes && list.deletes_left);
            if left > 0 {
                let path = self.object_path(&list.object);
                self.plan.note_left(path);
            }
            self.plan.skipped += left;
            list.write(&mut self.plan.inverses);
        }
        Ok(self.plan)
    }
}
