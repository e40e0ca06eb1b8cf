//! Reading a pack: its streams, and the changes that they make again.

use std::collections::HashMap;

use sha2::{Digest, Sha256};

use super::{
    PackError, PackLimits,
    column::Bases,
    expect::Expectation,
    layout,
    number::{self, from_difference, unzigzag},
    streams::{Head, Reading, inflate},
};
use crate::{
    ChangeHash,
    fence::{self, ChunkKind, Reader},
};

/// Where a dependency is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dependency {
    /// In the pack: which change, from 0; always one before its own.
    Inside(u32),
    /// Before the pack: which of [`Unpacked::outside`].
    Outside(u32),
}

/// What was in a pack.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unpacked {
    /// The plain chunks, one after another.
    bytes: Vec<u8>,
    /// Where each of them ends.
    ends: Vec<u32>,
    hashes: Vec<ChangeHash>,
    dependencies: Vec<Dependency>,
    /// Where those of each change end.
    dependencies_end: Vec<u32>,
    outside: Vec<ChangeHash>,
}

impl Unpacked {
    /// How many changes there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// All chunks, one after another.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// All chunks, one after another.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// The plain chunk of one change, from 0.
    pub fn chunk(&self, index: usize) -> Option<&[u8]> {
        slice(&self.bytes, &self.ends, index)
    }

    /// The hashes, computed from the bytes.
    pub fn hashes(&self) -> &[ChangeHash] {
        &self.hashes
    }

    /// The dependencies of one change, in the order in which it names them.
    pub fn dependencies(&self, index: usize) -> Option<&[Dependency]> {
        slice(&self.dependencies, &self.dependencies_end, index)
    }

    /// Dependencies that are not in the pack.
    pub fn outside(&self) -> &[ChangeHash] {
        &self.outside
    }

    /// About how much memory it takes, in bytes.
    pub fn weight(&self) -> usize {
        let each = size_of::<ChangeHash>() + 2 * size_of::<u32>();
        self.bytes.len() + self.len() * each + self.dependencies.len() * 8 + self.outside.len() * 32
    }
}

fn slice<'a, T>(all: &'a [T], ends: &[u32], index: usize) -> Option<&'a [T]> {
    let start = index.checked_sub(1).map_or(Some(&0), |before| ends.get(before))?;
    all.get(*start as usize..*ends.get(index)? as usize)
}

/// What a pack says that it comes to. [`unpack`] holds it to that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    /// Changes.
    pub changes: u64,
    /// Bytes of plain chunks.
    pub bytes: u64,
}

/// Reads what a pack says that it comes to, and nothing else of it.
///
/// # Errors
/// [`PackError::Malformed`] for what does not begin like a pack.
pub fn claim(pack: &[u8]) -> Result<Claim, PackError> {
    let head = Head::read(&mut Reader::new(pack))?;
    Ok(Claim { changes: head.changes, bytes: head.plain })
}

/// Brings the changes of a pack back, byte for byte. Each is hashed again, and the pack's digest of the hashes is
/// compared. They are as little to be trusted as any others: the fence comes after.
///
/// # Errors
/// [`PackError::TooLarge`] before the memory for it is given; [`PackError::Malformed`] for what is no whole pack.
pub fn unpack(pack: &[u8], limits: &PackLimits) -> Result<Unpacked, PackError> {
    let (head, streams) = inflate(pack, limits)?;
    let mut unpacking = Unpacking {
        streams: Reading::new(&streams),
        expected: Expectation::default(),
        outside: Vec::new(),
        inside: None,
        whole: Unpacked::default(),
        limit: u32::try_from(head.plain).unwrap_or(u32::MAX) as usize,
        body: Vec::new(),
    };
    for _ in 0..head.changes {
        unpacking.next()?;
    }
    unpacking.finish(head)
}

struct Unpacking<'a> {
    streams: Reading<'a>,
    expected: Expectation,
    /// Of each place among those outside in the pack, the place in `whole.outside`.
    outside: Vec<u32>,
    /// Which change has which hash; made when a whole body is met.
    inside: Option<HashMap<ChangeHash, u32>>,
    whole: Unpacked,
    limit: usize,
    body: Vec<u8>,
}

impl<'a> Unpacking<'a> {
    fn next(&mut self) -> Result<(), PackError> {
        self.body.clear();
        match self.streams.entry(layout::METADATA, 1)? {
            None => self.next_whole()?,
            Some((_, metadata)) => self.next_parts(metadata)?,
        }
        let hash = fence::hash(ChunkKind::Change, &self.body);
        self.room(fence::plain_size(&self.body))?;
        self.whole.bytes.extend_from_slice(&fence::plain_chunk(&self.body, &hash));
        if let Some(inside) = &mut self.inside {
            inside.insert(hash, self.whole.hashes.len() as u32);
        }
        self.whole.hashes.push(hash);
        self.whole.ends.push(self.whole.bytes.len() as u32);
        self.whole.dependencies_end.push(self.whole.dependencies.len() as u32);
        Ok(())
    }

    /// An error where so many bytes more are above what the pack says.
    fn room(&self, more: usize) -> Result<(), PackError> {
        if self.whole.bytes.len().saturating_add(more) > self.limit {
            return Err(PackError::malformed("its changes come to more bytes than it says"));
        }
        Ok(())
    }

    fn next_whole(&mut self) -> Result<(), PackError> {
        let body = self.streams.bytes(layout::WHOLE)?;
        self.room(body.len())?;
        self.body.extend_from_slice(body);
        self.expected.note_whole();
        let hashes = &self.whole.hashes;
        let known = || hashes.iter().zip(0_u32..).map(|(hash, index)| (*hash, index)).collect();
        let inside = self.inside.get_or_insert_with(known);
        // A body that not even begins like a change has none; the fence refuses it.
        for hash in fence::dependencies_of(body).unwrap_or_default() {
            let dependency = match inside.get(&hash) {
                Some(index) => Dependency::Inside(*index),
                None => Dependency::Outside(place_outside(&mut self.whole.outside, hash)),
            };
            self.whole.dependencies.push(dependency);
        }
        Ok(())
    }

    fn next_parts(&mut self, metadata: &[u8]) -> Result<(), PackError> {
        let (_, message) = self.entry(layout::MESSAGE)?;
        let (_, others) = self.entry(layout::OTHERS)?;
        let (_, tail) = self.entry(layout::TAIL)?;
        let (actor, actor_bytes) = self.entry(layout::ACTOR)?;
        self.room(metadata.len() + message.len() + others.len() + tail.len() + actor_bytes.len())?;
        let first = self.whole.dependencies.len();
        self.next_dependencies()?;
        let inside = self.whole.dependencies.iter().skip(first).filter_map(|dependency| match dependency {
            Dependency::Inside(index) => Some(*index as usize),
            Dependency::Outside(_) => None,
        });
        let start = from_difference(self.streams.number(layout::START)?, self.expected.start(inside));
        let seq = from_difference(self.streams.number(layout::SEQUENCE)?, self.expected.sequence(actor));
        let time = self.expected.time().wrapping_add(unzigzag(self.streams.number(layout::TIME)?));
        write_text(&mut self.body, actor_bytes);
        number::write(&mut self.body, seq);
        number::write(&mut self.body, start);
        number::write_signed(&mut self.body, time);
        write_text(&mut self.body, message);
        self.body.extend_from_slice(others);
        self.body.extend_from_slice(metadata);
        let operations = self.next_columns(metadata, start)?;
        self.body.extend_from_slice(tail);
        self.expected.note(actor, seq, time, start.wrapping_add(operations));
        Ok(())
    }

    /// Reads the dependencies, and writes them at the body's beginning.
    fn next_dependencies(&mut self) -> Result<(), PackError> {
        let count = self.streams.number(layout::DEPENDENCIES)?;
        let bytes = usize::try_from(count).unwrap_or(usize::MAX).saturating_mul(32);
        self.room(bytes)?;
        number::write(&mut self.body, count);
        for _ in 0..count {
            let (dependency, hash) = self.next_dependency()?;
            self.body.extend_from_slice(&hash.0);
            self.whole.dependencies.push(dependency);
        }
        Ok(())
    }

    fn next_dependency(&mut self) -> Result<(Dependency, ChangeHash), PackError> {
        let written = self.streams.number(layout::DEPENDENCY)?;
        let gone = || PackError::malformed("a dependency is not there");
        let number = usize::try_from(written / 2).map_err(|_| gone())?;
        if written % 2 == 0 {
            let index = self.whole.hashes.len().checked_sub(number.saturating_add(1)).ok_or_else(gone)?;
            let hash = self.whole.hashes.get(index).ok_or_else(gone)?;
            return Ok((Dependency::Inside(index as u32), *hash));
        }
        if number == self.outside.len() {
            let bytes = self.streams.stream(layout::OUTSIDE)?.take(32, "a dependency")?;
            let hash = ChangeHash(bytes.try_into().map_err(|_| gone())?);
            self.outside.push(place_outside(&mut self.whole.outside, hash));
        }
        let place = *self.outside.get(number).ok_or_else(gone)?;
        let hash = self.whole.outside.get(place as usize).ok_or_else(gone)?;
        Ok((Dependency::Outside(place), *hash))
    }

    /// Appends the columns, and gives the number of operations that they hold.
    fn next_columns(&mut self, metadata: &[u8], start: u64) -> Result<u64, PackError> {
        let mut bases = Bases::new(start);
        let mut operations = None;
        let mut reader = Reader::new(metadata);
        let mut entries = fence::Entries::begin(&mut reader)?;
        while let Some((spec, length)) = entries.next(&mut reader)? {
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let at = self.body.len();
            self.room(at.saturating_add(length))?;
            let stream = self.streams.stream(layout::COLUMN.saturating_add(spec))?;
            bases.read(spec, length, stream, &mut self.body)?;
            if spec == fence::ACTION && operations.is_none() {
                operations = Some(fence::count_operations(self.body.get(at..).unwrap_or_default()));
            }
        }
        if !reader.is_empty() {
            return Err(PackError::malformed("bytes follow the metadata of columns"));
        }
        Ok(operations.unwrap_or(0))
    }

    /// An entry of a table whose places begin at 0.
    fn entry(&mut self, table: layout::Table) -> Result<(usize, &'a [u8]), PackError> {
        let entry = self.streams.entry(table, 0)?;
        entry.ok_or_else(|| PackError::malformed("a place in a table is not there"))
    }

    fn finish(mut self, head: Head<'_>) -> Result<Unpacked, PackError> {
        self.streams.finish()?;
        // What was kept free to grow into is given back: a decoded pack may be kept for long.
        self.whole.bytes.shrink_to_fit();
        self.whole.hashes.shrink_to_fit();
        self.whole.dependencies.shrink_to_fit();
        let mut digest = Sha256::new();
        self.whole.hashes.iter().for_each(|hash| digest.update(hash.0));
        let whole = self.whole.bytes.len() as u64 == head.plain;
        if !whole || !digest.finalize().starts_with(head.digest) {
            return Err(PackError::malformed("its changes are not the ones that it was made of"));
        }
        Ok(self.whole)
    }
}

fn place_outside(outside: &mut Vec<ChangeHash>, hash: ChangeHash) -> u32 {
    outside.push(hash);
    (outside.len() - 1) as u32
}

fn write_text(out: &mut Vec<u8>, text: &[u8]) {
    number::write(out, text.len() as u64);
    out.extend_from_slice(text);
}
