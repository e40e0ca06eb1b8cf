//! The sync server of rejoin, as a program.
fn main() {}
