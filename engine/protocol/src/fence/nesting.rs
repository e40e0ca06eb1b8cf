//! How deep the objects of a compact file lie in each other, read from its columns.

use std::collections::HashMap;

use super::{
    DEPTH, Refusal, RefusalCode,
    columns::{Bytes, Rows, Runs, Shape, Spec},
};

/// An operation, or the object that it made: the place of the actor in the file's list, and the counter.
type Id = (u64, u64);

/// Refuses objects that lie deeper than [`DEPTH`], or in themselves. The columns have been measured before.
pub(super) fn check(columns: &[(Spec, &[u8])]) -> Result<(), Refusal> {
    let containers = containers(columns)?;
    if containers.len() <= DEPTH && !containers.iter().any(|(object, inside)| *inside == Some(*object)) {
        return Ok(());
    }
    let mut depths: HashMap<Id, usize> = HashMap::with_capacity(containers.len());
    let mut path = Vec::new();
    for object in containers.keys() {
        let mut next = Some(*object);
        // An object that is nowhere counts as one in the root: whether that is an error, the library decides.
        let mut depth = loop {
            let Some(id) = next else { break 0 };
            if let Some(depth) = depths.get(&id) {
                break *depth;
            }
            let Some(inside) = containers.get(&id) else { break 0 };
            path.push(id);
            if path.len() > DEPTH {
                return Err(too_deep());
            }
            next = *inside;
        };
        while let Some(id) = path.pop() {
            depth += 1;
            depths.insert(id, depth);
        }
        if depth > DEPTH {
            return Err(too_deep());
        }
    }
    Ok(())
}

fn too_deep() -> Refusal {
    let detail = format!("objects in the file are nested more deeply than the limit of {DEPTH} levels");
    Refusal::new(RefusalCode::TooLarge, detail)
}

/// Each object, and the one that it lies in; none is the root.
fn containers(columns: &[(Spec, &[u8])]) -> Result<HashMap<Id, Option<Id>>, Refusal> {
    let rows = |spec: Spec| Rows::new(spec.shape(), bytes(columns, spec));
    let [mut id_actor, mut id_counter] = Spec::ID.map(rows);
    let [mut in_actor, mut in_counter] = Spec::OBJECT.map(rows);
    let mut actions = Runs::new(Shape::Numbers, bytes(columns, Spec::ACTION));
    let mut containers = HashMap::new();
    while let Some(run) = actions.next()? {
        if !run.value.is_some_and(makes_an_object) {
            for column in [&mut id_actor, &mut id_counter, &mut in_actor, &mut in_counter] {
                column.pass(run.rows)?;
            }
            continue;
        }
        for _ in 0..run.rows {
            let object = id_actor.next()?.zip(id_counter.next()?);
            let inside = in_actor.next()?.zip(in_counter.next()?);
            if let Some(object) = object {
                containers.insert(object, inside);
            }
        }
    }
    Ok(containers)
}

/// Maps, lists, texts and tables are made by the even actions up to 6.
const fn makes_an_object(action: u64) -> bool {
    action <= 6 && action.is_multiple_of(2)
}

fn bytes<'a>(columns: &[(Spec, &'a [u8])], wanted: Spec) -> Bytes<'a> {
    let found = columns.iter().find(|(spec, _)| spec.plain() == wanted);
    found.map_or(Bytes::of(wanted, &[]), |(spec, data)| Bytes::of(*spec, data))
}
