//! Taking an action back by a new change, and putting it back by another.
//!
//! Nothing leaves a history that others may hold already: an undo is a change like any other. It is planned from
//! the operations of the change that it takes back, compared with the document as it is now, and **only what
//! still wins is undone**:
//!
//! - A value that the change put is replaced by the one that it had replaced, or deleted where there was none;
//!   but only while it is the value that reads there. Where somebody wrote at the same time and lost, theirs
//!   comes forward.
//! - What the change deleted is put back, unless something was put there since, or somebody else deleted it too.
//! - List elements and text that it inserted go, those that it deleted return to their place; what others wrote
//!   in between stays.
//! - Increments are taken back where the counter still stands.
//! - An object that it made goes with its content; where others have written inside, it stays with what is theirs.
//! - Containers that have a change of their own are never touched.
//!
//! What is put back is a new operation, and stands for the old one: [`Standing`] knows which. So a second undo
//! finds what the first one put back, and a redo undoes an undo by the same rule. Which operation stands for which
//! is written into the undo's message (see [`Restored`]), for every replica to read.
//!
//! This module is pure: the document, the change and [`Facts`] come in, a [`Plan`] goes out, and [`apply`] does it
//! on a transaction.

mod apply;
mod copy;
mod evidence;
mod family;
mod lists;
mod marks;
mod objects;
mod plan;
mod reset;
mod sequence;
mod standing;
mod target;
mod widths;

pub use apply::apply;
pub use copy::{Content, Copy, TooDeep};
pub use evidence::{Evidence, stands};
pub use family::Away;
pub use family::{elements_of, gone_by};
pub use plan::{Facts, Inverse, Plan, plan};
pub use plan::{plan_of, preds_of};
pub use reset::plan_reset;
pub use standing::{Origins, Restored, RestoredMap, Standing, decode_restored, restored_json};
pub use widths::Widths;

pub use apply::put as put_copy;
pub use copy::read as read_copy;

/// The id of an operation: a counter and an actor.
pub use automerge::legacy::OpId;

use automerge::ObjId;

/// The operation that an id of the library names; none for the root.
pub fn op_of(id: &ObjId) -> Option<OpId> {
    match id {
        ObjId::Root => None,
        ObjId::Id(counter, actor, _) => Some(OpId(*counter, actor.clone())),
    }
}

/// The id by which the library knows an operation. Where the index does not fit, it looks the actor up.
pub fn exid(op: &OpId) -> ObjId {
    ObjId::Id(op.0, op.1.clone(), 0)
}

#[cfg(test)]
mod tests;
