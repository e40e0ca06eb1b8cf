//! Which containers an action needs at a path, and in which generation.

use std::collections::HashSet;

use automerge::{ActorId, Automerge, ChangeHash, ObjId, ObjType, ROOT, ReadDoc, Value};

use super::{ContainerKind, ContainerSpec, actor, is_container_actor};

/// The most container changes in a document. Each has an actor, and the library keeps a number for each actor with every
/// sixteenth change.
pub const MAX_CONTAINERS: usize = 2_048;

/// The most container changes that one store makes in a document.
pub const OWN_CONTAINERS: usize = 1_000;

/// The container changes that a document holds.
pub trait Held {
    /// Whether the change of this container actor is in the document.
    fn contains(&self, actor: &ActorId) -> bool;
    /// How many there are.
    fn count(&self) -> usize;
    /// How many of them this store made.
    fn own(&self) -> usize;

    /// How many more this store may make. Above it, makers are ordinary operations of the action's own change.
    ///
    /// Servers count containers by the same rule: whoever pushes brings more only while as many places are free
    /// as they have brought. So a member who makes all the containers that he can leaves room for everybody else.
    fn room(&self) -> usize {
        let free = MAX_CONTAINERS.saturating_sub(self.count());
        OWN_CONTAINERS.saturating_sub(self.own()).min(free.saturating_sub(self.own()) / 2)
    }
}

/// The actors of the container changes that a document holds, and how many of these this store made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContainerSet {
    held: HashSet<ActorId>,
    own: usize,
}

impl ContainerSet {
    /// Reads them from a document, in which this store made none. This walks the whole history.
    pub fn of(doc: &Automerge) -> Self {
        let mut set = Self::default();
        for change in doc.get_changes_meta(&[]) {
            set.note(&change.actor);
        }
        set
    }

    /// Adds the actor of a change that came in; one that is no container's changes nothing.
    pub fn note(&mut self, actor: &ActorId) {
        if is_container_actor(actor) {
            self.held.insert(actor.clone());
        }
    }

    /// [`note`](Self::note), for a change that this store made.
    pub fn note_own(&mut self, actor: &ActorId) {
        if is_container_actor(actor) && self.held.insert(actor.clone()) {
            self.own += 1;
        }
    }
}

impl Held for ContainerSet {
    fn contains(&self, actor: &ActorId) -> bool {
        self.held.contains(actor)
    }

    fn count(&self) -> usize {
        self.held.len()
    }

    fn own(&self) -> usize {
        self.own
    }
}

/// Which container changes an action needs before a container of this kind is at this path, parents first.
///
/// Empty where the container cannot be one of these, and the action makes it in its own change: inside a list
/// or an ordinary container, where [`Held::room`] is too small, and outside the limits of a [`ContainerSpec`]. Empty
/// also where nothing is missing.
pub fn plan(doc: &Automerge, held: &impl Held, path: &[String], kind: ContainerKind) -> Vec<ContainerSpec> {
    plan_at(doc, None, held, path, kind)
}

/// [`plan`], for the document as it was at these heads: inside a transaction, as it was before.
pub fn plan_at<R: ReadDoc>(
    doc: &R,
    at: Option<&[ChangeHash]>,
    held: &impl Held,
    path: &[String],
    kind: ContainerKind,
) -> Vec<ContainerSpec> {
    let mut above: Vec<ObjId> = Vec::new();
    for (key, depth) in path.iter().zip(1..) {
        let parent = above.last().unwrap_or(&ROOT);
        let found = match at {
            None => doc.get(parent, key.as_str()),
            Some(heads) => doc.get_at(parent, key.as_str(), heads),
        };
        match found {
            Ok(Some((Value::Object(ObjType::Map), id))) if is_container(&id) && depth < path.len() => {
                above.push(id);
            }
            Ok(None) => return missing(held, &above, path, kind).unwrap_or_default(),
            // Something else is there: nothing is missing that could be made in this way.
            _ => return Vec::new(),
        }
    }
    Vec::new()
}

fn is_container(id: &ObjId) -> bool {
    matches!(id, ObjId::Id(_, actor, _) if is_container_actor(actor))
}

/// The containers from the first missing component on; `None` where they cannot be made in this way.
fn missing(
    held: &impl Held,
    above: &[ObjId],
    path: &[String],
    kind: ContainerKind,
) -> Option<Vec<ContainerSpec>> {
    if path.len() - above.len() > held.room() {
        return None;
    }
    let mut generations = Vec::with_capacity(path.len());
    let mut specs = Vec::with_capacity(path.len() - above.len());
    for (depth, _) in path.iter().enumerate() {
        let last = depth + 1 == path.len();
        let kind = if last { kind } else { ContainerKind::Map };
        let so_far = path.get(..=depth)?;
        let generation = generation(held, so_far, kind, &generations, above.get(depth))?;
        generations.push(generation);
        if depth >= above.len() {
            specs.push(ContainerSpec::new(so_far.to_vec(), kind, generations.clone()).ok()?);
        }
    }
    Some(specs)
}

/// The generation of the component that `there` is, or the first that is not held. A document holds a
/// bounded number of them, so a walk from 0 is bounded too.
fn generation(
    held: &impl Held,
    path: &[String],
    kind: ContainerKind,
    above: &[u32],
    there: Option<&ObjId>,
) -> Option<u32> {
    let mut generations = above.to_vec();
    generations.push(0);
    for generation in 0..=u32::try_from(held.count()).ok()? {
        if let Some(last) = generations.last_mut() {
            *last = generation;
        }
        let actor = actor(path, kind, &generations);
        match there {
            Some(ObjId::Id(_, maker, _)) if *maker == actor => return Some(generation),
            None if !held.contains(&actor) => return Some(generation),
            _ => {}
        }
    }
    None
}
