//! The promises about thunks and listeners, and each failure of createAsyncThunk and of listeners in memory ending
//! the other way.
mod core;
mod follow_ups;
mod listeners;
mod listeners_core;
mod processes;
mod support;
mod thunks;
mod undo;
