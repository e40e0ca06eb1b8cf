//! What the engine and the server of rejoin both do with files.

pub mod files;
