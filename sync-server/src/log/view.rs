//! Reading the log.

use std::collections::HashSet;

use automerge::{ActorId, Change};
use rejoin_protocol::{ChangeHash, DocumentId, fence, rewrite::Claim};
use rusqlite::{Connection, OptionalExtension, Row, named_params, types::FromSqlError};

use super::{Digest, LogError, Mark, PackCache};

/// Bits of a row's key that hold the position; the document's are above them.
pub(super) const POSITION_BITS: u32 = 40;
/// Bits of a position within its stretch, and the highest stretch that a key has room for.
const STRETCH_BITS: u32 = 14;
const LAST_STRETCH: u64 = (1 << 10) - 1;
/// The highest position.
pub(super) const LAST_POSITION: u64 = (1 << POSITION_BITS) - 1;

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

/// Reading, with one state of the database where the caller holds a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'c> {
    pub(super) connection: &'c Connection,
    pub(super) packs: &'c PackCache,
}

impl<'c> View<'c> {
    pub(super) fn new(connection: &'c Connection, packs: &'c PackCache) -> Self {
        Self { connection, packs }
    }

    pub(crate) fn document(&self, id: &DocumentId) -> Result<Option<Document>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL
             FROM document WHERE uuid = :uuid",
        )?;
        let row = statement.query_row(named_params! { ":uuid": id.as_bytes() }, read_document);
        Ok(row.optional()?)
    }

    /// The end of a log.
    pub(crate) fn end_of(&self, document: i64) -> Result<Mark, LogError> {
        let mut statement =
            self.connection.prepare_cached("SELECT last, digest FROM document WHERE id = :id")?;
        Ok(statement.query_row(named_params! { ":id": document }, |row| {
            Ok(Mark { position: unsigned(row, 0)?, digest: Digest(row.get(1)?) })
        })?)
    }

    /// The digest of the log at `position`.
    pub(crate) fn digest_at(&self, document: i64, position: u64) -> Result<Option<Digest>, LogError> {
        let mut statement = self.connection.prepare_cached("SELECT digest FROM change WHERE id = :id")?;
        let row = statement
            .query_row(named_params! { ":id": row_key(document, position) }, |row| row.get(0).map(Digest));
        match row.optional()? {
            None => self.packed_digest_at(document, position),
            found => Ok(found),
        }
    }

    /// The mark at a position that the log has.
    pub(crate) fn mark_at(&self, document: i64, end: Mark, position: u64) -> Result<Mark, LogError> {
        if position == 0 || position == end.position {
            return Ok(if position == 0 { Mark::default() } else { end });
        }
        let digest = self.digest_at(document, position)?.ok_or_else(|| hole(position))?;
        Ok(Mark { position, digest })
    }

    /// Where the change with this hash is, in a log that ends at `end`.
    pub(crate) fn locate(&self, document: i64, end: u64, hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        let mut statement =
            self.connection.prepare_cached("SELECT id, hash FROM change WHERE lookup = :lookup")?;
        let packed = self.packed(document)?;
        // What is asked for is most often new.
        for stretch in (stretch_of(packed + 1)..=stretch_of(end)).rev() {
            let mut rows =
                statement.query(named_params! { ":lookup": key_in_stretch(document, stretch, hash) })?;
            while let Some(row) = rows.next()? {
                if row.get_ref(1)?.as_blob().map_err(corrupt_type)? == hash.0 {
                    return Ok(Some(position_of(row.get(0)?)));
                }
            }
        }
        if packed == 0 { Ok(None) } else { self.locate_packed(document, hash) }
    }

    /// The change whose `was` is this hash.
    pub(crate) fn rewritten_as(
        &self,
        document: i64,
        was: &ChangeHash,
    ) -> Result<Option<ChangeHash>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT hash FROM change WHERE was = :was AND id BETWEEN :first AND :last LIMIT 1",
        )?;
        let found = statement.query_row(
            named_params! {
                ":was": was.0,
                ":first": row_key(document, 1),
                ":last": row_key(document, LAST_POSITION),
            },
            |row| row.get(0).map(ChangeHash),
        );
        match found.optional()? {
            None => self.packed_rewritten_as(document, was),
            found => Ok(found),
        }
    }

    fn packed_rewritten_as(&self, document: i64, was: &ChangeHash) -> Result<Option<ChangeHash>, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT hash FROM rewritten WHERE document = :document AND was = :was LIMIT 1")?;
        let found = statement.query_row(named_params! { ":document": document, ":was": was.0 }, |row| {
            row.get(0).map(ChangeHash)
        });
        Ok(found.optional()?)
    }

    /// The claim of a change, where it was proved when it was appended.
    pub(crate) fn proved_claim(
        &self,
        document: i64,
        (position, hash): (u64, &ChangeHash),
    ) -> Result<Option<Claim>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM change WHERE id = :id AND was IS NOT NULL)
                 OR EXISTS (SELECT 1 FROM rewritten WHERE document = :document AND hash = :hash)",
        )?;
        let id = row_key(document, position);
        let params = named_params! { ":id": id, ":document": document, ":hash": hash.0 };
        if !statement.query_row(params, |row| row.get::<_, bool>(0))? {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        self.for_each(document, (position - 1, position), |_, found| {
            bytes.extend_from_slice(found);
            false
        })?;
        let change = Change::try_from(bytes.as_slice());
        let change = change.map_err(|_| LogError::Damaged(format!("change {hash} cannot be read")))?;
        Ok(Claim::of_proved(&change))
    }

    /// The dependencies of the changes at positions `first` to `last`, which no pack holds, as they are stored.
    pub(super) fn encoded_deps(
        &self,
        document: i64,
        (first, last): (u64, u64),
    ) -> Result<Vec<Box<[u8]>>, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT deps FROM change WHERE id BETWEEN :first AND :last ORDER BY id")?;
        let (first, last) = (row_key(document, first), row_key(document, last));
        let rows = statement.query_map(named_params! { ":first": first, ":last": last }, |row| {
            Ok(Box::from(row.get_ref(0)?.as_blob()?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The row key of an actor, and what came last of it.
    pub(crate) fn actor(
        &self,
        document: i64,
        actor: &ActorId,
    ) -> Result<Option<(i64, fence::Last)>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, seq, position FROM actor WHERE document = :document AND bytes = :bytes",
        )?;
        let row =
            statement.query_row(named_params! { ":document": document, ":bytes": actor.to_bytes() }, |row| {
                let last = fence::Last { seq: unsigned(row, 1)?, position: unsigned(row, 2)? };
                Ok((row.get(0)?, last))
            });
        Ok(row.optional()?)
    }

    /// The heads, in the order of their hashes.
    pub(crate) fn heads(&self, document: i64) -> Result<Vec<ChangeHash>, LogError> {
        let mut statement =
            self.connection.prepare_cached("SELECT hash FROM head WHERE id BETWEEN :first AND :last")?;
        let heads = statement.query_map(
            named_params! { ":first": row_key(document, 1), ":last": row_key(document, LAST_POSITION) },
            |row| row.get(0).map(ChangeHash),
        )?;
        let mut heads = heads.collect::<Result<Vec<_>, _>>()?;
        heads.sort_unstable();
        Ok(heads)
    }

    /// How many heads there are.
    pub(crate) fn count_heads(&self, document: i64) -> Result<u64, LogError> {
        let sql = "SELECT count(*) FROM head WHERE id BETWEEN :first AND :last";
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row(named_params! { ":first": first, ":last": last }, |row| unsigned(row, 0))?)
    }

    /// The positions of the heads.
    pub(super) fn head_positions(&self, document: i64) -> Result<HashSet<u64>, LogError> {
        let sql = "SELECT id FROM head WHERE id BETWEEN :first AND :last";
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        let mut statement = self.connection.prepare_cached(sql)?;
        let heads = statement
            .query_map(named_params! { ":first": first, ":last": last }, |row| row.get(0).map(position_of))?;
        Ok(heads.collect::<Result<_, _>>()?)
    }

    /// Begins a part of a transaction that can be undone alone.
    pub(crate) fn begin_part(&self) -> Result<Part<'c>, LogError> {
        self.connection.prepare_cached("SAVEPOINT part")?.execute([])?;
        Ok(Part(self.connection))
    }

    /// The changes after `after` and up to `upto`, without those at the positions `skip` (ascending).
    pub(crate) fn page(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        skip: &[u64],
        limit: PageLimit,
    ) -> Result<Page, LogError> {
        let mut skip = skip.iter().copied().peekable();
        let mut page = Page { bytes: Vec::new(), covered: upto.max(after) };
        let mut taken = 0;
        self.for_each(document, (after, upto), |position, bytes| {
            while skip.next_if(|next| *next < position).is_some() {}
            if skip.next_if_eq(&position).is_some() {
                return true;
            }
            let full = taken > 0 && page.bytes.len() + bytes.len() > limit.bytes;
            if full || taken == limit.changes {
                page.covered = position - 1;
                return false;
            }
            page.bytes.extend_from_slice(bytes);
            taken += 1;
            true
        })?;
        Ok(page)
    }

    /// Gives out position and plain bytes of the changes after `after` and up to `upto`, until `take` says `false`.
    pub(crate) fn for_each(
        &self,
        document: i64,
        (mut after, upto): (u64, u64),
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        while after < upto
            && let Some(pack) = self.pack_at(document, after + 1)?
        {
            while after < upto
                && let Some(chunk) = pack.chunk(after + 1)
            {
                after += 1;
                if !take(after, chunk) {
                    return Ok(());
                }
            }
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, bytes FROM change WHERE id > :after AND id <= :upto ORDER BY id")?;
        let mut rows = statement
            .query(named_params! { ":after": row_key(document, after), ":upto": row_key(document, upto) })?;
        while let Some(row) = rows.next()? {
            if !take(position_of(row.get(0)?), row.get_ref(1)?.as_blob().map_err(corrupt_type)?) {
                break;
            }
        }
        Ok(())
    }
}

/// A part of a transaction. One that is dropped goes on with the transaction, as it stands.
#[must_use]
pub(crate) struct Part<'c>(&'c Connection);

impl Part<'_> {
    pub(crate) fn keep(self) -> Result<(), LogError> {
        self.0.prepare_cached("RELEASE part")?.execute([])?;
        Ok(())
    }

    pub(crate) fn undo(self) -> Result<(), LogError> {
        self.0.prepare_cached("ROLLBACK TO part")?.execute([])?;
        self.keep()
    }
}

pub(super) fn read_document(row: &Row<'_>) -> rusqlite::Result<Document> {
    Ok(Document {
        key: row.get(0)?,
        uuid: DocumentId::from_bytes(row.get(1)?),
        end: Mark { position: unsigned(row, 2)?, digest: Digest(row.get(3)?) },
        rewritten: unsigned(row, 4)?,
        bytes: unsigned(row, 5)?,
        deleted: row.get(6)?,
    })
}

/// A column that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number as SQLite holds it. Ours stay far below 2^63: a larger one is no number that was ever stored.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// The key of a row in a document's log.
pub(super) fn row_key(document: i64, position: u64) -> i64 {
    (document << POSITION_BITS) | signed(position.min(LAST_POSITION))
}

/// The position in a row's key.
pub(super) fn position_of(key: i64) -> u64 {
    key.cast_unsigned() & LAST_POSITION
}

/// What a change is looked for by: the document, the stretch of the log that it is in, and the first 30 bits of
/// its hash. Hashes fall anywhere in an index. With the stretch before them the newest lie together: a push reads
/// and writes the pages of one stretch, however long the log is, and a look at a log of a million changes tries
/// 62 stretches, some microseconds each.
pub(super) fn lookup_key(document: i64, position: u64, hash: &ChangeHash) -> i64 {
    key_in_stretch(document, stretch_of(position), hash)
}

fn key_in_stretch(document: i64, stretch: u64, hash: &ChangeHash) -> i64 {
    let prefix = hash.0.iter().take(4).fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) >> 2;
    row_key(document, (stretch << 30) | prefix)
}

/// The stretch of a log that a position is in: 16,384 positions each, and the last has no end.
fn stretch_of(position: u64) -> u64 {
    (position >> STRETCH_BITS).min(LAST_STRETCH)
}

/// Writes dependencies as differences from the own position, LEB128.
pub(super) fn encode_deps(position: u64, deps: &[u64], out: &mut Vec<u8>) {
    out.clear();
    for dep in deps {
        let mut back = position.saturating_sub(*dep);
        while back >= 0x80 {
            out.push((back & 0x7f) as u8 | 0x80);
            back >>= 7;
        }
        out.push(back as u8);
    }
}

/// Reads them; `None` where they are no such list.
pub(super) fn decode_deps(position: u64, bytes: &[u8]) -> Option<Vec<u64>> {
    let mut deps = Vec::with_capacity(bytes.len());
    let (mut back, mut shift) = (0_u64, 0_u32);
    for byte in bytes {
        if shift > 42 {
            return None;
        }
        back |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            deps.push(position.checked_sub(back).filter(|dep| *dep >= 1 && *dep < position)?);
            (back, shift) = (0, 0);
        }
    }
    (shift == 0).then_some(deps)
}

pub(super) fn hole(position: u64) -> LogError {
    LogError::Damaged(format!("the row at position {position} of a log is missing or cannot be read"))
}

pub(super) fn corrupt_type(error: FromSqlError) -> LogError {
    LogError::Damaged(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_come_back_as_they_were_written() {
        let mut bytes = Vec::new();
        for deps in [vec![], vec![1], vec![999_999, 1, 500_000, 999_872, 999_873]] {
            encode_deps(1_000_000, &deps, &mut bytes);
            assert_eq!(decode_deps(1_000_000, &bytes), Some(deps));
        }
        assert_eq!(decode_deps(5, &[0x80]), None, "cut");
        assert_eq!(decode_deps(5, &[0]), None, "its own position");
        assert_eq!(decode_deps(5, &[5]), None, "before the beginning");
    }

    #[test]
    fn changes_of_one_stretch_lie_together_whatever_their_hashes() {
        let (low, high) = (ChangeHash([0; 32]), ChangeHash([0xff; 32]));
        let stretch = 1 << STRETCH_BITS;
        assert!(lookup_key(1, stretch - 1, &high) < lookup_key(1, stretch, &low));
        assert!(lookup_key(1, LAST_POSITION, &high) < lookup_key(2, 1, &low));
        assert_eq!(lookup_key(1, stretch, &high), lookup_key(1, 2 * stretch - 1, &high));
    }

    #[test]
    fn a_change_is_found_in_whatever_stretch_of_the_log_it_is() {
        let log = super::super::LogStore::open_in_memory().unwrap();
        let view = log.view();
        let no_checks = "PRAGMA foreign_keys = OFF";
        view.connection.execute_batch(no_checks).unwrap();
        let end = 100_000;
        let hash = |position: u64| ChangeHash([(position % 251) as u8; 32]);
        let positions = [1, 16_383, 16_384, 50_000, end];
        for position in positions {
            let sql = "INSERT INTO change (id, hash, lookup, actor, seq, deps, digest, bytes)
                       VALUES (:id, :hash, :lookup, 1, 1, x'', x'', x'')";
            let (id, lookup) = (row_key(1, position), lookup_key(1, position, &hash(position)));
            let values = named_params! { ":id": id, ":hash": hash(position).0, ":lookup": lookup };
            view.connection.execute(sql, values).unwrap();
        }
        for position in positions {
            assert_eq!(view.locate(1, end, &hash(position)).unwrap(), Some(position));
            assert_eq!(view.locate(2, end, &hash(position)).unwrap(), None, "another document's");
        }
        assert_eq!(view.locate(1, end, &ChangeHash([0xee; 32])).unwrap(), None);
    }

    #[test]
    fn a_key_holds_the_document_and_the_position() {
        assert_eq!(position_of(row_key(8_388_607, LAST_POSITION)), LAST_POSITION);
        assert!(row_key(8_388_607, LAST_POSITION) > 0);
        assert!(row_key(1, LAST_POSITION) < row_key(2, 1));
    }
}
