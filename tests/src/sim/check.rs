//! The invariants: the cheap ones after every step, all of them at every quiet point.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use automerge::{Automerge, Change};
use rejoin::{
    ChangeHash, DocumentId,
    fence::{self, Limits},
    quarantine::Reason,
    state::to_json,
    untrusted::{apply_untrusted, parse_untrusted},
    wire::{Request, Response},
};
use rejoin_server::respond;
use rusqlite::named_params;
use serde_json::Value;

use super::{
    client::{EPOCH, Seen},
    invariant::{Checked, Invariant},
    world::{Flight, World},
};

impl World {
    /// After everything that a client did: what its disk says now, beside what it said before.
    pub(super) fn check_client(&mut self, client: usize) -> Checked {
        let commits = self.clients[client].count_commits();
        if commits == self.clients[client].commits {
            return Ok(());
        }
        self.clients[client].commits = commits;
        for id in self.documents.clone() {
            let Some(now) = self.clients[client].look(id) else { continue };
            self.check_queue_rows(client, id)?;
            let before = self.clients[client].seen.get(&id).cloned();
            if let Some(before) = &before {
                self.check_departures(client, id, before, &now)?;
            }
            let moved = before.as_ref().is_none_or(|b| b.cursor != now.cursor || b.epoch != now.epoch);
            if moved {
                self.check_no_hole(client, id, &now)?;
            }
            self.clients[client].seen.insert(id, now);
        }
        Ok(())
    }

    /// 1. "A change and its queue row are both there or both not."
    fn check_queue_rows(&self, client: usize, id: DocumentId) -> Checked {
        let sql = "SELECT hex(c.hash) FROM document d
                   JOIN change c ON c.id BETWEEN d.id << 40 AND ((d.id + 1) << 40) - 1
                   LEFT JOIN pending p ON p.id = c.id
                   WHERE d.uuid = :uuid AND d.tombstone IS NULL AND c.acknowledged_at IS NULL
                     AND c.replaced_by IS NULL AND c.quarantined IS NULL AND p.id IS NULL LIMIT 1";
        let mut statement = self.clients[client].disk.raw.prepare_cached(sql).unwrap();
        let mut rows = statement.query(named_params! {":uuid": id.to_string()}).unwrap();
        if let Some(row) = rows.next().unwrap() {
            let hash: String = row.get(0).unwrap();
            let detail = format!("c{client} holds {hash}, acknowledged by nobody, without a queue row");
            return Err(self.broken(Invariant::Atomic, detail));
        }
        Ok(())
    }

    /// 2. "A row leaves the queue only in a transaction whose cursor covers it."
    fn check_departures(&self, client: usize, id: DocumentId, before: &Seen, now: &Seen) -> Checked {
        let gone: Vec<_> = before.pending.keys().filter(|hash| !now.pending.contains_key(hash)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        let covered: HashSet<ChangeHash> = now
            .cursor
            .as_ref()
            .and_then(|cursor| self.ledger.prefix(id, cursor))
            .unwrap_or_default()
            .into_iter()
            .collect();
        let rows = self.clients[client].rows(id);
        let stands: BTreeMap<ChangeHash, Option<ChangeHash>> =
            rows.iter().map(|row| (row.hash, row.replaced_by)).collect();
        for hash in gone {
            let mut spelling = *hash;
            for _ in 0..64 {
                match stands.get(&spelling) {
                    Some(Some(next)) => spelling = *next,
                    _ => break,
                }
            }
            if !now.pending.contains_key(&spelling) && !covered.contains(&spelling) {
                let detail = format!(
                    "the row of {hash} (now {spelling}) left the queue of c{client}, and its cursor {:?} does not cover it",
                    now.cursor
                );
                return Err(self.broken(Invariant::Acknowledged, detail));
            }
        }
        Ok(())
    }

    /// 4. "A cursor moves in the transaction that stores what it counts. A phantom is allowed, a hole never."
    fn check_no_hole(&self, client: usize, id: DocumentId, now: &Seen) -> Checked {
        let Some(cursor) = &now.cursor else { return Ok(()) };
        let Some(prefix) = self.ledger.prefix(id, cursor) else {
            let detail = format!("c{client} has the cursor {cursor}, which no server ever gave out");
            return Err(self.broken(Invariant::NoHole, detail));
        };
        let held: HashSet<ChangeHash> = self.clients[client].rows(id).iter().map(|row| row.hash).collect();
        match prefix.iter().rposition(|hash| !held.contains(hash)) {
            None => Ok(()),
            Some(at) => {
                let (number, hash) = (prefix.len() - at, prefix[at]);
                let detail = format!("c{client} has the cursor {cursor}, and lacks {hash}, number {number}");
                Err(self.broken(Invariant::NoHole, detail))
            }
        }
    }

    /// 3. "No transaction is open across a network call": somebody else could write right now.
    pub(super) fn check_no_transaction(&self, client: usize) -> Checked {
        let free = self.clients[client].disk.raw.execute_batch("BEGIN IMMEDIATE; ROLLBACK");
        free.map_err(|error| {
            let detail = format!("c{client} sends a request, and its store is locked: {error}");
            self.broken(Invariant::NoOpenTransaction, detail)
        })
    }

    /// 2, at the server: what it says it has stored is in its log.
    pub(super) fn check_reply(&self, flight: &Flight, reply: &Response) -> Checked {
        let Request::Push { document, body, .. } = &flight.request else { return Ok(()) };
        if reply.status != 200 {
            return Ok(());
        }
        let rejected: HashSet<String> = serde_json::from_slice::<rejoin::wire::PushReply>(&reply.body)
            .map(|reply| reply.rejected.into_iter().map(|r| r.hash).collect())
            .unwrap_or_default();
        let log: HashSet<&ChangeHash> = self.ledger.log(*document).entries.iter().collect();
        for frame in fence::frame(body).unwrap() {
            let hash = fence::check(&frame, &Limits::default()).unwrap().hash;
            if !rejected.contains(&hash.to_string()) && !log.contains(&hash) {
                let detail = format!("the server acknowledged {hash}, and its log does not hold it");
                return Err(self.broken(Invariant::Acknowledged, detail));
            }
        }
        Ok(())
    }

    /// Whether nothing is owed to anybody: every queue empty, every cursor at its log's end.
    pub(super) fn is_settled(&mut self) -> Checked<bool> {
        let busy = |c: &super::client::Client| c.slots.iter().any(|s| s.flight.is_some() || !s.settled);
        if self.under_way > 0 || self.clients.iter().any(busy) {
            return Ok(false);
        }
        for client in 0..self.clients.len() {
            for (id, log_end) in self.documents.iter().map(|id| (*id, &self.ledger.log(*id).end)) {
                let Some(core) = self.clients[client].core.as_mut() else { return Ok(false) };
                let facts = match core.facts(id) {
                    Ok(facts) => facts,
                    Err(error) => return Err(self.broken(Invariant::NoError, format!("facts: {error}"))),
                };
                let drained = facts.waiting == 0 && facts.sent == 0 && !facts.healing;
                if !drained || facts.cursor != *log_end {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// What keeps it from settling, in words.
    pub(super) fn what_is_owed(&mut self) -> String {
        let mut text = String::from("not drained:");
        for client in 0..self.clients.len() {
            for (number, id) in self.documents.clone().into_iter().enumerate() {
                let end = self.ledger.log(id).end.clone();
                let Some(core) = self.clients[client].core.as_mut() else { continue };
                let Ok(facts) = core.facts(id) else { continue };
                let trouble = self.clients[client].slots[number].session.trouble().map(|t| t.detail.clone());
                if facts.waiting + facts.sent + facts.parked > 0 || facts.healing || facts.cursor != end {
                    text += &format!(
                        " c{client} d{number}: {} waiting, {} sent, {} parked, healing {}, cursor {:?} of {:?}, {trouble:?};",
                        facts.waiting, facts.sent, facts.parked, facts.healing, facts.cursor, end
                    );
                }
            }
        }
        text
    }

    /// Everything, where nothing is owed.
    pub(super) fn check_quiet(&mut self) -> Checked {
        for document in 0..self.documents.len() {
            let truth = self.replay_log(document)?;
            self.check_history(document)?;
            self.check_server_snapshot(document)?;
            for client in 0..self.clients.len() {
                self.check_replica(client, document, &truth)?;
            }
        }
        for client in 0..self.clients.len() {
            let core = self.clients[client].core.as_mut().unwrap();
            match core.check() {
                Ok(report) if report.ok => {}
                Ok(report) => {
                    let detail = format!("c{client}: the store's own check says {:?}", report.problems);
                    return Err(self.broken(Invariant::NoError, detail));
                }
                Err(error) => {
                    return Err(self.broken(Invariant::NoError, format!("c{client}: check: {error}")));
                }
            }
        }
        self.log("quiet, and all is well".to_owned());
        Ok(())
    }

    /// The log from its first change to its last in a document of its own, and its state.
    fn replay_log(&mut self, document: usize) -> Checked<(Vec<ChangeHash>, Value)> {
        let entries = self.ledger.log(self.documents[document]).entries.clone();
        let mut changes: Vec<Change> = Vec::new();
        for hash in &entries {
            let checked = fence::check_bytes(&self.ledger.bytes[hash], &Limits::default()).unwrap();
            changes.extend(parse_untrusted(&checked).ok());
        }
        let (am, left_out) = replayed(changes);
        if let Some((hash, why)) = left_out.iter().find(|(hash, _)| !self.model.hostile.contains(hash)) {
            let detail =
                format!("the log of d{document} holds {hash}, which the library does not take: {why}");
            return Err(self.broken(Invariant::Isolation, detail));
        }
        let state = to_json(&am, "", None);
        let state =
            state.map_err(|e| self.broken(Invariant::Convergence, format!("the log reads as {e}")))?;
        let tokens = self.tokens_of(document, &entries)?;
        if let Err(detail) = self.model.judge(&state, &tokens) {
            return Err(self.broken(Invariant::ExactlyOnce, format!("d{document}: {detail}")));
        }
        Ok((am.get_heads(), state))
    }

    /// Which actions these entries are: each one once, and none that nobody did.
    fn tokens_of(&self, document: usize, entries: &[ChangeHash]) -> Checked<BTreeSet<usize>> {
        let mut tokens = BTreeSet::new();
        for hash in entries {
            let checked = fence::check_bytes(&self.ledger.bytes[hash], &Limits::default()).unwrap();
            if rejoin::container::is_container_actor(&checked.actor) || self.model.hostile.contains(hash) {
                continue;
            }
            let root = self.ledger.root(*hash);
            let Some(token) = self.model.by_hash.get(&root) else {
                let detail = format!("the log of d{document} holds {hash} (first {root}), which nobody made");
                return Err(self.broken(Invariant::ExactlyOnce, detail));
            };
            if !tokens.insert(*token) {
                let detail =
                    format!("the log of d{document} holds {root} in two spellings, one of them {hash}");
                return Err(self.broken(Invariant::ExactlyOnce, detail));
            }
        }
        Ok(tokens)
    }

    /// 9. "… loses nothing that some replica still holds."
    fn check_history(&mut self, document: usize) -> Checked {
        let entries = &self.ledger.log(self.documents[document]).entries;
        let held: HashSet<ChangeHash> = entries.iter().map(|hash| self.ledger.root(*hash)).collect();
        let lost = self
            .model
            .made
            .iter()
            .find(|made| made.document == document && !made.lost && !held.contains(&made.hash));
        match lost {
            None => Ok(()),
            Some(made) => {
                let detail = format!("d{document}: {} is in no log: {:?}", made.hash, made.effect);
                Err(self.broken(Invariant::NothingLost, detail))
            }
        }
    }

    /// 10, at the server: a snapshot holds exactly the changes up to its cursor.
    fn check_server_snapshot(&mut self, document: usize) -> Checked {
        let id = self.documents[document];
        if self.ledger.log(id).entries.is_empty() {
            return Ok(());
        }
        let reply = respond(
            &mut self.server,
            &self.server_limits,
            &Request::Snapshot { document: id },
            EPOCH + self.now,
        );
        if reply.status != 200 {
            let detail = format!("the server has no snapshot of d{document}: {}", reply.status);
            return Err(self.broken(Invariant::SnapshotIsCache, detail));
        }
        let loaded = Automerge::load(&reply.body);
        let loaded =
            loaded.map_err(|e| self.broken(Invariant::SnapshotIsCache, format!("d{document}: {e}")))?;
        let found: BTreeSet<ChangeHash> = loaded.get_changes(&[]).iter().map(Change::hash).collect();
        let prefix = match &reply.cursor {
            None => Some(Vec::new()),
            Some(cursor) => self.ledger.prefix(id, cursor),
        };
        let wanted: Option<BTreeSet<ChangeHash>> = prefix.map(|p| p.into_iter().collect());
        if wanted.as_ref() != Some(&found) {
            let detail = format!(
                "the snapshot of d{document} has {} changes, and its cursor {:?} counts {:?}",
                found.len(),
                reply.cursor,
                wanted.map(|w| w.len())
            );
            return Err(self.broken(Invariant::SnapshotIsCache, detail));
        }
        Ok(())
    }

    fn check_replica(
        &mut self,
        client: usize,
        document: usize,
        (heads, state): &(Vec<ChangeHash>, Value),
    ) -> Checked {
        let id = self.documents[document];
        let rows = self.clients[client].rows(id);
        let hostile = |hash: &ChangeHash| self.model.hostile.contains(hash);
        if let Some(row) = rows.iter().find(|row| row.quarantined.is_some() && !hostile(&row.hash)) {
            let detail = format!("c{client} keeps {} out of d{document}: {:?}", row.hash, row.quarantined);
            return Err(self.broken(Invariant::Isolation, detail));
        }
        let core = self.clients[client].core.as_mut().unwrap();
        let info = core.document(id).map_err(|e| e.to_string());
        let found = core.state(id, "", None).map_err(|e| e.to_string());
        let (info, found) = match (info, found) {
            (Ok(info), Ok(found)) => (info, found),
            (Err(e), _) | (_, Err(e)) => {
                return Err(self.broken(Invariant::NoError, format!("c{client}: {e}")));
            }
        };
        if info.parked > 0 {
            let detail = format!("c{client} d{document}: {} good rows are parked", info.parked);
            return Err(self.broken(Invariant::Isolation, detail));
        }
        let mut own = info.heads;
        own.sort_unstable();
        let mut wanted = heads.clone();
        wanted.sort_unstable();
        if own != wanted || found != *state {
            let standing: BTreeSet<_> = rows.iter().filter(|r| r.stands()).map(|r| r.hash).collect();
            let log: BTreeSet<_> = self.ledger.log(id).entries.iter().copied().collect();
            let detail = format!(
                "c{client} d{document}: heads {own:?} and not {wanted:?}; here and not in the log {:?}; in the log and not here {:?}; states equal: {}",
                standing.difference(&log).collect::<Vec<_>>(),
                log.difference(&standing).collect::<Vec<_>>(),
                found == *state
            );
            return Err(self.broken(Invariant::Convergence, detail));
        }
        self.check_raw(client, document, &found)
    }

    /// 10, at the client: what it reads is what its raw changes come to.
    fn check_raw(&self, client: usize, document: usize, found: &Value) -> Checked {
        let rows = self.clients[client].rows(self.documents[document]);
        let standing = rows.iter().filter(|row| row.stands());
        let changes = standing.map(|row| Change::try_from(row.bytes.as_slice()).unwrap()).collect();
        let (am, _) = replayed(changes);
        if to_json(&am, "", None).ok().as_ref() == Some(found) {
            return Ok(());
        }
        let detail = format!("c{client} d{document} reads something else than its raw changes come to");
        Err(self.broken(Invariant::SnapshotIsCache, detail))
    }
}

/// Everything in one document, with what the library does not take and why. What is only held is given in again as
/// long as that gets on, as the store does it.
fn replayed(changes: Vec<Change>) -> (Automerge, Vec<(ChangeHash, Reason)>) {
    let mut am = Automerge::new();
    let mut left_out = apply_untrusted(&mut am, changes.clone(), None).quarantined;
    loop {
        let is_held = |hash: &ChangeHash| left_out.iter().any(|(h, why)| h == hash && why.is_held());
        let held: Vec<Change> = changes.iter().filter(|change| is_held(&change.hash())).cloned().collect();
        let before = held.len();
        if before == 0 {
            return (am, left_out);
        }
        left_out.retain(|(_, why)| !why.is_held());
        let again = apply_untrusted(&mut am, held, None).quarantined;
        let still = again.iter().filter(|(_, why)| why.is_held()).count();
        left_out.extend(again);
        if still >= before {
            return (am, left_out);
        }
    }
}
