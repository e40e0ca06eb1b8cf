//! The second line against forks: "The server's log decides." A change that cannot stand is written again,
//! with everything held here that descends from it, and its operations unchanged.
//!
//! A change can have several *spellings*: the one it was made in, and those it was rewritten to. They are one
//! class, and one of them stands. Which one is worked out from the spellings that were made, so that every
//! replica writes the same bytes, in whatever order it learns of the forks.

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::{Change, ChangeHash};
use rusqlite::{Connection, named_params};

use super::{
    Event, Millis, Origin,
    core::Writing,
    replica::{Index, parse_stored},
    rows::{self, ChangeRow, NewChange},
};
use crate::{
    Action, DocumentId, Error, Message, Result, container, fence,
    planted::{self, Bug},
    rewrite::{self, Alias, Rewritten},
};

/// What is known of changes that cannot stand beside the server's log.
#[derive(Debug, Default)]
pub(super) struct Forks {
    /// Held here, and the log holds another under the same actor and number.
    pub(super) refused: Vec<ChangeHash>,
    /// Written again here, and the log holds it as it was.
    pub(super) stands: Vec<ChangeHash>,
    /// (goes, stands): two spellings of one change, the second in the log.
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
}

/// Why a document is built again.
pub(super) enum Rebuild {
    /// Changes that cannot stand.
    Fork(Forks),
    /// A queued change is taken back.
    Drop(rewrite::Dropped),
}

/// Finds arriving changes of which another spelling is held.
pub(super) fn find_twins(
    connection: &Connection,
    (document, index): (i64, &Index),
    arriving: &[(ChangeHash, Option<ChangeHash>)],
    forks: &mut Forks,
) -> Result<()> {
    let rewritten = read_rewritten(connection, document)?;
    for (hash, was) in arriving {
        if let Some(live) = rewritten.get(hash) {
            forks.twins.push((*live, *hash));
        }
        if let Some(was) = was
            && index.positions.contains_key(was)
        {
            // The log holds what this was rewritten to: it is written again here too, to the same bytes.
            forks.refused.push(*was);
        }
    }
    Ok(())
}

/// Live changes by the spelling they had before.
fn read_rewritten(connection: &Connection, document: i64) -> Result<HashMap<ChangeHash, ChangeHash>> {
    let sql = "SELECT was, hash FROM change WHERE was IS NOT NULL AND replaced_by IS NULL AND id BETWEEN :from AND :to";
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

/// Builds the document again, in the open transaction. Returns how many changes were written again.
pub(super) fn rebuild(w: &mut Writing<'_>, id: DocumentId, why: Rebuild) -> Result<u64> {
    // What this transaction did so far is in memory only.
    rows::write_document(w.tx, &w.replicas.get(w.tx, id, w.actor)?.row)?;
    let row = rows::read_document(w.tx, id)?.ok_or_else(|| Error::UnknownDocument(id.to_string()))?;
    w.replicas.forget(id);
    let rewritten = match why {
        Rebuild::Fork(forks) => {
            let plan = Classes::read(w.tx, row.id)?.plan(w.tx, &forks)?;
            if planted::is_planted(Bug::DispatchAgainAfterFork) {
                return dispatch_again(w, id, &plan);
            }
            let count = plan.rewritten.len() as u64;
            apply(w, row.id, &plan)?;
            count
        }
        Rebuild::Drop(dropped) => drop_changes(w, row.id, &dropped)?,
    };
    settle(w, id)?;
    tracing::info!(document = %id, rewritten, "changes were written again");
    Ok(rewritten)
}

/// One change in all its spellings.
#[derive(Debug)]
struct Class {
    /// Rows of this class, by position.
    spellings: Vec<ChangeRow>,
    /// Which of them it was made in, as far as it is held here.
    original: usize,
    /// Another change has its actor and number in the server's log.
    loser: bool,
}

impl Class {
    fn made(&self) -> Option<&ChangeRow> {
        self.spellings.get(self.original)
    }
}

/// All changes of a document as classes, dependencies first.
struct Classes {
    list: Vec<Class>,
    /// Which class a spelling belongs to.
    of: HashMap<ChangeHash, usize>,
    /// Which change is at a position.
    at: HashMap<u64, ChangeHash>,
}

/// What is to be done: which spelling of each class stands, and what is written for it.
struct Plan {
    classes: Classes,
    /// The spelling that stands, by class.
    standing: Vec<ChangeHash>,
    rewritten: Vec<Rewritten>,
}

impl Classes {
    fn read(connection: &Connection, document: i64) -> Result<Self> {
        let rows = rows::read_changes(connection, document, 0)?;
        let at = rows.iter().map(|r| (r.position(), r.hash)).collect();
        let was: HashMap<ChangeHash, ChangeHash> =
            rows.iter().filter_map(|r| Some((r.hash, r.was?))).collect();
        let root = |mut hash: ChangeHash| {
            // Rewriting starts from what was made, so chains are short; the bound is against a hostile circle.
            for _ in 0..64 {
                match was.get(&hash) {
                    Some(before) => hash = *before,
                    None => break,
                }
            }
            hash
        };
        let mut grouped: BTreeMap<u64, (ChangeHash, Vec<ChangeRow>)> = BTreeMap::new();
        let mut first: HashMap<ChangeHash, u64> = HashMap::new();
        for row in rows {
            let key = root(row.hash);
            let place = *first.entry(key).or_insert(row.position());
            grouped.entry(place).or_insert_with(|| (key, Vec::new())).1.push(row);
        }
        let mut classes = Self { list: Vec::new(), of: HashMap::new(), at };
        for (key, spellings) in grouped.into_values() {
            let original = spellings.iter().position(|r| r.hash == key).unwrap_or(0);
            let loser = spellings.get(original).is_some_and(|r| r.loser);
            for row in &spellings {
                classes.of.insert(row.hash, classes.list.len());
            }
            classes.list.push(Class { spellings, original, loser });
        }
        Ok(classes)
    }

    fn class_mut(&mut self, hash: &ChangeHash) -> Option<&mut Class> {
        self.list.get_mut(*self.of.get(hash)?)
    }

    fn note(&mut self, forks: &Forks) {
        for hash in &forks.refused {
            if let Some(class) = self.class_mut(hash) {
                // A rewritten spelling is refused where the log holds the one it was made in.
                class.loser = class.made().is_some_and(|made| made.hash == *hash);
            }
        }
        for hash in forks.stands.iter().chain(forks.twins.iter().map(|(_, stands)| stands)) {
            if let Some(class) = self.class_mut(hash) {
                class.loser = false;
                if let Some(at) = class.spellings.iter().position(|r| r.hash == *hash) {
                    class.original = at;
                }
            }
        }
    }

    /// A pure total function of what is held and what is known: the same on every replica.
    fn plan(mut self, connection: &Connection, forks: &Forks) -> Result<Plan> {
        self.note(forks);
        let mut standing: Vec<Option<ChangeHash>> = Vec::with_capacity(self.list.len());
        let mut affected = Vec::new();
        for class in &self.list {
            let made = class.made().ok_or_else(|| Error::Bug("a class has no change".to_owned()))?;
            let moved = made.deps.iter().any(|dep| {
                let hash = self.at.get(dep);
                let class = hash.and_then(|h| self.of.get(h));
                class.and_then(|c| standing.get(*c).copied()) != Some(hash.copied())
            });
            if made.quarantined.is_none() && !made.container && (class.loser || moved) {
                standing.push(None);
                affected.push(parse_stored(made.hash, &rows::read_bytes(connection, made.id)?)?);
            } else {
                standing.push(Some(made.hash));
            }
        }
        let aliases = self.aliases(connection)?;
        let aliases: Vec<Alias<'_>> =
            aliases.iter().map(|(gone, stands_for)| Alias { gone, stands_for }).collect();
        let losers = self.list.iter().filter(|c| c.loser).filter_map(|c| Some(c.made()?.hash)).collect();
        let rewritten = rewrite::rewrite_with_aliases(&affected, &losers, &aliases)
            .map_err(|e| Error::Bug(e.to_string()))?;
        let new: HashMap<ChangeHash, ChangeHash> = rewritten.iter().map(|r| (r.was, r.hash)).collect();
        let standing = self.list.iter().zip(standing).map(|(class, stands)| {
            let made = class.made().map(|m| m.hash);
            stands
                .or_else(|| new.get(&made?).copied())
                .ok_or_else(|| Error::Bug("a change was not rewritten".to_owned()))
        });
        let standing = standing.collect::<Result<_>>()?;
        Ok(Plan { classes: self, standing, rewritten })
    }

    /// (another spelling, the one that is rewritten or stands), wherever there are several.
    fn aliases(&self, connection: &Connection) -> Result<Vec<(Change, Change)>> {
        let mut pairs = Vec::new();
        for class in self.list.iter().filter(|c| c.spellings.len() > 1) {
            let Some(made) = class.made() else { continue };
            for other in class.spellings.iter().filter(|r| r.hash != made.hash) {
                let gone = parse_stored(other.hash, &rows::read_bytes(connection, other.id)?)?;
                let stands = parse_stored(made.hash, &rows::read_bytes(connection, made.id)?)?;
                pairs.push((gone, stands));
            }
        }
        Ok(pairs)
    }
}

/// Writes the plan: new rows at the end, what no longer stands pointing at what does, queue rows moved.
fn apply(w: &mut Writing<'_>, document: i64, plan: &Plan) -> Result<()> {
    let mut positions: HashMap<ChangeHash, u64> = plan.classes.at.iter().map(|(p, h)| (*h, *p)).collect();
    let mut last = plan.classes.at.keys().copied().max().unwrap_or(0);
    let made: HashMap<ChangeHash, &ChangeRow> =
        plan.classes.list.iter().filter_map(|c| c.made()).map(|row| (row.hash, row)).collect();
    for rewritten in &plan.rewritten {
        if positions.contains_key(&rewritten.hash) {
            continue;
        }
        last += 1;
        let source = made
            .get(&rewritten.was)
            .ok_or_else(|| Error::Bug("a rewritten change has no source".to_owned()))?;
        insert_rewritten(w.tx, rows::row_id(document, last), rewritten, source, &positions)?;
        positions.insert(rewritten.hash, last);
    }
    for (class, standing) in plan.classes.list.iter().zip(&plan.standing) {
        let position = positions.get(standing);
        let place = rows::row_id(document, *position.ok_or_else(|| Error::Bug("no place".to_owned()))?);
        settle_class(w, class, *standing, place)?;
    }
    Ok(())
}

/// A rewritten change is longer than it was by its new actor and `was`: the limits of a dispatch leave room for
/// that at the server, and here it has more.
fn rewriting_limits() -> fence::Limits {
    let mut limits = fence::Limits::default();
    limits.change_bytes = limits.change_bytes.saturating_mul(2);
    limits
}

fn insert_rewritten(
    connection: &Connection,
    id: i64,
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
            container: container::is_container_actor(&change.actor),
            local: source.local,
            made_at: source.made_at,
            acknowledged_at: None,
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
    for row in others.clone() {
        let loser = class.loser && class.made().is_some_and(|m| m.hash == row.hash);
        let params = named_params! {":by": standing.0, ":loser": loser, ":id": row.id};
        w.tx.prepare_cached(sql)?.execute(params)?;
        if let Some(moved) = take_pending(w.tx, row.id)? {
            pending = Some(moved);
        }
    }
    if stood {
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
fn settle(w: &mut Writing<'_>, id: DocumentId) -> Result<()> {
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
        w.events.push(Event {
            document: id,
            origin: Origin::Remote,
            changes: Vec::new(),
            heads: row.heads,
            patches: Vec::new(),
            rebuilt: true,
        });
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
        insert_rewritten(w.tx, id, rewritten, source, &positions)?;
        positions.insert(rewritten.hash, last);
        w.tx.execute("UPDATE change SET was = NULL WHERE id = :id", named_params! {":id": id})?;
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
        let Some(class) = plan.classes.of.get(&rewritten.was).and_then(|c| plan.classes.list.get(*c)) else {
            continue;
        };
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
            let _ = w.dispatch_one(id, &action)?;
        }
    }
    if let Some(replica) = w.replicas.peek(id) {
        replica.settle_heads();
        rows::write_document(w.tx, &replica.row)?;
    }
    Ok(count)
}
