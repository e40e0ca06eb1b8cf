//! Reading: state, history, differences.

use automerge::ChangeHash;
use rusqlite::named_params;
use serde_json::Value;

use super::{Core, Difference, HistoryEntry, pushers::pusher_name, replica::Replica, rows};
use crate::{DocumentId, Error, Result, state, untrusted::guarded};

/// The shortest prefix of a hash that names a change, in hex digits.
const SHORTEST_HASH_PREFIX: usize = 4;

impl Core {
    /// The document, open and up to date.
    pub(super) fn replica(&mut self, id: DocumentId) -> Result<&mut Replica> {
        self.replicas.begin();
        self.replicas.get(&self.connection, id, &self.actor)
    }

    /// The state at a JSON Pointer as JSON, now or at the given heads. Text reads as a string, a counter as a
    /// number.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere, [`Error::UnknownChange`] for a head that is not
    /// held.
    pub fn state(&mut self, id: DocumentId, pointer: &str, at: Option<&[ChangeHash]>) -> Result<Value> {
        let replica = self.replica(id)?;
        // Unknown heads are no errors in the library.
        check_heads(replica, at.unwrap_or_default())?;
        // Of some documents that were accepted the library cannot read all.
        Ok(guarded(|| state::to_json(&replica.am, pointer, at)).map_err(Error::Corrupt)??)
    }

    /// How many actors wrote in a document.
    pub(crate) fn count_actors(&mut self, id: DocumentId) -> Result<u64> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        replica.build_index(&self.connection)?;
        Ok(replica.index.as_ref().map_or(0, |index| index.lasts.len() as u64))
    }

    /// Whether the changes of a document have more plain bytes than this. Where the whole file has not, nothing is read.
    pub(crate) fn exceeds(&mut self, id: DocumentId, bytes: u64) -> Result<bool> {
        let file = "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size";
        let file: i64 = self.connection.prepare_cached(file)?.query_row([], |r| r.get(0))?;
        if u64::try_from(file).is_ok_and(|file| file <= bytes) {
            return Ok(false);
        }
        let (from, to) = rows::id_range(self.document_row(id)?.id);
        let sum = "SELECT coalesce(sum(length(bytes)), 0) FROM change WHERE id BETWEEN :from AND :to";
        let params = named_params! {":from": from, ":to": to};
        let sum: i64 = self.connection.prepare_cached(sum)?.query_row(params, |r| r.get(0))?;
        Ok(u64::try_from(sum).unwrap_or_default() > bytes)
    }

    /// The history, oldest first: all of it, or the newest so many.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn history(&mut self, id: DocumentId, newest: Option<usize>) -> Result<Vec<HistoryEntry>> {
        let document = self.document_row(id)?.id;
        let rows = match newest {
            Some(count) => rows::read_newest(&self.connection, document, count)?,
            None => rows::read_changes(&self.connection, document, 0)?,
        };
        let shown: Vec<_> = rows.into_iter().filter(|row| !row.container).collect();
        let first = rows::count_shown(&self.connection, document)?.saturating_sub(shown.len() as u64);
        let numbered = shown.into_iter().zip(first + 1..);
        numbered.map(|(row, position)| self.history_entry(document, position, row)).collect()
    }

    fn history_entry(&self, document: i64, shown_at: u64, row: rows::ChangeRow) -> Result<HistoryEntry> {
        let mut deps = Vec::with_capacity(row.deps.len());
        for position in &row.deps {
            deps.extend(rows::read_hash(&self.connection, rows::row_id(document, *position))?);
        }
        Ok(HistoryEntry {
            position: shown_at,
            hash: row.hash,
            deps,
            actor: row.actor,
            author: row.author,
            action_type: row.action_type,
            made_at: row.made_at,
            local: row.local,
            own_actor: row.own_actor,
            pushed_by: pusher_name(&self.connection, row.pusher)?,
            acknowledged_at: row.acknowledged_at,
            replaced_by: row.replaced_by,
            quarantined: row.quarantined.map(|reason| reason.to_string()),
        })
    }

    /// What differs between the state at `from` and that at `to` (now, when `None`), as places whose values
    /// differ: the smallest that say it all.
    ///
    /// # Errors
    /// [`Error::UnknownChange`] for a head that is not held.
    pub fn diff(
        &mut self,
        id: DocumentId,
        from: &[ChangeHash],
        to: Option<&[ChangeHash]>,
    ) -> Result<Vec<Difference>> {
        let before = self.state(id, "", Some(from))?;
        let after = self.state(id, "", to)?;
        Ok(Difference::between(&before, &after))
    }

    /// The change of this document whose hash begins with `prefix` (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownChange`] when none or several do.
    pub fn resolve_hash(&mut self, id: DocumentId, prefix: &str) -> Result<ChangeHash> {
        let unknown = || Error::UnknownChange(prefix.to_owned());
        let document = self.document_row(id)?.id;
        let wanted = prefix.to_ascii_lowercase();
        if wanted.is_empty() || !wanted.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(unknown());
        }
        if wanted.len() < SHORTEST_HASH_PREFIX {
            return Err(Error::ShortHash(prefix.to_owned()));
        }
        let hashes = rows::find_hashes(&self.connection, document, &wanted)?;
        match hashes.as_slice() {
            [hash] => Ok(*hash),
            [] => Err(unknown()),
            _ => Err(Error::AmbiguousChange(prefix.to_owned())),
        }
    }
}

pub(super) fn check_heads(replica: &Replica, heads: &[ChangeHash]) -> Result<()> {
    for head in heads {
        if replica.am.get_change_meta_by_hash(head).is_none() {
            return Err(Error::UnknownChange(head.to_string()));
        }
    }
    Ok(())
}
