//! The limits of a server, their defaults, and what `GET /v1/limits` tells of them.

use rejoin_protocol::fence;
use rejoin_protocol::wire::LimitsReply;

/// What one request may ask of the server. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerLimits {
    /// What one change may be.
    pub change: fence::Limits,
    /// Largest request body as it travels.
    pub body_bytes: usize,
    /// Largest request body after content decoding.
    pub inflated_body_bytes: usize,
    /// Most changes in a push.
    pub push_changes: usize,
    /// Most changes in a page of a log.
    pub page_changes: usize,
    /// Largest page of a log; one change is given out even where it alone is larger.
    pub page_bytes: usize,
    /// Most hashes in a `missing` question.
    pub missing_hashes: usize,
    /// Most fields in a body of JSON, all depths together.
    pub json_fields: usize,
    /// Most objects and lists inside one another in a body of JSON.
    pub json_nesting: usize,
    /// Most entries in a page of the list of documents.
    pub list_documents: usize,
    /// Largest log of a document, in plain bytes: changes beyond it are refused one by one.
    pub document_bytes: u64,
    /// Most heads of a document. A change that adds one more is refused to an actor of whom the log holds nothing.
    pub document_heads: u64,
    /// Most actors of a document, beside those of containers.
    pub document_actors: u64,
    /// Requests a second that whoever bears a token, or JWTs of one `sub`, may go on making; 0: as many as they like.
    /// Without tokens whoever sits at this machine is not held back.
    pub request_rate: u32,
    /// Requests that they may make at once, after a rest.
    pub request_burst: u32,
    /// Requests a second without a good token that one address (of IPv6: a /64) may go on making; 0: as many as it
    /// likes.
    pub failure_rate: u32,
    /// So many it may make at once, after a rest.
    pub failure_burst: u32,
    /// Largest log, in plain bytes, that a merged document or a snapshot is made from.
    pub merge_bytes: u64,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            change: fence::Limits::default(),
            body_bytes: 16 * 1024 * 1024,
            inflated_body_bytes: 32 * 1024 * 1024,
            push_changes: 100_000,
            page_changes: 10_000,
            page_bytes: 4 * 1024 * 1024,
            missing_hashes: 32_768,
            json_fields: 256,
            json_nesting: 32,
            list_documents: 1_000,
            document_bytes: 1024 * 1024 * 1024,
            document_heads: 4_096,
            document_actors: 4_096,
            request_rate: 200,
            request_burst: 5_000,
            failure_rate: 10,
            failure_burst: 500,
            merge_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What a hash may take in a body of JSON: 64 digits, what stands around them, and some indentation.
const JSON_HASH: usize = 96;
/// What a body of JSON may have beside hashes.
const JSON_ROOM: usize = 64 * 1024;

impl ServerLimits {
    /// Largest body of JSON, as it travels and after content decoding: what the most hashes take, and some room.
    pub fn json_bytes(&self) -> usize {
        let hashes = self.missing_hashes.saturating_mul(JSON_HASH);
        hashes.saturating_add(JSON_ROOM).min(self.inflated_body_bytes)
    }

    /// As `GET /v1/limits` tells them; what is not one of these stays at its default.
    pub fn to_reply(&self) -> LimitsReply {
        LimitsReply {
            body_bytes: self.body_bytes as u64,
            inflated_body_bytes: self.inflated_body_bytes as u64,
            change_bytes: self.change.change_bytes as u64,
            change_operations: self.change.operations,
            change_dependencies: self.change.dependencies as u64,
            push_changes: self.push_changes as u64,
            page_changes: self.page_changes as u64,
            missing_hashes: self.missing_hashes as u64,
            json_bytes: self.json_bytes() as u64,
            json_fields: self.json_fields as u64,
            json_nesting: self.json_nesting as u64,
            document_bytes: self.document_bytes,
            document_heads: self.document_heads,
            document_actors: self.document_actors,
            merge_bytes: self.merge_bytes,
            page_bytes: self.page_bytes as u64,
            list_documents: self.list_documents as u64,
            request_rate: u64::from(self.request_rate),
            request_burst: u64::from(self.request_burst),
            failure_rate: u64::from(self.failure_rate),
            failure_burst: u64::from(self.failure_burst),
            ..LimitsReply::default()
        }
    }
}
