//! What verification found of a document.

use std::collections::BTreeMap;

use rejoin_protocol::quarantine::Reason;

use super::StoredSnapshot;

/// What verification found of a document, and a snapshot where one is to be stored: they belong in one transaction.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) document: i64,
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
