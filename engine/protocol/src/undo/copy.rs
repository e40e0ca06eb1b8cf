//! Values taken out of a document, to be written again: with their objects, counters and marks.

use automerge::{Automerge, ChangeHash, ObjId, ObjType, ReadDoc, ScalarValue, Value, ValueRef, marks::Mark};

use super::{OpId, Widths, op_of};
use crate::state::MAX_READ_DEPTH;

/// A value that is to be written again, and the operation that wrote it.
#[derive(Debug, Clone)]
pub struct Copy {
    /// The operation that this one will stand for.
    pub of: OpId,
    /// What is written.
    pub content: Content,
}

impl Copy {
    /// It, and what is in it.
    pub(super) fn each(&self, each: &mut dyn FnMut(&Self)) {
        each(self);
        match &self.content {
            Content::Scalar(_) => {}
            Content::Map(entries) => entries.iter().for_each(|(_, copy)| copy.each(each)),
            Content::List(items) | Content::Text(items, _) => items.iter().for_each(|copy| copy.each(each)),
        }
    }
}

/// What a copy writes.
#[derive(Debug, Clone)]
pub enum Content {
    /// A scalar; a counter with all that was added to it.
    Scalar(ScalarValue),
    /// A map, by its keys.
    Map(Vec<(String, Copy)>),
    /// A list.
    List(Vec<Copy>),
    /// Text, by its elements, with its marks.
    Text(Vec<Copy>, Vec<Mark>),
}

/// What would be written again is nested deeper than documents are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is nested deeper than {MAX_READ_DEPTH} levels")]
pub struct TooDeep;

/// Reads a value as it is now. An object that is no longer in the document is read as well: with what others wrote
/// into it while it went.
pub fn read(am: &Automerge, value: &Value<'_>, id: &ObjId) -> Result<Option<Copy>, TooDeep> {
    Reader { am, at: None }.value(value, id, 0)
}

/// Reads a value as it was at these heads.
pub(super) fn read_at(
    am: &Automerge,
    (value, id): (&Value<'_>, &ObjId),
    heads: &[ChangeHash],
) -> Result<Option<Copy>, TooDeep> {
    Reader { am, at: Some(heads) }.value(value, id, 0)
}

struct Reader<'a> {
    am: &'a Automerge,
    at: Option<&'a [ChangeHash]>,
}

impl Reader<'_> {
    fn value(&self, value: &Value<'_>, id: &ObjId, depth: usize) -> Result<Option<Copy>, TooDeep> {
        let Some(of) = op_of(id) else { return Ok(None) };
        let content = match value {
            Value::Scalar(scalar) => Content::Scalar(scalar.as_ref().clone()),
            Value::Object(kind) => self.object(id, *kind, depth)?,
        };
        Ok(Some(Copy { of, content }))
    }

    fn object(&self, id: &ObjId, kind: ObjType, depth: usize) -> Result<Content, TooDeep> {
        if depth > MAX_READ_DEPTH {
            return Err(TooDeep);
        }
        Ok(match kind {
            ObjType::Map | ObjType::Table => {
                let items = match self.at {
                    None => self.am.map_range(id, ..),
                    Some(heads) => self.am.map_range_at(id, .., heads),
                };
                let mut entries = Vec::new();
                for item in items {
                    if let Some(copy) = self.item(&item.value, &item.id(), depth)? {
                        entries.push((item.key.into_owned(), copy));
                    }
                }
                Content::Map(entries)
            }
            ObjType::List => Content::List(self.items(id, depth, |_, _| true)?),
            ObjType::Text => {
                let widths = Widths::read(self.am, id, self.at);
                let is_element = |item: &ObjId, value: &ValueRef<'_>| {
                    op_of(item).is_some_and(|item| widths.of(&item, value) > 0)
                };
                let read = self.items(id, depth, is_element)?;
                let marks = match self.at {
                    None => self.am.marks(id),
                    Some(heads) => self.am.marks_at(id, heads),
                };
                Content::Text(read, marks.unwrap_or_default())
            }
        })
    }

    fn items(
        &self,
        id: &ObjId,
        depth: usize,
        counts: impl Fn(&ObjId, &ValueRef<'_>) -> bool,
    ) -> Result<Vec<Copy>, TooDeep> {
        let items = match self.at {
            None => self.am.list_range(id, ..),
            Some(heads) => self.am.list_range_at(id, .., heads),
        };
        let mut copies = Vec::new();
        for item in items.filter(|item| counts(&item.id(), &item.value)) {
            copies.extend(self.item(&item.value, &item.id(), depth)?);
        }
        Ok(copies)
    }

    fn item(&self, value: &ValueRef<'_>, id: &ObjId, depth: usize) -> Result<Option<Copy>, TooDeep> {
        self.value(&value.clone().into_value(), id, depth + 1)
    }
}
