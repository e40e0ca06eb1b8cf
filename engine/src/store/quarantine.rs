//! What was left out, for a person to see: which changes, why, and whose they say they are.

use automerge::ChangeHash;
use rusqlite::named_params;

use super::{Core, QuarantinedChange, pushers::pusher_name, rows};
use crate::{DocumentId, Error, Result};

impl Core {
    /// The changes that are quarantined, in the order in which they came: of one document, or of all that are not
    /// deleted.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn quarantined(&mut self, id: Option<DocumentId>) -> Result<Vec<QuarantinedChange>> {
        let document = id.map(|id| self.document_row(id).map(|row| row.id)).transpose()?;
        // The index is named: of a long document few changes are quarantined.
        let sql = "SELECT d.uuid, c.hash, c.quarantined, c.action_type, c.author, c.made_at, c.pusher, a.own,
                          c.acknowledged_at, c.quarantine_seen, c.local
                     FROM change c INDEXED BY change_quarantined
                     JOIN actor a ON a.id = c.actor JOIN document d ON d.id = c.id >> 40
                    WHERE c.quarantined IS NOT NULL AND (d.id = :document OR (:document IS NULL AND d.tombstone IS NULL))
                    ORDER BY c.id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut found = statement.query(named_params! {":document": document})?;
        let mut changes = Vec::new();
        while let Some(row) = found.next()? {
            let uuid: String = row.get(0)?;
            changes.push(QuarantinedChange {
                document: uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")))?,
                change_hash: ChangeHash(row.get(1)?),
                why: row.get(2)?,
                action_type: row.get(3)?,
                author: row.get(4)?,
                made_at: row.get(5)?,
                pushed_by: pusher_name(&self.connection, row.get(6)?)?,
                own_actor: row.get(7)?,
                arrived_at: row.get(8)?,
                seen_at: row.get(9)?,
                local: row.get(10)?,
            });
        }
        Ok(changes)
    }

    /// Notes that a person has seen that these changes of a document are left out: from now on they are no reason to
    /// call one. Returns of how many that was new.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn note_quarantine_seen(&mut self, id: DocumentId, changes: &[ChangeHash]) -> Result<u64> {
        let (from, to) = rows::id_range(self.document_row(id)?.id);
        self.write(&[], |w| {
            let sql =
                "UPDATE change SET quarantine_seen = :now WHERE id BETWEEN :from AND :to AND hash = :hash
                          AND quarantined IS NOT NULL AND quarantine_seen IS NULL";
            let mut statement = w.tx.prepare_cached(sql)?;
            let mut noted = 0;
            for hash in changes {
                let params = named_params! {":now": w.now, ":from": from, ":to": to, ":hash": hash.0};
                noted += statement.execute(params)? as u64;
            }
            Ok(noted)
        })
    }
}
