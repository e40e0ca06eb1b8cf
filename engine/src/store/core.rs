//! SIGNATURES ONLY for now: the bodies are being written.
#![allow(unused_variables, clippy::todo, missing_docs)]
use std::path::Path;

use serde_json::Value;

use super::*;
use crate::{Action, ChangeHash, Cursor, DocumentId, Result};

#[derive(Debug)]
pub struct Core {}

impl Core {
    pub fn open(path: &Path, durability: Durability) -> Result<Self> { todo!() }
    pub fn open_in_memory() -> Result<Self> { todo!() }
    /// The time that new rows bear; a simulator gives its own clock.
    pub fn set_clock(&mut self, clock: Box<dyn Fn() -> Millis + Send>) { todo!() }
    pub fn settings(&mut self) -> Result<Settings> { todo!() }
    pub fn set_server(&mut self, server: Option<&str>) -> Result<()> { todo!() }
    pub fn set_author(&mut self, author: Option<&str>) -> Result<()> { todo!() }

    pub fn create(&mut self, id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> { todo!() }
    pub fn join(&mut self, id: DocumentId, name: Option<&str>, server: Option<&str>) -> Result<DocumentId> { todo!() }
    pub fn find(&mut self, name_or_id: &str) -> Result<DocumentId> { todo!() }
    pub fn documents(&mut self) -> Result<Vec<DocumentInfo>> { todo!() }
    pub fn document(&mut self, id: DocumentId) -> Result<DocumentInfo> { todo!() }
    pub fn leave(&mut self, id: DocumentId) -> Result<()> { todo!() }
    pub fn delete(&mut self, id: DocumentId) -> Result<()> { todo!() }

    /// One commit for all of them; each succeeds or fails alone.
    pub fn dispatch(&mut self, actions: &[(DocumentId, Action)]) -> Result<Vec<Result<Receipt>>> { todo!() }
    pub fn state(&mut self, id: DocumentId, pointer: &str, at: Option<&[ChangeHash]>) -> Result<Value> { todo!() }
    pub fn history(&mut self, id: DocumentId, newest: Option<usize>) -> Result<Vec<HistoryEntry>> { todo!() }
    pub fn diff(&mut self, id: DocumentId, from: &[ChangeHash], to: Option<&[ChangeHash]>) -> Result<Vec<Difference>> { todo!() }
    pub fn resolve_hash(&mut self, id: DocumentId, prefix: &str) -> Result<ChangeHash> { todo!() }
    pub fn queue(&mut self, id: Option<DocumentId>) -> Result<Vec<QueueEntry>> { todo!() }
    pub fn find_queued(&mut self, id: &str) -> Result<QueueEntry> { todo!() }
    pub fn queued_bytes(&mut self, id: &str) -> Result<Vec<u8>> { todo!() }
    pub fn retry(&mut self, id: &str) -> Result<u64> { todo!() }
    pub fn plan_drop(&mut self, id: &str) -> Result<DropPlan> { todo!() }
    pub fn drop_queued(&mut self, id: &str) -> Result<DropPlan> { todo!() }
    pub fn export(&mut self, id: DocumentId) -> Result<Vec<u8>> { todo!() }
    pub fn import(&mut self, bytes: &[u8], id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> { todo!() }
    pub fn backup(&mut self, to: &Path) -> Result<()> { todo!() }
    pub fn check(&mut self) -> Result<CheckReport> { todo!() }

    // The verbs of a session. Each is one transaction.
    pub fn facts(&mut self, id: DocumentId) -> Result<Facts> { todo!() }
    pub fn take_batch(&mut self, id: DocumentId, bounds: BatchBounds) -> Result<Batch> { todo!() }
    pub fn take_changes(&mut self, id: DocumentId, rows: &[i64], bounds: BatchBounds) -> Result<Batch> { todo!() }
    pub fn store_page(&mut self, id: DocumentId, page: Page) -> Result<PageOutcome> { todo!() }
    pub fn store_failure(&mut self, failure: &Failure) -> Result<()> { todo!() }
    /// A first copy: only into a document that holds nothing. False: it holds something by now.
    pub fn store_snapshot(&mut self, id: DocumentId, bytes: &[u8], cursor: &Cursor) -> Result<bool> { todo!() }
    /// The server does not know the cursor: rows that were `sent` wait again.
    pub fn begin_heal(&mut self, id: DocumentId) -> Result<()> { todo!() }
    pub fn heal_graph(&mut self, id: DocumentId) -> Result<Vec<HealNode>> { todo!() }
    /// The server holds every live change: takes its cursor if every one of its heads is held here, else none
    /// (the log is read from the beginning).
    pub fn end_heal(&mut self, id: DocumentId, heads: &[ChangeHash], cursor: Option<&Cursor>) -> Result<()> { todo!() }
    /// Reads the log from the beginning next time.
    pub fn forget_cursor(&mut self, id: DocumentId) -> Result<()> { todo!() }
}
