//! rejoin: an offline-first store of Automerge documents in one SQLite file, synced without conflict.

pub mod container;
pub mod fence;
pub mod planted;
pub mod reducer;
pub mod rewrite;
pub mod state;
pub mod untrusted;
pub mod wire;

mod action;
mod ids;
mod message;

pub use action::Action;
pub use ids::{Actor, ChangeHash, Cursor, DocumentId, InvalidDocumentId};
pub use message::Message;
