//! Requests and replies, as plain values.

use std::time::Duration;

use bytes::Bytes;

use crate::{ChangeHash, Cursor, DocumentId};

/// The media type of change chunks and Automerge files.
pub const CHANGES: &str = "application/vnd.automerge";
/// Taken for [`CHANGES`] too.
pub const OCTETS: &str = "application/octet-stream";
/// The media type of a stream of events.
pub const EVENTS: &str = "text/event-stream";
/// The media type of packs ([`crate::pack`]), between rejoin's own clients and servers.
pub const PACK: &str = "application/vnd.rejoin.pack";
/// The media type of JSON replies.
pub const JSON: &str = "application/json";
/// The media type of errors (RFC 9457).
pub const PROBLEM: &str = "application/problem+json";

/// So many heads are told in a header: 2 kB of it.
pub const HEADS_TOLD: usize = 32;

/// Names of the headers that carry a reply's figures.
pub mod header {
    /// Up to where this client now has everything.
    pub const CURSOR: &str = "rejoin-cursor";
    /// The end of the log.
    pub const END: &str = "rejoin-end";
    /// How many changes of a push were new.
    pub const ACCEPTED: &str = "rejoin-accepted";
    /// How many changes of a push were held already.
    pub const DUPLICATE: &str = "rejoin-duplicate";
    /// `1` where the page is not the last.
    pub const MORE: &str = "rejoin-more";
    /// The heads of the log, where the reply reaches its end and there are at most [`super::HEADS_TOLD`]: hashes in
    /// hexadecimal, with commas between.
    pub const HEADS: &str = "rejoin-heads";
    /// Up to where the merged document was verified; left out where nothing of it was.
    pub const VERIFIED: &str = "rejoin-verified";
    /// How many changes the merged document leaves out.
    pub const QUARANTINED: &str = "rejoin-quarantined";
}

/// One request of a client to a server, for one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `POST /v1/documents/ID/changes`, with `Accept: application/vnd.automerge`: push, and pull what is lacking.
    Push {
        /// The document.
        document: DocumentId,
        /// Up to where this client has everything; `None` from the beginning.
        after: Option<Cursor>,
        /// At most this many changes in the reply.
        limit: Option<u32>,
        /// Plain change chunks, dependencies first. It is handed on without being copied.
        body: Bytes,
    },
    /// `GET /v1/documents/ID/changes`: pull a page.
    Pull {
        /// The document.
        document: DocumentId,
        /// Up to where this client has everything; `None` from the beginning.
        after: Option<Cursor>,
        /// At most this many changes in the reply.
        limit: Option<u32>,
    },
    /// `GET /v1/documents/ID/snapshot`: the fast way to a first copy.
    Snapshot {
        /// The document.
        document: DocumentId,
    },
    /// `POST /v1/documents/ID/missing`: which of these the server lacks.
    Missing {
        /// The document.
        document: DocumentId,
        /// What is asked.
        hashes: Vec<ChangeHash>,
    },
    /// `GET /v1/documents/ID/pushers`: whose tokens brought the changes after a cursor.
    Pushers {
        /// The document.
        document: DocumentId,
        /// Up to where this is known; `None` from the beginning.
        after: Option<Cursor>,
    },
    /// `DELETE /v1/documents/ID`: a tombstone.
    Delete {
        /// The document.
        document: DocumentId,
    },
}

impl Request {
    /// The document it is about.
    pub fn document(&self) -> DocumentId {
        match self {
            Self::Push { document, .. }
            | Self::Pull { document, .. }
            | Self::Snapshot { document }
            | Self::Missing { document, .. }
            | Self::Pushers { document, .. }
            | Self::Delete { document } => *document,
        }
    }
}

/// One reply: the status, the headers that mean something here, and the body after content decoding.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Response {
    /// The HTTP status.
    pub status: u16,
    /// `Content-Type` without parameters, in lower case; empty where there was none.
    pub media_type: String,
    /// [`header::CURSOR`].
    pub cursor: Option<Cursor>,
    /// [`header::END`].
    pub end: Option<Cursor>,
    /// [`header::ACCEPTED`].
    pub accepted: Option<u64>,
    /// [`header::DUPLICATE`].
    pub duplicate: Option<u64>,
    /// [`header::MORE`].
    pub more: bool,
    /// [`header::HEADS`]; empty where they were not told.
    pub heads: Vec<ChangeHash>,
    /// `Retry-After`.
    pub retry_after: Option<Duration>,
    /// The body.
    pub body: Vec<u8>,
}
