//! What is to be written so that a document reads as it did at some heads.
//!
//! What is the same thing then and now stays: a text keeps the characters that it had then, so what others write beside
//! them at the same time still finds its place. Everything else is a step of an undo, with what it stands for.

use std::collections::BTreeMap;

use automerge::{
    Automerge, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, Value, marks::Mark,
};

use super::{
    Copy, Inverse, OpId, Plan, Standing, TooDeep,
    copy::read_at,
    exid,
    marks::Marks,
    op_of,
    sequence::{Element, Sequence},
};
use crate::state::MAX_READ_DEPTH;

/// What makes the document read as it did at these heads, which must be in it. The plan is empty where it reads so
/// already.
///
/// # Errors
/// [`TooDeep`].
pub fn plan_reset(am: &Automerge, heads: &[ChangeHash], standing: &Standing) -> Result<Plan, TooDeep> {
    let mut reset = Reset { am, heads, standing, plan: Plan::default() };
    reset.map(&ROOT, &ROOT, 0)?;
    reset.plan.undone = reset.plan.inverses.len() as u64;
    Ok(reset.plan)
}

struct Reset<'a> {
    am: &'a Automerge,
    heads: &'a [ChangeHash],
    standing: &'a Standing,
    plan: Plan,
}

/// A value, and the operation that wrote it.
type Held = (Value<'static>, ObjId);

impl Reset<'_> {
    fn first(&self, id: &ObjId) -> Option<OpId> {
        op_of(id).map(|id| self.standing.first(&id))
    }

    fn map(&mut self, now: &ObjId, then: &ObjId, depth: usize) -> Result<(), TooDeep> {
        if depth > MAX_READ_DEPTH {
            return Err(TooDeep);
        }
        let held = |item: automerge::iter::MapRangeItem<'_>| {
            let id = item.id();
            (item.key.into_owned(), (item.value.into_value(), id))
        };
        let was: BTreeMap<String, Held> = self.am.map_range_at(then, .., self.heads).map(held).collect();
        let is: BTreeMap<String, Held> = self.am.map_range(now, ..).map(held).collect();
        for key in is.keys().filter(|key| !was.contains_key(*key)) {
            let at = Prop::Map(key.clone());
            self.plan.inverses.push(Inverse::Delete { object: now.clone(), at });
        }
        for (key, then) in &was {
            let at = Prop::Map(key.clone());
            match is.get(key) {
                Some(held) if self.same(held, then) => self.within((now, at), held, then, depth)?,
                Some((Value::Scalar(is), _)) if matches!(&then.0, Value::Scalar(was) if was == is) => {}
                _ => {
                    let copy = read_at(self.am, (&then.0, &then.1), self.heads)?;
                    let put = copy.map(|copy| Inverse::Put { object: now.clone(), at, copy });
                    self.plan.inverses.extend(put);
                }
            }
        }
        Ok(())
    }

    /// Whether both are one thing: the same operation's, or one that stands for it.
    fn same(&self, now: &Held, then: &Held) -> bool {
        let kinds = match (&now.0, &then.0) {
            (Value::Object(now), Value::Object(then)) => now == then,
            (Value::Scalar(_), Value::Scalar(_)) => true,
            _ => false,
        };
        kinds && self.first(&now.1) == self.first(&then.1)
    }

    /// What is in a thing that was there then and is there now.
    fn within(
        &mut self,
        (object, at): (&ObjId, Prop),
        now: &Held,
        then: &Held,
        depth: usize,
    ) -> Result<(), TooDeep> {
        match (&now.0, &then.0) {
            (Value::Object(ObjType::Map | ObjType::Table), _) => self.map(&now.1, &then.1, depth + 1),
            (Value::Object(kind), _) => self.sequence((&now.1, &then.1), *kind, depth + 1),
            (Value::Scalar(now), Value::Scalar(then)) => {
                if let (ScalarValue::Counter(now), ScalarValue::Counter(then)) = (now.as_ref(), then.as_ref())
                    && let by = i64::from(then).wrapping_sub(i64::from(now))
                    && by != 0
                {
                    self.plan.inverses.push(Inverse::Add { object: object.clone(), at, by });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn sequence(
        &mut self,
        (now, then): (&ObjId, &ObjId),
        kind: ObjType,
        depth: usize,
    ) -> Result<(), TooDeep> {
        if depth > MAX_READ_DEPTH {
            return Err(TooDeep);
        }
        let was = Sequence::read(self.am, then, Some(self.heads), self.standing);
        let is = Sequence::read(self.am, now, None, self.standing);
        let kept = kept(&was, &is);
        for (then, place) in &kept {
            let (Some(then), Some(element)) = (was.elements.get(*then), is.elements.get(*place)) else {
                continue;
            };
            if let (Some(value), Some((there, id))) =
                (&then.value, self.am.get(now, element.index).ok().flatten())
            {
                let (there, then) = ((there.into_owned(), id), (value.clone(), exid(&then.id)));
                self.within((now, Prop::Seq(element.index)), &there, &then, depth)?;
            }
        }
        self.gaps((now, kind), (&was, &is), &kept)?;
        if kind == ObjType::Text {
            self.marks((now, then), (&was, &is), &kept);
        }
        Ok(())
    }

    /// Between two elements that stay, what is there goes and what was there comes: from the end, so that no step
    /// moves what another means.
    fn gaps(
        &mut self,
        (now, kind): (&ObjId, ObjType),
        (was, is): (&Sequence, &Sequence),
        kept: &[(usize, usize)],
    ) -> Result<(), TooDeep> {
        let text = kind == ObjType::Text;
        let mut end = (was.elements.len(), is.elements.len());
        for stop in kept.iter().rev().copied().map(Some).chain([None]) {
            let from = stop.map_or((0, 0), |(then, now)| (then + 1, now + 1));
            let gone = is.elements.get(from.1..end.1).unwrap_or_default();
            let index = is.elements.get(from.1).map_or(is.length, |element| element.index);
            if !gone.is_empty() {
                let count = gone.iter().map(|element| element.width).sum();
                self.plan.inverses.push(Inverse::Remove { object: now.clone(), index, count, text });
            }
            let copies = self.copies(was.elements.get(from.0..end.0).unwrap_or_default())?;
            if !copies.is_empty() {
                self.plan.inverses.push(Inverse::Insert { object: now.clone(), index, copies, text });
            }
            end = stop.unwrap_or_default();
        }
        Ok(())
    }

    fn copies(&self, elements: &[Element]) -> Result<Vec<Copy>, TooDeep> {
        let mut copies = Vec::with_capacity(elements.len());
        for element in elements {
            if let Some(value) = &element.value {
                copies.extend(read_at(self.am, (value, &exid(&element.id)), self.heads)?);
            }
        }
        Ok(copies)
    }

    /// Marks as they were: on what stayed where they differ, on what comes back in any case.
    fn marks(
        &mut self,
        (now, then): (&ObjId, &ObjId),
        (was, is): (&Sequence, &Sequence),
        kept: &[(usize, usize)],
    ) {
        let then = self.am.marks_at(then, self.heads).unwrap_or_default();
        let there = self.am.marks(now).unwrap_or_default();
        let mut names: Vec<String> = then.iter().chain(&there).map(|mark| mark.name.to_string()).collect();
        names.sort_unstable();
        names.dedup();
        let stays: BTreeMap<usize, usize> = kept.iter().copied().collect();
        for name in names {
            let (then, there) = (Marks::of(then.clone(), &name), Marks::of(there.clone(), &name));
            let mut runs: Vec<Mark> = Vec::new();
            for (nth, element) in was.elements.iter().enumerate() {
                let wanted = then.at(element.index);
                let place = stays.get(&nth).and_then(|nth| is.elements.get(*nth));
                if place.is_some_and(|place| there.at(place.index) == wanted) {
                    continue;
                }
                let end = element.index + element.width;
                match runs.last_mut() {
                    Some(run) if run.end == element.index && run.value == *wanted => run.end = end,
                    _ => runs.push(Mark::new(name.as_str().into(), wanted.clone(), element.index, end)),
                }
            }
            let marks = runs.into_iter().map(|mark| Inverse::Mark { object: now.clone(), mark });
            self.plan.inverses.extend(marks);
        }
    }
}

/// The elements that were there then and are there now, in the order of both: (place then, place now).
fn kept(was: &Sequence, is: &Sequence) -> Vec<(usize, usize)> {
    let mut kept: Vec<(usize, usize)> = Vec::new();
    for (then, element) in was.elements.iter().enumerate() {
        let Some((now, _)) = is.find(&element.first) else { continue };
        if kept.last().is_none_or(|(_, last)| *last < now) {
            kept.push((then, now));
        }
    }
    kept
}
