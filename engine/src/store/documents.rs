//! Making, joining, naming, listing and leaving documents.

use rusqlite::{Connection, named_params};

use super::{
    Core, DocumentInfo,
    core::{Writing, clean_optional_server},
    counts::{Counts, count_all, count_one},
    open::get_meta,
    problem::{SyncProblem, forget_problem, read_problem, read_problems},
    rows::{self, DocumentRow},
    trash::may_return,
};
use crate::{DocumentId, Error, Result, printable::printable, same_server};

/// The shortest prefix of a UUID that names a document, in characters.
const SHORTEST_PREFIX: usize = 4;

impl Core {
    /// Makes an empty document. It begins at the server with its first push.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when the id or the name is taken.
    pub fn create(&mut self, id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> {
        let id = id.unwrap_or_else(DocumentId::random);
        self.write(&[], |w| w.insert_document(id, name, None))?;
        Ok(id)
    }

    /// The document with this local name; made, empty, where there is none.
    ///
    /// # Errors
    /// As [`Core::create`].
    pub fn find_or_create(&mut self, name: &str) -> Result<DocumentId> {
        self.write(&[], |w| {
            let rows = rows::read_documents(w.tx)?;
            let named =
                |row: &&rows::DocumentRow| row.tombstone.is_none() && row.name.as_deref() == Some(name);
            if let Some(row) = rows.iter().find(named) {
                return Ok(row.uuid);
            }
            let id = DocumentId::random();
            w.insert_document(id, Some(name), None)?;
            Ok(id)
        })
    }

    /// Makes an empty document for each name, all in one transaction.
    ///
    /// # Errors
    /// As [`Core::create`]. Then none is made.
    pub fn create_all(&mut self, names: &[Option<String>]) -> Result<Vec<DocumentId>> {
        self.write(&[], |w| {
            let make = |name: &Option<String>| {
                let id = DocumentId::random();
                w.insert_document(id, name.as_deref(), None).map(|()| id)
            };
            names.iter().map(make).collect()
        })
    }

    /// Takes part in a document that exists elsewhere. Needs no network: it is filled at the next sync. A server that is
    /// named is where the document lives: of one that is here already it sets that. A document that was deleted is taken
    /// part in again where the server is not the one that has its tombstone, where no server was told of it yet, and
    /// where nothing of it is kept.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when it is here already and no server is named, or the name is taken;
    /// [`Error::Trashed`]; [`Error::InvalidServer`].
    pub fn join(&mut self, id: DocumentId, name: Option<&str>, server: Option<&str>) -> Result<DocumentId> {
        let server = clean_optional_server(server)?;
        let server = server.as_deref();
        self.replicas.forget(id);
        self.write(&[id], |w| match rows::read_document(w.tx, id)? {
            Some(row) => w.join_again(row, name, server),
            None => w.insert_document(id, name, server),
        })?;
        Ok(id)
    }

    /// Gives the document another name, on this device alone.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::InvalidName`]; [`Error::DocumentExists`] for a name that another one has.
    pub fn rename(&mut self, id: DocumentId, name: &str) -> Result<()> {
        self.write(&[id], |w| {
            let row = rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
            if row.tombstone.is_some() {
                return Err(Error::Trashed(id));
            }
            w.set_name(&row, name)
        })
    }

    /// The document with this local name, UUID, unique prefix of one (4 characters or more), or
    /// `automerge:` URL.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`]; [`Error::Trashed`] for one that was deleted and is kept,
    /// [`Error::Deleted`] where nothing of it is.
    pub fn find(&mut self, text: &str) -> Result<DocumentId> {
        let rows = rows::read_documents(&self.connection)?;
        let alive = rows.iter().filter(|r| r.tombstone.is_none()).map(|r| (r.uuid, r.name.as_deref()));
        match find_among(text, alive) {
            // What was deleted is told as such, and not as unknown.
            Err(Error::UnknownDocument(_)) => self.find_deleted(text).and_then(|id| Err(Error::Trashed(id))),
            found => found,
        }
    }

    /// Every document of this store, in the order in which they came; the deleted ones left out.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents(&mut self) -> Result<Vec<DocumentInfo>> {
        let rows = rows::read_documents(&self.connection)?;
        self.infos(rows.into_iter().filter(|row| row.tombstone.is_none()).collect())
    }

    /// Every document that a sync has to look at: also the deleted ones. A server that was restored to before a
    /// deletion offers the document again, and those who know of the tombstone send it again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents_to_sync(&mut self) -> Result<Vec<DocumentInfo>> {
        let rows = rows::read_documents(&self.connection)?;
        self.infos(rows)
    }

    /// One document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn document(&mut self, id: DocumentId) -> Result<DocumentInfo> {
        let row = self.document_row(id)?;
        let (counts, problem) = (count_one(&self.connection, row.id)?, read_problem(&self.connection, id)?);
        Ok(info(row, counts, problem))
    }

    fn infos(&self, rows: Vec<DocumentRow>) -> Result<Vec<DocumentInfo>> {
        let (mut counts, mut problems) = (count_all(&self.connection)?, read_problems(&self.connection)?);
        let one = |row: DocumentRow| {
            let (counts, problem) = (counts.remove(&row.id), problems.remove(&row.uuid));
            info(row, counts.unwrap_or_default(), problem)
        };
        Ok(rows.into_iter().map(one).collect())
    }

    pub(super) fn document_row(&self, id: DocumentId) -> Result<DocumentRow> {
        rows::read_document(&self.connection, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))
    }

    /// Forgets the document here, with what waits of it. Others keep it.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn leave(&mut self, id: DocumentId) -> Result<()> {
        let row = self.document_row(id)?;
        self.replicas.forget(id);
        self.memory.remove(&id);
        self.write(&[id], |w| {
            if let Some(companion) = rows::read_companion(w.tx, row.id)? {
                w.replicas.forget(companion);
                let companion = rows::read_document(w.tx, companion)?;
                companion.map_or(Ok(()), |companion| remove(w.tx, companion.id))?;
            }
            forget_problem(w.tx, id)?;
            remove(w.tx, row.id)
        })
    }

    /// Deletes the document for everyone, at the next sync with the server where it lives. Its changes are kept in the
    /// trash: [`Core::export`] and [`Core::undelete`] find them. It takes no more actions.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn delete(&mut self, id: DocumentId) -> Result<()> {
        self.replicas.forget(id);
        self.write(&[id], |w| {
            let mut row =
                rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
            if row.tombstone.is_some() {
                return Ok(());
            }
            row.tombstone = Some("owed".to_owned());
            rows::write_document(w.tx, &row)?;
            w.enqueued += 1;
            w.put_into_trash(&row, false)
        })
    }
}

impl Core {
    /// Ends the debt of a deletion where no server ever held the document, as far as is known here: none was named for it
    /// by a person, none gave a cursor or took a push. `false`: it is owed on.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`]; the file's.
    pub(crate) fn end_deletion_of_unsent(&mut self, id: DocumentId) -> Result<bool> {
        let mut row = self.document_row(id)?;
        if row.tombstone.as_deref() != Some("owed") || row.home.is_some() || row.cursor.is_some() {
            return Ok(false);
        }
        row.tombstone = Some("known".to_owned());
        self.write(&[], |w| rows::write_document(w.tx, &row))?;
        Ok(true)
    }
}

impl Writing<'_> {
    /// Makes the row of a document.
    pub(super) fn insert_document(
        &mut self,
        id: DocumentId,
        name: Option<&str>,
        server: Option<&str>,
    ) -> Result<()> {
        if rows::read_document(self.tx, id)?.is_some() {
            return Err(Error::DocumentExists(id.to_string()));
        }
        self.check_name(name)?;
        let own = self.own_server(server)?;
        let sql = "INSERT INTO document (uuid, name, server, home) VALUES (:uuid, :name, :server, :home)";
        self.tx.execute(
            sql,
            named_params! {":uuid": id.to_string(), ":name": name, ":server": own, ":home": server},
        )?;
        Ok(())
    }

    /// Takes part in a document that is here already, or was deleted.
    fn join_again(&mut self, mut row: DocumentRow, name: Option<&str>, server: Option<&str>) -> Result<()> {
        if row.tombstone.is_some() {
            let saved: Option<String> = get_meta(self.tx, "server")?;
            let at = server.or(row.server.as_deref()).or(saved.as_deref());
            if !may_return(self.tx, &row, at)? {
                return Err(Error::Trashed(row.uuid));
            }
            self.revive(&mut row)?;
            row.name = rows::read_document(self.tx, row.uuid)?.and_then(|row| row.name);
        } else if server.is_none() {
            return Err(Error::DocumentExists(row.uuid.to_string()));
        }
        if let Some(server) = server {
            forget_problem(self.tx, row.uuid)?;
            let own = self.own_server(Some(server))?;
            let sql =
                "UPDATE document SET server = :own, home = :server, not_served_by = NULL WHERE id = :id";
            self.tx.execute(sql, named_params! {":own": own, ":server": server, ":id": row.id})?;
        }
        if let Some(name) = name {
            self.set_name(&row, name)?;
        }
        self.enqueued += 1;
        Ok(())
    }

    /// Gives a document this name, where it has another.
    fn set_name(&self, row: &DocumentRow, name: &str) -> Result<()> {
        if row.name.as_deref() == Some(name) {
            return Ok(());
        }
        self.check_name(Some(name))?;
        let sql = "UPDATE document SET name = :name WHERE id = :id";
        self.tx.execute(sql, named_params! {":name": name, ":id": row.id})?;
        Ok(())
    }

    /// Only a server that is not the store's own is kept with the document: the store's may change later.
    fn own_server<'s>(&self, server: Option<&'s str>) -> Result<Option<&'s str>> {
        let saved: Option<String> = get_meta(self.tx, "server")?;
        Ok(server.filter(|server| !saved.as_deref().is_some_and(|saved| same_server(saved, server))))
    }

    fn check_name(&self, name: Option<&str>) -> Result<()> {
        let Some(name) = name else { return Ok(()) };
        if let Some(why) = wrong_with(name) {
            return Err(Error::InvalidName { name: name.to_owned(), why });
        }
        if is_taken(self.tx, name)? { Err(Error::DocumentExists(name.to_owned())) } else { Ok(()) }
    }
}

/// Why this cannot be a name: it would be read as something else, or a person could not read it.
pub(super) fn wrong_with(name: &str) -> Option<&'static str> {
    let address = || name.to_ascii_lowercase().starts_with("automerge:") || name.contains("://");
    match name {
        _ if name.trim().is_empty() => Some("there is nothing to read in it"),
        _ if name.parse::<DocumentId>().is_ok() => Some("it reads as the id of a document"),
        _ if address() => Some("it reads as an address"),
        _ if name.starts_with('-') => Some("it begins with - and would be read as an option"),
        _ if name.contains('/') => {
            Some("there is a / in it, as in the path of a file or of a place in a document")
        }
        _ if printable(name) != name => Some("there are characters in it that nobody can see"),
        _ => None,
    }
}

/// Whether a document has this name.
pub(super) fn is_taken(connection: &Connection, name: &str) -> Result<bool> {
    let sql = "SELECT count(*) FROM document WHERE name = :name";
    let taken: i64 = connection.query_row(sql, named_params! {":name": name}, |r| r.get(0))?;
    Ok(taken > 0)
}

/// Of these documents the one with this name, UUID, unique prefix of one, or `automerge:` URL.
pub(super) fn find_among<'n>(
    text: &str,
    documents: impl Iterator<Item = (DocumentId, Option<&'n str>)> + Clone,
) -> Result<DocumentId> {
    let unknown = || Error::UnknownDocument(text.to_owned());
    let mut named = documents.clone().filter(|(_, name)| *name == Some(text));
    match (named.next(), named.next()) {
        (Some((id, _)), None) => return Ok(id),
        (Some(_), Some(_)) => return Err(Error::AmbiguousDocument(text.to_owned())),
        (None, _) => {}
    }
    if let Ok(id) = text.parse::<DocumentId>() {
        return documents.map(|(known, _)| known).find(|known| *known == id).ok_or_else(unknown);
    }
    let prefix = text.to_ascii_lowercase();
    let mut fits = documents.map(|(id, _)| id).filter(|id| id.to_string().starts_with(&prefix));
    match (fits.next().filter(|_| prefix.len() >= SHORTEST_PREFIX), fits.next()) {
        (Some(id), None) => Ok(id),
        (Some(_), Some(_)) => Err(Error::AmbiguousDocument(text.to_owned())),
        (None, _) => Err(unknown()),
    }
}

/// Removes all that a document holds: its changes, and what is remembered of them.
pub(super) fn remove_changes(connection: &Connection, document: i64) -> Result<()> {
    let (from, to) = rows::id_range(document);
    for table in ["pending", "unsent", "change"] {
        let sql = format!("DELETE FROM {table} WHERE id BETWEEN :from AND :to");
        connection.execute(&sql, named_params! {":from": from, ":to": to})?;
    }
    for table in ["snapshot", "renamed", "trash", "slice_migrated", "listening", "heard", "undo_step"] {
        let sql = format!("DELETE FROM {table} WHERE document = :id");
        connection.execute(&sql, named_params! {":id": document})?;
    }
    Ok(())
}

fn remove(connection: &Connection, document: i64) -> Result<()> {
    remove_changes(connection, document)?;
    connection.execute("DELETE FROM document WHERE id = :id", named_params! {":id": document})?;
    Ok(())
}

/// A deleted document gives its name back.
pub(super) fn free_name(connection: &Connection, document: i64) -> Result<()> {
    let sql = "UPDATE document SET name = NULL WHERE id = :id";
    connection.execute(sql, named_params! {":id": document})?;
    Ok(())
}

fn info(row: DocumentRow, counts: Counts, problem: Option<SyncProblem>) -> DocumentInfo {
    DocumentInfo {
        id: row.uuid,
        name: row.name,
        server: row.server,
        home: row.home,
        heads: row.heads,
        changes: row.changes.saturating_sub(counts.containers),
        queued: counts.queued,
        parked: counts.parked,
        quarantined: counts.quarantined,
        quarantined_seen: counts.quarantined_seen,
        in_step: row.at_end && counts.owed == 0 && row.cursor.is_some() && problem.is_none(),
        behind: row.cursor.is_some() && !row.at_end && !row.healing,
        problem,
        cursor: row.cursor,
        last_sync_at: row.last_sync_at,
        deleted: row.tombstone.is_some(),
        not_served_by: row.not_served_by,
        not_allowed: counts.not_allowed,
    }
}
