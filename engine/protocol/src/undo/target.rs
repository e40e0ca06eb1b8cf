//! What a change did, place by place.

use std::collections::{HashMap, HashSet};

use automerge::{
    Change, ChangeHash, ObjId, ROOT, ScalarValue,
    legacy::{ElementId, Key, ObjectId, Op, OpType},
};

use super::{OpId, exid};

/// Where something was written: in an object.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum At {
    /// Under a key of a map.
    Key(String),
    /// On an element of a list or text, by the operation that inserted it.
    Element(OpId),
}

/// What the change left at a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Left {
    /// A value of its own.
    Value,
    /// Nothing.
    Nothing,
    /// What was there, with more or less in the counter.
    Counter,
}

/// All that a change did at one place.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) object: ObjId,
    pub(super) at: At,
    /// The change made the element itself.
    pub(super) inserted: bool,
    pub(super) left: Left,
    /// Its own operations that put a value here.
    pub(super) puts: Vec<OpId>,
    /// The operations of others that it replaced, deleted or added to.
    pub(super) preds: Vec<OpId>,
    /// What it added to a counter that it had not put.
    pub(super) added: i64,
}

/// A change, taken apart.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) hash: ChangeHash,
    pub(super) deps: Vec<ChangeHash>,
    pub(super) places: Vec<Place>,
    /// Every operation of it.
    pub(super) operations: Vec<OpId>,
    /// What its counters read after it.
    pub(super) counters: HashMap<OpId, i64>,
    /// The texts that it marked, and the names of the marks.
    pub(super) marks: Vec<(ObjId, String)>,
}

impl Target {
    pub(super) fn of(change: &Change) -> Self {
        let start = change.start_op().get();
        let actor = change.actor_id();
        let decoded = change.decode();
        let mut target = Self {
            hash: change.hash(),
            deps: change.deps().to_vec(),
            places: Vec::new(),
            operations: Vec::with_capacity(decoded.operations.len()),
            counters: HashMap::new(),
            marks: Vec::new(),
        };
        let own = |id: &OpId| id.1 == *actor && id.0 >= start;
        let mut places: HashMap<(ObjId, At), usize> = HashMap::new();
        for (op, counter) in decoded.operations.into_iter().zip(start..) {
            let id = OpId(counter, actor.clone());
            target.operations.push(id.clone());
            target.enter(&mut places, op, id, &own);
        }
        target
    }

    fn enter(
        &mut self,
        places: &mut HashMap<(ObjId, At), usize>,
        op: Op,
        id: OpId,
        own: &impl Fn(&OpId) -> bool,
    ) {
        self.count(&op, &id);
        let object = match &op.obj {
            ObjectId::Root => ROOT,
            // What it wrote into what it made goes with that.
            ObjectId::Id(object) if own(object) => return,
            ObjectId::Id(object) => exid(object),
        };
        match &op.action {
            OpType::MarkBegin(mark) => {
                let mark = (object, mark.name.to_string());
                if !self.marks.contains(&mark) {
                    self.marks.push(mark);
                }
                return;
            }
            OpType::MarkEnd(_) => return,
            _ => {}
        }
        let at = match &op.key {
            Key::Map(key) => At::Key(key.to_string()),
            Key::Seq(_) if op.insert => At::Element(id.clone()),
            Key::Seq(ElementId::Id(element)) => At::Element(element.clone()),
            Key::Seq(ElementId::Head) => return,
        };
        let index = *places.entry((object.clone(), at.clone())).or_insert_with(|| {
            self.places.push(Place {
                object,
                at,
                inserted: op.insert,
                left: Left::Counter,
                puts: Vec::new(),
                preds: Vec::new(),
                added: 0,
            });
            self.places.len() - 1
        });
        if let Some(place) = self.places.get_mut(index) {
            place.enter(&op, id, own);
        }
    }

    fn count(&mut self, op: &Op, id: &OpId) {
        match &op.action {
            OpType::Put(ScalarValue::Counter(n)) => {
                self.counters.insert(id.clone(), i64::from(n));
            }
            OpType::Increment(by) => {
                for pred in op.pred.iter() {
                    if let Some(n) = self.counters.get_mut(pred) {
                        *n = n.saturating_add(*by);
                    }
                }
            }
            _ => {}
        }
    }

    /// Everything that it replaced, deleted or added to.
    pub(super) fn preds(&self) -> HashSet<&OpId> {
        self.places.iter().flat_map(|place| &place.preds).collect()
    }
}

impl Place {
    fn enter(&mut self, op: &Op, id: OpId, own: &impl Fn(&OpId) -> bool) {
        let others = op.pred.iter().filter(|pred| !own(pred)).cloned();
        match op.action {
            OpType::Put(_) | OpType::Make(_) => {
                self.preds.extend(others);
                self.puts.push(id);
                self.left = Left::Value;
            }
            OpType::Delete => {
                self.preds.extend(others);
                self.left = Left::Nothing;
            }
            OpType::Increment(by) => {
                let before = self.preds.len();
                self.preds.extend(others);
                if self.left == Left::Counter && self.preds.len() > before {
                    self.added = self.added.saturating_add(by);
                }
            }
            OpType::MarkBegin(_) | OpType::MarkEnd(_) => {}
        }
    }
}
