//! The session: what to ask a server next, and what its answer means. It does no I/O and has no clock: facts of the store
//! go in, and steps, writes and notes come out, as values. Time and randomness are arguments. The asynchronous driver and
//! the simulator run this same code.
//!
//! One [`Session`] belongs to one document, so "no document, no change and no peer can stop another document
//! from syncing". Its memory may vanish between any two calls: what must last is in the store, and changes with
//! one transaction.
//!
//! ```text
//! loop {
//!     let facts = the store's facts of this document and this server;
//!     match session.next(&facts, now, rng) {
//!         Next::Store(need) => session.found(&facts, what the store did),
//!         Next::Step(Step::Send { request, ticket }) => {
//!             let verdict = judge(&ticket, network(request), session.limits());
//!             let settled = match session.settle(ticket, verdict, now, rng) {
//!                 Plan::Settled(settled) => settled,
//!                 Plan::Store(write, then) => session.stored(then, what the store wrote, now, rng),
//!             };
//!             the store notes settled.notes
//!         }
//!         Next::Step(Step::Wait { until }) => sleep until then,
//!         Next::Step(Step::Done(outcome)) => until something is enqueued, or session.start_run() when it is time to poll,
//!     }
//! }
//! ```
//!
//! The engine's store does this in `store/syncing.rs`.

mod backoff;
mod event;
mod facts;
mod forbidden;
mod healing;
mod next;
mod pages;
mod plan;
mod plans;
mod settle;
mod state;
mod types;
mod verdict;
mod walk;

pub use backoff::Backoff;
pub use event::{Heard, Hint};
pub use facts::{Batch, BatchBounds, BatchRow, Facts, Failure, HealNode, Page, PageOutcome};
pub use next::NOT_BEGUN;
pub use plans::{Found, Most, Need, Next, Note, Plan, Settled, Then, Write, Written};
pub use state::Session;
pub use types::{
    DOCUMENT_ACTORS, DOCUMENT_BYTES, Millis, Now, Outcome, Progress, SessionLimits, Step, Ticket, Trouble,
    TroubleKind,
};
pub use verdict::{Verdict, judge};
pub use walk::HealWalk;
