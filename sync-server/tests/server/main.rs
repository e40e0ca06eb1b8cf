//! The tests of this crate: one program, one file a subject.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

#[path = "../../../tests/src/harness/loopback.rs"]
mod loopback;
#[path = "../../../tests/src/harness/skipped.rs"]
mod skipped;
mod support;

mod access;
mod bodies;
mod care;
mod compaction;
mod cors;
mod events;
mod hostile;
mod http;
mod jwts;
mod limits;
mod log;
mod numbers;
mod one_reader;
mod pace;
mod pack_wire;
mod packs;
mod process;
mod proxies;
mod pushers;
mod pushes;
mod restore;
mod seen;
mod settings;
mod tls;
mod token_commands;
mod tokens;
mod verify;
mod worst;
