//! What the server answers, without HTTP: requests and responses are plain values.

mod access;
mod api_error;
mod cursor;
mod documents;
mod missing;
mod pull;
mod push;
mod pushers;
mod receipt;
mod room;
mod snapshot;

pub(crate) use access::{
    Asker, Client, Principal, Verb, authenticate, hearable, is_good, may_hear, no_jwt, permit, permit_whole,
};
pub(crate) use api_error::{ApiError, Code};
pub(crate) use documents::{delete, deleted, list, list_reply};
pub(crate) use missing::{missing, question};
pub(crate) use pull::{pull, readable};
pub(crate) use push::{Changes, Push, take};
pub(crate) use pushers::pushers;
#[cfg(test)]
pub(crate) use receipt::long_listing;
pub(crate) use receipt::{Form, Receipt, RejectionStream, Told, reply, reply_at_end};
pub(crate) use room::Room;
pub(crate) use snapshot::{
    GROWN_BY, any as any_snapshot, is_due as snapshot_is_due, none as no_snapshot, stored as stored_snapshot,
    wanted as snapshot_is_wanted,
};
