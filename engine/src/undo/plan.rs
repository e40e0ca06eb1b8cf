//! What is to be written so that a change counts as undone.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, Change, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, Value};

use super::{
    Content, Copy, OpId, Standing, TooDeep,
    copy::read,
    exid, op_of,
    sequence::{Element, Sequence},
    target::{At, Left, Place, Target},
};

/// How far back a value is followed whose change was undone itself.
const MOST_BACK: usize = 1_000;

/// What an undo must know beside the document.
#[derive(Debug, Clone, Default)]
pub struct Facts {
    /// What stands for what.
    pub standing: Standing,
    /// Operations that somebody replaced or deleted beside the change, not having seen it.
    pub touched: HashSet<OpId>,
    /// What somebody added to counters beside the change.
    pub added: HashMap<OpId, i64>,
    /// Changes that count as undone: what they wrote is not put back.
    pub undone: HashSet<ChangeHash>,
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
}

impl Plan {
    /// Every value that the plan writes, with what is in it.
    pub(super) fn each_copy(&self, each: &mut dyn FnMut(&Copy)) {
        for inverse in &self.inverses {
            match inverse {
                Inverse::Put { copy, .. } => copy.each(each),
                Inverse::Insert { copies, .. } => copies.iter().for_each(|copy| copy.each(each)),
                Inverse::Delete { .. } | Inverse::Add { .. } | Inverse::Remove { .. } => {}
            }
        }
    }
}

/// Every operation of the change that replaced, deleted or added to one of somebody else: what
/// [`Facts::note_beside`] is to look for.
pub(crate) fn preds_of(change: &Change) -> HashSet<OpId> {
    Target::of(change).preds().into_iter().cloned().collect()
}

/// What takes the change back, on the document as it is. The change must be in the document.
///
/// # Errors
/// [`TooDeep`].
pub fn plan(am: &Automerge, change: &Change, facts: &Facts) -> Result<Plan, TooDeep> {
    let target = Target::of(change);
    let ours = target.operations.iter().map(|id| facts.standing.first(id)).collect();
    let mut planner = Planner { am, facts, target: &target, ours, plan: Plan::default(), lists: Vec::new() };
    for place in &target.places {
        planner.place(place)?;
    }
    planner.finish()
}

struct Planner<'a> {
    am: &'a Automerge,
    facts: &'a Facts,
    target: &'a Target,
    /// What the change's operations stand for in the end.
    ours: HashSet<OpId>,
    plan: Plan,
    lists: Vec<ListEdit>,
}

/// What is to be done with one list or text.
struct ListEdit {
    /// The object that the change wrote to.
    object: ObjId,
    /// The one that stands for it now.
    live: ObjId,
    text: bool,
    now: Sequence,
    /// What it was before the change; read when it is needed.
    before: Option<Sequence>,
    /// Elements that go, by their place in `now`.
    removed: HashSet<usize>,
    /// What is inserted: the index, its place among what the change met, and the value.
    inserted: Vec<(usize, usize, Copy)>,
    /// Whether the change inserted, and deleted.
    inserts: bool,
    deletes: bool,
    /// Some of what the change inserted is gone or was written over; some of what it deleted does not return.
    inserts_left: bool,
    deletes_left: bool,
}

impl Planner<'_> {
    fn first(&self, id: &OpId) -> OpId {
        self.facts.standing.first(id)
    }

    fn is_ours(&self, id: &ObjId) -> bool {
        op_of(id).is_some_and(|id| self.ours.contains(&self.first(&id)))
    }

    /// The object as it is in the document now: itself, or what was put back in its place.
    fn live(&self, object: &ObjId) -> Option<ObjId> {
        let Some(id) = op_of(object) else { return Some(ROOT) };
        let first = self.first(&id);
        let copies = self.facts.standing.copies(&first).iter().rev();
        let candidates = copies.chain([&first, &id]).map(exid);
        let visible = |object: &ObjId| {
            self.am.parents(object).ok().and_then(|parents| parents.visible_path()).is_some()
        };
        candidates.into_iter().find(visible)
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

    fn put_or_skip(&mut self, object: &ObjId, at: Prop, copy: Option<Copy>) {
        match copy {
            Some(copy) => {
                self.plan.inverses.push(Inverse::Put { object: object.clone(), at, copy });
                self.plan.undone += 1;
            }
            None => self.plan.skipped += 1,
        }
    }

    /// The change's value wins: what it hid comes forward, what it replaced is put back, or nothing is there.
    fn take_back(
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
            Some(copy) => Some(copy),
            None => match &place.at {
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
    fn added_since(&self, value: &Value<'_>, id: &ObjId) -> i64 {
        let Some(ScalarValue::Counter(now)) = value.as_scalar() else { return 0 };
        let then = op_of(id).and_then(|id| self.target.counters.get(&id));
        then.map_or(0, |then| i64::from(now).saturating_sub(*then))
    }

    /// The best of what others wrote at the same place without having seen the change.
    fn beside(&self, object: &ObjId, at: &Prop) -> Result<Option<Copy>, TooDeep> {
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
        let first = self.first(op);
        let hash = [op, &first].into_iter().find_map(|op| {
            let hash = self.am.hash_for_opid(&exid(op))?;
            self.facts.undone.contains(&hash).then_some(hash)
        })?;
        Some(self.am.get_change_meta_by_hash(&hash)?.deps.to_vec())
    }

    /// A value as it was, a counter with what others added beside the change.
    fn copy_before(&self, value: &Value<'_>, id: &ObjId) -> Result<Option<Copy>, TooDeep> {
        let mut copy = read(self.am, value, id)?;
        if let Some(Copy { of, content: Content::Scalar(ScalarValue::Counter(n)) }) = &mut copy
            && let Some(by) = self.facts.added.get(of)
        {
            *n = i64::from(&*n).saturating_add(*by).into();
        }
        Ok(copy)
    }

    fn subtract(&mut self, place: &Place, (object, at): (&ObjId, Prop), (value, id): (&Value<'_>, &ObjId)) {
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
}

/// Objects that the change made.
impl Planner<'_> {
    /// Whether somebody else has written into the object.
    fn is_shared(&self, object: &ObjId, kind: ObjType) -> bool {
        let shared = |value: Value<'_>, id: &ObjId, conflict: bool| match value {
            _ if conflict || !self.is_ours(id) => true,
            Value::Object(kind) => self.is_shared(id, kind),
            value => self.added_since(&value, id) != 0,
        };
        match kind {
            ObjType::Map | ObjType::Table => self
                .am
                .map_range(object, ..)
                .any(|item| shared(item.value.clone().into_value(), &item.id(), item.conflict)),
            ObjType::List | ObjType::Text => self
                .am
                .list_range(object, ..)
                .any(|item| shared(item.value.clone().into_value(), &item.id(), item.conflict)),
        }
    }

    /// Takes what is ours out of an object in which others have written.
    fn empty_of_ours(&mut self, object: &ObjId, kind: ObjType) -> Result<(), TooDeep> {
        match kind {
            ObjType::Map | ObjType::Table => {
                for item in self.am.map_range(object, ..) {
                    let id = item.id();
                    if item.conflict || !self.is_ours(&id) {
                        continue;
                    }
                    let value = item.value.clone().into_value();
                    match value {
                        Value::Object(kind) if self.is_shared(&id, kind) => self.empty_of_ours(&id, kind)?,
                        value if self.added_since(&value, &id) != 0 => {}
                        _ => {
                            let at = Prop::Map(item.key.into_owned());
                            self.plan.inverses.push(Inverse::Delete { object: object.clone(), at });
                            self.plan.undone += 1;
                        }
                    }
                }
            }
            ObjType::List | ObjType::Text => {
                let nth = self.list(object, object.clone());
                self.remove_ours(nth)?;
            }
        }
        Ok(())
    }
}

/// Lists and texts.
impl Planner<'_> {
    /// The edit of this list; begun, when it is the first of it.
    fn list(&mut self, object: &ObjId, live: ObjId) -> usize {
        if let Some(nth) = self.lists.iter().position(|list| list.live == live) {
            return nth;
        }
        let text = matches!(self.am.object_type(&live), Ok(ObjType::Text));
        let now = Sequence::read(self.am, &live, None, &self.facts.standing);
        self.lists.push(ListEdit {
            object: object.clone(),
            live,
            text,
            now,
            before: None,
            removed: HashSet::new(),
            inserted: Vec::new(),
            inserts: false,
            deletes: false,
            inserts_left: false,
            deletes_left: false,
        });
        self.lists.len() - 1
    }

    fn element(&mut self, place: &Place, live: ObjId, element: &OpId) -> Result<(), TooDeep> {
        let nth = self.list(&place.object, live);
        if place.inserted {
            return self.uninsert(place, nth);
        }
        match place.left {
            Left::Nothing => return self.undelete(place, nth, element),
            Left::Value | Left::Counter => {}
        }
        let Some(list) = self.lists.get(nth) else { return Ok(()) };
        let of = if place.left == Left::Value { &place.puts } else { &place.preds };
        let found = of.iter().find_map(|id| list.now.find(&self.facts.standing.first(id)));
        let Some((which, index)) = found.map(|(which, element)| (which, element.index)) else {
            self.plan.skipped += 1;
            return Ok(());
        };
        let live = list.live.clone();
        let Some((value, id)) = self.am.get(&live, index).ok().flatten() else { return Ok(()) };
        if place.left == Left::Counter {
            self.subtract(place, (&live, Prop::Seq(index)), (&value, &id));
            return Ok(());
        }
        // Somebody deleted what the change replaced: without the change, nothing would be there.
        let gone = place.preds.iter().any(|pred| self.facts.touched.contains(pred));
        if gone && self.beside(&live, &Prop::Seq(index))?.is_none() {
            if let Some(list) = self.lists.get_mut(nth) {
                list.removed.insert(which);
            }
            self.plan.undone += 1;
            return Ok(());
        }
        self.take_back(place, (&live, Prop::Seq(index)), (value, id))
    }

    /// The change inserted the element: it goes, unless it is gone or somebody wrote over it.
    fn uninsert(&mut self, place: &Place, nth: usize) -> Result<(), TooDeep> {
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        list.inserts = true;
        let found = place.puts.iter().find_map(|id| list.now.find(&self.facts.standing.first(id)));
        let Some((which, _)) = found else {
            list.inserts_left = true;
            return Ok(());
        };
        self.remove_element(nth, which)
    }

    /// Removes an element whose value is ours, or takes out of it what is ours.
    fn remove_element(&mut self, nth: usize, which: usize) -> Result<(), TooDeep> {
        let Some(list) = self.lists.get(nth) else { return Ok(()) };
        let Some(element) = list.now.elements.get(which) else { return Ok(()) };
        let (live, index, conflict) = (list.live.clone(), element.index, element.conflict);
        let id = exid(&element.id);
        if conflict && let Some(copy) = self.beside(&live, &Prop::Seq(index))? {
            self.put_or_skip(&live, Prop::Seq(index), Some(copy));
            return Ok(());
        }
        let kind = self.am.object_type(&id).ok();
        let shared = match kind {
            Some(kind) => self.is_shared(&id, kind),
            None if self.target.counters.is_empty() => false,
            None => {
                let value = self.am.get(&live, index).ok().flatten();
                value.is_some_and(|(value, id)| self.added_since(&value, &id) != 0)
            }
        };
        if !shared {
            if let Some(list) = self.lists.get_mut(nth) {
                list.removed.insert(which);
            }
            return Ok(());
        }
        if let Some(list) = self.lists.get_mut(nth) {
            list.inserts_left = true;
        }
        kind.map_or(Ok(()), |kind| self.empty_of_ours(&id, kind))
    }

    /// Every element of ours in a list in which others have written.
    fn remove_ours(&mut self, nth: usize) -> Result<(), TooDeep> {
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        list.inserts = true;
        let ours: Vec<usize> = (0..)
            .zip(&list.now.elements)
            .filter(|(_, e)| self.ours.contains(&e.first))
            .map(|(n, _)| n)
            .collect();
        ours.into_iter().try_for_each(|which| self.remove_element(nth, which))
    }

    /// The change deleted the element: it returns, unless it is there, or somebody else deleted it or put
    /// something there.
    fn undelete(&mut self, place: &Place, nth: usize, element: &OpId) -> Result<(), TooDeep> {
        self.read_before(nth);
        let touched = place.preds.iter().any(|pred| self.facts.touched.contains(pred));
        let standing = &self.facts.standing;
        let Some(list) = self.lists.get(nth) else { return Ok(()) };
        let there = place.preds.iter().any(|pred| list.now.find(&standing.first(pred)).is_some());
        let was = list
            .before
            .as_ref()
            .and_then(|before| place.preds.iter().find_map(|pred| before.find(&standing.first(pred))));
        let copy = match was.filter(|_| !touched && !there) {
            Some((order, was)) => match &was.value {
                Some(value) => self.copy_before(value, &exid(&was.id))?.map(|copy| (order, copy)),
                None => None,
            },
            None => None,
        };
        // Where the element was, as the document remembers it.
        let tomb = (list.live == list.object).then(|| place_of(self.am, &list.object, element)).flatten();
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        list.deletes = true;
        match copy {
            Some((order, copy)) => list.inserted.push((tomb.unwrap_or(usize::MAX), order, copy)),
            None => list.deletes_left = true,
        }
        Ok(())
    }

    /// Reads the list as it was before the change.
    fn read_before(&mut self, nth: usize) {
        if let Some(list) = self.lists.get_mut(nth)
            && list.before.is_none()
        {
            let deps = &self.target.deps;
            list.before = Some(Sequence::read(self.am, &list.object, Some(deps), &self.facts.standing));
        }
    }

    /// What was at an element before the change replaced it.
    fn before_element(&mut self, place: &Place, nth: usize) -> Result<Option<Copy>, TooDeep> {
        self.read_before(nth);
        let before = self.lists.get(nth).and_then(|list| list.before.as_ref());
        let found =
            before.and_then(|before| place.preds.iter().find_map(|pred| before.find(&self.first(pred))));
        match found {
            Some((_, Element { id, value: Some(value), .. })) => self.copy_before(value, &exid(id)),
            _ => Ok(None),
        }
    }

    fn finish(mut self) -> Result<Plan, TooDeep> {
        for mut list in std::mem::take(&mut self.lists) {
            list.settle();
            let undone = u64::from(list.inserts && !list.removed.is_empty());
            self.plan.undone += undone + u64::from(!list.inserted.is_empty());
            self.plan.skipped += u64::from(list.inserts_left) + u64::from(list.deletes && list.deletes_left);
            list.write(&mut self.plan.inverses);
        }
        // Marks are left as they are.
        self.plan.skipped += self.target.marks;
        Ok(self.plan)
    }
}

/// The index that an operation's element has, or would have.
fn place_of(am: &Automerge, object: &ObjId, element: &OpId) -> Option<usize> {
    let cursor = automerge::Cursor::try_from(format!("{}@{}", element.0, element.1).as_str()).ok()?;
    am.get_cursor_position(object, &cursor, None).ok()
}

impl ListEdit {
    /// Finds where what returns belongs: where the document remembers it, but not before what stood before it, nor
    /// behind what stood behind it, as far as those are there (or what stands for them).
    fn settle(&mut self) {
        let Some(before) = &self.before else { return };
        let there: Vec<Option<(usize, usize)>> = before
            .elements
            .iter()
            .map(|e| self.now.find(&e.first).map(|(_, now)| (now.index, now.index + now.width)))
            .collect();
        let mut low = Vec::with_capacity(there.len());
        let mut bound = 0;
        for element in &there {
            low.push(bound);
            bound = element.map_or(bound, |(_, end)| end);
        }
        let mut high = vec![self.now.length; there.len()];
        let mut bound = self.now.length;
        for (place, element) in high.iter_mut().zip(&there).rev() {
            *place = bound;
            bound = element.map_or(bound, |(start, _)| start);
        }
        for (index, order, _) in &mut self.inserted {
            let low = low.get(*order).copied().unwrap_or(0);
            let high = high.get(*order).copied().unwrap_or(self.now.length);
            let wanted = if *index == usize::MAX { low } else { *index };
            *index = wanted.min(high).max(low);
        }
        self.inserted.sort_by_key(|(index, order, _)| (*index, *order));
        // What was in this order stays in it.
        let mut least = 0;
        let mut by_order: Vec<&mut (usize, usize, Copy)> = self.inserted.iter_mut().collect();
        by_order.sort_by_key(|(_, order, _)| *order);
        for (index, _, _) in by_order {
            least = least.max(*index);
            *index = least;
        }
        self.inserted.sort_by_key(|(_, order, _)| *order);
    }

    /// The steps, from the end to the beginning, so that none moves what another means.
    fn write(self, inverses: &mut Vec<Inverse>) {
        let mut removed: Vec<usize> = self.removed.iter().copied().collect();
        removed.sort_unstable();
        let mut inserted = self.inserted;
        while let (Some(removal), insertion) = (removed.last().copied(), inserted.last()) {
            let Some(element) = self.now.elements.get(removal) else { break };
            if insertion.is_some_and(|(index, _, _)| *index > element.index) {
                insert_run(&mut inserted, (&self.live, self.text), inverses);
                continue;
            }
            removed.pop();
            let step = (element.index, element.width);
            match inverses.last_mut() {
                Some(Inverse::Remove { object, index, count, .. })
                    if *object == self.live && step.0 + step.1 == *index =>
                {
                    *index = step.0;
                    *count += step.1;
                }
                _ => inverses.push(Inverse::Remove {
                    object: self.live.clone(),
                    index: step.0,
                    count: step.1,
                    text: self.text,
                }),
            }
        }
        while !inserted.is_empty() {
            insert_run(&mut inserted, (&self.live, self.text), inverses);
        }
    }
}

/// Takes from the end what is inserted at one index.
fn insert_run(
    inserted: &mut Vec<(usize, usize, Copy)>,
    (object, text): (&ObjId, bool),
    inverses: &mut Vec<Inverse>,
) {
    let Some(index) = inserted.last().map(|(index, _, _)| *index) else { return };
    let from = inserted.partition_point(|(at, _, _)| *at < index);
    let copies = inserted.split_off(from).into_iter().map(|(_, _, copy)| copy).collect();
    inverses.push(Inverse::Insert { object: object.clone(), index, copies, text });
}
