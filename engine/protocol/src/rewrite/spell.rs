//! One change in another spelling: its actor, its sequence number, and what its operations refer to.

use std::collections::HashSet;

use automerge::{
    ActorId, Change, ChangeHash,
    legacy::{ElementId, Key, ObjectId, Op, OpId},
};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use super::{RewriteError, claim::Proof};
use crate::{container::is_container_actor, untrusted::guarded};

/// What is hashed for a new actor begins with one of these, so that no other hash of ours can meet it.
const FORK_DOMAIN: &[u8] = b"rejoin actor after a fork 1\0";
const DROP_DOMAIN: &[u8] = b"rejoin actor after a drop 1\0";

/// How many bytes of the hash follow the old actor's.
const SUFFIX_BYTES: usize = 12;

/// The longest actor that is made; the fence takes no longer one.
const MAX_ACTOR_BYTES: usize = 64;

/// Why changes are written again.
#[derive(Debug, Clone, Copy)]
pub(super) enum Reason<'a> {
    /// The branches that begin with these lost.
    Fork(&'a HashSet<ChangeHash>),
    /// This one is taken out.
    Drop(ChangeHash),
}

impl Reason<'_> {
    /// The actor of a branch that begins with `first`, which lost.
    pub(super) fn fork_actor(old: &ActorId, first: &ChangeHash) -> ActorId {
        Reason::Fork(&HashSet::new()).actor(old, first)
    }

    /// The actor of a branch: a function of the old actor and the first of its changes that is written again.
    pub(super) fn actor(&self, old: &ActorId, first: &ChangeHash) -> ActorId {
        let mut hasher = Sha256::new();
        match self {
            Self::Fork(_) => hasher.update(FORK_DOMAIN),
            Self::Drop(dropped) => {
                hasher.update(DROP_DOMAIN);
                hasher.update(dropped.0);
            }
        }
        hasher.update((old.to_bytes().len() as u64).to_be_bytes());
        hasher.update(old.to_bytes());
        hasher.update(first.0);
        let digest = hasher.finalize();
        let suffix = digest.iter().copied().take(SUFFIX_BYTES);
        let actor = ActorId::from(old.to_bytes().iter().copied().chain(suffix.clone()).collect::<Vec<_>>());
        if actor.to_bytes().len() > MAX_ACTOR_BYTES || is_container_actor(&actor) {
            // It may then stand elsewhere among the others than the old one did.
            return ActorId::from(b"rjf1".iter().copied().chain(suffix).collect::<Vec<_>>());
        }
        actor
    }
}

/// What a change is to have in its new spelling.
pub(super) struct Spelling {
    pub(super) actor: ActorId,
    pub(super) seq: u64,
    pub(super) deps: Vec<ChangeHash>,
    /// What proves that it is the change it was, where that can be proved.
    pub(super) proof: Option<Proof>,
}

/// The operations that an operation refers to: its object, its element, and those it replaces.
pub(super) fn references(op: &Op) -> impl Iterator<Item = &OpId> {
    let object = match &op.obj {
        ObjectId::Id(id) => Some(id),
        ObjectId::Root => None,
    };
    let element = match &op.key {
        Key::Seq(ElementId::Id(id)) => Some(id),
        Key::Seq(ElementId::Head) | Key::Map(_) => None,
    };
    object.into_iter().chain(element).chain(op.pred.iter())
}

/// Takes a change apart. The library panics where one names an actor that it does not list.
pub(super) fn operations(change: &Change) -> Result<Vec<Op>, RewriteError> {
    guarded(|| change.decode().operations).map_err(|_| RewriteError::Unreadable(change.hash()))
}

/// Writes a change in its new spelling. Time, operation ids' counters, author and extra bytes stay.
pub(super) fn spell(
    change: &Change,
    operations: Vec<Op>,
    spelling: Spelling,
    map: impl Fn(&OpId) -> OpId,
) -> Change {
    let mut expanded = automerge::ExpandedChange {
        operations,
        actor_id: spelling.actor,
        hash: None,
        seq: spelling.seq,
        start_op: change.start_op(),
        time: change.timestamp(),
        message: Some(message(change, spelling.proof.as_ref())),
        deps: spelling.deps,
        extra_bytes: change.extra_bytes().to_vec(),
        author: None, // it is in the extra bytes
    };
    map_operations(&mut expanded.operations, map);
    Change::from(expanded)
}

/// Gives every operation id that operations refer to another name.
pub(super) fn map_operations(operations: &mut [Op], map: impl Fn(&OpId) -> OpId) {
    for op in operations {
        if let ObjectId::Id(id) = &mut op.obj {
            *id = map(id);
        }
        if let Key::Seq(ElementId::Id(id)) = &mut op.key {
            *id = map(id);
        }
        op.pred = op.pred.iter().map(&map).collect();
    }
}

/// Whether a message names a change that this one was. Such a change is written again without a new claim.
pub(super) fn bears_was(text: &str) -> bool {
    let object = serde_json::from_str::<Map<String, Value>>(text).ok();
    object.as_ref().and_then(|object| object.get("was")).is_some_and(is_hash)
}

fn is_hash(was: &Value) -> bool {
    was.as_str().is_some_and(|was| was.parse::<ChangeHash>().is_ok())
}

/// The message with `was`, the hash that the change had first, and what proves it. The text is not written anew,
/// so that every release makes the same bytes of it.
fn message(change: &Change, proof: Option<&Proof>) -> String {
    let claim = match proof.and_then(Proof::encode) {
        Some(proof) => format!(r#""was":"{}","of":{proof}}}"#, change.hash()),
        None => format!(r#""was":"{}"}}"#, change.hash()),
    };
    let Some(text) = change.message() else { return format!("{{{claim}") };
    let object = serde_json::from_str::<Map<String, Value>>(text).ok();
    match (object.as_ref().map(|object| object.get("was")), text.trim_end().strip_suffix('}')) {
        (Some(Some(was)), _) if is_hash(was) => text.to_owned(),
        (Some(None), Some(open)) => {
            let comma = if object.is_some_and(|object| object.is_empty()) { "" } else { "," };
            format!("{open}{comma}{claim}")
        }
        _ => format!(r#"{{"message":{},{claim}"#, Value::from(text)),
    }
}
