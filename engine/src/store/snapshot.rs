//! Snapshots at the client: a cache from which a document opens faster. The raw rows stay.

use automerge::Automerge;
use rusqlite::{OptionalExtension, named_params};

use super::{Core, core::Writing, rows};
use crate::{
    DocumentId, Error, Result,
    planted::{self, Bug},
    untrusted::{guarded, verify_snapshot},
};

/// So many changes above the last snapshot are read quickly enough.
const WORTH_IT: u64 = 1_000;

impl Core {
    /// Makes a snapshot of each open document that has grown enough since its last: by 1,000 changes and a
    /// quarter. Called when nothing else is to be done, and before the store is closed.
    ///
    /// # Errors
    /// The file's.
    pub fn make_snapshots(&mut self) -> Result<()> {
        if self.is_read_only() {
            return Ok(());
        }
        for id in self.replicas.ids() {
            let Some(replica) = self.replicas.peek(id) else { continue };
            let grown = replica.row.last.saturating_sub(replica.snapshot_at);
            if grown >= WORTH_IT.max(replica.snapshot_at / 4) {
                self.make_snapshot(id)?;
            }
        }
        Ok(())
    }

    /// Makes a snapshot of one document now. Returns the position up to which it goes.
    ///
    /// Invariant 10: it "was loaded again and its heads, its set of changes and its state were found equal";
    /// one that fails this is not kept, and the document goes on being read from its changes.
    ///
    /// # Errors
    /// The file's.
    pub fn make_snapshot(&mut self, id: DocumentId) -> Result<Option<u64>> {
        let mut made = save(&self.replica(id)?.am);
        if made.is_err() && self.expel_poison(id)? {
            made = save(&self.replica(id)?.am);
        }
        let bytes = match made {
            Ok(bytes) => bytes,
            Err(reason) => {
                tracing::warn!(document = %id, reason, "a snapshot does not load as what it was made of; it is not kept");
                let replica = self.replica(id)?;
                replica.snapshot_at = replica.row.last;
                return Ok(None);
            }
        };
        self.replica(id)?.unproven = 0;
        self.write(&[id], |w| w.write_snapshot(id, &bytes)).map(Some)
    }
}

/// The bytes of a snapshot that was verified.
fn save(document: &Automerge) -> std::result::Result<Vec<u8>, String> {
    let bytes = guarded(|| document.save())?;
    verify_snapshot(document, &bytes)?;
    Ok(bytes)
}

impl Writing<'_> {
    /// Keeps verified bytes as the snapshot. It "ends before the first change it cannot hold": changes above
    /// are given to the library again when the document is opened, which costs nothing but time.
    pub(super) fn write_snapshot(&mut self, id: DocumentId, bytes: &[u8]) -> Result<u64> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let row = &replica.row;
        let sql = "SELECT min(id) FROM change WHERE quarantined IS NOT NULL AND id BETWEEN :from AND :to";
        let (from, to) = rows::id_range(row.id);
        let params = named_params! {":from": from, ":to": to};
        let hole: Option<i64> = self.tx.query_row(sql, params, |r| r.get(0)).optional()?.flatten();
        let end = match hole {
            Some(hole) if !planted::is_planted(Bug::SnapshotPastHole) => {
                rows::position_of(hole).saturating_sub(1)
            }
            _ => row.last,
        };
        let sql = "INSERT INTO snapshot (document, position, epoch, bytes) VALUES (:document, :position, :epoch, :bytes)
                   ON CONFLICT (document) DO UPDATE
                   SET position = excluded.position, epoch = excluded.epoch, bytes = excluded.bytes";
        let position = i64::try_from(end).map_err(|_| Error::Bug("a position is too large".to_owned()))?;
        self.tx.execute(
            sql,
            named_params! {
                ":document": row.id, ":position": position, ":epoch": row.epoch, ":bytes": bytes,
            },
        )?;
        replica.snapshot_at = row.last;
        Ok(end)
    }
}
