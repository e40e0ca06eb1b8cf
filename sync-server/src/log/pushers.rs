//! Who pushed what, by runs of a log.

use rejoin_protocol::ChangeHash;
use rusqlite::{OptionalExtension, named_params};

use super::{
    LogError, View,
    view::{LAST_POSITION, corrupt_type, hole, position_of, row_key},
};

/// Neighbouring changes of a log that one pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PushedRun {
    pub(crate) first: u64,
    pub(crate) last: u64,
    /// `None`: nobody is known.
    pub(crate) by: Option<String>,
}

impl View<'_> {
    /// Notes who pushed what begins at `first`. To be called in the transaction that appends it. Whoever pushes again
    /// and again writes one row.
    pub(crate) fn note_pushed(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError> {
        let pusher = by.map(|name| self.pusher(name)).transpose()?;
        let mut last = self.connection.prepare_cached(
            "SELECT pusher FROM pushed WHERE id BETWEEN :first AND :last ORDER BY id DESC LIMIT 1",
        )?;
        let (from, to) = (row_key(document, 0), row_key(document, LAST_POSITION));
        let before: Option<i64> = last
            .query_row(named_params! { ":first": from, ":last": to }, |row| row.get(0))
            .optional()?
            .flatten();
        if before != pusher {
            self.connection
                .prepare_cached("INSERT INTO pushed (id, pusher) VALUES (:id, :pusher)")?
                .execute(named_params! { ":id": row_key(document, first), ":pusher": pusher })?;
        }
        Ok(())
    }

    fn pusher(&self, name: &str) -> Result<i64, LogError> {
        let mut known = self.connection.prepare_cached("SELECT id FROM pusher WHERE name = :name")?;
        if let Some(id) = known.query_row(named_params! { ":name": name }, |row| row.get(0)).optional()? {
            return Ok(id);
        }
        self.connection
            .prepare_cached("INSERT INTO pusher (name) VALUES (:name)")?
            .execute(named_params! { ":name": name })?;
        Ok(self.connection.last_insert_rowid())
    }

    /// The first position after `after` of which somebody is known to have pushed it, in a log that ends at `end`.
    pub(crate) fn first_pushed(&self, document: i64, after: u64, end: u64) -> Result<Option<u64>, LogError> {
        if after >= end {
            return Ok(None);
        }
        let within = self.pushed(document, (after, after + 1))?;
        if within.iter().any(|run| run.by.is_some()) {
            return Ok(Some(after + 1));
        }
        let mut next = self.connection.prepare_cached(
            "SELECT id FROM pushed WHERE id > :after AND id <= :end AND pusher IS NOT NULL ORDER BY id LIMIT 1",
        )?;
        let params = named_params! { ":after": row_key(document, after + 1), ":end": row_key(document, end) };
        Ok(next.query_row(params, |row| row.get(0)).optional()?.map(position_of))
    }

    /// Who pushed the changes after `after` and up to `upto`.
    pub(crate) fn pushed(
        &self,
        document: i64,
        (after, upto): (u64, u64),
    ) -> Result<Vec<PushedRun>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT pushed.id, pusher.name FROM pushed LEFT JOIN pusher ON pusher.id = pushed.pusher
             WHERE pushed.id <= :upto AND pushed.id >= coalesce(
                   (SELECT max(id) FROM pushed WHERE id BETWEEN :start AND :first), :first)
             ORDER BY pushed.id",
        )?;
        let params = named_params! {
            ":start": row_key(document, 0),
            ":first": row_key(document, after + 1),
            ":upto": row_key(document, upto),
        };
        let found = statement.query_map(params, |row| {
            Ok(PushedRun { first: position_of(row.get(0)?), last: upto, by: row.get(1)? })
        })?;
        let mut runs = found.collect::<Result<Vec<_>, _>>()?;
        let starts: Vec<u64> = runs.iter().skip(1).map(|run| run.first).collect();
        for (run, next) in runs.iter_mut().zip(starts) {
            run.last = next - 1;
        }
        if let Some(run) = runs.first_mut() {
            run.first = run.first.max(after + 1);
        }
        Ok(runs)
    }

    /// The hashes at these positions, both ends included.
    pub(crate) fn hashes(
        &self,
        document: i64,
        (first, last): (u64, u64),
    ) -> Result<Vec<ChangeHash>, LogError> {
        let mut found = Vec::new();
        let mut at = first;
        while at <= last
            && let Some(pack) = self.pack_at(document, at)?
        {
            while at <= last
                && let Some(hash) = pack.hash(at)
            {
                found.push(*hash);
                at += 1;
            }
        }
        let mut statement = self
            .connection
            .prepare_cached("SELECT id, hash FROM change WHERE id BETWEEN :first AND :last ORDER BY id")?;
        let params = named_params! { ":first": row_key(document, at), ":last": row_key(document, last) };
        let mut rows = statement.query(params)?;
        while at <= last {
            let row = rows.next()?.filter(|row| row.get(0).is_ok_and(|id: i64| position_of(id) == at));
            let row = row.ok_or_else(|| hole(at))?;
            let bytes = row.get_ref(1)?.as_blob().map_err(corrupt_type)?;
            found.push(ChangeHash(bytes.try_into().map_err(|_| hole(at))?));
            at += 1;
        }
        Ok(found)
    }
}
