//! Typed slices, as an app uses them.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a failure here fails the test")]

mod extras;
mod lists;
mod middleware;
mod migrations;
mod reading;
mod reducers;
mod scopes;
mod support;
mod transactions;
mod typed;
