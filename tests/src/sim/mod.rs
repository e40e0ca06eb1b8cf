//! The simulator: the shipped code of session, queue, backoff, fence, store and server log, on in-memory SQLite,
//! under a simulated clock and network, in one thread. A seed gives everything: who acts when and how, what
//! breaks, how long a message travels. The same seed replays exactly.
//!
//! ```text
//! world    the clock, the queue of events, the loop, and calm (faults stop, everything must drain)
//! driving  clients, their processes, and the driver's part: asking the session, and handing it replies
//! network  a request on its way and its reply: loss, delay, duplicates, cut replies, portals
//! telling  events of commits: lost, doubled, late
//! acting   what people do, and what each action must come to
//! undoing  undos and redos of theirs; stack: which action is next, inverse: what it must come to
//! strike   crashes, copies, restores, wipes, partitions
//! stranger changes of another program: good, bad, and hostile ones
//! liar     changes that say that they are others
//! numbers  changes with numbers that no honest one has
//! ledger   every log that the server ever had, as prefixes named by their cursors
//! model    every action that was acknowledged; expected: the state that they make together
//! check    the invariants
//! ```
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "this is a test: what cannot be is to end it, with the seed in the report"
)]

mod acting;
mod check;
mod client;
mod disk;
mod driving;
mod expected;
mod hostile;
mod invariant;
mod inverse;
mod ledger;
mod liar;
mod model;
mod network;
mod numbers;
mod regressions;
mod stack;
mod stranger;
mod strike;
mod strikes;
mod telling;
mod trace;
mod undoing;
mod world;

use std::panic::{AssertUnwindSafe, catch_unwind};

use rejoin::planted::{self, Bug};

pub use invariant::{Invariant, Violation};
pub use regressions::REGRESSIONS;
pub use strikes::{Fault, Strikes};

/// How a seed is run.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// A bug that is switched on in the shipped code.
    pub bug: Option<Bug>,
    /// Every line of the trace is kept, and not only its hash.
    pub keep_trace: bool,
}

/// What a seed came to.
#[derive(Debug)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Which promise was broken, if one was.
    pub violation: Option<Violation>,
    /// How often each fault struck.
    pub strikes: Strikes,
    /// Actions that were dispatched and acknowledged.
    pub actions: u64,
    /// How many of them were undos and redos.
    pub undos: u64,
    /// A hash of everything that happened, in order.
    pub trace_hash: u64,
    /// What happened, where it was to be kept.
    pub trace: Vec<String>,
}

/// Runs one seed on this thread.
pub fn run(seed: u64, options: Options) -> Report {
    planted::plant(options.bug);
    let mut world = world::World::new(seed, options.keep_trace);
    let ran = catch_unwind(AssertUnwindSafe(|| world.run()));
    planted::plant(None);
    let violation = match ran {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation),
        Err(payload) => Some(Violation {
            invariant: Invariant::NoPanic,
            detail: panic_message(payload.as_ref()),
            at: world.now,
        }),
    };
    if violation.is_some() && options.keep_trace {
        world.describe();
    }
    let (trace_hash, trace) = world.trace.finish();
    let (actions, undos) = (world.model.count(), world.model.count_undos());
    Report { seed, violation, strikes: world.strikes, actions, undos, trace_hash, trace }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|t| (*t).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic".to_owned())
}

/// A bug by the name that the command line takes.
pub fn bug_named(name: &str) -> Option<Bug> {
    BUGS.into_iter().find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name))
}

/// Every bug that can be planted.
pub const BUGS: [Bug; 13] = [
    Bug::QueueRowApart,
    Bug::CursorBeforeCommit,
    Bug::RowGoneEarly,
    Bug::BadChangeFailsBatch,
    Bug::AnyOkAcknowledges,
    Bug::LostWakeUp,
    Bug::SnapshotPastHole,
    Bug::EventAtOtherCursor,
    Bug::DispatchAgainAfterFork,
    Bug::UndoOverOthers,
    Bug::ClaimBelieved,
    Bug::NumbersUnbounded,
    Bug::ReferencesUnchecked,
];

/// The command that replays a seed.
pub fn replay_command(seed: u64, bug: Option<Bug>) -> String {
    let plant = bug.map(|bug| format!(" --plant {bug:?}")).unwrap_or_default();
    format!("cargo run --release -p rejoin-tests --bin simulate -- --seed {seed}{plant}")
}

/// Panics of the library on hostile changes are expected here, and would hide what matters.
pub fn quiet() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(rejoin::untrusted::install_panic_hook);
}

/// Runs seeds on two threads, and gives the reports in the order of the seeds. Planted bugs belong to a
/// thread, and a seed stays on one.
pub fn run_many(seeds: std::ops::Range<u64>, options: Options) -> impl Iterator<Item = Report> {
    const THREADS: u64 = 2;
    let receivers: Vec<_> = (0..THREADS)
        .map(|thread| {
            let (sender, receiver) = std::sync::mpsc::sync_channel(8);
            let mine = seeds.clone().filter(move |seed| seed % THREADS == thread);
            std::thread::spawn(move || {
                for seed in mine {
                    if sender.send(run(seed, options)).is_err() {
                        return;
                    }
                }
            });
            receiver
        })
        .collect();
    seeds.map_while(move |seed| receivers[(seed % THREADS) as usize].recv().ok())
}
