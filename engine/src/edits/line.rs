//! One list or text with all elements that it ever had, in their order: which of them are there at a time, and how many
//! places those before an element take.

use std::collections::{HashMap, HashSet};

use automerge::{ObjType, ScalarValue, Value};

use crate::undo::OpId;

/// A value that was written on an element.
#[derive(Debug)]
struct Written {
    value: Value<'static>,
    /// Its change is among those of the moment.
    there: bool,
    /// How many operations among those of the moment replaced or deleted it.
    hidden: usize,
    /// What was added to it, where it is a counter.
    added: i64,
}

impl Written {
    fn of(value: Value<'static>) -> Self {
        Self { value, there: false, hidden: 0, added: 0 }
    }

    fn touch(&mut self, effect: Effect, done: bool) {
        match effect {
            Effect::Write => self.there = done,
            Effect::Hide if done => self.hidden += 1,
            Effect::Hide => self.hidden = self.hidden.saturating_sub(1),
            Effect::Add(by) if done => self.added = self.added.saturating_add(by),
            Effect::Add(by) => self.added = self.added.saturating_sub(by),
        }
    }

    fn shows(&self) -> bool {
        self.there && self.hidden == 0
    }

    fn read(&self) -> Value<'static> {
        plus(&self.value, self.added)
    }
}

/// A counter with what was added to it; any other value as it is.
pub(super) fn plus(value: &Value<'static>, by: i64) -> Value<'static> {
    match value.as_scalar() {
        Some(ScalarValue::Counter(n)) if by != 0 => Value::counter(i64::from(n).saturating_add(by)),
        _ => value.clone(),
    }
}

/// An element: where it is in the order, and what is on it at the moment.
#[derive(Debug, Default)]
struct Slot {
    place: usize,
    /// The values that nothing hides, the newest last: several where writes met.
    shown: Vec<OpId>,
    /// How many places it takes.
    width: usize,
}

/// What one operation does to a value of an element.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Effect {
    /// It writes the value.
    Write,
    /// It replaces or deletes it.
    Hide,
    /// It adds to it.
    Add(i64),
}

/// An effect, and on which value of which element.
#[derive(Debug, Clone)]
pub(super) struct Touch {
    pub(super) element: OpId,
    pub(super) value: OpId,
    pub(super) effect: Effect,
}

/// A list or text.
#[derive(Debug)]
pub(super) struct Line {
    text: bool,
    slots: HashMap<OpId, Slot>,
    /// What was ever written on elements, by its operation.
    written: HashMap<OpId, Written>,
    /// The elements behind each; behind none are those at the beginning.
    behind: HashMap<Option<OpId>, Vec<OpId>>,
    widths: Sums,
}

impl Line {
    pub(super) fn new(kind: ObjType) -> Self {
        Self {
            text: kind == ObjType::Text,
            slots: HashMap::new(),
            written: HashMap::new(),
            behind: HashMap::new(),
            widths: Sums::default(),
        }
    }

    /// Notes an element that was inserted behind another.
    pub(super) fn insert(&mut self, element: OpId, after: Option<OpId>) {
        self.slots.insert(element.clone(), Slot::default());
        self.behind.entry(after).or_default().push(element);
    }

    /// Notes a value.
    pub(super) fn write(&mut self, id: OpId, value: Value<'static>) {
        self.written.insert(id, Written::of(value));
    }

    /// Puts all into their order, when every element is noted: behind one element the newest comes first, each with
    /// what is behind it.
    pub(super) fn put_in_order(&mut self) {
        for siblings in self.behind.values_mut() {
            siblings.sort_unstable();
        }
        let mut waiting = self.behind.remove(&None).unwrap_or_default();
        let mut place = 0;
        while let Some(element) = waiting.pop() {
            if let Some(slot) = self.slots.get_mut(&element) {
                slot.place = place;
                place += 1;
            }
            waiting.append(&mut self.behind.remove(&Some(element)).unwrap_or_default());
        }
        self.widths = Sums::of(place);
    }

    /// Does what an operation did, or takes it back.
    pub(super) fn touch(&mut self, touch: &Touch, done: bool) {
        let slot = self.slots.get_mut(&touch.element);
        let (Some(slot), Some(written)) = (slot, self.written.get_mut(&touch.value)) else { return };
        written.touch(touch.effect, done);
        match (slot.shown.binary_search(&touch.value), written.shows()) {
            (Err(at), true) => slot.shown.insert(at, touch.value.clone()),
            (Ok(at), false) => drop(slot.shown.remove(at)),
            _ => return,
        }
        let reads = slot.shown.last().and_then(|id| self.written.get(id));
        let width = reads.map_or(0, |written| width(self.text, &written.value));
        self.widths.add(slot.place, width as i64 - slot.width as i64);
        slot.width = width;
    }

    /// How many places those before this element take.
    pub(super) fn index(&self, element: &OpId) -> Option<usize> {
        Some(self.widths.before(self.slots.get(element)?.place))
    }

    /// What reads on an element: the operation that wrote it, how many places it takes, and the value.
    pub(super) fn read(&self, element: &OpId) -> Option<(OpId, usize, Value<'static>)> {
        let slot = self.slots.get(element).filter(|slot| slot.width > 0)?;
        let id = slot.shown.last()?;
        Some((id.clone(), slot.width, self.written.get(id)?.read()))
    }

    /// These elements in their order.
    pub(super) fn sorted<'a>(&self, elements: impl Iterator<Item = &'a OpId>) -> Vec<&'a OpId> {
        let once: HashSet<&OpId> = elements.collect();
        let mut sorted: Vec<_> =
            once.into_iter().filter_map(|id| Some((self.slots.get(id)?.place, id))).collect();
        sorted.sort_unstable_by_key(|(place, _)| *place);
        sorted.into_iter().map(|(_, id)| id).collect()
    }
}

/// In a text as many places as code points, and one for what is no text; in a list one.
fn width(text: bool, value: &Value<'_>) -> usize {
    match value {
        Value::Scalar(scalar) if text => scalar.as_str().map_or(1, |text| text.chars().count()),
        _ => 1,
    }
}

/// Sums of what is before each place, where single ones change (a Fenwick tree).
#[derive(Debug, Default)]
struct Sums(Vec<i64>);

impl Sums {
    fn of(places: usize) -> Self {
        Self(vec![0; places + 1])
    }

    fn add(&mut self, place: usize, by: i64) {
        let mut at = place + 1;
        while by != 0
            && let Some(sum) = self.0.get_mut(at)
        {
            *sum += by;
            at += at & at.wrapping_neg();
        }
    }

    fn before(&self, place: usize) -> usize {
        let (mut at, mut sum) = (place, 0);
        while at > 0 {
            sum += self.0.get(at).copied().unwrap_or_default();
            at &= at - 1;
        }
        usize::try_from(sum).unwrap_or_default()
    }
}
