//! Reducers: what an action does to a document. Here is the one of the built-in JSON slice.

mod apply;
mod json;
mod queued;
mod value;

pub use json::{Prepared, plan_action, prepare, reduce};
pub use rejoin_protocol::pointer::{ActionError, Kind};

pub(crate) use json::reduce_within;
pub(crate) use value::{Slot, check as check_value, is_deeper_than, write as write_value};

pub(crate) use queued::QueuedOps;

pub(crate) use rejoin_protocol::pointer::{
    MAX_DEPTH, Place, find, kind_of, parse_pointer, parse_pointer_to_read, prefix,
};

#[cfg(test)]
mod container_tests;
#[cfg(test)]
mod tests;
