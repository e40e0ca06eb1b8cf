//! Undo of a transaction over several documents: it is taken back in all of them, in one commit.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use automerge::ChangeHash;
use rusqlite::{Connection, named_params};
use uuid::Uuid;

use super::{
    UndoKind, Undone, UndoneBeside,
    stack::{Entry, among},
    step_rows,
};
use crate::{
    Actor, DocumentId, Error, Result,
    store::{
        core::Writing,
        replica::{Replica, Replicas},
    },
};

/// A transaction over several documents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Whole {
    name: Vec<u8>,
    documents: Vec<DocumentId>,
}

impl Whole {
    /// From the columns `whole` and `documents`.
    pub(super) fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Option<Self>> {
        let Some(name) = row.get("whole")? else { return Ok(None) };
        let documents: Option<String> = row.get("documents")?;
        let documents = documents.and_then(|json| serde_json::from_str(&json).ok()).unwrap_or_default();
        Ok(Some(Self { name, documents }))
    }
}

/// Makes one step of changes that were just made and have rows, where they are in several documents.
pub(in crate::store) fn join(
    connection: &Connection,
    changes: &BTreeMap<(DocumentId, i64), Vec<ChangeHash>>,
) -> Result<()> {
    if changes.len() < 2 {
        return Ok(());
    }
    let ids: Vec<_> = changes.keys().map(|(id, _)| id.to_string()).collect();
    let (name, documents) = (Uuid::new_v4(), serde_json::Value::from(ids).to_string());
    let sql = "UPDATE undo_step SET whole = :name, documents = :documents
                WHERE document = :document AND hash = :hash";
    let mut statement = connection.prepare_cached(sql)?;
    for ((_, document), hashes) in changes {
        for hash in hashes {
            statement.execute(named_params! {
                ":name": name.as_bytes(), ":documents": documents, ":document": document, ":hash": hash.0,
            })?;
        }
    }
    Ok(())
}

/// The transactions of which these changes of a document are parts.
pub(super) fn wholes_of(connection: &Connection, document: i64, entries: &[Entry]) -> Result<Vec<Whole>> {
    let mut found = Vec::new();
    for entry in entries {
        let whole = step_rows::read(connection, document, entry.key)?.and_then(|row| row.whole);
        found.extend(whole.filter(|whole| !found.contains(whole)));
    }
    Ok(found)
}

/// Their documents but for this one.
pub(super) fn others(wholes: &[Whole], id: DocumentId) -> BTreeSet<DocumentId> {
    let documents = wholes.iter().flat_map(|whole| &whole.documents);
    documents.copied().filter(|other| *other != id).collect()
}

/// What of these transactions is to be taken back in this document, the newest first.
pub(super) fn entries_of(
    connection: &Connection,
    replica: &Replica,
    (kind, wholes): (UndoKind, &[Whole]),
) -> Result<Vec<Entry>> {
    let sql = "SELECT hash FROM undo_step WHERE whole = :name AND document = :document AND undoable";
    let mut statement = connection.prepare_cached(sql)?;
    let mut keys = HashSet::new();
    for whole in wholes {
        let params = named_params! {":name": whole.name, ":document": replica.row.id};
        for hash in statement.query_map(params, |r| Ok(ChangeHash(r.get(0)?)))? {
            keys.insert(hash?);
        }
    }
    among(connection, replica, (kind, &keys))
}

/// The document; `None` where it is not here any more, or was deleted.
pub(super) fn held<'r>(
    replicas: &'r mut Replicas,
    (connection, actor): (&Connection, &Actor),
    id: DocumentId,
) -> Result<Option<&'r mut Replica>> {
    match replicas.get(connection, id, actor) {
        Ok(replica) => Ok(Some(replica).filter(|replica| replica.row.tombstone.is_none())),
        Err(Error::UnknownDocument(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Writing<'_> {
    /// Takes back a step, and where it is a part of a transaction over several documents the rest of that too. The outer
    /// error gives all of it up.
    pub(super) fn take_back_whole(
        &mut self,
        id: DocumentId,
        entries: &[Entry],
        kind: UndoKind,
    ) -> Result<Result<Option<Undone>>> {
        let document = self.replicas.get(self.tx, id, self.actor)?.row.id;
        let wholes = wholes_of(self.tx, document, entries)?;
        let done = self.take_back_step(id, entries, (kind, !wholes.is_empty()))?;
        let Ok(Some(mut undone)) = done else { return Ok(done) };
        let mut changes = BTreeMap::from([((id, document), undone.hashes().collect())]);
        for other in others(&wholes, id) {
            self.take_back_beside(other, (kind, &wholes), (&mut undone, &mut changes))?;
        }
        join(self.tx, &changes)?;
        Ok(Ok(Some(undone)))
    }

    fn take_back_beside(
        &mut self,
        other: DocumentId,
        (kind, wholes): (UndoKind, &[Whole]),
        (undone, changes): (&mut Undone, &mut BTreeMap<(DocumentId, i64), Vec<ChangeHash>>),
    ) -> Result<()> {
        // Whatever fails from here on, it is read anew.
        self.also.push(other);
        let Some(replica) = held(self.replicas, (self.tx, self.actor), other)? else {
            undone.gone.push(other);
            return Ok(());
        };
        let (document, entries) = (replica.row.id, entries_of(self.tx, replica, (kind, wholes))?);
        // "All or none": what cannot be taken back there is taken back nowhere.
        if let Some(there) = self.take_back_step(other, &entries, (kind, true))?? {
            changes.insert((other, document), there.hashes().collect());
            undone.beside.push(UndoneBeside { document: other, undone: there });
        }
        Ok(())
    }
}
