//! What a planned action writes.

use automerge::{
    ObjId, ObjType, Prop, ReadDoc, ScalarValue,
    transaction::{Transactable, Transaction},
};
use serde_json::{Map, Value};

use super::{
    json::Step,
    value::{self, Slot},
};
use crate::Action;

/// Does a step. One that fails may have done a part: the transaction is then rolled back.
pub(super) fn apply(
    tx: &mut Transaction<'_>,
    action: &Action,
    parts: &[String],
    step: Step<'_>,
) -> Result<(), automerge::AutomergeError> {
    match step {
        Step::Nothing => Ok(()),
        Step::SetRoot(entries) => set_root(tx, entries),
        Step::Replace(parent, prop, new) => replace(tx, &parent, &prop, new),
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

/// Puts a value in the place of another. An empty container in the place of one of its kind that is empty
/// changes nothing: so one that was just made by its own change stays.
fn replace(
    tx: &mut Transaction<'_>,
    parent: &ObjId,
    prop: &Prop,
    new: &Value,
) -> Result<(), automerge::AutomergeError> {
    let empty = match new {
        Value::Object(entries) if entries.is_empty() => Some(ObjType::Map),
        Value::Array(items) if items.is_empty() => Some(ObjType::List),
        _ => None,
    };
    if let Some((automerge::Value::Object(kind), id)) = tx.get(parent, prop.clone())?
        && Some(kind) == empty
        && tx.length(&id) == 0
    {
        return Ok(());
    }
    value::write(tx, parent, slot(prop), new)
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

fn set_root(tx: &mut Transaction<'_>, entries: &Map<String, Value>) -> Result<(), automerge::AutomergeError> {
    let gone: Vec<String> = tx.keys(automerge::ROOT).filter(|key| !entries.contains_key(key)).collect();
    for key in gone {
        tx.delete(automerge::ROOT, key)?;
    }
    for (key, new) in entries {
        replace(tx, &automerge::ROOT, &Prop::Map(key.clone()), new)?;
    }
    Ok(())
}
