//! A document in memory: the library's value, and where its changes are in the file.

use std::collections::{HashMap, HashSet};

use automerge::{Automerge, Change, ChangeHash, PatchLog};
use rusqlite::{Connection, OptionalExtension, named_params};

use super::{
    reach,
    rows::{self, DocumentRow},
};
use crate::{
    Actor, DocumentId, Error, Result,
    container::ContainerSet,
    fence::{Ancestry, Last, Reach},
    quarantine::Reason,
    untrusted::{Outcome, apply_checked, guarded},
};

/// An open document. It mirrors what is committed; after a failed transaction it is thrown away.
#[derive(Debug)]
pub(super) struct Replica {
    pub(super) am: Automerge,
    pub(super) row: DocumentRow,
    pub(super) containers: ContainerSet,
    pub(super) head_positions: HashMap<ChangeHash, u64>,
    pub(super) index: Option<Index>,
    /// This process has made a change here: what it makes next depends on it, and needs no nonce of its own.
    pub(super) written: bool,
    /// Up to which position the stored snapshot goes.
    pub(super) snapshot_at: u64,
    /// How many changes from elsewhere it took in since it was last examined, as far as is known.
    pub(super) unproven: u64,
    /// Up to which position no newer version of these slices has written.
    pub(super) not_newer: HashMap<&'static str, u64>,
}

/// Where each change is, and the last of each actor: built when the first remote change comes.
#[derive(Debug, Default)]
pub(super) struct Index {
    pub(super) positions: HashMap<ChangeHash, u64>,
    pub(super) lasts: HashMap<Actor, Last>,
    pub(super) quarantined: HashSet<u64>,
    /// Changes that stand as another spelling now.
    pub(super) replaced: HashMap<ChangeHash, u64>,
}

impl Replica {
    /// Reads a document from its snapshot and the rows after it.
    pub(super) fn load(connection: &Connection, row: DocumentRow, actor: &Actor) -> Result<Self> {
        if let Some((am, at)) = read_snapshot(connection, &row)? {
            let replica = Self::finish(connection, row.clone(), actor, am, at)?;
            if replica.agrees() {
                return Ok(replica);
            }
            tracing::warn!(document = %row.uuid, "the snapshot does not fit the changes; it is left out");
        }
        let replica = Self::finish(connection, row, actor, Automerge::new(), 0)?;
        if !replica.agrees() {
            let text = format!("the changes of document {} do not lead to its heads", replica.row.uuid);
            return Err(Error::Corrupt(text));
        }
        Ok(replica)
    }

    fn finish(
        connection: &Connection,
        row: DocumentRow,
        actor: &Actor,
        am: Automerge,
        at: u64,
    ) -> Result<Self> {
        let mut replica = Self {
            am,
            head_positions: row.heads.iter().copied().zip(row.heads_at.iter().copied()).collect(),
            containers: read_containers(connection, row.id)?,
            row,
            index: None,
            written: false,
            not_newer: HashMap::new(),
            snapshot_at: at,
            unproven: 0,
        };
        replica.apply_rows(connection, at)?;
        replica.am.set_actor(actor.clone());
        Ok(replica)
    }

    /// Gives the library the live rows above a position.
    fn apply_rows(&mut self, connection: &Connection, after: u64) -> Result<()> {
        let mut changes = Vec::new();
        rows::each_live_bytes(connection, self.row.id, after, |hash, bytes| {
            changes.push(parse_stored(hash, bytes)?);
            Ok(())
        })?;
        // What they refer to was looked up when they came.
        let (outcome, _) = apply_all(apply_checked, &mut self.am, changes, None);
        for (hash, reason) in &outcome.quarantined {
            quarantine(connection, self.row.id, *hash, reason)?;
        }
        if !outcome.quarantined.is_empty() {
            self.index = None;
        }
        Ok(())
    }

    fn agrees(&self) -> bool {
        let mut noted = self.row.heads.clone();
        noted.sort_unstable();
        self.am.get_heads() == noted
    }

    /// Follows what another process on this store has done since.
    pub(super) fn refresh(
        &mut self,
        connection: &Connection,
        row: DocumentRow,
        actor: &Actor,
    ) -> Result<bool> {
        if row.epoch != self.row.epoch || row.last < self.row.last {
            return Ok(false);
        }
        let behind = row.last > self.row.last;
        let after = self.row.last;
        self.row = row;
        if behind {
            self.head_positions =
                self.row.heads.iter().copied().zip(self.row.heads_at.iter().copied()).collect();
            self.containers = read_containers(connection, self.row.id)?;
            self.index = None;
            self.apply_rows(connection, after)?;
            self.am.set_actor(actor.clone());
        }
        Ok(self.agrees())
    }

    /// Notes a change that was just given a position.
    pub(super) fn note(&mut self, noted: &Noted<'_>) {
        self.row.last = noted.position;
        if noted.local {
            self.containers.note_own(noted.actor)
        } else {
            self.containers.note(noted.actor)
        }
        if let Some(index) = &mut self.index {
            index.positions.insert(noted.hash, noted.position);
            index.lasts.insert(noted.actor.clone(), Last { seq: noted.seq, position: noted.position });
        }
        if noted.quarantined {
            if let Some(index) = &mut self.index {
                index.quarantined.insert(noted.position);
            }
            return;
        }
        self.row.changes += 1;
        for dep in noted.deps {
            self.head_positions.remove(dep);
        }
        self.head_positions.insert(noted.hash, noted.position);
    }

    /// Takes the heads over into the row.
    pub(super) fn settle_heads(&mut self) {
        let mut heads: Vec<(ChangeHash, u64)> = self.head_positions.iter().map(|(h, p)| (*h, *p)).collect();
        heads.sort_unstable();
        (self.row.heads, self.row.heads_at) = heads.into_iter().unzip();
    }

    /// The index, built when it is not there.
    pub(super) fn build_index(&mut self, connection: &Connection) -> Result<()> {
        if self.index.is_none() {
            self.index = Some(Index::read(connection, self.row.id)?);
        }
        Ok(())
    }

    /// Whether all of these are in the document as it is. The index is built.
    pub(super) fn stand_all(&self, hashes: &[ChangeHash]) -> bool {
        let stands = |index: &Index, hash| {
            index.positions.get(hash).is_some_and(|position| !index.quarantined.contains(position))
        };
        self.index.as_ref().is_some_and(|index| hashes.iter().all(|hash| stands(index, hash)))
    }

    /// Whether all of these are here, be it in quarantine or in another spelling, and with them all that they were made on.
    /// The index is built.
    pub(super) fn holds_all(&self, hashes: &[ChangeHash]) -> bool {
        let holds =
            |index: &Index, hash| index.positions.contains_key(hash) || index.replaced.contains_key(hash);
        self.index.as_ref().is_some_and(|index| hashes.iter().all(|hash| holds(index, hash)))
    }
}

/// A change with its new position, for [`Replica::note`].
#[derive(Debug)]
pub(super) struct Noted<'a> {
    pub(super) position: u64,
    pub(super) hash: ChangeHash,
    pub(super) actor: &'a Actor,
    pub(super) seq: u64,
    pub(super) deps: &'a [ChangeHash],
    pub(super) quarantined: bool,
    /// Dispatched here.
    pub(super) local: bool,
}

impl Index {
    fn read(connection: &Connection, document: i64) -> Result<Self> {
        Self::read_where(connection, document, "")
    }

    /// As if nothing had ever been quarantined: without it.
    pub(super) fn read_live(connection: &Connection, document: i64) -> Result<Self> {
        Self::read_where(connection, document, "AND quarantined IS NULL")
    }

    fn read_where(connection: &Connection, document: i64, which: &str) -> Result<Self> {
        let actors: HashMap<i64, Actor> = {
            let mut statement = connection.prepare_cached("SELECT id, bytes FROM actor")?;
            let rows = statement.query_map([], |r| Ok((r.get(0)?, Actor::from(r.get::<_, Vec<u8>>(1)?))))?;
            rows.collect::<rusqlite::Result<_>>()?
        };
        let sql = format!(
            "SELECT id, hash, actor, seq, replaced_by IS NOT NULL, quarantined IS NOT NULL FROM change
             WHERE id BETWEEN :from AND :to {which} ORDER BY id"
        );
        let mut statement = connection.prepare_cached(&sql)?;
        let (from, to) = rows::id_range(document);
        let mut rows = statement.query(named_params! {":from": from, ":to": to})?;
        let mut index = Self::default();
        let mut lasts: HashMap<i64, Last> = HashMap::new();
        while let Some(row) = rows.next()? {
            let (position, hash) = (rows::position_of(row.get(0)?), ChangeHash(row.get(1)?));
            if row.get(4)? {
                index.replaced.insert(hash, position);
                continue;
            }
            index.positions.insert(hash, position);
            let last = Last { seq: row.get::<_, i64>(3)?.max(0) as u64, position };
            let entry = lasts.entry(row.get(2)?).or_insert(last);
            if entry.seq < last.seq {
                *entry = last;
            }
            if row.get(5)? {
                index.quarantined.insert(position);
            }
        }
        index.lasts =
            lasts.into_iter().filter_map(|(id, last)| Some((actors.get(&id)?.clone(), last))).collect();
        Ok(index)
    }
}

/// What the fence asks of the store.
pub(super) struct Held<'a> {
    pub(super) connection: &'a Connection,
    pub(super) document: i64,
    pub(super) index: &'a Index,
}

impl Ancestry for Held<'_> {
    type Error = Error;

    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>> {
        Ok(self.index.positions.get(hash).copied())
    }

    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>> {
        rows::read_deps(self.connection, rows::row_id(self.document, position))
    }

    fn reach(&mut self, position: u64) -> Result<Reach> {
        reach::read(self.connection, self.document, position)
    }

    fn last_of(&mut self, actor: &Actor) -> Result<Option<Last>> {
        Ok(self.index.lasts.get(actor).copied())
    }
}

/// A change as it lies in the file, for the library.
pub(super) fn parse_stored(hash: ChangeHash, bytes: &[u8]) -> Result<Change> {
    let parsed = guarded(|| Change::try_from(bytes));
    match parsed {
        Ok(Ok(change)) if change.hash() == hash => Ok(change),
        _ => Err(Error::Corrupt(format!("the bytes of change {hash} are not that change"))),
    }
}

/// How a batch is given to the library.
pub(super) type Apply = fn(&mut Automerge, Vec<Change>, Option<&mut PatchLog>) -> Outcome;

/// Applies changes, and those that were only held again as long as that gets on. `true`: it took more than
/// one go, and the patches do not tell it all.
pub(super) fn apply_all(
    apply: Apply,
    am: &mut Automerge,
    changes: Vec<Change>,
    patches: Option<&mut PatchLog>,
) -> (Outcome, bool) {
    let mut left: HashMap<ChangeHash, Change> = HashMap::new();
    let again = changes.clone();
    let mut outcome = apply(am, changes, patches);
    let held = |o: &Outcome| o.quarantined.iter().filter(|(_, why)| why.is_held()).count();
    let mut waiting = held(&outcome);
    let mut repeated = waiting > 0 || outcome.untold;
    if waiting > 0 {
        left.extend(again.into_iter().map(|change| (change.hash(), change)));
    }
    while waiting > 0 {
        let (later, mut settled): (Vec<_>, Vec<_>) =
            outcome.quarantined.into_iter().partition(|(_, why)| why.is_held());
        let batch = later.iter().filter_map(|(hash, _)| left.get(hash).cloned()).collect();
        let next = apply(am, batch, None);
        let remaining = held(&next);
        settled.extend(next.quarantined);
        repeated |= next.untold;
        outcome = Outcome { quarantined: settled, untold: next.untold };
        if remaining >= waiting {
            break;
        }
        waiting = remaining;
    }
    (outcome, repeated)
}

/// Marks a change as one that is never given to the library. Where it waits to be sent it goes no further: a server that
/// lacks what it depends on could never take it. One of this store's own is parked, and shown; what only was to be handed
/// on is not this store's to send.
pub(super) fn quarantine(
    connection: &Connection,
    document: i64,
    hash: ChangeHash,
    reason: &Reason,
) -> Result<()> {
    let sql = "UPDATE change SET quarantined = :reason WHERE id BETWEEN :from AND :to AND hash = :hash";
    let (from, to) = rows::id_range(document);
    let params = named_params! {":reason": reason.to_string(), ":from": from, ":to": to, ":hash": hash.0};
    connection.prepare_cached(sql)?.execute(params)?;
    let this =
        "id = (SELECT id FROM change WHERE id BETWEEN :from AND :to AND hash = :hash AND local = :local)
                AND state = 'waiting'";
    let sql = format!(
        "UPDATE pending SET state = 'parked', last_error = :reason, next_attempt_at = NULL WHERE {this}"
    );
    let own = named_params! {":reason": reason.to_string(), ":from": from, ":to": to, ":hash": hash.0, ":local": true};
    connection.prepare_cached(&sql)?.execute(own)?;
    let others = named_params! {":from": from, ":to": to, ":hash": hash.0, ":local": false};
    connection.prepare_cached(&format!("DELETE FROM pending WHERE {this}"))?.execute(others)?;
    Ok(())
}

fn read_containers(connection: &Connection, document: i64) -> Result<ContainerSet> {
    let sql = "SELECT a.bytes, c.local FROM change c JOIN actor a ON a.id = c.actor
               WHERE c.container = 1 AND c.id BETWEEN :from AND :to";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(named_params! {":from": from, ":to": to})?;
    let mut set = ContainerSet::default();
    while let Some(row) = rows.next()? {
        let (actor, local) = (Actor::from(row.get::<_, Vec<u8>>(0)?), row.get(1)?);
        if local { set.note_own(&actor) } else { set.note(&actor) }
    }
    Ok(set)
}

/// The position of a container change.
pub(super) fn container_position(
    connection: &Connection,
    document: i64,
    hash: ChangeHash,
) -> Result<Option<u64>> {
    let sql = "SELECT id FROM change WHERE container = 1 AND id BETWEEN :from AND :to AND hash = :hash";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let params = named_params! {":from": from, ":to": to, ":hash": hash.0};
    Ok(statement.query_row(params, |r| r.get(0)).optional()?.map(rows::position_of))
}

/// Invariant 10: "A snapshot is a cache", which "covers a prefix of the log". One that cannot be loaded is as none.
pub(super) fn read_snapshot(connection: &Connection, row: &DocumentRow) -> Result<Option<(Automerge, u64)>> {
    let sql = "SELECT position, bytes FROM snapshot WHERE document = :document AND epoch = :epoch";
    let found = connection
        .prepare_cached(sql)?
        .query_row(named_params! {":document": row.id, ":epoch": row.epoch}, |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, Vec<u8>>(1)?))
        })
        .optional()?;
    let Some((position, bytes)) = found else { return Ok(None) };
    match guarded(|| Automerge::load(&bytes)) {
        Ok(Ok(am)) => Ok(Some((am, position.max(0) as u64))),
        _ => {
            tracing::warn!(document = %row.uuid, "the snapshot cannot be loaded; it is left out");
            Ok(None)
        }
    }
}

/// The documents that are open. At most [`Replicas::MOST`]: the one used longest ago goes first.
#[derive(Debug, Default)]
pub(super) struct Replicas {
    open: HashMap<DocumentId, (u64, Replica)>,
    /// Counts transactions and reads: within one, memory may be ahead of the row and is not compared again.
    turn: u64,
}

impl Replicas {
    /// How many documents are kept open.
    const MOST: usize = 64;

    /// A transaction or a read begins: what other processes did is looked at again.
    pub(super) fn begin(&mut self) {
        self.turn += 1;
    }

    /// The open document, opened or brought up to date once in a transaction or read.
    pub(super) fn get(
        &mut self,
        connection: &Connection,
        id: DocumentId,
        actor: &Actor,
    ) -> Result<&mut Replica> {
        let current = self.open.get(&id).is_some_and(|(turn, _)| *turn == self.turn);
        if !current {
            self.bring_up_to_date(connection, id, actor)?;
        }
        match self.open.get_mut(&id) {
            Some((_, replica)) => Ok(replica),
            None => Err(Error::Bug(format!("document {id} was opened and is not open"))),
        }
    }

    fn bring_up_to_date(&mut self, connection: &Connection, id: DocumentId, actor: &Actor) -> Result<()> {
        let row =
            rows::read_document(connection, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
        let fresh = match self.open.get_mut(&id) {
            Some((turn, replica)) => {
                *turn = self.turn;
                replica.refresh(connection, row.clone(), actor)?
            }
            None => false,
        };
        if !fresh {
            self.open.remove(&id);
            self.make_room();
            self.open.insert(id, (self.turn, Replica::load(connection, row, actor)?));
        }
        Ok(())
    }

    /// Throws the memory of a document away: the file says what is true.
    pub(super) fn forget(&mut self, id: DocumentId) {
        self.open.remove(&id);
    }

    /// As [`Replicas::forget`], for every companion: a failed transaction may have written to any.
    pub(super) fn forget_companions(&mut self) {
        self.open.retain(|_, (_, replica)| replica.row.companion_of.is_none());
    }

    /// What is in memory of it, without a look at the file.
    pub(super) fn peek(&mut self, id: DocumentId) -> Option<&mut Replica> {
        self.open.get_mut(&id).map(|(_, replica)| replica)
    }

    /// Which documents are open.
    pub(super) fn ids(&self) -> Vec<DocumentId> {
        self.open.keys().copied().collect()
    }

    fn make_room(&mut self) {
        if self.open.len() >= Self::MOST
            && let Some(oldest) = self.open.iter().min_by_key(|(_, (turn, _))| *turn).map(|(id, _)| *id)
        {
            self.open.remove(&oldest);
        }
    }
}
