//! The harness, the simulator and the benchmarks of rejoin.

#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure ends the run"
)]
pub mod bench;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failure here fails the test"
)]
pub mod friends;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failure here fails the test"
)]
pub mod friends_stage;
#[allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a failure here fails the test"
)]
pub mod harness;
#[allow(clippy::expect_used, reason = "a failure here fails the test")]
pub mod mutate;
pub mod sim;
#[allow(clippy::unwrap_used, clippy::expect_used, reason = "a failure here fails the test")]
pub mod traces;
