//! Runners: what takes jobs and actions under a lease, has them done, and has recorded how they ended.

mod effects;
mod handle;
mod handler;
#[cfg(feature = "sync")]
mod http;
mod lease;
mod reach;
mod run;
mod tasks;
mod thunk;
mod work;

pub use effects::EffectOptions;
pub use handle::{Settled, ThunkError, ThunkHandle};
pub use handler::{EffectHandler, EffectHandlers, handler};
#[cfg(feature = "sync")]
pub use http::HttpEffects;
pub use reach::Fork;
pub use tasks::HandlerError;
pub use thunk::{Thunk, ThunkContext};
pub use work::WorkOptions;

pub(crate) use lease::Runners;
pub(crate) use tasks::{Hearing, Tasks};
