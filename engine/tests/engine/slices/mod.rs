//! Typed slices, as an app uses them.

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
