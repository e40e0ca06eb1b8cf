//! The tests of the whole system, as one program: real servers, real clients, files and processes that die, and the
//! simulator. One file or folder a subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod disk;
mod faults;
mod hostile;
mod javascript;
mod kills;
mod simulator;
mod story;
mod traces;
mod upgrade;
