//! The reducer of the built-in JSON slice.
//!
//! An action is first planned: what can go wrong is found before anything is changed, and the containers that
//! it needs are named. When these are in the document, it is reduced on a transaction.

use automerge::{Automerge, ChangeHash, ObjId, Prop, ReadDoc, ScalarValue, transaction::Transaction};
use serde_json::{Map, Value};

use super::{
    ActionError, Kind, Place,
    apply::{apply, same_there},
    find, kind_of, parse_pointer, prefix,
    queued::QueuedOps,
    value,
};
use rejoin_protocol::pointer::{self, past_end};

use crate::{
    Action,
    container::{self, ContainerKind, ContainerSpec, Held},
};

/// What an action will do, where. Everything that can go wrong was found before there is one.
pub(super) enum Step<'a> {
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

/// An action that was checked against a document, and what it needs there.
pub struct Prepared<'a> {
    containers: Vec<ContainerSpec>,
    action: &'a Action,
    plan: Plan<'a>,
}

/// Checks an action against the document, and says which container changes it needs. The caller puts those
/// into the document (parents first, as they come) and then calls [`Prepared::reduce`] on a transaction.
///
/// # Errors
/// Whatever reducing would find: an action that fails changes nothing, and no container is made for it.
pub fn prepare<'a>(
    doc: &Automerge,
    held: &impl Held,
    action: &'a Action,
) -> Result<Prepared<'a>, ActionError> {
    let plan = plan(doc, action)?;
    let containers = match plan.step {
        Step::Make(..) => containers((doc, None), held, action, &plan.parts),
        _ => Vec::new(),
    };
    Ok(Prepared { containers, action, plan })
}

impl Prepared<'_> {
    /// The container changes that must be in the document first.
    pub fn containers(&self) -> &[ContainerSpec] {
        &self.containers
    }

    /// Does the action. The document must be the one it was prepared on, with nothing new but the containers.
    ///
    /// It may leave the transaction without operations (setting what is already so, inserting nothing, a
    /// container that its own change has made): the caller then makes an empty change, for every dispatched
    /// action makes exactly one.
    ///
    /// # Errors
    /// Only what the library refuses all the same; the transaction must then be rolled back.
    pub fn reduce(self, tx: &mut Transaction<'_>) -> Result<(), ActionError> {
        self.reduce_over(tx, &QueuedOps::default())
    }

    /// The same, where what waits in the queue is written again rather than taken as there.
    ///
    /// # Errors
    /// As [`Prepared::reduce`].
    pub(crate) fn reduce_over(self, tx: &mut Transaction<'_>, queued: &QueuedOps) -> Result<(), ActionError> {
        if !self.containers.is_empty() {
            return reduce(tx, self.action);
        }
        let Plan { parts, step } = self.plan;
        apply(tx, self.action, (&parts, step), queued).map_err(ActionError::library(self.action.path()))
    }

    /// Whether something that it sets is there already: then it matters who wrote that.
    pub(crate) fn repeats(&self, doc: &Automerge) -> bool {
        match &self.plan.step {
            Step::SetRoot(_) => true,
            Step::Replace(parent, prop, new) => {
                same_there(doc, parent, prop, new).is_ok_and(|there| there.is_some())
            }
            _ => false,
        }
    }
}

/// [`prepare`], where only the containers are wanted.
///
/// # Errors
/// As [`prepare`].
pub fn plan_action(
    doc: &Automerge,
    held: &impl Held,
    action: &Action,
) -> Result<Vec<ContainerSpec>, ActionError> {
    prepare(doc, held, action).map(|prepared| prepared.containers)
}

/// Does the action on a transaction, as [`Prepared::reduce`] does, and looks its path up for itself.
///
/// # Errors
/// As [`prepare`]; the transaction must then be rolled back.
pub fn reduce(tx: &mut Transaction<'_>, action: &Action) -> Result<(), ActionError> {
    let Plan { parts, step } = plan(tx, action)?;
    apply(tx, action, (&parts, step), &QueuedOps::default()).map_err(ActionError::library(action.path()))
}

/// Does the action on a transaction that may have done others already, and gives the containers that were
/// missing when it began (at `base`): what is made for them here is provisional, and the caller begins again when
/// they are in the document.
///
/// # Errors
/// As [`prepare`]; the transaction must then be rolled back.
pub(crate) fn reduce_within(
    tx: &mut Transaction<'_>,
    (base, queued): (&[ChangeHash], &QueuedOps),
    held: &impl Held,
    action: &Action,
) -> Result<Vec<ContainerSpec>, ActionError> {
    let Plan { parts, step } = plan(tx, action)?;
    let missing = match step {
        Step::Make(..) => containers((tx, Some(base)), held, action, &parts),
        _ => Vec::new(),
    };
    apply(tx, action, (&parts, step), queued).map_err(ActionError::library(action.path()))?;
    Ok(missing)
}

/// What an action makes by changes of their own, where nothing is yet.
fn containers<R: ReadDoc>(
    (doc, at): (&R, Option<&[ChangeHash]>),
    held: &impl Held,
    action: &Action,
    parts: &[String],
) -> Vec<ContainerSpec> {
    let at = |parts: &[String], kind| container::plan_at(doc, at, held, parts, kind);
    match action {
        Action::Set { value: Value::Object(entries), .. } if entries.is_empty() => {
            at(parts, ContainerKind::Map)
        }
        Action::Set { value: Value::Array(items), .. } if items.is_empty() => at(parts, ContainerKind::List),
        Action::Set { .. } => {
            parts.split_last().map_or(Vec::new(), |(_, above)| at(above, ContainerKind::Map))
        }
        Action::Increment { .. } => at(parts, ContainerKind::Counter),
        Action::Insert { .. } => at(parts, ContainerKind::List),
        Action::Splice { .. } => at(parts, ContainerKind::Text),
        Action::Delete { .. } => Vec::new(),
    }
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
            // An integer set on a counter is a new counter of that value.
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
            pointer::first_gap(parts, depth).map(|_| Step::Make(parent, missing))
        }
        Place::There { value, id, .. } => match kind_of(&value) {
            Kind::List => {
                let index = pointer::gap(doc, &id, parts, depth)?;
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
