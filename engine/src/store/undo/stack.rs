//! Which action is next: read from the changes made here.

use std::collections::{HashMap, HashSet};

use automerge::ChangeHash;
use rusqlite::{Connection, named_params};

use super::UndoKind;
use crate::{Result, store::rows};

/// A change made here, as the undos see it.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) position: u64,
    pub(super) hash: ChangeHash,
    /// The hash that it was first made with: by this undos name it.
    pub(super) key: ChangeHash,
    pub(super) action_type: Option<String>,
    pub(super) target: Option<ChangeHash>,
}

impl Entry {
    /// Whether it takes something back, in this way.
    fn is(&self, kind: UndoKind) -> bool {
        self.target.is_some() && self.action_type.as_deref() == Some(kind.name())
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

pub(super) const ENTRY: &str = "SELECT id, hash, was, action_type, target FROM change
    WHERE id BETWEEN :from AND :to AND container = 0 AND replaced_by IS NULL AND quarantined IS NULL";

pub(super) fn entry(row: &rusqlite::Row<'_>) -> rusqlite::Result<Entry> {
    let hash = ChangeHash(row.get(1)?);
    Ok(Entry {
        position: rows::position_of(row.get(0)?),
        hash,
        key: row.get::<_, Option<[u8; 32]>>(2)?.map_or(hash, ChangeHash),
        action_type: row.get(3)?,
        target: row.get::<_, Option<[u8; 32]>>(4)?.map(ChangeHash),
    })
}

/// Which change made here is taken back next. Walks from the newest to the first that answers.
///
/// An undo hides what it names, a redo hides the undo that it names and stands for the action itself, and an action
/// after an undo leaves nothing to redo. What effects did when they were settled, and migrations, are nobody's
/// action: they are passed by.
pub(super) fn next(connection: &Connection, document: i64, kind: UndoKind) -> Result<Option<Entry>> {
    let names = Names::read(connection, document)?;
    let sql = format!("{ENTRY} AND local = 1 ORDER BY id DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    let (from, to) = rows::id_range(document);
    let entries = statement.query_map(named_params! {":from": from, ":to": to}, entry)?;
    let (mut hidden, settled) = read_settled(connection, document, &names)?;
    for entry in entries {
        let entry = entry?;
        let live = names.live(entry.key);
        if hidden.remove(&live) || entry.is_migration() || (!entry.takes_back() && settled.contains(&live)) {
            continue;
        }
        let wanted = match kind {
            UndoKind::Redo => entry.is(UndoKind::Undo),
            UndoKind::Undo | UndoKind::Rollback => !entry.takes_back() || entry.is(UndoKind::Redo),
        };
        if wanted {
            return Ok(Some(entry));
        }
        match entry.target {
            Some(target) if entry.takes_back() => hidden.insert(names.live(target)),
            // An action: there is nothing to redo.
            _ => return Ok(None),
        };
    }
    Ok(None)
}

/// The actions that effects rolled back by an action of their own, and what effects did when they were settled.
fn read_settled(
    connection: &Connection,
    document: i64,
    names: &Names,
) -> Result<(HashSet<ChangeHash>, HashSet<ChangeHash>)> {
    let sql = "SELECT e.change_hash, e.settled_change, e.rolled_back FROM effect e
                 JOIN document d ON d.uuid = e.document
                WHERE d.id = :document AND e.settled_change IS NOT NULL";
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(named_params! {":document": document})?;
    let (mut rolled_back, mut settled) = (HashSet::new(), HashSet::new());
    while let Some(row) = found.next()? {
        settled.insert(names.live(ChangeHash(row.get(1)?)));
        if row.get(2)? {
            rolled_back.insert(names.live(ChangeHash(row.get(0)?)));
        }
    }
    Ok((rolled_back, settled))
}

/// Under which hash a change stands now.
pub(super) struct Names(HashMap<ChangeHash, ChangeHash>);

impl Names {
    pub(super) fn read(connection: &Connection, document: i64) -> Result<Self> {
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
    pub(super) fn live(&self, mut hash: ChangeHash) -> ChangeHash {
        for _ in 0..64 {
            match self.0.get(&hash) {
                Some(now) if *now != hash => hash = *now,
                _ => break,
            }
        }
        hash
    }
}
