//! Writing rows: what [`EditRows`] asks, in SQL.

use std::collections::BTreeMap;

use automerge::ActorId;
use rejoin_protocol::{
    DocumentId,
    fence::{Last, Reach},
};
use rejoin_storage::rows::row_key;
use rusqlite::{OptionalExtension, named_params};

use super::{
    SqliteRows, compact, found,
    rows::keys,
    values::{lookup_key, signed},
};
use crate::log::{
    Attempt, Document, LogError, Mark, StoredSnapshot,
    backend::EditRows,
    found::NewFindings,
    pack::Packed,
    rows::{MovedHeads, NewRow},
};

impl EditRows for SqliteRows<'_> {
    fn attempt<T>(&self, work: impl FnOnce(&Self) -> Result<Attempt<T>, LogError>) -> Result<T, LogError> {
        self.connection.prepare_cached("SAVEPOINT part")?.execute([])?;
        match work(self) {
            Ok(Attempt::Keep(value)) => {
                self.connection.prepare_cached("RELEASE part")?.execute([])?;
                Ok(value)
            }
            Ok(Attempt::Undo(value)) => self.undo().map(|()| value),
            Err(error) => {
                if !self.connection.is_autocommit() {
                    self.undo()?;
                }
                Err(error)
            }
        }
    }

    fn create(&self, id: &DocumentId, entry: u64, now: i64) -> Result<i64, LogError> {
        self.connection
            .prepare_cached(
                "INSERT INTO document (uuid, last, digest, rewritten, bytes, feed, made_at)
                 VALUES (:uuid, 0, :digest, 0, 0, :feed, :now)",
            )?
            .execute(named_params! {
                ":uuid": id.as_bytes(),
                ":digest": Mark::default().digest.0,
                ":feed": signed(entry),
                ":now": now,
            })?;
        Ok(self.connection.last_insert_rowid())
    }

    fn append(&self, document: i64, rows: &[NewRow<'_>]) -> Result<(), LogError> {
        let actors = self.put_actors(document, rows)?;
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO change (id, hash, lookup, actor, seq, deps, digest, bytes, was)
             VALUES (:id, :hash, :lookup, :actor, :seq, :deps, :digest, :bytes, :was)",
        )?;
        for row in rows {
            insert.execute(named_params! {
                ":id": row_key(document, row.position),
                ":hash": row.hash.0,
                ":lookup": lookup_key(document, row.position, &row.hash),
                ":actor": actors.get(row.actor),
                ":seq": signed(row.seq),
                ":deps": row.deps,
                ":digest": row.digest.0,
                ":bytes": row.bytes,
                ":was": row.was.map(|hash| hash.0),
            })?;
            if let Some(reach) = row.reach {
                self.put_reach(document, row.position, reach)?;
            }
        }
        Ok(())
    }

    fn put(&self, document: &Document, heads: &MovedHeads, entry: Mark) -> Result<(), LogError> {
        let key = |position| row_key(document.key, position);
        let mut delete = self.connection.prepare_cached("DELETE FROM head WHERE id = :id")?;
        for position in &heads.gone {
            delete.execute(named_params! { ":id": key(*position) })?;
        }
        let mut insert = self.connection.prepare_cached("INSERT INTO head (id, hash) VALUES (:id, :hash)")?;
        for head in &heads.new {
            insert.execute(named_params! { ":id": key(head.position), ":hash": head.hash.0 })?;
        }
        self.connection
            .prepare_cached(
                "UPDATE document SET last = :last, digest = :digest, rewritten = :rewritten, bytes = :bytes,
                        feed = :feed
                 WHERE id = :id",
            )?
            .execute(named_params! {
                ":id": document.key,
                ":last": signed(document.end.position),
                ":digest": document.end.digest.0,
                ":rewritten": signed(document.rewritten),
                ":bytes": signed(document.bytes),
                ":feed": signed(entry.position),
            })?;
        self.connection
            .prepare_cached("INSERT INTO feed (id, document, digest) VALUES (:id, :document, :digest)")?
            .execute(named_params! {
                ":id": signed(entry.position), ":document": document.key, ":digest": entry.digest.0,
            })?;
        Ok(())
    }

    fn bury(&self, document: i64, now: i64) -> Result<(), LogError> {
        self.connection
            .prepare_cached("UPDATE document SET deleted_at = :now WHERE id = :id")?
            .execute(named_params! { ":id": document, ":now": now })?;
        found::forget(self.connection, document)
    }

    fn begin_run(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError> {
        let pusher = by.map(|name| self.pusher(name)).transpose()?;
        self.connection
            .prepare_cached("INSERT INTO pushed (id, pusher) VALUES (:id, :pusher)")?
            .execute(named_params! { ":id": row_key(document, first), ":pusher": pusher })?;
        Ok(())
    }

    fn put_findings(&self, document: i64, new: &NewFindings<'_>, now: i64) -> Result<(), LogError> {
        found::put(self.connection, document, new, now)
    }

    fn put_snapshot(
        &self,
        document: i64,
        snapshot: StoredSnapshot,
        bytes: &[u8],
        now: i64,
    ) -> Result<(), LogError> {
        found::put_snapshot(self.connection, document, (snapshot, bytes), now)
    }

    fn put_pack(&self, packed: &Packed) -> Result<u64, LogError> {
        let (document, row) = (packed.document, packed.row);
        if let Some(replaced) = packed.replaced() {
            let mut delete = self.connection.prepare_cached("DELETE FROM pack WHERE id = :id")?;
            delete.execute(named_params! { ":id": row_key(document, replaced) })?;
        }
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO pack (id, first, before, digest, plain, outside, prefixes, bytes)
             VALUES (:id, :first, :before, :digest, :plain, :outside, :prefixes, :bytes)",
        )?;
        insert.execute(named_params! {
            ":id": row_key(document, row.last),
            ":first": signed(row.first),
            ":before": row.before.0,
            ":digest": row.digest.0,
            ":plain": signed(row.plain),
            ":outside": packed.outside,
            ":prefixes": packed.prefixes,
            ":bytes": packed.bytes,
        })?;
        let (after, upto) = keys(document, (packed.rows_after(), row.last));
        self.connection
            .prepare_cached(
                "INSERT OR IGNORE INTO rewritten (document, was, hash)
                 SELECT :document, was, hash FROM change WHERE id > :after AND id <= :upto AND was IS NOT NULL",
            )?
            .execute(named_params! { ":document": document, ":after": after, ":upto": upto })?;
        let sql = "DELETE FROM change WHERE id > :after AND id <= :upto";
        let mut delete = self.connection.prepare_cached(sql)?;
        Ok(delete.execute(named_params! { ":after": after, ":upto": upto })? as u64)
    }

    fn tidy(&self) -> Result<bool, LogError> {
        compact::tidy(*self)
    }
}

impl SqliteRows<'_> {
    fn undo(&self) -> Result<(), LogError> {
        Ok(self.connection.execute_batch("ROLLBACK TO part; RELEASE part")?)
    }

    /// Notes what came last of the actors of these rows; gives their keys.
    fn put_actors<'r>(
        &self,
        document: i64,
        rows: &[NewRow<'r>],
    ) -> Result<BTreeMap<&'r ActorId, i64>, LogError> {
        let mut last: BTreeMap<&'r ActorId, Last> = BTreeMap::new();
        for row in rows {
            last.insert(row.actor, Last { seq: row.seq, position: row.position });
        }
        let mut upsert = self.connection.prepare_cached(
            "INSERT INTO actor (document, bytes, seq, position) VALUES (:document, :bytes, :seq, :position)
             ON CONFLICT (document, bytes) DO UPDATE SET seq = excluded.seq, position = excluded.position
             RETURNING id",
        )?;
        let mut keys = BTreeMap::new();
        for (actor, Last { seq, position }) in last {
            let params = named_params! {
                ":document": document, ":bytes": actor.to_bytes(),
                ":seq": signed(seq), ":position": signed(position),
            };
            keys.insert(actor, upsert.query_row(params, |row| row.get(0))?);
        }
        Ok(keys)
    }

    fn put_reach(&self, document: i64, position: u64, reach: Reach) -> Result<(), LogError> {
        self.connection
            .prepare_cached("INSERT INTO reach (id, last, slack, own) VALUES (:id, :last, :slack, :own)")?
            .execute(named_params! {
                ":id": row_key(document, position),
                ":last": signed(reach.last),
                ":slack": signed(reach.slack),
                ":own": signed(reach.own),
            })?;
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
}
