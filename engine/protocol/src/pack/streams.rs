//! The streams of a pack: many small files in one, each compressed by itself.

use std::collections::{BTreeMap, HashMap};

use super::{
    PackError, PackLimits,
    layout::{COLUMN, KINDS, MAGIC, Table},
    number,
};
use crate::fence::Reader;

/// Streams as they are written.
#[derive(Debug, Default)]
pub(super) struct Writing<'a> {
    streams: BTreeMap<u32, Vec<u8>>,
    tables: HashMap<u32, HashMap<&'a [u8], u64>>,
}

impl<'a> Writing<'a> {
    pub(super) fn stream(&mut self, id: u32) -> &mut Vec<u8> {
        self.streams.entry(id).or_default()
    }

    pub(super) fn number(&mut self, id: u32, value: u64) {
        number::write(self.stream(id), value);
    }

    pub(super) fn bytes(&mut self, id: u32, bytes: &[u8]) {
        let stream = self.stream(id);
        number::write(stream, bytes.len() as u64);
        stream.extend_from_slice(bytes);
    }

    /// Writes the place of `entry` in its table, made there where it is new, and gives it. Places count from `first`.
    pub(super) fn place(&mut self, table: Table, entry: &'a [u8], first: u64) -> u64 {
        let places = self.tables.entry(table.places).or_default();
        let next = places.len() as u64;
        let place = *places.entry(entry).or_insert(next);
        if place == next {
            self.bytes(table.entries, entry);
        }
        self.number(table.places, place + first);
        place
    }

    /// The pack.
    pub(super) fn finish(self, head: Head<'_>, level: i32) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        number::write(&mut out, head.changes);
        number::write(&mut out, head.plain);
        out.extend_from_slice(head.digest);
        number::write(&mut out, self.streams.len() as u64);
        let mut compressors = Compressors::new(level);
        for (id, plain) in self.streams {
            let small = compressors.compress(&plain).filter(|small| small.len() < plain.len());
            number::write(&mut out, u64::from(id));
            number::write(&mut out, plain.len() as u64);
            number::write(&mut out, small.as_ref().map_or(0, |small| small.len() as u64));
            out.extend_from_slice(small.as_ref().unwrap_or(&plain));
        }
        out
    }
}

/// Streams below this size stand as they are: a frame alone has a dozen bytes.
const SMALL: usize = 24;
/// Above this size the most thorough levels take tens of megabytes.
const LARGE: usize = 256 * 1024;
/// The level that large streams get at most.
const LARGE_LEVEL: i32 = 9;

/// Each is made when it is first needed. Without one a stream stands as it is.
struct Compressors {
    levels: [i32; 2],
    made: [Option<zstd::bulk::Compressor<'static>>; 2],
}

impl Compressors {
    fn new(level: i32) -> Self {
        Self { levels: [level, level.min(LARGE_LEVEL)], made: [None, None] }
    }

    fn compress(&mut self, plain: &[u8]) -> Option<Vec<u8>> {
        if plain.len() < SMALL {
            return None;
        }
        let which = usize::from(plain.len() > LARGE);
        let (level, made) = (self.levels.get(which)?, self.made.get_mut(which)?);
        if made.is_none() {
            *made = zstd::bulk::Compressor::new(*level).ok();
        }
        made.as_mut()?.compress(plain).ok()
    }
}

/// What stands at the head of a pack.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head<'a> {
    pub(super) changes: u64,
    /// Bytes of the plain chunks.
    pub(super) plain: u64,
    pub(super) digest: &'a [u8],
}

impl<'a> Head<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, PackError> {
        if reader.take(MAGIC.len() as u64, "the magic")? != MAGIC {
            return Err(PackError::malformed("it does not begin like a pack of version 1"));
        }
        let changes = reader.number("the number of changes")?;
        let plain = reader.number("the number of bytes")?;
        Ok(Self { changes, plain, digest: reader.take(16, "the digest")? })
    }
}

/// The streams of a pack, inflated: under the limit, whatever they claim.
pub(super) fn inflate<'a>(
    pack: &'a [u8],
    limits: &PackLimits,
) -> Result<(Head<'a>, BTreeMap<u32, Vec<u8>>), PackError> {
    let mut reader = Reader::new(pack);
    let head = Head::read(&mut reader)?;
    if head.changes > limits.changes as u64 {
        return Err(PackError::TooLarge { what: "changes", limit: limits.changes });
    }
    if head.plain > limits.bytes as u64 {
        return Err(PackError::TooLarge { what: "bytes", limit: limits.bytes });
    }
    let mut streams = BTreeMap::new();
    let mut decompressor =
        zstd::bulk::Decompressor::new().map_err(|error| PackError::malformed(error.to_string()))?;
    let (mut before, mut room) = (None, limits.bytes);
    for _ in 0..reader.number("the number of streams")? {
        let id = reader.number("a stream's id")?;
        let id = u32::try_from(id).ok().filter(|id| *id < COLUMN + KINDS);
        let id = id.ok_or_else(|| PackError::malformed("a stream of a kind that is not known"))?;
        if before.replace(id).is_some_and(|before| before >= id) {
            return Err(PackError::malformed("the streams are out of order"));
        }
        let plain = usize::try_from(reader.number("a stream's length")?).ok();
        let left = plain.and_then(|plain| room.checked_sub(plain));
        let (Some(plain), Some(left)) = (plain, left) else {
            return Err(PackError::TooLarge { what: "bytes", limit: limits.bytes });
        };
        room = left;
        let stream = match reader.number("a stream's length")? {
            0 => reader.take(plain as u64, "a stream")?.to_vec(),
            packed => inflate_one(&mut decompressor, reader.take(packed, "a stream")?, plain)?,
        };
        streams.insert(id, stream);
    }
    if !reader.is_empty() {
        return Err(PackError::malformed("bytes follow the last stream"));
    }
    Ok((head, streams))
}

fn inflate_one(
    decompressor: &mut zstd::bulk::Decompressor<'_>,
    packed: &[u8],
    plain: usize,
) -> Result<Vec<u8>, PackError> {
    let stream = decompressor.decompress(packed, plain);
    let stream =
        stream.map_err(|error| PackError::malformed(format!("a stream cannot be inflated: {error}")))?;
    if stream.len() != plain {
        return Err(PackError::malformed("a stream is shorter than it says"));
    }
    Ok(stream)
}

/// Streams as they are read.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    streams: BTreeMap<u32, Reader<'a>>,
    tables: HashMap<u32, Vec<&'a [u8]>>,
}

impl<'a> Reading<'a> {
    pub(super) fn new(streams: &'a BTreeMap<u32, Vec<u8>>) -> Self {
        let streams = streams.iter().map(|(id, bytes)| (*id, Reader::new(bytes))).collect();
        Self { streams, tables: HashMap::new() }
    }

    pub(super) fn stream(&mut self, id: u32) -> Result<&mut Reader<'a>, PackError> {
        let stream = self.streams.get_mut(&id);
        stream.ok_or_else(|| PackError::malformed(format!("the stream {id} is missing")))
    }

    pub(super) fn number(&mut self, id: u32) -> Result<u64, PackError> {
        Ok(self.stream(id)?.number("a number in a stream")?)
    }

    pub(super) fn bytes(&mut self, id: u32) -> Result<&'a [u8], PackError> {
        let stream = self.stream(id)?;
        let length = stream.number("a length in a stream")?;
        Ok(stream.take(length, "what stands in a stream")?)
    }

    /// The place that comes next in the stream of places, less `first`, and the entry there. `None`: it is below.
    pub(super) fn entry(&mut self, table: Table, first: u64) -> Result<Option<(usize, &'a [u8])>, PackError> {
        let Some(place) = self.number(table.places)?.checked_sub(first) else { return Ok(None) };
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let known = self.tables.get(&table.places).map_or(0, Vec::len);
        if place == known {
            let entry = self.bytes(table.entries)?;
            self.tables.entry(table.places).or_default().push(entry);
        }
        let entry = self.tables.get(&table.places).and_then(|entries| entries.get(place));
        let entry = entry.ok_or_else(|| PackError::malformed("a place in a table is not there"))?;
        Ok(Some((place, entry)))
    }

    /// An error where something was not read.
    pub(super) fn finish(&self) -> Result<(), PackError> {
        if self.streams.values().all(Reader::is_empty) {
            return Ok(());
        }
        Err(PackError::malformed("a stream is longer than the changes need"))
    }
}
