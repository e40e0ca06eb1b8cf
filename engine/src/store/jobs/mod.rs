//! Jobs in the file: asked for with their action or started, leased by one process, settled once.

mod enqueue;
mod follow;
mod lease;
mod manage;
mod rows;
mod settle;
mod settle_thunk;
mod start;
pub(super) mod thunk_rows;

pub use lease::{LeaseTerms, Leased};
pub use manage::EffectDrop;

pub(super) use follow::{drop_effects_of, follow_change};
