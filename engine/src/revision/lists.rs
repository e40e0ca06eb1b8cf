//! Lists and texts: what was there then is found where it is now, by its operation.

use std::collections::HashMap;

use automerge::{ObjId, Prop, ReadDoc, Value};
use serde_json::Value as Json;

use super::{TextSplice, Write, plan::Reviser, words::differences};
use crate::{
    reducer::ActionError,
    undo::{OpId, Widths, op_of},
};

/// Where the elements of a list or text are now: by what their operations stand for.
pub(super) struct Places<'a> {
    standing: &'a crate::undo::Standing,
    at: HashMap<OpId, usize>,
}

impl Places<'_> {
    pub(super) fn place_of(&self, id: &ObjId) -> Option<usize> {
        self.at.get(&self.standing.first(&op_of(id)?)).copied()
    }
}

/// An element as it was then: how many indices it took, its value and operation, and where it is now.
struct Old {
    width: usize,
    value: Value<'static>,
    id: ObjId,
    now: Option<usize>,
}

impl Reviser<'_> {
    pub(super) fn places(&self, object: &ObjId) -> Places<'_> {
        let widths = Widths::read(self.am, object, None);
        let (mut at, mut index) = (HashMap::new(), 0);
        for item in self.am.list_range(object, ..) {
            let Some(id) = op_of(&item.id()) else { continue };
            let width = widths.of(&id, &item.value);
            if width > 0 {
                at.entry(self.standing.first(&id)).or_insert(index);
            }
            index += width;
        }
        Places { standing: self.standing, at }
    }

    /// The elements as they were, and where they are now. Those that others moved before one that stood before them
    /// (an undo may) count as gone.
    fn old(&self, object: &ObjId) -> Vec<Old> {
        let widths = Widths::read(self.am, object, Some(self.heads));
        let places = self.places(object);
        let (mut old, mut least) = (Vec::new(), 0);
        for item in self.am.list_range_at(object, .., self.heads) {
            let id = item.id();
            let Some(width) = op_of(&id).map(|id| widths.of(&id, &item.value)).filter(|width| *width > 0)
            else {
                continue;
            };
            let now = places.place_of(&id).filter(|now| *now >= least);
            least = now.map_or(least, |now| now + width);
            old.push(Old { width, value: item.value.clone().into_value(), id, now });
        }
        old
    }

    pub(super) fn text(
        &mut self,
        text: &ObjId,
        splices: &[TextSplice],
        path: &str,
    ) -> Result<(), ActionError> {
        if !self.is_there(text) {
            self.plan.left.push(path.to_owned());
            return Ok(());
        }
        let old = self.old(text);
        // Of each code point, the element that has it.
        let points: Vec<usize> =
            old.iter().enumerate().flat_map(|(nth, old)| std::iter::repeat_n(nth, old.width)).collect();
        for splice in splices.iter().rev() {
            let end = splice.pos.saturating_add(splice.delete);
            if end > points.len() as u64 {
                let (path, length) = (path.to_owned(), points.len() as u64);
                return Err(ActionError::PastEnd { path, position: end, length });
            }
            let (from, to) = (splice.pos as usize, end as usize);
            let nth = |point: usize| points.get(point).copied().unwrap_or(old.len());
            self.splice(text, old.get(..nth(to)).unwrap_or(&old), nth(from), &splice.insert);
        }
        Ok(())
    }

    /// Deletes the elements from this one on, as far as they are there, and inserts behind what is before them.
    fn splice(&mut self, text: &ObjId, upto: &[Old], from: usize, insert: &str) {
        let (before, gone) = upto.split_at(from.min(upto.len()));
        let mut runs: Vec<(usize, usize)> = Vec::new();
        for old in gone.iter().rev() {
            match (old.now, runs.last_mut()) {
                (Some(now), Some((start, count))) if now + old.width == *start => {
                    (*start, *count) = (now, *count + old.width);
                }
                (Some(now), _) => runs.push((now, old.width)),
                (None, _) => {}
            }
        }
        let at = behind(before);
        let first = runs.pop_if(|(start, _)| *start == at);
        for (start, count) in runs {
            self.plan.writes.push(Write::Splice(text.clone(), start, count, String::new()));
        }
        let count = first.map_or(0, |(_, count)| count);
        if count > 0 || !insert.is_empty() {
            self.plan.writes.push(Write::Splice(text.clone(), at, count, insert.to_owned()));
        }
    }

    pub(super) fn list(&mut self, list: &ObjId, new: &[Json], path: &str) -> Result<(), ActionError> {
        if !self.is_there(list) {
            self.plan.left.push(path.to_owned());
            return Ok(());
        }
        let old = self.old(list);
        let mut was = Vec::with_capacity(old.len());
        for (nth, old) in old.iter().enumerate() {
            was.push(self.json((&old.value, &old.id), &format!("{path}/{nth}"))?.to_string());
        }
        let texts: Vec<String> = new.iter().map(Json::to_string).collect();
        for part in differences(&was, &texts).into_iter().rev() {
            self.replace(list, (&old, part.old), new.get(part.new).unwrap_or_default(), path)?;
        }
        Ok(())
    }

    /// Neighbours in a list, and what they shall be: one by one as far as there are both, and then the rest.
    fn replace(
        &mut self,
        list: &ObjId,
        (old, gone): (&[Old], std::ops::Range<usize>),
        new: &[Json],
        path: &str,
    ) -> Result<(), ActionError> {
        let both = gone.len().min(new.len());
        let middle = gone.start + both;
        for old in old.get(middle..gone.end).unwrap_or_default().iter().rev() {
            let delete = old.now.map(|now| Write::Delete(list.clone(), Prop::Seq(now)));
            self.plan.writes.extend(delete);
        }
        let at = behind(old.get(..middle).unwrap_or_default());
        for new in new.get(both..).unwrap_or_default().iter().rev() {
            self.plan.writes.push(Write::Insert(list.clone(), at, new.clone()));
        }
        for (nth, new) in (gone.start..middle).zip(new).rev() {
            let Some(old) = old.get(nth) else { continue };
            let slot = old.now.map(|now| (list.clone(), Prop::Seq(now)));
            self.value(slot, (&old.value, &old.id), new, &format!("{path}/{nth}"))?;
        }
        Ok(())
    }
}

/// The index behind the last of these that is there.
fn behind(before: &[Old]) -> usize {
    before.iter().rev().find_map(|old| Some(old.now? + old.width)).unwrap_or(0)
}
