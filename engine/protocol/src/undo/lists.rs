//! Lists and texts: what was inserted goes, what was deleted returns to its place.

use std::collections::HashSet;

use automerge::{Automerge, ChangeHash, ObjId, ObjType, Prop, ReadDoc};

use super::{
    Copy, OpId, TooDeep, exid,
    plan::{Inverse, Planner},
    sequence::{Element, Sequence},
    target::{Left, Place},
};

/// What is to be done with one list or text.
pub(super) struct ListEdit {
    /// The object that the change wrote to.
    pub(super) object: ObjId,
    /// The one that stands for it now.
    pub(super) live: ObjId,
    text: bool,
    pub(super) now: Sequence,
    /// What it was before the change; read when it is needed.
    before: Option<Sequence>,
    /// What the change inserted, and at how many elements.
    pub(super) wanted: HashSet<OpId>,
    wants: usize,
    /// Elements that go, by their place in `now`.
    pub(super) removed: HashSet<usize>,
    /// What is inserted: the index, its place among what the change met, and the value.
    pub(super) inserted: Vec<(usize, usize, Copy)>,
    /// Whether the change inserted, and deleted.
    pub(super) inserts: bool,
    pub(super) deletes: bool,
    /// Some of what the change inserted is gone or was written over; some of what it deleted does not return.
    pub(super) inserts_left: bool,
    pub(super) deletes_left: bool,
}

impl Planner<'_> {
    /// The edit of this list; begun, when it is the first of it.
    pub(super) fn list(&mut self, object: &ObjId, live: ObjId) -> usize {
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
            wanted: HashSet::new(),
            wants: 0,
            removed: HashSet::new(),
            inserted: Vec::new(),
            inserts: false,
            deletes: false,
            inserts_left: false,
            deletes_left: false,
        });
        self.lists.len() - 1
    }

    pub(super) fn element(&mut self, place: &Place, live: ObjId, element: &OpId) -> Result<(), TooDeep> {
        let nth = self.list(&place.object, live);
        if place.inserted {
            if let Some(list) = self.lists.get_mut(nth) {
                list.inserts = true;
                list.wants += 1;
                list.wanted.extend(place.puts.iter().map(|id| self.facts.standing.first(id)));
            }
            return Ok(());
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

    /// The elements that the change inserted go, unless they are gone or somebody wrote over them.
    pub(super) fn uninsert(&mut self, nth: usize) -> Result<(), TooDeep> {
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        let wanted = std::mem::take(&mut list.wanted);
        let Some(list) = self.lists.get(nth) else { return Ok(()) };
        let mut copies = list.now.elements.iter().filter(|element| wanted.contains(&element.first));
        // Where two had put something back at once, one was there before the other.
        if copies.any(|element| !self.is_own(&element.id) && !self.is_own(&element.first)) {
            self.read_before(nth);
        }
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        let elements = (0..).zip(&list.now.elements).filter(|(_, element)| wanted.contains(&element.first));
        let found: Vec<usize> =
            elements.filter(|(_, element)| !list.was_met(element)).map(|(which, _)| which).collect();
        list.inserts_left |= found.len() < list.wants;
        found.into_iter().try_for_each(|which| self.remove_element(nth, which))
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
    pub(super) fn remove_ours(&mut self, nth: usize) -> Result<(), TooDeep> {
        let Some(list) = self.lists.get_mut(nth) else { return Ok(()) };
        list.inserts = true;
        let ours: Vec<usize> = (0..)
            .zip(&list.now.elements)
            .filter(|(_, e)| self.ours.contains(&e.first))
            .map(|(n, _)| n)
            .collect();
        ours.into_iter().try_for_each(|which| self.remove_element(nth, which))
    }

    /// The change deleted the element: it returns, unless it is there, or somebody else deleted it or put something
    /// there, or its insertion was undone.
    fn undelete(&mut self, place: &Place, nth: usize, element: &OpId) -> Result<(), TooDeep> {
        let back = !self.is_barred(&place.preds) && self.restore(nth, &place.preds, element)?;
        if let Some(list) = self.lists.get_mut(nth) {
            list.deletes = true;
            list.deletes_left |= !back;
        }
        Ok(())
    }

    /// Puts an element back, by what read there; `false` where it is there, or cannot be put back.
    pub(super) fn restore(&mut self, nth: usize, ids: &[OpId], element: &OpId) -> Result<bool, TooDeep> {
        self.read_before(nth);
        let firsts: Vec<OpId> = ids.iter().map(|id| self.first(id)).collect();
        let Some(list) = self.lists.get(nth) else { return Ok(false) };
        // What the change wrote goes; what was there beside it is another.
        let is_it = |element: &Element| !self.is_own(&element.id) && !list.was_met(element);
        if firsts.iter().any(|first| list.now.find_all(first).any(|(_, element)| is_it(element))) {
            return Ok(false);
        }
        let all = || list.before.iter().flat_map(|b| firsts.iter().flat_map(|first| b.find_all(first)));
        let was = all().find(|(_, element)| ids.contains(&element.id)).or_else(|| all().next());
        let Some((order, Element { id, merged, value: Some(value), .. })) = was else { return Ok(false) };
        let id = if *merged && value.is_object() { self.newest(id) } else { exid(id) };
        let Some(copy) = self.copy_before(value, &id)? else { return Ok(false) };
        // Where the element was, as the document remembers it.
        let tomb = (list.live == list.object).then(|| place_of(self.am, &list.object, element)).flatten();
        if let Some(list) = self.lists.get_mut(nth) {
            list.inserted.push((tomb.unwrap_or(usize::MAX), order, copy));
        }
        Ok(true)
    }

    /// Reads the list as it was before the change.
    pub(super) fn read_before(&mut self, nth: usize) {
        let Some(list) = self.lists.get_mut(nth) else { return };
        if list.before.is_some() {
            return;
        }
        let read =
            |heads: &[ChangeHash]| Sequence::read(self.am, &list.object, Some(heads), &self.facts.standing);
        let before = read(&self.target.deps);
        let Some(root) = &self.root else {
            list.before = Some(before);
            return;
        };
        let earlier = if root.again { read(&[root.target.hash]) } else { read(&root.target.deps) };
        // What came and went between the action and the change.
        list.before = Some(before.merged(earlier));
    }

    /// What was at an element before the change replaced it.
    pub(super) fn before_element(&mut self, place: &Place, nth: usize) -> Result<Option<Copy>, TooDeep> {
        self.read_before(nth);
        let before = self.lists.get(nth).and_then(|list| list.before.as_ref());
        let found =
            before.and_then(|before| place.preds.iter().find_map(|pred| before.find(&self.first(pred))));
        match found {
            Some((_, Element { id, value: Some(value), .. })) => self.copy_before(value, &exid(id)),
            _ => Ok(None),
        }
    }
}

/// The index that an operation's element has, or would have.
fn place_of(am: &Automerge, object: &ObjId, element: &OpId) -> Option<usize> {
    let cursor = automerge::Cursor::try_from(format!("{}@{}", element.0, element.1).as_str()).ok()?;
    am.get_cursor_position(object, &cursor, None).ok()
}

impl ListEdit {
    /// Whether this very element was there before the change. Knows only what was read of that.
    fn was_met(&self, element: &Element) -> bool {
        let before = self.before.iter().flat_map(|before| before.find_all(&element.first));
        before.into_iter().any(|(_, then)| !then.merged && then.id == element.id)
    }

    /// Whether one that stands for one of these was there before the change.
    pub(super) fn had(&self, firsts: &[OpId]) -> bool {
        let mut before = self.before.iter().flat_map(|b| firsts.iter().flat_map(|first| b.find_all(first)));
        before.any(|(_, then)| !then.merged)
    }

    /// Finds where what returns belongs: where the document remembers it, but not before what stood before it, nor
    /// behind what stood behind it, as far as those are there (or what stands for them).
    pub(super) fn settle(&mut self) {
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
    pub(super) fn write(self, inverses: &mut Vec<Inverse>) {
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
