//! The real binary, in an environment of its own.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod agree;
mod apply;
mod authors;
mod bad_input;
mod complete;
mod demo;
mod effects;
mod environment;
mod help;
mod hints;
mod history;
mod import;
mod local;
#[path = "../../../tests/src/harness/loopback.rs"]
mod loopback;
mod queue;
mod read_only;
mod reading;
mod remote;
mod restore;
mod room;
mod screens;
mod seen;
mod server;
mod service;
#[path = "../../../tests/src/harness/skipped.rs"]
mod skipped;
mod steering;
mod sync;
mod texts;
mod tls;
mod trash;
mod undo;
mod watch;
