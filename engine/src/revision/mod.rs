//! What a person made of a value that was shown: an editor's file, a form.
//!
//! A revision is compared with the value as it was **when it was shown**, and only what differs is written, where it
//! belongs **now**. So what others wrote meanwhile is not taken back: in a text only the words that differ are spliced,
//! in a list elements come and go, in a map keys are set one by one, and what is added to a counter is added.
//!
//! This module is pure: the document and the revision come in, a [`RevisionPlan`] goes out, and `apply` does it on a
//! transaction.

mod apply;
mod lists;
mod plan;
mod words;

use serde_json::Value;

pub use apply::apply;
pub use plan::{RevisionPlan, plan};
pub(crate) use words::differences;

use crate::ChangeHash;

/// What was made of a value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Revision {
    /// It shall read so.
    Value(Value),
    /// These parts of a text, in its order and apart from each other, each at its place in the text that was shown.
    Splices(Vec<TextSplice>),
}

/// One part of a text that was replaced. Counts are Unicode code points.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TextSplice {
    /// From where, in the text that was shown.
    pub pos: u64,
    /// How many are deleted.
    pub delete: u64,
    /// What is inserted.
    pub insert: String,
}

/// What came of a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revised {
    /// The new change; none where nothing was to be written.
    pub hash: Option<ChangeHash>,
    /// Places where the revision was not done, as JSON Pointers: others took away what it changed, or wrote something
    /// else where it deletes.
    pub left: Vec<String>,
    /// Places where others wrote something else meanwhile, and the revision stands over it.
    pub over: Vec<String>,
}

/// One step of a revision, where it belongs now.
#[derive(Debug, Clone)]
pub(crate) enum Write {
    /// Puts a value in the place of what is there.
    Set(automerge::ObjId, automerge::Prop, Value),
    /// Removes a key or an element.
    Delete(automerge::ObjId, automerge::Prop),
    /// Adds to a counter.
    Add(automerge::ObjId, automerge::Prop, i64),
    /// Inserts into a list.
    Insert(automerge::ObjId, usize, Value),
    /// Splices text: position, how many to delete, what to insert.
    Splice(automerge::ObjId, usize, usize, String),
}

#[cfg(test)]
mod tests;
