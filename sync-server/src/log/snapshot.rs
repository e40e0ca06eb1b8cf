//! Snapshots at rest.

use rusqlite::{OptionalExtension, named_params};

use super::{
    LogError, View,
    view::{signed, unsigned},
};

/// What tells one release from another: a change that one could not hold, another may.
pub(super) const MAKER: &str = concat!(env!("CARGO_PKG_VERSION"), " on Automerge 0.12.0, verification 2");

/// What is known of a stored snapshot without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredSnapshot {
    /// It covers 1 to this position.
    pub(crate) position: u64,
    /// The first change that this release could not hold in it.
    pub(crate) stop: Option<u64>,
}

impl View<'_> {
    /// Which snapshot is stored, if one is.
    pub(crate) fn stored_snapshot(&self, document: i64) -> Result<Option<StoredSnapshot>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT position, CASE WHEN maker = :maker THEN stop END AS stop FROM snapshot
             WHERE document = :document",
        )?;
        let row = statement.query_row(named_params! { ":document": document, ":maker": MAKER }, |row| {
            let stop: Option<i64> = row.get(1)?;
            Ok(StoredSnapshot { position: unsigned(row, 0)?, stop: stop.map(i64::cast_unsigned) })
        });
        Ok(row.optional()?)
    }

    /// The position and the bytes of the stored snapshot.
    pub(crate) fn snapshot(&self, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        let mut statement = self
            .connection
            .prepare_cached("SELECT position, bytes FROM snapshot WHERE document = :document")?;
        let row = statement
            .query_row(named_params! { ":document": document }, |row| Ok((unsigned(row, 0)?, row.get(1)?)));
        Ok(row.optional()?)
    }

    /// Stores a snapshot that was verified. Nothing is done where one that covers more is there, or where the
    /// document was deleted meanwhile.
    pub(crate) fn store_snapshot(
        &self,
        document: i64,
        snapshot: StoredSnapshot,
        bytes: &[u8],
        now: i64,
    ) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO snapshot (document, position, bytes, made_at, stop, maker)
                 SELECT id, :position, :bytes, :now, :stop, :maker FROM document
                 WHERE id = :document AND deleted_at IS NULL AND last >= :position
                 ON CONFLICT (document) DO UPDATE SET position = excluded.position, bytes = excluded.bytes,
                   made_at = excluded.made_at, stop = excluded.stop, maker = excluded.maker
                 WHERE excluded.position >= snapshot.position",
            )?
            .execute(named_params! {
                ":document": document,
                ":position": signed(snapshot.position),
                ":bytes": bytes,
                ":now": now,
                ":stop": snapshot.stop.map(signed),
                ":maker": MAKER,
            })?;
        Ok(())
    }
}
