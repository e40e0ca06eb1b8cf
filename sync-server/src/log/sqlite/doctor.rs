//! Checking a log against itself: every row says what it should, and everything that follows from the rows is so.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{self, CheckedChange, DocumentLimits, Last, Limits},
    rewrite::Claim,
    untrusted::{load_untrusted, parse_untrusted},
};
use rejoin_storage::rows::{LAST_POSITION, decode_deps, position_of, row_key};
use rusqlite::{Connection, Row, named_params};

use super::{
    LogReader, SqliteRows, list,
    values::{lookup_key, unsigned},
};
use crate::log::{
    Claimed, Digest, Document, LogError, Mark, Read, View,
    backend::Rows,
    pack::{Pack, PackView, Packs, encode_prefixes},
};

/// Most findings that are told; a damaged database has many that are the same.
const MOST: usize = 100;

/// For the order of documents an actor counts as so many bytes, as a power of two: by default a document may have so many
/// for each actor.
const BYTES_PER_ACTOR: u32 = 16;

/// What a check of the database came to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Diagnosis {
    /// How many documents were checked.
    pub documents: u64,
    /// How many changes were read and hashed again.
    pub changes: u64,
    /// What is wrong, a sentence each; at most a hundred. Empty where all is well.
    pub findings: Vec<String>,
    /// Of the hundred documents with the most actors and bytes who brought them. Nothing is wrong with that.
    pub crowds: Vec<Crowd>,
}

/// A document's actors, heads and bytes, by who pushed them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crowd {
    /// The document.
    pub document: DocumentId,
    /// How many actors wrote in it.
    pub actors: u64,
    /// How many heads it has.
    pub heads: u64,
    /// The plain bytes of its log.
    pub bytes: u64,
    /// Who brought them, most actors first.
    pub by: Vec<Bringer>,
}

/// What one pusher brought of a document's actors, heads and bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Bringer {
    /// `token:` and a token's name, or `jwt:` and a subject; `None` for what nobody is known to have pushed.
    pub name: Option<String>,
    /// Actors whose first change they pushed.
    pub actors: u64,
    /// Heads that they pushed.
    pub heads: u64,
    /// Plain bytes that they pushed.
    pub bytes: u64,
}

impl Diagnosis {
    fn note(&mut self, finding: impl Into<String>) {
        if self.findings.len() < MOST {
            self.findings.push(finding.into());
        }
    }

    fn note_crowd(&mut self, crowd: Crowd) {
        self.crowds.push(crowd);
        self.crowds.sort_by_key(|crowd| std::cmp::Reverse(crowd.actors.max(crowd.bytes >> BYTES_PER_ACTOR)));
        self.crowds.truncate(MOST);
    }

    fn must(&mut self, holds: bool, finding: impl FnOnce() -> String) {
        if !holds {
            self.note(finding());
        }
    }
}

/// Checks the log at `database`: the pages, every change's hash in rows and in packs, the chain of digests, the index
/// of hashes, dependencies, sequences, heads and snapshots. It changes nothing, and a server may be using the database.
///
/// # Errors
/// Where the file cannot be opened or is of another kind. Damage is a finding.
pub fn doctor(database: &Path) -> Result<Diagnosis, LogError> {
    let reader = LogReader::open(database)?;
    let mut diagnosis = Diagnosis::default();
    reader.read::<_, LogError>(|view| {
        if let Err(error) = check(*view, &mut diagnosis) {
            diagnosis.note(format!("The check could not go on: {error}."));
        }
        Ok(())
    })?;
    Ok(diagnosis)
}

fn check(view: SqliteRows<'_>, diagnosis: &mut Diagnosis) -> Result<(), LogError> {
    check_pages(view.connection, diagnosis)?;
    for document in list::all(view.connection)? {
        diagnosis.documents += 1;
        let uuid = document.uuid;
        let mut found = Diagnosis::default();
        if let Err(error) = check_document(view, document, &mut found) {
            found.note(format!("its log cannot be read: {error}"));
        }
        diagnosis.changes += found.changes;
        found.crowds.into_iter().for_each(|crowd| diagnosis.note_crowd(crowd));
        found.findings.iter().for_each(|finding| diagnosis.note(format!("Document {uuid}: {finding}.")));
    }
    Ok(())
}

fn check_pages(connection: &Connection, diagnosis: &mut Diagnosis) -> Result<(), LogError> {
    let mut statement = connection.prepare("PRAGMA integrity_check(100)")?;
    let lines = statement.query_map([], |row| row.get::<_, String>(0))?.collect::<Result<Vec<_>, _>>()?;
    if lines != ["ok"] {
        lines.iter().for_each(|line| diagnosis.note(format!("SQLite: {line}.")));
    }
    let mut statement = connection.prepare("PRAGMA foreign_key_check")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let table: String = row.get(0)?;
        diagnosis.note(format!("A row of the table {table} names a row that is not there."));
    }
    Ok(())
}

/// What follows from the rows of one log.
#[derive(Default)]
struct Sum {
    hashes: Vec<ChangeHash>,
    heads: BTreeSet<u64>,
    actors: HashMap<ActorId, Last>,
    /// Where the first change of each actor is.
    firsts: Vec<u64>,
    /// Where the log had how many bytes: at the end of each change.
    ends: Vec<u64>,
    end: Mark,
    rewritten: u64,
    proved: HashMap<ChangeHash, Claim>,
    bytes: u64,
}

fn check_document(
    view: SqliteRows<'_>,
    document: Document,
    diagnosis: &mut Diagnosis,
) -> Result<(), LogError> {
    if purged(view, &document)? {
        diagnosis
            .must(is_empty(view, &document)?, || "it was purged, and something of it is left".to_owned());
        return Ok(());
    }
    let mut sum = Sum::default();
    for row in view.packs(document.key, Packs::All)? {
        let pack = view.read_pack(document.key, row)?;
        check_pack(view, document.key, &pack, &mut sum, diagnosis)?;
    }
    let mut statement = view.connection.prepare_cached(
        "SELECT change.id, hash, lookup, change.seq, deps, digest, change.bytes, was, actor.bytes
         FROM change LEFT JOIN actor ON actor.id = change.actor
         WHERE change.id BETWEEN :first AND :last ORDER BY change.id",
    )?;
    let (first, last) = (row_key(document.key, 0), row_key(document.key, LAST_POSITION));
    let mut rows = statement.query(named_params! { ":first": first, ":last": last })?;
    while let Some(row) = rows.next()? {
        diagnosis.changes += 1;
        if let Err(finding) = check_row(row, document.key, &mut sum) {
            diagnosis.note(format!("the change at position {}: {finding}", sum.end.position));
        }
    }
    check_sum(view, &document, &sum, diagnosis)?;
    diagnosis.note_crowd(crowd(view, &document, &sum)?);
    check_snapshot(view, &document, &sum, diagnosis)
}

fn purged(view: SqliteRows<'_>, document: &Document) -> Result<bool, LogError> {
    let mut statement =
        view.connection.prepare_cached("SELECT purged_at IS NOT NULL FROM document WHERE id = :id")?;
    Ok(statement.query_row(named_params! { ":id": document.key }, |row| row.get(0))?)
}

fn is_empty(view: SqliteRows<'_>, document: &Document) -> Result<bool, LogError> {
    let mut statement = view.connection.prepare_cached(
        "SELECT NOT EXISTS (SELECT 1 FROM change WHERE id BETWEEN :first AND :last)
            AND NOT EXISTS (SELECT 1 FROM pack WHERE id BETWEEN :first AND :last)
            AND NOT EXISTS (SELECT 1 FROM snapshot WHERE document = :id)",
    )?;
    let (first, last) = (row_key(document.key, 0), row_key(document.key, LAST_POSITION));
    let found = named_params! { ":first": first, ":last": last, ":id": document.key };
    Ok(statement.query_row(found, |row| row.get(0))?)
}

/// A pack, which came back as its row's digests say, against what is before it and the index.
fn check_pack(
    view: SqliteRows<'_>,
    document: i64,
    pack: &Pack,
    sum: &mut Sum,
    diagnosis: &mut Diagnosis,
) -> Result<(), LogError> {
    let row = pack.row;
    let follows = row.first == sum.end.position + 1 && row.before == sum.end.digest;
    diagnosis
        .must(follows, || format!("the pack from {} on does not follow on {}", row.first, sum.end.position));
    let prefixes = view.prefixes(document, row)?;
    let stored: Vec<u8> = prefixes.iter().flat_map(|prefix| prefix.to_be_bytes()).collect();
    diagnosis.must(stored == encode_prefixes(pack.unpacked.hashes()), || {
        format!("the index of the pack from {} on does not fit it", row.first)
    });
    for position in row.first..=row.last {
        diagnosis.changes += 1;
        if let Err(finding) = check_packed(view, document, (pack, position), sum) {
            diagnosis.note(format!("the change at position {position}, in a pack: {finding}"));
        }
    }
    Ok(())
}

fn check_packed(
    view: SqliteRows<'_>,
    document: i64,
    (pack, position): (&Pack, u64),
    sum: &mut Sum,
) -> Result<(), String> {
    let hash = pack.hash(position).copied().ok_or("it is missing")?;
    let bytes = pack.chunk(position).ok_or("it is missing")?;
    sum.add(position, hash, bytes.len());
    let change = fence::check_bytes(bytes, &Limits::unbounded()).map_err(|refusal| refusal.to_string())?;
    if let Some(was) = sum.prove(&change)? {
        sum.rewritten += 1;
        let known = view.rewritten_as(document, &was).map_err(|error| error.to_string())?;
        known.ok_or("what it was before it was rewritten is not noted")?;
    }
    check_deps(&pack.dependencies(position).ok_or("its dependencies cannot be read")?, &change, sum)?;
    sum.follow(change)
}

impl Sum {
    fn add(&mut self, position: u64, hash: ChangeHash, bytes: usize) {
        self.end = Mark { position, digest: self.end.digest.then_change(&hash) };
        self.bytes += bytes as u64;
        self.hashes.resize(usize::try_from(position - 1).unwrap_or(0), ChangeHash([0; 32]));
        self.hashes.push(hash);
        self.ends.resize(self.hashes.len(), self.bytes);
        self.heads.insert(position);
    }

    /// The plain bytes of the changes from `first` to `last`.
    fn bytes_between(&self, first: u64, last: u64) -> u64 {
        let end = |position: u64| {
            let index = usize::try_from(position).unwrap_or(usize::MAX).checked_sub(1);
            index.map_or(0, |index| self.ends.get(index).copied().unwrap_or(self.bytes))
        };
        end(last).saturating_sub(end(first.saturating_sub(1)))
    }

    /// What the change was before it was written again, where that is proved.
    fn prove(&mut self, change: &CheckedChange) -> Result<Option<ChangeHash>, String> {
        if !change.message.as_deref().is_some_and(|text| text.contains("\"was\"")) {
            return Ok(None);
        }
        let Some(Claimed { change, claim }) = Claimed::of(parse_untrusted(change)?) else { return Ok(None) };
        let holds = claim.holds(&change, |dep| Ok::<_, String>(self.proved.get(dep).cloned()))?;
        let was = holds.then_some(claim.was());
        if holds {
            self.proved.insert(change.hash(), claim);
        }
        Ok(was)
    }

    fn follow(&mut self, change: CheckedChange) -> Result<(), String> {
        let last = Last { seq: change.seq, position: self.end.position };
        if change.seq == 1 {
            self.firsts.push(last.position);
        }
        let before = self.actors.insert(change.actor, last).map_or(0, |last| last.seq);
        match before + 1 == change.seq {
            true => Ok(()),
            false => Err(format!("number {} of its actor follows on number {before}", change.seq)),
        }
    }
}

/// A row against its bytes and the rows before it.
fn check_row(row: &Row<'_>, document: i64, sum: &mut Sum) -> Result<(), String> {
    let unreadable = |error: rusqlite::Error| format!("its row cannot be read: {error}");
    let id: i64 = row.get(0).map_err(unreadable)?;
    let expected = sum.end.position + 1;
    let hash = ChangeHash(row.get(1).map_err(unreadable)?);
    let bytes: Vec<u8> = row.get(6).map_err(unreadable)?;
    if position_of(id) < expected {
        return Err("a pack holds it already".to_owned());
    }
    sum.add(position_of(id), hash, bytes.len());
    if sum.end.position != expected {
        return Err(format!("the rows from {expected} to it are missing"));
    }
    let change = fence::check_bytes(&bytes, &Limits::unbounded()).map_err(|refusal| refusal.to_string())?;
    if change.hash != hash || row.get(2) != Ok(lookup_key(document, expected, &hash)) {
        return Err(format!("its bytes hash to {}, and the row says {hash}", change.hash));
    }
    if row.get(5).map(Digest) != Ok(sum.end.digest) {
        return Err("its digest does not follow from the one before".to_owned());
    }
    let was = sum.prove(&change)?;
    if row.get(7) != Ok(was.map(|was| was.0)) {
        return Err("what it was before it was rewritten differs from what it says".to_owned());
    }
    sum.rewritten += u64::from(was.is_some());
    let deps = decode_deps(expected, &row.get::<_, Vec<u8>>(4).map_err(unreadable)?);
    check_deps(&deps.ok_or("its dependencies cannot be read")?, &change, sum)?;
    let named: Option<Vec<u8>> = row.get(8).map_err(unreadable)?;
    let seq = unsigned(row, 3).map_err(unreadable)?;
    if named.as_deref() != Some(change.actor.to_bytes()) || seq != change.seq {
        return Err("its actor or its number is another than the row says".to_owned());
    }
    sum.follow(change)
}

fn check_deps(deps: &[u64], change: &CheckedChange, sum: &mut Sum) -> Result<(), String> {
    let hash_at = |at: &u64| sum.hashes.get(usize::try_from(*at).unwrap_or(usize::MAX).wrapping_sub(1));
    if !deps.iter().map(hash_at).eq(change.deps.iter().map(Some)) {
        return Err("its dependencies are not where the row says".to_owned());
    }
    for dep in deps {
        sum.heads.remove(dep);
    }
    Ok(())
}

fn check_sum(
    view: SqliteRows<'_>,
    document: &Document,
    sum: &Sum,
    diagnosis: &mut Diagnosis,
) -> Result<(), LogError> {
    diagnosis.must(document.end == sum.end, || {
        format!("its log ends at {}, and its row says {}", sum.end.position, document.end.position)
    });
    diagnosis.must((document.rewritten, document.bytes) == (sum.rewritten, sum.bytes), || {
        "what its row says of its size does not fit its log".to_owned()
    });
    let hash_at = |at: &u64| sum.hashes.get(usize::try_from(*at).unwrap_or(usize::MAX).wrapping_sub(1));
    let mut heads: Vec<ChangeHash> = sum.heads.iter().filter_map(hash_at).copied().collect();
    heads.sort_unstable();
    diagnosis.must(view.heads(document.key)? == heads, || "its heads do not fit its log".to_owned());
    for (actor, last) in &sum.actors {
        let stored = view.actor(document.key, actor)?;
        diagnosis.must(stored == Some(*last), || format!("the last change of actor {actor} is another"));
    }
    Ok(())
}

/// Who brought what the log has.
fn crowd(view: SqliteRows<'_>, document: &Document, sum: &Sum) -> Result<Crowd, LogError> {
    let runs = view.pushed(document.key, (0, sum.end.position))?;
    let whose = |position: u64| {
        let run = runs.get(..runs.partition_point(|run| run.first <= position)).and_then(<[_]>::last);
        run.and_then(|run| run.by.clone())
    };
    let nothing = |name: Option<String>| Bringer { name, actors: 0, heads: 0, bytes: 0 };
    let mut by: HashMap<Option<String>, Bringer> = HashMap::new();
    let mut entry = |name: Option<String>, add: &dyn Fn(&mut Bringer)| {
        add(by.entry(name.clone()).or_insert_with(|| nothing(name)));
    };
    sum.firsts.iter().for_each(|at| entry(whose(*at), &|one| one.actors += 1));
    sum.heads.iter().for_each(|at| entry(whose(*at), &|one| one.heads += 1));
    let mut known = 0;
    for run in &runs {
        let bytes = sum.bytes_between(run.first, run.last);
        known += bytes;
        entry(run.by.clone(), &|one| one.bytes += bytes);
    }
    let unknown = sum.bytes.saturating_sub(known);
    if unknown > 0 {
        entry(None, &|one| one.bytes += unknown);
    }
    let mut by: Vec<Bringer> = by.into_values().collect();
    by.sort_by(|a, b| (b.actors, b.bytes).cmp(&(a.actors, a.bytes)).then_with(|| a.name.cmp(&b.name)));
    let (actors, heads) = (sum.firsts.len() as u64, sum.heads.len() as u64);
    Ok(Crowd { document: document.uuid, actors, heads, bytes: sum.bytes, by })
}

/// A snapshot is a cache: a bad one can go, and the log stands.
fn check_snapshot(
    view: SqliteRows<'_>,
    document: &Document,
    sum: &Sum,
    diagnosis: &mut Diagnosis,
) -> Result<(), LogError> {
    let Some((position, bytes)) = view.snapshot(document.key)? else { return Ok(()) };
    let mut limits = DocumentLimits::default();
    (limits.bytes, limits.inflated) = (usize::MAX, u64::MAX);
    let loaded = match load_untrusted(&bytes, &limits) {
        Ok(loaded) => loaded,
        Err(error) => {
            diagnosis.note(format!("its snapshot cannot be loaded ({error})"));
            return Ok(());
        }
    };
    let mut held: Vec<ChangeHash> = loaded.get_changes_meta(&[]).iter().map(|change| change.hash).collect();
    let prefix = sum.hashes.get(..usize::try_from(position).unwrap_or(usize::MAX)).unwrap_or_default();
    let mut prefix = prefix.to_vec();
    held.sort_unstable();
    prefix.sort_unstable();
    diagnosis.must(held == prefix, || format!("its snapshot does not hold the log up to {position}"));
    Ok(())
}
