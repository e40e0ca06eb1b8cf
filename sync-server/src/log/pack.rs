//! Packs at rest: the part of a log that is read from them.

use std::sync::Arc;

use rejoin_protocol::{
    ChangeHash,
    pack::{Dependency, PackLimits, Unpacked, unpack},
};
use rusqlite::{OptionalExtension, Row, named_params};

use super::{
    Digest, LogError, View,
    pack_cache::{PackIndex, PackRow},
    view::{LAST_POSITION, corrupt_type, decode_deps, hole, position_of, row_key, unsigned},
};

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

fn read_row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        last: position_of(row.get(0)?),
        first: unsigned(row, 1)?,
        before: Digest(row.get(2)?),
        digest: Digest(row.get(3)?),
        plain: unsigned(row, 4)?,
    })
}

impl View<'_> {
    /// Every position up to this one is in a pack, and none after it.
    pub(super) fn packed(&self, document: i64) -> Result<u64, LogError> {
        Ok(self.last_pack(document)?.map_or(0, |row| row.last))
    }

    /// The newest pack of a document.
    pub(super) fn last_pack(&self, document: i64) -> Result<Option<PackRow>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, first, before, digest, plain FROM pack
             WHERE id BETWEEN :first AND :last ORDER BY id DESC LIMIT 1",
        )?;
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        let row = statement.query_row(named_params! { ":first": first, ":last": last }, read_row);
        Ok(row.optional()?)
    }

    /// The packs of a document, oldest first.
    pub(super) fn pack_rows(&self, document: i64) -> Result<Vec<PackRow>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, first, before, digest, plain FROM pack WHERE id BETWEEN :first AND :last ORDER BY id",
        )?;
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        let rows = statement.query_map(named_params! { ":first": first, ":last": last }, read_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The pack that holds `position`. `None`: none does.
    pub(super) fn pack_at(&self, document: i64, position: u64) -> Result<Option<Arc<Pack>>, LogError> {
        self.pack_row_at(document, position)?.map(|row| self.pack(document, row)).transpose()
    }

    /// The running digest after the change at a position that is in a pack. At a pack's end, where most is asked for
    /// it, nothing is decoded.
    pub(super) fn packed_digest_at(&self, document: i64, position: u64) -> Result<Option<Digest>, LogError> {
        match self.pack_row_at(document, position)? {
            Some(row) if row.last == position => Ok(Some(row.digest)),
            Some(row) => Ok(self.pack(document, row)?.digest_at(position)),
            None => Ok(None),
        }
    }

    /// The row of the pack that holds `position`; nothing is decoded.
    pub(super) fn pack_row_at(&self, document: i64, position: u64) -> Result<Option<PackRow>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, first, before, digest, plain FROM pack
             WHERE id BETWEEN :at AND :last ORDER BY id LIMIT 1",
        )?;
        let (at, last) = (row_key(document, position), row_key(document, LAST_POSITION));
        let row = statement.query_row(named_params! { ":at": at, ":last": last }, read_row).optional()?;
        Ok(row.filter(|row| row.first <= position))
    }

    fn pack(&self, document: i64, row: PackRow) -> Result<Arc<Pack>, LogError> {
        let key = (document, row.last, row.digest);
        if let Some(pack) = self.packs.pack(&key).filter(|pack| pack.row == row) {
            return Ok(pack);
        }
        let pack = Arc::new(self.read_pack(document, row)?);
        self.packs.put_pack(key, &pack);
        Ok(pack)
    }

    /// Reads and decodes a pack, and proves it by the digests in its row.
    pub(super) fn read_pack(&self, document: i64, row: PackRow) -> Result<Pack, LogError> {
        let damaged = |why: String| {
            LogError::Damaged(format!("the pack of positions {} to {} {why}", row.first, row.last))
        };
        let mut statement =
            self.connection.prepare_cached("SELECT outside, bytes FROM pack WHERE id = :id")?;
        let mut rows = statement.query(named_params! { ":id": row_key(document, row.last) })?;
        let found = rows.next()?.ok_or_else(|| damaged("is missing".to_owned()))?;
        let limits = stored_pack_limits(row.plain);
        let bytes = found.get_ref(1)?.as_blob().map_err(corrupt_type)?;
        let unpacked = unpack(bytes, &limits).map_err(|error| damaged(format!("cannot be read: {error}")))?;
        let outside = decode_deps(row.first, found.get_ref(0)?.as_blob().map_err(corrupt_type)?)
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
    pub(super) fn locate_packed(&self, document: i64, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
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
        let known = self.packs.index(document);
        if let Some(index) =
            known.as_ref().filter(|index| index.0.last().is_some_and(|(row, _)| *row == newest))
        {
            return Ok(Arc::clone(index));
        }
        let mut packs = Vec::new();
        for row in self.pack_rows(document)? {
            let same = known.iter().flat_map(|index| &index.0).find(|(held, _)| *held == row);
            let prefixes = match same {
                Some((_, prefixes)) => Arc::clone(prefixes),
                None => self.prefixes(document, row)?,
            };
            packs.push((row, prefixes));
        }
        let index = Arc::new(PackIndex(packs));
        self.packs.put_index(document, &index);
        Ok(index)
    }

    pub(super) fn prefixes(&self, document: i64, row: PackRow) -> Result<Arc<[u32]>, LogError> {
        let mut statement = self.connection.prepare_cached("SELECT prefixes FROM pack WHERE id = :id")?;
        let id = row_key(document, row.last);
        let prefixes = statement.query_row(named_params! { ":id": id }, |row| {
            let quads = row.get_ref(0)?.as_blob()?.chunks_exact(4);
            Ok(quads.filter_map(|quad| quad.try_into().ok()).map(u32::from_be_bytes).collect::<Arc<[u32]>>())
        })?;
        if (row.last + 1).checked_sub(row.first) != Some(prefixes.len() as u64) {
            return Err(hole(row.first));
        }
        Ok(prefixes)
    }
}

/// The sorted prefixes of hashes, as they are stored.
pub(super) fn encode_prefixes(hashes: &[ChangeHash]) -> Vec<u8> {
    let mut prefixes: Vec<u32> = hashes.iter().map(prefix).collect();
    prefixes.sort_unstable();
    prefixes.into_iter().flat_map(u32::to_be_bytes).collect()
}

fn prefix(hash: &ChangeHash) -> u32 {
    hash.0.first_chunk().map_or(0, |first| u32::from_be_bytes(*first))
}
