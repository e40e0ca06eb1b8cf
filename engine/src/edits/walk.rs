//! The lists and texts of a document at one moment of its history after another. A history is read in a time that grows
//! with the document and with what was done, where reading each list before and after each change would grow with their
//! product.
//!
//! [`Line`] knows which elements are there at the moment. To go to another moment is to do and to take back the
//! operations by which the two differ.

use std::collections::{BTreeMap, HashMap};

use automerge::{
    Automerge, Change, ChangeHash, ObjId, ObjType, Prop, Value,
    legacy::{ElementId, Key, ObjectId, Op, OpType},
};

use super::{
    line::{Effect, Line, Touch},
    place::{Part, Places},
    sequence::{Element, Id},
};
use crate::{
    state,
    undo::{OpId, op_of},
};

/// A change: what it was made on, and what it did to lists and texts.
#[derive(Debug, Default)]
struct Step {
    deps: Vec<usize>,
    touched: HashMap<OpId, Vec<Touch>>,
}

/// The document at a moment.
#[derive(Debug, Default)]
pub(super) struct Walk {
    steps: Vec<Step>,
    nth: HashMap<ChangeHash, usize>,
    lines: HashMap<OpId, Line>,
    places: Places,
    /// The newest changes of the moment.
    heads: Vec<usize>,
    /// What the lists and texts of the change that is being read held before it.
    before: HashMap<OpId, Vec<Element>>,
}

impl Walk {
    /// At the beginning of the document.
    pub(super) fn of(am: &Automerge) -> Self {
        let mut walk = Self::default();
        let changes = am.get_changes(&[]);
        for (nth, change) in changes.iter().enumerate() {
            walk.nth.insert(change.hash(), nth);
            let deps = change.deps().iter().filter_map(|dep| walk.nth.get(dep).copied()).collect();
            let mut step = Step { deps, touched: HashMap::new() };
            let (start, actor) = (change.start_op().get(), change.actor_id());
            for (op, counter) in change.decode().operations.into_iter().zip(start..) {
                walk.enter(&mut step, op, OpId(counter, actor.clone()));
            }
            walk.steps.push(step);
        }
        walk.lines.values_mut().for_each(Line::put_in_order);
        walk
    }

    fn enter(&mut self, step: &mut Step, op: Op, id: OpId) {
        self.places.enter(&op, &id);
        if let OpType::Make(kind @ (ObjType::List | ObjType::Text)) = op.action {
            self.lines.insert(id.clone(), Line::new(kind));
        }
        let (ObjectId::Id(object), Key::Seq(key)) = (op.obj, op.key) else { return };
        let Some(line) = self.lines.get_mut(&object) else { return };
        let behind = match key {
            ElementId::Head => None,
            ElementId::Id(element) => Some(element),
        };
        let element = if op.insert {
            line.insert(id.clone(), behind);
            id.clone()
        } else {
            let Some(element) = behind else { return };
            element
        };
        let touched = step.touched.entry(object).or_default();
        let mut touch = |value: OpId, effect| touched.push(Touch { element: element.clone(), value, effect });
        match op.action {
            OpType::Increment(by) => op.pred.iter().for_each(|pred| touch(pred.clone(), Effect::Add(by))),
            OpType::MarkBegin(_) | OpType::MarkEnd(_) => {}
            action => {
                op.pred.iter().for_each(|pred| touch(pred.clone(), Effect::Hide));
                if let Some(value) = value_of(&action) {
                    line.write(id.clone(), value);
                    touch(id, Effect::Write);
                }
            }
        }
    }

    /// Goes to the moment right after a change, with a look at what its lists and texts held before. False where the
    /// change is not in the document.
    pub(super) fn go(&mut self, change: &Change) -> bool {
        let Some(nth) = self.nth.get(&change.hash()).copied() else { return false };
        let Some(step) = self.steps.get(nth) else { return false };
        self.go_to(step.deps.clone());
        let step = self.steps.get(nth);
        let objects = step.into_iter().flat_map(|step| step.touched.keys());
        self.before = objects.map(|object| (object.clone(), self.read(object, nth))).collect();
        self.go_to(vec![nth]);
        true
    }

    /// Does and takes back by what the moment differs from these heads: walks back from both until all is in both.
    fn go_to(&mut self, heads: Vec<usize>) {
        const HERE: u8 = 1;
        const THERE: u8 = 2;
        const BOTH: u8 = 3;
        let mut open: BTreeMap<usize, u8> = BTreeMap::new();
        self.heads.iter().for_each(|nth| *open.entry(*nth).or_default() |= HERE);
        heads.iter().for_each(|nth| *open.entry(*nth).or_default() |= THERE);
        let mut differ = open.values().filter(|of| **of != BOTH).count();
        while differ > 0
            && let Some((nth, of)) = open.pop_last()
        {
            if of != BOTH {
                differ -= 1;
                self.step(nth, of == THERE);
            }
            for dep in self.steps.get(nth).into_iter().flat_map(|step| &step.deps) {
                let was = open.get(dep).copied();
                let is = of | was.unwrap_or_default();
                open.insert(*dep, is);
                differ = differ + usize::from(is != BOTH) - usize::from(was.is_some_and(|was| was != BOTH));
            }
        }
        self.heads = heads;
    }

    fn step(&mut self, nth: usize, done: bool) {
        for (object, touched) in self.steps.get(nth).into_iter().flat_map(|step| &step.touched) {
            if let Some(line) = self.lines.get_mut(object) {
                touched.iter().for_each(|touch| line.touch(touch, done));
            }
        }
    }

    /// What a list or text held before the change, and holds now: the elements that the change touched, and between
    /// them all that lie there as one.
    pub(super) fn sequences(&self, object: &ObjId, change: &Change) -> Option<(&[Element], Vec<Element>)> {
        let (object, nth) = (op_of(object)?, self.nth.get(&change.hash()).copied()?);
        let before = self.before.get(&object).map_or(&[][..], Vec::as_slice);
        Some((before, self.read(&object, nth)))
    }

    fn read(&self, object: &OpId, nth: usize) -> Vec<Element> {
        let touched = self.steps.get(nth).and_then(|step| step.touched.get(object));
        let (Some(line), Some(touched)) = (self.lines.get(object), touched) else { return Vec::new() };
        let sorted = line.sorted(touched.iter().map(|touch| &touch.element));
        let (mut elements, mut reached) = (Vec::new(), 0);
        for (between, element) in sorted.into_iter().enumerate() {
            let index = line.index(element).unwrap_or(reached);
            if let Some(width) = index.checked_sub(reached).filter(|width| *width > 0) {
                elements.push(Element { id: Id::Between(between), width, value: Value::from(()) });
                reached = index;
            }
            if let Some((id, width, value)) = line.read(element) {
                elements.push(Element { id: Id::Of(id), width, value });
                reached += width;
            }
        }
        elements
    }

    /// The index of an element; none where it is hidden or gone.
    pub(super) fn index(&self, object: &ObjId, element: &OpId) -> Option<usize> {
        let line = self.lines.get(&op_of(object)?)?;
        line.read(element).and_then(|_| line.index(element))
    }

    /// Where an object is. None where it is in an element that is hidden or gone.
    pub(super) fn path(&self, object: &ObjId) -> Option<String> {
        let Some(mut object) = op_of(object) else { return Some(String::new()) };
        let mut props = Vec::new();
        loop {
            let (parent, part) = self.places.of(&object)?;
            props.push(match (part, parent) {
                (Part::Key(key), _) => Prop::Map(key.clone()),
                (Part::Element(element), Some(list)) => {
                    let line = self.lines.get(list)?;
                    line.read(element).filter(|(id, ..)| *id == object)?;
                    Prop::Seq(line.index(element)?)
                }
                (Part::Element(_), None) => return None,
            });
            match parent {
                Some(parent) => object = parent.clone(),
                None => return Some(state::pointer(props.iter().rev())),
            }
        }
    }
}

/// The value that an operation writes.
pub(super) fn value_of(action: &OpType) -> Option<Value<'static>> {
    match action {
        OpType::Make(kind) => Some(Value::Object(*kind)),
        OpType::Put(value) => Some(Value::from(value.clone())),
        _ => None,
    }
}
