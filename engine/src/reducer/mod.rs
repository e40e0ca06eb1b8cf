//! Reducers: what an action does to a document. Here is the one of the built-in JSON slice.

mod apply;
mod error;
mod json;
mod place;
mod queued;
mod value;

pub use error::{ActionError, Kind};
pub use json::{Prepared, plan_action, prepare, reduce};

pub(crate) use error::kind_of;
pub(crate) use json::reduce_within;
pub(crate) use value::{Slot, check as check_value, write as write_value};

pub(crate) use queued::QueuedOps;

pub(crate) use place::{Place, find, parse_pointer, parse_pointer_to_read, prefix};

#[cfg(test)]
mod tests;
