//! What a planned action writes.

use automerge::{
    ObjId, ObjType, Prop, ReadDoc, ScalarValue,
    transaction::{Transactable, Transaction},
};
use serde_json::{Map, Value};

use super::{
    json::Step,
    queued::QueuedOps,
    value::{self, Slot},
};
use crate::Action;

/// Does a step. One that fails may have done a part: the transaction is then rolled back.
pub(super) fn apply(
    tx: &mut Transaction<'_>,
    action: &Action,
    (parts, step): (&[String], Step<'_>),
    queued: &QueuedOps,
) -> Result<(), automerge::AutomergeError> {
    match step {
        Step::Nothing => Ok(()),
        Step::SetRoot(entries) => set_root(tx, entries, queued),
        Step::Replace(parent, prop, new) => replace(tx, (&parent, &prop), new, queued),
        Step::ReplaceByCounter(parent, prop, n) => replace_by_counter(tx, &parent, &prop, n),
        Step::Delete(parent, prop) => tx.delete(&parent, prop),
        Step::Add(parent, prop, by) => tx.increment(&parent, prop, by),
        Step::Insert(list, index, new) => value::write(tx, &list, Slot::Before(index), new),
        // A deletion fits in the length of a text.
        Step::Splice(text, at, delete, insert) => tx.splice_text(&text, at, delete as isize, insert),
        Step::Make(parent, depth) => make(tx, action, parent, parts.get(depth..).unwrap_or_default()),
    }
}

/// Makes what is missing from `parent` on, in the action's own change: below ordinary containers, in lists,
/// and above the number of deterministic ones.
fn make(
    tx: &mut Transaction<'_>,
    action: &Action,
    mut parent: ObjId,
    rest: &[String],
) -> Result<(), automerge::AutomergeError> {
    let Some((last, parents)) = rest.split_last() else { return Ok(()) };
    for key in parents {
        parent = tx.put_object(&parent, key.as_str(), ObjType::Map)?;
    }
    let key = last.as_str();
    match action {
        Action::Set { value, .. } => value::write(tx, &parent, Slot::Key(key), value),
        Action::Increment { by, .. } => tx.put(&parent, key, ScalarValue::counter(*by)),
        Action::Insert { value, .. } => {
            let list = tx.put_object(&parent, key, ObjType::List)?;
            value::write(tx, &list, Slot::Before(0), value)
        }
        Action::Splice { insert, .. } => {
            let text = tx.put_object(&parent, key, ObjType::Text)?;
            tx.splice_text(&text, 0, 0, insert)
        }
        Action::Delete { .. } => Ok(()),
    }
}

fn slot(prop: &Prop) -> Slot<'_> {
    match prop {
        Prop::Map(key) => Slot::Key(key),
        Prop::Seq(index) => Slot::At(*index),
    }
}

/// Puts a value in the place of another. Where the same is there already nothing is written: an equal value, or an
/// empty container of its kind, so one that was just made by its own change stays.
///
/// Where a change that waits in the queue wrote what is there, it is written again: that change may be dropped, and
/// what this action put must not go unseen.
fn replace(
    tx: &mut Transaction<'_>,
    (parent, prop): (&ObjId, &Prop),
    new: &Value,
    queued: &QueuedOps,
) -> Result<(), automerge::AutomergeError> {
    let Some(id) = same_there(tx, parent, prop, new)? else {
        return value::write(tx, parent, slot(prop), new);
    };
    if !queued.wrote(&id) {
        return Ok(());
    }
    // The library writes nothing for an equal value.
    if !new.is_object() && !new.is_array() {
        let between = if new.is_null() { ScalarValue::Boolean(false) } else { ScalarValue::Null };
        value::put(tx, parent, slot(prop), between)?;
    }
    value::write(tx, parent, slot(prop), new)
}

/// What is at a place, where it is alone there and setting this would change nothing: the object, or the operation
/// that put the value.
pub(super) fn same_there<R: ReadDoc>(
    doc: &R,
    parent: &ObjId,
    prop: &Prop,
    new: &Value,
) -> Result<Option<ObjId>, automerge::AutomergeError> {
    let mut found = doc.get_all(parent, prop.clone())?;
    let Some((value, id)) = found.pop() else { return Ok(None) };
    let empty = |id: &ObjId| doc.length(id) == 0;
    let same = match (&value, new) {
        (automerge::Value::Object(ObjType::Map), Value::Object(entries)) => entries.is_empty() && empty(&id),
        (automerge::Value::Object(ObjType::List), Value::Array(items)) => items.is_empty() && empty(&id),
        // The library settles a conflict by writing the value again.
        (automerge::Value::Scalar(there), new) => {
            found.is_empty() && value::scalar(new).is_some_and(|new| new == *there.as_ref())
        }
        _ => false,
    };
    Ok(same.then_some(id))
}

/// Puts a new counter. Where one is there that began with the same value, the library writes nothing, whatever
/// was added to that one since: then `null` is put between them.
fn replace_by_counter(
    tx: &mut Transaction<'_>,
    parent: &ObjId,
    prop: &Prop,
    n: i64,
) -> Result<(), automerge::AutomergeError> {
    let winner = |tx: &Transaction<'_>| tx.get(parent, prop.clone()).map(|found| found.map(|(_, id)| id));
    let before = winner(tx)?;
    value::put(tx, parent, slot(prop), ScalarValue::counter(n))?;
    if winner(tx)? == before {
        value::put(tx, parent, slot(prop), ScalarValue::Null)?;
        value::put(tx, parent, slot(prop), ScalarValue::counter(n))?;
    }
    Ok(())
}

fn set_root(
    tx: &mut Transaction<'_>,
    entries: &Map<String, Value>,
    queued: &QueuedOps,
) -> Result<(), automerge::AutomergeError> {
    let gone: Vec<String> = tx.keys(automerge::ROOT).filter(|key| !entries.contains_key(key)).collect();
    for key in gone {
        tx.delete(automerge::ROOT, key)?;
    }
    for (key, new) in entries {
        replace(tx, (&automerge::ROOT, &Prop::Map(key.clone())), new, queued)?;
    }
    Ok(())
}
