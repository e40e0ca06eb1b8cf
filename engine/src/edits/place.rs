//! Which changes wrote at a place, in the whole history: by keys, and by the elements of lists, not by their indices,
//! which others move.

use std::collections::HashMap;

use automerge::{
    Automerge, Change, ObjId, ObjType, ReadDoc,
    legacy::{ElementId, Key, ObjectId, Op, OpType},
};

use crate::{
    reducer::{ActionError, Place, find, parse_pointer_to_read},
    undo::OpId,
};

/// One part of a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// The key of a map.
    Key(String),
    /// An element of a list, by the operation that inserted it.
    Element(OpId),
}

/// A place, told so that it stays the same whatever happens around it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot(Vec<Part>);

/// The place that a JSON Pointer names now. It may be empty now: something may have been there.
///
/// # Errors
/// `BadPointer`; what stands in the way, for a part behind a value that holds none, and an index behind a list's end.
pub fn spot(am: &Automerge, pointer: &str) -> Result<Spot, ActionError> {
    let tokens = parse_pointer_to_read(pointer)?;
    // Tells a wrong index from a place that is empty.
    find(am, &tokens, None)?;
    let mut parts = Vec::with_capacity(tokens.len());
    for depth in 0..tokens.len() {
        let (upto, token) = (tokens.get(..depth).unwrap_or_default(), tokens.get(depth));
        let list = match find(am, upto, None)? {
            Place::There { value: automerge::Value::Object(ObjType::List), id, .. } => Some(id),
            _ => None,
        };
        let element = list.and_then(|list| element(am, &list, token?.parse().ok()?));
        parts.extend(element.map(Part::Element).or_else(|| Some(Part::Key(token?.clone()))));
    }
    Ok(Spot(parts))
}

/// The operation that inserted the element at an index.
fn element(am: &Automerge, list: &ObjId, index: usize) -> Option<OpId> {
    let cursor = am.get_cursor(list, index, None).ok()?.to_string();
    let (counter, actor) = cursor.split_once('@')?;
    Some(OpId(counter.parse().ok()?, automerge::ActorId::try_from(actor).ok()?))
}

/// Where each object of a document was made. Changes are noted in the order of the history.
#[derive(Debug, Default)]
pub struct Places(HashMap<OpId, (Option<OpId>, Part)>);

impl Places {
    /// Notes a change, and says whether it wrote at the spot, in what is there, or in the place of what holds it.
    pub fn note(&mut self, change: &Change, spot: &Spot) -> bool {
        let (start, actor) = (change.start_op().get(), change.actor_id());
        let mut met = spot.0.is_empty();
        for (op, counter) in change.decode().operations.into_iter().zip(start..) {
            let own = OpId(counter, actor.clone());
            let Some((object, part)) = place_of(&op, &own) else { continue };
            met = met || self.meets(object.as_ref(), &part, spot);
            self.enter(&op, &own);
        }
        met
    }

    /// Notes an operation.
    pub(super) fn enter(&mut self, op: &Op, own: &OpId) {
        if matches!(op.action, OpType::Make(_))
            && let Some(place) = place_of(op, own)
        {
            self.0.insert(own.clone(), place);
        }
    }

    /// Where an object was made: in which object, none being the root, and at which part of it.
    pub(super) fn of(&self, object: &OpId) -> Option<(Option<&OpId>, &Part)> {
        self.0.get(object).map(|(parent, part)| (parent.as_ref(), part))
    }

    fn meets(&self, object: Option<&OpId>, part: &Part, spot: &Spot) -> bool {
        let mut parts = vec![part];
        let mut object = object;
        // The bound is against a hostile circle.
        while let Some(id) = object {
            let Some((parent, part)) = self.0.get(id).filter(|_| parts.len() < 1_000) else { return false };
            parts.push(part);
            object = parent.as_ref();
        }
        parts.iter().rev().zip(&spot.0).all(|(found, wanted)| *found == wanted)
    }
}

/// Where an operation wrote: in which object, none being the root, and at which part of it.
fn place_of(op: &Op, own: &OpId) -> Option<(Option<OpId>, Part)> {
    let object = match &op.obj {
        ObjectId::Root => None,
        ObjectId::Id(id) => Some(id.clone()),
    };
    let part = match &op.key {
        Key::Map(key) => Part::Key(key.to_string()),
        Key::Seq(_) if op.insert => Part::Element(own.clone()),
        Key::Seq(ElementId::Id(element)) => Part::Element(element.clone()),
        Key::Seq(ElementId::Head) => return None,
    };
    Some((object, part))
}

#[cfg(test)]
mod tests {
    use automerge::{Prop, ROOT, transaction::Transactable as _};

    use super::*;

    #[test]
    fn a_spot_of_a_list_is_its_element_whatever_is_inserted_before_it() {
        let mut am = Automerge::new();
        let mut tx = am.transaction();
        let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
        tx.insert(&list, 0, "a").unwrap();
        tx.commit();
        let before = spot(&am, "/list/0").unwrap();
        let mut tx = am.transaction();
        tx.insert(&list, 0, "new").unwrap();
        tx.commit();
        assert_eq!(spot(&am, "/list/1").unwrap(), before);
        assert!(spot(&am, "/list/2").is_err() && spot(&am, "/list/0/x").is_err());
        assert_eq!(am.get(&list, Prop::Seq(1)).unwrap().unwrap().0.as_str(), Some("a"));
        let mut places = Places::default();
        let met: Vec<bool> = am.get_changes(&[]).iter().map(|change| places.note(change, &before)).collect();
        assert_eq!(met, [true, false]);
    }
}
