//! Places where concurrent writes met: every value is kept by the library, one of them reads.
//!
//! They are found in the state: so also where nobody listened when they met, and after a restart. The patches of a
//! merge name them too, for those who listen: [`Event::conflicts`]. What lost where a migration moved one of two writes is
//! told by that: see [`super::lost`].

use automerge::{
    Automerge, ChangeHash, ObjId, ObjType, PatchAction, PatchLog, Prop, ROOT, ReadDoc, ValueRef,
    transaction::{CommitOptions, Transactable},
};
use serde::Serialize;
use serde_json::{Value, json};

use super::{
    Core, Event, Receipt,
    blame::{Writer, Writers},
    core::Writing,
    dispatch::Failed,
    lost::{Lost, read_lost},
    make::{Made, library, seconds},
    record::Told,
    rows,
    steps::Attempt,
};
use crate::{
    DocumentId, Error, Message, Result,
    reducer::{ActionError, Place, Slot, check_value, find, parse_pointer_to_read, prefix, write_value},
    state::{self, MAX_READ_DEPTH, pointer},
    undo::{self, Copy, Origins},
    untrusted::guarded,
};

/// A place where concurrent writes met.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Conflict {
    /// Where, as a JSON Pointer from the document's root: what is in a slice begins with `/` and the slice's name.
    pub path: String,
    /// Every value; the first is the one that reads.
    pub values: Vec<ConflictValue>,
}

/// One of the values at a [`Conflict`].
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConflictValue {
    /// The value as JSON.
    pub value: Value,
    /// It is the one that reads.
    pub wins: bool,
    /// Who wrote it.
    #[serde(flatten)]
    pub writer: Writer,
}

/// Which value is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Choice {
    /// The one that this change wrote.
    Change(ChangeHash),
    /// By its place in [`Conflict::values`], from 0: 0 is the one that reads.
    Index(usize),
}

impl From<ChangeHash> for Choice {
    fn from(hash: ChangeHash) -> Self {
        Self::Change(hash)
    }
}

impl From<usize> for Choice {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl Event {
    /// The places where these changes met concurrent writes, as JSON Pointers: from the patches of the merge. None
    /// after a rebuild, which has no patches: [`crate::Store::conflicts`] finds them in the state.
    pub fn conflicts(&self) -> Vec<String> {
        let mut found = Vec::new();
        for patch in &self.patches {
            let place = |prop: Prop| pointer(patch.path.iter().map(|(_, prop)| prop).chain([&prop]));
            match &patch.action {
                PatchAction::PutMap { key, conflict: true, .. } => found.push(place(Prop::Map(key.clone()))),
                PatchAction::PutSeq { index, conflict: true, .. } => found.push(place(Prop::Seq(*index))),
                PatchAction::Conflict { prop } => found.push(place(prop.clone())),
                PatchAction::Insert { index, values } => {
                    let met = (*index..).zip(values.iter()).filter(|(_, (_, _, conflict))| *conflict);
                    found.extend(met.map(|(index, _)| place(Prop::Seq(index))));
                }
                _ => {}
            }
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

impl Core {
    /// The places at and under a JSON Pointer where concurrent writes met and none was taken since. Where all wrote
    /// the same there is nothing to take.
    ///
    /// # Errors
    /// [`Error::Action`] for a pointer that leads nowhere.
    pub fn conflicts(&mut self, id: DocumentId, pointer: &str) -> Result<Vec<Conflict>> {
        self.replicas.begin();
        let replica = self.replicas.get(&self.connection, id, &self.actor)?;
        let places = guarded(|| places(&replica.am, pointer)).map_err(Error::Corrupt)??;
        let lost = read_lost(&self.connection, replica, pointer)?;
        if places.is_empty() && lost.is_empty() {
            return Ok(Vec::new());
        }
        replica.build_index(&self.connection)?;
        let mut writers = Writers::of(&self.connection, replica);
        let mut found = Vec::with_capacity(places.len());
        for met in places {
            let read = guarded(|| values(&replica.am, &met)).map_err(Error::Corrupt)??;
            let mut values = Vec::with_capacity(read.len());
            for (value, hash) in read {
                let wins = values.is_empty();
                values.push(ConflictValue { value, wins, writer: writers.get(hash)? });
            }
            if values
                .iter()
                .skip(1)
                .any(|other| values.first().is_some_and(|first| first.value != other.value))
            {
                found.push(Conflict { path: met.path, values });
            }
        }
        for lost in lost {
            let mut value = |value: Value, wins: bool, hash: ChangeHash| {
                writers.get(hash).map(|writer| ConflictValue { value, wins, writer })
            };
            let last = value(lost.value, false, lost.hash)?;
            match found.iter_mut().find(|conflict| conflict.path == lost.path) {
                Some(conflict) => conflict.values.push(last),
                None => {
                    let first = value(lost.winner.0, true, lost.winner.1)?;
                    found.push(Conflict { path: lost.path, values: vec![first, last] });
                }
            }
        }
        Ok(found)
    }

    /// Takes one of the values at a conflict, by a new action `take`: it is written there again (an object with all
    /// that is in it), and the others are gone.
    ///
    /// # Errors
    /// [`Error::NoConflict`] where no writes met, or none of them is the chosen one; else as
    /// [`Core::dispatch`](super::Core::dispatch).
    pub fn take(&mut self, id: DocumentId, pointer: &str, choice: Choice) -> Result<Receipt> {
        self.write(&[id], |w| {
            let result = w.take_value(id, pointer, choice)?;
            if let Some(replica) = w.replicas.peek(id) {
                replica.settle_heads();
                rows::write_document(w.tx, &replica.row)?;
            }
            Ok(result)
        })?
    }
}

/// Where several values are.
struct Met {
    path: String,
    object: ObjId,
    prop: Prop,
}

/// The places at and under a pointer with more than one value.
fn places(am: &Automerge, pointer: &str) -> Result<Vec<Met>, ActionError> {
    let parts = parse_pointer_to_read(pointer)?;
    let mut found = Vec::new();
    match find(am, &parts, None)? {
        Place::Root => walk(am, (pointer, 0), (&ROOT, ObjType::Map), &mut found)?,
        Place::There { parent, prop, value, id } => {
            let several = am.get_all(&parent, prop.clone()).map_err(ActionError::library(pointer))?.len() > 1;
            if several {
                found.push(Met { path: pointer.to_owned(), object: parent, prop });
            }
            if let automerge::Value::Object(kind) = value {
                walk(am, (pointer, parts.len()), (&id, kind), &mut found)?;
            }
        }
        Place::Missing { depth, .. } => {
            return Err(ActionError::NotFound { path: prefix(&parts, depth + 1) });
        }
    }
    Ok(found)
}

fn walk(
    am: &Automerge,
    (path, depth): (&str, usize),
    (id, kind): (&ObjId, ObjType),
    found: &mut Vec<Met>,
) -> Result<(), ActionError> {
    if depth > MAX_READ_DEPTH {
        return Err(ActionError::TooDeep { path: path.to_owned(), limit: MAX_READ_DEPTH });
    }
    let mut enter = |prop: Prop, conflict: bool, value: &ValueRef<'_>, item: ObjId| {
        let path = format!("{path}{}", pointer(std::iter::once(&prop)));
        if conflict {
            found.push(Met { path: path.clone(), object: id.clone(), prop });
        }
        match value {
            ValueRef::Object(kind) => walk(am, (&path, depth + 1), (&item, *kind), found),
            ValueRef::Scalar(_) => Ok(()),
        }
    };
    match kind {
        ObjType::Map | ObjType::Table => am.map_range(id, ..).try_for_each(|item| {
            let id = item.id();
            enter(Prop::Map(item.key.into_owned()), item.conflict, &item.value, id)
        }),
        ObjType::List => am
            .list_range(id, ..)
            .try_for_each(|item| enter(Prop::Seq(item.index), item.conflict, &item.value, item.id())),
        ObjType::Text => Ok(()),
    }
}

/// The values at a place with the changes that wrote them; the one that reads is first.
fn values(am: &Automerge, met: &Met) -> Result<Vec<(Value, ChangeHash)>, ActionError> {
    let all = am.get_all(&met.object, met.prop.clone()).map_err(ActionError::library(&met.path))?;
    let mut found = Vec::with_capacity(all.len());
    for (value, id) in all.iter().rev() {
        if let Some(hash) = am.hash_for_opid(id) {
            found.push((state::value_to_json(am, value, id, &met.path)?, hash));
        }
    }
    Ok(found)
}

impl Writing<'_> {
    fn take_value(&mut self, id: DocumentId, pointer: &str, choice: Choice) -> Result<Result<Receipt>> {
        let replica = match self.replicas.get(self.tx, id, self.actor) {
            Ok(replica) => replica,
            Err(error @ (Error::UnknownDocument(_) | Error::Corrupt(_))) => return Ok(Err(error)),
            Err(error) => return Err(error),
        };
        if replica.row.tombstone.is_some() {
            return Ok(Err(Error::Deleted(id)));
        }
        let mut lost = read_lost(self.tx, replica, pointer)?;
        lost.retain(|lost| lost.path == pointer);
        let chosen = match guarded(|| choose(&replica.am, pointer, (choice, &lost))) {
            Ok(Ok(chosen)) => chosen,
            Ok(Err(error)) => return Ok(Err(error)),
            Err(reason) => return Ok(Err(Error::Corrupt(reason))),
        };
        // Steps may take the value away: what is taken is a copy of it.
        match self.in_steps(id, |w| w.take_once(id, pointer, &chosen)) {
            Ok(Ok(receipt)) => Ok(Ok(receipt)),
            Ok(Err(refused)) => Ok(Err(Error::Refused(refused.1))),
            Err(Failed::Action(error)) => Ok(Err(error)),
            Err(Failed::Transaction(error)) => Err(error),
        }
    }

    fn take_once(&mut self, id: DocumentId, pointer: &str, chosen: &Chosen) -> Attempt<Receipt> {
        let mut message = self.first_bears_nonce(id, Message::of_action("take").by(self.author))?;
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let first = rows::read_was(self.tx, replica.row.id, &chosen.hash)?.unwrap_or(chosen.hash);
        message.undoes = Some(first.to_string());
        let (time, listening) = (seconds(self.now), self.listening);
        let made = guarded(|| commit(&mut replica.am, chosen, &mut message, (time, listening)));
        let made = match made.map_err(Error::Library).and_then(|made| made) {
            Ok(made) => made,
            Err(error) => {
                self.reopen(id)?;
                return Err(error.into());
            }
        };
        let json = json!({"type": "take", "path": pointer, "hash": chosen.hash.to_string()});
        let text = json.to_string();
        let told =
            Told { shown_as: id, message: &message, json: &json, text: &text, step: None, extras: &[] };
        let stored = self.store_made(id, made, &told)?;
        Ok(stored.map(|checked| Receipt { hash: checked.hash, id: None }))
    }
}

/// The value that is taken, and where.
struct Chosen {
    object: ObjId,
    prop: Prop,
    content: Taken,
    hash: ChangeHash,
    /// It is written also where it reads already: what lost is no value that the library would let go.
    anew: bool,
}

/// What is taken: a value that the library has there, or one of the history.
enum Taken {
    There(Copy),
    Lost(Value),
}

fn choose(am: &Automerge, pointer: &str, (choice, lost): (Choice, &[Lost])) -> Result<Chosen> {
    let none = || Error::NoConflict(pointer.to_owned());
    let parts = parse_pointer_to_read(pointer).map_err(Error::Action)?;
    let Place::There { parent: object, prop, .. } = find(am, &parts, None).map_err(Error::Action)? else {
        return Err(none());
    };
    let all = am.get_all(&object, prop.clone()).map_err(|_| none())?;
    if all.len() + lost.len() < 2 {
        return Err(none());
    }
    let there: Vec<_> =
        all.iter().rev().filter_map(|(value, id)| Some((value, id, am.hash_for_opid(id)?))).collect();
    let anew = !lost.is_empty();
    let nth = match choice {
        Choice::Index(nth) => nth,
        Choice::Change(wanted) => {
            let shown_as = |nth: usize, hash| match lost.first() {
                Some(lost) if nth == 0 => lost.winner.1,
                _ => hash,
            };
            let hashes = there.iter().enumerate().map(|(nth, (_, _, hash))| shown_as(nth, *hash));
            let mut hashes = hashes.chain(lost.iter().map(|lost| lost.hash));
            hashes.position(|hash| hash == wanted).ok_or_else(none)?
        }
    };
    if let Some((value, id, hash)) = there.get(nth) {
        let copy = undo::read_copy(am, value, id).map_err(|e| Error::Corrupt(e.to_string()))?;
        return Ok(Chosen { object, prop, content: Taken::There(copy.ok_or_else(none)?), hash: *hash, anew });
    }
    let lost = lost.get(nth - there.len()).ok_or_else(none)?;
    check_value(&lost.value, pointer, parts.len()).map_err(Error::Action)?;
    Ok(Chosen { object, prop, content: Taken::Lost(lost.value.clone()), hash: lost.hash, anew })
}

fn commit(
    am: &mut Automerge,
    chosen: &Chosen,
    message: &mut Message,
    (time, listening): (i64, bool),
) -> Result<Made> {
    let origins = match &chosen.content {
        Taken::There(copy) => Origins::of_copy(am, copy),
        Taken::Lost(_) => Origins::default(),
    };
    let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let mut tx = am.transaction_log_patches(log).map_err(library)?;
    let mut written = Vec::new();
    if chosen.anew && matches!(chosen.prop, Prop::Map(_)) {
        tx.delete(&chosen.object, chosen.prop.clone()).map_err(library)?;
    }
    match (&chosen.content, &chosen.prop) {
        (Taken::There(copy), prop) => {
            undo::put_copy(&mut tx, &chosen.object, prop.clone(), copy, &mut written).map_err(library)?;
        }
        (Taken::Lost(value), Prop::Map(key)) => {
            write_value(&mut tx, &chosen.object, Slot::Key(key), value).map_err(library)?;
        }
        (Taken::Lost(value), Prop::Seq(index)) => {
            write_value(&mut tx, &chosen.object, Slot::At(*index), value).map_err(library)?;
        }
    }
    message.restored = undo::restored_json(&origins.encode(&written));
    let options = || CommitOptions::default().with_message(message.encode()).with_time(time);
    let (hash, mut log) = tx.commit_with(options());
    if hash.is_none() {
        am.empty_commit(options());
    }
    let patches = if listening { am.make_patches(&mut log) } else { Vec::new() };
    let change = am.get_last_local_change().ok_or_else(|| library("a commit left no change"))?;
    Ok(Made { containers: Vec::new(), change, patches })
}
