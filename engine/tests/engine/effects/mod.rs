//! The promises about effects, and each failure of redux-offline ending the other way.
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
