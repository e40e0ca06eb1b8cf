//! Reading rows: what [`Rows`] asks, in SQL.

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash, DocumentId,
    container::{ACTOR_BYTES, ACTOR_PREFIX},
    fence::{Last, Reach},
};
use rejoin_storage::rows::{LAST_POSITION, position_of, row_key};
use rusqlite::{Connection, OptionalExtension, Row, named_params};

use super::{
    found, list,
    values::{FIND, blob, key_in_stretch, signed, stretch_of, unsigned},
};
use crate::log::{
    Digest, Document, LogError, Mark, PackCache,
    backend::Rows,
    documents::{Counts, Which},
    found::Known,
    pack::{PackPart, PackRow, Packs},
    pushers::PushedRun,
    rows::{Head, Line},
};

/// Reading and writing by one connection; with one state of the database where the caller holds a transaction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SqliteRows<'c> {
    pub(super) connection: &'c Connection,
    pub(super) packs: &'c PackCache,
}

impl Rows for SqliteRows<'_> {
    fn cache(&self) -> &PackCache {
        self.packs
    }

    fn document(&self, id: &DocumentId) -> Result<Option<Document>, LogError> {
        list::document(self.connection, id)
    }

    fn documents(&self, which: &Which, limit: usize) -> Result<Vec<Document>, LogError> {
        list::documents(self.connection, which, limit)
    }

    fn feed(&self, entry: Option<u64>) -> Result<Option<Mark>, LogError> {
        list::feed(self.connection, entry)
    }

    fn counts(&self) -> Result<Counts, LogError> {
        found::counts(self.connection)
    }

    fn version(&self) -> Result<i64, LogError> {
        let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
        Ok(statement.query_row([], |row| row.get(0))?)
    }

    fn chunks(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        let sql = "SELECT id, bytes FROM change WHERE id > :after AND id <= :upto ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (after, upto) = keys(document, span);
        let mut rows = statement.query(named_params! { ":after": after, ":upto": upto })?;
        while let Some(row) = rows.next()? {
            if !take(position_of(row.get(0)?), blob(row, 1)?) {
                break;
            }
        }
        Ok(())
    }

    fn lines(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(Line<'_>) -> bool,
    ) -> Result<(), LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT change.id, hash, digest, length(change.bytes), actor.bytes
               FROM change LEFT JOIN actor ON actor.id = CASE change.seq WHEN 1 THEN change.actor END
              WHERE change.id > :after AND change.id <= :upto ORDER BY change.id",
        )?;
        let (after, upto) = keys(document, span);
        let mut rows = statement.query(named_params! { ":after": after, ":upto": upto })?;
        while let Some(row) = rows.next()? {
            let begins = row.get_ref(4)?.as_blob_or_null().map_err(super::values::corrupt_type)?;
            let line = Line {
                position: position_of(row.get(0)?),
                hash: ChangeHash(row.get(1)?),
                digest: Digest(row.get(2)?),
                length: unsigned(row, 3)?,
                begins,
            };
            if !take(line) {
                break;
            }
        }
        Ok(())
    }

    fn dependencies(&self, document: i64, span: (u64, u64)) -> Result<Vec<Box<[u8]>>, LogError> {
        let sql = "SELECT deps FROM change WHERE id > :after AND id <= :upto ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (after, upto) = keys(document, span);
        let rows = statement.query_map(named_params! { ":after": after, ":upto": upto }, |row| {
            Ok(Box::from(row.get_ref(0)?.as_blob()?))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn find(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        hash: &ChangeHash,
    ) -> Result<Option<u64>, LogError> {
        let mut statement = self.connection.prepare_cached(FIND)?;
        for stretch in (stretch_of(after + 1)..=stretch_of(upto)).rev() {
            let lookup = key_in_stretch(document, stretch, hash);
            let mut rows = statement.query(named_params! { ":lookup": lookup })?;
            while let Some(row) = rows.next()? {
                if blob(row, 1)? == hash.0 {
                    return Ok(Some(position_of(row.get(0)?)));
                }
            }
        }
        Ok(None)
    }

    fn rewritten_as(&self, document: i64, was: &ChangeHash) -> Result<Option<ChangeHash>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT hash FROM change WHERE was = :was AND id BETWEEN :first AND :last
             UNION ALL SELECT hash FROM rewritten WHERE document = :document AND was = :was LIMIT 1",
        )?;
        let (first, last) = all(document);
        let params = named_params! { ":was": was.0, ":first": first, ":last": last, ":document": document };
        Ok(statement.query_row(params, |row| row.get(0).map(ChangeHash)).optional()?)
    }

    fn is_rewritten(&self, document: i64, position: u64, hash: &ChangeHash) -> Result<bool, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM change WHERE id = :id AND was IS NOT NULL)
                 OR EXISTS (SELECT 1 FROM rewritten WHERE document = :document AND hash = :hash)",
        )?;
        let id = row_key(document, position);
        let params = named_params! { ":id": id, ":document": document, ":hash": hash.0 };
        Ok(statement.query_row(params, |row| row.get(0))?)
    }

    fn actor(&self, document: i64, actor: &ActorId) -> Result<Option<Last>, LogError> {
        let sql = "SELECT seq, position FROM actor WHERE document = :document AND bytes = :bytes";
        let mut statement = self.connection.prepare_cached(sql)?;
        let params = named_params! { ":document": document, ":bytes": actor.to_bytes() };
        let row = statement
            .query_row(params, |row| Ok(Last { seq: unsigned(row, 0)?, position: unsigned(row, 1)? }));
        Ok(row.optional()?)
    }

    fn count_actors(&self, document: i64) -> Result<(u64, u64), LogError> {
        let sql = "SELECT count(*) FROM actor WHERE document = :document";
        let mut all = self.connection.prepare_cached(sql)?;
        let all = all.query_row(named_params! { ":document": document }, |row| unsigned(row, 0))?;
        let sql = "SELECT count(*) FROM actor WHERE document = :document AND bytes >= :from AND bytes < :to
                    AND length(bytes) = :length";
        let mut to = *ACTOR_PREFIX;
        to[3] += 1;
        let mut containers = self.connection.prepare_cached(sql)?;
        let params = named_params! {
            ":document": document, ":from": ACTOR_PREFIX, ":to": to, ":length": ACTOR_BYTES as i64,
        };
        Ok((all, containers.query_row(params, |row| unsigned(row, 0))?))
    }

    fn head_rows(&self, document: i64) -> Result<Vec<Head>, LogError> {
        let sql = "SELECT id, hash FROM head WHERE id BETWEEN :first AND :last ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (first, last) = all(document);
        let heads = statement.query_map(named_params! { ":first": first, ":last": last }, |row| {
            Ok(Head { position: position_of(row.get(0)?), hash: ChangeHash(row.get(1)?) })
        })?;
        Ok(heads.collect::<Result<_, _>>()?)
    }

    fn noted_reach(&self, document: i64, position: u64) -> Result<Option<Reach>, LogError> {
        let sql = "SELECT last, slack, own FROM reach WHERE id = :id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let noted = statement.query_row(named_params! { ":id": row_key(document, position) }, |row| {
            Ok(Reach { last: unsigned(row, 0)?, slack: unsigned(row, 1)?, own: unsigned(row, 2)? })
        });
        Ok(noted.optional()?)
    }

    fn packs(&self, document: i64, which: Packs) -> Result<Vec<PackRow>, LogError> {
        let (sql, first) = match which {
            Packs::All => (PACKS, 1),
            Packs::Newest => (NEWEST_PACK, 1),
            Packs::EndingFrom(position) => (PACK_AT, position),
        };
        let mut statement = self.connection.prepare_cached(sql)?;
        let (first, last) = (row_key(document, first), row_key(document, LAST_POSITION));
        let rows = statement.query_map(named_params! { ":first": first, ":last": last }, read_pack_row)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    fn pack_part(&self, document: i64, last: u64, part: PackPart) -> Result<Option<Vec<u8>>, LogError> {
        let mut statement = self.connection.prepare_cached(match part {
            PackPart::Outside => "SELECT outside FROM pack WHERE id = :id",
            PackPart::Prefixes => "SELECT prefixes FROM pack WHERE id = :id",
            PackPart::Bytes => "SELECT bytes FROM pack WHERE id = :id",
        })?;
        let row = statement.query_row(named_params! { ":id": row_key(document, last) }, |row| row.get(0));
        Ok(row.optional()?)
    }

    fn runs(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Result<Vec<PushedRun>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT pushed.id, pusher.name FROM pushed LEFT JOIN pusher ON pusher.id = pushed.pusher
             WHERE pushed.id <= :upto AND pushed.id >= coalesce(
                   (SELECT max(id) FROM pushed WHERE id BETWEEN :start AND :first), :first)
             ORDER BY pushed.id LIMIT :limit",
        )?;
        let params = named_params! {
            ":start": row_key(document, 0),
            ":first": row_key(document, after + 1),
            ":upto": row_key(document, upto),
            // Where one ends is where the next begins.
            ":limit": signed((most as u64).saturating_add(1)),
        };
        let found = statement.query_map(params, |row| {
            Ok(PushedRun { first: position_of(row.get(0)?), last: upto, by: row.get(1)? })
        })?;
        let mut runs = found.collect::<Result<Vec<_>, _>>()?;
        let starts: Vec<u64> = runs.iter().skip(1).map(|run| run.first).collect();
        for (run, next) in runs.iter_mut().zip(starts) {
            run.last = next - 1;
        }
        runs.truncate(most);
        Ok(runs)
    }

    fn known(&self, document: i64) -> Result<Known, LogError> {
        found::known(self.connection, document)
    }

    fn snapshot(&self, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        found::snapshot(self.connection, document)
    }
}

const PACKS: &str =
    "SELECT id, first, before, digest, plain FROM pack WHERE id BETWEEN :first AND :last ORDER BY id";
const NEWEST_PACK: &str = "SELECT id, first, before, digest, plain FROM pack
                            WHERE id BETWEEN :first AND :last ORDER BY id DESC LIMIT 1";
const PACK_AT: &str = "SELECT id, first, before, digest, plain FROM pack
                        WHERE id BETWEEN :first AND :last ORDER BY id LIMIT 1";

fn read_pack_row(row: &Row<'_>) -> rusqlite::Result<PackRow> {
    Ok(PackRow {
        last: position_of(row.get(0)?),
        first: unsigned(row, 1)?,
        before: Digest(row.get(2)?),
        digest: Digest(row.get(3)?),
        plain: unsigned(row, 4)?,
    })
}

/// The keys of a span: after the first and up to the second.
pub(super) fn keys(document: i64, (after, upto): (u64, u64)) -> (i64, i64) {
    (row_key(document, after), row_key(document, upto))
}

/// The first and the last key of a document's rows.
pub(super) fn all(document: i64) -> (i64, i64) {
    (row_key(document, 1), row_key(document, LAST_POSITION))
}
