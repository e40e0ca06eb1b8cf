//! Merging and verifying, behind the log: the library gets hostile bytes in a process of its own, which may die, hang
//! or run out of memory; where an app that embeds the server gives no command for one, it works on copies in this
//! process, inside `catch_unwind`, within the limits that the fence has set.

mod merger;
mod snapshot;
mod source;
mod workers;

pub(crate) use merger::{For, Merger};
pub(crate) use snapshot::examine_here;
