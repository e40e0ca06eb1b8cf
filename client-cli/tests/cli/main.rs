//! The real binary, in an environment of its own.

mod apply;
mod bad_input;
mod demo;
mod environment;
mod help;
mod local;
mod server;
mod sync;
