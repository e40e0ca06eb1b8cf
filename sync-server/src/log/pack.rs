//! Packs: the part of a log that is read from them.

use std::sync::Arc;

use rejoin_protocol::{
    ChangeHash,
    pack::{Dependency, PackLimits, Unpacked, unpack},
};
use rejoin_storage::rows::decode_deps;

use super::{Digest, LogError, backend::Rows, pack_cache::PackIndex, view::hole};

/// A pack's streams may come to more than its changes: a little, where many stand whole.
const ROOM: usize = 1024 * 1024;

/// A decoded pack with its place in a log.
#[derive(Debug)]
pub(super) struct Pack {
    pub(super) row: PackRow,
    pub(super) unpacked: Unpacked,
    /// Positions of [`Unpacked::outside`].
    outside: Vec<u64>,
}

impl Pack {
    /// What memory it takes, about.
    pub(super) fn weight(&self) -> usize {
        self.unpacked.weight() + 8 * self.outside.len() + 256
    }

    pub(super) fn holds(&self, position: u64) -> bool {
        (self.row.first..=self.row.last).contains(&position)
    }

    fn index(&self, position: u64) -> Option<usize> {
        usize::try_from(position.checked_sub(self.row.first)?).ok()
    }

    pub(super) fn chunk(&self, position: u64) -> Option<&[u8]> {
        self.unpacked.chunk(self.index(position)?)
    }

    pub(super) fn hash(&self, position: u64) -> Option<&ChangeHash> {
        self.unpacked.hashes().get(self.index(position)?)
    }

    /// Where the change with this hash is.
    pub(super) fn locate(&self, hash: &ChangeHash) -> Option<u64> {
        let index = self.unpacked.hashes().iter().position(|held| held == hash)?;
        Some(self.row.first + index as u64)
    }

    /// The running digest after the change at `position`.
    pub(super) fn digest_at(&self, position: u64) -> Option<Digest> {
        let hashes = self.unpacked.hashes().get(..=self.index(position)?)?;
        Some(hashes.iter().fold(self.row.before, |digest, hash| digest.then_change(hash)))
    }

    /// The positions of the dependencies of the change at `position`.
    pub(super) fn dependencies(&self, position: u64) -> Option<Vec<u64>> {
        let dependencies = self.unpacked.dependencies(self.index(position)?)?.iter();
        let place = |dependency: &Dependency| match dependency {
            Dependency::Inside(index) => Some(self.row.first + u64::from(*index)),
            Dependency::Outside(place) => self.outside.get(*place as usize).copied(),
        };
        dependencies.map(place).collect()
    }
}

/// What a stored pack of so many plain bytes may come to.
pub(super) fn stored_pack_limits(plain: u64) -> PackLimits {
    let plain = usize::try_from(plain).unwrap_or(usize::MAX);
    PackLimits { changes: usize::MAX, bytes: plain.saturating_mul(2).saturating_add(ROOM) }
}

/// What tells one state of a document's packs from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackRow {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// The running digest before its first change.
    pub(crate) before: Digest,
    /// The running digest after its last change.
    pub(crate) digest: Digest,
    /// The sum of the plain bytes.
    pub(crate) plain: u64,
}

/// Which packs of a document are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Packs {
    All,
    Newest,
    /// The first that ends at this position or after it.
    EndingFrom(u64),
}

/// A part of a pack at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PackPart {
    /// The positions of what its changes depend on before it.
    Outside,
    /// The sorted beginnings of its hashes.
    Prefixes,
    /// The pack itself.
    Bytes,
}

/// A pack that was made and verified, to take the place of its rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Packed {
    pub(crate) document: i64,
    /// The newest pack as it was: the rows after it are those that go.
    pub(super) newest: Option<PackRow>,
    /// Whether that one becomes part of the new one.
    pub(super) replaces: bool,
    pub(crate) row: PackRow,
    pub(crate) outside: Vec<u8>,
    pub(crate) prefixes: Vec<u8>,
    pub(crate) bytes: Vec<u8>,
}

impl Packed {
    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.prefixes.len()
    }

    /// After which position its changes are in rows.
    pub(crate) fn rows_after(&self) -> u64 {
        self.newest.map_or(0, |newest| newest.last)
    }

    /// Where the pack ends that goes for it.
    pub(crate) fn replaced(&self) -> Option<u64> {
        self.newest.filter(|_| self.replaces).map(|newest| newest.last)
    }
}

/// The part of a log that is read from packs.
pub(super) trait PackView: Rows {
    /// Every position up to this one is in a pack, and none after it.
    fn packed(&self, document: i64) -> Result<u64, LogError> {
        Ok(self.last_pack(document)?.map_or(0, |row| row.last))
    }

    /// The newest pack of a document.
    fn last_pack(&self, document: i64) -> Result<Option<PackRow>, LogError> {
        Ok(self.packs(document, Packs::Newest)?.pop())
    }

    /// The pack that holds `position`. `None`: none does.
    fn pack_at(&self, document: i64, position: u64) -> Result<Option<Arc<Pack>>, LogError> {
        self.pack_row_at(document, position)?.map(|row| self.pack(document, row)).transpose()
    }

    /// The running digest after the change at a position that is in a pack. At a pack's end, where most is asked for
    /// it, nothing is decoded.
    fn packed_digest_at(&self, document: i64, position: u64) -> Result<Option<Digest>, LogError> {
        match self.pack_row_at(document, position)? {
            Some(row) if row.last == position => Ok(Some(row.digest)),
            Some(row) => Ok(self.pack(document, row)?.digest_at(position)),
            None => Ok(None),
        }
    }

    /// The row of the pack that holds `position`; nothing is decoded.
    fn pack_row_at(&self, document: i64, position: u64) -> Result<Option<PackRow>, LogError> {
        let row = self.packs(document, Packs::EndingFrom(position))?.pop();
        Ok(row.filter(|row| row.first <= position))
    }

    /// A pack, by way of the cache.
    fn pack(&self, document: i64, row: PackRow) -> Result<Arc<Pack>, LogError> {
        let key = (document, row.last, row.digest);
        if let Some(pack) = self.cache().pack(&key).filter(|pack| pack.row == row) {
            return Ok(pack);
        }
        let pack = Arc::new(self.read_pack(document, row)?);
        self.cache().put_pack(key, &pack);
        Ok(pack)
    }

    /// Reads and decodes a pack, and proves it by the digests in its row.
    fn read_pack(&self, document: i64, row: PackRow) -> Result<Pack, LogError> {
        let damaged = |why: String| {
            LogError::Damaged(format!("the pack of positions {} to {} {why}", row.first, row.last))
        };
        let part = |part| {
            let found = self.pack_part(document, row.last, part)?;
            found.ok_or_else(|| damaged("is missing".to_owned()))
        };
        let limits = stored_pack_limits(row.plain);
        let unpacked = unpack(&part(PackPart::Bytes)?, &limits)
            .map_err(|error| damaged(format!("cannot be read: {error}")))?;
        let outside = decode_deps(row.first, &part(PackPart::Outside)?)
            .filter(|outside| outside.len() == unpacked.outside().len())
            .ok_or_else(|| damaged("does not say what it depends on".to_owned()))?;
        let pack = Pack { row, unpacked, outside };
        let whole = (row.last + 1).checked_sub(row.first) == Some(pack.unpacked.len() as u64);
        if !whole
            || pack.unpacked.bytes().len() as u64 != row.plain
            || pack.digest_at(row.last) != Some(row.digest)
        {
            return Err(damaged("holds other changes than its row says".to_owned()));
        }
        Ok(pack)
    }

    /// Where the packs hold the change with this hash.
    fn locate_packed(&self, document: i64, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        let Some(newest) = self.last_pack(document)? else { return Ok(None) };
        let index = self.pack_index(document, newest)?;
        let wanted = prefix(hash);
        // What is asked for is most often new.
        for (row, prefixes) in index.0.iter().rev() {
            if prefixes.binary_search(&wanted).is_ok()
                && let Some(position) = self.pack(document, *row)?.locate(hash)
            {
                return Ok(Some(position));
            }
        }
        Ok(None)
    }

    fn pack_index(&self, document: i64, newest: PackRow) -> Result<Arc<PackIndex>, LogError> {
        let known = self.cache().index(document);
        if let Some(index) =
            known.as_ref().filter(|index| index.0.last().is_some_and(|(row, _)| *row == newest))
        {
            return Ok(Arc::clone(index));
        }
        let mut packs = Vec::new();
        for row in self.packs(document, Packs::All)? {
            let same = known.iter().flat_map(|index| &index.0).find(|(held, _)| *held == row);
            let prefixes = match same {
                Some((_, prefixes)) => Arc::clone(prefixes),
                None => self.prefixes(document, row)?,
            };
            packs.push((row, prefixes));
        }
        let index = Arc::new(PackIndex(packs));
        self.cache().put_index(document, &index);
        Ok(index)
    }

    fn prefixes(&self, document: i64, row: PackRow) -> Result<Arc<[u32]>, LogError> {
        let stored =
            self.pack_part(document, row.last, PackPart::Prefixes)?.ok_or_else(|| hole(row.first))?;
        let quads = stored.chunks_exact(4).filter_map(|quad| quad.try_into().ok());
        let prefixes: Arc<[u32]> = quads.map(u32::from_be_bytes).collect();
        if (row.last + 1).checked_sub(row.first) != Some(prefixes.len() as u64) {
            return Err(hole(row.first));
        }
        Ok(prefixes)
    }
}

impl<R: Rows> PackView for R {}

/// The sorted prefixes of hashes, as they are stored.
pub(super) fn encode_prefixes(hashes: &[ChangeHash]) -> Vec<u8> {
    let mut prefixes: Vec<u32> = hashes.iter().map(prefix).collect();
    prefixes.sort_unstable();
    prefixes.into_iter().flat_map(u32::to_be_bytes).collect()
}

fn prefix(hash: &ChangeHash) -> u32 {
    hash.0.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}
