//! A change, read place by place.

use std::collections::{HashMap, HashSet};

use automerge::{
    Automerge, Change, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, Value as AmValue,
    legacy::{ElementId, Key, ObjectId, Op, OpType},
};
use serde_json::Value;

use super::{
    Edit,
    line::plus,
    sequence::{SequenceEdit, elements_at},
    walk::{Walk, value_of},
};
use crate::{
    state,
    undo::{OpId, exid},
};

/// What the change did in one object that was there before it.
#[derive(Default)]
struct Touched {
    /// Of a map, in order, and where each key is in it.
    keys: Vec<(String, KeyEdit)>,
    nth: HashMap<String, usize>,
    /// Of a list or text: values in the place of others.
    replaced: HashMap<OpId, HashSet<OpId>>,
    /// What was added to counters in a list, by the element.
    added: Vec<(OpId, i64)>,
    /// Names and values of marks.
    marks: Vec<(String, ScalarValue)>,
    /// It inserted, deleted or replaced elements.
    elements: bool,
    /// Characters that it inserted one after another.
    typed: Option<Typed>,
    /// It inserted, deleted or replaced others beside them.
    more: bool,
}

/// Characters inserted one after another.
struct Typed {
    first: OpId,
    last: OpId,
    text: String,
}

/// What was done to a key of a map.
#[derive(Clone)]
enum KeyEdit {
    Value(OpId, AmValue<'static>),
    Nothing,
    Added(i64),
}

/// The edits of a change that is in the document. A walk that stands right after the change knows its places without
/// reading the document at its heads.
pub(super) fn read(am: &Automerge, change: &Change, walk: Option<&Walk>) -> Vec<Edit> {
    let start = change.start_op().get();
    let actor = change.actor_id();
    let mut objects: Vec<(ObjId, Touched)> = Vec::new();
    let mut places: HashMap<ObjId, usize> = HashMap::new();
    for (op, counter) in change.decode().operations.iter().zip(start..) {
        let object = match &op.obj {
            ObjectId::Root => ROOT,
            // What it wrote into what it made is shown with that.
            ObjectId::Id(id) if id.1 == *actor && id.0 >= start => continue,
            ObjectId::Id(id) => exid(id),
        };
        let nth = *places.entry(object.clone()).or_insert_with(|| {
            objects.push((object, Touched::default()));
            objects.len() - 1
        });
        if let Some((_, touched)) = objects.get_mut(nth) {
            touched.enter(op, OpId(counter, actor.clone()));
        }
    }
    let reader = Reader { am, change, walk, after: &[change.hash()] };
    objects.iter().flat_map(|(object, touched)| reader.object(object, touched)).collect()
}

impl Touched {
    fn enter(&mut self, op: &Op, id: OpId) {
        match (&op.action, &op.key) {
            (OpType::MarkBegin(mark), _) => self.marks.push((mark.name.to_string(), mark.value.clone())),
            (OpType::MarkEnd(_), _) => {}
            (OpType::Increment(by), Key::Map(key)) => self.enter_key(key, KeyEdit::Added(*by)),
            (OpType::Delete, Key::Map(key)) => self.enter_key(key, KeyEdit::Nothing),
            (action, Key::Map(key)) => {
                if let Some(value) = value_of(action) {
                    self.enter_key(key, KeyEdit::Value(id, value));
                }
            }
            (OpType::Increment(by), Key::Seq(ElementId::Id(element))) => {
                self.added.push((element.clone(), *by));
            }
            (action, Key::Seq(element)) => {
                self.elements = true;
                match action {
                    OpType::Put(ScalarValue::Str(piece)) if op.insert => {
                        self.enter_typed(element, &id, piece);
                    }
                    _ => self.more = true,
                }
                if !op.insert && *action != OpType::Delete {
                    self.replaced.insert(id, op.pred.iter().cloned().collect());
                }
            }
        }
    }

    fn enter_key(&mut self, key: &str, edit: KeyEdit) {
        let nth = *self.nth.entry(key.to_owned()).or_insert_with(|| {
            self.keys.push((key.to_owned(), KeyEdit::Added(0)));
            self.keys.len() - 1
        });
        let Some((_, before)) = self.keys.get_mut(nth) else { return };
        *before = match (&*before, edit) {
            (KeyEdit::Added(sum), KeyEdit::Added(by)) => KeyEdit::Added(sum.saturating_add(by)),
            // Added to what it put itself.
            (KeyEdit::Value(id, value), KeyEdit::Added(by)) => KeyEdit::Value(id.clone(), plus(value, by)),
            (KeyEdit::Nothing, KeyEdit::Added(_)) => KeyEdit::Nothing,
            (_, edit) => edit,
        };
    }

    fn enter_typed(&mut self, after: &ElementId, id: &OpId, piece: &str) {
        match &mut self.typed {
            None => {
                self.typed = Some(Typed { first: id.clone(), last: id.clone(), text: piece.to_owned() });
            }
            Some(typed) if *after == ElementId::Id(typed.last.clone()) => {
                typed.last = id.clone();
                typed.text.push_str(piece);
            }
            Some(_) => self.more = true,
        }
    }
}

struct Reader<'a> {
    am: &'a Automerge,
    change: &'a Change,
    walk: Option<&'a Walk>,
    after: &'a [ChangeHash],
}

impl Reader<'_> {
    fn object(&self, object: &ObjId, touched: &Touched) -> Vec<Edit> {
        let path = self.walk.and_then(|walk| walk.path(object));
        let path = path.unwrap_or_else(|| state::path_at(self.am, object, self.after));
        let mut edits: Vec<Edit> =
            touched.keys.iter().map(|(key, edit)| self.key(&path, key, edit)).collect();
        if touched.elements {
            edits.extend(self.elements((object, &path), touched));
        }
        for (element, by) in &touched.added {
            let index = self.index(object, element);
            let index = index.map_or_else(|| "?".to_owned(), |index| index.to_string());
            edits.push(Edit::Increment { path: format!("{path}/{index}"), by: *by });
        }
        edits.extend(touched.marks.iter().map(|(name, value)| Edit::Mark {
            path: path.clone(),
            name: name.clone(),
            value: state::scalar_to_json(value),
        }));
        edits
    }

    fn key(&self, path: &str, key: &str, edit: &KeyEdit) -> Edit {
        let prop = Prop::Map(key.to_owned());
        let path = format!("{path}{}", state::pointer(std::iter::once(&prop)));
        match edit {
            KeyEdit::Nothing => Edit::Delete { path },
            KeyEdit::Added(by) => Edit::Increment { path, by: *by },
            // The newest operation at a place reads there.
            KeyEdit::Value(id, value) => {
                let value = state::value_to_json_at(self.am, (value, &exid(id)), self.after, &path);
                Edit::Set { value: value.unwrap_or(Value::Null), path }
            }
        }
    }

    fn elements(&self, (object, path): (&ObjId, &str), touched: &Touched) -> Vec<Edit> {
        let kind = self.am.object_type(object).unwrap_or(ObjType::List);
        if kind == ObjType::Text
            && !touched.more
            && let Some(typed) = &touched.typed
            && let Some(pos) = self.index(object, &typed.first)
        {
            let (path, insert) = (path.to_owned(), typed.text.clone());
            return vec![Edit::Splice { path, pos: pos as u64, delete: 0, insert, deleted: String::new() }];
        }
        let replaced = &touched.replaced;
        let (am, heads) = (self.am, self.after);
        if let Some((before, after)) = self.walk.and_then(|walk| walk.sequences(object, self.change)) {
            return SequenceEdit { am, path, before, after: &after, heads, replaced }.read(kind);
        }
        let before = &elements_at(am, object, self.change.deps());
        let after = &elements_at(am, object, heads);
        SequenceEdit { am, path, before, after, heads, replaced }.read(kind)
    }

    /// The index of an element right after the change.
    fn index(&self, object: &ObjId, element: &OpId) -> Option<usize> {
        if let Some(walk) = self.walk {
            return walk.index(object, element);
        }
        let cursor = format!("{}@{}", element.0, element.1);
        let cursor = automerge::Cursor::try_from(cursor.as_str()).ok()?;
        self.am.get_cursor_position(object, &cursor, Some(self.after)).ok()
    }
}
