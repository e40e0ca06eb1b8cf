//! What goes in and out of a store.

use std::path::PathBuf;

use serde::Serialize;
use serde_json::Value;

use super::problem::SyncProblem;
use crate::{Actor, ChangeHash, Cursor, DocumentId};

/// Milliseconds since 1970, UTC.
pub type Millis = i64;

/// When a dispatch counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// It survives a power cut: each commit is flushed to the disk (`synchronous=FULL`).
    #[default]
    Full,
    /// It survives the death of the process, and a power cut may take the last moments back
    /// (`synchronous=NORMAL`). The store stays whole.
    Normal,
}

/// What a dispatch made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Receipt {
    /// The change, by which the action is known from now on.
    pub hash: ChangeHash,
    /// The action's id: what its reducer had as [`crate::slice::ActionInfo::id`], and so of what it made with it. `None` for
    /// an action of the built-in JSON slice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<uuid::Uuid>,
}

/// What is remembered for all documents of a store.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Settings {
    /// The server's base address.
    pub server: Option<String>,
    /// The name that changes made here bear.
    pub author: Option<String>,
    /// The base address of a server that plain HTTP may be spoken to, though it is another machine.
    pub allow_http_to: Option<String>,
    /// A file of certificates that are trusted beside this machine's: PEM.
    pub ca_file: Option<PathBuf>,
}

/// One document, as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DocumentInfo {
    /// Its id.
    pub id: DocumentId,
    /// Its local name.
    pub name: Option<String>,
    /// Its own server, where it was joined from another than the store's.
    pub server: Option<String>,
    /// The server where it lives, where a person named it or it has proved that it holds the document. Asked where
    /// neither the document nor the store names another.
    pub home: Option<String>,
    /// Its heads, sorted.
    pub heads: Vec<ChangeHash>,
    /// How many changes it holds; container changes left out.
    pub changes: u64,
    /// How many actions wait, the parked left out.
    pub queued: u64,
    /// How many are parked.
    pub parked: u64,
    /// How many changes are quarantined.
    pub quarantined: u64,
    /// How many of these somebody has seen: see [`crate::Store::note_quarantine_seen`].
    pub quarantined_seen: u64,
    /// Up to where everything of the server's log is here.
    pub cursor: Option<Cursor>,
    /// When the last sync ended well.
    pub last_sync_at: Option<Millis>,
    /// The last reply reached the log's end, nothing waits, and the last sync met no problem.
    pub in_step: bool,
    /// Deleted for everyone; kept here so that it never comes back.
    pub deleted: bool,
    /// A server where it does not live said that it was deleted, and none has served it since. Nothing was changed by
    /// that.
    pub not_served_by: Option<String>,
    /// Why what waits was not taken, where the server said at the last try that this token may not write there.
    pub not_allowed: Option<String>,
    /// What kept it from being in step at the last sync with its server.
    pub problem: Option<SyncProblem>,
    /// The last reply came from within the log: the server has more.
    pub behind: bool,
}

/// The state of a queue row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum QueueState {
    /// To be sent.
    Waiting,
    /// Accepted by the server, and not yet covered by the cursor.
    Sent,
    /// Refused for good: it needs a person.
    Parked,
}

/// One line of the queue.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QueueEntry {
    /// 1 for the first in the whole store.
    pub position: u64,
    /// The document.
    pub document: DocumentId,
    /// The action's type.
    pub action_type: Option<String>,
    /// The action.
    pub action: Option<Value>,
    /// Its change.
    pub change_hash: ChangeHash,
    /// When it was enqueued.
    pub enqueued_at: Millis,
    /// How often sending it failed.
    pub attempts: u64,
    /// When it was last tried.
    pub last_attempt_at: Option<Millis>,
    /// Why it failed.
    pub last_error: Option<String>,
    /// When it is tried again.
    pub next_attempt_at: Option<Millis>,
    /// Its state.
    pub state: QueueState,
    /// Its change holds no operation, and nothing was made beside it: what it was to do was so already.
    pub already_so: bool,
}

/// What dropping a queue row would take along.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DropPlan {
    /// The row and the later ones that touch what it made: they go.
    pub dropped: Vec<QueueEntry>,
    /// The later ones that are written again without it.
    pub rewritten: u64,
}

/// One line of a document's history.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct HistoryEntry {
    /// 1 for the first.
    pub position: u64,
    /// The change.
    pub hash: ChangeHash,
    /// The changes it was made on.
    pub deps: Vec<ChangeHash>,
    /// Who made it, as an actor.
    pub actor: Actor,
    /// Who made it, by name: what the change says of itself.
    pub author: Option<String>,
    /// The action's type; `None` for a change of another program.
    pub action_type: Option<String>,
    /// When, by its author's clock.
    pub made_at: Millis,
    /// Dispatched by this store.
    pub local: bool,
    /// Its actor is one under which this store has dispatched. Where it is not `local`, either this store was put
    /// back from a backup or copied, or somebody forged it.
    pub own_actor: bool,
    /// Who pushed it, where its server names those who do: `token:NAME` or `jwt:SUBJECT`. Not who made it: whoever may
    /// write may bring what others wrote. `None` for what is `local`.
    pub pushed_by: Option<String>,
    /// When the server was known to hold it.
    pub acknowledged_at: Option<Millis>,
    /// Written again after a fork, as this.
    pub replaced_by: Option<ChangeHash>,
    /// Why it is kept out of the document.
    pub quarantined: Option<String>,
}

/// A change that is kept out of its document, because it would harm the document or depends on one that does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuarantinedChange {
    /// The document.
    pub document: DocumentId,
    /// The change.
    #[serde(serialize_with = "as_hex")]
    pub change_hash: ChangeHash,
    /// Why it is left out.
    pub why: String,
    /// The action's type, as the change says.
    pub action_type: Option<String>,
    /// Who made it, by name, as the change says.
    pub author: Option<String>,
    /// When it was made, as the change says.
    pub made_at: Millis,
    /// Who pushed it: as in [`HistoryEntry`].
    pub pushed_by: Option<String>,
    /// Its actor is one under which this store has dispatched.
    pub own_actor: bool,
    /// This store made it: what it was made on was found to do harm later.
    pub local: bool,
    /// When it came; `None` for what this store made and no server holds.
    pub arrived_at: Option<Millis>,
    /// When somebody acknowledged it.
    pub seen_at: Option<Millis>,
}

pub(crate) fn as_hex<S: serde::Serializer>(hash: &ChangeHash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(hash)
}

/// One difference between two states.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Where, as a JSON Pointer.
    pub path: String,
    /// What was there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// What [`crate::Store::check`] found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CheckReport {
    /// Nothing is wrong.
    pub ok: bool,
    /// What is wrong, a sentence each.
    pub problems: Vec<String>,
    /// What to do, a sentence each.
    pub advice: Vec<String>,
    /// How many documents were read.
    pub documents: u64,
    /// How many changes were read and hashed again.
    pub changes: u64,
}

/// What could still be read of a document in a damaged store.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Salvaged {
    /// A compact Automerge file, readable by any Automerge.
    pub bytes: Vec<u8>,
    /// How many changes are in it.
    pub changes: u64,
    /// How many the store counted that are not.
    pub lost: u64,
}

/// Where a change came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    /// Made by this replica (also by another process on this store).
    Local,
    /// Made by another replica.
    Remote,
}

/// One thing that happened to a document, after it is durable.
#[derive(Debug, Clone)]
pub struct Event {
    /// The document.
    pub document: DocumentId,
    /// From where.
    pub origin: Origin,
    /// The changes, in order; container changes left out.
    pub changes: Vec<EventChange>,
    /// The heads after it.
    pub heads: Vec<ChangeHash>,
    /// What changed in the state; empty after a rebuild, when the state is to be read again.
    pub patches: Vec<automerge::Patch>,
    /// The document was made anew (a first copy, a fork, a drop): read the state again.
    pub rebuilt: bool,
}

impl Event {
    pub(super) fn rebuilt(document: DocumentId, heads: Vec<ChangeHash>) -> Self {
        let (changes, patches) = (Vec::new(), Vec::new());
        Self { document, origin: Origin::Remote, changes, heads, patches, rebuilt: true }
    }
}

/// One change of an [`Event`].
#[derive(Debug, Clone, PartialEq)]
pub struct EventChange {
    /// The change.
    pub hash: ChangeHash,
    /// The action's type.
    pub action_type: Option<String>,
    /// The version of the action's slice.
    pub action_version: u32,
    /// Who made it.
    pub author: Option<String>,
    /// The action's fields without its type, where they are known: it was made on this store (by another process: as
    /// long as it waits in the queue), or its slice puts them into the message.
    pub payload: Option<Value>,
    /// The slices beside the action's own that reacted to it in this change: see [`crate::slice::ExtraReducer`].
    pub reacted: Vec<String>,
}
