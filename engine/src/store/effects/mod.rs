//! Effects in the file: asked for with their action, leased by one process, settled once.

mod enqueue;
mod follow;
mod lease;
mod manage;
mod rows;
mod settle;

pub use lease::{LeaseTerms, Leased};
pub use manage::EffectDrop;

pub(super) use follow::{drop_effects_of, follow_change};
