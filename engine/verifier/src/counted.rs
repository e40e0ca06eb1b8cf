//! How far the changes of a log have counted.

use std::collections::HashMap;

use automerge::{ActorId, Automerge, Change, ChangeHash};

use rejoin_protocol::{
    fence::{Reach, Refusal},
    untrusted::guarded,
};

/// How far the changes of a log count. The fence asks the same when a change comes; a log of an older release may
/// hold what came before it asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    reaches: HashMap<ChangeHash, Reach>,
    /// The last of each actor that passed over counters.
    leapt: HashMap<ActorId, Reach>,
}

/// What is counted of a change.
struct Span<'a> {
    hash: ChangeHash,
    actor: &'a ActorId,
    deps: &'a [ChangeHash],
    plain: Reach,
    start_op: u64,
}

impl Counted {
    /// Of the changes in a document.
    pub(super) fn of(document: &Automerge) -> Self {
        let mut counted = Self::default();
        let noted = guarded(|| {
            for change in document.get_changes_meta(&[]) {
                let plain = Reach { last: change.max_op, ..Reach::default() };
                let (hash, start_op) = (change.hash, change.start_op);
                let span = Span { hash, actor: &change.actor, deps: &change.deps, plain, start_op };
                counted.note(&span).ok();
            }
        });
        if let Err(why) = noted {
            tracing::warn!(%why, "how far a document counts cannot be read");
        }
        counted
    }

    /// Notes a change that comes after what it depends on.
    ///
    /// # Errors
    /// Why it is left out.
    pub(super) fn take(&mut self, change: &Change) -> Result<(), Refusal> {
        let start_op = change.start_op().get();
        let plain = Reach::plain(start_op, change.len() as u64);
        let (hash, actor, deps) = (change.hash(), change.actor_id(), change.deps());
        self.note(&Span { hash, actor, deps, plain, start_op })
    }

    fn note(&mut self, change: &Span<'_>) -> Result<(), Refusal> {
        let known = change.deps.iter().filter_map(|dep| self.reaches.get(dep).copied());
        let before = known.fold(Reach::default(), Reach::and).after(self.leapt.get(change.actor).copied());
        let reach = before.then(change.plain, change.start_op);
        reach.check(before, change.start_op)?;
        if reach.own > before.own {
            self.leapt.insert(change.actor.clone(), reach);
        }
        self.reaches.insert(change.hash, reach);
        Ok(())
    }
}
