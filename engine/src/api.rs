//! SIGNATURES ONLY for now: the bodies are being written.
#![allow(unused_variables, clippy::todo, clippy::unused_async, missing_docs)]
use std::path::Path;

use serde_json::Value;

use crate::store::*;
use crate::{Action, ChangeHash, DocumentId, Result};

/// A store, for asynchronous callers. Cheap to clone; every clone is the same store.
#[derive(Debug, Clone)]
pub struct Store {}

impl Store {
    pub async fn open(path: impl AsRef<Path>) -> Result<Self> { todo!() }
    pub async fn open_with(path: impl AsRef<Path>, durability: Durability) -> Result<Self> { todo!() }
    /// Runs `work` on the store's own thread, after what was asked before: how the other verbs are made.
    pub async fn with_core<T: Send + 'static>(&self, work: impl FnOnce(&mut Core) -> Result<T> + Send + 'static) -> Result<T> { todo!() }
    pub async fn settings(&self) -> Result<Settings> { todo!() }
    pub async fn set_server(&self, server: Option<&str>) -> Result<()> { todo!() }
    pub async fn set_author(&self, author: Option<&str>) -> Result<()> { todo!() }
    pub async fn create(&self, id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> { todo!() }
    pub async fn join(&self, id: DocumentId, name: Option<&str>, server: Option<&str>) -> Result<DocumentId> { todo!() }
    pub async fn find(&self, name_or_id: &str) -> Result<DocumentId> { todo!() }
    pub async fn documents(&self) -> Result<Vec<DocumentInfo>> { todo!() }
    pub async fn document(&self, id: DocumentId) -> Result<DocumentInfo> { todo!() }
    pub async fn leave(&self, id: DocumentId) -> Result<()> { todo!() }
    pub async fn delete(&self, id: DocumentId) -> Result<()> { todo!() }
    /// Returns when the change is durable. Dispatches that wait together share a commit.
    pub async fn dispatch(&self, id: DocumentId, action: Action) -> Result<Receipt> { todo!() }
    /// All in one commit, each succeeding or failing alone.
    pub async fn dispatch_all(&self, id: DocumentId, actions: Vec<Action>) -> Result<Vec<Result<Receipt>>> { todo!() }
    pub async fn state(&self, id: DocumentId, pointer: &str) -> Result<Value> { todo!() }
    pub async fn state_at(&self, id: DocumentId, pointer: &str, heads: &[ChangeHash]) -> Result<Value> { todo!() }
    pub async fn history(&self, id: DocumentId, newest: Option<usize>) -> Result<Vec<HistoryEntry>> { todo!() }
    pub async fn diff(&self, id: DocumentId, from: &[ChangeHash], to: Option<&[ChangeHash]>) -> Result<Vec<Difference>> { todo!() }
    /// The change of this document whose hash begins with `prefix` (4 hex digits or more).
    pub async fn resolve_hash(&self, id: DocumentId, prefix: &str) -> Result<ChangeHash> { todo!() }
    pub async fn queue(&self, id: Option<DocumentId>) -> Result<Vec<QueueEntry>> { todo!() }
    /// By position or by a prefix of the change's hash.
    pub async fn find_queued(&self, id: &str) -> Result<QueueEntry> { todo!() }
    /// The raw change of a queue row.
    pub async fn queued_bytes(&self, id: &str) -> Result<Vec<u8>> { todo!() }
    pub async fn retry(&self, id: &str) -> Result<u64> { todo!() }
    pub async fn plan_drop(&self, id: &str) -> Result<DropPlan> { todo!() }
    pub async fn drop_queued(&self, id: &str) -> Result<DropPlan> { todo!() }
    pub async fn export(&self, id: DocumentId) -> Result<Vec<u8>> { todo!() }
    pub async fn import(&self, bytes: Vec<u8>, id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> { todo!() }
    pub async fn backup(&self, to: impl AsRef<Path>) -> Result<()> { todo!() }
    pub async fn check(&self) -> Result<CheckReport> { todo!() }
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Event> { todo!() }
    /// Woken when something becomes waiting in the queue.
    pub fn queue_signal(&self) -> tokio::sync::watch::Receiver<u64> { todo!() }
}
