//! The second line against forks: "The server's log decides." A change that cannot stand is written again,
//! with everything held here that descends from it, and its operations unchanged.
//!

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::{Automerge, Change, ChangeHash};
use rusqlite::{Connection, named_params};
use sha2::{Digest, Sha256};

use super::{
    Event, Millis,
    arrive::has_no_line,
    classes::{Class, Classes, Plan},
    core::Writing,
    dispatch::Asked,
    jobs::{drop_effects_of, follow_change},
    listeners::follow_drop,
    make::library,
    open::set_meta,
    replica::{Index, parse_stored, quarantine},
    rows::{self, ChangeRow, NewChange},
    undo::follow_step,
};
use crate::{
    Action, Actor, DocumentId, Error, Message, Result, fence,
    planted::{self, Bug},
    quarantine::Reason,
    rewrite::{self, RewriteError, Rewritten},
    untrusted::apply_untrusted,
};

/// What is known of changes that cannot stand beside the server's log.
#[derive(Debug, Default)]
pub(super) struct Forks {
    /// Held here, and the log holds another under the same actor and number.
    pub(super) refused: Vec<ChangeHash>,
    /// Held here, and the log holds it in this spelling.
    pub(super) stands: Vec<ChangeHash>,
    /// Arriving in another spelling than the one that stands here: (goes, arrives).
    pub(super) twins: Vec<(ChangeHash, ChangeHash)>,
}

impl Forks {
    pub(super) fn is_empty(&self) -> bool {
        self.refused.is_empty() && self.stands.is_empty() && self.twins.is_empty()
    }

    /// The twins apart: they are settled once the one that stands is here.
    pub(super) fn take_twins(&mut self) -> Self {
        Self { twins: std::mem::take(&mut self.twins), ..Self::default() }
    }

    /// Whether this one arrives in place of another spelling.
    pub(super) fn is_twin(&self, hash: &ChangeHash) -> bool {
        self.twins.iter().any(|(_, arrives)| arrives == hash)
    }
}

/// Why a document is built again.
pub(super) enum Rebuild {
    /// Changes that cannot stand.
    Fork(Forks),
    /// A queued change is taken back.
    Drop(rewrite::Dropped),
}

/// The spelling that stands here of what was first made as the key.
pub(super) struct Standing<'a> {
    index: &'a Index,
    rewritten: HashMap<ChangeHash, ChangeHash>,
}

impl<'a> Standing<'a> {
    pub(super) fn read(connection: &Connection, document: i64, index: &'a Index) -> Result<Self> {
        Ok(Self { index, rewritten: read_rewritten(connection, document)? })
    }

    pub(super) fn of(&self, first: &ChangeHash) -> Option<ChangeHash> {
        let as_made = self.index.positions.contains_key(first).then_some(*first);
        as_made.or_else(|| self.rewritten.get(first).copied())
    }
}

/// Live changes by what they were first made as.
fn read_rewritten(connection: &Connection, document: i64) -> Result<HashMap<ChangeHash, ChangeHash>> {
    // The index is named: by itself SQLite takes the range of ids, and walks the whole document for each page.
    let sql = "SELECT was, hash FROM change INDEXED BY change_was
                WHERE was IS NOT NULL AND replaced_by IS NULL AND id BETWEEN :from AND :to";
    let (from, to) = rows::id_range(document);
    let mut statement = connection.prepare_cached(sql)?;
    let found = statement.query_map(named_params! {":from": from, ":to": to}, |r| {
        Ok((ChangeHash(r.get(0)?), ChangeHash(r.get(1)?)))
    })?;
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// A live change and all live changes that descend from it, dependencies first.
pub(super) fn live_descendants(
    connection: &Connection,
    document: i64,
    hash: ChangeHash,
) -> Result<Vec<Change>> {
    let mut found: HashSet<u64> = HashSet::new();
    let mut changes = Vec::new();
    for row in rows::read_changes(connection, document, 0)? {
        let live = row.stands() && row.quarantined.is_none();
        if live && (row.hash == hash || row.deps.iter().any(|dep| found.contains(dep))) {
            found.insert(row.position());
            changes.push(parse_stored(row.hash, &rows::read_bytes(connection, row.id)?)?);
        }
    }
    Ok(changes)
}

/// How many changes were written again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Again {
    pub(super) all: u64,
    /// Of these, how many this store had dispatched.
    pub(super) own: u64,
    /// Those of its own were made in the place of changes of its own that were quarantined: nobody else wrote under its
    /// name.
    pub(super) after_quarantine: bool,
}

/// Builds the document again, in the open transaction. Returns how many changes were written again.
pub(super) fn rebuild(w: &mut Writing<'_>, id: DocumentId, why: Rebuild) -> Result<Again> {
    // What this transaction did so far is in memory only.
    rows::write_document(w.tx, &w.replicas.get(w.tx, id, w.actor)?.row)?;
    let row = rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
    w.replicas.forget(id);
    let arrives = matches!(&why, Rebuild::Fork(forks) if !forks.twins.is_empty());
    let rewritten = match why {
        Rebuild::Fork(forks) => {
            let plan = plan(w.tx, row.id, &forks)?;
            take_another_actor(w, &plan, &forks)?;
            if planted::is_planted(Bug::DispatchAgainAfterFork) {
                let all = dispatch_again(w, id, &plan)?;
                return Ok(Again { all, own: all, after_quarantine: false });
            }
            let again = Again {
                after_quarantine: plan.classes.follow_quarantined(&forks.refused),
                ..plan.count_changed()
            };
            apply(w, row.id, &plan)?;
            again
        }
        Rebuild::Drop(dropped) => Again { all: drop_changes(w, row.id, &dropped)?, ..Again::default() },
    };
    settle(w, id)?;
    if arrives {
        w.prove_whole(id, 0)?;
    }
    if leave_out_hostile(w.tx, row.id)? > 0 {
        settle(w, id)?;
    }
    tracing::info!(document = %id, rewritten = rewritten.all, "changes were written again");
    Ok(rewritten)
}

/// What is to be done. What the library cannot take apart is left where it is, as what it cannot take in is.
fn plan(connection: &Connection, document: i64, forks: &Forks) -> Result<Plan> {
    loop {
        match Classes::read(connection, document)?.plan(connection, forks)? {
            Ok(plan) => return Ok(plan),
            Err(RewriteError::Unreadable(hash)) => {
                let why = "it cannot be written again, and what it was made on is there in other words";
                quarantine(connection, document, hash, &Reason::Refused(why.to_owned()))?;
            }
            Err(error) => return Err(library(error)),
        }
    }
}

/// A change of this store's own actor lost: somebody else writes under this actor, for the store was copied or
/// put back. That is positive evidence, and from now on this store writes under another.
fn take_another_actor(w: &mut Writing<'_>, plan: &Plan, forks: &Forks) -> Result<()> {
    let own = |hash: &&ChangeHash| plan.classes.row(hash).is_some_and(|row| row.actor == *w.actor);
    match forks.refused.iter().find(own) {
        Some(lost) => leave_actor(w, w.actor, *lost),
        None => Ok(()),
    }
}

/// Takes another actor, because of the change that somebody else made under this one, or of the own one that lost
/// against theirs. All copies of the store may meet that change: each takes its own.
pub(super) fn leave_actor(w: &mut Writing<'_>, actor: &Actor, because: ChangeHash) -> Result<()> {
    let mut hasher = Sha256::new();
    hasher.update(b"rejoin actor of a store whose own change lost 1\0");
    hasher.update(actor.to_bytes());
    hasher.update(because.0);
    hasher.update((w.nonces)().to_be_bytes());
    let fresh = Actor::from(hasher.finalize().iter().copied().take(16).collect::<Vec<u8>>());
    tracing::info!(%because, actor = %fresh, "somebody else writes under this actor; a fresh one");
    // Taken over by the next write, as when another process took it.
    Ok(set_meta(w.tx, "actor", &fresh.to_hex_string())?)
}

/// What arrived is given to the library together with the rest, for the first time here: what it cannot take is
/// quarantined.
pub(super) fn leave_out_hostile(connection: &Connection, document: i64) -> Result<usize> {
    let mut changes = Vec::new();
    rows::each_live_bytes(connection, document, 0, |hash, bytes| {
        changes.push(parse_stored(hash, bytes)?);
        Ok(())
    })?;
    let outcome = apply_untrusted(&mut Automerge::new(), changes, None);
    for (hash, reason) in &outcome.quarantined {
        quarantine(connection, document, *hash, reason)?;
    }
    Ok(outcome.quarantined.len())
}

/// Writes the plan: new rows at the end, what no longer stands pointing at what does, queue rows moved.
fn apply(w: &mut Writing<'_>, document: i64, plan: &Plan) -> Result<()> {
    let mut positions: HashMap<ChangeHash, u64> = plan.classes.at.iter().map(|(p, h)| (*h, *p)).collect();
    let mut last = plan.classes.at.keys().copied().max().unwrap_or(0);
    for rewritten in &plan.rewritten {
        if positions.contains_key(&rewritten.hash) {
            continue;
        }
        last += 1;
        let source = plan.classes.row(&rewritten.was);
        let source = source.ok_or_else(|| Error::Bug("a rewritten change has no source".to_owned()))?;
        let place = rows::row_id(document, last);
        insert_rewritten(w.tx, (place, Some(rewritten.was)), rewritten, source, &positions)?;
        positions.insert(rewritten.hash, last);
    }
    for (class, standing) in plan.classes.list.iter().zip(&plan.standing) {
        let position = positions.get(standing);
        let place = rows::row_id(document, *position.ok_or_else(|| Error::Bug("no place".to_owned()))?);
        settle_class(w, class, *standing, place)?;
    }
    Ok(())
}

/// A rewritten change is longer than it was by its new actor and its claim: the limits of a dispatch leave room for
/// that at the server. What others made may fill the limits, and is kept here all the same.
fn rewriting_limits() -> fence::Limits {
    let mut limits = fence::Limits::default();
    limits.change_bytes = limits.change_bytes.saturating_mul(2);
    limits.message_bytes = limits.message_bytes.saturating_mul(2);
    limits
}

fn insert_rewritten(
    connection: &Connection,
    (id, was): (i64, Option<ChangeHash>),
    rewritten: &Rewritten,
    source: &ChangeRow,
    positions: &HashMap<ChangeHash, u64>,
) -> Result<()> {
    let change = fence::check_bytes(&rewritten.bytes, &rewriting_limits()).map_err(Error::Refused)?;
    let deps: Option<Vec<u64>> = change.deps.iter().map(|dep| positions.get(dep).copied()).collect();
    let message = Message::decode(change.message.as_deref());
    rows::insert_change(
        connection,
        &NewChange {
            id,
            actor: rows::actor_row(connection, &change.actor)?,
            change: &change,
            deps: &deps.ok_or_else(|| Error::Bug("a rewritten change depends on nothing held".to_owned()))?,
            message: &message,
            container: has_no_line(&change, &message),
            local: source.local,
            made_at: source.made_at,
            acknowledged_at: None,
            was,
            quarantined: None,
        },
    )
}

/// Lets one spelling of a class stand, and moves the class's queue row to it. What was written again is
/// queued even where it was pulled: who made it may be gone.
fn settle_class(w: &mut Writing<'_>, class: &Class, standing: ChangeHash, place: i64) -> Result<()> {
    let stood = class.spellings.iter().any(|r| r.hash == standing && r.stands());
    let others = class.spellings.iter().filter(|r| r.hash != standing);
    let sql = "UPDATE change SET replaced_by = :by, loser = :loser WHERE id = :id AND (replaced_by IS NOT :by OR loser <> :loser)";
    let mut pending: Option<Moved> = None;
    for row in others {
        let params = named_params! {":by": standing.0, ":loser": row.loser, ":id": row.id};
        w.tx.prepare_cached(sql)?.execute(params)?;
        follow_change(w.tx, row.id >> 40, (row.hash, standing))?;
        pending = take_pending(w.tx, row.id)?.or(pending);
    }
    if stood && pending.is_none() {
        return Ok(());
    }
    let revive = "UPDATE change SET replaced_by = NULL, loser = 0 WHERE id = :id";
    w.tx.prepare_cached(revive)?.execute(named_params! {":id": place})?;
    let moved = pending.unwrap_or(Moved { ordinal: w.ordinal, action: None, enqueued_at: w.now });
    let new = rows::NewPending {
        id: place,
        ordinal: moved.ordinal,
        action: moved.action.as_deref(),
        enqueued_at: moved.enqueued_at,
    };
    w.enqueued += 1;
    rows::insert_pending_once(w.tx, &new)
}

/// A queue row that changes its place.
struct Moved {
    ordinal: i64,
    action: Option<String>,
    enqueued_at: Millis,
}

fn take_pending(connection: &Connection, id: i64) -> Result<Option<Moved>> {
    let sql = "DELETE FROM pending WHERE id = :id RETURNING ordinal, action, enqueued_at";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(named_params! {":id": id})?;
    let moved = match found.next()? {
        Some(row) => Some(Moved { ordinal: row.get(0)?, action: row.get(1)?, enqueued_at: row.get(2)? }),
        None => None,
    };
    // RETURNING runs to its end only when it is asked to.
    while found.next()?.is_some() {}
    Ok(moved)
}

/// Counts and heads from the rows, under a new epoch: every reader opens the document again.
pub(super) fn settle(w: &mut Writing<'_>, id: DocumentId) -> Result<()> {
    let mut row = rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
    let changes = rows::read_changes(w.tx, row.id, 0)?;
    let mut heads: BTreeMap<u64, ChangeHash> = BTreeMap::new();
    row.changes = 0;
    row.last = row.last.max(changes.last().map_or(0, ChangeRow::position));
    for change in changes.iter().filter(|c| c.stands() && c.quarantined.is_none()) {
        row.changes += 1;
        heads.insert(change.position(), change.hash);
    }
    for change in changes.iter().filter(|c| c.stands() && c.quarantined.is_none()) {
        for dep in &change.deps {
            heads.remove(dep);
        }
    }
    let mut heads: Vec<(ChangeHash, u64)> = heads.into_iter().map(|(p, h)| (h, p)).collect();
    heads.sort_unstable();
    (row.heads, row.heads_at) = heads.into_iter().unzip();
    row.epoch += 1;
    rows::write_document(w.tx, &row)?;
    if w.listening {
        w.events.push(Event::rebuilt(id, row.heads));
    }
    Ok(())
}

/// `queue drop`: what goes is gone, and what stays is a change of its own from now on.
fn drop_changes(w: &mut Writing<'_>, document: i64, dropped: &rewrite::Dropped) -> Result<u64> {
    let rows = rows::read_changes(w.tx, document, 0)?;
    let by_hash: HashMap<ChangeHash, &ChangeRow> = rows.iter().map(|r| (r.hash, r)).collect();
    let mut positions: HashMap<ChangeHash, u64> = rows.iter().map(|r| (r.hash, r.position())).collect();
    let mut last = rows.last().map_or(0, ChangeRow::position);
    for rewritten in &dropped.rewritten {
        let source = by_hash
            .get(&rewritten.was)
            .ok_or_else(|| Error::Bug("a rewritten change has no source".to_owned()))?;
        last += 1;
        let id = rows::row_id(document, last);
        insert_rewritten(w.tx, (id, None), rewritten, source, &positions)?;
        positions.insert(rewritten.hash, last);
        follow_drop(w.tx, (document, source.position()), (rewritten.was, rewritten.hash))?;
        follow_change(w.tx, document, (rewritten.was, rewritten.hash))?;
        follow_step(w.tx, document, (source.was.unwrap_or(source.hash), rewritten.hash))?;
        // An undo may name what it was.
        let sql = "INSERT OR REPLACE INTO renamed (document, was, hash) VALUES (:document, :was, :hash)";
        let params =
            named_params! {":document": document, ":was": rewritten.was.0, ":hash": rewritten.hash.0};
        w.tx.prepare_cached(sql)?.execute(params)?;
        let moved = take_pending(w.tx, source.id)?;
        let moved = moved.unwrap_or(Moved { ordinal: w.ordinal, action: None, enqueued_at: w.now });
        rows::insert_pending(
            w.tx,
            &rows::NewPending {
                id,
                ordinal: moved.ordinal,
                action: moved.action.as_deref(),
                enqueued_at: moved.enqueued_at,
            },
        )?;
    }
    for hash in &dropped.also {
        drop_effects_of(w.tx, document, *hash, w.now)?;
    }
    let gone = dropped.also.iter().chain(dropped.rewritten.iter().map(|r| &r.was));
    for hash in gone {
        if let Some(row) = by_hash.get(hash) {
            w.tx.execute("DELETE FROM pending WHERE id = :id", named_params! {":id": row.id})?;
            w.tx.execute("DELETE FROM change WHERE id = :id", named_params! {":id": row.id})?;
        }
    }
    w.enqueued += 1;
    Ok(dropped.rewritten.len() as u64)
}

/// The planted bug "actions dispatched again after a fork".
fn dispatch_again(w: &mut Writing<'_>, id: DocumentId, plan: &Plan) -> Result<u64> {
    let nowhere = [0_u8; 32];
    let mut actions = Vec::new();
    for rewritten in &plan.rewritten {
        let Some(class) = plan.classes.class(&rewritten.was) else { continue };
        for row in &class.spellings {
            let sql = "UPDATE change SET replaced_by = :by WHERE id = :id";
            w.tx.execute(sql, named_params! {":by": nowhere, ":id": row.id})?;
            actions.extend(take_pending(w.tx, row.id)?.and_then(|m| m.action));
        }
    }
    settle(w, id)?;
    let count = actions.len() as u64;
    for action in actions {
        if let Ok(action) = serde_json::from_str::<Action>(&action) {
            let _ = w.dispatch_one(id, &crate::slice::Command::Json(action), Asked::default())?;
        }
    }
    if let Some(replica) = w.replicas.peek(id) {
        replica.settle_heads();
        rows::write_document(w.tx, &replica.row)?;
    }
    Ok(count)
}
