//! The log at rest: what a document's log is, whatever database holds it, and behind it the databases.
//!
//! The server asks a log for this. Rules look up a document, prove a cursor, take a page, find hashes, and ask who may do
//! what. The committer appends what was pushed, puts tombstones, and keeps what verification found. Behind the log packs
//! take the place of rows. All of that is written once, on rows: [`View`] reads, [`Edit`] and [`Appender`] write, `pack`
//! and `compact` read and make packs. A backend only keeps rows: `backend` has its verbs ([`backend::Rows`] reads,
//! [`backend::EditRows`] writes, and the same for tokens), in plain types, with what PostgreSQL will do for each.
//!
//! What only looks after a database is no verb and has no trait: opening, backup, restore, doctor, purge, vacuum. A server
//! on PostgreSQL is looked after with the tools of PostgreSQL.
//!
//! **Architecture invariant:** only the folders of backends name a library of a database, and only this file names a
//! backend to the rest of the server: [`Backend`], which becomes an enum of two when there are two.

mod access;
mod ancestors;
mod append;
mod backend;
mod brought;
mod claimed;
mod compact;
#[cfg(test)]
mod conformance;
mod documents;
mod edit;
mod error;
mod found;
mod mark;
#[cfg(test)]
mod memory;
mod pack;
mod pack_cache;
mod pushers;
mod rows;
mod sqlite;
mod tokens;
mod view;
mod waiting;

pub use access::Access;
pub(crate) use access::Listed;
pub(crate) use append::{Appender, HeadCount};
pub(crate) use backend::{Attempt, EditRows, EditTokens, Group, Log, Opener, Read, Rows, TokenRows};
pub(crate) use brought::Amount;
pub(crate) use claimed::Claimed;
pub use compact::Compacted;
pub(crate) use compact::{due, make as make_pack, store as store_pack};
pub(crate) use documents::{Document, Page, PageLimit, Which};
pub(crate) use edit::Edit;
pub use error::{DatabaseError, LogError};
pub(crate) use found::{Found, Made, Quarantined, StoredSnapshot};
pub(crate) use mark::{Claim, Digest, Mark, Span};
pub(crate) use pack::Packed;
pub(crate) use pack_cache::PackCache;
pub use sqlite::{
    Bringer, Crowd, Diagnosis, LogStore, Purged, backup, check_log, doctor, has_tokens, purge, restore,
};
pub use tokens::TokenInfo;
pub(crate) use tokens::{Grant, Holder, NewTokenRow, TokenChange, TokenId, TokenKey, TokenRow};
pub(crate) use view::View;

/// Where this build keeps logs.
pub(crate) type Backend = LogStore;
/// A connection to it that only reads.
pub(crate) type BackendReader = <Backend as Log>::Reader;
/// What reads there.
pub(crate) type BackendView<'v> = <BackendReader as Read>::View<'v>;
