//! Writing a pack.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{
    PackError,
    column::Bases,
    expect::Expectation,
    layout,
    number::{difference, zigzag},
    streams::{Head, Writing},
};
use crate::{
    ChangeHash,
    fence::{self, ChunkKind, Frame, Parts},
};

/// How hard to try to make a pack small.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effort {
    /// For the wire: some microseconds a change.
    Quick,
    /// For the disk.
    Thorough,
}

impl Effort {
    const fn level(self) -> i32 {
        match self {
            Self::Quick => 3,
            Self::Thorough => 19,
        }
    }
}

/// Packs a plain sequence of change chunks (type 1, good checksums), dependencies first where they are among them.
///
/// # Errors
/// [`PackError::NotPlain`] where it is something else, in part or whole.
pub fn pack(body: &[u8], effort: Effort) -> Result<Vec<u8>, PackError> {
    let frames = fence::frame(body).map_err(|_| PackError::NotPlain(0))?;
    let mut packing = Packing::default();
    for (index, frame) in frames.iter().enumerate() {
        let hash = plain_hash(frame).ok_or(PackError::NotPlain(index + 1))?;
        packing.add(frame.body, hash);
    }
    let digest = packing.digest.finalize();
    let digest = digest.get(..16).unwrap_or_default();
    let head = Head { changes: frames.len() as u64, plain: body.len() as u64, digest };
    Ok(packing.streams.finish(head, effort.level()))
}

/// The hash of a chunk that is exactly what is made of its body again.
fn plain_hash(frame: &Frame<'_>) -> Option<ChangeHash> {
    if frame.kind != ChunkKind::Change || frame.bytes.len() != fence::plain_size(frame.body) {
        return None;
    }
    let hash = fence::hash(ChunkKind::Change, frame.body);
    hash.0.starts_with(frame.checksum).then_some(hash)
}

#[derive(Debug, Default)]
struct Packing<'a> {
    streams: Writing<'a>,
    expected: Expectation,
    inside: HashMap<ChangeHash, usize>,
    outside: HashMap<ChangeHash, u64>,
    digest: Sha256,
    /// What columns become, kept for its room.
    columns: Vec<(u32, Vec<u8>)>,
}

impl<'a> Packing<'a> {
    fn add(&mut self, body: &'a [u8], hash: ChangeHash) {
        match fence::dissect(body) {
            Ok(parts) if self.write_columns(&parts).is_some() => self.add_parts(parts),
            _ => {
                self.streams.number(layout::METADATA.places, 0);
                self.streams.bytes(layout::WHOLE, body);
                self.expected.note_whole();
            }
        }
        self.digest.update(hash.0);
        self.inside.insert(hash, self.expected.changes() - 1);
    }

    /// Brings the columns into their form, into `columns`. `None`: one of them cannot be brought there.
    fn write_columns(&mut self, parts: &Parts<'a>) -> Option<()> {
        let mut bases = Bases::new(parts.start_op);
        self.columns.resize_with(parts.columns.len(), Default::default);
        for (column, (spec, data)) in self.columns.iter_mut().zip(&parts.columns) {
            if *spec >= layout::KINDS {
                return None;
            }
            column.0 = *spec;
            column.1.clear();
            bases.write(*spec, data, &mut column.1)?;
        }
        Some(())
    }

    fn add_parts(&mut self, parts: Parts<'a>) {
        self.streams.place(layout::METADATA, parts.metadata, 1);
        self.streams.place(layout::MESSAGE, parts.message, 0);
        self.streams.place(layout::OTHERS, parts.others, 0);
        self.streams.place(layout::TAIL, parts.tail, 0);
        let actor = self.streams.place(layout::ACTOR, parts.actor, 0);
        let actor = usize::try_from(actor).unwrap_or(usize::MAX);
        self.add_dependencies(&parts.deps);
        let inside = parts.deps.iter().filter_map(|hash| self.inside.get(hash)).copied();
        let start = self.expected.start(inside);
        self.streams.number(layout::START, difference(parts.start_op, start));
        self.streams.number(layout::SEQUENCE, difference(parts.seq, self.expected.sequence(actor)));
        self.streams.number(layout::TIME, zigzag(parts.time.wrapping_sub(self.expected.time())));
        for (spec, data) in &self.columns {
            self.streams.stream(layout::COLUMN.saturating_add(*spec)).extend_from_slice(data);
        }
        self.expected.note(actor, parts.seq, parts.time, parts.start_op.wrapping_add(parts.operations));
    }

    fn add_dependencies(&mut self, deps: &[ChangeHash]) {
        self.streams.number(layout::DEPENDENCIES, deps.len() as u64);
        let here = self.expected.changes();
        for hash in deps {
            let written = match self.inside.get(hash) {
                Some(index) => (here - index - 1) as u64 * 2,
                None => self.place_outside(hash) * 2 + 1,
            };
            self.streams.number(layout::DEPENDENCY, written);
        }
    }

    fn place_outside(&mut self, hash: &ChangeHash) -> u64 {
        let next = self.outside.len() as u64;
        let place = *self.outside.entry(*hash).or_insert(next);
        if place == next {
            self.streams.stream(layout::OUTSIDE).extend_from_slice(&hash.0);
        }
        place
    }
}
