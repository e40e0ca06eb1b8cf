//! Jobs: what outlives the process that asked for it. An effect is a request to the outside, a thunk is work with a
//! result; a listener hears actions. Here are their types and the rules that the store and the runners follow: no SQL, no
//! clock, no I/O, but for a look whether the owner of a lease still lives (`owner`). The rows are in `store/jobs`
//! and `store/listeners`, the runners in `runner`.

mod effect;
mod effect_request;
mod follow_up;
pub(crate) mod judge;
pub(crate) mod lease;
mod listener;
pub(crate) mod owner;
pub(crate) mod plan;
mod row;
mod schedule;
mod thunk;
mod thunk_request;

pub use effect::{Effect, EffectId, EffectState, InvalidEffectId};
pub use effect_request::EffectRequest;
pub use follow_up::{FollowUp, Rollback};
pub use judge::{Outcome, Tries, Verdict, judge};
pub use listener::{Heard, Listener, ListenerInfo, Reaction};
pub use schedule::{LONGEST_WAIT, Schedule};
pub use thunk::{InvalidThunkId, Orphan, ThunkCause, ThunkFailure, ThunkId, ThunkInfo, ThunkState};
pub use thunk_request::{StartOptions, ThunkGround, ThunkRequest};

pub(crate) use follow_up::FollowUps;
pub(crate) use listener::Reach;
pub(crate) use row::{AskedBy, Job, JobId, JobKind, JobState, RolledBack};
pub(crate) use thunk_request::check_size;
