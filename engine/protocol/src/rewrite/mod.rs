//! Writing changes again: after a fork (one actor, one sequence number, two changes), and to take one change
//! out of a document.
//!
//! The server's log decides which of two changes stays. The other one, the loser, and everything held that
//! descends from it is written again with its operations unchanged, under an actor of its own. No reducer
//! runs: on another state a position or an index would hit something else.
//!
//! Invariant 5: "Two replicas with the same changes and the same release of the library have equal heads and
//! equal state, whatever the order, the duplicates and the crashes between." So the bytes that are made here
//! depend on nothing but the changes and which of them lost; and those of one change on nothing but that
//! change, its ancestors, and which of these lost. A replica that holds a part makes the same bytes for it.
//!
//! The new actor begins with the old one's bytes: so it stands where the old one stood among all others, and
//! wherever operations are ordered by their actors, the branch reads as it did.
//!
//! A later fork may begin in what was written again. Then everything starts over from the changes as they
//! first were, with all that was told of losers: the caller keeps the first spellings.

mod branch;
mod claim;
mod exact;
mod order;
mod spell;

use std::collections::{HashMap, HashSet};

use automerge::{Change, ChangeHash};

use crate::Actor;

pub use claim::Claim;

use branch::{Branch, Spelled};
use spell::Reason;

/// A change that was written again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The hash of what was given.
    pub was: ChangeHash,
    /// The hash now.
    pub hash: ChangeHash,
    /// The actor now.
    pub actor: Actor,
    /// The sequence number now.
    pub seq: u64,
    /// The plain chunk.
    pub bytes: Vec<u8>,
}

/// One edit in two spellings: `gone` was written again from `stands_for`, which is in the document after all.
#[derive(Debug, Clone, Copy)]
pub struct Alias<'a> {
    /// The spelling that goes.
    pub gone: &'a Change,
    /// The one that stays.
    pub stands_for: &'a Change,
}

/// What taking one change out does to those after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dropped {
    /// Those that touch what it made, and those that touch what these made: they go too.
    pub also: Vec<ChangeHash>,
    /// The others, written again without it.
    pub rewritten: Vec<Rewritten>,
}

/// Why changes cannot be written again. Nothing was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RewriteError {
    /// The library cannot take it apart.
    #[error("change {0} cannot be read")]
    Unreadable(ChangeHash),
    /// A container change depends on container changes alone, and can lose to nothing.
    #[error("change {0} makes a container, and is never written again")]
    Container(ChangeHash),
    /// The change that is to be taken out is not among those given.
    #[error("change {0} is not there")]
    NotThere(ChangeHash),
    /// The two are not the same edit.
    #[error("change {gone} does not stand for {stands_for}")]
    Alias {
        /// The one that was to go.
        gone: ChangeHash,
        /// The one that was to stay.
        stands_for: ChangeHash,
    },
    /// The changes depend on each other in a circle: only wrong aliases can do that.
    #[error("the changes depend on each other in a circle")]
    Circle,
}

/// The changes among `held` that are in `roots` or descend from one, in the order of `held`, which has
/// dependencies first: each as its hash and its dependencies.
pub fn descendants<'a>(
    roots: &HashSet<ChangeHash>,
    held: impl IntoIterator<Item = (ChangeHash, &'a [ChangeHash])>,
) -> Vec<ChangeHash> {
    let mut found: HashSet<ChangeHash> = HashSet::new();
    let mut order = Vec::new();
    for (hash, deps) in held {
        if roots.contains(&hash) || deps.iter().any(|dep| found.contains(dep)) {
            found.insert(hash);
            order.push(hash);
        }
    }
    order
}

/// Writes again what lost, and what descends from it.
///
/// `affected` is every change held, in its first spelling, that is a loser or descends from one. `losers` is
/// everything that was ever found to have lost, in whatever spelling: hashes in `affected`, and hashes of what
/// an earlier call made of them. Of one branch the first loser counts; that those after it lost to the same
/// rival adds nothing, so a replica that was told of more makes the same bytes.
///
/// The result has dependencies first. The message of each names what the change was; one that was no JSON
/// object is kept under `message`.
///
/// # Errors
/// `Unreadable` and `Container`.
pub fn rewrite(affected: &[Change], losers: &HashSet<ChangeHash>) -> Result<Vec<Rewritten>, RewriteError> {
    rewrite_with_aliases(affected, losers, &[], &HashSet::new())
}

/// [`rewrite`], where some of what the changes depend on goes because another spelling of it is held.
/// `affected` then has what descends from each `gone` as well; whether it has the `gone` ones does not matter.
/// Each of `apart` begins a branch of its own: for what met something else under its new actor and number.
///
/// # Errors
/// Those of [`rewrite`], `Alias` and `Circle`.
pub fn rewrite_with_aliases(
    affected: &[Change],
    losers: &HashSet<ChangeHash>,
    aliases: &[Alias<'_>],
    apart: &HashSet<ChangeHash>,
) -> Result<Vec<Rewritten>, RewriteError> {
    let mut told: HashMap<ChangeHash, ChangeHash> =
        affected.iter().map(|c| (c.hash(), c.hash())).filter(|(now, _)| losers.contains(now)).collect();
    let mut starts: HashSet<ChangeHash> = apart.clone();
    loop {
        // What lost in this spelling; of one branch the first.
        let lost: HashSet<ChangeHash> = told.values().copied().collect();
        starts.extend(branch::first_of_each(affected, aliases, &lost)?);
        let spelled = Branch::new(affected, Reason::Fork(&starts), aliases)?.spell()?.rewritten;
        told = spelled
            .iter()
            .filter(|r| losers.contains(&r.hash) && !starts.contains(&r.was))
            .map(|r| (r.hash, r.was))
            .collect();
        if told.is_empty() {
            return Ok(spelled);
        }
    }
}

/// Of these, the ones that no other of them comes before in the line of its actor.
///
/// # Errors
/// Those of [`rewrite_with_aliases`].
pub fn firsts(
    affected: &[Change],
    aliases: &[Alias<'_>],
    of: &HashSet<ChangeHash>,
) -> Result<HashSet<ChangeHash>, RewriteError> {
    branch::first_of_each(affected, aliases, of)
}

/// Takes one change out: it goes together with those later ones that touch what it made (an object, an element
/// or a value of one of its operations); the rest is written again without it, what it depended on taking its
/// place. `affected` has the change and everything held that descends from it, dependencies first.
///
/// # Errors
/// `NotThere`, `Unreadable` and `Container`.
pub fn without(affected: &[Change], dropped: &ChangeHash) -> Result<Dropped, RewriteError> {
    let after = descendants(&[*dropped].into(), affected.iter().map(|c| (c.hash(), c.deps())));
    if after.is_empty() {
        return Err(RewriteError::NotThere(*dropped));
    }
    let after: HashSet<ChangeHash> = after.into_iter().collect();
    let after: Vec<&Change> = affected.iter().filter(|change| after.contains(&change.hash())).collect();
    let Spelled { rewritten, gone } = Branch::new(after, Reason::Drop(*dropped), &[])?.spell()?;
    let also = gone.into_iter().filter(|hash| hash != dropped).collect();
    Ok(Dropped { also, rewritten })
}

#[cfg(test)]
mod tests;
