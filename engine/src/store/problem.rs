//! Why the last sync of a document with its server did not end well, where only somebody at the server or here can help:
//! so that a list says of a document what a sync says.

use rusqlite::Connection;
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
pub(super) const PREFIX: &str = "sync_problem/";

/// Where it is kept of a document.
pub(super) fn key(id: DocumentId) -> String {
    format!("{PREFIX}{id}")
}

pub(super) fn read_problem(connection: &Connection, id: DocumentId) -> Result<Option<SyncProblem>> {
    let text = get_meta(connection, &key(id))?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()))
}

pub(super) fn forget_problem(connection: &Connection, id: DocumentId) -> Result<()> {
    Ok(unset_meta(connection, &key(id))?)
}
