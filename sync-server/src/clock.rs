//! What time it is. It stands below everything else, so that whatever needs the time names nothing above it.

use std::time::{Duration, SystemTime};

/// Milliseconds since 1970; negative before.
pub(crate) fn now() -> i64 {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}
