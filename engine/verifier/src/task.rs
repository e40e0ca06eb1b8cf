//! What is to be done with a log, and what it came to.

use std::collections::{BTreeMap, BTreeSet};

use rejoin_protocol::quarantine::Reason;
use serde::{Deserialize, Serialize};

/// How those work who verify.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Terms {
    /// Most bytes of address space of a process that verifies, beside what the program itself has. Where the system
    /// has no such limit (outside Unix), the time of a task alone bounds it.
    pub memory: u64,
    /// Bytes for documents that are kept for the next task, as estimated.
    pub cache: u64,
    /// Nobody waits for it: whoever answers requests goes first.
    pub behind: bool,
}

/// How a merged document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Shape {
    /// Its state, as JSON.
    Json,
    /// A compact file of it, which was loaded again and found equal.
    File,
    /// Not at all.
    Nothing,
}

/// One document to be merged: what a worker is told, in this process or in one of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Names the document among those that are kept.
    pub document: i64,
    /// Which history of it: one that was kept under another number is not gone on with.
    pub epoch: i64,
    /// Up to which position of its log.
    pub upto: u64,
    /// Positions that are not given to the library.
    pub expelled: BTreeSet<u64>,
    /// What is to be written of it.
    pub shape: Shape,
    /// Whether everything that is ever asked of a document is tried with it: it is written as JSON, saved, loaded
    /// again and compared.
    pub examine: bool,
    /// Whether it is kept in memory for the next task.
    pub keep: bool,
    /// How long it may take.
    pub millis: u64,
}

/// What a task came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was merged, and written as asked.
    Written(Merge),
    /// Nothing can be written of these changes together.
    Unsound(Unsound),
    /// It is sound, and nested too deep for JSON, or larger than what is given out.
    TooDeep(String),
}

/// A document that was merged and written.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Merge {
    /// What was written.
    pub bytes: Vec<u8>,
    /// The changes that it leaves out, with why.
    pub left_out: BTreeMap<u64, Reason>,
    /// The most memory that the process had used by then, in bytes; 0 where the system does not say.
    pub peak: u64,
    /// What documents that are kept for the next task take by then, in bytes, as estimated.
    pub cached: u64,
}

/// Why a document cannot be merged and written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unsound {
    /// In words.
    pub why: String,
    /// What that proves.
    pub cause: Cause,
}

/// What a failure proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
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
