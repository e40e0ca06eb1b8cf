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
    quarantine::Reason,
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
            if let Err(error) = self.write(&[id], |w| w.retry_quarantined(id, false)) {
                tracing::warn!(document = %id, %error, "what is quarantined could not be tried again");
            }
        }
        Ok(set_meta(&self.connection, KEY, LIBRARY)?)
    }

    /// Tries again what was only held, because a search for what does harm had to stop. Each turn finds some of it.
    /// Whether the next would get further.
    ///
    /// # Errors
    /// The file's.
    pub(crate) fn retry_held(&mut self, id: DocumentId) -> Result<bool> {
        let before = self.count_held(id)?;
        if before == 0 {
            return Ok(false);
        }
        self.write(&[id], |w| w.retry_quarantined(id, true))?;
        let after = self.count_held(id)?;
        tracing::info!(document = %id, before, after, "what was held was tried again");
        Ok((1..before).contains(&after))
    }

    fn count_held(&self, id: DocumentId) -> Result<u64> {
        let sql =
            "SELECT count(*) FROM change WHERE quarantined LIKE :held || '%' AND id BETWEEN :from AND :to";
        let Some(row) = rows::read_document(&self.connection, id)? else { return Ok(0) };
        let (from, to) = rows::id_range(row.id);
        let params = named_params! {":held": Reason::HELD, ":from": from, ":to": to};
        let count: i64 = self.connection.prepare_cached(sql)?.query_row(params, |r| r.get(0))?;
        Ok(count.max(0) as u64)
    }

    fn documents_with_quarantined(&self) -> Result<Vec<DocumentId>> {
        let sql = "SELECT uuid FROM document WHERE id IN (SELECT id >> 40 FROM change WHERE quarantined IS NOT NULL)";
        let mut statement = self.connection.prepare(sql)?;
        let ids = statement.query_map([], |row| row.get::<_, String>(0))?;
        Ok(ids.collect::<rusqlite::Result<Vec<_>>>()?.iter().filter_map(|id| id.parse().ok()).collect())
    }
}

impl Writing<'_> {
    /// Lets in what the fence has nothing against, in its order; what the library cannot take goes out again. Where only
    /// what was held is tried, what depends on it comes with it.
    fn retry_quarantined(&mut self, id: DocumentId, held_only: bool) -> Result<()> {
        let row = rows::read_document(self.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
        let mut index = Index::read_live(self.tx, row.id)?;
        let (mut admitted, mut first) = (0_u64, u64::MAX);
        let waits = |why: &Reason| !held_only || !matches!(why, Reason::Refused(_));
        for change in rows::read_changes(self.tx, row.id, 0)? {
            if !change.stands() || !change.quarantined.as_ref().is_some_and(waits) {
                continue;
            }
            let bytes = rows::read_bytes(self.tx, change.id)?;
            let Ok(checked) = check_bytes(&bytes, &Limits::default()) else { continue };
            let mut held = Held { connection: self.tx, document: row.id, index: &index };
            let placed = place(&checked, &mut held, &mut WalkBudget::default())?;
            if let Placement::New { .. } = placed {
                let sql = "UPDATE change SET quarantined = NULL WHERE id = :id";
                self.tx.prepare_cached(sql)?.execute(named_params! {":id": change.id})?;
                let sql = "UPDATE pending SET state = 'waiting', last_error = NULL WHERE id = :id AND state = 'parked'";
                self.tx.prepare_cached(sql)?.execute(named_params! {":id": change.id})?;
                index.positions.insert(checked.hash, change.position());
                index.lasts.insert(checked.actor, Last { seq: checked.seq, position: change.position() });
                first = first.min(change.position());
                admitted += 1;
            }
        }
        if admitted == 0 {
            return Ok(());
        }
        self.replicas.forget(id);
        self.prove_whole(id, first.saturating_sub(1))?;
        let out = fork::leave_out_hostile(self.tx, row.id)?;
        fork::settle(self, id)?;
        let found = self.expel_poison(id)?;
        tracing::info!(document = %id, tried = admitted, out = out as u64 + found, "quarantined changes were tried again");
        Ok(())
    }
}
