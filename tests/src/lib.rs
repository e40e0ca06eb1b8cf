//! The harness, the simulator and the benchmarks of rejoin.

pub mod sim;
