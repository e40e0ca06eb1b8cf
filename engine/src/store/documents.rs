//! Making, joining, naming, listing and leaving documents.

use rusqlite::{Connection, named_params};

use super::{
    Core, DocumentInfo,
    core::clean_optional_server,
    rows::{self, DocumentRow},
};
use crate::{DocumentId, Error, Result};

/// The shortest prefix of a UUID that names a document, in characters.
const SHORTEST_PREFIX: usize = 4;

impl Core {
    /// Makes an empty document. It begins at the server with its first push.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when the id or the name is taken.
    pub fn create(&mut self, id: Option<DocumentId>, name: Option<&str>) -> Result<DocumentId> {
        self.insert_document(id.unwrap_or_else(DocumentId::random), name, None)
    }

    /// Takes part in a document that exists elsewhere. Needs no network: it is filled at the next sync.
    ///
    /// # Errors
    /// [`Error::DocumentExists`] when it is here already or the name is taken, [`Error::InvalidServer`].
    pub fn join(&mut self, id: DocumentId, name: Option<&str>, server: Option<&str>) -> Result<DocumentId> {
        let server = clean_optional_server(server)?;
        self.insert_document(id, name, server.as_deref())
    }

    fn insert_document(
        &mut self,
        id: DocumentId,
        name: Option<&str>,
        server: Option<&str>,
    ) -> Result<DocumentId> {
        self.write(&[], |w| {
            if rows::read_document(w.tx, id)?.is_some() {
                return Err(Error::DocumentExists(id.to_string()));
            }
            if let Some(name) = name {
                let sql = "SELECT count(*) FROM document WHERE name = :name";
                let taken: i64 = w.tx.query_row(sql, named_params! {":name": name}, |r| r.get(0))?;
                if taken > 0 {
                    return Err(Error::DocumentExists(name.to_owned()));
                }
            }
            let sql = "INSERT INTO document (uuid, name, server) VALUES (:uuid, :name, :server)";
            w.tx.execute(sql, named_params! {":uuid": id.to_string(), ":name": name, ":server": server})?;
            Ok(id)
        })
    }

    /// The document with this local name, UUID, unique prefix of one (4 characters or more), or
    /// `automerge:` URL.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`], [`Error::AmbiguousDocument`].
    pub fn find(&mut self, text: &str) -> Result<DocumentId> {
        let rows = rows::read_documents(&self.connection)?;
        let alive = || rows.iter().filter(|r| r.tombstone.is_none());
        if let Some(row) = alive().find(|r| r.name.as_deref() == Some(text)) {
            return Ok(row.uuid);
        }
        if let Ok(id) = text.parse::<DocumentId>() {
            let row =
                rows.iter().find(|r| r.uuid == id).ok_or_else(|| Error::UnknownDocument(text.to_owned()))?;
            return if row.tombstone.is_some() { Err(Error::Deleted(id)) } else { Ok(id) };
        }
        let prefix = text.to_ascii_lowercase();
        let mut fits = alive().filter(|r| r.uuid.to_string().starts_with(&prefix));
        let first = fits.next().filter(|_| prefix.len() >= SHORTEST_PREFIX);
        match (first, fits.next()) {
            (Some(row), None) => Ok(row.uuid),
            (Some(_), Some(_)) => Err(Error::AmbiguousDocument(text.to_owned())),
            (None, _) => Err(Error::UnknownDocument(text.to_owned())),
        }
    }

    /// Every document of this store, in the order in which they came; the deleted ones left out.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents(&mut self) -> Result<Vec<DocumentInfo>> {
        let rows = rows::read_documents(&self.connection)?;
        rows.into_iter().filter(|r| r.tombstone.is_none()).map(|r| info(&self.connection, r)).collect()
    }

    /// Every document that a sync has to look at: also the deleted ones. A server that was restored to before a
    /// deletion offers the document again, and those who know of the tombstone send it again.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn documents_to_sync(&mut self) -> Result<Vec<DocumentInfo>> {
        let rows = rows::read_documents(&self.connection)?;
        rows.into_iter().map(|r| info(&self.connection, r)).collect()
    }

    /// One document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn document(&mut self, id: DocumentId) -> Result<DocumentInfo> {
        let row = self.document_row(id)?;
        info(&self.connection, row)
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
            remove(w.tx, row.id)
        })
    }

    /// Deletes the document for everyone, at the next sync. Its changes stay in the file, to be recovered by
    /// [`Core::export`]; it takes no more actions. One that was never at a server is forgotten at once.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn delete(&mut self, id: DocumentId) -> Result<()> {
        self.replicas.forget(id);
        self.write(&[id], |w| {
            let mut row =
                rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
            if row.tombstone.is_none() {
                row.tombstone = Some("owed".to_owned());
                rows::write_document(w.tx, &row)?;
                w.enqueued += 1;
            }
            free_name(w.tx, row.id)
        })
    }
}

fn remove(connection: &Connection, document: i64) -> Result<()> {
    let (from, to) = rows::id_range(document);
    let range = named_params! {":from": from, ":to": to};
    connection.execute("DELETE FROM pending WHERE id BETWEEN :from AND :to", range)?;
    connection.execute("DELETE FROM change WHERE id BETWEEN :from AND :to", range)?;
    connection.execute("DELETE FROM snapshot WHERE document = :id", named_params! {":id": document})?;
    connection.execute("DELETE FROM document WHERE id = :id", named_params! {":id": document})?;
    Ok(())
}

/// A deleted document gives its name back.
pub(super) fn free_name(connection: &Connection, document: i64) -> Result<()> {
    let sql = "UPDATE document SET name = NULL WHERE id = :id";
    connection.execute(sql, named_params! {":id": document})?;
    Ok(())
}

fn info(connection: &Connection, row: DocumentRow) -> Result<DocumentInfo> {
    let (from, to) = rows::id_range(row.id);
    let range = named_params! {":from": from, ":to": to};
    // A cross join is walked as it is written: the queue is short, and the document may be long.
    let sql = "SELECT count(*) FILTER (WHERE c.container = 0 AND p.state <> 'parked'),
                      count(*) FILTER (WHERE c.container = 0 AND p.state = 'parked'), count(*)
                 FROM pending p CROSS JOIN change c ON c.id = p.id WHERE p.id BETWEEN :from AND :to";
    let mut statement = connection.prepare_cached(sql)?;
    let (queued, parked, rows_left): (i64, i64, i64) =
        statement.query_row(range, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
    let sql = "SELECT count(*) FROM change WHERE id BETWEEN :from AND :to AND quarantined IS NOT NULL";
    let quarantined: i64 = connection.prepare_cached(sql)?.query_row(range, |r| r.get(0))?;
    Ok(DocumentInfo {
        id: row.uuid,
        name: row.name,
        server: row.server,
        heads: row.heads,
        changes: row.changes.saturating_sub(rows::count_containers(connection, row.id)?),
        queued: queued.max(0) as u64,
        parked: parked.max(0) as u64,
        quarantined: quarantined.max(0) as u64,
        in_step: row.at_end && rows_left == 0 && row.cursor.is_some(),
        cursor: row.cursor,
        last_sync_at: row.last_sync_at,
        deleted: row.tombstone.is_some(),
    })
}
