//! What an operation refers to is there: its object, its place in it, and the values that it replaces.
//!
//! The library looks none of this up. It takes a change that sets a key of a list, counts on a text, or replaces
//! what it was not made on; later it panics, or writes a file that it cannot load, or reads another state than a
//! replica to which the same changes came in another order. No honest program makes such a change: it looked at
//! what it wrote to.
//!
//! Whether a change keeps to the rules follows from it and its ancestors alone. So every replica and every server
//! leaves out the same changes, in whatever order they came, and whatever else it holds. (PROTOCOL.md, "What an
//! operation refers to".)

mod form;
mod lineage;
mod operations;
mod order;

use automerge::{
    Automerge, Change, ChangeHash, ObjType, ScalarValue,
    legacy::{self, ElementId, Key, ObjectId, OpType},
};
use std::collections::{HashMap, HashSet};

use crate::fence::DEPTH;
use form::check_form;
use lineage::{Lineage, View};
use operations::{Id, Kind, Operation, Operations, Place};

/// Why a change is not given to the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Objection {
    /// It refers to what is not there.
    Refused(String),
    /// It could not be looked up, for this reason: nothing is known against it.
    Held(&'static str),
}

type Checked<T> = Result<T, Objection>;

/// Looks up what changes refer to, in a document and in those that came before them in the same batch.
pub(super) struct References<'d> {
    operations: Operations<'d>,
    lineage: Lineage<'d>,
    /// How many objects an object lies in, the root among them.
    depths: HashMap<Id, usize>,
    /// What was not taken in, and what depends on it.
    out: HashSet<ChangeHash>,
}

/// The change that is looked at.
struct Subject<'a> {
    actor: u32,
    start: u64,
    view: &'a View,
    /// What it has done so far.
    done: Vec<Operation>,
    /// What it has put where something was, or at keys, and not replaced since.
    put: HashMap<(Option<Id>, Place), Id>,
}

impl<'d> References<'d> {
    pub(super) fn new(document: &'d Automerge) -> Self {
        let (operations, lineage) = (Operations::new(document), Lineage::new(document));
        Self { operations, lineage, depths: HashMap::new(), out: HashSet::new() }
    }

    /// Checks a change that is new to the document; those that come after it may refer to it then. Of what depends
    /// on one that was not taken in nothing is said.
    pub(super) fn check(&mut self, change: &Change) -> Checked<()> {
        if change.deps().iter().any(|dep| self.out.contains(dep)) {
            self.out.insert(change.hash());
            return Ok(());
        }
        let checked = self.take_in(change);
        if checked.is_err() {
            self.out.insert(change.hash());
        }
        checked
    }

    fn take_in(&mut self, change: &Change) -> Checked<()> {
        let actor = self.operations.actor(change.actor_id());
        let view = self.lineage.view_of(change.deps())?;
        let mut subject = Subject {
            actor,
            start: change.start_op().get(),
            view: &view,
            done: Vec::with_capacity(change.len()),
            put: HashMap::new(),
        };
        let expanded = change.decode();
        for operation in &expanded.operations {
            let done = self.check_operation(&subject, operation)?;
            self.check_put(&mut subject, &done, operation)?;
            subject.done.push(done);
        }
        check_marks(&subject.done)?;
        check_form(change, expanded)?;
        let done = subject.done;
        let order = self.lineage.take_in(change, view)?;
        self.operations.take_in((actor, change.seq(), change.start_op().get()), order, done)
    }

    fn check_operation(&mut self, subject: &Subject<'_>, op: &legacy::Op) -> Checked<Operation> {
        let nth = subject.done.len() + 1;
        let object = match &op.obj {
            ObjectId::Root => None,
            ObjectId::Id(id) => Some(self.operations.id(id)?),
        };
        let holds = match object {
            None => Kind::Map,
            Some(id) => self.find(subject, id)?.map_or(Kind::Nothing, |object| object.kind),
        };
        let place = match (&op.key, holds) {
            (Key::Map(key), Kind::Map) if !op.insert => Place::Key(self.operations.key(key)),
            (Key::Seq(element), Kind::List | Kind::Text) => {
                self.check_element(subject, (object, nth), (element, op.insert))?
            }
            (_, Kind::Map | Kind::List | Kind::Text) => {
                return refused(nth, "uses an object as what it is not");
            }
            (_, Kind::Table) => return refused(nth, "is in a table, and nothing can be"),
            _ => return refused(nth, "is in an object that nothing it was made on has made"),
        };
        let after = match &op.key {
            Key::Seq(ElementId::Id(id)) if op.insert => Some(self.operations.id(id)?),
            _ => None,
        };
        let done = Operation { object, place, after, inserts: op.insert, kind: kind_of(&op.action) };
        self.check_replaced(subject, &done, op)?;
        check_sequence(nth, holds, (&done, op))?;
        if done.kind == Kind::MarkEnd {
            self.check_mark(subject, &done)?;
        }
        if done.kind.is_object() {
            self.check_depth(subject, object)?;
        }
        Ok(done)
    }

    /// An object that is made in this one lies deeper than it.
    fn check_depth(&mut self, subject: &Subject<'_>, inside: Option<Id>) -> Checked<()> {
        let nth = subject.done.len();
        let depth = self.depth_of(inside)?;
        if depth >= DEPTH {
            return refused(nth + 1, &format!("nests objects deeper than the limit of {DEPTH}"));
        }
        let own = Id::new(subject.actor, subject.start.saturating_add(nth as u64))?;
        self.depths.insert(own, depth + 1);
        Ok(())
    }

    fn depth_of(&mut self, object: Option<Id>) -> Checked<usize> {
        let (mut path, mut next) = (Vec::new(), object);
        let mut depth = loop {
            let Some(id) = next else { break 0 };
            if let Some(depth) = self.depths.get(&id) {
                break *depth;
            }
            path.push(id);
            // What was stored before anybody looked may lie in itself.
            if path.len() > DEPTH {
                return Ok(DEPTH);
            }
            next = self.operations.find(id)?.and_then(|(_, made)| made.object);
        };
        while let Some(id) = path.pop() {
            depth += 1;
            self.depths.insert(id, depth);
        }
        Ok(depth)
    }

    /// Where in a list or text: at an element of it, or behind one, or at its head.
    fn check_element(
        &mut self,
        subject: &Subject<'_>,
        (object, nth): (Option<Id>, usize),
        (element, inserts): (&ElementId, bool),
    ) -> Checked<Place> {
        let own = Id::new(subject.actor, subject.start.saturating_add(subject.done.len() as u64));
        let id = match element {
            ElementId::Head if inserts => return own.map(Place::Element),
            ElementId::Head => return refused(nth, "is at no element"),
            ElementId::Id(id) => self.operations.id(id)?,
        };
        match self.find(subject, id)? {
            Some(found) if found.inserts && found.object == object => {
                if inserts {
                    own.map(Place::Element)
                } else {
                    Ok(Place::Element(id))
                }
            }
            _ => refused(nth, "is at an element that nothing it was made on has inserted"),
        }
    }

    /// What it replaces, deletes or counts on are values at its own place.
    fn check_replaced(&mut self, subject: &Subject<'_>, done: &Operation, op: &legacy::Op) -> Checked<()> {
        let nth = subject.done.len() + 1;
        let (mut counters, mut last) = (0, None);
        for id in op.pred.iter() {
            if last.replace(id) == Some(id) {
                return refused(nth, "replaces one value twice");
            }
            let id = self.operations.id(id)?;
            let value = self.find(subject, id)?;
            let there = value.filter(|value| {
                value.object == done.object && value.place == done.place && value.kind.is_value()
            });
            let Some(value) = there else {
                return refused(nth, "replaces what is not there, or is somewhere else");
            };
            counters += usize::from(value.kind == Kind::Counter);
        }
        match op.action {
            OpType::Delete if op.pred.is_empty() => refused(nth, "deletes nothing"),
            OpType::Delete if op.insert => refused(nth, "inserts a deletion"),
            OpType::Increment(_) if op.insert || counters == 0 => refused(nth, "counts where no counter is"),
            OpType::MarkBegin(_) | OpType::MarkEnd(_) if !op.insert => {
                refused(nth, "marks no place in a text")
            }
            _ if op.insert && !op.pred.is_empty() => refused(nth, "inserts and replaces"),
            _ => Ok(()),
        }
    }

    /// Who puts something where their own change has put something before replaces that. A change that did not could put a
    /// hundred thousand values at one key, in a hundred bytes, and each is looked through at every look at that key.
    fn check_put(&mut self, subject: &mut Subject<'_>, done: &Operation, op: &legacy::Op) -> Checked<()> {
        let nth = subject.done.len();
        if done.inserts || matches!(op.action, OpType::Increment(_)) {
            return Ok(());
        }
        let place = (done.object, done.place);
        if let Some(before) = subject.put.remove(&place) {
            let mut replaces = false;
            for id in op.pred.iter() {
                replaces |= self.operations.id(id)? == before;
            }
            if !replaces {
                return refused(nth + 1, "leaves what its own change put there before");
            }
        }
        if done.kind.is_value() {
            subject.put.insert(place, Id::new(subject.actor, subject.start.saturating_add(nth as u64))?);
        }
        Ok(())
    }

    /// An operation, if the change or an ancestor of it has done it.
    fn find(&mut self, subject: &Subject<'_>, id: Id) -> Checked<Option<Operation>> {
        if let Some(place) = id.nth_of(subject.actor, subject.start) {
            return Ok(subject.done.get(place).copied());
        }
        let Some((by, operation)) = self.operations.find(id)? else { return Ok(None) };
        let Some(actor) = self.operations.name(by.actor) else { return Ok(None) };
        let has = self.lineage.is_ancestor((by, actor), subject.view)?;
        Ok(has.then_some(operation))
    }
}

/// What is put at an element replaces what was there: where the library has it beside that, it panics when one of the two
/// goes. Marks are in texts alone.
fn check_sequence(nth: usize, holds: Kind, (done, op): (&Operation, &legacy::Op)) -> Checked<()> {
    match (holds, &op.action) {
        (Kind::Text, OpType::MarkBegin(_) | OpType::MarkEnd(_)) => Ok(()),
        (_, OpType::MarkBegin(_) | OpType::MarkEnd(_)) => refused(nth, "marks what is no text"),
        (Kind::List | Kind::Text, _) if !done.inserts && op.pred.is_empty() => {
            refused(nth, "puts something at an element and replaces nothing")
        }
        _ => Ok(()),
    }
}

/// Each mark ends with the operation after the one that begins it: by that the library finds its beginning.
fn check_marks(done: &[Operation]) -> Checked<()> {
    let mut begun: Option<&Operation> = None;
    for (at, operation) in done.iter().enumerate() {
        let ends = operation.kind == Kind::MarkEnd;
        match begun {
            Some(begin) if !ends || begin.object != operation.object => {
                return refused(at, "begins a mark without an end");
            }
            None if ends => return refused(at + 1, "ends a mark that was not begun"),
            _ => {}
        }
        begun = Some(operation).filter(|operation| operation.kind == Kind::MarkBegin);
    }
    if begun.is_some() { refused(done.len(), "begins a mark without an end") } else { Ok(()) }
}

fn kind_of(action: &OpType) -> Kind {
    match action {
        OpType::Make(ObjType::Map) => Kind::Map,
        OpType::Make(ObjType::Table) => Kind::Table,
        OpType::Make(ObjType::List) => Kind::List,
        OpType::Make(ObjType::Text) => Kind::Text,
        OpType::Put(ScalarValue::Counter(_)) => Kind::Counter,
        OpType::Put(_) => Kind::Scalar,
        OpType::MarkBegin(_) => Kind::MarkBegin,
        OpType::MarkEnd(_) => Kind::MarkEnd,
        OpType::Delete | OpType::Increment(_) => Kind::Nothing,
    }
}

fn refused<T>(nth: usize, what: &str) -> Checked<T> {
    Err(Objection::Refused(format!("its operation {nth} {what}")))
}
