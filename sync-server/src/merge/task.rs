use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// How a merged document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Shape {
    Json,
    File,
}

/// One document to be merged and written: what a worker is told, in this process or in one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    /// The key of the document, which names it in the cache.
    pub(super) document: i64,
    /// Up to which position of its log.
    pub(super) upto: u64,
    /// Positions that are not given to the library.
    pub(super) expelled: BTreeSet<u64>,
    pub(super) shape: Shape,
    /// Whether it is kept in memory for the next question. What is not kept is examined: saved, loaded again,
    /// compared, and written as JSON too.
    pub(super) keep: bool,
    /// How long it may take.
    pub(super) millis: u64,
}

/// What a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Written(Merge),
    /// Nothing can be written of these changes together.
    Unsound(Unsound),
    /// It is sound, and nested too deep for JSON.
    TooDeep(String),
}

/// A document that was merged and written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Merge {
    pub(super) bytes: Vec<u8>,
    /// The changes that it leaves out, with why.
    pub(super) left_out: BTreeMap<u64, String>,
    /// The most memory that the process had used by then; 0 where the system does not say.
    pub(super) peak: u64,
    /// What documents that are kept for the next question take by then, in bytes, as estimated.
    pub(super) cached: u64,
}

/// Why a document cannot be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unsound {
    pub(super) why: String,
    pub(super) cause: Cause,
}

/// What a failure proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// The library said no, panicked, or wrote what it cannot read: so it does each time.
    Library,
    /// It took too long, or its process died: on another day it may not.
    Resources,
}

impl Unsound {
    pub(super) fn of_library(why: String) -> Self {
        Self { why, cause: Cause::Library }
    }

    pub(super) fn of_resources(why: impl Into<String>) -> Self {
        Self { why: why.into(), cause: Cause::Resources }
    }
}
