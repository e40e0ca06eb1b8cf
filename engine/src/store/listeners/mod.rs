//! Listeners in the file: how far each has heard a document, under whose lease, and what it does about an action.

mod claims;
mod lease;
mod manage;
mod rows;
mod walk;

pub use claims::{Claim, HeardFailure, Reacted};
pub use lease::{Work, WorkTerms};

pub(super) use rows::follow_drop;
pub(super) use walk::payload;
