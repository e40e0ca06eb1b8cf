//! What a change of rejoin is, and what a client and a server say to each other.
//!
//! This crate has rules and formats, and no I/O: no SQL, no clock, no network, no runtime. The engine (`rejoin`) and the
//! server (`rejoin-server`) stand on it, and both decide by it. Who writes another client or another server begins here, and
//! with PROTOCOL.md, which says the same in words.
//!
//! - [`DocumentId`], [`Actor`], [`ChangeHash`], [`Cursor`]: the names of things.
//! - [`ServerAddress`]: where a server is.
//! - [`Message`]: what a change says of itself in its commit message.
//! - [`fence`]: what a change or a file must be to be looked at at all.
//! - [`untrusted`]: giving the library what passed the fence, on copies, with panics contained.
//! - [`quarantine`]: why a change is left out.
//! - [`container`]: deterministic changes, which make the objects that several replicas begin alike.
//! - [`rewrite`]: changes that are written again under another actor, and how that is proved.
//! - [`undo`]: taking a change back by a new one.
//! - [`session`]: the rules of sync: what to ask a server next, and what its answer means.
//! - [`pack`]: many changes in few bytes. [`wire`]: requests, replies and events.
//! - [`mod@pointer`] and [`state`]: places in a document, and what is there as JSON.

mod address;
pub mod container;
pub mod fence;
pub mod message;
pub mod pack;
#[doc(hidden)]
pub mod planted;
pub mod pointer;
pub mod printable;
pub mod quarantine;
pub mod rewrite;
pub mod session;
pub mod state;
pub mod undo;
pub mod untrusted;
pub mod wire;

mod ids;

/// The library of the documents: its types are in this API.
pub use automerge;

pub use address::{InvalidAddress, ServerAddress, same_server};
pub use ids::{Actor, ChangeHash, Cursor, DocumentId, InvalidDocumentId};
pub use message::Message;
