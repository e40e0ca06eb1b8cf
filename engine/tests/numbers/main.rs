//! Numbers that no honest change has, and documents with more heads, values and actors than one change may name:
//! honest edits before and after go on.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod counters;
mod many;
mod next;
mod range;
mod steps;
mod support;
