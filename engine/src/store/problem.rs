//! Why the last sync of a document with its server did not end well, where only somebody at the server or here can help:
//! so that a list says of a document what a sync says.

use std::collections::HashMap;

use rusqlite::{Connection, named_params};
use serde::{Deserialize, Serialize};

use super::open::{get_meta, unset_meta};
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
pub(super) fn key(id: DocumentId) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn read_problem(connection: &Connection, id: DocumentId) -> Result<Option<SyncProblem>> {
    let text = get_meta(connection, &key(id))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

/// Those of all documents that have one.
pub(super) fn read_problems(connection: &Connection) -> Result<HashMap<DocumentId, SyncProblem>> {
    let sql = "SELECT key, CAST(value AS TEXT) FROM meta WHERE key >= :first AND key < :end";
    let mut statement = connection.prepare_cached(sql)?;
    // '0' is the character after '/'.
    let mut rows = statement.query(named_params! {":first": PREFIX, ":end": "sync_problem0"})?;
    let mut problems = HashMap::new();
    while let Some(row) = rows.next()? {
        let (key, text): (String, String) = (row.get(0)?, row.get(1)?);
        let id = key.strip_prefix(PREFIX).and_then(|id| id.parse().ok());
        if let (Some(id), Ok(problem)) = (id, serde_json::from_str(&text)) {
            problems.insert(id, problem);
        }
    }
    Ok(problems)
}

pub(super) fn forget_problem(connection: &Connection, id: DocumentId) -> Result<()> {
    Ok(unset_meta(connection, &key(id))?)
}
