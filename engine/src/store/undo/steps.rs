//! Steps of undo: an action, or several that are one step for whoever did them.

use automerge::ChangeHash;
use serde::Serialize;

use super::{
    UndoKind, Undone, root_action,
    stack::{Entry, Names, next},
    step_rows::{self, Place},
    whole::{entries_of, held, others, wholes_of},
};
use crate::{
    DocumentId, Result,
    store::{Core, core::Writing, rows},
};

/// What is undone or redone next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct NextStep {
    /// What a menu calls it: the label of its first action ([`crate::UndoStep::label`]), or that action's type.
    pub label: String,
    /// The first action of the step.
    pub action: ChangeHash,
    /// That action's type.
    pub action_type: Option<String>,
    /// How many actions it takes back or does again; those in other documents of its [`crate::Transaction`] count.
    pub actions: u64,
}

impl Core {
    /// What [`Core::undo`] would undo: for a menu. `None`: there is nothing.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDocument`].
    pub fn next_undo(&mut self, id: DocumentId) -> Result<Option<NextStep>> {
        self.next_step(id, UndoKind::Undo)
    }

    /// What [`Core::redo`] would do again: for a menu. `None`: there is nothing.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDocument`].
    pub fn next_redo(&mut self, id: DocumentId) -> Result<Option<NextStep>> {
        self.next_step(id, UndoKind::Redo)
    }

    fn next_step(&mut self, id: DocumentId, kind: UndoKind) -> Result<Option<NextStep>> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        let entries = next(&self.connection, replica, kind)?;
        // The oldest action is taken back last, and done again first.
        let first = if kind == UndoKind::Redo { entries.first() } else { entries.last() };
        let Some(first) = first else { return Ok(None) };
        let document = replica.row.id;
        let names = Names::read(&self.connection, document)?;
        let (action, action_type) = root_action(&replica.am, first, &names);
        let label = label_of(&self.connection, document, action)?;
        let wholes = wholes_of(&self.connection, document, &entries)?;
        let mut actions = entries.len() as u64;
        for other in others(&wholes, id) {
            if let Some(replica) = held(&mut self.replicas, (&self.connection, &self.actor), other)? {
                actions += entries_of(&self.connection, replica, (kind, &wholes))?.len() as u64;
            }
        }
        Ok(Some(NextStep {
            label: label.or_else(|| action_type.clone()).unwrap_or_else(|| "change".to_owned()),
            action,
            action_type,
            actions,
        }))
    }
}

/// What was said that a menu calls an action.
pub(super) fn label_of(
    connection: &rusqlite::Connection,
    document: i64,
    action: ChangeHash,
) -> Result<Option<String>> {
    let key = rows::read_was(connection, document, &action)?.unwrap_or(action);
    Ok(step_rows::read(connection, document, key)?.and_then(|row| row.label))
}

impl Writing<'_> {
    /// Takes back the parts of a step, the newest first, each by a change of its own, all in the open transaction: these
    /// changes are one step themselves, and where it is a part of a transaction over several documents a part of one. The
    /// outer error gives the transaction up, so that no part is taken back alone.
    pub(super) fn take_back_step(
        &mut self,
        id: DocumentId,
        entries: &[Entry],
        (kind, is_part): (UndoKind, bool),
    ) -> Result<Result<Option<Undone>>> {
        let mut whole: Option<Undone> = None;
        for entry in entries {
            let place = match &whole {
                None if entries.len() == 1 && !is_part => Place::Alone,
                None => Place::First,
                Some(whole) => Place::After(whole.hash),
            };
            match (self.take_back(id, entry, (kind, place))?, &mut whole) {
                (Ok(undone), None) => whole = Some(undone),
                (Ok(undone), Some(whole)) => whole.add(undone),
                (Err(error), None) => return Ok(Err(error)),
                (Err(error), Some(_)) => return Err(error),
            }
            self.settle_document(id)?;
        }
        Ok(Ok(whole))
    }
}
