//! The trash: deleted documents that are kept here for a while, with what was never sent of them.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};
use serde::Serialize;
use serde_json::Value;

use super::{
    Core, Millis,
    core::Writing,
    documents::{find_among, free_name, is_taken, remove_changes, wrong_with},
    heal::Bulk,
    home::has_tombstone,
    open::{get_meta, set_meta},
    rows::{self, DocumentRow, NewPending},
    types::as_hex,
};
use crate::{DocumentId, Error, Result, untrusted::guarded};

const DAY: Millis = 86_400_000;

/// How long, and how much, the trash keeps. A document of which something was never sent is kept whatever they say
/// until somebody looked at it, and its days begin then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct TrashLimits {
    /// At most so many days. Default 90.
    pub days: u32,
    /// At most so many bytes of changes, all documents together; the oldest go first. Default 256 MiB.
    pub bytes: u64,
}

impl Default for TrashLimits {
    fn default() -> Self {
        Self { days: 90, bytes: 256 * 1024 * 1024 }
    }
}

/// A deleted document that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeletedDocument {
    /// Its id.
    pub id: DocumentId,
    /// What it was called here.
    pub name: Option<String>,
    /// Others deleted it. Else this store did.
    pub by_others: bool,
    /// The server that said so, or was told; `None` where none is known to have the tombstone.
    pub server: Option<String>,
    /// A server is still to be told.
    pub owed: bool,
    /// When that was learnt here.
    pub deleted_at: Millis,
    /// How many changes it holds; container changes left out.
    pub changes: u64,
    /// How many of them waited in the queue: made here, and never sent.
    pub unsent: u64,
    /// What its changes take on the disk.
    pub bytes: u64,
    /// When somebody first looked at it; see [`TrashLimits`].
    pub looked_at: Option<Millis>,
    /// Until when it is kept at most; `None` as long as nobody looked at what was never sent.
    pub kept_until: Option<Millis>,
}

impl DeletedDocument {
    /// Others deleted it, and nobody looked at it yet.
    pub fn needs_person(&self) -> bool {
        self.by_others && self.looked_at.is_none()
    }

    /// Others deleted it, something of it was never sent, and nobody looked at it yet.
    fn holds_unseen_work(&self) -> bool {
        self.needs_person() && self.unsent > 0
    }
}

/// A change of a deleted document that was never sent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct UnsentChange {
    /// The change.
    #[serde(serialize_with = "as_hex")]
    pub change_hash: ChangeHash,
    /// The action's type.
    pub action_type: Option<String>,
    /// The action, where it is known.
    pub action: Option<Value>,
    /// When it was enqueued.
    pub enqueued_at: Millis,
}

impl Core {
    /// The documents that were deleted and are kept, oldest deletion first: those that others deleted, and those that
    /// this store did.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn list_deleted(&mut self) -> Result<Vec<DeletedDocument>> {
        let days = self.trash_limits()?.days;
        read_trash(&self.connection, days)
    }

    /// The kept document with this id, unique prefix of one (4 characters or more), `automerge:` URL, or the name that
    /// it had here.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`]; [`Error::Deleted`] for one of which nothing is kept.
    pub fn find_deleted(&mut self, text: &str) -> Result<DocumentId> {
        let kept = self.list_deleted()?;
        let named = kept.iter().map(|d| (d.id, d.name.as_deref()));
        match find_among(text, named) {
            Err(Error::UnknownDocument(_)) => {}
            found => return found,
        }
        match text.parse::<DocumentId>().ok().map(|id| rows::read_document(&self.connection, id)) {
            Some(Ok(Some(row))) if row.tombstone.is_some() => Err(Error::Deleted(row.uuid)),
            Some(Err(error)) => Err(error),
            _ => Err(Error::UnknownDocument(text.to_owned())),
        }
    }

    /// What of a deleted document was never sent, in the order in which it was made.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn unsent(&mut self, id: DocumentId) -> Result<Vec<UnsentChange>> {
        let document = self.document_row(id)?.id;
        let sql = "SELECT c.hash, c.action_type, u.action, u.enqueued_at
                     FROM unsent u CROSS JOIN change c ON c.id = u.id
                    WHERE u.id BETWEEN :from AND :to AND c.container = 0 ORDER BY u.ordinal, u.id";
        let (from, to) = rows::id_range(document);
        let mut statement = self.connection.prepare_cached(sql)?;
        let found = statement.query_map(named_params! {":from": from, ":to": to}, |r| {
            let action: Option<String> = r.get(2)?;
            Ok(UnsentChange {
                change_hash: ChangeHash(r.get(0)?),
                action_type: r.get(1)?,
                action: action.and_then(|text| serde_json::from_str(&text).ok()),
                enqueued_at: r.get(3)?,
            })
        })?;
        Ok(found.collect::<rusqlite::Result<_>>()?)
    }

    /// Notes that a person looked at this deleted document: from now on it is no reason to call one, and its days are
    /// counted.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn note_looked_at(&mut self, id: DocumentId) -> Result<()> {
        let document = self.document_row(id)?.id;
        self.write(&[], |w| w.note_looked_at(document))
    }

    /// Makes a new document of a deleted one, with all of its content; what was never sent waits in the queue again.
    /// The deleted one leaves the trash, unless changes of it are quarantined: those stay there.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Deleted`] where nothing of it is kept; [`Error::DocumentExists`] when the
    /// name is taken.
    pub fn undelete(&mut self, id: DocumentId, name: Option<&str>) -> Result<DocumentId> {
        let kept = self.kept_row(id)?;
        let new = DocumentId::random();
        self.write(&[new, id], |w| w.undelete((&kept, id), (new, name)))?;
        Ok(new)
    }

    /// Forgets what is kept of a deleted document, for good. That it was deleted stays known.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::Deleted`] where nothing of it is kept.
    pub fn discard(&mut self, id: DocumentId) -> Result<()> {
        let row = self.kept_row(id)?;
        self.replicas.forget(id);
        self.memory.remove(&id);
        self.write(&[id], |w| w.discard(&row))
    }

    fn kept_row(&mut self, id: DocumentId) -> Result<DocumentRow> {
        let row = self.document_row(id)?;
        let kept = read_kept(&self.connection, row.id)?;
        match (&row.tombstone, kept) {
            (Some(_), true) => Ok(row),
            (Some(_), false) => Err(Error::Deleted(id)),
            (None, _) => Err(Error::UnknownDocument(id.to_string())),
        }
    }

    /// The server that said that this document was deleted has it: the document leaves the trash, and what waited waits
    /// again. `false` where nothing is known of a deletion.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn withdraw_deletion(&mut self, id: DocumentId, server: &str) -> Result<bool> {
        self.write(&[id], |w| w.withdraw_deletion(id, server))
    }

    /// How long and how much the trash keeps.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn trash_limits(&mut self) -> Result<TrashLimits> {
        let usual = self.usual_trash.unwrap_or_default();
        let days: Option<String> = get_meta(&self.connection, "trash_days")?;
        let bytes: Option<String> = get_meta(&self.connection, "trash_bytes")?;
        Ok(TrashLimits {
            days: days.and_then(|text| text.parse().ok()).unwrap_or(usual.days),
            bytes: bytes.and_then(|text| text.parse().ok()).unwrap_or(usual.bytes),
        })
    }

    /// Remembers how long and how much the trash keeps.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn set_trash_limits(&mut self, limits: TrashLimits) -> Result<()> {
        set_meta(&self.connection, "trash_days", &limits.days.to_string())?;
        set_meta(&self.connection, "trash_bytes", &limits.bytes.to_string())?;
        Ok(())
    }

    /// What the trash keeps where nothing was remembered.
    pub(crate) fn set_usual_trash(&mut self, limits: TrashLimits) {
        self.usual_trash = Some(limits);
    }

    /// Discards what is over the limits of the trash: what is too old, and then the oldest until the rest fits. Returns
    /// what went.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn empty_trash(&mut self) -> Result<Vec<DocumentId>> {
        let limits = self.trash_limits()?;
        let kept = read_trash(&self.connection, limits.days)?;
        let gone = over_the_limits(&kept, limits, self.now());
        for id in &gone {
            tracing::info!(document = %id, "the trash is emptied of it");
            self.discard(*id)?;
        }
        Ok(gone)
    }
}

/// Of the kept documents, oldest first, those that go. "Never silently for documents with unsent edits that nobody has
/// looked at."
fn over_the_limits(kept: &[DeletedDocument], limits: TrashLimits, now: Millis) -> Vec<DocumentId> {
    let may_go = |d: &&DeletedDocument| !d.holds_unseen_work();
    let old = |d: &&DeletedDocument| d.kept_until.is_some_and(|until| until < now);
    let mut gone: Vec<DocumentId> = kept.iter().filter(may_go).filter(old).map(|d| d.id).collect();
    let stay = |d: &&DeletedDocument| !gone.contains(&d.id);
    let mut bytes = kept.iter().filter(stay).fold(0_u64, |sum, d| sum.saturating_add(d.bytes));
    let candidates: Vec<_> = kept.iter().filter(stay).filter(may_go).map(|d| (d.id, d.bytes)).collect();
    for (id, size) in candidates {
        if bytes <= limits.bytes {
            break;
        }
        bytes = bytes.saturating_sub(size);
        gone.push(id);
    }
    gone
}

fn read_kept(connection: &Connection, document: i64) -> Result<bool> {
    let sql = "SELECT 1 FROM trash WHERE document = :document";
    let found: Option<i64> = connection
        .prepare_cached(sql)?
        .query_row(named_params! {":document": document}, |r| r.get(0))
        .optional()?;
    Ok(found.is_some())
}

fn read_trash(connection: &Connection, days: u32) -> Result<Vec<DeletedDocument>> {
    let sql = "SELECT d.uuid, d.changes, d.tombstone_from, t.by_others, t.name, t.deleted_at, t.looked_at, t.bytes, d.id, d.tombstone = 'owed' AS owed,
                      (SELECT count(*) FROM unsent u CROSS JOIN change c ON c.id = u.id
                        WHERE u.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1 AND c.container = 0)
                 FROM trash t JOIN document d ON d.id = t.document ORDER BY t.deleted_at, t.document";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query([])?;
    let mut kept = Vec::new();
    while let Some(row) = found.next()? {
        let uuid: String = row.get(0)?;
        let id = uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")))?;
        let count = |n: i64| n.max(0) as u64;
        let (by_others, unsent): (bool, u64) = (row.get(3)?, count(row.get(10)?));
        let (deleted_at, looked_at): (Millis, Option<Millis>) = (row.get(5)?, row.get(6)?);
        // What nobody has to look at is counted from the deletion.
        let from =
            if by_others && unsent > 0 { looked_at.map(|at| at.max(deleted_at)) } else { Some(deleted_at) };
        let containers = rows::count_containers(connection, row.get(8)?)?;
        kept.push(DeletedDocument {
            id,
            name: row.get(4)?,
            by_others,
            server: row.get(2)?,
            owed: row.get(9)?,
            deleted_at,
            changes: count(row.get(1)?).saturating_sub(containers),
            unsent,
            bytes: count(row.get(7)?),
            looked_at,
            kept_until: from.map(|at| at.saturating_add(i64::from(days).saturating_mul(DAY))),
        });
    }
    Ok(kept)
}

impl Writing<'_> {
    /// A deleted document gives its name back, and what waits of it is sent no more. Its changes are kept.
    pub(super) fn put_into_trash(&mut self, row: &DocumentRow, by_others: bool) -> Result<()> {
        let (from, to) = rows::id_range(row.id);
        let range = named_params! {":from": from, ":to": to};
        let sql = "INSERT INTO unsent (id, ordinal, action, enqueued_at, state)
                   SELECT id, ordinal, action, enqueued_at, state FROM pending WHERE id BETWEEN :from AND :to";
        self.tx.execute(sql, range)?;
        self.tx.execute("DELETE FROM pending WHERE id BETWEEN :from AND :to", range)?;
        if row.last > 0 {
            let sql = "INSERT INTO trash (document, by_others, name, deleted_at, bytes)
                       SELECT :document, :by_others, :name, :now, coalesce(sum(length(bytes)), 0)
                         FROM change WHERE id BETWEEN :from AND :to";
            self.tx.execute(
                sql,
                named_params! {
                    ":document": row.id, ":by_others": by_others, ":name": row.name, ":now": self.now,
                    ":from": from, ":to": to,
                },
            )?;
        }
        free_name(self.tx, row.id)
    }

    fn note_looked_at(&mut self, document: i64) -> Result<()> {
        let sql = "UPDATE trash SET looked_at = :now WHERE document = :document AND looked_at IS NULL";
        self.tx.execute(sql, named_params! {":now": self.now, ":document": document})?;
        Ok(())
    }

    fn undelete(
        &mut self,
        (old, old_id): (&DocumentRow, DocumentId),
        (new, name): (DocumentId, Option<&str>),
    ) -> Result<()> {
        let (am, changes) = {
            let replica = self.replicas.get(self.tx, old_id, self.actor)?;
            let copied = guarded(|| (replica.am.clone(), replica.am.get_changes(&[])));
            copied.map_err(Error::Corrupt)?
        };
        let was_called: Option<String> = self.tx.query_row(
            "SELECT name FROM trash WHERE document = :document",
            named_params! {":document": old.id},
            |r| r.get(0),
        )?;
        // Its old name, where that is free.
        let free =
            was_called.filter(|name| wrong_with(name).is_none() && !is_taken(self.tx, name).unwrap_or(true));
        // It lives where the old one did, where that is not the store's own server.
        let saved: Option<String> = get_meta(self.tx, "server")?;
        let home = old.home.as_deref().filter(|_| saved.is_none());
        self.insert_document(new, name.or(free.as_deref()), old.server.as_deref().or(home))?;
        self.store_whole(new, am, &changes, &Bulk { local: false, acknowledged: false, queued: false })?;
        let row =
            rows::read_document(self.tx, new)?.ok_or_else(|| Error::UnknownDocument(new.to_string()))?;
        if let Some(kind) = &old.kind {
            rows::write_kind(self.tx, row.id, kind)?;
        }
        self.carry_over(old.id, row.id)?;
        let (from, to) = rows::id_range(old.id);
        let sql = "SELECT count(*) FROM change WHERE id BETWEEN :from AND :to AND quarantined IS NOT NULL";
        let left: i64 = self.tx.query_row(sql, named_params! {":from": from, ":to": to}, |r| r.get(0))?;
        if left > 0 { self.note_looked_at(old.id) } else { self.discard(old) }
    }

    /// What was made here was made here, and what was never sent waits.
    fn carry_over(&mut self, old: i64, new: i64) -> Result<()> {
        let ((old_from, old_to), (from, to)) = (rows::id_range(old), rows::id_range(new));
        // What the old one's server acknowledged waits in no queue: the new document is offered whole.
        let sql = "UPDATE change SET local = 1, acknowledged_at = o.acknowledged_at
                     FROM (SELECT hash, acknowledged_at FROM change
                            WHERE id BETWEEN :old_from AND :old_to AND local = 1) o
                    WHERE change.id BETWEEN :from AND :to AND change.hash = o.hash";
        let range = named_params! {":from": from, ":to": to, ":old_from": old_from, ":old_to": old_to};
        self.tx.execute(sql, range)?;
        let sql = "SELECT n.id, u.action, u.enqueued_at FROM unsent u JOIN change o ON o.id = u.id
                     JOIN (SELECT id, hash FROM change WHERE id BETWEEN :from AND :to) n ON n.hash = o.hash
                    WHERE u.id BETWEEN :old_from AND :old_to ORDER BY u.ordinal, u.id";
        let mut statement = self.tx.prepare_cached(sql)?;
        let found = statement.query_map(range, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        let unsent: Vec<(i64, Option<String>, Millis)> = found.collect::<rusqlite::Result<_>>()?;
        for (id, action, enqueued_at) in &unsent {
            let (ordinal, enqueued_at) = (self.ordinal, *enqueued_at);
            rows::insert_pending(
                self.tx,
                &NewPending { id: *id, ordinal, action: action.as_deref(), enqueued_at },
            )?;
            self.enqueued += 1;
        }
        Ok(())
    }

    /// What is left is the tombstone: whoever knows of it tells its server again, should that lose it.
    fn discard(&mut self, row: &DocumentRow) -> Result<()> {
        if let Some(companion) = rows::read_companion(self.tx, row.id)? {
            self.replicas.forget(companion);
            if let Some(companion) = rows::read_document(self.tx, companion)? {
                remove_changes(self.tx, companion.id)?;
                let sql = "DELETE FROM document WHERE id = :id";
                self.tx.execute(sql, named_params! {":id": companion.id})?;
            }
        }
        self.replicas.forget(row.uuid);
        remove_changes(self.tx, row.id)?;
        let (heads, heads_at) = (Vec::new(), Vec::new());
        // Of a deletion that was heard of once nobody is told, nor asked: what a person did away with stays away.
        let tombstone_from = row.tombstone_from.clone().filter(|_| row.tombstone_sure);
        let (last, changes, epoch) = (0, 0, row.epoch + 1);
        let bare = DocumentRow { heads, heads_at, last, changes, epoch, tombstone_from, ..row.clone() };
        rows::write_document(self.tx, &bare)
    }

    fn withdraw_deletion(&mut self, id: DocumentId, server: &str) -> Result<bool> {
        let row = rows::read_document(self.tx, id)?;
        let mut row = row.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
        if row.tombstone.as_deref() != Some("known") || row.tombstone_sure || !has_tombstone(&row, server) {
            return Ok(false);
        }
        tracing::info!(document = %id, %server, "the server has the document that it said was deleted");
        self.revive(&mut row)?;
        row.home = Some(server.to_owned());
        rows::write_document(self.tx, &row)?;
        self.enqueued += 1;
        Ok(true)
    }

    /// A deleted document is taken part in again: the server that is named does not have its tombstone.
    pub(super) fn revive(&mut self, row: &mut DocumentRow) -> Result<()> {
        let (from, to) = rows::id_range(row.id);
        let range = named_params! {":from": from, ":to": to};
        let sql = "INSERT INTO pending (id, ordinal, action, enqueued_at)
                   SELECT id, ordinal, action, enqueued_at FROM unsent WHERE id BETWEEN :from AND :to";
        self.enqueued += self.tx.execute(sql, range)? as u64;
        self.tx.execute("DELETE FROM unsent WHERE id BETWEEN :from AND :to", range)?;
        let sql = "UPDATE document SET name = t.name FROM trash t WHERE t.document = document.id AND document.id = :id
                      AND NOT EXISTS (SELECT 1 FROM document other WHERE other.name = t.name)";
        self.tx.execute(sql, named_params! {":id": row.id})?;
        let sql = "DELETE FROM trash WHERE document = :id";
        self.tx.execute(sql, named_params! {":id": row.id})?;
        (row.tombstone, row.tombstone_from, row.home, row.at_end) = (None, None, None, false);
        row.tombstone_sure = false;
        row.take_cursor(None, "");
        row.healing = row.last > 0;
        rows::write_document(self.tx, row)
    }
}

/// When a document of the trash was deleted, as far as is known here.
pub(super) fn read_deleted_at(connection: &Connection, document: i64) -> Result<Option<Millis>> {
    let sql = "SELECT deleted_at FROM trash WHERE document = :document";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(named_params! {":document": document}, |r| r.get(0)).optional()?)
}

/// Whether a deleted document may be joined again at this server: it is not the one that has the tombstone, or nothing
/// of the document is kept and the person asks for it anew.
pub(super) fn may_return(connection: &Connection, row: &DocumentRow, server: Option<&str>) -> Result<bool> {
    let same = server.is_some_and(|server| has_tombstone(row, server));
    let owed = row.tombstone.as_deref() == Some("owed");
    Ok(owed
        || !read_kept(connection, row.id)?
        || (!same && (server.is_some() || row.tombstone_from.is_none())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(place: u8, bytes: u64, (by_others, unsent): (bool, u64)) -> DeletedDocument {
        let deleted_at = Millis::from(place) * DAY;
        DeletedDocument {
            id: DocumentId::from_bytes([place; 16]),
            name: None,
            by_others,
            server: None,
            owed: false,
            deleted_at,
            changes: 1,
            unsent,
            bytes,
            looked_at: None,
            kept_until: (unsent == 0).then_some(deleted_at + 90 * DAY),
        }
    }

    #[test]
    fn the_trash_never_loses_what_was_never_sent_before_somebody_looked_at_it() {
        let all = [kept(1, 100, (true, 0)), kept(2, 1 << 40, (true, 3)), kept(3, 100, (true, 0))];
        let limits = TrashLimits { days: 90, bytes: 10 };
        assert_eq!(over_the_limits(&all, limits, Millis::MAX), [all[0].id, all[2].id]);
        assert_eq!(over_the_limits(&all, TrashLimits { days: 0, bytes: 0 }, Millis::MAX).len(), 2);
    }

    #[test]
    fn the_trash_is_emptied_by_age_and_then_by_size_oldest_first() {
        let all = [kept(1, 100, (true, 0)), kept(2, 100, (true, 0)), kept(3, 100, (true, 0))];
        let limits = TrashLimits { days: 90, bytes: 200 };
        assert_eq!(over_the_limits(&all, limits, 10 * DAY), [all[0].id]);
        assert_eq!(over_the_limits(&all, limits, 92 * DAY), [all[0].id]);
        assert_eq!(over_the_limits(&all, limits, 93 * DAY), [all[0].id, all[1].id]);
        assert_eq!(over_the_limits(&all, TrashLimits::default(), 10 * DAY), []);
    }
}
