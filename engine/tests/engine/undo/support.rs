use rejoin::{
    Action, ChangeHash, DocumentId, Undone,
    fence::{self, Limits},
    store::{BatchBounds, Core, Page},
};
use serde_json::Value;

const ALL: BatchBounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };

pub(crate) fn set(path: &str, value: Value) -> Action {
    Action::Set { path: path.into(), value }
}

pub(crate) fn delete(path: &str) -> Action {
    Action::Delete { path: path.into() }
}

pub(crate) fn add(path: &str, by: i64) -> Action {
    Action::Increment { path: path.into(), by }
}

pub(crate) fn insert(path: &str, value: Value) -> Action {
    Action::Insert { path: path.into(), value }
}

pub(crate) fn splice(path: &str, pos: u64, delete: u64, insert: &str) -> Action {
    Action::Splice { path: path.into(), pos, delete, insert: insert.into() }
}

pub(crate) fn act(core: &mut Core, id: DocumentId, action: Action) -> ChangeHash {
    core.dispatch(&[(id, action)]).unwrap().pop().unwrap().unwrap().hash
}

pub(crate) fn state(core: &mut Core, id: DocumentId) -> Value {
    core.state(id, "", None).unwrap()
}

pub(crate) fn undo(core: &mut Core, id: DocumentId) -> Undone {
    core.undo(id).unwrap().expect("there is something to undo")
}

pub(crate) fn redo(core: &mut Core, id: DocumentId) -> Undone {
    core.redo(id).unwrap().expect("there is something to redo")
}

/// A store with one document.
pub(crate) fn one() -> (Core, DocumentId) {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    (core, id)
}

/// Two stores on one document, after these actions of the first.
pub(crate) fn two(actions: Vec<Action>) -> (Core, Core, DocumentId) {
    let (mut a, id) = one();
    for action in actions {
        act(&mut a, id, action);
    }
    let mut b = Core::open_in_memory().unwrap();
    b.join(id, None, None).unwrap();
    hand_over(&mut a, &mut b, id);
    (a, b, id)
}

/// Hands everything that waits in `from` to `to`, as a server's log would.
pub(crate) fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) {
    let batch = from.take_batch(id, ALL).unwrap();
    let framed = fence::frame(&batch.body).unwrap();
    let changes = framed.iter().map(|f| fence::check(f, &Limits::default()).unwrap()).collect();
    assert!(!to.store_page(id, Page { changes, ..Page::default() }).unwrap().hole);
}

/// Both have what the other has, and read the same.
pub(crate) fn sync(a: &mut Core, b: &mut Core, id: DocumentId) -> Value {
    hand_over(a, b, id);
    hand_over(b, a, id);
    let read = state(a, id);
    assert_eq!(read, state(b, id));
    assert_eq!(a.document(id).unwrap().heads, b.document(id).unwrap().heads);
    read
}
