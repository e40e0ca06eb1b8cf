//! Who pushed what, as its server says. It is shown beside what a change says of itself, and nothing is decided by it.

use automerge::ChangeHash;
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{Core, core::Writing, rows};
use crate::{Cursor, DocumentId, Result};

/// A page of what a server says about who pushed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pushers {
    /// The cursor it was asked with.
    pub asked: Option<Cursor>,
    /// Up to where it tells.
    pub cursor: Option<Cursor>,
    /// Names, each with changes.
    pub pushed: Vec<(String, Vec<ChangeHash>)>,
}

impl Core {
    /// Up to where it is known who pushed.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn pushers_cursor(&mut self, id: DocumentId) -> Result<Option<Cursor>> {
        read_cursor(&self.connection, id)
    }

    /// Stores who pushed what. The first word on a change stays: a server that was put back from a backup names who
    /// brings its changes again.
    ///
    /// # Errors
    /// [`crate::Error::UnknownDocument`]; what SQLite says.
    pub fn store_pushers(&mut self, id: DocumentId, page: &Pushers) -> Result<()> {
        self.write(&[id], |w| w.store_pushers(id, page))
    }
}

impl Writing<'_> {
    fn store_pushers(&mut self, id: DocumentId, page: &Pushers) -> Result<()> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        replica.build_index(self.tx)?;
        let document = replica.row.id;
        let Some(index) = &replica.index else { return Ok(()) };
        let sql = "UPDATE change SET pusher = :pusher WHERE id = :id AND pusher IS NULL AND local = 0";
        let mut note = self.tx.prepare_cached(sql)?;
        for (name, hashes) in &page.pushed {
            let pusher = pusher_row(self.tx, name)?;
            for hash in hashes {
                let place = index.positions.get(hash).or_else(|| index.replaced.get(hash));
                if let Some(position) = place {
                    let row = rows::row_id(document, *position);
                    note.execute(named_params! {":pusher": pusher, ":id": row})?;
                }
            }
        }
        // Where another process asked too, what comes twice costs nothing.
        if read_cursor(self.tx, id)? == page.asked {
            let sql = "UPDATE document SET pushers_cursor = :cursor WHERE id = :id";
            let cursor = page.cursor.as_ref().map(Cursor::as_str);
            self.tx.prepare_cached(sql)?.execute(named_params! {":cursor": cursor, ":id": document})?;
        }
        Ok(())
    }
}

fn read_cursor(connection: &Connection, id: DocumentId) -> Result<Option<Cursor>> {
    let sql = "SELECT pushers_cursor FROM document WHERE uuid = :uuid";
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_row(named_params! {":uuid": id.to_string()}, |r| r.get(0)).optional()?;
    Ok(found.flatten().and_then(|text: String| Cursor::parse(&text)))
}

fn pusher_row(connection: &Connection, name: &str) -> Result<i64> {
    let mut known = connection.prepare_cached("SELECT id FROM pusher WHERE name = :name")?;
    if let Some(id) = known.query_row(named_params! {":name": name}, |r| r.get(0)).optional()? {
        return Ok(id);
    }
    connection
        .prepare_cached("INSERT INTO pusher (name) VALUES (:name)")?
        .execute(named_params! {":name": name})?;
    Ok(connection.last_insert_rowid())
}

/// The name of a row's pusher.
pub(super) fn pusher_name(connection: &Connection, pusher: Option<i64>) -> Result<Option<String>> {
    let Some(pusher) = pusher else { return Ok(None) };
    let mut statement = connection.prepare_cached("SELECT name FROM pusher WHERE id = :id")?;
    Ok(statement.query_row(named_params! {":id": pusher}, |r| r.get(0)).optional()?)
}
