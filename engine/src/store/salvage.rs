//! What can still be read of a document in a damaged store.
//!
//! The rows are read one by one, those that cannot be read are passed by, and what stands for itself is taken: a change whose
//! hash is right and that has all that it was made on. A snapshot that loads helps out for rows that do not.

use std::collections::HashSet;

use automerge::{Change, ChangeHash};
use rusqlite::{OptionalExtension, named_params};

use super::{
    Core, Salvaged,
    replica::read_snapshot,
    rows::{self, id_range},
};
use crate::{
    DocumentId, Error, Result, fence,
    untrusted::{apply_untrusted, guarded, parse_untrusted},
};

impl Core {
    /// What can be read of a document, as a compact Automerge file: every change that is whole and has all that it was made
    /// on. For a damaged store; of a sound one it is what [`Core::export`] gives, but for what waits for verification.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; [`Error::Corrupt`] where the list of documents itself cannot be read.
    pub fn salvage(&mut self, id: DocumentId) -> Result<Salvaged> {
        let row = self.document_row(id)?;
        let from_snapshot = read_snapshot(&self.connection, &row).ok().flatten().map(|(am, _)| am);
        let mut document = from_snapshot.unwrap_or_default();
        let mut held: HashSet<ChangeHash> =
            guarded(|| document.get_changes(&[])).map_err(Error::Corrupt)?.iter().map(Change::hash).collect();
        let mut founded = Vec::new();
        for change in self.readable(id_range(row.id)).into_iter().filter_map(|at| self.whole_change(at)) {
            // What lacks something is lacking for all that was made on it.
            if change.deps().iter().all(|dep| held.contains(dep)) && held.insert(change.hash()) {
                founded.push(change);
            }
        }
        apply_untrusted(&mut document, founded, None);
        let held = guarded(|| document.get_changes(&[]).len()).map_err(Error::Corrupt)? as u64;
        let bytes = guarded(|| document.save()).map_err(Error::Corrupt)?;
        Ok(Salvaged { bytes, changes: held, lost: row.changes.saturating_sub(held) })
    }

    /// The rows in a range of which the place can be read, in order.
    fn readable(&self, (from, to): (i64, i64)) -> Vec<i64> {
        let (mut found, mut next) = (Vec::new(), Some(from));
        while let Some(at) = next.filter(|at| *at <= to) {
            next = match self.first_from(at, to) {
                Ok(None) => None,
                Ok(Some(id)) => {
                    found.push(id);
                    Some(id + 1)
                }
                Err(_) => self.behind_damage(at, to),
            };
        }
        found
    }

    fn first_from(&self, at: i64, to: i64) -> rusqlite::Result<Option<i64>> {
        let sql = "SELECT id FROM change WHERE id BETWEEN :at AND :to ORDER BY id LIMIT 1";
        let mut statement = self.connection.prepare_cached(sql)?;
        statement.query_row(named_params! {":at": at, ":to": to}, |row| row.get(0)).optional()
    }

    /// The first place after a damaged one from which rows can be read again: leaps that double, and back by halves.
    fn behind_damage(&self, bad: i64, to: i64) -> Option<i64> {
        let (mut bad, mut leap) = (bad, 1);
        let mut good = loop {
            let at = bad.checked_add(leap).filter(|at| *at <= to)?;
            match self.first_from(at, to) {
                Ok(_) => break at,
                Err(_) => (bad, leap) = (at, leap * 2),
            }
        };
        while good - bad > 1 {
            let middle = bad + (good - bad) / 2;
            if self.first_from(middle, to).is_ok() { good = middle } else { bad = middle }
        }
        Some(good)
    }

    /// The change of a row that is whole and neither quarantined nor written again.
    fn whole_change(&self, id: i64) -> Option<Change> {
        let sql = "SELECT bytes FROM change WHERE id = :id AND quarantined IS NULL AND replaced_by IS NULL";
        let mut statement = self.connection.prepare_cached(sql).ok()?;
        let bytes: Vec<u8> = statement.query_row(named_params! {":id": id}, |row| row.get(0)).ok()?;
        let hash = rows::read_hash(&self.connection, id).ok()??;
        let checked = fence::check_bytes(&bytes, &self.limits).ok().filter(|checked| checked.hash == hash)?;
        parse_untrusted(&checked).ok()
    }
}
