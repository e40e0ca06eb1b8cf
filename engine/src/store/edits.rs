//! What changes did, and which of them wrote at a place.

use automerge::{Change, ChangeHash};
use rusqlite::Connection;
use serde_json::json;

use super::{
    Core, HistoryEntry,
    queue::made_beside,
    replica::{Replica, parse_stored},
    rows,
};
use crate::{
    DocumentId, Error, Result,
    container::{ContainerKind, ContainerSpec},
    edits::{Edit, Edits, Places, spot},
    untrusted::guarded,
};

impl Core {
    /// What these changes did, in this order. Of one that is not in the document (it is quarantined, or written again)
    /// only what it says of itself.
    ///
    /// # Errors
    /// [`Error::UnknownChange`] for one that is not held.
    pub fn edits(&mut self, id: DocumentId, changes: &[ChangeHash]) -> Result<Vec<Edits>> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        replica.build_index(&self.connection)?;
        let held: Vec<Held> =
            changes.iter().map(|hash| held(&self.connection, replica, *hash)).collect::<Result<_>>()?;
        let read: Vec<&Change> = held.iter().filter_map(Held::to_read).collect();
        let mut read = Edits::of_each(&replica.am, &read).into_iter();
        held.iter().map(|one| edits((&self.connection, replica), one, &mut read)).collect()
    }

    /// The history of one place, oldest first: the changes that wrote there, in what is there, or in the place of what
    /// holds it; all of them, or the newest so many. An index of a list means the element that has it now.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere; one to a key that is empty now leads to what was there.
    pub fn history_of(
        &mut self,
        id: DocumentId,
        pointer: &str,
        newest: Option<usize>,
    ) -> Result<Vec<HistoryEntry>> {
        let mut found = self.history_since(id, pointer, 0)?;
        let surplus = newest.map_or(0, |newest| found.len().saturating_sub(newest));
        found.drain(..surplus);
        Ok(found)
    }

    /// The same, behind the first so many lines of the whole history.
    ///
    /// # Errors
    /// As [`Core::history_of`].
    pub fn history_since(&mut self, id: DocumentId, pointer: &str, known: u64) -> Result<Vec<HistoryEntry>> {
        if pointer.is_empty() {
            let shown = rows::count_shown(&self.connection, self.document_row(id)?.id)?;
            let newest =
                (known > 0).then(|| usize::try_from(shown.saturating_sub(known)).unwrap_or(usize::MAX));
            return self.history(id, newest);
        }
        let replica = self.replica(id)?;
        let spot = guarded(|| spot(&replica.am, pointer)).map_err(Error::Corrupt)??;
        let document = replica.row.id;
        let (mut places, mut met) = (Places::default(), std::collections::HashSet::new());
        rows::each_live_bytes(&self.connection, document, 0, |hash, bytes| {
            let change = parse_stored(hash, bytes)?;
            // Of some changes that were accepted the library cannot read all.
            if guarded(|| places.note(&change, &spot)).unwrap_or(false) {
                met.insert(hash);
            }
            Ok(())
        })?;
        let mut found = self.history(id, None)?;
        found.retain(|entry| entry.position > known && met.contains(&entry.hash));
        Ok(found)
    }
}

/// A change that is asked for.
enum Held {
    /// It was left out, and may be anything.
    Unread(ChangeHash),
    /// It is no part of the document: it was left out, or written again.
    Aside(Change),
    /// It is in the document.
    There(Change),
}

impl Held {
    /// The change, where its operations tell what it did.
    fn to_read(&self) -> Option<&Change> {
        match self {
            Self::There(change) if !change.is_empty() => Some(change),
            _ => None,
        }
    }
}

fn held(connection: &Connection, replica: &Replica, hash: ChangeHash) -> Result<Held> {
    let index = replica.index.as_ref();
    let place = index.and_then(|index| index.positions.get(&hash).or_else(|| index.replaced.get(&hash)));
    let position = place.copied().ok_or_else(|| Error::UnknownChange(hash.to_string()))?;
    let bytes = rows::read_bytes(connection, rows::row_id(replica.row.id, position))?;
    let change = match parse_stored(hash, &bytes) {
        Err(_) if index.is_some_and(|index| index.quarantined.contains(&position)) => {
            return Ok(Held::Unread(hash));
        }
        parsed => parsed?,
    };
    let there = replica.am.get_change_meta_by_hash(&hash).is_some();
    Ok(if there { Held::There(change) } else { Held::Aside(change) })
}

fn edits(
    (connection, replica): (&Connection, &Replica),
    held: &Held,
    read: &mut impl Iterator<Item = Option<Edits>>,
) -> Result<Edits> {
    match held {
        Held::Unread(hash) => Ok(Edits::unread(*hash)),
        Held::Aside(change) => Ok(Edits::said(change)),
        Held::There(change) if change.is_empty() => {
            let made = made_beside(connection, replica.row.id, change)?;
            let edits = made.iter().map(made_edit).collect::<Vec<_>>();
            Ok(Edits { already_so: edits.is_empty(), edits, ..Edits::said(change) })
        }
        // Of some changes that were accepted the library cannot read all.
        Held::There(change) => Ok(read.next().flatten().unwrap_or_else(|| Edits::said(change))),
    }
}

/// What making a container beside a change comes to.
fn made_edit(made: &ContainerSpec) -> Edit {
    let value = match made.kind() {
        ContainerKind::Map => json!({}),
        ContainerKind::List => json!([]),
        ContainerKind::Text => json!(""),
        ContainerKind::Counter => json!(0),
    };
    Edit::Set { path: crate::slice::pointer(made.path()), value }
}
