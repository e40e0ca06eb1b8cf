//! What one release of the library could not take, another may: quarantined changes are tried again once after an
//! upgrade.

use rusqlite::named_params;

use super::{
    Core,
    core::Writing,
    fork,
    open::{get_meta, set_meta},
    replica::{Held, Index},
    rows,
};
use crate::{
    DocumentId, Error, Result,
    fence::{Last, Limits, Placement, WalkBudget, check_bytes, place},
};

/// Who has tried.
const LIBRARY: &str = concat!(env!("CARGO_PKG_VERSION"), " on Automerge 0.12.0, verification 2");
/// Where that is noted.
const KEY: &str = "library";

impl Core {
    /// Tries what another release quarantined. A document where that fails stays as it is: nothing is lost, and
    /// opening the store does not depend on it.
    pub(super) fn retry_quarantined(&mut self) -> Result<()> {
        if get_meta(&self.connection, KEY)?.as_deref() == Some(LIBRARY) {
            return Ok(());
        }
        for id in self.documents_with_quarantined()? {
            if let Err(error) = self.write(&[id], |w| w.retry_quarantined(id)) {
                tracing::warn!(document = %id, %error, "what is quarantined could not be tried again");
            }
        }
        Ok(set_meta(&self.connection, KEY, LIBRARY)?)
    }

    fn documents_with_quarantined(&self) -> Result<Vec<DocumentId>> {
        let sql = "SELECT uuid FROM document WHERE id IN (SELECT id >> 40 FROM change WHERE quarantined IS NOT NULL)";
        let mut statement = self.connection.prepare(sql)?;
        let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(ids.collect::<rusqlite::Result<Vec<_>>>()?.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

impl Writing<'_> {
    /// Lets in what the fence has nothing against, in its order; what the library cannot take goes out again.
    fn retry_quarantined(&mut self, id: DocumentId) -> Result<()> {
        let row = rows::read_document(self.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
        let mut index = Index::read_live(self.tx, row.id)?;
        let mut admitted = 0_u64;
        for change in rows::read_changes(self.tx, row.id, 0)? {
            if !change.stands() || change.quarantined.is_none() {
                continue;
            }
            let bytes = rows::read_bytes(self.tx, change.id)?;
            let Ok(checked) = check_bytes(&bytes, &Limits::default()) else { continue };
            let mut held = Held { connection: self.tx, document: row.id, index: &index };
            let placed = place(&checked, &mut held, &mut WalkBudget::default())?;
            if let Placement::New { .. } = placed {
                let sql = "UPDATE change SET quarantined = NULL WHERE id = :id";
                self.tx.prepare_cached(sql)?.execute(named_params! {":id": change.id})?;
                index.positions.insert(checked.hash, change.position());
                index.lasts.insert(checked.actor, Last { seq: checked.seq, position: change.position() });
                admitted += 1;
            }
        }
        if admitted == 0 {
            return Ok(());
        }
        self.replicas.forget(id);
        self.prove_whole(id)?;
        let out = fork::leave_out_hostile(self.tx, row.id)?;
        fork::settle(self, id)?;
        let found = self.expel_poison(id)?;
        tracing::info!(document = %id, tried = admitted, out = out as u64 + found, "quarantined changes were tried again");
        Ok(())
    }
}
