//! The queue: looking into it, trying again, taking back.

use std::collections::HashSet;

use automerge::{Change, ChangeHash};
use rusqlite::{Connection, OptionalExtension as _, named_params};

use super::{
    Core, DropPlan, QueueEntry, QueueState,
    fork::{self, Rebuild},
    make::library,
    replica::{container_position, parse_stored},
    rows,
};
use crate::{
    DocumentId, Error, Result,
    container::{self, ContainerSpec},
    fence::RefusalCode,
    rewrite,
    wire::Rejected,
};

/// The shortest prefix of a change's hash that names a queue row, in hex digits.
const SHORTEST_PREFIX: usize = 4;

/// What the reason of a parked row begins with where the server had no room for another actor, head or byte in this
/// document: nothing is wrong with the change, and it is offered again by itself.
const NO_ROOM: &str = "no room: ";
/// What the last error of a row begins with that the server did not take because this token may not write there.
pub(super) const NOT_ALLOWED: &str = "not allowed: ";
/// What the reason of a row begins with that is parked because of another.
pub(super) const WAITS: &str = "it depends on ";

/// What is noted of a row that the server refused.
pub(super) fn parked_because(rejected: &Rejected) -> String {
    let no_room = match rejected.code {
        RefusalCode::TooManyActors | RefusalCode::TooManyHeads => true,
        // A change can be too large by itself as well; a detail names the limit.
        RefusalCode::TooLarge => rejected.detail.contains("document_bytes"),
        _ => false,
    };
    if no_room { format!("{NO_ROOM}{}", rejected.detail) } else { rejected.detail.clone() }
}

/// A parked change in words, for what depends on it: by its hash, or as what it makes where no list shows it.
pub(super) fn parked_in_words(connection: &Connection, id: i64) -> Result<Option<String>> {
    let Some(hash) = rows::read_hash(connection, id)? else { return Ok(None) };
    let change = parse_stored(hash, &rows::read_bytes(connection, id)?)?;
    let Some(made) = container::spec_of(change.message()) else {
        return Ok(Some(format!("{hash}, which is parked")));
    };
    let sql = "SELECT last_error FROM pending WHERE id = :id";
    let why: Option<String> = connection.query_row(sql, named_params! {":id": id}, |r| r.get(0))?;
    // What it is in was refused: that is where the reason is.
    if let Some(outer) = why.as_deref().and_then(|why| why.strip_prefix(WAITS)) {
        return Ok(Some(outer.to_owned()));
    }
    let path = crate::slice::pointer(made.path());
    let why = why.unwrap_or_else(|| "no reason was given".to_owned());
    Ok(Some(format!("the {} {path}, which was refused: {why}", made.kind().word())))
}

impl QueueEntry {
    /// Whether it waits because this token may not write there. Each sync offers it again; whoever looks after the server
    /// can give the right.
    pub fn waits_for_a_right(&self) -> bool {
        self.state != QueueState::Parked
            && self.last_error.as_deref().is_some_and(|e| e.starts_with(NOT_ALLOWED))
    }

    /// Whether it is parked because the document had no room for it at the server. Each sync offers it again; a person
    /// can ask whoever runs the server for more room.
    pub fn waits_for_room(&self) -> bool {
        self.state == QueueState::Parked && self.last_error.as_deref().is_some_and(|e| e.starts_with(NO_ROOM))
    }
}

/// A row of the view `queue` with the id of its change.
#[derive(Debug)]
struct Row {
    id: i64,
    entry: QueueEntry,
}

fn read_queue(connection: &Connection) -> Result<Vec<Row>> {
    let sql =
        "SELECT p.id, d.uuid, c.action_type, p.action, c.hash, p.enqueued_at, p.attempts, p.last_attempt_at,
                      p.last_error, p.next_attempt_at, p.state
                 FROM pending p CROSS JOIN change c ON c.id = p.id CROSS JOIN document d ON d.id = p.id >> 40
                WHERE c.container = 0 ORDER BY p.ordinal, p.id";
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query([])?;
    let mut queue = Vec::new();
    while let Some(row) = rows.next()? {
        let uuid: String = row.get(1)?;
        let action: Option<String> = row.get(3)?;
        let state: String = row.get(10)?;
        queue.push(Row {
            id: row.get(0)?,
            entry: QueueEntry {
                position: queue.len() as u64 + 1,
                document: uuid.parse().map_err(|_| Error::Corrupt(format!("{uuid:?} is no document id")))?,
                action_type: row.get(2)?,
                action: action.and_then(|a| serde_json::from_str(&a).ok()),
                change_hash: ChangeHash(row.get(4)?),
                enqueued_at: row.get(5)?,
                attempts: row.get::<_, i64>(6)?.max(0) as u64,
                last_attempt_at: row.get(7)?,
                last_error: row.get(8)?,
                next_attempt_at: row.get(9)?,
                state: match state.as_str() {
                    "sent" => QueueState::Sent,
                    "parked" => QueueState::Parked,
                    _ => QueueState::Waiting,
                },
                already_so: false,
            },
        });
    }
    Ok(queue)
}

/// The longest chunk that can hold no operation: a message, an actor, and as many heads as one change names.
const LONGEST_EMPTY: u64 = 16 * 1024;

/// Notes of these rows which did nothing.
fn note_already_so(connection: &Connection, rows: &mut [Row]) -> Result<()> {
    let sql = "SELECT bytes FROM change WHERE id = :id AND length(bytes) <= :longest";
    let mut statement = connection.prepare_cached(sql)?;
    for row in rows {
        let params = named_params! {":id": row.id, ":longest": LONGEST_EMPTY as i64};
        let bytes: Option<Vec<u8>> = statement.query_row(params, |r| r.get(0)).optional()?;
        let Some(bytes) = bytes else { continue };
        let change = parse_stored(row.entry.change_hash, &bytes)?;
        row.entry.already_so =
            change.is_empty() && made_beside(connection, row.id >> 40, &change)?.is_empty();
    }
    Ok(())
}

/// The containers that were made for a change, by changes of their own beside it: it depends on them.
pub(super) fn made_beside(
    connection: &Connection,
    document: i64,
    change: &Change,
) -> Result<Vec<ContainerSpec>> {
    let mut made = Vec::new();
    for dep in change.deps() {
        let Some(position) = container_position(connection, document, *dep)? else { continue };
        let bytes = rows::read_bytes(connection, rows::row_id(document, position))?;
        made.extend(container::spec_of(parse_stored(*dep, &bytes)?.message()));
    }
    Ok(made)
}

/// Which parked rows of a document are to be offered again.
fn read_offered_again(connection: &Connection, document: i64, room: bool) -> Result<Vec<i64>> {
    let sql = "SELECT id, coalesce(last_error, '') FROM pending
                WHERE id BETWEEN :from AND :to AND state = 'parked' ORDER BY id";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let found =
        statement.query_map(named_params! {":from": from, ":to": to}, |r| Ok((r.get(0)?, r.get(1)?)))?;
    let parked: Vec<(i64, String)> = found.collect::<rusqlite::Result<_>>()?;
    let places: HashSet<u64> = parked.iter().map(|(id, _)| rows::position_of(*id)).collect();
    let mut again = Vec::new();
    for (id, error) in parked {
        let waits = error.starts_with(WAITS);
        let freed = waits && rows::read_deps(connection, id)?.iter().all(|dep| !places.contains(dep));
        if freed || (room && error.starts_with(NO_ROOM)) {
            again.push(id);
        }
    }
    Ok(again)
}

impl Core {
    /// Notes in every row that waits that this token may not push it; `tried` where that was a try and not one that was
    /// counted before.
    ///
    /// # Errors
    /// The file's.
    pub fn note_not_allowed(&mut self, document: DocumentId, detail: &str, tried: bool) -> Result<()> {
        let (from, to) = rows::id_range(self.document_row(document)?.id);
        let error = format!("{NOT_ALLOWED}{detail}");
        self.write(&[], |w| {
            let sql = "UPDATE pending SET last_error = :error, next_attempt_at = NULL, attempts = attempts + :tried,
                              last_attempt_at = CASE WHEN :tried THEN :now ELSE last_attempt_at END
                        WHERE id BETWEEN :from AND :to AND state <> 'parked'";
            let now = w.now;
            let params =
                named_params! {":error": error, ":from": from, ":to": to, ":tried": tried, ":now": now};
            w.tx.prepare_cached(sql)?.execute(params)?;
            Ok(())
        })
    }

    /// What waits, in order; of one document or of all.
    ///
    /// # Errors
    /// What SQLite says.
    pub fn queue(&mut self, document: Option<DocumentId>) -> Result<Vec<QueueEntry>> {
        let mut rows = read_queue(&self.connection)?;
        rows.retain(|row| document.is_none_or(|id| row.entry.document == id));
        note_already_so(&self.connection, &mut rows)?;
        Ok(rows.into_iter().map(|row| row.entry).collect())
    }

    /// One row, by its position or by a prefix of its change's hash (4 hex digits or more).
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`] when none or several answer to it.
    pub fn find_queued(&mut self, id: &str) -> Result<QueueEntry> {
        let mut row = [self.find_row(id)?];
        note_already_so(&self.connection, &mut row)?;
        let [row] = row;
        Ok(row.entry)
    }

    fn find_row(&self, id: &str) -> Result<Row> {
        let unknown = || Error::UnknownQueueRow(id.to_owned());
        let mut rows = read_queue(&self.connection)?;
        // A short number is a position; a hash prefix of digits alone would be longer than any queue.
        if let Ok(position) = id.parse::<u64>()
            && let Some(at) = rows.iter().position(|r| r.entry.position == position)
        {
            return Ok(rows.swap_remove(at));
        }
        let prefix = id.to_ascii_lowercase();
        rows.retain(|r| r.entry.change_hash.to_string().starts_with(&prefix));
        match (rows.pop(), rows.pop()) {
            (Some(row), None) if prefix.len() >= SHORTEST_PREFIX => Ok(row),
            _ => Err(unknown()),
        }
    }

    /// The raw change of a queue row: a plain Automerge chunk.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    pub fn queued_bytes(&mut self, id: &str) -> Result<Vec<u8>> {
        let row = self.find_row(id)?;
        rows::read_bytes(&self.connection, row.id)
    }

    /// Has a row tried again at once, with the rows of its document that wait for it. Returns how many rows
    /// wait now that did not.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`].
    pub fn retry(&mut self, id: &str) -> Result<u64> {
        let row = self.find_row(id)?;
        let document = row.entry.document;
        self.write(&[document], |w| {
            let (from, to) = rows::id_range(row.id >> 40);
            let range = named_params! {":from": from, ":to": to};
            let which =
                "p.id BETWEEN :from AND :to AND (p.state = 'parked' OR p.next_attempt_at IS NOT NULL)";
            // Containers go with them, and have no line of their own.
            let sql = format!(
                "SELECT count(*) FROM pending p CROSS JOIN change c ON c.id = p.id
                  WHERE {which} AND c.container = 0"
            );
            let shown: i64 = w.tx.query_row(&sql, range, |r| r.get(0))?;
            let sql =
                format!("UPDATE pending AS p SET state = 'waiting', next_attempt_at = NULL WHERE {which}");
            w.enqueued += w.tx.execute(&sql, range)? as u64;
            Ok(shown.max(0) as u64)
        })
    }

    /// Lets rows wait again that are parked and need no person: those that depended on a parked one which is none any
    /// more, and with `room` those that found no room. Returns how many.
    ///
    /// What depends on one that finds no room stays: the one alone shows whether there is room now.
    ///
    /// # Errors
    /// The file's; [`Error::UnknownDocument`].
    pub(crate) fn offer_parked(&mut self, id: DocumentId, room: bool) -> Result<u64> {
        let row = rows::read_document(&self.connection, id)?;
        let document = row.ok_or_else(|| Error::UnknownDocument(id.to_string()))?.id;
        let again = read_offered_again(&self.connection, document, room)?;
        if again.is_empty() {
            return Ok(0);
        }
        self.write(&[], |w| {
            let sql = "UPDATE pending SET state = 'waiting' WHERE id = :id AND state = 'parked'";
            let mut statement = w.tx.prepare_cached(sql)?;
            again
                .iter()
                .try_fold(0_u64, |sum, id| Ok(sum + statement.execute(named_params! {":id": id})? as u64))
        })
    }

    /// What dropping this row would take along. Changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownQueueRow`]; [`Error::AlreadySent`] when the server holds it.
    pub fn plan_drop(&mut self, id: &str) -> Result<DropPlan> {
        Ok(self.drop_plan(id)?.0)
    }

    /// Removes the row's change from queue and document, with those later ones that touch what it made. The
    /// other later ones are written again without it.
    ///
    /// # Errors
    /// As [`Core::plan_drop`].
    pub fn drop_queued(&mut self, id: &str) -> Result<DropPlan> {
        let (plan, dropped) = self.drop_plan(id)?;
        let document = plan.dropped.first().map(|e| e.document);
        let document = document.ok_or_else(|| Error::UnknownQueueRow(id.to_owned()))?;
        self.write(&[document], |w| fork::rebuild(w, document, Rebuild::Drop(dropped)))?;
        Ok(plan)
    }

    fn drop_plan(&mut self, id: &str) -> Result<(DropPlan, rewrite::Dropped)> {
        let row = self.find_row(id)?;
        let queue = read_queue(&self.connection)?;
        let own: HashSet<ChangeHash> =
            queue.iter().filter(|r| r.entry.state != QueueState::Sent).map(|r| r.entry.change_hash).collect();
        if !own.contains(&row.entry.change_hash) {
            return Err(Error::AlreadySent(row.entry.change_hash.to_string()));
        }
        let affected = fork::live_descendants(&self.connection, row.id >> 40, row.entry.change_hash)?;
        if let Some(foreign) = affected.iter().find(|change| !own.contains(&change.hash())) {
            return Err(Error::AlreadySent(foreign.hash().to_string()));
        }
        let hash = row.entry.change_hash;
        let mut dropped = rewrite::without(&affected, &hash).map_err(library)?;
        dropped.also.push(hash);
        let gone: HashSet<ChangeHash> = dropped.also.iter().copied().collect();
        let mut goes: Vec<Row> =
            queue.into_iter().filter(|row| gone.contains(&row.entry.change_hash)).collect();
        note_already_so(&self.connection, &mut goes)?;
        let entries = goes.into_iter().map(|row| row.entry).collect();
        Ok((DropPlan { dropped: entries, rewritten: dropped.rewritten.len() as u64 }, dropped))
    }
}

/// Whether something of a document waits, or is not covered by a cursor.
pub(super) fn owes(connection: &Connection, document: i64) -> Result<bool> {
    let sql = "SELECT EXISTS (SELECT 1 FROM pending WHERE id BETWEEN :from AND :to)";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row(named_params! {":from": from, ":to": to}, |r| r.get(0))?)
}
