//! Snapshots. Invariant 10: one "is kept only after it was loaded again and its heads, its set of changes and its state
//! were found equal. It covers a prefix of the log, and ends before the first change it cannot hold."

use std::time::Duration;

use rejoin_protocol::planted::{self, Bug};
use rejoin_verifier::{Merge, Outcome, Patience, Shape, Task, Terms, Verdict, Verifier, find, millis};

use super::source::{LogSource, subject};
use crate::{
    log::{Document, Found, Made, StoredSnapshot, View},
    rules::ApiError,
};

/// How long a turn goes on looking for more than it has found.
const TURN: Duration = Duration::from_secs(60);

/// `longest` is what one trial may take, beside the time that the bytes get.
pub(super) fn patience(longest: Duration) -> Patience {
    Patience { longest, turn: TURN }
}

/// Verifies a document, and makes a snapshot of as much of its log as one can hold, if one is wanted.
pub(super) fn examine(
    view: &impl View,
    document: &Document,
    verifier: &mut Verifier,
    (longest, wants): (Duration, bool),
) -> Result<Found, ApiError> {
    let mut source = LogSource { view, document: document.key };
    match find(&mut source, &subject(view, document)?, verifier, patience(longest))? {
        Verdict::Settled(merge) => settle(view, document, merge, (verifier, longest, wants)),
        Verdict::Unsettled(left_out) => {
            Ok(Found { document: document.uuid, verified: None, left_out, snapshot: None })
        }
    }
}

/// What is found of a document that can be written without what it leaves out.
pub(super) fn settle(
    view: &impl View,
    document: &Document,
    merge: Merge,
    (verifier, longest, wants): (&mut Verifier, Duration, bool),
) -> Result<Found, ApiError> {
    let end = document.end.position;
    let stop = merge.left_out.first_key_value().map(|(first, _)| *first);
    let stop = stop.filter(|_| !planted::is_planted(Bug::SnapshotPastHole));
    let stored = view.known(document.key)?.snapshot;
    let goes_on = |reach: u64| stored.is_none_or(|stored| stored.position <= reach);
    let snapshot = match stop {
        _ if !wants => None,
        None => Some(Made { snapshot: StoredSnapshot { position: end, stop: None }, bytes: merge.bytes }),
        // It "ends before the first change it cannot hold", whatever came after.
        Some(stop) if goes_on(stop - 1) => prefix(view, document, stop, (verifier, longest))?,
        Some(_) => None,
    };
    Ok(Found { document: document.uuid, verified: Some(end), left_out: merge.left_out, snapshot })
}

/// The snapshot of what comes before `stop`.
fn prefix(
    view: &impl View,
    document: &Document,
    stop: u64,
    (verifier, longest): (&mut Verifier, Duration),
) -> Result<Option<Made>, ApiError> {
    let task = Task {
        document: document.key,
        epoch: 0,
        upto: stop - 1,
        expelled: std::collections::BTreeSet::new(),
        shape: Shape::File,
        examine: true,
        keep: false,
        millis: millis(patience(longest).for_a_trial(document.bytes)),
    };
    match verifier.work(&task, &mut LogSource { view, document: document.key })? {
        Outcome::Written(merge) if merge.left_out.is_empty() => {
            let snapshot = StoredSnapshot { position: stop - 1, stop: Some(stop) };
            Ok(Some(Made { snapshot, bytes: merge.bytes }))
        }
        other => {
            tracing::error!(document = %document.uuid, ?other, "the beginning of a log cannot be held in a snapshot");
            Ok(None)
        }
    }
}

/// Verifies a document on this thread, in this process.
pub(crate) fn examine_here(
    view: &impl View,
    document: &Document,
    longest: Duration,
) -> Result<Found, ApiError> {
    examine(view, document, &mut Verifier::new(None, Terms::default()), (longest, true))
}
