//! Changes that were appended and wait to be handed to the backend, many at a time.

use std::ops::Range;

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash,
    fence::{CheckedChange, Reach},
};
use rejoin_storage::rows::encode_deps;

use super::{Digest, Mark, rows::NewRow};

/// Most changes that wait, and about how many bytes of them, at most; one change alone may be larger.
const MOST: usize = 512;
const MOST_BYTES: usize = 256 * 1024;

/// Rows without an owner of their own: their bytes lie one behind the other.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    rows: Vec<Row>,
    bytes: Vec<u8>,
    encoded: Vec<u8>,
}

#[derive(Debug)]
struct Row {
    position: u64,
    hash: ChangeHash,
    actor: ActorId,
    seq: u64,
    digest: Digest,
    was: Option<ChangeHash>,
    reach: Option<Reach>,
    deps: Range<usize>,
    bytes: Range<usize>,
}

impl Waiting {
    /// Adds a change that ends the log at `end`.
    pub(super) fn add(
        &mut self,
        change: &CheckedChange,
        end: Mark,
        (deps, reach, was): (&[u64], Reach, Option<ChangeHash>),
    ) {
        encode_deps(end.position, deps, &mut self.encoded);
        let deps = self.push(None);
        let bytes = self.push(Some(&change.bytes));
        self.rows.push(Row {
            position: end.position,
            hash: change.hash,
            actor: change.actor.clone(),
            seq: change.seq,
            digest: end.digest,
            was,
            reach: Some(reach).filter(|reach| *reach != Reach::plain(change.start_op, change.operations)),
            deps,
            bytes,
        });
    }

    /// Adds these bytes, or the dependencies that were encoded last; says where they lie.
    fn push(&mut self, bytes: Option<&[u8]>) -> Range<usize> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes.unwrap_or(&self.encoded));
        start..self.bytes.len()
    }

    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= MOST || self.bytes.len() >= MOST_BYTES
    }

    pub(super) fn rows(&self) -> Vec<NewRow<'_>> {
        let part = |range: &Range<usize>| self.bytes.get(range.clone()).unwrap_or_default();
        let rows = self.rows.iter().map(|row| NewRow {
            position: row.position,
            hash: row.hash,
            actor: &row.actor,
            seq: row.seq,
            deps: part(&row.deps),
            digest: row.digest,
            bytes: part(&row.bytes),
            was: row.was,
            reach: row.reach,
        });
        rows.collect()
    }

    pub(super) fn clear(&mut self) {
        self.rows.clear();
        self.bytes.clear();
    }
}
