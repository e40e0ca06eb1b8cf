//! The promises about thunks and listeners, and each failure of createAsyncThunk and of listeners in memory ending
//! the other way.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

mod core;
mod follow_ups;
mod listeners;
mod listeners_core;
mod processes;
mod support;
mod thunks;
mod undo;
