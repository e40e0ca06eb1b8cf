//! Which documents are in step with a server as far as is known here, and which are not for long: what its list of documents
//! is compared with, and what a sync notes.

use std::collections::{HashMap, HashSet};

use rusqlite::named_params;

use super::{
    Core, SyncProblem,
    home::Standing,
    open::{get_meta, set_meta},
    problem::{forget_problem, key, read_problem, read_problems},
    queue::owes,
    rows,
};
use crate::{ChangeHash, Cursor, DocumentId, Result};

/// What the keys of `meta` begin with under which it stands how far lists of documents are known; behind it, whose list.
const LISTED: &str = "listed/";

/// Up to where a document is in step with a server, and its heads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InStep {
    pub(crate) cursor: Cursor,
    pub(crate) heads: Vec<ChangeHash>,
}

impl Core {
    /// Of these documents, those that owe this server nothing and had all of its log when they were synced last.
    pub(crate) fn in_step_at(
        &mut self,
        documents: &HashSet<DocumentId>,
        server: &str,
    ) -> Result<HashMap<DocumentId, InStep>> {
        let mut found = HashMap::new();
        // What failed last is asked for by itself: only that shows that it is well again.
        let troubled = read_problems(&self.connection)?;
        for row in rows::read_documents(&self.connection)? {
            let Some(cursor) = row.cursor_at(server).cloned().filter(|_| documents.contains(&row.uuid))
            else {
                continue;
            };
            let settled =
                row.at_end && !row.healing && row.tombstone.is_none() && row.not_served_by.is_none();
            if settled && !troubled.contains_key(&row.uuid) && !owes(&self.connection, row.id)? {
                found.insert(row.uuid, InStep { cursor, heads: row.heads });
            }
        }
        Ok(found)
    }

    /// Whether one of these documents has a cursor of this server.
    pub(crate) fn any_cursor_at(&mut self, documents: &HashSet<DocumentId>, server: &str) -> Result<bool> {
        if documents.is_empty() {
            return Ok(false);
        }
        let rows = rows::read_documents(&self.connection)?;
        Ok(rows.iter().any(|row| documents.contains(&row.uuid) && row.cursor_at(server).is_some()))
    }

    /// Whether each of these documents holds these heads: a list that a server gave may name what its pages left out.
    pub(crate) fn hold_heads(&mut self, documents: &[(DocumentId, Vec<ChangeHash>)]) -> Result<bool> {
        for (id, heads) in documents {
            if !self.holds_all(*id, heads)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn holds_all(&mut self, id: DocumentId, heads: &[ChangeHash]) -> Result<bool> {
        let row = self.document_row(id)?;
        if heads.iter().all(|head| row.heads.contains(head)) {
            return Ok(true);
        }
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        replica.build_index(&self.connection)?;
        Ok(replica.holds_all(heads))
    }

    /// A server has nothing new of these documents.
    pub(crate) fn note_in_step(&mut self, documents: &[DocumentId]) -> Result<()> {
        if documents.is_empty() {
            return Ok(());
        }
        self.write(&[], |w| {
            let sql = "UPDATE document SET last_sync_at = :now WHERE uuid = :uuid";
            let mut statement = w.tx.prepare_cached(sql)?;
            for id in documents {
                statement.execute(named_params! {":now": w.now, ":uuid": id.to_string()})?;
                if let Some(replica) = w.replicas.peek(*id) {
                    replica.row.last_sync_at = Some(w.now);
                }
            }
            Ok(())
        })
    }

    /// How far a list of documents is known: what was last given to [`Core::keep_listed`].
    pub(crate) fn listed(&mut self, whose: &str) -> Result<Option<String>> {
        Ok(get_meta(&self.connection, &format!("{LISTED}{whose}"))?)
    }

    /// Keeps how far a list of documents is known.
    pub(crate) fn keep_listed(&mut self, whose: &str, text: &str) -> Result<()> {
        if self.listed(whose)?.as_deref() == Some(text) {
            return Ok(());
        }
        self.write(&[], |w| Ok(set_meta(w.tx, &format!("{LISTED}{whose}"), text)?))
    }
}

impl Core {
    /// Notes how a sync of a document with this server ended: with a problem, or well. What a server says that a store was
    /// pointed to for a single sync is not kept: it is not the document's.
    ///
    /// # Errors
    /// The file's. A document that is not here any more is none.
    pub(crate) fn note_sync_problem(
        &mut self,
        id: DocumentId,
        server: &str,
        problem: Option<SyncProblem>,
    ) -> Result<()> {
        let Ok(row) = self.document_row(id) else { return Ok(()) };
        let saved: Option<String> = get_meta(&self.connection, "server")?;
        if !Standing::of(&row, saved.as_deref(), server).is_owed_to()
            || read_problem(&self.connection, id)? == problem
        {
            return Ok(());
        }
        let text = problem.as_ref().map(serde_json::to_string).transpose();
        let text = text.map_err(|e| crate::Error::Bug(e.to_string()))?;
        self.write(&[], |w| match &text {
            Some(text) => Ok(set_meta(w.tx, &key(id), text)?),
            None => forget_problem(w.tx, id),
        })
    }
}
