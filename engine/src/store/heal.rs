//! A first copy, and healing: "a restored or copied database, on either side, heals by itself and loses
//! nothing that some replica still holds" (invariant 9).

use std::collections::HashMap;

use automerge::{Automerge, Change, ChangeHash};
use rusqlite::named_params;

use super::{
    BatchRow, Core, Event, HealNode,
    arrive::has_no_line,
    claims::Proved,
    core::Writing,
    fork::leave_actor,
    home::Standing,
    open::get_meta,
    poison::examine_loaded,
    reach,
    replica::Replica,
    rows::{self, NewChange},
};
use crate::{
    Cursor, DocumentId, Error, Message, Result, container,
    fence::{self, DocumentLimits, Reach, check_document},
    untrusted::{check_references, guarded, load_untrusted},
};

impl Core {
    /// A first copy from the snapshot of a server, with its cursor there: only into a document that holds nothing. `false`: it holds
    /// something by now, and nothing was stored.
    ///
    /// # Errors
    /// [`Error::Protocol`] when the snapshot is no file that this store would take.
    pub fn store_snapshot(
        &mut self,
        id: DocumentId,
        bytes: &[u8],
        (server, cursor): (&str, &Cursor),
    ) -> Result<bool> {
        check_document(bytes, &DocumentLimits::default()).map_err(|e| Error::Protocol(e.to_string()))?;
        self.prove_file(bytes).map_err(Error::Protocol)?;
        let am =
            load_untrusted(bytes, &DocumentLimits::default()).map_err(|e| Error::Protocol(e.to_string()))?;
        examine_loaded(&am, bytes).map_err(Error::Protocol)?;
        let changes = guarded(|| am.get_changes(&[])).map_err(Error::Protocol)?;
        check_references(&changes).map_err(Error::Protocol)?;
        self.write(&[id], |w| {
            let row = rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
            if row.last > 0 || row.tombstone.is_some() {
                return Ok(false);
            }
            let about = Bulk { local: false, acknowledged: true, queued: false };
            w.store_whole(id, am, &changes, &about)?;
            w.write_snapshot(id, bytes)?;
            let own = changes.iter().rev().find(|change| change.actor_id() == w.actor);
            if let Some(own) = own {
                // Left and joined again, or put back: another life of this store goes on under its actor, or may.
                leave_actor(w, w.actor, own.hash())?;
            }
            let replica = w.replicas.get(w.tx, id, w.actor)?;
            take_cursor(w.tx, replica, Some(cursor.clone()), server)?;
            rows::write_document(w.tx, &replica.row)?;
            Ok(true)
        })
    }

    /// The server does not know the cursor: what it lacks is to be offered. The old cursor stays until there
    /// is a new one, so that a crash in between heals again; rows that were `sent` wait again.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn begin_heal(&mut self, id: DocumentId) -> Result<()> {
        self.write(&[id], |w| {
            let row = rows::read_document(w.tx, id)?;
            let mut row = row.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
            row.healing = true;
            row.at_end = false;
            rows::write_document(w.tx, &row)?;
            let sql =
                "UPDATE pending SET state = 'waiting' WHERE state = 'sent' AND id BETWEEN :from AND :to";
            let (from, to) = rows::id_range(row.id);
            w.tx.execute(sql, named_params! {":from": from, ":to": to})?;
            Ok(())
        })
    }

    /// Every live change, oldest first: what healing asks the server about.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn heal_graph(&mut self, id: DocumentId) -> Result<Vec<HealNode>> {
        let document = self.document_row(id)?.id;
        let rows = rows::read_changes(&self.connection, document, 0)?;
        let mut places: HashMap<u64, u32> = HashMap::new();
        let mut nodes = Vec::new();
        for row in rows.into_iter().filter(|r| r.stands() && r.quarantined.is_none()) {
            let deps = row.deps.iter().filter_map(|position| places.get(position).copied()).collect();
            places.insert(row.position(), u32::try_from(nodes.len()).unwrap_or(u32::MAX));
            nodes.push(HealNode { id: row.id, hash: row.hash, deps });
        }
        Ok(nodes)
    }

    /// The server holds every live change. If this store holds every head that the server named, it takes the
    /// server's cursor: everything here is then before it. Else healing goes on (`false`): its log is to be read
    /// first, and then the question asked again, for a server can be put back in between. A log without heads has
    /// nothing to be read.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn end_heal(
        &mut self,
        id: DocumentId,
        heads: &[ChangeHash],
        (server, cursor): (&str, Option<&Cursor>),
    ) -> Result<bool> {
        self.write(&[id], |w| {
            let replica = w.replicas.get(w.tx, id, w.actor)?;
            replica.build_index(w.tx)?;
            let ends = replica.holds_all(heads);
            if ends {
                take_cursor(w.tx, replica, cursor.filter(|_| !heads.is_empty()).cloned(), server)?;
                replica.row.healing = false;
            }
            replica.row.at_end = false;
            rows::write_document(w.tx, &replica.row)?;
            Ok(ends)
        })
    }

    /// How many of these changes are actions that wait in no queue. What waits counts when it leaves the queue, and
    /// containers count nowhere.
    pub(crate) fn count_unqueued(&self, rows: &[BatchRow]) -> Result<u64> {
        let sql = "SELECT count(*) FROM change WHERE id = :id AND container = 0
                      AND NOT EXISTS (SELECT 1 FROM pending WHERE pending.id = change.id)";
        let mut statement = self.connection.prepare_cached(sql)?;
        let mut sum = 0_i64;
        for row in rows {
            sum += statement.query_row(named_params! {":id": row.id}, |r| r.get::<_, i64>(0))?;
        }
        Ok(sum.max(0) as u64)
    }

    /// Reads this server's log from the beginning next time. What this store was told is held is then not proven by any
    /// cursor: it heals until one does.
    ///
    /// # Errors
    /// [`Error::UnknownDocument`].
    pub fn forget_cursor(&mut self, id: DocumentId, server: &str) -> Result<()> {
        self.write(&[id], |w| {
            let replica = w.replicas.get(w.tx, id, w.actor)?;
            if replica.row.cursor_at(server).is_some() {
                replica.row.take_cursor(None, server);
            }
            replica.row.healing = true;
            replica.row.at_end = false;
            rows::write_document(w.tx, &replica.row)
        })
    }
}

/// A cursor of this server is taken, which is proof that it holds the document.
fn take_cursor(
    connection: &rusqlite::Connection,
    replica: &mut Replica,
    cursor: Option<Cursor>,
    server: &str,
) -> Result<()> {
    if cursor.is_some() {
        let saved: Option<String> = get_meta(connection, "server")?;
        let standing = Standing::of(&replica.row, saved.as_deref(), server);
        replica.row.note_holder(standing, server);
    }
    replica.row.take_cursor(cursor, server);
    Ok(())
}

/// What the rows of a whole document have in common.
pub(super) struct Bulk {
    pub(super) local: bool,
    pub(super) acknowledged: bool,
    pub(super) queued: bool,
}

impl Writing<'_> {
    /// Fills an empty document with the changes of a loaded one.
    pub(super) fn store_whole(
        &mut self,
        id: DocumentId,
        mut am: Automerge,
        changes: &[Change],
        about: &Bulk,
    ) -> Result<()> {
        let mut positions: HashMap<ChangeHash, u64> = HashMap::with_capacity(changes.len());
        let mut actors: HashMap<crate::Actor, i64> = HashMap::new();
        let mut containers = container::ContainerSet::default();
        let (mut reaches, mut in_range): (Vec<Reach>, bool) = (Vec::with_capacity(changes.len()), true);
        // The last of each actor that passed over counters.
        let mut leapt: HashMap<i64, Reach> = HashMap::new();
        let document = self.replicas.get(self.tx, id, self.actor)?.row.id;
        let mut proved = Proved::default();
        for (change, position) in changes.iter().zip(1_u64..) {
            let checked = fence::check_bytes(change.raw_bytes(), self.limits).map_err(|e| {
                Error::Protocol(format!("the file holds a change that is refused: {}", e.detail))
            })?;
            let actor = match actors.get(&checked.actor) {
                Some(row) => *row,
                None => {
                    let row = rows::actor_row(self.tx, &checked.actor)?;
                    actors.insert(checked.actor.clone(), row);
                    row
                }
            };
            let row = rows::row_id(document, position);
            let deps: Vec<u64> = checked.deps.iter().filter_map(|dep| positions.get(dep).copied()).collect();
            if deps.len() != checked.deps.len() {
                return Err(Error::Protocol("the file's changes are not in order".to_owned()));
            }
            let plain = Reach::plain(checked.start_op, checked.operations);
            let before = deps.iter().filter_map(|at| reaches.get(usize::try_from(at - 1).ok()?).copied());
            let before = before.fold(Reach::default(), Reach::and).after(leapt.get(&actor).copied());
            let reach = before.then(plain, checked.start_op);
            in_range &= reach.check(before, checked.start_op).is_ok();
            reach::note(self.tx, row, reach, plain)?;
            if reach.own > before.own {
                leapt.insert(actor, reach);
            }
            reaches.push(reach);
            let message = Message::decode(checked.message.as_deref());
            proved.take_first(change)?;
            rows::insert_change(
                self.tx,
                &NewChange {
                    id: row,
                    actor,
                    change: &checked,
                    deps: &deps,
                    message: &message,
                    container: has_no_line(&checked, &message),
                    local: about.local,
                    made_at: checked.time.saturating_mul(1000),
                    acknowledged_at: about.acknowledged.then_some(self.now),
                    was: proved.was(&checked.hash),
                    quarantined: None,
                },
            )?;
            if about.queued {
                self.enqueue(row, None)?;
            }
            if about.local {
                containers.note_own(&checked.actor)
            } else {
                containers.note(&checked.actor)
            }
            positions.insert(checked.hash, position);
        }
        if proved.second_spelling(changes.iter().map(Change::hash)).is_some() {
            return Err(Error::Protocol("the file holds one change twice, under two names".to_owned()));
        }
        if in_range {
            reach::write_measured(self.tx, document, changes.len() as u64)?;
        }
        let actor = self.actor.clone();
        let replica = self.replicas.get(self.tx, id, &actor)?;
        am.set_actor(actor);
        replica.containers = containers;
        adopt(replica, am, changes.len() as u64, &positions)?;
        rows::write_document(self.tx, &replica.row)?;
        if self.listening {
            let heads = replica.row.heads.clone();
            self.events.push(Event::rebuilt(id, heads));
        }
        Ok(())
    }
}

/// Makes a loaded document the replica's.
fn adopt(
    replica: &mut Replica,
    am: Automerge,
    count: u64,
    positions: &HashMap<ChangeHash, u64>,
) -> Result<()> {
    replica.am = am;
    replica.row.last = count;
    replica.row.changes = count;
    replica.index = None;
    replica.head_positions.clear();
    for hash in replica.am.get_heads() {
        let position =
            positions.get(&hash).ok_or_else(|| Error::Protocol("a head is no change".to_owned()))?;
        replica.head_positions.insert(hash, *position);
    }
    replica.settle_heads();
    Ok(())
}
