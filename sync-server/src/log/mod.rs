//! The log at rest: all of the server's SQL, beside the mapping of its rows.

mod ancestors;
mod append;
mod backup;
mod brought;
mod claimed;
mod compact;
mod doctor;
mod error;
mod list;
mod mark;
mod pack;
mod pack_cache;
mod purge;
mod pushers;
mod quarantine;
mod reach;
mod snapshot;
mod store;
mod tokens;
mod view;

pub(crate) use append::{Appender, HeadCount, bury};
pub use backup::backup;
pub(crate) use claimed::Claimed;
pub use compact::Compacted;
pub(crate) use compact::{Packed, due, make as make_pack, store as store_pack, tidy};
pub use doctor::{Bringer, Crowd, Diagnosis, doctor};
pub use error::LogError;
pub(crate) use mark::{Claim, Digest, Mark};
pub(crate) use pack_cache::PackCache;
pub use purge::{Purged, purge};
pub(crate) use snapshot::StoredSnapshot;
pub use store::LogStore;
pub(crate) use store::{Attempt, LogReader};
pub use tokens::TokenInfo;
pub(crate) use tokens::{TokenId, TokenRow};
pub(crate) use view::{Document, Page, PageLimit, View};
