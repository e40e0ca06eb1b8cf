//! Whether a change took something of another one away. That it did is only a claim in its message; its operations
//! show it.

use std::collections::{HashMap, HashSet};

use automerge::{
    Automerge, Change,
    legacy::{ObjectId, Op, OpType},
};

use super::{Facts, Inverse, OpId, Standing, plan};
use crate::untrusted::guarded;

/// What a change did, as far as another can take it back.
#[derive(Debug, Default)]
pub struct Evidence {
    /// Its operations, as what they stand for in the end.
    ours: HashSet<OpId>,
    /// What it replaced or deleted.
    gone: HashSet<OpId>,
    /// How much it added to which counters.
    added: HashMap<OpId, i64>,
    /// The texts that it marked, and the names of the marks.
    marks: HashSet<(ObjectId, String)>,
}

impl Evidence {
    /// Of this change. What the library cannot read of it is none.
    pub fn of(change: &Change, standing: &Standing) -> Self {
        let mut evidence = Self::default();
        let read = guarded(|| each(change, |id, op| evidence.enter(id, op, standing)));
        if let Err(reason) = read {
            tracing::warn!(%reason, change = %change.hash(), "a change could not be looked at for an undo");
        }
        evidence
    }

    fn enter(&mut self, id: &OpId, op: &Op, standing: &Standing) {
        self.ours.insert(standing.first(id));
        let preds = op.pred.iter().map(|pred| standing.first(pred));
        match &op.action {
            OpType::Increment(by) => {
                for pred in preds {
                    let sum = self.added.entry(pred).or_default();
                    *sum = sum.saturating_add(*by);
                }
            }
            OpType::MarkBegin(mark) => {
                self.marks.insert((first_object(&op.obj, standing), mark.name.to_string()));
            }
            _ => self.gone.extend(preds),
        }
    }

    /// Whether this other change replaced or deleted something that the change wrote, put back something that it
    /// replaced or deleted, took from a counter what it had added, or marked what it marked.
    pub fn is_met_by(&self, other: &Change, standing: &Standing) -> bool {
        let theirs = Self::of(other, standing);
        let opposite = |(counter, by): (&OpId, &i64)| {
            self.added.get(counter).is_some_and(|added| by.checked_neg() == Some(*added))
        };
        !theirs.gone.is_disjoint(&self.ours)
            || !theirs.ours.is_disjoint(&self.gone)
            || theirs.added.iter().any(opposite)
            || !theirs.marks.is_disjoint(&self.marks)
    }
}

/// Whether something of a change stands in the document, so that taking it back would write something. Of what it added
/// to counters nobody can tell: a sum does not say what is in it.
pub fn stands(am: &Automerge, change: &Change, facts: &Facts) -> bool {
    match guarded(|| plan(am, change, facts)) {
        Ok(Ok(plan)) => plan.inverses.iter().any(|inverse| !matches!(inverse, Inverse::Add { .. })),
        // It cannot be taken back at all.
        Ok(Err(_)) | Err(_) => false,
    }
}

/// Every operation of a change, with its id.
fn each(change: &Change, mut each: impl FnMut(&OpId, &Op)) {
    let actor = change.actor_id();
    for (op, counter) in change.decode().operations.iter().zip(change.start_op().get()..) {
        each(&OpId(counter, actor.clone()), op);
    }
}

fn first_object(object: &ObjectId, standing: &Standing) -> ObjectId {
    match object {
        ObjectId::Root => ObjectId::Root,
        ObjectId::Id(id) => ObjectId::Id(standing.first(id)),
    }
}
