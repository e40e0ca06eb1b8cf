//! Merging and verifying documents where it can do no harm: in a process of its own, which may hang, run out of memory
//! or die over a hostile change.
//!
//! The [fence](rejoin_protocol::fence) keeps out what is known to make the library fail, and
//! [`untrusted`](rejoin_protocol::untrusted) contains its panics. A change over which it never ends, or that makes it take all
//! memory, would still take the process with it: this finds such a change, and the process that serves goes on. The
//! server verifies every log in this way; a store does before it takes in what a server sent, where the app names a
//! command for it (`rejoin::Builder::verify_command`). Without a command the same work is done
//! in this process, on copies and inside `catch_unwind`: that stops panics, and no more. So it is on phones, where an app
//! cannot start processes.
//!
//! - [`verify_child`] is the body of such a process, [`VerifyCommand`] starts it.
//! - A [`Verifier`] has a [`Task`] done, with a process or without. The log comes from a [`Source`].
//! - [`find`] looks for the changes without which a log can be merged, saved, loaded again and read.

mod alarm;
mod cache;
mod child;
mod command;
mod counted;
mod failures;
mod graph;
mod merged;
mod pipe;
mod search;
mod source;
mod task;
mod verifier;
mod workbench;

pub use child::verify_child;
pub use command::VerifyCommand;
pub use failures::ProcessFailures;
pub use search::{LeftOut, Patience, Subject, Verdict, find, millis};
pub use source::{Batch, BatchSize, Source};
pub use task::{Cause, Merge, Outcome, Shape, Task, Terms, Unsound};
pub use verifier::{Failed, Verifier};
