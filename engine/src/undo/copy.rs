//! Values taken out of a document, to be written again: with their objects, counters and marks.

use automerge::{Automerge, ObjId, ObjType, ReadDoc, ScalarValue, Value, ValueRef, marks::Mark};

use super::{OpId, op_of, sequence::width};
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
pub(crate) fn read(am: &Automerge, value: &Value<'_>, id: &ObjId) -> Result<Option<Copy>, TooDeep> {
    let Some(of) = op_of(id) else { return Ok(None) };
    let content = match value {
        Value::Scalar(scalar) => Content::Scalar(scalar.as_ref().clone()),
        Value::Object(kind) => object(am, id, *kind, 0)?,
    };
    Ok(Some(Copy { of, content }))
}

fn object(am: &Automerge, id: &ObjId, kind: ObjType, depth: usize) -> Result<Content, TooDeep> {
    if depth > MAX_READ_DEPTH {
        return Err(TooDeep);
    }
    Ok(match kind {
        ObjType::Map | ObjType::Table => {
            let mut entries = Vec::new();
            for item in am.map_range(id, ..) {
                if let Some(copy) = item_copy(am, &item.value, &item.id(), depth)? {
                    entries.push((item.key.into_owned(), copy));
                }
            }
            Content::Map(entries)
        }
        ObjType::List => Content::List(items(am, id, depth, |_| true)?),
        ObjType::Text => {
            let read = items(am, id, depth, |value| width(value) > 0)?;
            Content::Text(read, am.marks(id).unwrap_or_default())
        }
    })
}

fn items(
    am: &Automerge,
    id: &ObjId,
    depth: usize,
    counts: impl Fn(&ValueRef<'_>) -> bool,
) -> Result<Vec<Copy>, TooDeep> {
    let mut copies = Vec::new();
    for item in am.list_range(id, ..).filter(|item| counts(&item.value)) {
        copies.extend(item_copy(am, &item.value, &item.id(), depth)?);
    }
    Ok(copies)
}

fn item_copy(
    am: &Automerge,
    value: &ValueRef<'_>,
    id: &ObjId,
    depth: usize,
) -> Result<Option<Copy>, TooDeep> {
    let Some(of) = op_of(id) else { return Ok(None) };
    let content = match value {
        ValueRef::Object(kind) => object(am, id, *kind, depth + 1)?,
        ValueRef::Scalar(_) => match value.clone().into_value() {
            Value::Scalar(scalar) => Content::Scalar(scalar.into_owned()),
            Value::Object(_) => return Ok(None),
        },
    };
    Ok(Some(Copy { of, content }))
}
