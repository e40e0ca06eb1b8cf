//! Following a real server: by events, by polls where events do not pass, and after failures.

#![cfg(feature = "sync")]
mod back;
mod events;
#[path = "../../../../tests/src/harness/loopback.rs"]
mod loopback;
mod many;
mod support;
