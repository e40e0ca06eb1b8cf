//! What verification found of a document, and its snapshot.

use std::collections::BTreeMap;

use rejoin_protocol::{DocumentId, quarantine::Reason};

/// What tells one release from another: a change that one could not hold, another may.
pub(crate) const MAKER: &str = concat!(env!("CARGO_PKG_VERSION"), " on Automerge 0.12.0, verification 2");

/// What is known of a stored snapshot without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredSnapshot {
    /// It covers 1 to this position.
    pub(crate) position: u64,
    /// The first change that this release could not hold in it.
    pub(crate) stop: Option<u64>,
}

/// What is stored of that. What another release found is not in it, and is tried again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Known {
    /// Up to where this release has verified the log.
    pub(crate) verified: Option<u64>,
    /// The changes that this release leaves out of merged documents, with why.
    pub(crate) left_out: BTreeMap<u64, Reason>,
    pub(crate) snapshot: Option<StoredSnapshot>,
}

/// What verification found that is not stored yet.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct NewFindings<'f> {
    /// Up to where this release has verified the log now; what another release left out up to there goes.
    pub(crate) verified: Option<u64>,
    /// The positions that this release leaves out no more.
    pub(crate) released: Vec<u64>,
    pub(crate) left_out: Vec<(u64, &'f Reason)>,
}

/// What verification found of a document, and a snapshot where one is to be stored: they belong in one transaction.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) document: DocumentId,
    /// Up to where the log was verified; `None` where that did not come to an end.
    pub(crate) verified: Option<u64>,
    /// All that is to be left out.
    pub(crate) left_out: BTreeMap<u64, Reason>,
    pub(crate) snapshot: Option<Made>,
}

/// A snapshot that was verified.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) snapshot: StoredSnapshot,
    pub(crate) bytes: Vec<u8>,
}

/// What is left out of merged documents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Quarantined {
    pub(crate) changes: u64,
    /// How many documents they are in.
    pub(crate) documents: u64,
}
