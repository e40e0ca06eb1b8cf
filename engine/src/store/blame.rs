//! Who wrote what is there.

use std::collections::{HashMap, HashSet};

use automerge::{
    Automerge, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, ScalarValue, ScalarValueRef, ValueRef,
    legacy::OpType,
};
use rusqlite::Connection;
use serde::Serialize;

use super::{
    Core, Millis,
    pushers::pusher_name,
    read::check_heads,
    replica::{Replica, parse_stored},
    rows,
    undo::read_all_standing,
};
use crate::{
    Actor, DocumentId, Error, Result,
    reducer::{ActionError, Place, find, parse_pointer_to_read, prefix},
    state::MAX_READ_DEPTH,
    undo::{OpId, Standing, exid, op_of},
    untrusted::guarded,
};

/// The change that wrote something, as the history shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Writer {
    /// The change.
    pub hash: ChangeHash,
    /// The action's type; `None` for a change of another program, and for one that only makes a container.
    pub action_type: Option<String>,
    /// Who, by name.
    pub author: Option<String>,
    /// Who, as an actor.
    pub actor: Actor,
    /// When, by its author's clock, in milliseconds since 1970, to the second. 0 for a change that only makes a container: these have no time.
    pub made_at: Millis,
    /// Dispatched by this store.
    pub local: bool,
    /// Its actor is one under which this store has dispatched: see [`HistoryEntry::own_actor`](super::HistoryEntry).
    pub own_actor: bool,
    /// Who pushed it, where its server names those who do: see [`HistoryEntry::pushed_by`](super::HistoryEntry).
    pub pushed_by: Option<String>,
    /// A change of its own that makes a container, the same on every device.
    pub container: bool,
}

/// Who wrote the value at a place, or a run of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Blame {
    /// Where, as a JSON Pointer.
    pub path: String,
    /// Of a run of a text: where it starts, in Unicode code points.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<u64>,
    /// Of a run of a text: how many code points it has.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// What was added to a counter: a line for each change that did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub added: Option<i64>,
    /// Who wrote it first. Where it was deleted or replaced and put back by an undo, still the one who wrote it.
    #[serde(flatten)]
    pub writer: Writer,
    /// The undo, redo or taken conflict that put it back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restored_by: Option<ChangeHash>,
}

impl Core {
    /// Who wrote what is at a JSON Pointer, now or at the given heads: of a scalar the change that put it, of a
    /// counter the one that made it and those that added to it, of a text its runs, of a map or list the change that made it and then
    /// everything in it.
    ///
    /// # Errors
    /// As [`Core::state`].
    pub fn blame(&mut self, id: DocumentId, pointer: &str, at: Option<&[ChangeHash]>) -> Result<Vec<Blame>> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        check_heads(replica, at.unwrap_or_default())?;
        replica.build_index(&self.connection)?;
        let standing = read_all_standing(&self.connection, replica)?;
        let found = guarded(|| {
            let mut reader = Reader { am: &replica.am, at, standing: &standing, found: Vec::new() };
            reader.read(pointer).map(|()| reader.found)
        });
        let found = found.map_err(Error::Corrupt)??;
        let found = with_added(&self.connection, replica, found, at)?;
        let mut writers = Writers::of(&self.connection, replica);
        found.into_iter().map(|run| run.blame(&mut writers)).collect()
    }
}

/// Looks changes up, each once.
pub(super) struct Writers<'a> {
    connection: &'a Connection,
    replica: &'a Replica,
    known: HashMap<ChangeHash, Writer>,
}

impl<'a> Writers<'a> {
    /// The replica's index must be built.
    pub(super) fn of(connection: &'a Connection, replica: &'a Replica) -> Self {
        Self { connection, replica, known: HashMap::new() }
    }

    pub(super) fn get(&mut self, hash: ChangeHash) -> Result<Writer> {
        if let Some(writer) = self.known.get(&hash) {
            return Ok(writer.clone());
        }
        let index = self.replica.index.as_ref();
        let position = index.and_then(|index| index.positions.get(&hash).copied());
        let position = position.ok_or_else(|| Error::Bug(format!("the change {hash} has no place")))?;
        let row = rows::read_row(self.connection, rows::row_id(self.replica.row.id, position))?;
        let writer = Writer {
            hash,
            action_type: row.action_type,
            author: row.author,
            actor: row.actor,
            made_at: row.made_at,
            local: row.local,
            own_actor: row.own_actor,
            pushed_by: pusher_name(self.connection, row.pusher)?,
            container: row.container,
        };
        self.known.insert(hash, writer.clone());
        Ok(writer)
    }
}

/// A value, or neighbouring elements of a text, that one change wrote.
struct Run {
    path: String,
    span: Option<(u64, u64)>,
    hash: ChangeHash,
    restored_by: Option<ChangeHash>,
    /// The counter that it is, or that was added to.
    counter: Option<OpId>,
    added: Option<i64>,
}

/// After each counter the changes that added to it. Only they know that they did, so the history is read, once, where
/// there is a counter.
fn with_added(
    connection: &Connection,
    replica: &Replica,
    found: Vec<Run>,
    at: Option<&[ChangeHash]>,
) -> Result<Vec<Run>> {
    let mut added: HashMap<OpId, Vec<(ChangeHash, i64)>> =
        found.iter().filter_map(|run| Some((run.counter.clone()?, Vec::new()))).collect();
    if added.is_empty() {
        return Ok(found);
    }
    let after: HashSet<ChangeHash> = at.map_or_else(HashSet::new, |heads| {
        replica.am.get_changes_meta(heads).into_iter().map(|change| change.hash).collect()
    });
    rows::each_live_bytes(connection, replica.row.id, 0, |hash, bytes| {
        if after.contains(&hash) {
            return Ok(());
        }
        let change = parse_stored(hash, bytes)?;
        // Of some changes that were accepted the library cannot read all.
        let Ok(operations) = guarded(|| change.decode().operations) else { return Ok(()) };
        for op in operations {
            let OpType::Increment(by) = op.action else { continue };
            for counter in op.pred.iter() {
                match added.get_mut(counter) {
                    Some(list) if list.last().is_some_and(|(last, _)| *last == hash) => {
                        if let Some((_, sum)) = list.last_mut() {
                            *sum = sum.saturating_add(by);
                        }
                    }
                    Some(list) => list.push((hash, by)),
                    None => {}
                }
            }
        }
        Ok(())
    })?;
    let mut all = Vec::with_capacity(found.len());
    for run in found {
        let more = run.counter.as_ref().and_then(|counter| added.remove(counter)).unwrap_or_default();
        let path = run.path.clone();
        all.push(run);
        all.extend(more.into_iter().map(|(hash, by)| Run {
            path: path.clone(),
            span: None,
            hash,
            restored_by: None,
            counter: None,
            added: Some(by),
        }));
    }
    Ok(all)
}

impl Run {
    fn blame(self, writers: &mut Writers<'_>) -> Result<Blame> {
        let (start, length) = self.span.unzip();
        let writer = writers.get(self.hash)?;
        let Self { path, added, restored_by, .. } = self;
        Ok(Blame { path, start, length, added, writer, restored_by })
    }
}

struct Reader<'a> {
    am: &'a Automerge,
    at: Option<&'a [ChangeHash]>,
    standing: &'a Standing,
    found: Vec<Run>,
}

impl Reader<'_> {
    fn read(&mut self, pointer: &str) -> Result<(), ActionError> {
        let parts = parse_pointer_to_read(pointer)?;
        match find(self.am, &parts, self.at)? {
            Place::Root => self.object(pointer, &ROOT, ObjType::Map, 0),
            Place::There { value, id, .. } => {
                self.note(
                    pointer,
                    &id,
                    value.as_scalar().is_some_and(|v| matches!(v, ScalarValue::Counter(_))),
                );
                match value {
                    automerge::Value::Object(kind) => self.object(pointer, &id, kind, parts.len()),
                    automerge::Value::Scalar(_) => Ok(()),
                }
            }
            Place::Missing { depth, .. } => Err(ActionError::NotFound { path: prefix(&parts, depth + 1) }),
        }
    }

    /// The change that first wrote it, and the one that put it back.
    fn origin(&self, id: &OpId) -> Option<(ChangeHash, Option<ChangeHash>)> {
        let now = self.am.hash_for_opid(&exid(id))?;
        let first = self.standing.first(id);
        match self.am.hash_for_opid(&exid(&first)) {
            Some(hash) if hash != now => Some((hash, Some(now))),
            _ => Some((now, None)),
        }
    }

    fn note(&mut self, path: &str, id: &ObjId, counter: bool) {
        let Some(id) = op_of(id) else { return };
        if let Some((hash, restored_by)) = self.origin(&id) {
            let counter = counter.then_some(id);
            self.found.push(Run {
                path: path.to_owned(),
                span: None,
                hash,
                restored_by,
                counter,
                added: None,
            });
        }
    }

    fn object(&mut self, path: &str, id: &ObjId, kind: ObjType, depth: usize) -> Result<(), ActionError> {
        if depth > MAX_READ_DEPTH {
            return Err(ActionError::TooDeep { path: path.to_owned(), limit: MAX_READ_DEPTH });
        }
        match kind {
            ObjType::Map | ObjType::Table => {
                let items = match self.at {
                    None => self.am.map_range(id, ..),
                    Some(heads) => self.am.map_range_at(id, .., heads),
                };
                for item in items {
                    let path = format!("{path}/{}", item.key.replace('~', "~0").replace('/', "~1"));
                    self.item((&path, depth), &item.value, &item.id())?;
                }
            }
            ObjType::List => {
                let items = match self.at {
                    None => self.am.list_range(id, ..),
                    Some(heads) => self.am.list_range_at(id, .., heads),
                };
                for item in items {
                    self.item((&format!("{path}/{}", item.index), depth), &item.value, &item.id())?;
                }
            }
            ObjType::Text => self.text(path, id),
        }
        Ok(())
    }

    fn item(
        &mut self,
        (path, depth): (&str, usize),
        value: &ValueRef<'_>,
        id: &ObjId,
    ) -> Result<(), ActionError> {
        self.note(path, id, matches!(value, ValueRef::Scalar(ScalarValueRef::Counter(_))));
        match value {
            ValueRef::Object(kind) => self.object(path, id, *kind, depth + 1),
            ValueRef::Scalar(_) => Ok(()),
        }
    }

    fn text(&mut self, path: &str, id: &ObjId) {
        let items = match self.at {
            None => self.am.list_range(id, ..),
            Some(heads) => self.am.list_range_at(id, .., heads),
        };
        let widths = crate::undo::Widths::read(self.am, id, self.at);
        let mut start = 0;
        let mut first = true;
        for item in items {
            let Some(element) = op_of(&item.id()) else { continue };
            let width = widths.of(&element, &item.value) as u64;
            if width == 0 {
                continue;
            }
            let Some((hash, restored_by)) = self.origin(&element) else { continue };
            match self.found.last_mut() {
                Some(Run { span: Some((_, length)), hash: h, restored_by: r, .. })
                    if !first && *h == hash && *r == restored_by =>
                {
                    *length += width;
                }
                _ => {
                    let span = Some((start, width));
                    let path = path.to_owned();
                    self.found.push(Run { path, span, hash, restored_by, counter: None, added: None });
                }
            }
            start += width;
            first = false;
        }
    }
}
