//! What of a revision is to be written, and where that is now.

use automerge::{Automerge, ChangeHash, ObjId, ObjType, Prop, ROOT, ReadDoc, ScalarValue, Value};
use serde_json::{Map, Value as Json};

use super::{Revision, TextSplice, Write, words};
use crate::{
    reducer::{ActionError, Kind, Place, check_value, find, kind_of, parse_pointer, prefix},
    state,
    undo::Standing,
};

/// What is to be written, in this order.
#[derive(Debug, Clone, Default)]
pub struct RevisionPlan {
    pub(crate) writes: Vec<Write>,
    /// As [`Revised::left`](super::Revised::left).
    pub(crate) left: Vec<String>,
    /// As [`Revised::over`](super::Revised::over).
    pub(crate) over: Vec<String>,
}

impl RevisionPlan {
    /// Nothing is to be written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// Compares a revision of what was at a JSON Pointer at these heads with what was there then, and finds where what
/// differs belongs now. The heads must be in the document.
///
/// # Errors
/// `BadPointer`, `NotFound` and what stands in the way for a pointer that led nowhere; `WrongType` for splices of what
/// was no text; `PastEnd` for a splice behind its end; what a value cannot be, as for an action.
pub fn plan(
    am: &Automerge,
    (pointer, heads): (&str, &[ChangeHash]),
    revision: &Revision,
    standing: &Standing,
) -> Result<RevisionPlan, ActionError> {
    let parts = parse_pointer(pointer)?;
    let mut reviser = Reviser { am, heads, standing, plan: RevisionPlan::default() };
    match (find(am, &parts, Some(heads))?, revision) {
        (Place::Root, Revision::Value(Json::Object(new))) => {
            check_value(&Json::Object(new.clone()), pointer, 0)?;
            reviser.map(&ROOT, new, "")?;
        }
        (Place::Root, _) => return Err(ActionError::WholeDocument),
        (Place::Missing { depth, .. }, _) => {
            return Err(ActionError::NotFound { path: prefix(&parts, depth + 1) });
        }
        (Place::There { parent, prop, value, id }, Revision::Value(new)) => {
            check_value(new, pointer, parts.len())?;
            let slot = reviser.slot((&parent, prop), &id);
            reviser.value(slot, (&value, &id), new, pointer)?;
        }
        (Place::There { value: Value::Object(ObjType::Text), id, .. }, Revision::Splices(splices)) => {
            reviser.text(&id, splices, pointer)?;
        }
        (Place::There { parent, prop, value, id }, Revision::Splices(splices)) => {
            let wrong = || ActionError::WrongType {
                path: pointer.to_owned(),
                found: kind_of(&value),
                wanted: Kind::Text,
            };
            let text = value.as_str().ok_or_else(wrong)?;
            let new = Json::String(spliced(text, splices));
            let slot = reviser.slot((&parent, prop), &id);
            reviser.value(slot, (&value, &id), &new, pointer)?;
        }
    }
    Ok(reviser.plan)
}

/// A plain string with these splices.
fn spliced(text: &str, splices: &[TextSplice]) -> String {
    let (mut new, mut rest, mut at) = (String::new(), text.chars(), 0);
    for splice in splices {
        new.extend(rest.by_ref().take(splice.pos.saturating_sub(at) as usize));
        at = splice.pos.max(at) + rest.by_ref().take(splice.delete as usize).count() as u64;
        new.push_str(&splice.insert);
    }
    new.extend(rest);
    new
}

/// Where a value stands now: the map or list that held it, and its key or index there. `None`: it is gone.
pub(super) type Slot = Option<(ObjId, Prop)>;

pub(super) struct Reviser<'a> {
    pub(super) am: &'a Automerge,
    pub(super) heads: &'a [ChangeHash],
    pub(super) standing: &'a Standing,
    pub(super) plan: RevisionPlan,
}

impl Reviser<'_> {
    /// Whether an object is in the document now.
    pub(super) fn is_there(&self, object: &ObjId) -> bool {
        let parents = self.am.parents(object);
        *object == ROOT || parents.ok().and_then(|parents| parents.visible_path()).is_some()
    }

    fn slot(&self, (parent, prop): (&ObjId, Prop), id: &ObjId) -> Slot {
        if !self.is_there(parent) {
            return None;
        }
        match prop {
            Prop::Map(_) => Some((parent.clone(), prop)),
            Prop::Seq(_) => {
                let found = self.places(parent).place_of(id)?;
                Some((parent.clone(), Prop::Seq(found)))
            }
        }
    }

    pub(super) fn json(&self, (value, id): (&Value<'_>, &ObjId), path: &str) -> Result<Json, ActionError> {
        state::value_to_json_at(self.am, (value, id), self.heads, path)
    }

    /// One value: what it was, and what it shall be.
    pub(super) fn value(
        &mut self,
        slot: Slot,
        (was, id): (&Value<'_>, &ObjId),
        new: &Json,
        path: &str,
    ) -> Result<(), ActionError> {
        if self.json((was, id), path)? == *new {
            return Ok(());
        }
        match (was, new) {
            (Value::Object(ObjType::Map | ObjType::Table), Json::Object(new)) => self.map(id, new, path),
            (Value::Object(ObjType::List), Json::Array(new)) => self.list(id, new, path),
            (Value::Object(ObjType::Text), Json::String(new)) => {
                let before = self.am.text_at(id, self.heads).map_err(ActionError::library(path))?;
                self.text(id, &words::splices(&before, new), path)
            }
            _ => {
                self.scalar(slot, (was, id), new, path);
                Ok(())
            }
        }
    }

    fn scalar(&mut self, slot: Slot, (was, id): (&Value<'_>, &ObjId), new: &Json, path: &str) {
        let Some((object, prop)) = slot else {
            self.plan.left.push(path.to_owned());
            return;
        };
        let there = self.am.get(&object, prop.clone()).ok().flatten();
        let same = there.as_ref().is_some_and(|(_, there)| there == id);
        if same
            && let Some(ScalarValue::Counter(was)) = was.as_scalar()
            && let Some(by) = new.as_i64().and_then(|new| new.checked_sub(i64::from(was)))
        {
            self.plan.writes.push(Write::Add(object, prop, by));
            return;
        }
        if !same && let Some((value, there)) = there {
            let reads = state::value_to_json(self.am, &value, &there, path);
            if reads.as_ref().is_ok_and(|reads| reads == new) {
                return;
            }
            self.plan.over.push(path.to_owned());
        }
        self.plan.writes.push(Write::Set(object, prop, new.clone()));
    }

    fn map(&mut self, map: &ObjId, new: &Map<String, Json>, path: &str) -> Result<(), ActionError> {
        if !self.is_there(map) {
            self.plan.left.push(path.to_owned());
            return Ok(());
        }
        let below = |key: &str| format!("{path}{}", state::pointer([&Prop::Map(key.to_owned())].into_iter()));
        let mut known = std::collections::HashSet::new();
        for item in self.am.map_range_at(map, .., self.heads) {
            let (path, id) = (below(&item.key), item.id());
            let prop = Prop::Map(item.key.to_string());
            match new.get(item.key.as_ref()) {
                Some(new) => {
                    let value = item.value.clone().into_value();
                    self.value(Some((map.clone(), prop)), (&value, &id), new, &path)?;
                }
                None => self.delete(map, prop, &id, path),
            }
            known.insert(item.key.into_owned());
        }
        for (key, new) in new.iter().filter(|(key, _)| !known.contains(*key)) {
            let prop = Prop::Map(key.clone());
            if self.am.get(map, prop.clone()).ok().flatten().is_some() {
                self.plan.over.push(below(key));
            }
            self.plan.writes.push(Write::Set(map.clone(), prop, new.clone()));
        }
        Ok(())
    }

    /// What others wrote over meanwhile is not deleted with what was shown.
    fn delete(&mut self, map: &ObjId, prop: Prop, was: &ObjId, path: String) {
        match self.am.get(map, prop.clone()).ok().flatten() {
            Some((_, there)) if there == *was => self.plan.writes.push(Write::Delete(map.clone(), prop)),
            Some(_) => self.plan.left.push(path),
            None => {}
        }
    }
}
