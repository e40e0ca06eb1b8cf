//! How deep the objects that changes make lie in each other.

use std::collections::HashMap;

use automerge::{
    Automerge, Change, ObjId as Place, ReadDoc,
    legacy::{ObjectId, OpId, OpType},
};

use crate::fence::DEPTH;

/// An object that a change makes, and what it lies in.
pub(super) struct Made {
    object: ObjectId,
    inside: ObjectId,
}

/// The objects that changes make, in their order. Panics where the library cannot decode a change.
pub(super) fn made(changes: &[Change]) -> Vec<Made> {
    let mut made = Vec::new();
    for change in changes {
        let decoded = change.decode();
        let counters = decoded.start_op.get()..;
        for (operation, counter) in decoded.operations.into_iter().zip(counters) {
            if let OpType::Make(_) = operation.action {
                let object = ObjectId::Id(OpId::new(counter, &decoded.actor_id));
                made.push(Made { object, inside: operation.obj });
            }
        }
    }
    made
}

/// Refuses what lies deeper than [`DEPTH`] in `document`, in which the changes are applied already. Where an
/// object lies is settled by the change that made it and the ancestors of that: so every replica
/// leaves out the same changes.
pub(super) fn check(document: &Automerge, made: Vec<Made>) -> Result<(), String> {
    let mut depths: HashMap<ObjectId, usize> = HashMap::new();
    for Made { object, inside } in made {
        let depth = match depths.get(&inside) {
            Some(depth) => *depth,
            None => depth_of(document, &inside)?,
        };
        if depth >= DEPTH {
            return Err(format!("it nests objects deeper than the limit of {DEPTH}"));
        }
        depths.insert(inside, depth);
        depths.insert(object, depth + 1);
    }
    Ok(())
}

/// How many objects `object` lies in, the root among them. Ends one above the limit, also where objects lie
/// in themselves.
fn depth_of(document: &Automerge, object: &ObjectId) -> Result<usize, String> {
    let ObjectId::Id(OpId(counter, actor)) = object else { return Ok(0) };
    let place = Place::Id(*counter, actor.clone(), 0);
    let parents = document.parents(place).map_err(|error| error.to_string())?;
    Ok(parents.take(DEPTH + 1).count())
}
