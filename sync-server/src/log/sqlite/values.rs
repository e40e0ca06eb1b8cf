//! Values as SQLite holds them.

use rejoin_protocol::ChangeHash;
use rejoin_storage::rows::row_key;
use rusqlite::{Row, types::FromSqlError};

use crate::log::LogError;

/// Bits of a position within its stretch, and the highest stretch that a key has room for.
pub(super) const STRETCH_BITS: u32 = 14;
const LAST_STRETCH: u64 = (1 << 10) - 1;

/// Finds rows by their key in a stretch.
pub(super) const FIND: &str = "SELECT id, hash FROM change WHERE lookup = :lookup";

/// A column that is never negative.
pub(super) fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|_| rusqlite::Error::IntegralValueOutOfRange(column, value))
}

/// A number as SQLite holds it. Ours stay far below 2^63: a larger one is no number that was ever stored.
pub(super) fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// A column of bytes, where they lie.
pub(super) fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<&'r [u8], LogError> {
    row.get_ref(column)?.as_blob().map_err(corrupt_type)
}

pub(super) fn corrupt_type(error: FromSqlError) -> LogError {
    LogError::Damaged(error.to_string())
}

/// What a change is looked for by: the document, the stretch of the log that it is in, and the first 30 bits of
/// its hash. Hashes fall anywhere in an index. With the stretch before them the newest lie together: a push reads
/// and writes the pages of one stretch, however long the log is, and a look at a log of a million changes tries
/// 62 stretches, some microseconds each.
pub(super) fn lookup_key(document: i64, position: u64, hash: &ChangeHash) -> i64 {
    key_in_stretch(document, stretch_of(position), hash)
}

pub(super) fn key_in_stretch(document: i64, stretch: u64, hash: &ChangeHash) -> i64 {
    let prefix = hash.0.iter().take(4).fold(0, |sum, byte| (sum << 8) | u64::from(*byte)) >> 2;
    row_key(document, (stretch << 30) | prefix)
}

/// The stretch of a log that a position is in: 16,384 positions each, and the last has no end.
pub(super) fn stretch_of(position: u64) -> u64 {
    (position >> STRETCH_BITS).min(LAST_STRETCH)
}

#[cfg(test)]
mod tests {
    use rejoin_storage::rows::LAST_POSITION;
    use rusqlite::named_params;

    use super::*;
    use crate::log::{LogStore, backend::Rows};

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
        let log = LogStore::open_in_memory().unwrap();
        let view = log.rows();
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
            assert_eq!(view.find(1, (0, end), &hash(position)).unwrap(), Some(position));
            assert_eq!(view.find(2, (0, end), &hash(position)).unwrap(), None, "another document's");
        }
        assert_eq!(view.find(1, (0, end), &ChangeHash([0xee; 32])).unwrap(), None);
    }
}
