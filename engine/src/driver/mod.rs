//! The driver: the only asynchronous loop of the engine. It carries out what sessions plan: requests over a
//! [`Transport`], waits, and the store's transactions between them.
//!
//! Every request is under a deadline and every reply under a cap; redirects are not followed; a token goes to
//! its own server alone and into no log.

mod body;
mod form;
pub(crate) mod http;
mod listen;
mod lock;
mod news;
mod options;
mod probe;
mod pushers;
mod remote;
mod report;
pub(crate) mod retry_after;
mod route;
mod run;
mod security;
mod sse;
mod sync;
mod transport;
mod watch;

#[cfg(test)]
mod tests;

pub use body::REPLY_BYTES;
pub use http::{CONNECT_DEADLINE, HttpTransport, IDLE_DEADLINE, REQUEST_DEADLINE};
pub use options::{SyncOptions, Token, WatchOptions};
pub use probe::probe;
#[doc(inline)]
pub use rejoin_protocol::wire::{Request, Response, TransportError};
pub use remote::{RemoteDocument, list_remote};
pub use report::{DocumentReport, Reached, SyncProgress, SyncReport, SyncState};
pub use run::NEWER_RELEASE;
pub use security::HttpOptions;
pub use sync::Connect;
pub use transport::{EventStream, NoStream, Transport};
