//! How actions stand in undo, where that is not as usual: rows beside the changes made here, found by what each change
//! was first made as.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    stack::{ENTRY, entry},
    whole::Whole,
};
use crate::{Millis, Result, UndoStep, store::rows};

/// A change joins the step before it only where that is among so many newest changes of the document.
const NEAR: u64 = 1_000;

/// The most actions of a group that are one step: each is taken back by a change of its own, while a person waits.
const MOST_PARTS: u64 = 100;

/// Where in the steps a change belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) enum Place {
    /// It is a step.
    Alone,
    /// It is a part of the step before it, where that has this group and is new enough.
    Group(String),
    /// It is the first of a step.
    First,
    /// It is a part of the step that begins with this change.
    After(ChangeHash),
}

/// What is written of a new change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct NewStep {
    undoable: bool,
    label: Option<String>,
    place: Place,
}

impl NewStep {
    /// Of an action; `follows`: nobody dispatched it, it follows from something. `None`: it stands as usual.
    pub(in crate::store) fn of(step: UndoStep, follows: bool) -> Option<Self> {
        let UndoStep { undoable, label, group } = step;
        let as_usual = !follows && undoable.unwrap_or(true) && label.is_none() && group.is_none();
        (!as_usual).then(|| Self {
            undoable: undoable.unwrap_or(!follows),
            label,
            place: group.map_or(Place::Alone, Place::Group),
        })
    }

    /// Of an action of a transaction.
    pub(in crate::store) fn placed(step: UndoStep, place: Place) -> Self {
        Self { undoable: step.undoable.unwrap_or(true), label: step.label, place }
    }

    /// Of an undo or redo. `None`: it is a step by itself.
    pub(super) fn of_undo(place: Place) -> Option<Self> {
        (place != Place::Alone).then_some(Self { undoable: true, label: None, place })
    }
}

/// How a change stands.
#[derive(Debug)]
pub(super) struct StepRow {
    pub(super) undoable: bool,
    pub(super) label: Option<String>,
    /// The first change of its step, where that has others.
    pub(super) step: Option<ChangeHash>,
    /// The transaction over several documents of which it is a part.
    pub(super) whole: Option<Whole>,
    group: Option<String>,
    made_at: Millis,
    /// Which part of its group it is, from 1.
    part: u64,
}

/// How the change stands that was first made as this; `None`: as usual.
pub(super) fn read(connection: &Connection, document: i64, key: ChangeHash) -> Result<Option<StepRow>> {
    let sql = "SELECT undoable, label, step, group_key, made_at, part, whole, documents FROM undo_step
                WHERE document = :document AND hash = :hash";
    let params = named_params! {":document": document, ":hash": key.0};
    let found = connection.prepare_cached(sql)?.query_row(params, |r| {
        Ok(StepRow {
            undoable: r.get(0)?,
            label: r.get(1)?,
            step: r.get::<_, Option<[u8; 32]>>(2)?.map(ChangeHash),
            whole: Whole::read(r)?,
            group: r.get(3)?,
            made_at: r.get(4)?,
            part: r.get::<_, i64>(5)?.max(1) as u64,
        })
    });
    Ok(found.optional()?)
}

/// Writes how a change stands that was just appended, at this position.
pub(in crate::store) fn insert(
    connection: &Connection,
    (document, position, hash): (i64, u64, ChangeHash),
    new: &NewStep,
    (now, window): (Millis, Millis),
) -> Result<()> {
    let (group, step, part) = match &new.place {
        Place::Alone => (None, None, 1),
        Place::First => (None, Some(hash), 1),
        Place::After(first) => (None, Some(*first), 1),
        Place::Group(key) => {
            let before = if new.undoable { step_before(connection, document, position)? } else { None };
            let joined = before.filter(|row| {
                let age = now.saturating_sub(row.made_at);
                row.group.as_ref() == Some(key) && (0..window).contains(&age) && row.part < MOST_PARTS
            });
            let part = joined.as_ref().map_or(1, |row| row.part + 1);
            (Some(key), Some(joined.and_then(|row| row.step).unwrap_or(hash)), part)
        }
    };
    let sql =
        "INSERT OR REPLACE INTO undo_step (document, hash, undoable, label, group_key, step, part, made_at)
               VALUES (:document, :hash, :undoable, :label, :group, :step, :part, :now)";
    connection.prepare_cached(sql)?.execute(named_params! {
        ":document": document, ":hash": hash.0, ":undoable": new.undoable, ":label": new.label, ":group": group,
        ":step": step.map(|step| step.0), ":part": part as i64, ":now": now,
    })?;
    Ok(())
}

/// How the last change before this position stands that undo does not pass by.
fn step_before(connection: &Connection, document: i64, position: u64) -> Result<Option<StepRow>> {
    let sql = format!("{ENTRY} AND local = 1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let from = rows::row_id(document, position.saturating_sub(NEAR));
    let to = rows::row_id(document, position.saturating_sub(1));
    for entry in statement.query_map(named_params! {":from": from, ":to": to}, entry)? {
        let entry = entry?;
        let row = read(connection, document, entry.key)?;
        if !entry.is_passed_by(row.as_ref()) {
            return Ok(row);
        }
    }
    Ok(None)
}

/// A drop wrote this change again: it stands as it did.
pub(in crate::store) fn follow_step(
    connection: &Connection,
    document: i64,
    (was, is): (ChangeHash, ChangeHash),
) -> Result<()> {
    let sql = "UPDATE OR REPLACE undo_step SET hash = :is WHERE document = :document AND hash = :was";
    let params = named_params! {":document": document, ":was": was.0, ":is": is.0};
    connection.prepare_cached(sql)?.execute(params)?;
    Ok(())
}
