//! The session: what to ask a server next, and what its answer means. It speaks to no network and has no clock: time and
//! randomness are arguments. It reads facts from the store and writes to it, through the `&mut Core` that each step takes. The asynchronous driver and the
//! simulator run this same code.
//!
//! One [`Session`] belongs to one document, so "no document, no change and no peer can stop another document
//! from syncing". Its memory may vanish between any two calls: what must last is in the store, and changes with
//! one transaction.
//!
//! ```text
//! loop {
//!     match next(core, session, now, rng)? {
//!         Step::Send { request, ticket } => handle(core, session, ticket, network(request), (now, rng))?,
//!         Step::Wait { until } => sleep until then,
//!         Step::Done(outcome) => until something is enqueued, or `session.start_run()` when it is time to poll,
//!     }
//! }
//! ```

mod backoff;
mod event;
mod forbidden;
mod healing;
mod next;
mod plan;
mod settle;
mod state;
mod types;
mod verdict;
mod walk;

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use event::{Hint, take_event};
pub use next::{NOT_BEGUN, next};
pub use settle::{handle, settle};
pub use state::Session;
pub use types::{
    DOCUMENT_ACTORS, DOCUMENT_BYTES, Now, Outcome, Progress, SessionLimits, Step, Ticket, Trouble,
    TroubleKind,
};
pub use verdict::{Verdict, judge};
pub use walk::HealWalk;
