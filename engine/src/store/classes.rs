//! Which spelling of each change stands.
//!
//! A change can have several *spellings*: the one it was made in, and those it was rewritten to. They are one
//! class, and one of them stands. "The server's log decides": a spelling that it is known to hold stands, with
//! everything it was made on. What else stands goes on standing where it can: where the log holds no other change
//! under its actor and number, and what it was made on stands as it is. Everything else is written again, from
//! the spelling it was made in, so that replicas that know the same make the same bytes.

use std::collections::{BTreeMap, HashMap, HashSet};

use automerge::{Change, ChangeHash};
use rusqlite::Connection;

use super::{
    fork::{Again, Forks},
    replica::parse_stored,
    rows::{self, ChangeRow},
};
use crate::{
    Actor, Error, Result,
    container::is_container_actor,
    rewrite::{self, Alias, Claim, RewriteError, Rewritten},
};

/// One change in all its spellings.
#[derive(Debug)]
pub(super) struct Class {
    /// Rows of this class, by position. `loser`: another change has its actor and number in the server's log.
    pub(super) spellings: Vec<ChangeRow>,
    /// The spelling it was made in, or the first that is held.
    source: usize,
    /// The spelling it was made in, where no row has it: made again of one that was written again. So everybody
    /// writes again from the same bytes, whoever holds them.
    made: Option<Change>,
}

impl Class {
    /// The hash that this is written again from.
    fn root(&self) -> Result<ChangeHash> {
        Ok(match &self.made {
            Some(made) => made.hash(),
            None => self.source()?.hash,
        })
    }

    /// The change that this is written again from.
    fn original(&self, connection: &Connection) -> Result<Change> {
        match &self.made {
            Some(made) => Ok(made.clone()),
            None => read(connection, self.source()?),
        }
    }

    fn source(&self) -> Result<&ChangeRow> {
        self.spellings.get(self.source).ok_or_else(|| Error::Bug("a class has no change".to_owned()))
    }
}

/// All changes of a document as classes, dependencies first.
pub(super) struct Classes {
    pub(super) list: Vec<Class>,
    /// Which class a spelling belongs to, and which of its rows it is.
    of: HashMap<ChangeHash, (usize, usize)>,
    /// Which change is at a position.
    pub(super) at: HashMap<u64, ChangeHash>,
}

/// What is to be done: which spelling of each class stands, and what is written for it.
pub(super) struct Plan {
    pub(super) classes: Classes,
    /// The spelling that stands, by class.
    pub(super) standing: Vec<ChangeHash>,
    pub(super) rewritten: Vec<Rewritten>,
}

impl Plan {
    /// How many changes stand in another spelling than before.
    pub(super) fn count_changed(&self) -> Again {
        let changed = |(class, standing): &(&Class, &ChangeHash)| {
            class.spellings.iter().any(|row| row.stands() != (row.hash == **standing))
                || class.spellings.iter().all(|row| row.hash != **standing)
        };
        let own = |class: &Class| class.spellings.iter().any(|row| row.local);
        let mut again = Again::default();
        for (class, _) in self.classes.list.iter().zip(&self.standing).filter(changed) {
            again.all += 1;
            again.own += u64::from(own(class));
        }
        again
    }
}

impl Classes {
    pub(super) fn read(connection: &Connection, document: i64) -> Result<Self> {
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
        // A change comes after what it was made on, in whatever spelling that came first: so do the classes.
        let mut grouped: BTreeMap<u64, (ChangeHash, Vec<ChangeRow>)> = BTreeMap::new();
        let mut first: HashMap<ChangeHash, u64> = HashMap::new();
        for row in rows {
            let key = root(row.hash);
            let place = *first.entry(key).or_insert(row.position());
            grouped.entry(place).or_insert_with(|| (key, Vec::new())).1.push(row);
        }
        let mut classes = Self { list: Vec::new(), of: HashMap::new(), at };
        for (key, spellings) in grouped.into_values() {
            let held = spellings.iter().position(|r| r.hash == key);
            let source = held.unwrap_or(0);
            let made = match spellings.get(source).filter(|_| held.is_none()) {
                Some(row) => Claim::original(&read(connection, row)?).filter(|made| made.hash() == key),
                None => None,
            };
            if made.is_some() {
                classes.of.insert(key, (classes.list.len(), source));
            }
            for (nth, row) in spellings.iter().enumerate() {
                classes.of.insert(row.hash, (classes.list.len(), nth));
            }
            classes.list.push(Class { spellings, source, made });
        }
        Ok(classes)
    }

    pub(super) fn class(&self, hash: &ChangeHash) -> Option<&Class> {
        self.list.get(self.of.get(hash)?.0)
    }

    pub(super) fn row(&self, hash: &ChangeHash) -> Option<&ChangeRow> {
        let (class, nth) = self.of.get(hash)?;
        self.list.get(*class)?.spellings.get(*nth)
    }

    fn deps<'a>(&'a self, row: &'a ChangeRow) -> impl Iterator<Item = ChangeHash> + 'a {
        row.deps.iter().filter_map(|position| self.at.get(position).copied())
    }

    /// Whether one of these was made here under the number of another that was made here too, and left out since: what is
    /// left out is not in the document in memory, where the next number is taken from.
    pub(super) fn follow_quarantined(&self, refused: &[ChangeHash]) -> bool {
        let left_out: HashSet<(&Actor, u64)> = self
            .list
            .iter()
            .flat_map(|class| &class.spellings)
            .filter(|row| row.local && row.quarantined.is_some())
            .map(|row| (&row.actor, row.seq))
            .collect();
        let follows = |row: &ChangeRow| row.local && left_out.contains(&(&row.actor, row.seq));
        refused.iter().filter_map(|hash| self.row(hash)).any(follows)
    }

    /// What the log is known to hold: these, and everything they were made on, as they are spelled.
    fn pinned(&self, forks: &Forks) -> HashSet<ChangeHash> {
        let told = forks.stands.iter().chain(forks.twins.iter().map(|(_, arrives)| arrives));
        let mut stack: Vec<ChangeHash> = told.copied().collect();
        let mut pinned = HashSet::new();
        while let Some(hash) = stack.pop() {
            if pinned.insert(hash)
                && let Some(row) = self.row(&hash)
            {
                stack.extend(self.deps(row));
            }
        }
        pinned
    }

    /// What was refused lost, and what has the actor and number of something that the log is known to hold.
    fn note_losers(&mut self, refused: &[ChangeHash], pinned: &HashSet<ChangeHash>) {
        let taken: HashSet<(Actor, u64)> =
            pinned.iter().filter_map(|hash| self.row(hash)).map(|row| (row.actor.clone(), row.seq)).collect();
        for row in self.list.iter_mut().flat_map(|class| &mut class.spellings) {
            let lost = row.loser
                || refused.contains(&row.hash)
                || (!taken.is_empty() && taken.contains(&(row.actor.clone(), row.seq)));
            row.loser = lost && !pinned.contains(&row.hash);
        }
    }

    /// The spelling that stands if it can.
    fn candidate<'a>(&self, class: &'a Class, pinned: &HashSet<ChangeHash>) -> Option<&'a ChangeRow> {
        let held_by_log = class.spellings.iter().find(|row| pinned.contains(&row.hash));
        held_by_log.or_else(|| class.spellings.iter().find(|row| row.stands()))
    }

    /// A pure total function of what is held and what is known.
    pub(super) fn plan(
        mut self,
        connection: &Connection,
        forks: &Forks,
    ) -> Result<std::result::Result<Plan, RewriteError>> {
        let pinned = self.pinned(forks);
        self.note_losers(&forks.refused, &pinned);
        let mut standing: Vec<Option<ChangeHash>> = Vec::with_capacity(self.list.len());
        let mut affected = Vec::new();
        for class in &self.list {
            let candidate = self.candidate(class, &pinned);
            let stands = |dep: ChangeHash| {
                let class = self.of.get(&dep).map(|(class, _)| *class);
                class.and_then(|class| standing.get(class).copied().flatten()) == Some(dep)
            };
            let can = |row: &&ChangeRow| {
                is_container_actor(&row.actor)
                    || row.quarantined.is_some()
                    || (!row.loser && self.deps(row).all(stands))
            };
            match candidate.filter(can) {
                Some(row) => standing.push(Some(row.hash)),
                None => {
                    affected.push(class.original(connection)?);
                    standing.push(None);
                }
            }
        }
        let rewritten = match self.rewrite(connection, &affected, &standing)? {
            Ok(rewritten) => rewritten,
            Err(error) => return Ok(Err(error)),
        };
        let new: HashMap<ChangeHash, ChangeHash> = rewritten.iter().map(|r| (r.was, r.hash)).collect();
        let standing = self.list.iter().zip(standing).map(|(class, stands)| {
            let root = class.root()?;
            stands
                .or_else(|| new.get(&root).copied())
                .ok_or_else(|| Error::Bug("a change was not rewritten".to_owned()))
        });
        let standing = standing.collect::<Result<_>>()?;
        Ok(Ok(Plan { classes: self, standing, rewritten }))
    }

    /// Writes the affected ones again, none of them under the actor and number of another.
    fn rewrite(
        &self,
        connection: &Connection,
        affected: &[Change],
        standing: &[Option<ChangeHash>],
    ) -> Result<std::result::Result<Vec<Rewritten>, RewriteError>> {
        let aliases = self.aliases(connection, standing)?;
        let aliases: Vec<Alias<'_>> =
            aliases.iter().map(|(gone, stands_for)| Alias { gone, stands_for }).collect();
        let rows = || self.list.iter().flat_map(|class| &class.spellings);
        let losers = rows().filter(|row| row.loser).map(|row| row.hash).collect();
        let taken: HashSet<(&Actor, u64)> = standing
            .iter()
            .flatten()
            .filter_map(|hash| self.row(hash))
            .map(|row| (&row.actor, row.seq))
            .collect();
        // What lost in a spelling that was made here stays apart from the branch that it was in.
        let lost_again = |class: &&Class| {
            let again = |nth| class.made.is_some() || nth != class.source;
            class.spellings.iter().enumerate().any(|(nth, row)| row.loser && again(nth))
        };
        let lost_again = self.list.iter().filter(lost_again).filter_map(|class| class.root().ok()).collect();
        let mut apart = match rewrite::firsts(affected, &aliases, &lost_again) {
            Ok(apart) => apart,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            let rewritten = match rewrite::rewrite_with_aliases(affected, &losers, &aliases, &apart) {
                Ok(rewritten) => rewritten,
                Err(error) => return Ok(Err(error)),
            };
            let mut seen = taken.clone();
            let met = rewritten.iter().find(|r| !seen.insert((&r.actor, r.seq))).map(|r| r.was);
            // What follows it goes with it into the branch that it begins.
            if !met.is_some_and(|met| apart.insert(met)) {
                return Ok(Ok(rewritten));
            }
        }
    }

    /// (another spelling, the one that stands or is written again), wherever there are several.
    fn aliases(
        &self,
        connection: &Connection,
        standing: &[Option<ChangeHash>],
    ) -> Result<Vec<(Change, Change)>> {
        let mut pairs = Vec::new();
        let several = |class: &Class| class.spellings.len() > 1 || class.made.is_some();
        for (class, stands) in self.list.iter().zip(standing).filter(|(class, _)| several(class)) {
            let stands = match stands.and_then(|hash| self.row(&hash)) {
                Some(row) => read(connection, row)?,
                None => class.original(connection)?,
            };
            let rows = class.spellings.iter().map(|row| read(connection, row));
            for other in class.made.iter().cloned().map(Ok).chain(rows) {
                let other = other?;
                // Rows of an older release may claim what is not so.
                let same = other.start_op() == stands.start_op() && other.len() == stands.len();
                if same && other.hash() != stands.hash() {
                    pairs.push((other, stands.clone()));
                }
            }
        }
        Ok(pairs)
    }
}

fn read(connection: &Connection, row: &ChangeRow) -> Result<Change> {
    parse_stored(row.hash, &rows::read_bytes(connection, row.id)?)
}
