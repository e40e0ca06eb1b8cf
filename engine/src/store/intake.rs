//! What a sync brings and takes: each verb is one transaction, and none is open across the network
//! (invariant 3).

use std::{
    borrow::Cow,
    collections::{HashMap, HashSet},
};

use automerge::ChangeHash;
use rusqlite::{Connection, named_params};

use super::{
    Batch, BatchBounds, BatchRow, Core, Facts, Failure, Page, PageOutcome,
    arrive::{Arrived, arrive, give_to_library, keep_refused, keep_unreadable, under},
    claims::Proved,
    core::Writing,
    dispatch::Failed,
    fork::{self, Rebuild},
    home::{Standing, Word, has_tombstone, is_sure, weigh_deletion},
    meet::find_forks,
    open::{self, get_meta},
    prove::Proof,
    queue::{WAITS, owes, parked_because, parked_in_words},
    reach, rows,
    trash::read_deleted_at,
};
use crate::{
    DocumentId, Error, Result,
    fence::RefusalCode,
    planted::{self, Bug},
};

/// How often what was written again for a page may be looked at anew: each time some of it met something else
/// that arrives.
const FORK_ROUNDS: u32 = 16;
/// In so many parts a page is stored at most. See [`Writing::store_page`].
const SPELLINGS: usize = 8;

impl Core {
    /// What a session with the server that gave the cursor needs to know of a document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn facts(&mut self, id: DocumentId) -> Result<Facts> {
        let server = self.document_row(id)?.cursor_from.unwrap_or_default();
        self.facts_at(id, &server)
    }

    /// What a session with this server needs to know of a document.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn facts_at(&mut self, id: DocumentId, server: &str) -> Result<Facts> {
        let row = self.document_row(id)?;
        let saved: Option<String> = get_meta(&self.connection, "server")?;
        let standing = Standing::of(&row, saved.as_deref(), server);
        let owed = row.tombstone.as_deref() == Some("owed");
        let sql = "SELECT count(*) FILTER (WHERE state = 'waiting'), count(*) FILTER (WHERE state = 'sent'),
                          count(*) FILTER (WHERE state = 'parked'), coalesce(max(ordinal), 0)
                     FROM pending WHERE id BETWEEN :from AND :to";
        let (from, to) = rows::id_range(row.id);
        let mut statement = self.connection.prepare_cached(sql)?;
        let counts: (i64, i64, i64, i64) = statement
            .query_row(named_params! {":from": from, ":to": to}, |r| {
                Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?))
            })?;
        let (waiting, sent, parked) =
            (counts.0.max(0) as u64, counts.1.max(0) as u64, counts.2.max(0) as u64);
        Ok(Facts {
            cursor: row.cursor_at(server).cloned(),
            healing: row.healing,
            waiting,
            sent,
            parked,
            changes: row.changes,
            unqueued: row.changes.saturating_sub(waiting + sent + parked),
            at_end: row.at_end,
            tombstone_owed: owed,
            tombstone_known: row.tombstone.as_deref() == Some("known"),
            tombstone_here: if owed { standing.is_owed_to() } else { has_tombstone(&row, server) },
            tombstone_sure: row.tombstone_sure,
            begun: row.home.is_some() || row.server.is_some() || row.cursor.is_some(),
            enqueued: counts.3.max(0) as u64,
        })
    }

    /// The next changes to push, dependencies first: those that wait, or where none does those that were
    /// accepted and are not covered (a duplicate costs nothing).
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn take_batch(&mut self, id: DocumentId, bounds: BatchBounds) -> Result<Batch> {
        #[cfg(feature = "planted-bugs")]
        self.flush_late_pending()?;
        let document = self.document_row(id)?.id;
        let waiting = read_batch(&self.connection, document, "waiting", bounds)?;
        if waiting.rows.is_empty() {
            read_batch(&self.connection, document, "sent", bounds)
        } else {
            Ok(waiting)
        }
    }

    /// These changes, by their place, in the order given.
    ///
    /// # Errors
    /// [`Error::Storage`] when a place holds no change.
    pub fn take_changes(&mut self, _id: DocumentId, ids: &[i64], bounds: BatchBounds) -> Result<Batch> {
        let mut batch = Batch::default();
        for id in ids {
            let bytes = rows::read_bytes(&self.connection, *id)?;
            let hash = rows::read_hash(&self.connection, *id)?;
            if !fits(&batch, bytes.len(), bounds) {
                break;
            }
            let hash = hash.ok_or_else(|| Error::Bug("a change went away".to_owned()))?;
            batch.rows.push(BatchRow { id: *id, hash, bytes: bytes.len() });
            batch.body.extend_from_slice(&bytes);
        }
        Ok(batch)
    }

    /// Stores what a reply brought: pulled changes, cursor, and the rows it covers, in one transaction.
    ///
    /// # Errors
    /// The file's; then nothing of the page was stored and it may be asked for again.
    pub fn store_page(&mut self, id: DocumentId, page: Page) -> Result<PageOutcome> {
        #[cfg(feature = "planted-bugs")]
        self.flush_late_pending()?;
        if planted::is_planted(Bug::CursorBeforeCommit) && page.cursor.is_some() {
            let (asked, cursor, server) = (page.asked.clone(), page.cursor.clone(), page.server.clone());
            let early = Page { asked, cursor, server, ..Page::default() };
            self.write(&[id], |w| w.store_page(id, &early))?;
            if planted::interrupts() {
                return Err(Error::Bug("interrupted".to_owned()));
            }
        }
        let outcome = self.write(&[id], |w| w.store_page(id, &page));
        #[cfg(feature = "planted-bugs")]
        self.take_late_pending();
        outcome
    }

    /// Notes why an attempt failed, in every row that waits.
    ///
    /// # Errors
    /// The file's.
    pub fn store_failure(&mut self, failure: &Failure) -> Result<()> {
        let document = self.document_row(failure.document)?.id;
        self.write(&[], |w| {
            let sql = "UPDATE pending SET attempts = attempts + 1, last_attempt_at = :now, last_error = :error,
                       next_attempt_at = :next WHERE id BETWEEN :from AND :to AND state <> 'parked'";
            let (from, to) = rows::id_range(document);
            w.tx.prepare_cached(sql)?.execute(named_params! {
                ":now": w.now, ":error": failure.error, ":next": failure.next_attempt_at, ":from": from, ":to": to,
            })?;
            Ok(())
        })
    }
}

fn read_batch(connection: &Connection, document: i64, state: &str, bounds: BatchBounds) -> Result<Batch> {
    // A cross join is walked as it is written: from the queue, however long the document is.
    let sql = "SELECT p.id, c.hash, c.bytes FROM pending p CROSS JOIN change c ON c.id = p.id
                WHERE p.id BETWEEN :from AND :to AND p.state = :state ORDER BY p.id";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(named_params! {":from": from, ":to": to, ":state": state})?;
    let mut batch = Batch::default();
    while let Some(row) = found.next()? {
        let bytes = row.get_ref(2)?.as_blob().map_err(|e| Error::Corrupt(e.to_string()))?;
        if !fits(&batch, bytes.len(), bounds) {
            break;
        }
        batch.rows.push(BatchRow { id: row.get(0)?, hash: ChangeHash(row.get(1)?), bytes: bytes.len() });
        batch.body.extend_from_slice(bytes);
    }
    Ok(batch)
}

fn fits(batch: &Batch, bytes: usize, bounds: BatchBounds) -> bool {
    batch.rows.is_empty() || (batch.rows.len() < bounds.count && batch.body.len() + bytes <= bounds.bytes)
}

impl Writing<'_> {
    /// Stores a page in parts, so that no part holds two spellings of one change: which of them stands is found out
    /// where one is here already. No honest server sends both; one that sends many pairs is read no further.
    fn store_page(&mut self, id: DocumentId, page: &Page) -> Result<PageOutcome> {
        let (mut outcome, mut rest) = (PageOutcome::default(), Cow::Borrowed(page));
        for _ in 0..SPELLINGS {
            let Some(at) = self.second_spelling(id, &rest)? else {
                return Ok(outcome.and(self.store_part(id, &rest)?));
            };
            let (before, after) = rest.changes.split_at(at);
            let first = Page {
                server: rest.server.clone(),
                asked: rest.asked.clone(),
                changes: before.to_vec(),
                ..Page::default()
            };
            let after = after.to_vec();
            outcome = outcome.and(self.store_part(id, &first)?);
            if outcome.hole {
                return Ok(outcome);
            }
            rest.to_mut().changes = after;
        }
        outcome.hole = true;
        Ok(outcome)
    }

    /// Where in a page a change comes of which another spelling comes before it.
    fn second_spelling(&mut self, id: DocumentId, page: &Page) -> Result<Option<usize>> {
        // Nearly no page holds a change that says that it was written again.
        if !Proved::may_hold_claims(page) {
            return Ok(None);
        }
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        replica.build_index(self.tx)?;
        let proved = Proved::of_page(self.tx, replica, page)?;
        Ok(proved.second_spelling(page.changes.iter().map(|change| change.hash)))
    }

    fn store_part(&mut self, id: DocumentId, page: &Page) -> Result<PageOutcome> {
        let mut outcome = PageOutcome::default();
        if page.deleted {
            outcome.not_served = !self.hear_deletion(id, &page.server)?;
            return Ok(outcome);
        }
        outcome.quarantined += self.measure(id)?;
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        replica.build_index(self.tx)?;
        let proved = Proved::of_page(self.tx, replica, page)?;
        let twins = self.settle_forks(id, (page, &proved), &mut outcome)?;
        // What was written again for it is measured before anything is made on it.
        self.measure(id)?;
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        replica.build_index(self.tx)?;
        let before = replica.row.last;
        let arrived = arrive(self.tx, replica, (page, &twins, &proved), self.now, &mut outcome)?;
        outcome.left_actor |= self.leave_actor_met(&arrived)?;
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        keep_refused(self.tx, replica, page, self.now, &mut outcome)?;
        reach::write_measured(self.tx, replica.row.id, replica.row.last)?;
        let proof = if twins.is_empty() {
            self.prove_arrived(id, before, (arrived.len() as u64, page.at_end))?
        } else {
            Proof::None
        };
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if let Proof::Found(found) = proof {
            outcome.quarantined += found;
        } else if twins.is_empty() {
            let event = give_to_library(self.tx, replica, arrived, self.listening, &mut outcome)?;
            self.events.extend(event);
        } else {
            // Two spellings of one change are not for the library: the one that came stands, the other goes, and
            // the document is read again.
            keep_unreadable(self.tx, replica, &arrived, &mut outcome)?;
            rows::write_document(self.tx, &replica.row)?;
            let again = fork::rebuild(self, id, Rebuild::Fork(twins))?;
            note_rewritten(&mut outcome, again);
        }
        if proof == Proof::None {
            outcome.quarantined += self.examine_arrived(id, outcome.pulled, page.at_end)?;
        }
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if page.at_end && !page.heads.is_empty() {
            replica.build_index(self.tx)?;
            outcome.hole |= !replica.holds_all(&page.heads);
        }
        // Invariant 4: "A cursor moves in the transaction that stores what it counts."
        outcome.stale = replica.row.cursor_at(&page.server) != page.asked.as_ref();
        let moves = !outcome.stale && !outcome.hole && page.cursor.is_some();
        if moves {
            replica.row.take_cursor(page.cursor.clone(), &page.server);
            replica.row.at_end = page.at_end;
            if page.at_end {
                replica.row.last_sync_at = Some(self.now);
            }
        }
        if moves || !page.accepted.is_empty() {
            let saved: Option<String> = get_meta(self.tx, "server")?;
            let standing = Standing::of(&replica.row, saved.as_deref(), &page.server);
            replica.row.note_holder(standing, &page.server);
        }
        rows::write_document(self.tx, &replica.row)?;
        let document = replica.row.id;
        self.drain((document, page), moves, &mut outcome)?;
        let merges = self.merge_refused_heads(id, page)?;
        self.park(document, (page, merges), &mut outcome)?;
        outcome.lacking = page.at_end && !outcome.hole && self.is_lacking(id, &page.heads)?;
        Ok(outcome)
    }

    /// Whether a log with these heads, which are held, lacks a change of this store although nothing waits: what answered in
    /// the server's name has swallowed it. A head here that is none there is under none there.
    fn is_lacking(&mut self, id: DocumentId, heads: &[ChangeHash]) -> Result<bool> {
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        if heads.is_empty() || replica.row.heads.iter().all(|head| heads.contains(head)) {
            return Ok(false);
        }
        replica.build_index(self.tx)?;
        // Under what is left out here, and under another spelling, something of this store may be.
        Ok(replica.stand_all(heads) && !owes(self.tx, replica.row.id)?)
    }

    /// Where somebody else writes under this store's actor (another life of it, before it was copied or put back, or
    /// whoever forges), it writes under another from now on: what it makes cannot meet theirs. Whether that is so.
    fn leave_actor_met(&mut self, arrived: &[Arrived]) -> Result<bool> {
        let Some(actor) = open::stored_actor(self.tx)? else { return Ok(false) };
        let Some(met) = under(arrived, &actor) else { return Ok(false) };
        fork::leave_actor(self, &actor, met)?;
        Ok(true)
    }

    /// Makes room for what arrives. What is written again for it may meet something else that arrives: then once
    /// more. Gives what arrives in another spelling than is held.
    fn settle_forks(
        &mut self,
        id: DocumentId,
        (page, proved): (&Page, &Proved),
        outcome: &mut PageOutcome,
    ) -> Result<fork::Forks> {
        for round in 1.. {
            let replica = self.replicas.get(self.tx, id, self.actor)?;
            replica.build_index(self.tx)?;
            let mut forks = find_forks(self.tx, replica, (page, proved))?;
            let twins = forks.take_twins();
            if forks.is_empty() || round > FORK_ROUNDS {
                return Ok(twins);
            }
            let again = fork::rebuild(self, id, Rebuild::Fork(forks))?;
            note_rewritten(outcome, again);
        }
        Ok(fork::Forks::default())
    }

    /// A server says that the document was deleted. `false`: it is not believed.
    fn hear_deletion(&mut self, id: DocumentId, server: &str) -> Result<bool> {
        self.replicas.forget(id);
        let row = rows::read_document(self.tx, id)?;
        let mut row = row.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
        let saved: Option<String> = get_meta(self.tx, "server")?;
        let word = weigh_deletion(&row, Standing::of(&row, saved.as_deref(), server), server);
        match word {
            Word::NotServed => row.not_served_by = Some(server.to_owned()),
            Word::Believed | Word::Noted => {
                row.tombstone_sure = is_sure(&row, read_deleted_at(self.tx, row.id)?, self.now);
                row.tombstone = Some("known".to_owned());
                row.tombstone_from = Some(server.to_owned());
                row.last_sync_at = Some(self.now);
            }
        }
        rows::write_document(self.tx, &row)?;
        if word == Word::Believed {
            self.put_into_trash(&row, true)?;
        }
        Ok(word != Word::NotServed)
    }

    /// Invariant 2: "A row leaves the queue only in a transaction whose cursor covers it; accepted and not
    /// yet covered, it is `sent`." Covered is what the page itself contains, and what the request carried
    /// when the same reply's cursor is the log's end.
    fn drain(
        &mut self,
        (document, page): (i64, &Page),
        moves: bool,
        outcome: &mut PageOutcome,
    ) -> Result<()> {
        if (moves && page.at_end) || planted::is_planted(Bug::RowGoneEarly) {
            for id in &page.accepted {
                outcome.drained += self.acknowledge(*id)?;
            }
        } else {
            let sql = "UPDATE pending SET state = 'sent' WHERE id = :id AND state = 'waiting'";
            for id in &page.accepted {
                self.tx.prepare_cached(sql)?.execute(named_params! {":id": id})?;
            }
        }
        // A page whose cursor was not taken covers nothing.
        if page.changes.is_empty() || !moves {
            return Ok(());
        }
        let pending = read_pending_hashes(self.tx, document)?;
        for change in &page.changes {
            if let Some(id) = pending.get(&change.hash) {
                outcome.drained += self.acknowledge(*id)?;
            }
        }
        Ok(())
    }

    /// How many actions left the queue: 1, or 0 for a container change or a row that is gone.
    fn acknowledge(&mut self, id: i64) -> Result<u64> {
        let gone = self
            .tx
            .prepare_cached("DELETE FROM pending WHERE id = :id")?
            .execute(named_params! {":id": id})?;
        if gone == 0 {
            return Ok(0);
        }
        let sql = "UPDATE change SET acknowledged_at = :now WHERE id = :id RETURNING container";
        let params = named_params! {":now": self.now, ":id": id};
        let container: bool = self.tx.prepare_cached(sql)?.query_row(params, |r| r.get(0))?;
        Ok(u64::from(!container))
    }

    /// A server that finds too many heads takes them with a change that merges them, which is made once its log is known
    /// to the end: then the next push holds both. `false`: nothing can be merged.
    fn merge_refused_heads(&mut self, id: DocumentId, page: &Page) -> Result<bool> {
        if page.rejected.iter().all(|(_, r)| r.code != RefusalCode::TooManyHeads) {
            return Ok(false);
        }
        // Where the log was not read yet, its heads are not here.
        if page.at_end {
            if self.replicas.get(self.tx, id, self.actor)?.am.get_heads().len() < 2 {
                return Ok(false);
            }
            match self.merge_heads_to(id, 1) {
                Ok(()) => {}
                Err(Failed::Action(error)) => {
                    tracing::warn!(document = %id, %error, "heads cannot be merged");
                    return Ok(false);
                }
                Err(Failed::Transaction(error)) => return Err(error),
            }
            let replica = self.replicas.get(self.tx, id, self.actor)?;
            replica.settle_heads();
            rows::write_document(self.tx, &replica.row)?;
        }
        Ok(true)
    }

    /// What the server refused for good needs a person, and so does what depends on it. Other documents go on
    /// (invariant 6).
    fn park(
        &mut self,
        document: i64,
        (page, merges): (&Page, bool),
        outcome: &mut PageOutcome,
    ) -> Result<()> {
        let mended = |code: RefusalCode| match code {
            RefusalCode::ActorFork | RefusalCode::MissingDependency => true,
            RefusalCode::TooManyHeads => merges,
            _ => false,
        };
        let refused: HashMap<i64, String> = page
            .rejected
            .iter()
            .filter(|(_, r)| !mended(r.code))
            .map(|(id, r)| (*id, parked_because(r)))
            .collect();
        if refused.is_empty() {
            return Ok(());
        }
        let mut parked: HashSet<u64> = HashSet::new();
        for id in read_pending_ids(self.tx, document)? {
            let waits_for = rows::read_deps(self.tx, id)?.into_iter().find(|dep| parked.contains(dep));
            let error = match (refused.get(&id), waits_for) {
                (Some(detail), _) => detail.clone(),
                (None, Some(dep)) => match parked_in_words(self.tx, rows::row_id(document, dep))? {
                    Some(what) => format!("{WAITS}{what}"),
                    None => continue,
                },
                (None, None) => continue,
            };
            parked.insert(rows::position_of(id));
            let sql = "UPDATE pending SET state = 'parked', attempts = attempts + 1, last_attempt_at = :now,
                       last_error = :error, next_attempt_at = NULL WHERE id = :id";
            let params = named_params! {":now": self.now, ":error": error, ":id": id};
            outcome.parked += self.tx.prepare_cached(sql)?.execute(params)? as u64;
        }
        Ok(())
    }
}

fn read_pending_hashes(connection: &Connection, document: i64) -> Result<HashMap<ChangeHash, i64>> {
    let sql = "SELECT c.hash, p.id FROM pending p CROSS JOIN change c ON c.id = p.id
                WHERE p.id BETWEEN :from AND :to";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement
        .query_map(named_params! {":from": from, ":to": to}, |r| Ok((ChangeHash(r.get(0)?), r.get(1)?)))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn read_pending_ids(connection: &Connection, document: i64) -> Result<Vec<i64>> {
    let sql = "SELECT id FROM pending WHERE id BETWEEN :from AND :to ORDER BY id";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(named_params! {":from": from, ":to": to}, |r| r.get(0))?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn note_rewritten(outcome: &mut PageOutcome, again: fork::Again) {
    outcome.rewritten += again.all;
    outcome.own_rewritten += again.own;
    outcome.after_quarantine |= again.after_quarantine;
}
