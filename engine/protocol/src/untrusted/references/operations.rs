//! What each operation refers to, compared with what its ancestors made.

use std::collections::HashMap;

use automerge::{
    ActorId, Automerge, ChangeHash, ReadDoc,
    legacy::{self, OpId},
};

use super::{
    Checked, Objection,
    lineage::{By, TOO_MUCH},
};
use crate::undo::exid;

/// How many operations of changes in the document are kept at hand: some 40 bytes each.
const AT_HAND: usize = 1 << 18;
/// How many are read from the document for one batch, at most, and as how many a change counts beside its own: some
/// seconds.
const MOST_READ: usize = 8_000_000;
const A_CHANGE: usize = 16;

/// The id of an operation, with its actor's number here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id {
    actor: u32,
    counter: u32,
}

impl Id {
    /// The fence lets no counter through that has more than 32 bits.
    pub(super) fn new(actor: u32, counter: u64) -> Checked<Self> {
        let counter = u32::try_from(counter);
        let counter =
            counter.map_err(|_| Objection::Refused("a counter has more than 32 bits".to_owned()))?;
        Ok(Self { actor, counter })
    }

    /// Which operation of a change it is, if it is one: from 0.
    pub(super) fn nth_of(self, actor: u32, start: u64) -> Option<usize> {
        let nth = u64::from(self.counter).checked_sub(start).filter(|_| self.actor == actor)?;
        usize::try_from(nth).ok()
    }
}

/// Where in its object an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Place {
    /// A key, by its number here.
    Key(u32),
    /// The element with this id; of an insertion its own.
    Element(Id),
}

/// What an operation leaves there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Map,
    List,
    Text,
    /// Nothing is in one: the library cannot read what is.
    Table,
    Counter,
    Scalar,
    MarkBegin,
    MarkEnd,
    Nothing,
}

impl Kind {
    /// Whether others can lie in it.
    pub(super) fn is_object(self) -> bool {
        matches!(self, Self::Map | Self::List | Self::Text | Self::Table)
    }

    /// Whether it can be replaced and deleted.
    pub(super) fn is_value(self) -> bool {
        !matches!(self, Self::MarkBegin | Self::MarkEnd | Self::Nothing)
    }
}

/// What is to be known of an operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operation {
    pub(super) object: Option<Id>,
    pub(super) place: Place,
    /// Of an element that is inserted: behind which. `None` at the head, and of anything else.
    pub(super) after: Option<Id>,
    pub(super) inserts: bool,
    pub(super) kind: Kind,
}

/// The operations of a batch and, as they are asked for, of the document that it is for.
pub(super) struct Operations<'d> {
    document: &'d Automerge,
    actors: HashMap<ActorId, u32>,
    names: Vec<ActorId>,
    keys: HashMap<String, u32>,
    /// By actor, ascending by counter.
    batch: HashMap<u32, Vec<Run>>,
    taken_in: Vec<Operation>,
    at_hand: HashMap<ChangeHash, (Run, Vec<Operation>)>,
    kept: usize,
    read: usize,
}

/// The operations of one change.
#[derive(Debug, Clone, Copy)]
struct Run {
    start: u64,
    count: usize,
    /// Where they begin, of one that is in the batch.
    first: usize,
    by: By,
}

impl Run {
    fn nth(&self, counter: u64) -> Option<usize> {
        let nth = usize::try_from(counter.checked_sub(self.start)?).ok()?;
        (nth < self.count).then_some(nth)
    }
}

impl<'d> Operations<'d> {
    pub(super) fn new(document: &'d Automerge) -> Self {
        Self {
            document,
            actors: HashMap::new(),
            names: Vec::new(),
            keys: HashMap::new(),
            batch: HashMap::new(),
            taken_in: Vec::new(),
            at_hand: HashMap::new(),
            kept: 0,
            read: 0,
        }
    }

    /// The number of an actor here.
    pub(super) fn actor(&mut self, actor: &ActorId) -> u32 {
        if let Some(known) = self.actors.get(actor) {
            return *known;
        }
        let number = u32::try_from(self.names.len()).unwrap_or(u32::MAX);
        self.names.push(actor.clone());
        self.actors.insert(actor.clone(), number);
        number
    }

    pub(super) fn id(&mut self, id: &OpId) -> Checked<Id> {
        Id::new(self.actor(&id.1), id.0)
    }

    /// The actor with this number here.
    pub(super) fn name(&self, actor: u32) -> Option<&ActorId> {
        self.names.get(actor as usize)
    }

    /// Whether of two elements behind the same one the first comes first: the younger does.
    pub(super) fn comes_first(&self, one: Id, other: Id) -> bool {
        (one.counter, self.name(one.actor)) > (other.counter, self.name(other.actor))
    }

    /// The number of a key here.
    pub(super) fn key(&mut self, key: &str) -> u32 {
        if let Some(known) = self.keys.get(key) {
            return *known;
        }
        let number = u32::try_from(self.keys.len()).unwrap_or(u32::MAX);
        self.keys.insert(key.to_owned(), number);
        number
    }

    /// Takes in what a change of the batch has done.
    pub(super) fn take_in(
        &mut self,
        (actor, seq, start): (u32, u64, u64),
        order: usize,
        done: Vec<Operation>,
    ) -> Checked<()> {
        let run = Run { start, count: done.len(), first: self.taken_in.len(), by: By { order, actor, seq } };
        let runs = self.batch.entry(actor).or_default();
        if runs.last().is_some_and(|last| last.start.saturating_add(last.count as u64) > start) {
            // Which of the two stands is the log's to say, and another log may say otherwise.
            return Err(Objection::Held("another change of its actor has its number"));
        }
        runs.push(run);
        self.taken_in.extend(done);
        Ok(())
    }

    /// An operation that is there, and whose.
    pub(super) fn find(&mut self, id: Id) -> Checked<Option<(By, Operation)>> {
        let counter = u64::from(id.counter);
        if let Some(runs) = self.batch.get(&id.actor) {
            let above = runs.partition_point(|run| run.start <= counter);
            let run = above.checked_sub(1).and_then(|at| runs.get(at));
            if let Some((run, nth)) = run.and_then(|run| Some((run, run.nth(counter)?))) {
                return Ok(self.taken_in.get(run.first + nth).map(|operation| (run.by, *operation)));
            }
        }
        let Some(actor) = self.name(id.actor) else { return Ok(None) };
        let Some(hash) = self.document.hash_for_opid(&exid(&OpId(counter, actor.clone()))) else {
            return Ok(None);
        };
        if !self.at_hand.contains_key(&hash) {
            self.read(hash)?;
        }
        let Some((run, operations)) = self.at_hand.get(&hash) else { return Ok(None) };
        let operation = run.nth(counter).and_then(|nth| operations.get(nth));
        Ok(operation.map(|operation| (run.by, *operation)))
    }

    /// Reads a change of the document. What is in it was checked when it came.
    fn read(&mut self, hash: ChangeHash) -> Checked<()> {
        let Some(change) = self.document.get_change_by_hash(&hash) else { return Ok(()) };
        let (actor, start) = (self.actor(change.actor_id()), change.start_op().get());
        let mut operations = Vec::with_capacity(change.len());
        for (nth, op) in change.decode().operations.iter().enumerate() {
            let own = Id::new(actor, start.saturating_add(nth as u64))?;
            operations.push(self.stored(op, own)?);
        }
        self.read = self.read.saturating_add(operations.len() + A_CHANGE);
        if self.read > MOST_READ {
            return Err(Objection::Held(TOO_MUCH));
        }
        self.kept += operations.len();
        if self.kept > AT_HAND {
            self.at_hand.clear();
            self.kept = operations.len();
        }
        let by = By { order: 0, actor, seq: change.seq() };
        let run = Run { start, count: operations.len(), first: 0, by };
        self.at_hand.insert(hash, (run, operations));
        Ok(())
    }

    fn stored(&mut self, op: &legacy::Op, own: Id) -> Checked<Operation> {
        let object = match &op.obj {
            legacy::ObjectId::Root => None,
            legacy::ObjectId::Id(id) => Some(self.id(id)?),
        };
        let (place, after) = match &op.key {
            legacy::Key::Map(key) => (Place::Key(self.key(key)), None),
            legacy::Key::Seq(legacy::ElementId::Id(id)) if !op.insert => (Place::Element(self.id(id)?), None),
            legacy::Key::Seq(legacy::ElementId::Id(id)) => (Place::Element(own), Some(self.id(id)?)),
            legacy::Key::Seq(legacy::ElementId::Head) => (Place::Element(own), None),
        };
        Ok(Operation { object, place, after, inserts: op.insert, kind: super::kind_of(&op.action) })
    }
}
