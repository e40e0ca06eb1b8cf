//! Stores that were cloned with their machine, so that nothing can tell them apart.
use rejoin::{
    Action, ChangeHash, DocumentId, Message,
    fence::{self, CheckedChange, Limits},
    store::{BatchBounds, Choice, Core, Page},
};
use rusqlite::Connection;
use serde_json::json;

const ALL: BatchBounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };

/// A process on this disk. The clock stands still.
fn open(disk: Connection) -> Core {
    let mut core = Core::open_connection(disk).unwrap();
    core.set_clock(Box::new(|| 1_700_000_000_000));
    core
}

/// Byte for byte the same disk.
fn copy(disk: &Connection) -> Connection {
    let mut to = Connection::open_in_memory().unwrap();
    rusqlite::backup::Backup::new(disk, &mut to)
        .unwrap()
        .run_to_completion(1_000, std::time::Duration::ZERO, None)
        .unwrap();
    to
}

/// Two processes on copies of one store, and a document of theirs.
fn clones(actions: Vec<Action>) -> (Core, Core, DocumentId) {
    let mut core = open(Connection::open_in_memory().unwrap());
    let id = core.create(None, None).unwrap();
    for action in actions {
        act(&mut core, id, action);
    }
    let disk = core.into_connection();
    let other = copy(&disk);
    (open(disk), open(other), id)
}

fn add(path: &str, by: i64) -> Action {
    Action::Increment { path: path.into(), by }
}

fn act(core: &mut Core, id: DocumentId, action: Action) -> ChangeHash {
    core.dispatch(&[(id, action)]).unwrap().pop().unwrap().unwrap().hash
}

fn waiting(core: &mut Core, id: DocumentId) -> Vec<CheckedChange> {
    let batch = core.take_batch(id, ALL).unwrap();
    let framed = fence::frame(&batch.body).unwrap();
    framed.iter().map(|f| fence::check(f, &Limits::default()).unwrap()).collect()
}

fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) {
    let changes = waiting(from, id);
    assert!(!to.store_page(id, Page { changes, ..Page::default() }).unwrap().hole);
}

/// Both have what the other has: what both read.
fn meet(a: &mut Core, b: &mut Core, id: DocumentId) -> serde_json::Value {
    for _ in 0..2 {
        hand_over(a, b, id);
        hand_over(b, a, id);
    }
    let read = a.state(id, "", None).unwrap();
    assert_eq!(read, b.state(id, "", None).unwrap());
    read
}

#[test]
fn clones_that_do_the_same_in_the_same_second_make_two_changes() {
    let (mut a, mut b, id) = clones(vec![add("/n", 5)]);
    assert_eq!(a.actor(), b.actor());
    assert_ne!(act(&mut a, id, add("/n", 1)), act(&mut b, id, add("/n", 1)));
    assert_eq!(meet(&mut a, &mut b, id), json!({"n": 7}));
}

#[test]
fn whatever_clones_do_first_is_their_own() {
    type Deed = fn(&mut Core, DocumentId) -> ChangeHash;
    let deeds: [(&str, Deed); 4] = [
        ("an undo", |core, id| core.undo(id).unwrap().unwrap().hash),
        ("an undo that finds nothing left to undo", |core, id| {
            core.undo(id).unwrap().unwrap();
            core.redo(id).unwrap().unwrap().hash
        }),
        ("a set in a container that is missing", |core, id| {
            act(core, id, Action::Set { path: "/made/x".into(), value: json!(1) })
        }),
        ("two actions of one group", |core, id| {
            let both = [(id, add("/n", 1)), (id, add("/n", 1))];
            core.dispatch(&both).unwrap().pop().unwrap().unwrap().hash
        }),
    ];
    for (name, deed) in deeds {
        let (mut a, mut b, id) =
            clones(vec![add("/n", 5), Action::Set { path: "/x".into(), value: json!(1) }]);
        assert_ne!(deed(&mut a, id), deed(&mut b, id), "{name}");
        meet(&mut a, &mut b, id);
    }
}

#[test]
fn taking_a_value_of_a_conflict_is_its_clones_own() {
    let (mut a, mut b, id) = clones(vec![]);
    let set = |value| Action::Set { path: "/x".into(), value: json!(value) };
    act(&mut a, id, set("a"));
    act(&mut b, id, set("b"));
    meet(&mut a, &mut b, id);
    let disk = a.into_connection();
    let (mut first, mut second) = (open(copy(&disk)), open(disk));
    let take = |core: &mut Core| core.take(id, "/x", Choice::Index(1)).unwrap().hash;
    assert_ne!(take(&mut first), take(&mut second));
}

#[test]
fn only_the_first_change_of_a_process_in_a_document_bears_a_nonce() {
    let (mut a, _, id) = clones(vec![]);
    let other = a.create(None, None).unwrap();
    for _ in 0..3 {
        act(&mut a, id, add("/n", 1));
    }
    act(&mut a, other, add("/n", 1));
    let bears = |core: &mut Core, id| -> Vec<bool> {
        let own = waiting(core, id).into_iter().filter(|c| !rejoin::container::is_container_actor(&c.actor));
        own.map(|c| Message::decode(c.message.as_deref()).nonce.is_some()).collect()
    };
    assert_eq!(bears(&mut a, id), [true, false, false]);
    assert_eq!(bears(&mut a, other), [true]);
    let mut again = open(a.into_connection());
    act(&mut again, id, add("/n", 1));
    assert_eq!(bears(&mut again, id), [true, false, false, true]);
}

#[test]
fn after_a_drop_the_next_change_bears_a_nonce_again() {
    let (mut a, mut b, id) = clones(vec![add("/n", 5)]);
    for core in [&mut a, &mut b] {
        let hash = act(core, id, add("/n", 1));
        core.drop_queued(&hash.to_string()).unwrap();
    }
    assert_ne!(act(&mut a, id, add("/n", 1)), act(&mut b, id, add("/n", 1)));
    assert_eq!(meet(&mut a, &mut b, id), json!({"n": 7}));
}

#[test]
fn a_process_goes_on_from_what_another_one_of_its_store_did() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut a = Core::open(&path, rejoin::store::Durability::Normal).unwrap();
    let id = a.create(None, None).unwrap();
    let mut b = Core::open(&path, rejoin::store::Durability::Normal).unwrap();
    act(&mut a, id, add("/n", 1));
    act(&mut b, id, add("/n", 1));
    act(&mut a, id, add("/n", 1));
    let own = waiting(&mut a, id).into_iter().filter(|c| !rejoin::container::is_container_actor(&c.actor));
    let nonces: Vec<bool> = own.map(|c| Message::decode(c.message.as_deref()).nonce.is_some()).collect();
    assert_eq!(nonces, [true, true, false]);
}
