//! Why the last sync of a document with its server did not end well, where only somebody at the server or here can help:
//! so that a list says of a document what a sync says.

use std::collections::HashSet;

use rusqlite::{Connection, named_params};
use serde::{Deserialize, Serialize};

use super::{
    Core,
    home::Standing,
    open::{get_meta, set_meta, unset_meta},
};
use crate::{DocumentId, Result};

/// What kept a document from being in step at the last sync with its server. The next sync that ends well takes it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncProblem {
    /// What kind.
    pub kind: SyncProblemKind,
    /// One sentence, without secrets.
    pub why: String,
}

/// What kind of problem.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum SyncProblemKind {
    /// The server takes the token, and the token has not the right to do this with the document.
    NotAllowed,
    /// What the server holds or says cannot be taken.
    Failed,
}

/// What the keys of `meta` begin with under which problems are kept.
const PREFIX: &str = "sync_problem/";

/// Where it is kept of a document.
fn key(id: DocumentId) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn read_problem(connection: &Connection, id: DocumentId) -> Result<Option<SyncProblem>> {
    let text = get_meta(connection, &key(id))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// The documents that have one.
pub(super) fn read_troubled(connection: &Connection) -> Result<HashSet<DocumentId>> {
    let sql = "SELECT key FROM meta WHERE key >= :first AND key < :end";
    let mut statement = connection.prepare_cached(sql)?;
    // '0' is the character after '/'.
    let range = named_params! {":first": PREFIX, ":end": "sync_problem0"};
    let keys = statement.query_map(range, |row| row.get::<_, String>(0))?;
    let keys: Vec<String> = keys.collect::<rusqlite::Result<_>>()?;
    Ok(keys.iter().filter_map(|key| key.strip_prefix(PREFIX)?.parse().ok()).collect())
}

pub(super) fn forget_problem(connection: &Connection, id: DocumentId) -> Result<()> {
    Ok(unset_meta(connection, &key(id))?)
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
