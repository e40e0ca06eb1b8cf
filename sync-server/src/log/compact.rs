//! Compaction: the oldest changes of a long or idle log become packs. Made and verified behind, with a reader; then
//! one short transaction puts the pack in the place of its rows.

use rejoin_protocol::{
    ChangeHash,
    pack::{Effort, pack, unpack},
};
use rejoin_storage::rows::encode_deps;

use super::{
    Attempt, Digest, Document, Edit, EditRows, Group, Log, LogError, View,
    backend::Rows,
    documents::Which,
    pack::{PackRow, PackView, Packed, encode_prefixes, stored_pack_limits},
    view::hole,
};

/// Changes in a full pack: decoding one takes a millisecond or two, and putting it in the place of its rows some
/// milliseconds, in which pushes wait.
const PACK_CHANGES: u64 = 2_048;
/// Plain bytes in a pack, about; one change alone may be larger. From half of it on a pack counts as full.
const PACK_BYTES: u64 = 4 * 1024 * 1024;
/// The newest changes of a log that is in use stay rows: they are asked for most.
const TAIL: u64 = 512;

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

/// Whether this many changes in rows are enough to pack some of them while the document is in use.
fn long(rows: u64) -> bool {
    rows >= PACK_CHANGES + TAIL
}

/// What is to be packed next of a document. `idle`: it was left alone, and every run of at least so many changes may
/// be packed, up to the log's end.
pub(crate) fn due(view: &impl View, document: &Document, idle: Option<u64>) -> Result<Option<Run>, LogError> {
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
pub(crate) fn make(view: &impl View, document: &Document, run: Run) -> Result<Packed, LogError> {
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
    })
}

fn outside(
    view: &impl View,
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
pub(crate) fn store(edit: &impl Edit, packed: &Packed) -> Result<Attempt<Option<u64>>, LogError> {
    let (document, row) = (packed.document, packed.row);
    let raw_after = packed.rows_after();
    // Positions are never filled again: with the digest at the end the rows are the ones that were read.
    let same = edit.last_pack(document)? == packed.newest
        && row.last > raw_after
        && edit.digest_at(document, row.last)? == Some(row.digest);
    if !same {
        return Ok(Attempt::Undo(None));
    }
    let gone = edit.put_pack(packed)?;
    if gone != row.last - raw_after {
        return Err(hole(raw_after + 1));
    }
    Ok(Attempt::Keep(Some(gone)))
}

/// Packs what is in rows, of every document in which at least `least` changes are, one pack a transaction.
pub(super) fn pack_all(log: &mut impl Log, least: u64) -> Result<Compacted, LogError> {
    let least = least.max(1);
    let (mut compacted, mut key) = (Compacted::default(), 0);
    while let Some(document) = log.read(|view| view.documents(&Which::After(key), 1))?.pop() {
        key = document.key;
        while let Some(run) = log.read(|view| due(view, &document, Some(least)))? {
            let packed = log.read(|view| make(view, &document, run))?;
            let group = log.begin()?;
            let gone = group.edit().attempt(|edit| store(edit, &packed))?;
            group.commit()?;
            let Some(gone) = gone else { break };
            compacted.packs += 1;
            compacted.changes += gone;
        }
    }
    Ok(compacted)
}
