//! Following a real server: by events, by polls where events do not pass, and after failures.

#![cfg(feature = "sync")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod back;
mod events;
#[path = "../../../tests/src/harness/loopback.rs"]
mod loopback;
mod many;
mod support;
