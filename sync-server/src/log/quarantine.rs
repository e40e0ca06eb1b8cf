//! What verification has found, at rest.

use std::collections::BTreeMap;

use rejoin_protocol::{DocumentId, quarantine::Reason};
use rusqlite::{OptionalExtension, named_params};

use super::{
    LogError, Quarantined, View,
    snapshot::MAKER,
    view::{LAST_POSITION, POSITION_BITS, position_of, row_key, signed, unsigned},
};

impl View<'_> {
    /// The changes that this release leaves out of merged documents, with why. What another release left out is
    /// tried again.
    pub(crate) fn quarantined(&self, document: i64) -> Result<BTreeMap<u64, Reason>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, reason FROM quarantine WHERE id BETWEEN :first AND :last AND maker = :maker",
        )?;
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        let rows = statement
            .query_map(named_params! { ":first": first, ":last": last, ":maker": MAKER }, |row| {
                Ok((position_of(row.get(0)?), Reason::from(row.get::<_, String>(1)?)))
            })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// How much this release leaves out, of all documents.
    pub(crate) fn count_quarantined(&self) -> Result<Quarantined, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT count(*), count(DISTINCT id >> :shift) FROM quarantine WHERE maker = :maker",
        )?;
        let row = named_params! { ":shift": POSITION_BITS, ":maker": MAKER };
        Ok(statement.query_row(row, |row| {
            Ok(Quarantined { changes: unsigned(row, 0)?, documents: unsigned(row, 1)? })
        })?)
    }

    /// Up to where this release has verified a log.
    pub(crate) fn verified(&self, document: i64) -> Result<Option<u64>, LogError> {
        let sql = "SELECT position FROM verified WHERE document = :document AND maker = :maker";
        let mut statement = self.connection.prepare_cached(sql)?;
        let row = statement
            .query_row(named_params! { ":document": document, ":maker": MAKER }, |row| unsigned(row, 0));
        Ok(row.optional()?)
    }

    /// The next document, in the order of their keys, whose log this release has not verified to its end.
    pub(crate) fn next_unverified(&self, after: i64) -> Result<Option<(i64, DocumentId)>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT document.id, uuid FROM document LEFT JOIN verified ON verified.document = document.id
             WHERE document.id > :after AND deleted_at IS NULL
               AND (verified.document IS NULL OR verified.position < last OR maker <> :maker)
             ORDER BY document.id LIMIT 1",
        )?;
        let row = statement.query_row(named_params! { ":after": after, ":maker": MAKER }, |row| {
            Ok((row.get(0)?, DocumentId::from_bytes(row.get(1)?)))
        });
        Ok(row.optional()?)
    }

    /// Forgets what verification found of a document that goes.
    pub(super) fn forget_found(&self, document: i64) -> Result<(), LogError> {
        let (first, last) = (row_key(document, 1), row_key(document, LAST_POSITION));
        self.connection
            .prepare_cached("DELETE FROM quarantine WHERE id BETWEEN :first AND :last")?
            .execute(named_params! { ":first": first, ":last": last })?;
        let mut statement =
            self.connection.prepare_cached("DELETE FROM verified WHERE document = :document")?;
        statement.execute(named_params! { ":document": document })?;
        Ok(())
    }

    /// Keeps what verification found, in the place of what it found before. `verified` is up to where it came to an
    /// end; where it did not, what stands is only added to. Nothing is done where the document was deleted meanwhile.
    pub(crate) fn store_found(
        &self,
        document: i64,
        verified: Option<u64>,
        left_out: &BTreeMap<u64, Reason>,
        now: i64,
    ) -> Result<(), LogError> {
        let sql = "SELECT last, uuid FROM document WHERE id = :document AND deleted_at IS NULL";
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_row(named_params! { ":document": document }, |row| {
            Ok((unsigned(row, 0)?, DocumentId::from_bytes(row.get(1)?)))
        });
        let Some((end, uuid)) = found.optional()? else { return Ok(()) };
        if let Some(position) = verified {
            self.store_verified(document, position.min(end))?;
            self.release(document, position.min(end), left_out)?;
        }
        let known = self.quarantined(document)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT OR REPLACE INTO quarantine (id, reason, found_at, maker) VALUES (:id, :reason, :now, :maker)",
        )?;
        // There may be many, and each time most are known.
        let new = || left_out.iter().filter(|(at, why)| **at <= end && known.get(at) != Some(*why));
        for (position, reason) in new() {
            let id = row_key(document, *position);
            insert.execute(
                named_params! { ":id": id, ":reason": reason.to_string(), ":now": now, ":maker": MAKER },
            )?;
        }
        if let Some((position, why)) = new().next() {
            let changes = new().count();
            tracing::warn!(document = %uuid, changes, position, %why, "changes are quarantined, this one first");
        }
        Ok(())
    }

    fn store_verified(&self, document: i64, position: u64) -> Result<(), LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO verified (document, position, maker) VALUES (:document, :position, :maker)
                 ON CONFLICT (document) DO UPDATE SET position = excluded.position, maker = excluded.maker",
            )?
            .execute(named_params! {
                ":document": document, ":position": signed(position), ":maker": MAKER,
            })?;
        Ok(())
    }

    /// What is not left out any more, up to there, and what another release left out.
    fn release(&self, document: i64, upto: u64, left_out: &BTreeMap<u64, Reason>) -> Result<(), LogError> {
        let (first, last) = (row_key(document, 1), row_key(document, upto));
        self.connection
            .prepare_cached("DELETE FROM quarantine WHERE id BETWEEN :first AND :last AND maker <> :maker")?
            .execute(named_params! { ":first": first, ":last": last, ":maker": MAKER })?;
        let mut delete = self.connection.prepare_cached("DELETE FROM quarantine WHERE id = :id")?;
        let known = self.quarantined(document)?;
        for position in known.keys().filter(|at| **at <= upto && !left_out.contains_key(at)) {
            delete.execute(named_params! { ":id": row_key(document, *position) })?;
        }
        Ok(())
    }
}
