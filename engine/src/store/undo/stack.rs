//! Which action is next: read from the changes made here.

use std::collections::{HashMap, HashSet};

use automerge::{Change, ChangeHash, ReadDoc as _};
use rusqlite::{Connection, named_params};

use super::{
    UndoKind,
    facts::read_standing_of,
    step_rows::{self, StepRow},
};
use crate::{
    Actor, Error, Result,
    store::{
        jobs,
        replica::{Replica, parse_stored},
        rows,
    },
    undo::{self, Evidence, Facts},
    untrusted::guarded,
};

/// A change made here, as the undos see it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: u64,
    pub(super) hash: ChangeHash,
    /// The hash that it was first made with: by this undos name it.
    pub(super) key: ChangeHash,
    pub(super) action_type: Option<String>,
    pub(super) target: Option<ChangeHash>,
    /// This store dispatched it.
    local: bool,
}

impl Entry {
    /// Whether it takes something back, in this way.
    fn is(&self, kind: UndoKind) -> bool {
        self.target.is_some() && self.action_type.as_deref() == Some(kind.name())
    }

    /// Whether it says that it takes another change back, itself or by an action of its own.
    fn claims(&self) -> bool {
        self.takes_back() || self.is(UndoKind::Revert)
    }

    /// Whether undo passes it by, as one that stands so: nobody did it, or it says so.
    pub(super) fn is_passed_by(&self, row: Option<&StepRow>) -> bool {
        self.is_migration() || (!self.takes_back() && row.is_some_and(|row| !row.undoable))
    }

    /// Whether it is what this way of taking back looks for; it is not taken back itself.
    fn answers(&self, kind: UndoKind, (taken, live): (&Taken, ChangeHash)) -> bool {
        match kind {
            UndoKind::Redo => self.is(UndoKind::Undo),
            UndoKind::Undo | UndoKind::Rollback | UndoKind::Revert => {
                let does = !self.takes_back() || self.is(UndoKind::Redo);
                does && !taken.changes.contains(&taken.action(live))
            }
        }
    }

    /// Brings a slice to its newest form: nobody did it.
    fn is_migration(&self) -> bool {
        self.action_type.as_deref().is_some_and(|kind| kind.ends_with(MIGRATION))
    }

    pub(super) fn takes_back(&self) -> bool {
        self.is(UndoKind::Undo) || self.is(UndoKind::Redo) || self.is(UndoKind::Rollback)
    }
}

/// How the type of a change ends that migrates a slice.
const MIGRATION: &str = "/@migrate";

pub(super) const ENTRY: &str = "SELECT id, hash, was, action_type, target, local FROM change
    WHERE id BETWEEN :from AND :to AND container = 0 AND replaced_by IS NULL AND quarantined IS NULL";

pub(super) fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let hash = ChangeHash(row.get(1)?);
    Ok(Entry {
        position: rows::position_of(row.get(0)?),
        hash,
        key: row.get::<_, Option<[u8; 32]>>(2)?.map_or(hash, ChangeHash),
        action_type: row.get(3)?,
        target: row.get::<_, Option<[u8; 32]>>(4)?.map(ChangeHash),
        local: row.get(5)?,
    })
}

/// Which changes made here are taken back next, the newest first: none, one, or those of one step. Walks from the newest
/// to the first that answers, and on through its step.
///
/// What counts as taken back is passed by, whoever did it: another copy of the store may have. What somebody only says
/// to have taken back is not: see [`Taken`]. A redo stands for the action itself, and an action after an undo leaves
/// nothing to redo. What follows from something (from an effect, a thunk, what a listener heard), migrations, and what
/// says so are passed by.
pub(super) fn next(connection: &Connection, replica: &Replica, kind: UndoKind) -> Result<Vec<Entry>> {
    let document = replica.row.id;
    let names = Names::read(connection, document)?;
    let taken = Taken::that_nothing_is_left_of(connection, replica, &names)?;
    let rolled_back = read_rolled_back(connection, document, &names)?;
    let sql = format!("{ENTRY} AND local = 1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let (from, to) = rows::id_range(document);
    let entries = statement.query_map(named_params! {":from": from, ":to": to}, entry)?;
    let (mut found, mut step) = (Vec::new(), None);
    for entry in entries {
        let entry = entry?;
        let live = names.live(entry.key);
        if taken.changes.contains(&live) || rolled_back.contains(&live) {
            continue;
        }
        let row = step_rows::read(connection, document, entry.key)?;
        if entry.is_passed_by(row.as_ref()) {
            continue;
        }
        // An action: there is nothing to redo before it.
        if kind == UndoKind::Redo && !entry.takes_back() {
            break;
        }
        if !entry.answers(kind, (&taken, live)) {
            continue;
        }
        let of = row.and_then(|row| row.step);
        if found.is_empty() {
            step = of;
        } else if of != step {
            break;
        }
        found.push(entry);
        if step.is_none() {
            break;
        }
    }
    Ok(found)
}

/// Which of these changes made here, known by what they were first made as, are to be taken back: the newest first,
/// wherever they stand.
pub(super) fn among(
    connection: &Connection,
    replica: &Replica,
    (kind, keys): (UndoKind, &HashSet<ChangeHash>),
) -> Result<Vec<Entry>> {
    let document = replica.row.id;
    let names = Names::read(connection, document)?;
    let taken = Taken::that_nothing_is_left_of(connection, replica, &names)?;
    let rolled_back = read_rolled_back(connection, document, &names)?;
    let sql = format!("{ENTRY} AND local = 1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let (from, to) = rows::id_range(document);
    let entries = statement.query_map(named_params! {":from": from, ":to": to}, entry)?;
    let (mut found, mut left) = (Vec::new(), keys.len());
    for entry in entries {
        if left == 0 {
            break;
        }
        let entry = entry?;
        if !keys.contains(&entry.key) {
            continue;
        }
        left -= 1;
        let live = names.live(entry.key);
        let is_back = taken.changes.contains(&live) || rolled_back.contains(&live);
        if !is_back && entry.answers(kind, (&taken, live)) {
            found.push(entry);
        }
    }
    Ok(found)
}

/// What undos, redos, rollbacks and reverts take back, all under the hashes by which they stand.
///
/// That a change takes another back is a claim in its message, and anybody can make one. Where this store dispatched
/// it, it is true. Any other counts only where its operations took something away of the change that it names; and for
/// what this store is to undo or redo next, only where nothing of that change is left. So whatever others claim, an
/// undo never passes by what still stands.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// The changes that count as taken back: by something that is not taken back itself.
    pub(super) changes: HashSet<ChangeHash>,
    targets: HashMap<ChangeHash, ChangeHash>,
    /// Those that say to take something back, those of them of which it is not so, and what they name.
    pub(super) claims: HashSet<ChangeHash>,
    pub(super) unproved: HashSet<ChangeHash>,
    pub(super) claimed: HashSet<ChangeHash>,
}

impl Taken {
    /// Reads it; as if this change were taken back as well.
    pub(super) fn read(
        connection: &Connection,
        replica: &Replica,
        names: &Names,
        with: ChangeHash,
    ) -> Result<Self> {
        Self::weigh(connection, names, (Claims::new(replica, Proof::Some), Some(with)), &HashSet::new())
    }

    /// The same, but for what was not seen yet; and who says that there was nothing to take back of what they did is
    /// believed.
    pub(super) fn without(
        connection: &Connection,
        replica: &Replica,
        names: &Names,
        (with, unseen): (ChangeHash, &HashSet<ChangeHash>),
    ) -> Result<Self> {
        Self::weigh(connection, names, (Claims::new(replica, Proof::SomeOrNothing), Some(with)), unseen)
    }

    /// The same, without what another store claims where something is left to take back.
    pub(super) fn that_nothing_is_left_of(
        connection: &Connection,
        replica: &Replica,
        names: &Names,
    ) -> Result<Self> {
        Self::weigh(connection, names, (Claims::new(replica, Proof::All), None), &HashSet::new())
    }

    fn weigh(
        connection: &Connection,
        names: &Names,
        (mut claims, with): (Claims<'_>, Option<ChangeHash>),
        unseen: &HashSet<ChangeHash>,
    ) -> Result<Self> {
        let document = claims.replica.row.id;
        let sql = format!("{ENTRY} AND target IS NOT NULL ORDER BY id DESC");
        let mut statement = connection.prepare_cached(&sql)?;
        let (from, to) = rows::id_range(document);
        let entries = statement.query_map(named_params! {":from": from, ":to": to}, entry)?;
        let mut taken = Self { changes: with.into_iter().collect(), ..Self::default() };
        for entry in entries {
            let entry = entry?;
            let named = entry.target.filter(|_| entry.claims() && !unseen.contains(&entry.hash));
            let Some(target) = named else { continue };
            let (live, target) = (names.live(entry.key), names.live(target));
            if !taken.changes.contains(&live) && !taken.changes.contains(&target) {
                if entry.local || claims.hold((connection, names), &entry, target)? {
                    taken.changes.insert(target);
                } else {
                    taken.unproved.insert(live);
                }
            }
            taken.claims.insert(live);
            taken.claimed.insert(target);
            // A revert is an action itself.
            if entry.takes_back() {
                taken.targets.insert(live, target);
            }
        }
        Ok(taken)
    }

    /// The action at the end of undos and redos. The bound is against a hostile circle.
    pub(super) fn action(&self, of: ChangeHash) -> ChangeHash {
        let chain = std::iter::successors(Some(of), |hash| self.targets.get(hash).copied());
        chain.take(1_000).last().unwrap_or(of)
    }
}

/// What proves a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Proof {
    /// Something was taken away.
    Some,
    /// The same; or there was nothing to take away, and who says so is who did it.
    SomeOrNothing,
    /// Nothing is left.
    All,
}

/// The claims of others that something was taken back, each weighed by what the change did that bears it.
struct Claims<'a> {
    replica: &'a Replica,
    proof: Proof,
    /// What stands for what, once it was asked for; and nothing else.
    facts: Option<Facts>,
    /// What is claimed to be taken back: what it did. `None` where no claim on it can hold: it is not in the document, or
    /// something of it is left.
    targets: HashMap<ChangeHash, Option<Done>>,
}

/// What a change did, who made it, and whether it did nothing.
type Done = (Evidence, Actor, bool);

impl<'a> Claims<'a> {
    fn new(replica: &'a Replica, proof: Proof) -> Self {
        Self { replica, proof, facts: None, targets: HashMap::new() }
    }

    /// Whether the claim holds that this change took that one back.
    fn hold(
        &mut self,
        (connection, names): (&Connection, &Names),
        claim: &Entry,
        target: ChangeHash,
    ) -> Result<bool> {
        let replica = self.replica;
        let facts = match &mut self.facts {
            Some(facts) => &*facts,
            none => {
                let standing = read_standing_of(connection, replica, names)?;
                none.insert(Facts { standing, ..Facts::default() })
            }
        };
        let proof = self.proof;
        let known = self.targets.entry(target).or_insert_with(|| {
            let change = held(replica, target)?;
            let left = proof == Proof::All && undo::stands(&replica.am, &change, facts);
            (!left).then(|| {
                let evidence = Evidence::of(&change, &facts.standing);
                (evidence, change.actor_id().clone(), change.is_empty())
            })
        });
        let Some((evidence, actor, nothing)) = known else { return Ok(false) };
        let id = rows::row_id(replica.row.id, claim.position);
        let change = parse_stored(claim.hash, &rows::read_bytes(connection, id)?)?;
        // Of what others wrote an empty change takes nothing.
        let nothing = proof == Proof::SomeOrNothing && (*nothing || change.is_empty());
        Ok((nothing && change.actor_id() == actor) || evidence.is_met_by(&change, &facts.standing))
    }
}

/// What a change was made without having seen, and what came after it.
pub(super) fn unseen_by(replica: &Replica, change: ChangeHash) -> Result<HashSet<ChangeHash>> {
    let metas = guarded(|| replica.am.get_changes_meta(&[change]).iter().map(|meta| meta.hash).collect());
    metas.map_err(Error::Corrupt)
}

/// A change of the document; `None` where it is not in it.
fn held(replica: &Replica, hash: ChangeHash) -> Option<Change> {
    guarded(|| replica.am.get_change_by_hash(&hash)).ok().flatten()
}

/// The actions that effects rolled back by an action of their own.
fn read_rolled_back(connection: &Connection, document: i64, names: &Names) -> Result<HashSet<ChangeHash>> {
    let found = jobs::read_rolled_back(connection, document)?;
    Ok(found.into_iter().map(|hash| names.live(hash)).collect())
}

/// Under which hash a change stands now.
pub(in crate::store) struct Names(HashMap<ChangeHash, ChangeHash>);

impl Names {
    pub(in crate::store) fn read(connection: &Connection, document: i64) -> Result<Self> {
        let sql = "SELECT was, hash FROM renamed WHERE document = :document
                   UNION ALL SELECT was, hash FROM change
                    WHERE was IS NOT NULL AND replaced_by IS NULL AND id BETWEEN :from AND :to";
        let mut statement = connection.prepare_cached(sql)?;
        let (from, to) = rows::id_range(document);
        let params = named_params! {":document": document, ":from": from, ":to": to};
        let found = statement.query_map(params, |r| Ok((ChangeHash(r.get(0)?), ChangeHash(r.get(1)?))))?;
        Ok(Self(found.collect::<rusqlite::Result<_>>()?))
    }

    /// The bound is against a hostile circle.
    pub(in crate::store) fn live(&self, mut hash: ChangeHash) -> ChangeHash {
        for _ in 0..64 {
            match self.0.get(&hash) {
                Some(now) if *now != hash => hash = *now,
                _ => break,
            }
        }
        hash
    }
}
