//! The bodies that are JSON.

use serde::{Deserialize, Serialize};

use crate::fence::RefusalCode;

/// What a push is answered with as JSON. What is not in `rejected` is stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushReply {
    /// Moved only over changes that this request carried; `None` while that is the beginning.
    pub cursor: Option<String>,
    /// The end of the log.
    pub end: Option<String>,
    /// How many were new.
    pub accepted: u64,
    /// How many were held already.
    pub duplicate: u64,
    /// The log's heads, hex.
    pub heads: Vec<String>,
    /// What was not stored, and why.
    pub rejected: Vec<Rejected>,
}

/// One change that a push did not store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Rejected {
    /// Its hash, hex: computed, not claimed.
    pub hash: String,
    /// Why, in a word that stays.
    pub code: RefusalCode,
    /// Why, in a sentence.
    pub detail: String,
    /// For `missing-dependency`: which.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// For `actor-fork`, where the log holds the same change in another spelling (written again after a fork, or
    /// as it was before): that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stands: Option<String>,
}

/// The question of `POST …/missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingRequest {
    /// Hashes, hex.
    pub hashes: Vec<String>,
}

/// The answer of `POST …/missing`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingReply {
    /// Which of the hashes the server lacks.
    pub hashes: Vec<String>,
    /// The log's heads.
    pub heads: Vec<String>,
}

/// `GET /v1/documents/ID/pushers`: who brought changes to this server. Not who made them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushersReply {
    /// Neighbouring changes that one pushed together, in the log's order. What nobody is known to have pushed is
    /// left out.
    pub pushers: Vec<PushedBy>,
}

/// Some changes in [`PushersReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PushedBy {
    /// `token:` and the name of the token that was shown, or `jwt:` and the subject of the JWT.
    pub by: String,
    /// The changes, hex.
    pub hashes: Vec<String>,
}

/// `GET /v1/documents`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentsReply {
    /// Those that changed after the token.
    pub documents: Vec<DocumentEntry>,
    /// The token to ask with next.
    pub next: Option<String>,
}

/// One document in [`DocumentsReply`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DocumentEntry {
    /// Its UUID.
    pub id: String,
    /// The end of its log.
    pub cursor: Option<String>,
    /// The log's heads.
    pub heads: Vec<String>,
    /// Whether it has a tombstone.
    pub deleted: bool,
}

/// The data of an event of `GET /v1/events`: a hint that a log grew, or that its document was deleted.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ChangesEvent {
    /// The document's UUID.
    pub document: String,
    /// Where the log ended before; `None`: it began.
    pub after: Option<String>,
    /// Where it ends now.
    pub cursor: Option<String>,
    /// Its heads now; empty where they are too many.
    #[serde(default)]
    pub heads: Vec<String>,
    /// What lies between the two, as a page has it, in base64; left out where it is not small. To be taken only by
    /// a client whose cursor is `after`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<String>,
    /// It has a tombstone; then there are no cursors.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub deleted: bool,
}

/// `GET /v1/limits`: names and values. Sizes are bytes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct LimitsReply {
    /// Largest request body as it travels.
    pub body_bytes: u64,
    /// Largest request body after content decoding.
    pub inflated_body_bytes: u64,
    /// Largest plain change.
    pub change_bytes: u64,
    /// Most operations in a change.
    pub change_operations: u64,
    /// Most dependencies of a change.
    pub change_dependencies: u64,
    /// Most changes in a push.
    pub push_changes: u64,
    /// Most changes in a page.
    pub page_changes: u64,
    /// Most hashes in a `missing` question.
    pub missing_hashes: u64,
    /// Largest body of JSON, as it travels and after content decoding.
    #[serde(default)]
    pub json_bytes: u64,
    /// Most fields in a body of JSON, all depths together.
    #[serde(default)]
    pub json_fields: u64,
    /// Most objects and lists inside one another in a body of JSON.
    #[serde(default)]
    pub json_nesting: u64,
    /// Most event streams at once, of all clients together.
    #[serde(default)]
    pub streams: u64,
    /// Largest log of a document, in plain bytes.
    #[serde(default)]
    pub document_bytes: u64,
    /// Most heads of a document: one more is refused to an actor of whom the log holds nothing.
    #[serde(default)]
    pub document_heads: u64,
    /// Most actors of a document, beside those of containers.
    #[serde(default)]
    pub document_actors: u64,
    /// Largest log that a merged document or a snapshot is made from, in plain bytes.
    #[serde(default)]
    pub merge_bytes: u64,
    /// Largest page, unless one change alone is larger.
    #[serde(default)]
    pub page_bytes: u64,
    /// Most documents in a page of their list.
    #[serde(default)]
    pub list_documents: u64,
    /// Requests a second that whoever bears a token, or JWTs of one `sub`, may go on making; 0: as many as they like.
    #[serde(default)]
    pub request_rate: u64,
    /// Requests that they may make at once, after a rest.
    #[serde(default)]
    pub request_burst: u64,
    /// Requests a second without a good token that one address may go on making; 0: as many as it likes.
    #[serde(default)]
    pub failure_rate: u64,
    /// So many it may make at once, after a rest.
    #[serde(default)]
    pub failure_burst: u64,
    /// Most connections at once.
    #[serde(default)]
    pub connections: u64,
    /// Most connections of one address; 0: as many as it likes.
    #[serde(default)]
    pub address_connections: u64,
    /// Most event streams of whoever bears a token, or JWTs of one `sub`.
    #[serde(default)]
    pub token_streams: u64,
    /// Most requests at once of whoever bears a token, or JWTs of one `sub`.
    #[serde(default)]
    pub token_requests: u64,
    /// Memory for request bodies, all together.
    #[serde(default)]
    pub body_memory: u64,
    /// Memory for replies until they are read, all together; the largest reply is a quarter of it.
    #[serde(default)]
    pub reply_memory: u64,
    /// Milliseconds that the head of a request may take.
    #[serde(default)]
    pub header_timeout_ms: u64,
    /// Milliseconds that a body may take, beside the time that its bytes get by `body_rate`.
    #[serde(default)]
    pub body_timeout_ms: u64,
    /// The slowest pace of a body that is waited for, in bytes a second.
    #[serde(default)]
    pub body_rate: u64,
}

/// An error body (RFC 9457).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// What went wrong, in a word that stays: `cursor-unknown`, `deleted`, …
    pub code: String,
    /// The HTTP status.
    pub status: u16,
    /// A short title.
    pub title: String,
    /// A sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
