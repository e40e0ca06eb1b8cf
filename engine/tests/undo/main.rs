//! The promises of undo and redo, on real stores.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod beside;
mod claims;
mod met;
mod odd;
mod random;
mod revert;
mod square;
mod stack;
mod steps;
mod support;
