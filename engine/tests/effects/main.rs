//! The promises about effects, and each failure of redux-offline ending the other way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod core;
mod dead_letters;
mod guarded;
mod http;
mod lanes;
mod processes;
mod runner;
mod server;
mod slices;
mod support;
