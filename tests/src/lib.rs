//! The harness, the simulator and the benchmarks of rejoin.

#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failure here fails the test"
)]
pub mod harness;
pub mod sim;
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
pub mod traces;
