//! What a server sent is tried in a process of its own before the library of this one gets it: there it may hang, take
//! all memory or end the process. What does that is quarantined, and the document goes on without it.

use std::{
    collections::{BTreeSet, HashMap},
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    Core,
    core::Writing,
    fork, replica,
    rows::{self, DocumentRow},
};
use crate::{
    DocumentId, Error, Result,
    quarantine::Reason,
    verify::{
        Batch, BatchSize, Cause, Failed, LeftOut, Outcome, Patience, Shape, Source, Subject, Task, Terms,
        Unsound, Verdict, Verifier, VerifyCommand, find, millis,
    },
};

/// Most address space of the process, in bytes, beside what the program itself has.
const MEMORY: u64 = 2 * 1024 * 1024 * 1024;
/// Most bytes of a log that is proved. A larger one is left to the fence: a second copy of it in memory, and the time
/// to make it, would cost every user more than the danger is worth.
const MOST_BYTES: u64 = 32 * 1024 * 1024;
/// For documents that are kept for the next page, in bytes, as the verifier estimates them.
const CACHE: u64 = 4 * MOST_BYTES;
/// The library keeps for every sixteenth change a number for each actor: with many actors memory and time grow with
/// their square, which over this counts as bytes of a log. So 10,000 actors count as much as 1.5 MB, and some 40,000
/// are the most that is proved.
const CLOCKS_A_BYTE: u64 = 64;
/// About how many bytes of a log lie in a byte of a compact file.
const BYTES_A_BYTE: u64 = 40;
/// How long what cannot be merged is searched for. Another process that writes waits for 30 seconds.
const PATIENCE: Patience = Patience { longest: Duration::from_secs(2), turn: Duration::from_secs(20) };
/// How long the process, and the documents in it, are kept for the next page.
const KEPT_FOR: Duration = Duration::from_secs(300);

/// What a trial showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Proof {
    /// Nothing: this process tries it itself, on copies and inside `catch_unwind`.
    None,
    /// The library can take it.
    Sound,
    /// So many changes were quarantined, and the document is read anew. The library can take the rest.
    Found(u64),
}

/// Tries what was sent, in a process of its own.
#[derive(Debug)]
pub(super) struct Prover {
    verifier: Verifier,
    /// When it was asked last; `None` when it rests.
    asked: Option<Instant>,
    /// Counts transactions that failed: what they had shown the process is not in the file, and what it kept is of no
    /// use any more; and whenever documents are to be read anew.
    failures: i64,
    /// How long logs are.
    lengths: HashMap<(DocumentId, i64), Length>,
}

/// How much of a log was measured.
#[derive(Debug, Clone, Copy, Default)]
struct Length {
    /// Up to which position.
    end: u64,
    bytes: u64,
    actors: u64,
}

impl Length {
    /// What it takes to merge it, as if it were that of so many bytes by few actors.
    fn cost(self) -> u64 {
        self.bytes.saturating_add(self.actors.saturating_mul(self.actors) / CLOCKS_A_BYTE)
    }
}

impl Prover {
    pub(super) fn new(command: VerifyCommand) -> Self {
        let terms = Terms { memory: MEMORY, cache: CACHE, behind: false };
        let verifier = Verifier::new(Some(command), terms);
        Self { verifier, asked: None, failures: 0, lengths: HashMap::new() }
    }

    fn verifier(&mut self) -> &mut Verifier {
        self.asked = Some(Instant::now());
        &mut self.verifier
    }

    /// Lets the process go where it was not asked for long. How long it is kept yet.
    fn rest(&mut self, now: Instant) -> Option<Duration> {
        let left = KEPT_FOR.saturating_sub(now.saturating_duration_since(self.asked?));
        if left.is_zero() {
            self.verifier.rest();
            self.asked = None;
        }
        self.asked.map(|_| left)
    }

    /// A transaction failed.
    pub(super) fn forget(&mut self) {
        self.failures += 1;
        self.lengths.clear();
    }

    /// What a document is called here: another history of it is another one.
    fn epoch(&self, row: &DocumentRow) -> i64 {
        (self.failures << 40).wrapping_add(row.epoch)
    }

    /// Up to where the live rows go, and what it takes to merge them, in bytes of a log.
    fn measure(&mut self, connection: &Connection, row: &DocumentRow) -> Result<(u64, u64)> {
        let known = self.lengths.entry((row.uuid, row.epoch)).or_default();
        let sql =
            "SELECT max(id), coalesce(sum(length(bytes)), 0), count(*) FILTER (WHERE seq = 1) FROM change
                    WHERE id > :from AND id <= :to AND replaced_by IS NULL AND quarantined IS NULL";
        let params =
            named_params! {":from": rows::row_id(row.id, known.end), ":to": rows::id_range(row.id).1};
        let (last, bytes, actors): (Option<i64>, i64, i64) =
            connection.prepare_cached(sql)?.query_row(params, |r| Ok((r.get(0)?, r.get(1)?, r.get(2)?)))?;
        if let Some(last) = last {
            known.end = rows::position_of(last);
            known.bytes = known.bytes.saturating_add(bytes.max(0) as u64);
            known.actors = known.actors.saturating_add(actors.max(0) as u64);
        }
        Ok((known.end, known.cost()))
    }

    /// One look, with what is in the process's memory already. `false`: it is to be searched.
    fn is_sound(
        &mut self,
        rows: &mut Rows<'_>,
        end: u64,
        (bytes, examine): (u64, bool),
    ) -> std::result::Result<bool, Failed<Error>> {
        let task = Task {
            document: rows.key(),
            epoch: self.epoch(rows.row),
            upto: end,
            expelled: BTreeSet::new(),
            shape: Shape::Nothing,
            examine,
            keep: true,
            millis: millis(PATIENCE.for_a_look(bytes)),
        };
        match self.verifier().work(&task, rows)? {
            Outcome::Written(merge) => Ok(merge.left_out.is_empty()),
            Outcome::TooDeep(_) => Ok(true),
            Outcome::Unsound(Unsound { why, .. }) => {
                tracing::warn!(document = %rows.row.uuid, why, "what arrived cannot be merged: the cause is looked for");
                Ok(false)
            }
        }
    }

    /// What is to be left out of the live rows, and whether that is all.
    fn search(
        &mut self,
        rows: &mut Rows<'_>,
        (end, bytes): (u64, u64),
    ) -> std::result::Result<(LeftOut, bool), Failed<Error>> {
        let subject = Subject {
            id: rows.row.uuid,
            document: rows.key(),
            epoch: self.epoch(rows.row),
            end,
            bytes,
            known: LeftOut::new(),
        };
        Ok(match find(rows, &subject, self.verifier(), PATIENCE)? {
            Verdict::Settled(merge) => (merge.left_out, true),
            Verdict::Unsettled(left_out) => (left_out, false),
        })
    }

    /// Whether a compact file can be loaded, saved and read.
    fn prove_file(&mut self, bytes: &[u8]) -> std::result::Result<Option<String>, Failed<Error>> {
        let like_a_log = (bytes.len() as u64).saturating_mul(BYTES_A_BYTE);
        if like_a_log > MOST_BYTES {
            return Ok(None);
        }
        let task = Task {
            document: 0,
            epoch: 0,
            upto: 1,
            expelled: BTreeSet::new(),
            shape: Shape::Nothing,
            examine: true,
            keep: false,
            millis: millis(PATIENCE.for_a_trial(like_a_log)),
        };
        Ok(match self.verifier().work(&task, &mut File(bytes))? {
            Outcome::Written(_) | Outcome::TooDeep(_) => None,
            Outcome::Unsound(Unsound { why, cause: Cause::Library | Cause::Resources }) => Some(why),
        })
    }
}

impl Core {
    /// Lets the process that tries what arrives go where nothing came for long. How long it is kept yet; `None`: there
    /// is none.
    pub(crate) fn rest_verifier(&mut self, now: Instant) -> Option<Duration> {
        self.prover.as_mut()?.rest(now)
    }

    /// Whether the library can take a compact file, as far as that is to be tried elsewhere.
    pub(super) fn prove_file(&mut self, bytes: &[u8]) -> std::result::Result<(), String> {
        let Some(prover) = &mut self.prover else { return Ok(()) };
        match prover.prove_file(bytes) {
            Ok(None) => Ok(()),
            Ok(Some(why)) => Err(why),
            Err(Failed::NotStarted(error)) => {
                give_up(&mut self.prover, &error);
                Ok(())
            }
            // It is the file that is damaged, and not the store.
            Err(Failed::Source(Error::Corrupt(why))) => Err(why),
            Err(Failed::Source(error)) => Err(error.to_string()),
        }
    }
}

/// Once, and then never again: a command that cannot be run now will not be later.
fn give_up(prover: &mut Option<Prover>, error: &std::io::Error) {
    tracing::warn!(%error, "the process that verifies cannot be started: what arrives is tried in this one");
    *prover = None;
}

impl Writing<'_> {
    /// Has the live rows of a document, as this transaction sees them, merged in a process of its own. Quarantines what
    /// makes that fail. `after`: up to that position nothing is new.
    pub(super) fn prove(&mut self, id: DocumentId, (after, examine): (u64, bool)) -> Result<Proof> {
        if self.prover.is_none() {
            return Ok(Proof::None);
        }
        // A document that is not open is not opened for it: that would give its rows to the library of this process.
        let open = self.replicas.peek(id).map(|replica| replica.row.clone());
        let row = match open {
            Some(row) => row,
            None => {
                rows::read_document(self.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?
            }
        };
        match self.try_to_prove(&row, examine) {
            Ok(Tried::Sound) => Ok(Proof::Sound),
            Ok(Tried::Not) => Ok(Proof::None),
            Ok(Tried::Unsound(left_out, all)) => {
                self.leave_out(&row, (left_out, (!all).then_some(after))).map(Proof::Found)
            }
            Err(Failed::Source(error)) => Err(error),
            Err(Failed::NotStarted(error)) => {
                give_up(self.prover, &error);
                Ok(Proof::None)
            }
        }
    }

    /// [`Writing::prove`], for a document of which the rows alone say what is true, after all was written anew. They
    /// need not be settled. `after`: up to that position nothing is to be held with what does harm.
    pub(super) fn prove_whole(&mut self, id: DocumentId, after: u64) -> Result<()> {
        if self.prover.is_some() {
            fork::settle(self, id)?;
            self.prove(id, (after, true))?;
        }
        Ok(())
    }

    fn try_to_prove(
        &mut self,
        row: &DocumentRow,
        examine: bool,
    ) -> std::result::Result<Tried, Failed<Error>> {
        let Some(prover) = self.prover.as_mut() else { return Ok(Tried::Not) };
        let (end, bytes) = prover.measure(self.tx, row).map_err(Failed::Source)?;
        if bytes > MOST_BYTES {
            return Ok(Tried::Not);
        }
        let mut rows = Rows { connection: self.tx, row };
        if end == 0 || prover.is_sound(&mut rows, end, (bytes, examine))? {
            return Ok(Tried::Sound);
        }
        let (left_out, all) = prover.search(&mut rows, (end, bytes))?;
        // A good document may just be large, or this machine busy.
        let nothing = left_out.is_empty();
        Ok(match (nothing, all) {
            (true, true) => Tried::Sound,
            (true, false) => Tried::Not,
            (false, _) => Tried::Unsound(left_out, all),
        })
    }

    /// Quarantines what was found. Where that is not all, and so somebody sent much that does harm, what is new waits
    /// with it: nothing is known to be good of it.
    fn leave_out(&mut self, row: &DocumentRow, (found, rest_after): (LeftOut, Option<u64>)) -> Result<u64> {
        // What this transaction did so far is in memory only.
        if let Some(replica) = self.replicas.peek(row.uuid) {
            rows::write_document(self.tx, &replica.row)?;
        }
        self.replicas.forget(row.uuid);
        let before = count_quarantined(self.tx, row.id)?;
        for (position, why) in &found {
            tracing::warn!(document = %row.uuid, position, %why, "a change is quarantined");
            let hash = rows::read_hash(self.tx, rows::row_id(row.id, *position))?;
            let hash = hash.ok_or_else(|| Error::Bug("a change went away".to_owned()))?;
            replica::quarantine(self.tx, row.id, hash, why)?;
        }
        if let Some(after) = rest_after {
            let reason = Reason::Held("too much of what came with it does harm to the library".to_owned());
            let sql = "UPDATE change SET quarantined = :reason WHERE id > :from AND id <= :to AND quarantined IS NULL
                          AND local = 0";
            let params = named_params! {
                ":reason": reason.to_string(), ":from": rows::row_id(row.id, after), ":to": rows::id_range(row.id).1,
            };
            self.tx.prepare_cached(sql)?.execute(params)?;
        }
        fork::leave_out_hostile(self.tx, row.id)?;
        fork::settle(self, row.uuid)?;
        Ok(count_quarantined(self.tx, row.id)?.saturating_sub(before))
    }
}

/// What trials came to.
enum Tried {
    /// None was made, or they told nothing.
    Not,
    Sound,
    /// Without these it is sound, or these are some of those without which it would be.
    Unsound(LeftOut, bool),
}

fn count_quarantined(connection: &Connection, document: i64) -> Result<u64> {
    let sql = "SELECT count(*) FROM change WHERE id BETWEEN :from AND :to AND quarantined IS NOT NULL";
    let (from, to) = rows::id_range(document);
    let params = named_params! {":from": from, ":to": to};
    Ok(connection.prepare_cached(sql)?.query_row(params, |r| r.get::<_, i64>(0))?.max(0) as u64)
}

/// The live rows of a document.
struct Rows<'c> {
    connection: &'c Connection,
    row: &'c DocumentRow,
}

impl Rows<'_> {
    /// Rows of the table are used again; ids of documents are not.
    fn key(&self) -> i64 {
        let (high, low) = self.row.uuid.as_u64_pair();
        (high ^ low).cast_signed()
    }
}

impl Source for Rows<'_> {
    type Error = Error;

    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        let sql = "SELECT position, bytes FROM snapshot WHERE document = :document AND epoch = :epoch";
        let params = named_params! {":document": self.row.id, ":epoch": self.row.epoch};
        let found = self
            .connection
            .prepare_cached(sql)?
            .query_row(params, |r| Ok((r.get::<_, i64>(0)?, r.get(1)?)))
            .optional()?;
        Ok(found.map(|(position, bytes)| (position.max(0) as u64, bytes)))
    }

    fn batch(&mut self, after: u64, upto: u64) -> Result<Batch> {
        let sql = "SELECT id, bytes FROM change WHERE id > :from AND id <= :to
                      AND replaced_by IS NULL AND quarantined IS NULL ORDER BY id";
        let mut statement = self.connection.prepare_cached(sql)?;
        let (from, to) = (rows::row_id(self.row.id, after), rows::row_id(self.row.id, upto));
        let mut found = statement.query(named_params! {":from": from, ":to": to})?;
        let (mut batch, mut size) = (Batch::new(), BatchSize::default());
        while !size.is_full()
            && let Some(row) = found.next()?
        {
            let change: Vec<u8> = row.get(1)?;
            size.add(&change);
            batch.push((rows::position_of(row.get(0)?), change));
        }
        Ok(batch)
    }
}

/// A compact file, as the log of one position.
struct File<'b>(&'b [u8]);

impl Source for File<'_> {
    type Error = Error;

    fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>> {
        Ok(Some((1, self.0.to_vec())))
    }

    /// The log is read where the snapshot cannot be loaded.
    fn batch(&mut self, _: u64, _: u64) -> Result<Batch> {
        Err(Error::Corrupt("Automerge cannot load it".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_kept_for_a_while_after_it_was_asked_and_then_let_go() {
        let mut prover = Prover::new(VerifyCommand::new("nothing that runs", ["at all"]));
        assert_eq!(prover.rest(Instant::now()), None, "none was started");
        assert!(matches!(prover.prove_file(b"a file"), Err(Failed::NotStarted(_))));
        let now = Instant::now();
        assert!(prover.rest(now).is_some_and(|left| left > Duration::ZERO && left <= KEPT_FOR));
        assert_eq!(prover.rest(now + KEPT_FOR), None);
        assert_eq!(prover.rest(now), None, "it rests");
    }
}
