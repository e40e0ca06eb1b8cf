//! What waits in the queue, as far as a reducer must know of it.

use automerge::{ActorId, ObjId};

use crate::undo::op_of;

/// The operations of the changes that this store made in a document and that wait in its queue: each may still be taken
/// back by a drop.
///
/// What this store makes counts on from all that it made before. So one number says where the queue begins, and the
/// names of this store which operations are its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct QueuedOps {
    /// The counter of the first operation that waits; `None`: nothing does.
    from: Option<u64>,
    /// The actors under which this store writes. What it wrote again has one that begins with the old one's bytes.
    actors: Vec<ActorId>,
}

impl QueuedOps {
    pub(crate) fn new(from: u64, actors: Vec<ActorId>) -> Self {
        Self { from: Some(from), actors }
    }

    /// Whether a change that waits made this object, or put this value.
    pub(crate) fn wrote(&self, id: &ObjId) -> bool {
        let Some((from, op)) = self.from.zip(op_of(id)) else { return false };
        let own = |actor: &ActorId| op.1.to_bytes().starts_with(actor.to_bytes());
        op.0 >= from && self.actors.iter().any(own)
    }
}
