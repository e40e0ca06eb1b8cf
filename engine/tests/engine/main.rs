//! The tests of this crate: one program, one file or folder a subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod api;
mod authorship;
mod blocking;
mod clones;
mod closing;
mod cpu;
mod effects;
mod handles;
mod hostile;
mod jobs;
mod live;
mod numbers;
mod session;
mod slices;
mod store;
mod undo;
mod work;
