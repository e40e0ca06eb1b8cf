//! How a server is set up: limits, files of TLS and JWTs, origins, the command that verifies.

use std::{path::PathBuf, time::Duration};

use crate::{ServerLimits, VerifyCommand};

/// The files of a server's TLS, PEM. They are read again when they change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, the server's own first.
    pub cert: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// What JWTs are checked with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// A secret of HS256, a public key of Ed25519 in PEM, a JWK or a JWKS. It is read again when it changes.
    pub key: PathBuf,
    /// What `aud` must name; `None`: a token with `aud` is for somebody else.
    pub audience: Option<String>,
    /// What `iss` must be; `None`: anything.
    pub issuer: Option<String>,
}

/// What a server is started with. [`ServerConfig::new`] gives every setting its default.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ServerConfig {
    /// The SQLite file of the log; made where it is missing.
    pub database: PathBuf,
    /// What one request may ask.
    pub limits: ServerLimits,
    /// How long the head of a request may take to arrive, and a connection to stay idle.
    pub header_timeout: Duration,
    /// How long a body may take, beside the time that its bytes get from `body_rate`: in both directions, for a reply is
    /// read by a client as a push is sent by one.
    pub body_timeout: Duration,
    /// The slowest pace of a body, in either direction, that is waited for, in bytes a second.
    pub body_rate: u64,
    /// How long an answer may take once the body is there.
    pub request_timeout: Duration,
    /// How long open requests may take after a shutdown was asked for.
    pub drain_timeout: Duration,
    /// Most connections at once. Where all are taken one that shows no good credential, or that does nothing, ends for
    /// who comes; a 64th is kept for `/healthz`, `/readyz` and who is admin of everything.
    pub connections: usize,
    /// Most connections of one address (of IPv6: a /64); 0: as many as it likes. Addresses of this machine have no such
    /// limit, for a proxy may stand there.
    pub address_connections: usize,
    /// Most event streams at once; who asks for more is told to poll. Each 16 documents that one names count as another.
    pub streams: usize,
    /// Most event streams at once of whoever bears a token, or JWTs of one `sub`.
    pub token_streams: usize,
    /// Most requests at once of whoever bears a token, or JWTs of one `sub`.
    pub token_requests: usize,
    /// How often a stream says something where nothing happens. Clients are promised 15 s at most.
    pub heartbeat: Duration,
    /// Most bytes of request bodies held at once; what does not fit is told to come later. One asker has half of it at
    /// most.
    pub body_memory: usize,
    /// Most bytes of replies held at once, until their clients have read them; what finds no room in a moment is told
    /// to come later. One asker has a quarter of it at most, and no merged document or snapshot is larger than that.
    pub reply_memory: usize,
    /// Most pushes that wait for the committer.
    pub waiting_pushes: usize,
    /// Connections to the database that read.
    pub readers: usize,
    /// How many documents are merged at once.
    pub merges: usize,
    /// Most bytes, as estimated, of merged documents kept for the next question.
    pub cache_bytes: usize,
    /// How long a document must be left alone before all of its log is packed. A log of thousands of changes in rows
    /// is packed, but for the newest, also while it is in use.
    pub compact_quiet: Duration,
    /// The fewest changes in rows for which that is done.
    pub compact_least: u64,
    /// What starts a process that merges and verifies documents. `None`: it is done in this process, on copies and
    /// inside `catch_unwind`; that stops panics, and neither a change over which the library never ends nor one that
    /// makes it take all memory. The program `rejoin-server` starts itself.
    pub verify_command: Option<VerifyCommand>,
    /// How long one trial to merge and verify a document may take, beside a second for each MiB of its log.
    pub verify_timeout: Duration,
    /// Most bytes of address space that a process which verifies may have; where the system has no such limit
    /// (outside Unix), its time alone bounds it.
    pub verify_memory: u64,
    /// How long a document must be left alone before it is verified and its snapshot is made, behind.
    pub snapshot_quiet: Duration,
    /// With it HTTPS is spoken, and nothing else.
    pub tls: Option<TlsFiles>,
    /// With it JWTs are taken beside tokens, and every resource needs one or the other.
    pub jwt: Option<JwtSettings>,
    /// Origins whose pages may use the server from a browser, in lower case, like `https://app.example`.
    pub cors_origins: Vec<String>,
}

impl ServerConfig {
    /// The defaults, on this database.
    pub fn new(database: impl Into<PathBuf>) -> Self {
        Self {
            database: database.into(),
            limits: ServerLimits::default(),
            header_timeout: Duration::from_secs(30),
            body_timeout: Duration::from_secs(20),
            body_rate: 16 * 1024,
            request_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(8),
            connections: 16_384,
            address_connections: 2_048,
            streams: 12_288,
            token_streams: 1_024,
            token_requests: 128,
            heartbeat: Duration::from_secs(10),
            body_memory: 128 * 1024 * 1024,
            reply_memory: 128 * 1024 * 1024,
            waiting_pushes: 1_024,
            readers: 4,
            merges: 1,
            cache_bytes: 64 * 1024 * 1024,
            verify_command: None,
            verify_timeout: Duration::from_secs(10),
            verify_memory: 2 * 1024 * 1024 * 1024,
            compact_quiet: Duration::from_secs(600),
            compact_least: 64,
            snapshot_quiet: Duration::from_millis(500),
            tls: None,
            jwt: None,
            cors_origins: Vec::new(),
        }
    }
}
