//! rejoin: an offline-first store of Automerge documents in one SQLite file, synced without conflict.

pub mod blocking;
pub mod container;
#[cfg(feature = "sync")]
pub mod driver;
pub mod fence;
pub mod planted;
pub mod reducer;
pub mod rewrite;
pub mod session;
pub mod state;
pub mod store;
pub mod untrusted;
pub mod wire;

mod action;
mod api;
mod error;
mod ids;
mod message;

pub use action::Action;
pub use api::Store;
#[cfg(feature = "sync")]
pub use driver::{DocumentReport, SyncOptions, SyncReport, SyncState, Token, WatchOptions};
pub use error::{Error, ErrorKind, Result};
pub use ids::{Actor, ChangeHash, Cursor, DocumentId, InvalidDocumentId};
pub use message::Message;
pub use store::{
    CheckReport, Difference, DocumentInfo, DropPlan, Durability, Event, EventChange, HistoryEntry, Millis,
    Origin, QueueEntry, QueueState, Receipt, Settings,
};
