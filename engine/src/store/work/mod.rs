//! Thunks and listeners in the file: leased by one process, settled once.

mod claims;
mod lease;
mod listener_rows;
mod listeners;
mod settle;
mod start;
mod thunk_rows;
mod walk;

pub use claims::{Claim, HeardFailure, Reacted};
pub use lease::{Work, WorkTerms};

pub(super) use listener_rows::follow_drop;
pub(super) use walk::payload;
