//! How large a long run is: `REJOIN_TEST_SIZE`.

/// How large a long run is. `REJOIN_TEST_SIZE=full` is what `.ci/run` sets; else a person waits for it, and it is `small`.
///
/// # Panics
/// Where the variable says anything else.
pub fn size<T>(small: T, full: T) -> T {
    match std::env::var("REJOIN_TEST_SIZE").as_deref() {
        Err(_) | Ok("" | "small") => small,
        Ok("full") => full,
        Ok(other) => panic!("REJOIN_TEST_SIZE is {other:?}: it can be `small` or `full`"),
    }
}
