//! Changes that no honest program makes, and stores that get them.

use automerge::{
    ActorId, Automerge, Change, ChangeHash, ExpandedChange, ROOT, ReadDoc, ScalarValue,
    legacy::{ElementId, Key, ObjectId, Op, OpId, OpType},
    transaction::Transactable,
};
use rejoin::{
    Action, DocumentId,
    fence::{self, CheckedChange, Limits},
    store::{BatchBounds, Core, Page, PageOutcome},
};
use serde_json::Value;

pub(crate) const ALL: BatchBounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };

pub(crate) fn set(path: &str, value: Value) -> Action {
    Action::Set { path: path.into(), value }
}

pub(crate) fn act(core: &mut Core, id: DocumentId, action: Action) -> ChangeHash {
    core.dispatch(&[(id, action)]).unwrap().pop().unwrap().unwrap().hash
}

pub(crate) fn checked(change: &Change) -> CheckedChange {
    fence::check_bytes(change.raw_bytes(), &Limits::default()).unwrap()
}

/// What a server's log brings.
pub(crate) fn bring(core: &mut Core, id: DocumentId, changes: Vec<CheckedChange>) -> PageOutcome {
    core.store_page(id, Page { changes, at_end: true, ..Page::default() }).unwrap()
}

/// Everything that waits in a store.
pub(crate) fn waiting(core: &mut Core, id: DocumentId) -> Vec<CheckedChange> {
    let batch = core.take_batch(id, ALL).unwrap();
    let frames = fence::frame(&batch.body).unwrap();
    frames.iter().map(|frame| fence::check(frame, &Limits::default()).unwrap()).collect()
}

/// One change by hand: puts `value` under `key` of the root, replacing nothing.
pub(crate) struct Hand {
    pub(crate) actor: ActorId,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) time: i64,
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) key: &'static str,
    pub(crate) value: ScalarValue,
    pub(crate) object: ObjectId,
}

impl Hand {
    pub(crate) fn of(actor: u32) -> Self {
        let actor = ActorId::from([&[9_u8; 12][..], &actor.to_be_bytes()].concat());
        let (deps, value) = (Vec::new(), ScalarValue::Int(1));
        Self { actor, seq: 1, start_op: 1, time: 0, deps, key: "key", value, object: ObjectId::Root }
    }

    pub(crate) fn change(self) -> Change {
        self.many(1)
    }

    /// The same so many times over in one change: as many values beside each other.
    pub(crate) fn many(self, count: usize) -> Change {
        let operation = Op {
            action: OpType::Put(self.value.clone()),
            obj: self.object.clone(),
            key: Key::Map(self.key.into()),
            pred: Vec::new().into(),
            insert: false,
        };
        self.of_operations(vec![operation; count])
    }

    /// Adds to what these put there.
    pub(crate) fn adding(self, by: i64, to: &[OpId]) -> Change {
        let operation = Op {
            action: OpType::Increment(by),
            obj: self.object.clone(),
            key: Key::Map(self.key.into()),
            pred: to.to_vec().into(),
            insert: false,
        };
        self.of_operations(vec![operation])
    }

    /// Puts the value at the beginning of a list or text.
    pub(crate) fn inserting(self) -> Change {
        let operation = Op {
            action: OpType::Put(self.value.clone()),
            obj: self.object.clone(),
            key: Key::Seq(ElementId::Head),
            pred: Vec::new().into(),
            insert: true,
        };
        self.of_operations(vec![operation])
    }

    fn of_operations(self, operations: Vec<Op>) -> Change {
        Change::from(ExpandedChange {
            operations,
            actor_id: self.actor,
            hash: None,
            seq: self.seq,
            start_op: self.start_op.try_into().unwrap(),
            time: self.time,
            message: None,
            deps: self.deps,
            extra_bytes: Vec::new(),
            author: None,
        })
    }
}

/// The keys of the root as another Automerge reads the same changes.
pub(crate) fn as_automerge(changes: &[CheckedChange]) -> Automerge {
    let mut document = Automerge::new();
    let parsed = changes.iter().map(|change| Change::try_from(change.bytes.as_slice()).unwrap());
    document.apply_changes(parsed.collect::<Vec<_>>()).unwrap();
    assert!(document.get_missing_deps(&[]).is_empty());
    document
}

/// An honest edit of somebody who holds these.
pub(crate) fn edit_on(document: &mut Automerge, key: &str) -> CheckedChange {
    let mut tx = document.transaction();
    tx.put(ROOT, key, 1).unwrap();
    tx.commit();
    checked(&document.get_last_local_change().unwrap())
}
