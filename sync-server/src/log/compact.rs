//! Compaction: the oldest changes of a long or idle log become packs. Made and verified behind, with a reader; then
//! one short transaction puts the pack in the place of its rows.

use rejoin_protocol::{
    ChangeHash,
    pack::{Effort, pack, unpack},
};
use rusqlite::named_params;

use super::{
    Attempt, Digest, Document, LogError, LogStore, View,
    pack::{encode_prefixes, stored_pack_limits},
    pack_cache::PackRow,
    view::{encode_deps, hole, read_document, row_key, signed},
};

/// Changes in a full pack: decoding one takes a millisecond or two, and putting it in the place of its rows some
/// milliseconds, in which pushes wait.
const PACK_CHANGES: u64 = 2_048;
/// Plain bytes in a pack, about; one change alone may be larger. From half of it on a pack counts as full.
const PACK_BYTES: u64 = 4 * 1024 * 1024;
/// The newest changes of a log that is in use stay rows: they are asked for most.
const TAIL: u64 = 512;
/// Free pages that are given back in one step, and how many are kept for what comes.
const PAGES_A_STEP: i64 = 256;
const PAGES_KEPT: i64 = 512;

/// What a compaction did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Compacted {
    /// Packs made.
    pub packs: u64,
    /// Changes that were in rows, and are in packs now.
    pub changes: u64,
}

/// A stretch of a log that is to become a pack.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Run {
    /// The newest pack as it was.
    newest: Option<PackRow>,
    /// Whether it becomes part of the new one.
    replaces: bool,
    after: u64,
    upto: u64,
}

/// A pack that was made and verified, and is not stored yet.
#[derive(Debug)]
pub(crate) struct Packed {
    document: i64,
    newest: Option<PackRow>,
    replaces: bool,
    row: PackRow,
    outside: Vec<u8>,
    prefixes: Vec<u8>,
    bytes: Vec<u8>,
    rewritten: Vec<(ChangeHash, ChangeHash)>,
}

impl Packed {
    /// About how much memory it takes, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.bytes.len() + self.prefixes.len()
    }
}

/// Whether this many changes in rows are enough to pack some of them while the document is in use.
fn long(rows: u64) -> bool {
    rows >= PACK_CHANGES + TAIL
}

/// What is to be packed next of a document. `idle`: it was left alone, and every run of at least so many changes may
/// be packed, up to the log's end.
pub(crate) fn due(view: View<'_>, document: &Document, idle: Option<u64>) -> Result<Option<Run>, LogError> {
    let newest = view.last_pack(document.key)?;
    let packed = newest.map_or(0, |row| row.last);
    let rows = document.end.position.saturating_sub(packed);
    if rows == 0 || !(long(rows) || idle.is_some_and(|least| rows >= least)) {
        return Ok(None);
    }
    // A short pack is made again with what follows it: otherwise a log that grows by little has many.
    let growing = newest.filter(|row| row.last - row.first + 1 < PACK_CHANGES && row.plain < PACK_BYTES / 2);
    let after = growing.map_or(packed, |row| row.first - 1);
    let upto = document.end.position.min(after + PACK_CHANGES);
    Ok(Some(Run { newest, replaces: growing.is_some(), after, upto }))
}

/// Makes a pack, and decodes it again. Slow; holds no lock.
///
/// # Errors
/// Where the log cannot be read, or the pack does not come back as it was.
pub(crate) fn make(view: View<'_>, document: &Document, run: Run) -> Result<Packed, LogError> {
    let packed = run.newest.map_or(0, |row| row.last);
    let (mut body, mut last) = (Vec::new(), run.after);
    view.for_each(document.key, (run.after, run.upto), |position, bytes| {
        // One new change at least, or nothing would ever be done.
        let full = position > packed + 1 && (body.len() + bytes.len()) as u64 > PACK_BYTES;
        if !full {
            body.extend_from_slice(bytes);
            last = position;
        }
        !full
    })?;
    let refused = |why: String| LogError::Damaged(format!("changes {} to {last}: {why}", run.after + 1));
    let bytes = pack(&body, Effort::Thorough).map_err(|error| refused(error.to_string()))?;
    // Invariant 10: a pack takes the place of rows only "after it was decoded again and every byte compared".
    let limits = stored_pack_limits(body.len() as u64);
    let unpacked = unpack(&bytes, &limits).map_err(|error| refused(error.to_string()))?;
    let before = match run.after {
        0 => Digest::default(),
        after => view.digest_at(document.key, after)?.ok_or_else(|| hole(after))?,
    };
    let digest = unpacked.hashes().iter().fold(before, |digest, hash| digest.then_change(hash));
    if unpacked.bytes() != body || view.digest_at(document.key, last)? != Some(digest) {
        return Err(refused("packed, they do not come back as they were".to_owned()));
    }
    let row = PackRow { first: run.after + 1, last, before, digest, plain: body.len() as u64 };
    Ok(Packed {
        document: document.key,
        newest: run.newest,
        replaces: run.replaces,
        row,
        outside: outside(view, document, row.first, unpacked.outside())?,
        prefixes: encode_prefixes(unpacked.hashes()),
        bytes,
        rewritten: view.rewritten_rows(document.key, (packed, last))?,
    })
}

fn outside(
    view: View<'_>,
    document: &Document,
    first: u64,
    hashes: &[ChangeHash],
) -> Result<Vec<u8>, LogError> {
    let mut positions = Vec::with_capacity(hashes.len());
    for hash in hashes {
        let position = view.locate(document.key, document.end.position, hash)?;
        let position = position.filter(|position| *position < first);
        positions.push(position.ok_or_else(|| {
            LogError::Damaged(format!("{hash}, a dependency, is not in the log where it must be"))
        })?);
    }
    let mut encoded = Vec::new();
    encode_deps(first, &positions, &mut encoded);
    Ok(encoded)
}

/// Puts a pack in the place of its rows. Gives how many rows went; `None`: the log is no longer the one that it was
/// made of (another packed it, or purged it), and nothing was done.
pub(crate) fn store(view: View<'_>, packed: &Packed) -> Result<Attempt<Option<u64>>, LogError> {
    let (document, row) = (packed.document, packed.row);
    let raw_after = packed.newest.map_or(0, |newest| newest.last);
    // Positions are never filled again: with the digest at the end the rows are the ones that were read.
    let same = view.last_pack(document)? == packed.newest
        && row.last > raw_after
        && view.digest_at(document, row.last)? == Some(row.digest);
    if !same {
        return Ok(Attempt::Undo(None));
    }
    if let Some(replaced) = packed.newest.filter(|_| packed.replaces) {
        let mut delete = view.connection.prepare_cached("DELETE FROM pack WHERE id = :id")?;
        delete.execute(named_params! { ":id": row_key(document, replaced.last) })?;
    }
    insert(view, packed)?;
    let mut delete =
        view.connection.prepare_cached("DELETE FROM change WHERE id > :after AND id <= :upto")?;
    let (after, upto) = (row_key(document, raw_after), row_key(document, row.last));
    let gone = delete.execute(named_params! { ":after": after, ":upto": upto })? as u64;
    if gone != row.last - raw_after {
        return Err(hole(raw_after + 1));
    }
    Ok(Attempt::Keep(Some(gone)))
}

fn insert(view: View<'_>, packed: &Packed) -> Result<(), LogError> {
    let row = packed.row;
    let mut insert = view.connection.prepare_cached(
        "INSERT INTO pack (id, first, before, digest, plain, outside, prefixes, bytes)
         VALUES (:id, :first, :before, :digest, :plain, :outside, :prefixes, :bytes)",
    )?;
    insert.execute(named_params! {
        ":id": row_key(packed.document, row.last),
        ":first": signed(row.first),
        ":before": row.before.0,
        ":digest": row.digest.0,
        ":plain": signed(row.plain),
        ":outside": packed.outside,
        ":prefixes": packed.prefixes,
        ":bytes": packed.bytes,
    })?;
    let mut insert = view.connection.prepare_cached(
        "INSERT OR IGNORE INTO rewritten (document, was, hash) VALUES (:document, :was, :hash)",
    )?;
    for (was, hash) in &packed.rewritten {
        insert.execute(named_params! { ":document": packed.document, ":was": was.0, ":hash": hash.0 })?;
    }
    Ok(())
}

impl View<'_> {
    /// Of the rows after `after` and up to `upto` those that were written again: what each was, and is.
    fn rewritten_rows(
        &self,
        document: i64,
        (after, upto): (u64, u64),
    ) -> Result<Vec<(ChangeHash, ChangeHash)>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT was, hash FROM change WHERE id > :after AND id <= :upto AND was IS NOT NULL",
        )?;
        let (after, upto) = (row_key(document, after), row_key(document, upto));
        let rows = statement.query_map(named_params! { ":after": after, ":upto": upto }, |row| {
            Ok((ChangeHash(row.get(0)?), ChangeHash(row.get(1)?)))
        })?;
        Ok(rows.collect::<Result<_, _>>()?)
    }

    /// The next documents that may have something to pack, in the order of their keys.
    pub(crate) fn documents_after(&self, key: i64, limit: u32) -> Result<Vec<Document>, LogError> {
        let mut statement = self.connection.prepare_cached(
            "SELECT id, uuid, last, digest, rewritten, bytes, deleted_at IS NOT NULL FROM document
             WHERE id > :key AND purged_at IS NULL ORDER BY id LIMIT :limit",
        )?;
        let rows = statement.query_map(named_params! { ":key": key, ":limit": limit }, read_document)?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// Gives some of the free pages back to the system. Whether there are more to give.
pub(crate) fn tidy(view: View<'_>) -> Result<bool, LogError> {
    let number = |name| view.connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let incremental = number("auto_vacuum")? == 2;
    let spare = number("freelist_count")? - PAGES_KEPT.max(number("page_count")? / 8);
    if !incremental || spare <= 0 {
        return Ok(false);
    }
    let sql = format!("PRAGMA incremental_vacuum({})", PAGES_A_STEP.min(spare));
    let mut statement = view.connection.prepare(&sql)?;
    let mut rows = statement.query([])?;
    while rows.next()?.is_some() {}
    Ok(spare > PAGES_A_STEP)
}

impl LogStore {
    /// Packs what is in rows, of every document in which at least `least` changes are, one pack a transaction; then
    /// writes the file again without its free pages. Others may use the database meanwhile; what they write waits for
    /// the last part.
    ///
    /// # Errors
    /// Where SQLite fails, and where a log is damaged: then the packs made before stay.
    pub fn compact(&mut self, least: u64) -> Result<Compacted, LogError> {
        let compacted = self.pack(least)?;
        self.vacuum()?;
        Ok(compacted)
    }

    /// The first half of [`Self::compact`]: the pages that it frees stay in the file.
    ///
    /// # Errors
    /// As there.
    pub fn pack(&mut self, least: u64) -> Result<Compacted, LogError> {
        let least = least.max(1);
        let (mut compacted, mut key) = (Compacted::default(), 0);
        while let Some(document) = self.view().documents_after(key, 1)?.pop() {
            key = document.key;
            while let Some(run) = due(self.view(), &document, Some(least))? {
                let packed = self.read(|view| make(view, &document, run))?;
                let group = self.begin()?;
                let gone = group.attempt(|view| store(view, &packed))?;
                group.commit()?;
                let Some(gone) = gone else { break };
                compacted.packs += 1;
                compacted.changes += gone;
            }
        }
        Ok(compacted)
    }

    /// Moves the write-ahead log into the file, and empties it. Whether that was done to the end: not where somebody
    /// reads.
    pub(super) fn checkpoint(&self) -> Result<bool, LogError> {
        let mut statement = self.connection.prepare("PRAGMA wal_checkpoint(TRUNCATE)")?;
        Ok(statement.query_row([], |row| row.get::<_, i64>(0))? == 0)
    }
}
