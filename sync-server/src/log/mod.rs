//! The log at rest: all of the server's SQL, beside the mapping of its rows.

mod ancestors;
mod append;
mod backup;
mod doctor;
mod error;
mod list;
mod mark;
mod quarantine;
mod snapshot;
mod store;
mod tokens;
mod view;

pub(crate) use append::{Appender, bury, was_of};
pub use backup::backup;
pub use doctor::{Diagnosis, doctor};
pub use error::LogError;
pub(crate) use mark::{Claim, Digest, Mark};
pub(crate) use snapshot::StoredSnapshot;
pub use store::LogStore;
pub(crate) use store::{Attempt, LogReader};
pub use tokens::TokenInfo;
pub(crate) use tokens::{TokenId, TokenRow};
pub(crate) use view::{Document, Page, PageLimit, View};
