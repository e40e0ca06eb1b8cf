//! A list or a text as elements, each with the operation whose value reads there.

use std::{
    cell::OnceCell,
    collections::{HashMap, hash_map::Entry},
};

use automerge::{Automerge, ChangeHash, ObjId, ReadDoc, Value};

use super::{OpId, Standing, Widths, op_of};

/// One visible element.
#[derive(Debug, Clone)]
pub(super) struct Element {
    /// The operation whose value reads there.
    pub(super) id: OpId,
    /// What that operation stands for.
    pub(super) first: OpId,
    /// Its index: for text in code points.
    pub(super) index: usize,
    /// How many indices it takes: an element of a list takes one, and one of a text as many as it has code points.
    pub(super) width: usize,
    /// Several values were written here at once.
    pub(super) conflict: bool,
    /// What reads there; only kept of a list or text as it was.
    pub(super) value: Option<Value<'static>>,
    /// It is of another time than the rest.
    pub(super) merged: bool,
}

/// The elements of a list or text, now or at some heads.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    pub(super) elements: Vec<Element>,
    pub(super) length: usize,
    /// Made when something is first looked for.
    by_first: OnceCell<ByFirst>,
}

impl Sequence {
    pub(super) fn read(
        am: &Automerge,
        object: &ObjId,
        at: Option<&[ChangeHash]>,
        standing: &Standing,
    ) -> Self {
        let items = match at {
            None => am.list_range(object, ..),
            Some(heads) => am.list_range_at(object, .., heads),
        };
        let widths = Widths::read(am, object, at);
        let mut sequence = Self::default();
        for item in items {
            let Some(id) = op_of(&item.id()) else { continue };
            let width = widths.of(&id, &item.value);
            if width == 0 {
                continue;
            }
            let first = standing.first(&id);
            let index = sequence.length;
            sequence.length += width;
            let value = at.map(|_| item.value.clone().into_value());
            sequence.elements.push(Element {
                id,
                first,
                index,
                width,
                conflict: item.conflict,
                value,
                merged: false,
            });
        }
        sequence
    }

    /// Also with the elements of another time, each behind what was before it there.
    pub(super) fn merged(self, other: Self) -> Self {
        let known: HashMap<OpId, usize> =
            self.elements.iter().enumerate().map(|(nth, element)| (element.first.clone(), nth)).collect();
        let mut behind: Vec<Vec<Element>> = Vec::new();
        behind.resize_with(self.elements.len() + 1, Vec::new);
        let mut at = 0;
        for mut element in other.elements {
            element.merged = true;
            match known.get(&element.first) {
                Some(nth) => at = at.max(nth + 1),
                None => {
                    if let Some(list) = behind.get_mut(at) {
                        list.push(element);
                    }
                }
            }
        }
        let mut behind = behind.into_iter();
        let mut elements = behind.next().unwrap_or_default();
        for (element, more) in self.elements.into_iter().zip(behind) {
            elements.push(element);
            elements.extend(more);
        }
        Self { elements, length: self.length, by_first: OnceCell::new() }
    }

    /// The element whose value is this operation's, or one that stands for the same.
    pub(super) fn find(&self, first: &OpId) -> Option<(usize, &Element)> {
        self.find_all(first).next()
    }

    /// All of these: where two put it back at once there are several.
    pub(super) fn find_all(&self, first: &OpId) -> impl Iterator<Item = (usize, &Element)> {
        let by_first = self.by_first.get_or_init(|| ByFirst::of(&self.elements));
        let more = by_first.more.get(first).into_iter().flatten();
        let all = by_first.one.get(first).into_iter().chain(more);
        all.filter_map(|nth| Some((*nth, self.elements.get(*nth)?)))
    }
}

/// Where elements are, by what they stand for.
#[derive(Debug, Default)]
struct ByFirst {
    one: HashMap<OpId, usize>,
    /// Of several all but the first one.
    more: HashMap<OpId, Vec<usize>>,
}

impl ByFirst {
    fn of(elements: &[Element]) -> Self {
        let mut by_first = Self { one: HashMap::with_capacity(elements.len()), more: HashMap::new() };
        for (nth, element) in elements.iter().enumerate() {
            match by_first.one.entry(element.first.clone()) {
                Entry::Vacant(entry) => drop(entry.insert(nth)),
                Entry::Occupied(_) => by_first.more.entry(element.first.clone()).or_default().push(nth),
            }
        }
        by_first
    }
}
