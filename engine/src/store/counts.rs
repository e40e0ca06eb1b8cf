//! What is counted of documents for a list of them: of one, or of all in as many queries as of one.

use std::collections::HashMap;

use rusqlite::Connection;

use super::{queue::NOT_ALLOWED, rows};
use crate::Result;

/// What is counted of a document.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    /// Actions that wait, the parked left out.
    pub(super) queued: u64,
    /// Actions that are parked.
    pub(super) parked: u64,
    /// All that the server does not provably hold, containers too.
    pub(super) owed: u64,
    /// Why a row waits for a right that the token has not.
    pub(super) not_allowed: Option<String>,
    pub(super) quarantined: u64,
    pub(super) quarantined_seen: u64,
    pub(super) containers: u64,
}

/// Of one document.
pub(super) fn count_one(connection: &Connection, document: i64) -> Result<Counts> {
    let mut counts = read(connection, rows::id_range(document))?;
    Ok(counts.remove(&document).unwrap_or_default())
}

/// Of each document of which there is something to be counted.
pub(super) fn count_all(connection: &Connection) -> Result<HashMap<i64, Counts>> {
    read(connection, (0, i64::MAX))
}

/// What a query counts, by document, in its columns after the first.
type Note = fn(&mut Counts, &rusqlite::Row<'_>) -> rusqlite::Result<()>;

fn read(connection: &Connection, (from, to): (i64, i64)) -> Result<HashMap<i64, Counts>> {
    let queries: [(&str, Note); 4] = [
        // A cross join is walked as it is written: the queue is short, and documents may be long.
        (
            "SELECT p.id >> 40, count(*) FILTER (WHERE c.container = 0 AND p.state <> 'parked'),
                    count(*) FILTER (WHERE c.container = 0 AND p.state = 'parked'), count(*)
               FROM pending p CROSS JOIN change c ON c.id = p.id
              WHERE p.id BETWEEN :from AND :to GROUP BY 1",
            |counts, row| {
                (counts.queued, counts.parked, counts.owed) = (count(row, 1)?, count(row, 2)?, count(row, 3)?);
                Ok(())
            },
        ),
        (
            "SELECT id >> 40, min(last_error) FROM pending
              WHERE id BETWEEN :from AND :to AND state <> 'parked' AND last_error GLOB :not_allowed || '*' GROUP BY 1",
            |counts, row| {
                let why: String = row.get(1)?;
                counts.not_allowed = why.strip_prefix(NOT_ALLOWED).map(str::to_owned);
                Ok(())
            },
        ),
        (
            "SELECT id >> 40, count(*), count(quarantine_seen) FROM change
              WHERE id BETWEEN :from AND :to AND quarantined IS NOT NULL GROUP BY 1",
            |counts, row| {
                (counts.quarantined, counts.quarantined_seen) = (count(row, 1)?, count(row, 2)?);
                Ok(())
            },
        ),
        (
            "SELECT id >> 40, count(*) FROM change WHERE container = 1 AND id BETWEEN :from AND :to GROUP BY 1",
            |counts, row| {
                counts.containers = count(row, 1)?;
                Ok(())
            },
        ),
    ];
    let mut all: HashMap<i64, Counts> = HashMap::new();
    for (sql, note) in queries {
        let mut statement = connection.prepare_cached(sql)?;
        if statement.parameter_index(":not_allowed")?.is_some() {
            statement.raw_bind_parameter(":not_allowed", NOT_ALLOWED)?;
        }
        statement.raw_bind_parameter(":from", from)?;
        statement.raw_bind_parameter(":to", to)?;
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            note(all.entry(row.get(0)?).or_default(), row)?;
        }
    }
    Ok(all)
}

fn count(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(|count| count.max(0) as u64)
}
