//! Also taken, by its path, by the tests of other crates.

/// Says that something was not tested, and why. Where nothing may be passed by (`REJOIN_SKIP_NOTHING`, which `.ci/run` sets)
/// that fails the test.
#[allow(
    unreachable_pub,
    clippy::print_stderr,
    reason = "in the other crates it is a module of a test; it is to be seen"
)]
pub fn skipped(what: &str, why: &str) {
    let nothing = std::env::var_os("REJOIN_SKIP_NOTHING").is_some_and(|value| !value.is_empty());
    assert!(!nothing, "{what} was not tested: {why}");
    eprintln!("\n*** SKIPPED: {what}: {why}\n");
}
