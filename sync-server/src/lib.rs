//! The sync server of rejoin: a log of changes for each document, over HTTP.
//!
//! On the hot path it builds no Automerge document: a push is framed, passes the fence and becomes rows; a pull
//! is a range of rows. Merging is done behind, within a budget of bytes.

mod auth_reader;
mod clock;
mod committer;
mod compaction;
mod config;
mod events;
mod http;
mod jwt;
mod limits;
mod log;
mod merge;
mod metrics;
#[doc(hidden)]
pub mod options;
mod rate_limit;
mod readers;
mod respond;
mod rules;
mod shares;
mod snapshots;
mod state;
mod tls;
mod tokens;
mod turns;
mod watched;

pub use config::{JwtSettings, ServerConfig, TlsFiles};
pub use events::event_since;
pub use http::{router, serve};
pub use limits::ServerLimits;
pub use log::{
    Access, Bringer, Compacted, Crowd, DatabaseError, Diagnosis, LogError, LogStore, Purged, TokenInfo,
    backup, check_log, doctor, has_tokens, purge, restore,
};
pub use rejoin_verifier::{VerifyCommand, verify_child};
pub use respond::respond;
pub use state::{AppState, Figures, StartError};
pub use tokens::{NewToken, Secret, TokenError, Tokens};
pub use watched::FileError;
