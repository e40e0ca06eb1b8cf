//! A revision, done on a transaction.

use automerge::{
    AutomergeError, Prop,
    transaction::{Transactable, Transaction},
};

use super::{RevisionPlan, Write};
use crate::reducer::{Slot, write_value};

/// Does the plan. The transaction must be on the document that it was made from.
///
/// # Errors
/// What the library refuses; the transaction is then to be rolled back.
pub fn apply(tx: &mut Transaction<'_>, plan: &RevisionPlan) -> Result<(), AutomergeError> {
    for write in &plan.writes {
        match write {
            Write::Set(object, Prop::Map(key), value) => write_value(tx, object, Slot::Key(key), value)?,
            Write::Set(object, Prop::Seq(index), value) => write_value(tx, object, Slot::At(*index), value)?,
            Write::Delete(object, prop) => tx.delete(object, prop.clone())?,
            Write::Add(object, prop, by) => tx.increment(object, prop.clone(), *by)?,
            Write::Insert(list, index, value) => write_value(tx, list, Slot::Before(*index), value)?,
            Write::Splice(text, pos, delete, insert) => {
                // A text holds fewer code points than an isize.
                tx.splice_text(text, *pos, *delete as isize, insert)?;
            }
        }
    }
    Ok(())
}
