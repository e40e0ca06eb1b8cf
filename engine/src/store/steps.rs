//! Changes beside an action's own, for a document that holds more heads, or more values of one place, than one change
//! may name: "our own changes never exceed our own limits, whatever is there". They change nothing that is read. Like
//! containers they have no line in queue and history, and are never undone.

use std::collections::HashSet;

use automerge::{
    ActorId, Automerge, Change, ChangeHash, ExpandedChange,
    legacy::{Op, OpId, OpType},
};

use super::{
    append::{Appended, append},
    core::Writing,
    dispatch::Failed,
    make::seconds,
    record::Told,
};
use crate::{
    Action, DocumentId, Error, Message,
    fence::{self, CheckedChange, Limits, Refusal, RefusalCode},
    slice::{ActionInfo, Command},
    untrusted::guarded,
};

/// The action in the message of a change that merges heads.
const MERGE: &str = "@merge";
/// The action in the message of a change that takes away values which concurrent writes hid.
const CLEAR: &str = "@clear";

/// Most actors that one step names as makers of values, and most values that it takes away.
const STEP_ACTORS: usize = 1_000;
const STEP_VALUES: usize = 50_000;

/// How often a change may be made anew because it named too much.
const ROUNDS: usize = 3;

/// The inner error: a change that the fence refuses. The document is then as it was before it.
pub(super) type Attempt<T> = Result<Result<T, Box<(Change, Refusal)>>, Failed>;

/// Whether a change only merges: it says so, and does nothing else.
pub(super) fn is_merge(operations: u64, message: &Message) -> bool {
    operations == 0 && message.action.as_deref() == Some(MERGE)
}

/// Most actors whose characters one change of ours deletes: the undo of it names each of them in its message.
const MOST_WRITERS: usize = 500;

/// Whether a change is a deletion of text that so many wrote that it is better done in parts: no step beside it can
/// help, for each character has one value.
pub(super) fn is_by_too_many(command: &Command, change: &Change) -> Option<Refusal> {
    let named = change.other_actor_ids().len();
    let Command::Json(Action::Splice { delete: 2.., .. }) = command else { return None };
    let detail =
        || format!("it deletes what {named} others wrote, and one change deletes that of {MOST_WRITERS}");
    (named > MOST_WRITERS).then(|| Refusal {
        hash: None,
        code: RefusalCode::TooLarge,
        detail: detail(),
        missing: Vec::new(),
    })
}

/// Such a deletion in parts, where nothing else of it is too much: so none of the parts is refused.
fn parts(command: &Command, refused: &Change, limits: &Limits) -> Option<Vec<Action>> {
    is_by_too_many(command, refused)?;
    let Command::Json(Action::Splice { path, pos, delete, insert }) = command else { return None };
    if refused.raw_bytes().len() > limits.change_bytes || refused.len() as u64 > limits.operations {
        return None;
    }
    let most = (refused.other_actor_ids().len() / MOST_WRITERS + 1) as u64 * 2;
    let size = delete.div_ceil(most).max(1);
    let part = |delete, insert: &str| Action::Splice {
        path: path.clone(),
        pos: *pos,
        delete,
        insert: insert.to_owned(),
    };
    let mut parts = Vec::new();
    let mut left = *delete;
    while left > size {
        parts.push(part(size, ""));
        left -= size;
    }
    parts.push(part(left, insert));
    Some(parts)
}

impl Writing<'_> {
    /// What can be done where the fence refuses an action's change and no step helps: a long deletion of text becomes
    /// several changes, each with a line of its own.
    pub(super) fn commit_parts(
        &mut self,
        home: DocumentId,
        command: &Command,
        (told, about): (&Told<'_>, &ActionInfo),
        (refused, refusal): (Change, Refusal),
    ) -> Result<CheckedChange, Failed> {
        let parts = parts(command, &refused, &self.limits.of_own()).unwrap_or_default();
        let mut last = Err(Error::Refused(refusal).into());
        for part in parts {
            let command = Command::Json(part);
            let json = command.to_json()?;
            let text = json.to_string();
            last = self.commit_one(home, &command, (&Told { json: &json, text: &text, ..*told }, about));
            if last.is_err() {
                break;
            }
        }
        last
    }

    /// Makes a change, after steps that make room for it where that is needed.
    pub(super) fn in_steps<T>(
        &mut self,
        id: DocumentId,
        mut attempt: impl FnMut(&mut Self) -> Attempt<T>,
    ) -> Attempt<T> {
        self.merge_heads(id)?;
        for round in 0.. {
            match attempt(self)? {
                Err(refused) if round < ROUNDS && self.make_room(id, &refused.0)? => {}
                done => return Ok(done),
            }
        }
        Err(Error::Bug("a change was made without end".to_owned()).into())
    }

    /// Merges heads, some at a time, where the next change could not name them all beside the containers that it may
    /// need.
    pub(super) fn merge_heads(&mut self, id: DocumentId) -> Result<(), Failed> {
        self.merge_heads_to(id, self.limits.dependencies / 2)
    }

    /// Merges heads until there are at most so many.
    pub(super) fn merge_heads_to(&mut self, id: DocumentId, most: usize) -> Result<(), Failed> {
        let step = (self.limits.dependencies / 2).max(2);
        loop {
            let mut heads = self.replicas.get(self.tx, id, self.actor)?.am.get_heads();
            if heads.len() <= most.max(1) {
                return Ok(());
            }
            heads.truncate(step);
            self.take_step(id, MERGE, heads, Vec::new())?;
        }
    }

    /// Makes room for a change that the fence refused because its operations replace too many values: takes away the
    /// values that are hidden there. What is read stays the same. `false`: there are none, and it is too large by
    /// itself. The document is as it was before the change.
    fn make_room(&mut self, id: DocumentId, refused: &Change) -> Result<bool, Failed> {
        let operations = guarded(|| refused.decode().operations).map_err(Error::Library)?;
        let steps = clearing(&operations);
        let any = !steps.is_empty();
        for step in steps {
            let heads = self.replicas.get(self.tx, id, self.actor)?.am.get_heads();
            self.take_step(id, CLEAR, heads, step)?;
        }
        Ok(any)
    }

    fn take_step(
        &mut self,
        id: DocumentId,
        action: &str,
        deps: Vec<ChangeHash>,
        operations: Vec<Op>,
    ) -> Result<(), Failed> {
        let message = Message::of_action(action);
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let written = (message.encode(), seconds(self.now));
        let made = guarded(|| {
            let change = spell(&replica.am, self.actor, deps, operations, written);
            replica.am.apply_changes([change.clone()]).map_err(|error| error.to_string())?;
            // The library looks for its own last change anew.
            replica.am.set_actor(self.actor.clone());
            Ok::<_, String>(change)
        });
        let made = made.and_then(|made| made).map_err(Error::Library);
        let checked = made
            .and_then(|change| fence::check_bytes(change.raw_bytes(), self.limits).map_err(Error::Refused));
        let checked = match checked {
            Ok(checked) => checked,
            Err(error) => {
                self.reopen(id)?;
                return Err(error.into());
            }
        };
        let replica = self.replicas.get(self.tx, id, self.actor)?;
        let about = Appended { message: &message, local: true, container: true };
        let row = append(self.tx, replica, &checked, &about).map_err(Failed::Transaction)?;
        if replica.row.companion_of.is_none() {
            self.enqueue(row, None).map_err(Failed::Transaction)?;
        }
        Ok(())
    }
}

/// The next change of this actor, on these and on its own last.
fn spell(
    am: &Automerge,
    actor: &ActorId,
    mut deps: Vec<ChangeHash>,
    operations: Vec<Op>,
    (message, time): (String, i64),
) -> Change {
    let last = am.get_last_local_change();
    deps.extend(last.as_ref().map(Change::hash).filter(|hash| !deps.contains(hash)));
    deps.sort_unstable();
    let counted = deps.iter().filter_map(|hash| am.get_change_meta_by_hash(hash)).map(|meta| meta.max_op);
    let replaced = operations.iter().flat_map(|op| op.pred.iter()).map(OpId::counter);
    let above = counted.chain(replaced).max().unwrap_or(0);
    Change::from(ExpandedChange {
        operations,
        actor_id: actor.clone(),
        hash: None,
        seq: last.map_or(0, |change| change.seq()) + 1,
        start_op: std::num::NonZeroU64::MIN.saturating_add(above),
        time,
        message: Some(message),
        deps,
        extra_bytes: Vec::new(),
        author: None,
    })
}

/// Deletions of all values that these operations replace, but for the one of each that reads: some at a time.
fn clearing(operations: &[Op]) -> Vec<Vec<Op>> {
    let (mut steps, mut step) = (Vec::new(), Vec::new());
    let (mut actors, mut values) = (HashSet::new(), 0_usize);
    for operation in operations {
        let mut replaced: Vec<&OpId> = operation.pred.iter().collect();
        // The greatest reads.
        replaced.sort_unstable_by_key(|id| (id.counter(), id.actor().clone()));
        replaced.pop();
        let mut hidden: Vec<OpId> = Vec::new();
        for id in replaced {
            actors.insert(id.actor().clone());
            values += 1;
            hidden.push(id.clone());
            if actors.len() >= STEP_ACTORS || values >= STEP_VALUES {
                step.push(deletion(operation, std::mem::take(&mut hidden)));
                steps.push(std::mem::take(&mut step));
                (actors, values) = (HashSet::new(), 0);
            }
        }
        if !hidden.is_empty() {
            step.push(deletion(operation, hidden));
        }
    }
    steps.extend((!step.is_empty()).then_some(step));
    steps
}

fn deletion(of: &Op, hidden: Vec<OpId>) -> Op {
    Op {
        action: OpType::Delete,
        obj: of.obj.clone(),
        key: of.key.clone(),
        pred: hidden.into(),
        insert: false,
    }
}
