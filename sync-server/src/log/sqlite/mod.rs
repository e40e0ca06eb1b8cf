//! The log in a file of SQLite: all of the server's SQL, and what only looks after the file (backup, restore, doctor,
//! purge, packing it small). Nothing above `log` names anything of SQLite.

mod backup;
mod compact;
mod doctor;
mod edit;
mod error;
mod found;
mod list;
mod purge;
mod restore;
mod rows;
mod store;
mod tokens;
mod vacuum;
mod values;

pub use backup::backup;
pub use doctor::{Bringer, Crowd, Diagnosis, doctor};
pub use purge::{Purged, purge};
pub use restore::{check_log, restore};
pub(crate) use rows::SqliteRows;
pub(crate) use store::LogReader;
pub use store::LogStore;
pub use tokens::has_tokens;
