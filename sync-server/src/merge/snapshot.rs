//! Snapshots: invariant 10, "it covers a prefix of the log (it ends before the first change it cannot hold), and
//! it replaces raw changes only after it was loaded again and its heads, its set of changes and its state
//! were found equal".

use std::time::Instant;

use rejoin::planted::{self, Bug};

use super::merged::Merged;
use crate::{
    log::{Document, StoredSnapshot, View},
    rules::{Code, Fault},
};

/// A snapshot is made again when so many changes came since, and at least an eighth of what it covers: all
/// making together then costs a small multiple of the last one.
pub(super) const GROWN_BY: u64 = 1_000;
const GROWN_PART: u64 = 8;

/// A snapshot that was verified.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) document: i64,
    pub(crate) snapshot: StoredSnapshot,
    pub(crate) bytes: Vec<u8>,
}

/// Whether a new snapshot is to be made of a log that ends at `end`.
pub(crate) fn wanted(end: u64, stored: Option<StoredSnapshot>) -> bool {
    let Some(stored) = stored else { return true };
    let reach = stored.stop.map_or(end, |stop| stop.saturating_sub(1).min(end));
    let grown = reach.saturating_sub(stored.position);
    grown >= GROWN_BY && grown.saturating_mul(GROWN_PART) >= stored.position
}

/// Makes a snapshot of as much of the log as one can hold.
pub(crate) fn make(view: View<'_>, document: &Document, deadline: Instant) -> Result<Made, Fault> {
    let stored = view.stored_snapshot(document.key)?;
    let known_stop = stored.and_then(|stored| stored.stop);
    let end = document.end.position;
    let reach = known_stop.map_or(end, |stop| stop.saturating_sub(1).min(end));
    let mut merged = Merged::from_snapshot(view, document.key, reach)?;
    let good = merged.position;
    merged.advance(view, document.key, reach, deadline)?;
    // Where a change was left out, a snapshot ends before it, whatever came after.
    let reach = match merged.left_out.first_key_value() {
        Some((first, _)) if !planted::is_planted(Bug::SnapshotPastHole) => first - 1,
        _ => reach,
    };
    if reach < merged.position {
        merged = prefix(view, document.key, reach, deadline)?;
    }
    match merged.into_file() {
        Ok(bytes) => Ok(made(document.key, reach, known_stop.or(stop_after(reach, end)), bytes)),
        Err(why) => {
            tracing::warn!(document = %document.uuid, %why, "a snapshot cannot be loaded again");
            longest(view, document.key, (good, reach), deadline)
        }
    }
}

/// There is none and there will be none: the client reads the changes.
pub(crate) fn no_snapshot(why: &str) -> Fault {
    Fault::because(Code::NotFound, format!("There is no snapshot of this document: read its changes. {why}"))
}

/// The longest prefix that a snapshot can hold, where that to `good` can be held and that to `bad` cannot.
fn longest(
    view: View<'_>,
    document: i64,
    (mut good, mut bad): (u64, u64),
    deadline: Instant,
) -> Result<Made, Fault> {
    let mut best = None;
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        match prefix(view, document, middle, deadline)?.into_file() {
            Ok(bytes) => (good, best) = (middle, Some(bytes)),
            Err(_) => bad = middle,
        }
    }
    let bytes = match best {
        Some(bytes) => bytes,
        None => prefix(view, document, good, deadline)?.into_file().map_err(|why| {
            tracing::error!(%why, "no prefix of a log can be held in a snapshot");
            Fault::new(Code::Unavailable)
        })?,
    };
    Ok(made(document, good, Some(bad), bytes))
}

/// Where a snapshot ends before the end of the log, the next change is the one that it cannot hold.
fn stop_after(reach: u64, end: u64) -> Option<u64> {
    (reach < end).then_some(reach + 1)
}

fn made(document: i64, position: u64, stop: Option<u64>, bytes: Vec<u8>) -> Made {
    Made { document, snapshot: StoredSnapshot { position, stop }, bytes }
}

/// The document of the first changes, up to `upto`.
fn prefix(view: View<'_>, document: i64, upto: u64, deadline: Instant) -> Result<Merged, Fault> {
    let mut merged = Merged::from_snapshot(view, document, upto)?;
    merged.advance(view, document, upto, deadline)?;
    Ok(merged)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_is_made_again_when_the_log_has_grown_enough() {
        let stored = |position, stop| Some(StoredSnapshot { position, stop });
        assert!(wanted(1, None));
        assert!(!wanted(1_500, stored(1_000, None)));
        assert!(wanted(2_000, stored(1_000, None)));
        assert!(!wanted(101_000, stored(100_000, None)));
        assert!(wanted(112_500, stored(100_000, None)));
        assert!(!wanted(1_000_000, stored(10, Some(11))), "it cannot hold more");
    }
}
