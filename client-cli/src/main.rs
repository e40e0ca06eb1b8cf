//! rejoin on the command line.
fn main() {}
