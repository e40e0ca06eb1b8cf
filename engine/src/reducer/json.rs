//! The reducer of the built-in JSON slice.
//!
//! An action is first planned: what can go wrong is found before anything is changed, and the containers that
//! it needs are named. When these are in the document, it is reduced on a transaction.

use automerge::{
    Automerge, ObjId, ObjType, Prop, ReadDoc, ScalarValue,
    transaction::{Transactable, Transaction},
};
use serde_json::{Map, Value};

use super::{
    ActionError, Kind, kind_of,
    place::{self, Place, find, parse_pointer, past_end, prefix},
    value::{self, Slot},
};
use crate::{
    Action,
    container::{self, ContainerKind, ContainerSpec, Held},
};

/// What an action will do, where. Everything that can go wrong was found before there is one.
enum Step<'a> {
    /// Nothing: what is to be made is there.
    Nothing,
    /// Makes the document's keys exactly these.
    SetRoot(&'a Map<String, Value>),
    /// Puts a value in the place of another.
    Replace(ObjId, Prop, &'a Value),
    /// Puts a counter in the place of a number or of another counter.
    ReplaceByCounter(ObjId, Prop, i64),
    /// Removes what is there.
    Delete(ObjId, Prop),
    /// Adds to a counter.
    Add(ObjId, Prop, i64),
    /// Inserts into a list.
    Insert(ObjId, usize, &'a Value),
    /// Splices text: position, how many to delete, what to insert.
    Splice(ObjId, usize, usize, &'a str),
    /// Nothing is there yet: from this map, with so many parts leading to it.
    Make(ObjId, usize),
}

/// An action with its path read.
struct Plan<'a> {
    /// The parts of the path; for `insert`, those of the list.
    parts: Vec<String>,
    step: Step<'a>,
}

/// Checks an action against the document, and says which container changes it needs. The caller puts those
/// into the document (parents first, as they come) and then calls [`reduce`].
///
/// # Errors
/// Whatever [`reduce`] would find: an action that fails changes nothing, and no container is made for it.
pub fn plan_action(
    doc: &Automerge,
    held: &impl Held,
    action: &Action,
) -> Result<Vec<ContainerSpec>, ActionError> {
    let plan = plan(doc, action)?;
    let Step::Make(..) = plan.step else { return Ok(Vec::new()) };
    let parts = plan.parts;
    Ok(match action {
        Action::Set { value: Value::Object(entries), .. } if entries.is_empty() => {
            container::plan(doc, held, &parts, ContainerKind::Map)
        }
        Action::Set { value: Value::Array(items), .. } if items.is_empty() => {
            container::plan(doc, held, &parts, ContainerKind::List)
        }
        Action::Set { .. } => match parts.split_last() {
            Some((_, parents)) => container::plan(doc, held, parents, ContainerKind::Map),
            None => Vec::new(),
        },
        Action::Increment { .. } => container::plan(doc, held, &parts, ContainerKind::Counter),
        Action::Insert { .. } => container::plan(doc, held, &parts, ContainerKind::List),
        Action::Splice { .. } => container::plan(doc, held, &parts, ContainerKind::Text),
        Action::Delete { .. } => Vec::new(),
    })
}

/// Does the action on a transaction. It may leave the transaction without operations (setting what is already
/// so, inserting nothing, a container that its own change has made): the caller then makes an empty change,
/// for every dispatched action makes exactly one.
///
/// # Errors
/// As [`plan_action`]; the transaction must then be rolled back.
pub fn reduce(tx: &mut Transaction<'_>, action: &Action) -> Result<(), ActionError> {
    let Plan { parts, step } = plan(tx, action)?;
    apply(tx, action, &parts, step).map_err(ActionError::library(action.path()))
}

fn plan<'a, R: ReadDoc>(doc: &R, action: &'a Action) -> Result<Plan<'a>, ActionError> {
    let path = action.path();
    let mut parts = parse_pointer(path)?;
    let step = match action {
        Action::Set { value, .. } => {
            value::check(value, path, parts.len())?;
            plan_set(find(doc, &parts, None)?, path, value)?
        }
        Action::Delete { .. } => plan_delete(find(doc, &parts, None)?, &parts)?,
        Action::Increment { by, .. } => plan_increment(find(doc, &parts, None)?, path, *by)?,
        Action::Insert { value, .. } => {
            value::check(value, path, parts.len())?;
            let list = parts.split_last().ok_or(ActionError::WholeDocument)?.1;
            let step = plan_insert(doc, find(doc, list, None)?, &parts, value)?;
            parts.pop();
            step
        }
        Action::Splice { .. } => plan_splice(doc, find(doc, &parts, None)?, action)?,
    };
    Ok(Plan { parts, step })
}

fn plan_set<'a>(place: Place<'_>, path: &str, new: &'a Value) -> Result<Step<'a>, ActionError> {
    Ok(match place {
        Place::Root => Step::SetRoot(new.as_object().ok_or(ActionError::WholeDocument)?),
        Place::Missing { parent, depth } => Step::Make(parent, depth),
        Place::There { parent, prop, value, .. } => match new {
            // An integer set on a counter is a new counter of that value (CONTRACT).
            Value::Number(n) if kind_of(&value) == Kind::Counter && !n.is_f64() => {
                let n = n.as_i64().ok_or_else(|| ActionError::OutOfRange { path: path.to_owned() })?;
                Step::ReplaceByCounter(parent, prop, n)
            }
            _ => Step::Replace(parent, prop, new),
        },
    })
}

fn plan_delete<'a>(place: Place<'_>, parts: &[String]) -> Result<Step<'a>, ActionError> {
    match place {
        Place::Root => Err(ActionError::WholeDocument),
        Place::Missing { depth, .. } => Err(ActionError::NotFound { path: prefix(parts, depth + 1) }),
        Place::There { parent, prop, .. } => Ok(Step::Delete(parent, prop)),
    }
}

fn plan_increment<'a>(place: Place<'_>, path: &str, by: i64) -> Result<Step<'a>, ActionError> {
    let (parent, prop, value) = match place {
        Place::Root => return Err(ActionError::WholeDocument),
        Place::Missing { parent, depth } => return Ok(Step::Make(parent, depth)),
        Place::There { parent, prop, value, .. } => (parent, prop, value),
    };
    let out_of_range = || ActionError::OutOfRange { path: path.to_owned() };
    let wrong = || ActionError::WrongType {
        path: path.to_owned(),
        found: kind_of(&value),
        wanted: Kind::CounterOrInteger,
    };
    let sum = |n: i64| n.checked_add(by).ok_or_else(out_of_range);
    match value.as_scalar() {
        Some(ScalarValue::Counter(n)) => sum(i64::from(n)).map(|_| Step::Add(parent, prop, by)),
        Some(ScalarValue::Int(n)) => Ok(Step::ReplaceByCounter(parent, prop, sum(*n)?)),
        Some(ScalarValue::Uint(n)) => {
            let n = i64::try_from(*n).map_err(|_| out_of_range())?;
            Ok(Step::ReplaceByCounter(parent, prop, sum(n)?))
        }
        _ => Err(wrong()),
    }
}

fn plan_insert<'a, R: ReadDoc>(
    doc: &R,
    place: Place<'_>,
    parts: &[String],
    new: &'a Value,
) -> Result<Step<'a>, ActionError> {
    let depth = parts.len().saturating_sub(1);
    let wrong = |found| ActionError::WrongType { path: prefix(parts, depth), found, wanted: Kind::List };
    match place {
        Place::Root => Err(wrong(Kind::Map)),
        Place::Missing { parent, depth: missing } => {
            place::gap(parts, depth, 0).map(|_| Step::Make(parent, missing))
        }
        Place::There { value, id, .. } => match kind_of(&value) {
            Kind::List => {
                let index = place::gap(parts, depth, doc.length(&id))?;
                Ok(Step::Insert(id, index, new))
            }
            found => Err(wrong(found)),
        },
    }
}

fn plan_splice<'a, R: ReadDoc>(
    doc: &R,
    place: Place<'_>,
    action: &'a Action,
) -> Result<Step<'a>, ActionError> {
    let Action::Splice { path, pos, delete, insert } = action else { return Ok(Step::Nothing) };
    let wrong = |found| ActionError::WrongType { path: path.clone(), found, wanted: Kind::Text };
    let (step, length) = match place {
        Place::Root => return Err(wrong(Kind::Map)),
        Place::Missing { parent, depth } => (Err((parent, depth)), 0),
        Place::There { value, id, .. } if kind_of(&value) == Kind::Text => {
            let length = doc.length(&id);
            (Ok(id), length)
        }
        Place::There { value, .. } => return Err(wrong(kind_of(&value))),
    };
    let (from, to) = (*pos, pos.saturating_add(*delete));
    for position in [from, to] {
        if position > length as u64 {
            return Err(past_end(path, position, length));
        }
    }
    Ok(match step {
        // Both are at most the length, which is a usize.
        Ok(text) => Step::Splice(text, from as usize, (to - from) as usize, insert),
        Err((parent, depth)) => Step::Make(parent, depth),
    })
}

fn apply(
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
