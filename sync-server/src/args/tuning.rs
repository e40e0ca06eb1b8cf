//! The options that say what is taken, and how much of the machine.

use std::time::Duration;

use rejoin_server::{ServerConfig, ServerLimits};

use super::values::{size, time};

/// What is taken, and how much of the machine.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(super) struct Tuning {
    /// Largest request body as it travels
    #[arg(long, global = true, env = "REJOIN_BODY_BYTES", value_name = "SIZE", value_parser = size, default_value = "16MiB")]
    body_bytes: usize,
    /// Largest request body after content decoding
    #[arg(long, global = true, env = "REJOIN_INFLATED_BODY_BYTES", value_name = "SIZE", value_parser = size, default_value = "32MiB")]
    inflated_body_bytes: usize,
    /// Largest plain change
    #[arg(long, global = true, env = "REJOIN_CHANGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "1MiB")]
    change_bytes: usize,
    /// Most operations in a change
    #[arg(
        long,
        global = true,
        env = "REJOIN_CHANGE_OPERATIONS",
        value_name = "N",
        default_value_t = 100_000
    )]
    change_operations: u64,
    /// Most dependencies of a change
    #[arg(
        long,
        global = true,
        env = "REJOIN_CHANGE_DEPENDENCIES",
        value_name = "N",
        default_value_t = 4_096
    )]
    change_dependencies: usize,
    /// Most changes in a push
    #[arg(long, global = true, env = "REJOIN_PUSH_CHANGES", value_name = "N", default_value_t = 100_000)]
    push_changes: usize,
    /// Most changes in a page of a log
    #[arg(long, global = true, env = "REJOIN_PAGE_CHANGES", value_name = "N", default_value_t = 10_000)]
    page_changes: usize,
    /// Largest page of a log
    #[arg(long, global = true, env = "REJOIN_PAGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "4MiB")]
    page_bytes: usize,
    /// Most hashes in a `missing` question; a body of JSON may have 96 bytes for each, and 64 KiB (`json_bytes`)
    #[arg(long, global = true, env = "REJOIN_MISSING_HASHES", value_name = "N", default_value_t = 32_768)]
    missing_hashes: usize,
    /// Most fields in a body of JSON
    #[arg(long, global = true, env = "REJOIN_JSON_FIELDS", value_name = "N", default_value_t = 256)]
    json_fields: usize,
    /// Most objects and lists inside one another in a body of JSON
    #[arg(long, global = true, env = "REJOIN_JSON_NESTING", value_name = "N", default_value_t = 32)]
    json_nesting: usize,
    /// Most documents in a page of their list
    #[arg(long, global = true, env = "REJOIN_LIST_DOCUMENTS", value_name = "N", default_value_t = 1_000)]
    list_documents: usize,
    /// Largest log of a document, in plain bytes
    #[arg(long, global = true, env = "REJOIN_DOCUMENT_BYTES", value_name = "SIZE", value_parser = size, default_value = "1GiB")]
    document_bytes: usize,
    /// Most heads of a document: one more is refused to an actor of whom the log holds nothing
    #[arg(long, global = true, env = "REJOIN_DOCUMENT_HEADS", value_name = "N", default_value_t = 4_096)]
    document_heads: u64,
    /// Most actors of a document, beside those of containers
    #[arg(long, global = true, env = "REJOIN_DOCUMENT_ACTORS", value_name = "N", default_value_t = 4_096)]
    document_actors: u64,
    /// Requests a second that whoever bears a token, or JWTs of one `sub`, may go on making; 0 for as many as they like
    #[arg(long, global = true, env = "REJOIN_REQUEST_RATE", value_name = "N", default_value_t = 200)]
    request_rate: u32,
    /// Requests that they may make at once, after a rest
    #[arg(long, global = true, env = "REJOIN_REQUEST_BURST", value_name = "N", default_value_t = 5_000)]
    request_burst: u32,
    /// Requests a second without a good token that one address may go on making; 0 for as many as it likes. Behind a
    /// proxy all have its address: where a good token was shown within 10 minutes, no others are held back
    #[arg(long, global = true, env = "REJOIN_FAILURE_RATE", value_name = "N", default_value_t = 10)]
    failure_rate: u32,
    /// So many it may make at once, after a rest
    #[arg(long, global = true, env = "REJOIN_FAILURE_BURST", value_name = "N", default_value_t = 500)]
    failure_burst: u32,
    /// Largest log, in plain bytes, that a merged document or a snapshot is made from
    #[arg(long, global = true, env = "REJOIN_MERGE_BYTES", value_name = "SIZE", value_parser = size, default_value = "256MiB")]
    merge_bytes: usize,
    /// How many documents are merged at once
    #[arg(long, global = true, env = "REJOIN_MERGES", value_name = "N", default_value_t = 1)]
    merges: usize,
    /// Memory for merged documents, as estimated
    #[arg(long, global = true, env = "REJOIN_CACHE_BYTES", value_name = "SIZE", value_parser = size, default_value = "64MiB")]
    cache_bytes: usize,
    /// Memory for request bodies, all together; who bears one token has half of it at most
    #[arg(long, global = true, env = "REJOIN_BODY_MEMORY", value_name = "SIZE", value_parser = size, default_value = "128MiB")]
    body_memory: usize,
    /// Memory for replies until they are read, all together; who bears one token has a quarter of it at most, and no
    /// merged document or snapshot is larger than that
    #[arg(long, global = true, env = "REJOIN_REPLY_MEMORY", value_name = "SIZE", value_parser = size, default_value = "128MiB")]
    reply_memory: usize,
    /// Most connections at once
    #[arg(long, global = true, env = "REJOIN_CONNECTIONS", value_name = "N", default_value_t = 16_384)]
    connections: usize,
    /// Most connections of one address, of IPv6 of a /64; 0 for as many as it likes, as behind a proxy on another machine.
    /// Addresses of this machine have no such limit
    #[arg(
        long,
        global = true,
        env = "REJOIN_ADDRESS_CONNECTIONS",
        value_name = "N",
        default_value_t = 2_048
    )]
    address_connections: usize,
    /// Most event streams at once
    #[arg(long, global = true, env = "REJOIN_STREAMS", value_name = "N", default_value_t = 12_288)]
    streams: usize,
    /// Most event streams at once of whoever bears a token, or JWTs of one `sub`
    #[arg(long, global = true, env = "REJOIN_TOKEN_STREAMS", value_name = "N", default_value_t = 1_024)]
    token_streams: usize,
    /// Most requests at once of whoever bears a token, or JWTs of one `sub`
    #[arg(long, global = true, env = "REJOIN_TOKEN_REQUESTS", value_name = "N", default_value_t = 128)]
    token_requests: usize,
    /// How often an event stream says something where nothing happens; at most 15s
    #[arg(long, global = true, env = "REJOIN_HEARTBEAT", value_name = "TIME", value_parser = time, default_value = "10s")]
    heartbeat: Duration,
    /// Most pushes that wait to be committed
    #[arg(long, global = true, env = "REJOIN_WAITING_PUSHES", value_name = "N", default_value_t = 1_024)]
    waiting_pushes: usize,
    /// Connections to the database that read
    #[arg(long, global = true, env = "REJOIN_READERS", value_name = "N", default_value_t = 4)]
    readers: usize,
    /// How long the head of a request may take, and a connection stay idle
    #[arg(long, global = true, env = "REJOIN_HEADER_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "30s")]
    header_timeout: Duration,
    /// How long a body may take, in either direction, beside the time its bytes get
    #[arg(long, global = true, env = "REJOIN_BODY_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "20s")]
    body_timeout: Duration,
    /// The slowest pace of a body, in either direction, that is waited for, a second
    #[arg(long, global = true, env = "REJOIN_BODY_RATE", value_name = "SIZE", value_parser = size, default_value = "16KiB")]
    body_rate: usize,
    /// How long an answer may take once the body is there
    #[arg(long, global = true, env = "REJOIN_REQUEST_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "30s")]
    request_timeout: Duration,
    /// How long open requests may take after a signal; at most 9s
    #[arg(long, global = true, env = "REJOIN_DRAIN_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "8s")]
    drain_timeout: Duration,
    /// How long a document is left alone before its whole log is packed
    #[arg(long, global = true, env = "REJOIN_COMPACT_QUIET", value_name = "TIME", value_parser = time, default_value = "10m")]
    compact_quiet: Duration,
    /// Fewest changes for which that is done
    #[arg(long, global = true, env = "REJOIN_COMPACT_LEAST", value_name = "N", default_value_t = 64)]
    compact_least: u64,
    /// How long one trial to verify a document may take, beside a second for each MiB of its log
    #[arg(long, global = true, env = "REJOIN_VERIFY_TIMEOUT", value_name = "TIME", value_parser = time, default_value = "10s")]
    verify_timeout: Duration,
    /// Most memory, as address space, of a process that verifies documents
    #[arg(long, global = true, env = "REJOIN_VERIFY_MEMORY", value_name = "SIZE", value_parser = size, default_value = "2GiB")]
    verify_memory: usize,
    /// How long a document is left alone before it is verified and its snapshot is made
    #[arg(long, global = true, env = "REJOIN_SNAPSHOT_QUIET", value_name = "TIME", value_parser = time, default_value = "500ms")]
    snapshot_quiet: Duration,
}

/// The longest drain: the process promises to end within 10 s of a signal.
const LONGEST_DRAIN: Duration = Duration::from_secs(9);
/// Clients are promised to hear something so often.
const SLOWEST_HEARTBEAT: Duration = Duration::from_secs(15);
/// More often would be work and nothing else.
const QUICKEST_HEARTBEAT: Duration = Duration::from_millis(100);

impl Tuning {
    /// Puts what was said in the place of the defaults.
    pub(super) fn apply(&self, config: &mut ServerConfig) {
        config.limits = self.limits();
        config.header_timeout = self.header_timeout;
        config.body_timeout = self.body_timeout;
        config.body_rate = self.body_rate as u64;
        config.request_timeout = self.request_timeout;
        config.drain_timeout = self.drain_timeout.min(LONGEST_DRAIN);
        config.connections = self.connections;
        config.address_connections = self.address_connections;
        config.streams = self.streams;
        config.token_streams = self.token_streams;
        config.token_requests = self.token_requests;
        config.heartbeat = self.heartbeat.clamp(QUICKEST_HEARTBEAT, SLOWEST_HEARTBEAT);
        config.body_memory = self.body_memory;
        config.reply_memory = self.reply_memory;
        config.waiting_pushes = self.waiting_pushes;
        config.readers = self.readers;
        config.merges = self.merges;
        config.cache_bytes = self.cache_bytes;
        config.verify_timeout = self.verify_timeout;
        config.verify_memory = self.verify_memory as u64;
        config.compact_quiet = self.compact_quiet;
        config.compact_least = self.compact_least;
        config.snapshot_quiet = self.snapshot_quiet;
    }

    fn limits(&self) -> ServerLimits {
        let mut limits = ServerLimits {
            body_bytes: self.body_bytes,
            inflated_body_bytes: self.inflated_body_bytes,
            push_changes: self.push_changes,
            page_changes: self.page_changes,
            page_bytes: self.page_bytes,
            missing_hashes: self.missing_hashes,
            json_fields: self.json_fields,
            json_nesting: self.json_nesting,
            list_documents: self.list_documents,
            merge_bytes: self.merge_bytes as u64,
            document_bytes: self.document_bytes as u64,
            document_heads: self.document_heads,
            document_actors: self.document_actors,
            request_rate: self.request_rate,
            request_burst: self.request_burst,
            failure_rate: self.failure_rate,
            failure_burst: self.failure_burst,
            ..ServerLimits::default()
        };
        limits.change.change_bytes = self.change_bytes;
        limits.change.operations = self.change_operations;
        limits.change.dependencies = self.change_dependencies;
        limits
    }
}
