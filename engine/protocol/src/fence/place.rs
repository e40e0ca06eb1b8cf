//! Where a change belongs in a log that holds what came before it.

use std::collections::BTreeSet;

use automerge::{ActorId, ChangeHash};

use super::{CheckedChange, Reach, Refusal, RefusalCode};

/// What the fence asks of a log. Positions count from 1, and a change's dependencies have lower ones than its own.
pub trait Ancestry {
    /// Why the log could not be read.
    type Error;

    /// The position of the change with this hash, if the log holds it.
    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>, Self::Error>;

    /// The positions of the dependencies of the change at `position`: all of them lower than it.
    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>, Self::Error>;

    /// How far the change at `position` and its ancestors have counted.
    fn reach(&mut self, position: u64) -> Result<Reach, Self::Error>;

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
        /// How far it and its ancestors have counted.
        reach: Reach,
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

/// Says where `change` belongs, given the log that it would be appended to.
///
/// In this order: what is held is a duplicate; what depends on something that is not held is refused with all
/// that is missing named; a sequence number that the actor used already is a fork; a gap is malformed; and the
/// actor's last change has to be an ancestor, for without it the library panics in one batching and stores an
/// unloadable document in another. Last, its counters begin where those end that it depends on, or
/// [`super::SLACK`] allows for it.
///
/// That the actor's last change is no ancestor is [`RefusalCode::Malformed`] and no fork. Each library builds an actor's change on all
/// that it holds of this actor (for work on old heads it takes another actor), so the second of two clones
/// names its own forked change among its ancestors, which the log does not hold: that one is a missing
/// dependency. Only bytes made by hand come here, and rewriting them under another actor would be a favour
/// to nobody.
///
/// When the steps run out the change is refused as [`RefusalCode::TooLarge`], the code to which a client
/// answers with a smaller batch: in a push of its own it has the whole budget.
///
/// # Errors
/// Only those of the log: what is wrong with the change is a [`Placement::Refused`].
pub fn place<A: Ancestry>(
    change: &CheckedChange,
    log: &mut A,
    walk: &mut WalkBudget,
) -> Result<Placement, A::Error> {
    if let Some(position) = log.locate(&change.hash)? {
        return Ok(Placement::Duplicate { position });
    }
    let (mut deps, mut missing) = (Vec::with_capacity(change.deps.len()), Vec::new());
    for hash in &change.deps {
        match log.locate(hash)? {
            Some(position) => deps.push(position),
            None => missing.push(*hash),
        }
    }
    let refused = |refusal: Refusal| Ok(Placement::Refused(refusal.of(change.hash)));
    if !missing.is_empty() {
        return refused(missing_dependency(missing));
    }
    let last = log.last_of(&change.actor)?;
    if let Err(refusal) = check_sequence(change, last) {
        return refused(refusal);
    }
    let descends = match last {
        None => Descent::Yes,
        Some(last) => descends_from(&deps, last.position, log, walk)?,
    };
    match descends {
        Descent::Yes => Ok(match reach_of(change, (&deps, last), log)? {
            Ok(reach) => Placement::New { deps, reach },
            Err(refusal) => Placement::Refused(refusal.of(change.hash)),
        }),
        Descent::No => refused(Refusal::malformed(format!(
            "the change has number {} of its actor, and does not depend on number {} of that actor",
            change.seq,
            change.seq - 1
        ))),
        Descent::Unknown => refused(Refusal::new(
            RefusalCode::TooLarge,
            "the search for the earlier change of the same actor was stopped: the limit for one push is 1000000 \
             steps by default. Push fewer changes at once",
        )),
    }
}

/// How far a change counts that is made on these; a refusal where that is too far.
fn reach_of<A: Ancestry>(
    change: &CheckedChange,
    (deps, last): (&[u64], Option<Last>),
    log: &mut A,
) -> Result<Result<Reach, Refusal>, A::Error> {
    let (mut before, mut previous) = (Reach::default(), None);
    for position in deps {
        let reach = log.reach(*position)?;
        before = before.and(reach);
        if last.is_some_and(|last| last.position == *position) {
            previous = Some(reach);
        }
    }
    if let (Some(last), None) = (last, previous) {
        previous = Some(log.reach(last.position)?);
    }
    let before = before.after(previous);
    let reach = before.then(Reach::plain(change.start_op, change.operations), change.start_op);
    Ok(reach.check(before, change.start_op).map(|()| reach))
}

fn missing_dependency(missing: Vec<ChangeHash>) -> Refusal {
    let detail = match missing.as_slice() {
        // Which stands beside it in `missing`: a push can be refused a hundred thousand of them in one reply.
        [_] => "the log does not hold the change on which this one depends".to_owned(),
        several => {
            format!("the log does not hold {} of the changes on which this one depends", several.len())
        }
    };
    Refusal { missing, ..Refusal::new(RefusalCode::MissingDependency, detail) }
}

/// "Sequence exactly one above the actor's last."
fn check_sequence(change: &CheckedChange, last: Option<Last>) -> Result<(), Refusal> {
    let held = last.map_or(0, |last| last.seq);
    if change.seq <= held && last.is_some() {
        return Err(Refusal::new(
            RefusalCode::ActorFork,
            format!("the log holds another change with the same actor and the same number, {}", change.seq),
        ));
    }
    if held.checked_add(1) != Some(change.seq) {
        return Err(Refusal::malformed(format!(
            "the change has number {} of its actor, and the next number in the log is {}",
            change.seq,
            held.saturating_add(1)
        )));
    }
    Ok(())
}

enum Descent {
    Yes,
    No,
    Unknown,
}

/// Whether the change at `target` is one of `from` or an ancestor of one. Ancestors only have lower
/// positions: so the highest is looked at first, none is looked at twice, and nothing below the target is.
fn descends_from<A: Ancestry>(
    from: &[u64],
    target: u64,
    log: &mut A,
    walk: &mut WalkBudget,
) -> Result<Descent, A::Error> {
    if from.contains(&target) {
        return Ok(Descent::Yes);
    }
    let mut frontier: BTreeSet<u64> = from.iter().copied().filter(|position| *position > target).collect();
    while let Some(position) = frontier.pop_last() {
        let Some(left) = walk.steps.checked_sub(1) else { return Ok(Descent::Unknown) };
        walk.steps = left;
        for dependency in log.dependencies(position)? {
            if dependency == target {
                return Ok(Descent::Yes);
            }
            // A log that says otherwise is at fault; the walk still has to end.
            if dependency > target && dependency < position {
                frontier.insert(dependency);
            }
        }
    }
    Ok(Descent::No)
}
