//! Where a change belongs in a log that holds what came before it.

use automerge::{ActorId, ChangeHash};

use super::{CheckedChange, Refusal};

/// What the fence asks of a log. Positions count from 1, and a change's dependencies have lower ones than its own.
pub trait Ancestry {
    /// Why the log could not be read.
    type Error;

    /// The position of the change with this hash, if the log holds it.
    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>, Self::Error>;

    /// The positions of the dependencies of the change at `position`: all of them lower than it.
    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>, Self::Error>;

    /// The change of `actor` with the highest sequence number that is held.
    fn last_of(&mut self, actor: &ActorId) -> Result<Option<Last>, Self::Error>;
}

/// The change of an actor with the highest sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// Its sequence number.
    pub seq: u64,
    /// Its position in the log.
    pub position: u64,
}

/// What is to be done with a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Placement {
    /// It can be appended.
    New {
        /// The positions of its dependencies, in the order in which the change names them.
        deps: Vec<u64>,
    },
    /// It is held already.
    Duplicate {
        /// Where.
        position: u64,
    },
    /// It cannot be taken.
    Refused(Refusal),
}

/// How many steps [`place`] may still go back in the log, over all changes of one push.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WalkBudget {
    /// Steps left; a step is one change whose dependencies are read.
    pub steps: u64,
}

impl Default for WalkBudget {
    fn default() -> Self {
        Self { steps: 1_000_000 }
    }
}

/// Says where `change` belongs.
///
/// # Errors
/// Only those of the log: what is wrong with the change is a [`Placement::Refused`].
pub fn place<A: Ancestry>(
    change: &CheckedChange,
    log: &mut A,
    walk: &mut WalkBudget,
) -> Result<Placement, A::Error> {
    let _ = walk;
    if let Some(position) = log.locate(&change.hash)? {
        return Ok(Placement::Duplicate { position });
    }
    let mut deps = Vec::new();
    for hash in &change.deps {
        deps.extend(log.locate(hash)?);
    }
    Ok(Placement::New { deps })
}
