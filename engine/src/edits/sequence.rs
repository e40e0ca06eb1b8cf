//! What a change did to one list or text: its elements before it beside its elements after it.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, ChangeHash, ObjId, ObjType, ReadDoc, Value};

use super::Edit;
use crate::{
    state,
    undo::{OpId, Widths, exid, op_of},
};

/// One visible element, or several beside one another that the change left as they were.
#[derive(Debug)]
pub(super) struct Element {
    pub(super) id: Id,
    pub(super) width: usize,
    pub(super) value: Value<'static>,
}

/// What an element is told by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Id {
    /// The operation whose value reads there.
    Of(OpId),
    /// Those before this one of the elements that the change touched.
    Between(usize),
}

impl Element {
    /// Its characters. An object in a text (a block) is one that stands for it.
    fn text(&self) -> &str {
        match &self.value {
            Value::Scalar(value) => value.as_str().unwrap_or_default(),
            Value::Object(_) => "\u{fffc}",
        }
    }
}

/// The elements as they were at these heads.
pub(super) fn elements_at(am: &Automerge, object: &ObjId, heads: &[ChangeHash]) -> Vec<Element> {
    let widths = Widths::read(am, object, Some(heads));
    let mut elements = Vec::new();
    for item in am.list_range_at(object, .., heads) {
        let Some(id) = op_of(&item.id()) else { continue };
        let width = widths.of(&id, &item.value);
        if width == 0 {
            continue;
        }
        elements.push(Element { id: Id::Of(id), width, value: item.value.clone().into_value() });
    }
    elements
}

/// What a change wrote into one list or text.
pub(super) struct SequenceEdit<'a> {
    pub(super) am: &'a Automerge,
    pub(super) path: &'a str,
    pub(super) before: &'a [Element],
    pub(super) after: &'a [Element],
    /// The heads right after the change.
    pub(super) heads: &'a [ChangeHash],
    /// Its values that stand in the place of others, and these.
    pub(super) replaced: &'a HashMap<OpId, HashSet<OpId>>,
}

impl SequenceEdit<'_> {
    /// The edits, from the beginning to the end. An element that is in both stays; between two of these, everything
    /// that is only in the first was deleted, and everything that is only in the second inserted.
    pub(super) fn read(&self, kind: ObjType) -> Vec<Edit> {
        let (before, after) = (self.before, self.after);
        let ids: HashMap<&Id, usize> = before.iter().enumerate().map(|(nth, e)| (&e.id, nth)).collect();
        let was = |element: &Element| {
            let replaced = self.replaced(element).into_iter().flatten().cloned().map(Id::Of);
            std::iter::once(element.id.clone()).chain(replaced).find_map(|id| ids.get(&id).copied())
        };
        let mut edits = Vec::new();
        let (mut from, mut start, mut index) = (0, 0, 0);
        for (nth, element) in after.iter().enumerate() {
            let Some(place) = was(element).filter(|place| *place >= from) else { continue };
            let (gone, come) = (before.get(from..place), after.get(start..nth));
            index = self.enter(&mut edits, kind, (gone, come), index);
            if self.replaced(element).is_some() {
                edits.push(Edit::Set { path: format!("{}/{index}", self.path), value: self.value(element) });
            }
            index += element.width;
            (from, start) = (place + 1, nth + 1);
        }
        self.enter(&mut edits, kind, (before.get(from..), after.get(start..)), index);
        edits
    }

    /// What the value of an element replaced, where the change put it there.
    fn replaced(&self, element: &Element) -> Option<&HashSet<OpId>> {
        match &element.id {
            Id::Of(id) => self.replaced.get(id),
            Id::Between(_) => None,
        }
    }

    /// What was deleted and inserted at one index; gives the index behind it.
    fn enter(
        &self,
        edits: &mut Vec<Edit>,
        kind: ObjType,
        (gone, come): (Option<&[Element]>, Option<&[Element]>),
        index: usize,
    ) -> usize {
        let (gone, come) = (gone.unwrap_or_default(), come.unwrap_or_default());
        if kind == ObjType::Text {
            let joined = |elements: &[Element]| elements.iter().map(Element::text).collect::<String>();
            let width = |elements: &[Element]| elements.iter().map(|e| e.width).sum::<usize>();
            if !gone.is_empty() || !come.is_empty() {
                edits.push(Edit::Splice {
                    path: self.path.to_owned(),
                    pos: index as u64,
                    delete: width(gone) as u64,
                    insert: joined(come),
                    deleted: joined(gone),
                });
            }
            return index + width(come);
        }
        edits.extend(gone.iter().map(|_| Edit::Delete { path: format!("{}/{index}", self.path) }));
        for (element, index) in come.iter().zip(index..) {
            let path = format!("{}/{index}", self.path);
            edits.push(Edit::Insert { path, value: self.value(element) });
        }
        index + come.len()
    }

    fn value(&self, element: &Element) -> serde_json::Value {
        let Id::Of(id) = &element.id else { return serde_json::Value::Null };
        let value = (&element.value, &exid(id));
        state::value_to_json_at(self.am, value, self.heads, self.path).unwrap_or_default()
    }
}
