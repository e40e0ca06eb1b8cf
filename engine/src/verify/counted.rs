use std::collections::HashMap;

use automerge::{Automerge, Change, ChangeHash};

use crate::{
    fence::{Reach, Refusal},
    untrusted::guarded,
};

/// How far the changes of a log count. The fence asks the same when a change comes; a log of an older release may
/// hold what came before it asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted(HashMap<ChangeHash, Reach>);

impl Counted {
    /// Of the changes in a document.
    pub(super) fn of(document: &Automerge) -> Self {
        let mut counted = Self::default();
        let noted = guarded(|| {
            for change in document.get_changes_meta(&[]) {
                let own = Reach { last: change.max_op, slack: 0 };
                counted.note(change.hash, &change.deps, (own, change.start_op)).ok();
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
        let own = Reach::plain(start_op, change.len() as u64);
        self.note(change.hash(), change.deps(), (own, start_op))
    }

    fn note(
        &mut self,
        hash: ChangeHash,
        deps: &[ChangeHash],
        (own, start_op): (Reach, u64),
    ) -> Result<(), Refusal> {
        let known = deps.iter().filter_map(|dep| self.0.get(dep).copied());
        let before = known.fold(Reach::default(), Reach::and);
        let reach = before.then(own, start_op);
        reach.check(before, start_op)?;
        self.0.insert(hash, reach);
        Ok(())
    }
}
