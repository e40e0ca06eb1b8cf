//! An offline-first store: actions dispatched to [Automerge](https://automerge.org) documents in one SQLite
//! file, synced without conflict.
//!
//! Offline, each change waits in a queue that anyone can read with `sqlite3`. When connectivity returns, a small
//! server (the crate `rejoin-server`) merges the change sets, and every replica ends with the same state: nothing
//! lost, nothing doubled, nobody asked to resolve anything.
//!
//! ```
//! use rejoin::{Action, Error, Store, SyncOptions};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> rejoin::Result<()> {
//!     # let dir = tempfile::tempdir().unwrap();
//!     # let path = dir.path().join("notes.db");
//!     let store = Store::open(path).await?;
//!     let notes = store.create(None, Some("notes")).await?;
//!
//!     // Durable when it returns, online or not; change and queue row are one transaction.
//!     let hello = Action::Splice { path: "/body".into(), pos: 0, delete: 0, insert: "Hello".into() };
//!     store.dispatch(notes, hello).await?;
//!     store.dispatch(notes, Action::Increment { path: "/edits".into(), by: 1 }).await?;
//!     assert_eq!(store.state(notes, "/body").await?, "Hello");
//!     assert_eq!(store.queue(None).await?.len(), 2);
//!
//!     // Whenever there may be a connection. Without one nothing is lost: the queue is kept.
//!     let report = store.sync(SyncOptions::default().server("http://127.0.0.1:9")).await?;
//!     assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
//!     Ok(())
//! }
//! ```
//!
//! # The parts
//! - [`Store`] is the handle for asynchronous callers, [`blocking::Store`] the same for others. Both are `Send`,
//!   `Sync` and cheap to clone. A verb that was asked for is carried out even when its future is dropped: only
//!   the answer is lost.
//! - [`Action`] is what the built-in JSON slice understands. An action makes exactly one change.
//! - [`Store::sync`] pushes and pulls once, [`Store::watch`] stays in step, [`Store::subscribe`] tells what
//!   happened, after it is durable.
//! - [`Error::kind`] tells what can be done about an error.
//! - Under the handles: [`store::Core`] does the work, synchronously; [`session`] is the sync of one document as a
//!   pure state machine; [`fence`] and [`untrusted`] keep hostile bytes from the library. They are public for
//!   servers, simulators and the curious.
//!
//! # Features
//! `sync` (default): the driver that speaks HTTP, and with it reqwest. `allow-panic-abort`: builds under
//! `panic = "abort"`, which is refused otherwise, for then hostile bytes could end the process.
//! `planted-bugs`: for the project's own tests.

pub mod blocking;
pub mod container;
#[cfg(feature = "sync")]
pub mod driver;
pub mod effects;
pub mod fence;
pub mod planted;
pub mod reducer;
pub mod rewrite;
pub mod session;
pub mod slice;
pub mod state;
pub mod store;
pub mod undo;
pub mod untrusted;
pub mod wire;
pub mod work;

mod action;
mod api;
mod builder;
mod error;
mod ids;
mod message;

pub use action::Action;
pub use api::Store;
pub use builder::Builder;
#[cfg(feature = "sync")]
pub use driver::{DocumentReport, SyncOptions, SyncReport, SyncState, Token, WatchOptions, probe};
pub use error::{Error, ErrorKind, Result};
pub use ids::{Actor, ChangeHash, Cursor, DocumentId, InvalidDocumentId};
pub use message::Message;
pub use slice::{Scope, Slice};
pub use store::{
    Blame, CheckReport, Choice, Conflict, ConflictValue, Difference, DocumentInfo, DropPlan, Durability,
    Event, EventChange, HistoryEntry, Millis, Origin, QueueEntry, QueueState, Receipt, Settings, UndoKind,
    Undone, Writer,
};
