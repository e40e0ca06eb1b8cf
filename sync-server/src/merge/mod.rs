//! Merging, behind the log: the merged document and the snapshots. The library works on copies, inside
//! `catch_unwind`, within the limits that the fence has set.

mod cache;
mod merged;
mod merger;
mod snapshot;
mod workers;

pub(crate) use merged::stored_limits;
pub(crate) use merger::{Merger, Shape};
pub(crate) use snapshot::{Made, make, no_snapshot, wanted};
