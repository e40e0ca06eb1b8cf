//! A list or a text as elements, each with the operation whose value reads there.

use std::{cell::OnceCell, collections::HashMap};

use automerge::{Automerge, ChangeHash, ObjId, ObjType, ReadDoc, ScalarValueRef, Value, ValueRef};

use super::{OpId, Standing, op_of};

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
}

/// The elements of a list or text, now or at some heads.
#[derive(Debug, Default)]
pub(super) struct Sequence {
    pub(super) elements: Vec<Element>,
    pub(super) length: usize,
    /// Made when something is first looked for.
    by_first: OnceCell<HashMap<OpId, usize>>,
}

impl Sequence {
    pub(super) fn read(
        am: &Automerge,
        object: &ObjId,
        at: Option<&[ChangeHash]>,
        standing: &Standing,
    ) -> Self {
        let text = matches!(am.object_type(object), Ok(ObjType::Text));
        let items = match at {
            None => am.list_range(object, ..),
            Some(heads) => am.list_range_at(object, .., heads),
        };
        let mut sequence = Self::default();
        for item in items {
            let Some(id) = op_of(&item.id()) else { continue };
            let width = if text { width(&item.value) } else { 1 };
            if width == 0 {
                continue;
            }
            let first = standing.first(&id);
            let index = sequence.length;
            sequence.length += width;
            let value = at.map(|_| item.value.clone().into_value());
            sequence.elements.push(Element { id, first, index, width, conflict: item.conflict, value });
        }
        sequence
    }

    /// The element whose value is this operation's, or one that stands for the same.
    pub(super) fn find(&self, first: &OpId) -> Option<(usize, &Element)> {
        let by_first = self.by_first.get_or_init(|| {
            // Of several the first one counts.
            self.elements
                .iter()
                .enumerate()
                .rev()
                .map(|(nth, element)| (element.first.clone(), nth))
                .collect()
        });
        let nth = *by_first.get(first)?;
        Some((nth, self.elements.get(nth)?))
    }
}

/// How many code points an element of a text has: a block has one. The library lists the ends of marks among the
/// elements; these have none.
pub(crate) fn width(value: &ValueRef<'_>) -> usize {
    match value {
        ValueRef::Scalar(ScalarValueRef::Str(text)) => text.chars().count(),
        ValueRef::Object(_) => 1,
        ValueRef::Scalar(_) => 0,
    }
}
