//! Containers that two devices may make at the same time: each is made by a change of its own, and both
//! devices make the same bytes.
//!
//! A container change is a pure function of the path, the kind, and the generation of each component: so two
//! devices that make the same map, list, text or counter offline make the same change, and what they put in
//! it merges. The change names path, kind and generations in its message, so that it proves itself without
//! any log: [`verify`] makes it again and compares the bytes.
//!
//! A generation counts the containers that were at one place one after another: after a delete the same bytes
//! would do nothing, so the next one has the first generation whose change the document does not hold.

mod plan;

pub use plan::{ContainerSet, Held, MAX_CONTAINERS, OWN_CONTAINERS, plan, plan_at};

use std::num::NonZeroU64;

use automerge::{
    ActorId, Change, ChangeHash, ExpandedChange, ObjType, ScalarValue,
    legacy::{Key, ObjectId, Op, OpId, OpType, SortedVec},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::fence::CheckedChange;

/// The most components of a container's path.
pub const MAX_DEPTH: usize = 64;

/// The most bytes of a container's path, summed over its components. Verifying one costs at most
/// [`MAX_DEPTH`] small changes of this size.
pub const MAX_PATH_BYTES: usize = 4 * 1024;

/// How the actor of every container change begins; 12 bytes of SHA-256 follow.
pub const ACTOR_PREFIX: &[u8; 4] = b"rjc1";

/// The length of such an actor, in bytes.
pub const ACTOR_BYTES: usize = 16;

/// What is hashed for the actor begins with this, so that no other hash of ours can meet it.
const ACTOR_DOMAIN: &[u8] = b"rejoin container actor 1\0";

/// What kind of container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ContainerKind {
    /// A map.
    Map,
    /// A list.
    List,
    /// Collaborative text.
    Text,
    /// A counter that begins at 0.
    Counter,
}

impl ContainerKind {
    fn action(self) -> OpType {
        match self {
            Self::Map => OpType::Make(ObjType::Map),
            Self::List => OpType::Make(ObjType::List),
            Self::Text => OpType::Make(ObjType::Text),
            Self::Counter => OpType::Put(ScalarValue::counter(0)),
        }
    }

    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Map => "map",
            Self::List => "list",
            Self::Text => "text",
            Self::Counter => "counter",
        }
    }

    const fn tag(self) -> u8 {
        match self {
            Self::Map => 0,
            Self::List => 1,
            Self::Text => 2,
            Self::Counter => 3,
        }
    }
}

/// Which container: its path from the root, its kind, and the generation of each component. Every component
/// but the last is a map that was made in this way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSpec {
    path: Vec<String>,
    kind: ContainerKind,
    generations: Vec<u32>,
}

/// These make no container change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a container has a path of 1 to {MAX_DEPTH} parts and at most {MAX_PATH_BYTES} bytes, and a generation for each part"
)]
pub struct InvalidSpec;

impl ContainerSpec {
    /// The container at this path.
    ///
    /// # Errors
    /// When the path is empty or outside [`MAX_DEPTH`] and [`MAX_PATH_BYTES`], or when there is not one
    /// generation for each component.
    pub fn new(path: Vec<String>, kind: ContainerKind, generations: Vec<u32>) -> Result<Self, InvalidSpec> {
        let spec = Self { path, kind, generations };
        if spec.is_valid() { Ok(spec) } else { Err(InvalidSpec) }
    }

    fn is_valid(&self) -> bool {
        let bytes = self.path.iter().fold(0usize, |sum, part| sum.saturating_add(part.len()));
        (1..=MAX_DEPTH).contains(&self.path.len())
            && bytes <= MAX_PATH_BYTES
            && self.path.len() == self.generations.len()
    }

    /// The keys from the root to it.
    pub fn path(&self) -> &[String] {
        &self.path
    }

    /// What it is.
    pub fn kind(&self) -> ContainerKind {
        self.kind
    }

    /// The generation of each component of the path, from 0.
    pub fn generations(&self) -> &[u32] {
        &self.generations
    }

    /// The actor of its change.
    pub fn actor(&self) -> ActorId {
        actor(&self.path, self.kind, &self.generations)
    }
}

/// A container change: what is stored, sent, and given to the library.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerChange {
    /// Its actor; it makes this change and no other.
    pub actor: ActorId,
    /// Its hash.
    pub hash: ChangeHash,
    /// The plain chunk.
    pub bytes: Vec<u8>,
}

/// What a container change's message says.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ContainerMessage {
    container: ContainerSpec,
}

/// Makes the container's change: the same bytes on every device and in every release.
///
/// It depends on nothing but the parent's container change, has time 0, sequence 1, an operation id one above
/// the parent's, and one operation.
pub fn make(spec: &ContainerSpec) -> ContainerChange {
    let mut parent: Option<(OpId, ChangeHash)> = None;
    let mut above = ContainerSpec { path: Vec::new(), kind: ContainerKind::Map, generations: Vec::new() };
    let parents = spec.path.len().saturating_sub(1);
    for (key, generation) in spec.path.iter().zip(&spec.generations).take(parents) {
        above.path.push(key.clone());
        above.generations.push(*generation);
        let change = link(&above, parent.as_ref());
        parent = Some((OpId(depth(&above).get(), change.actor_id().clone()), change.hash()));
    }
    let change = link(spec, parent.as_ref());
    ContainerChange {
        actor: change.actor_id().clone(),
        hash: change.hash(),
        bytes: change.raw_bytes().to_vec(),
    }
}

/// How deep it is, which is also its operation's counter: the root's children have 1.
fn depth(spec: &ContainerSpec) -> NonZeroU64 {
    NonZeroU64::MIN.saturating_add((spec.path.len() as u64).saturating_sub(1))
}

/// The change of one component, on its parent's.
fn link(spec: &ContainerSpec, parent: Option<&(OpId, ChangeHash)>) -> Change {
    let key = spec.path.last().map_or("", String::as_str);
    let operation = Op {
        action: spec.kind.action(),
        obj: parent.map_or(ObjectId::Root, |(id, _)| ObjectId::Id(id.clone())),
        key: Key::Map(key.into()),
        pred: SortedVec::new(),
        insert: false,
    };
    // Strings and numbers always serialise.
    let message = serde_json::to_string(&ContainerMessage { container: spec.clone() }).unwrap_or_default();
    Change::from(ExpandedChange {
        operations: vec![operation],
        actor_id: spec.actor(),
        hash: None,
        seq: 1,
        start_op: depth(spec),
        time: 0,
        message: Some(message),
        deps: parent.map(|(_, hash)| *hash).into_iter().collect(),
        extra_bytes: Vec::new(),
        author: None,
    })
}

/// `rjc1` and 12 bytes of SHA-256 over kind, and each component with its length and generation.
fn actor(path: &[String], kind: ContainerKind, generations: &[u32]) -> ActorId {
    let mut hasher = Sha256::new();
    hasher.update(ACTOR_DOMAIN);
    hasher.update([kind.tag()]);
    for (key, generation) in path.iter().zip(generations) {
        hasher.update(generation.to_be_bytes());
        hasher.update((key.len() as u64).to_be_bytes());
        hasher.update(key.as_bytes());
    }
    let digest = hasher.finalize();
    let bytes: Vec<u8> = ACTOR_PREFIX.iter().chain(digest.iter()).copied().take(ACTOR_BYTES).collect();
    ActorId::from(bytes)
}

/// Whether changes under this actor must be container changes.
pub fn is_container_actor(actor: &ActorId) -> bool {
    actor.to_bytes().len() == ACTOR_BYTES && actor.to_bytes().starts_with(ACTOR_PREFIX)
}

/// Checks that a change under a container actor is the one that its message names. A change under any other
/// actor passes.
///
/// # Errors
/// A sentence, when it is not. The work is bounded by [`MAX_DEPTH`] and [`MAX_PATH_BYTES`].
pub fn verify(change: &CheckedChange) -> Result<(), String> {
    if !is_container_actor(&change.actor) {
        return Ok(());
    }
    let spec = spec_of(change.message.as_deref())
        .ok_or_else(|| "a change under a container's actor names no container".to_owned())?;
    if make(&spec).bytes == change.bytes {
        Ok(())
    } else {
        Err(format!("a change under a container's actor is not the one that makes {:?}", spec.path))
    }
}

/// Which container this message names, if it is a container change's.
pub fn spec_of(message: Option<&str>) -> Option<ContainerSpec> {
    let spec = serde_json::from_str::<ContainerMessage>(message?).ok()?.container;
    spec.is_valid().then_some(spec)
}

#[cfg(test)]
mod tests;
