//! Objects that a change made: they go with their content, and stay where others have written inside.

use automerge::{ObjId, ObjType, Prop, ReadDoc, Value};

use super::{
    TooDeep,
    plan::{Inverse, Planner},
};

impl Planner<'_> {
    /// Whether somebody else has written into the object.
    pub(super) fn is_shared(&self, object: &ObjId, kind: ObjType) -> bool {
        let shared = |value: Value<'_>, id: &ObjId, conflict: bool| match value {
            _ if conflict || !self.is_ours(id) => true,
            Value::Object(kind) => self.is_shared(id, kind),
            value => self.added_since(&value, id) != 0,
        };
        match kind {
            ObjType::Map | ObjType::Table => self
                .am
                .map_range(object, ..)
                .any(|item| shared(item.value.clone().into_value(), &item.id(), item.conflict)),
            ObjType::List | ObjType::Text => self
                .am
                .list_range(object, ..)
                .any(|item| shared(item.value.clone().into_value(), &item.id(), item.conflict)),
        }
    }

    /// Takes what is ours out of an object in which others have written.
    pub(super) fn empty_of_ours(&mut self, object: &ObjId, kind: ObjType) -> Result<(), TooDeep> {
        match kind {
            ObjType::Map | ObjType::Table => {
                for item in self.am.map_range(object, ..) {
                    let id = item.id();
                    if item.conflict || !self.is_ours(&id) {
                        continue;
                    }
                    let value = item.value.clone().into_value();
                    match value {
                        Value::Object(kind) if self.is_shared(&id, kind) => self.empty_of_ours(&id, kind)?,
                        value if self.added_since(&value, &id) != 0 => {}
                        _ => {
                            let at = Prop::Map(item.key.into_owned());
                            self.plan.inverses.push(Inverse::Delete { object: object.clone(), at });
                            self.plan.undone += 1;
                        }
                    }
                }
            }
            ObjType::List | ObjType::Text => {
                let nth = self.list(object, object.clone());
                self.remove_ours(nth)?;
            }
        }
        Ok(())
    }
}
