//! What the engine and the server of rejoin both do with what they keep: files, and the rows of a log.

pub mod files;
pub mod rows;
