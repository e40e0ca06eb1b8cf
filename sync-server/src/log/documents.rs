//! Documents, and the feed of what happened to them.

use rejoin_protocol::DocumentId;

use super::{Listed, Mark, Quarantined};

/// What is known of a document without its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) key: i64,
    pub(crate) uuid: DocumentId,
    pub(crate) end: Mark,
    /// How many of its rows bear `was`.
    pub(crate) rewritten: u64,
    /// The sum of its plain bytes.
    pub(crate) bytes: u64,
    pub(crate) deleted: bool,
    /// Its newest entry in the feed.
    pub(crate) entry: u64,
}

/// Which documents are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Which {
    /// Those after a key that were not purged, in the order of their keys.
    After(i64),
    /// Those after a key whose log this release has not verified to its end, deleted ones left out, in that order.
    Unverified(i64),
    /// Those after a key that no token and no subject of a JWT began or was granted, deleted ones left out, in that order.
    Unowned(i64),
    /// Those of the list whose newest entry is after this one, in the order of their entries.
    Changed(u64, Listed),
}

/// What is counted of the whole database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counts {
    /// How many documents ever began here. No row of one is ever removed: a tombstone is a row too.
    pub(crate) documents: u64,
    /// What this release leaves out of merged documents.
    pub(crate) quarantined: Quarantined,
}

/// How much of a log is given out at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PageLimit {
    pub(crate) changes: usize,
    pub(crate) bytes: usize,
}

/// A piece of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Page {
    /// Plain chunks in log order.
    pub(crate) bytes: Vec<u8>,
    /// Every position up to this one is in the page, or was to be left out.
    pub(crate) covered: u64,
}
