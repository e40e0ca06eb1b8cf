//! Jobs in the file: effects and thunks, asked for in a transaction, leased by one process, settled once.

mod effects;
mod follow;
mod lease;
mod manage;
mod prune;
mod rows;
mod settle;
mod thunks;

pub use lease::{LeaseTerms, Leased};
pub use manage::EffectDrop;

pub(super) use follow::{drop_effects_of, follow_change, read_rolled_back};
pub(super) use lease::{JobTerms, look};
