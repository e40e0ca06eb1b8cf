//! A plan, done on a transaction.

use automerge::{
    AutomergeError, ObjId, ObjType, Prop, ScalarValue,
    marks::ExpandMark,
    transaction::{Transactable, Transaction},
};

use super::{Content, Copy, Inverse, OpId, Plan};

/// What was written for what: (the place of the operation in this change, from 0; the operation it stands for).
type Written = Vec<(u64, OpId)>;

/// Where a copy goes.
enum Slot {
    /// In the place of what is there.
    At(Prop),
    /// Before an element.
    Before(usize),
}

/// Does the plan. The transaction must be on the document that it was made from. Gives which operations, counted
/// from the first of the transaction, stand for which.
///
/// # Errors
/// What the library refuses; the transaction is then to be rolled back.
pub fn apply(tx: &mut Transaction<'_>, plan: &Plan) -> Result<Written, AutomergeError> {
    let mut written = Vec::new();
    for inverse in &plan.inverses {
        match inverse {
            Inverse::Put { object, at, copy } => put(tx, object, at.clone(), copy, &mut written)?,
            Inverse::Delete { object, at } => tx.delete(object, at.clone())?,
            Inverse::Add { object, at, by } => tx.increment(object, at.clone(), *by)?,
            Inverse::Mark { object, mark } if mark.value == ScalarValue::Null => {
                tx.unmark(object, &mark.name, mark.start, mark.end, ExpandMark::default())?;
            }
            Inverse::Mark { object, mark } => tx.mark(object, mark.clone(), ExpandMark::default())?,
            Inverse::Remove { object, index, count, text: true } => {
                // A text holds fewer code points than an isize.
                tx.splice_text(object, *index, *count as isize, "")?;
            }
            Inverse::Remove { object, index, count, text: false } => {
                for _ in 0..*count {
                    tx.delete(object, *index)?;
                }
            }
            Inverse::Insert { object, index, copies, text } => {
                insert(tx, object, *index, (copies, *text), &mut written)?;
            }
        }
    }
    Ok(written)
}

/// Puts a copy in the place of what is there.
pub fn put(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    at: Prop,
    copy: &Copy,
    written: &mut Written,
) -> Result<(), AutomergeError> {
    write(tx, object, Slot::At(at), copy, written)
}

fn write(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    slot: Slot,
    copy: &Copy,
    written: &mut Written,
) -> Result<(), AutomergeError> {
    let before = tx.pending_ops();
    let kind = match &copy.content {
        Content::Scalar(value) => {
            put_anew(tx, object, slot, value)?;
            // The last operation is the value's.
            written.push((tx.pending_ops().saturating_sub(1).max(before) as u64, copy.of.clone()));
            return Ok(());
        }
        Content::Map(_) => ObjType::Map,
        Content::List(_) => ObjType::List,
        Content::Text(..) => ObjType::Text,
    };
    let made = match slot {
        Slot::At(at) => tx.put_object(object, at, kind)?,
        Slot::Before(index) => tx.insert_object(object, index, kind)?,
    };
    written.push((before as u64, copy.of.clone()));
    match &copy.content {
        Content::Scalar(_) => Ok(()),
        Content::Map(entries) => {
            entries.iter().try_for_each(|(key, copy)| put(tx, &made, Prop::Map(key.clone()), copy, written))
        }
        Content::List(items) => insert(tx, &made, 0, (items, false), written),
        Content::Text(items, marks) => {
            insert(tx, &made, 0, (items, true), written)?;
            marks.iter().try_for_each(|mark| tx.mark(&made, mark.clone(), ExpandMark::default()))
        }
    }
}

/// Writes a value also where an equal one is there: that one is the operation that is taken back, and what is put back
/// stands for an older one. The library writes nothing for an equal value, so another is put between.
fn put_anew(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    slot: Slot,
    value: &ScalarValue,
) -> Result<(), AutomergeError> {
    let before = tx.pending_ops();
    let place = if let Slot::At(at) = &slot { Some(at.clone()) } else { None };
    scalar(tx, object, slot, value)?;
    if let Some(at) = place.filter(|_| tx.pending_ops() == before) {
        let between =
            if *value == ScalarValue::Null { ScalarValue::Boolean(false) } else { ScalarValue::Null };
        tx.put(object, at.clone(), between)?;
        tx.put(object, at, value.clone())?;
    }
    Ok(())
}

fn scalar(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    slot: Slot,
    value: &ScalarValue,
) -> Result<(), AutomergeError> {
    match slot {
        Slot::At(at) => tx.put(object, at, value.clone()),
        Slot::Before(index) => tx.insert(object, index, value.clone()),
    }
}

/// Inserts copies one after another: characters of a text in one splice.
fn insert(
    tx: &mut Transaction<'_>,
    object: &ObjId,
    mut index: usize,
    (copies, text): (&[Copy], bool),
    written: &mut Written,
) -> Result<(), AutomergeError> {
    let mut characters = String::new();
    let mut of: Vec<OpId> = Vec::new();
    for copy in copies {
        match &copy.content {
            Content::Scalar(ScalarValue::Str(piece)) if text => {
                characters.push_str(piece);
                of.extend(piece.chars().map(|_| copy.of.clone()));
            }
            _ => {
                index += splice(tx, object, index, (&characters, &of), written)?;
                (characters, of) = (String::new(), Vec::new());
                write(tx, object, Slot::Before(index), copy, written)?;
                index += 1;
            }
        }
    }
    splice(tx, object, index, (&characters, &of), written)?;
    Ok(())
}

fn splice(
    tx: &mut Transaction<'_>,
    text: &ObjId,
    index: usize,
    (characters, of): (&str, &[OpId]),
    written: &mut Written,
) -> Result<usize, AutomergeError> {
    if characters.is_empty() {
        return Ok(0);
    }
    let before = tx.pending_ops() as u64;
    tx.splice_text(text, index, 0, characters)?;
    written.extend((before..).zip(of.iter().cloned()));
    Ok(of.len())
}
