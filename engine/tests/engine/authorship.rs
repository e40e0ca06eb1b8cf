//! Who did it: what was dispatched here is this store's own, and nothing else, whatever actor a change names.
use automerge::{Automerge, ROOT, transaction::CommitOptions, transaction::Transactable};
use rejoin::{
    Action, ChangeHash, DocumentId, Origin,
    fence::{self, Limits},
    store::{BatchBounds, Core, HistoryEntry, Page, Pushers},
};
use rusqlite::Connection;
use serde_json::json;

const ALL: BatchBounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };

fn set(path: &str, value: serde_json::Value) -> Action {
    Action::Set { path: path.into(), value }
}

fn act(core: &mut Core, id: DocumentId, action: Action) -> ChangeHash {
    core.dispatch(&[(id, action)]).unwrap().pop().unwrap().unwrap().hash
}

fn take(core: &mut Core, id: DocumentId, body: &[u8]) {
    let framed = fence::frame(body).unwrap();
    let changes = framed.iter().map(|f| fence::check(f, &Limits::default()).unwrap()).collect();
    assert!(!core.store_page(id, Page { changes, ..Page::default() }).unwrap().hole);
}

fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) {
    let body = from.take_batch(id, ALL).unwrap().body;
    take(to, id, &body);
}

/// The next change under this store's actor, made by somebody else.
fn forged(victim: &mut Core, id: DocumentId, key: &str, value: i64) -> Vec<u8> {
    let mut am = Automerge::load(&victim.export(id).unwrap()).unwrap();
    am.set_actor(victim.actor().clone());
    let mut tx = am.transaction();
    tx.put(ROOT, key, value).unwrap();
    tx.commit_with(CommitOptions::default().with_message(r#"{"a":"set","by":"ada"}"#));
    am.get_last_local_change().unwrap().raw_bytes().to_vec()
}

fn last(core: &mut Core, id: DocumentId) -> HistoryEntry {
    core.history(id, Some(1)).unwrap().pop().unwrap()
}

fn victim() -> (Core, DocumentId) {
    let mut core = Core::open_in_memory().unwrap();
    core.set_author(Some("ada")).unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/own", json!(1)));
    (core, id)
}

#[test]
fn a_change_forged_under_this_stores_actor_is_anothers_and_is_never_undone() {
    let (mut ada, id) = victim();
    let actor = ada.actor().clone();
    let mut events = ada.subscribe();
    let bytes = forged(&mut ada, id, "forged", 7);
    take(&mut ada, id, &bytes);
    assert_eq!(events.try_recv().unwrap().origin, Origin::Remote);
    let entry = last(&mut ada, id);
    assert_eq!((entry.local, entry.own_actor, &entry.actor), (false, true, &actor));
    assert_eq!(entry.author.as_deref(), Some("ada"), "it says so");
    let blame = ada.blame(id, "/forged", None).unwrap();
    assert!(!blame[0].writer.local && blame[0].writer.own_actor);
    ada.undo(id).unwrap().expect("her own is there to undo");
    assert_eq!(ada.state(id, "", None).unwrap(), json!({"forged": 7}));
    assert!(ada.undo(id).unwrap().is_none(), "nothing else is hers");
    ada.redo(id).unwrap().unwrap();
    assert_eq!(ada.state(id, "", None).unwrap(), json!({"forged": 7, "own": 1}));
    assert!(ada.undo_change(id, entry.hash).is_err(), "nor by its name");
}

#[test]
fn after_a_forged_change_this_store_writes_under_another_actor() {
    let (mut ada, id) = victim();
    let old = ada.actor().clone();
    let (first, second) = (forged(&mut ada, id, "x", 1), forged(&mut ada, id, "x", 2));
    take(&mut ada, id, &first);
    act(&mut ada, id, set("/a", json!(1)));
    let next = last(&mut ada, id);
    assert_ne!(next.actor, old);
    assert!(next.local && next.own_actor);
    let actor = next.actor;
    act(&mut ada, id, set("/b", json!(1)));
    assert_eq!(last(&mut ada, id).actor, actor, "once");
    // Another one forged beside the first, and what was made on that is written again: it stays hers.
    take(&mut ada, id, &second);
    assert_eq!(ada.state(id, "/a", None).unwrap(), 1);
    let undone = [ada.undo(id).unwrap().unwrap(), ada.undo(id).unwrap().unwrap()];
    assert!(undone.iter().all(|undone| undone.skipped == 0));
    assert_eq!(
        ada.state(id, "", None).unwrap().as_object().unwrap().keys().collect::<Vec<_>>(),
        ["own", "x"]
    );
    assert!(ada.check().unwrap().ok, "{:?}", ada.check());
}

fn copy(disk: &Connection) -> Connection {
    let mut to = Connection::open_in_memory().unwrap();
    let backup = rusqlite::backup::Backup::new(disk, &mut to).unwrap();
    backup.run_to_completion(1_000, std::time::Duration::ZERO, None).unwrap();
    drop(backup);
    to
}

#[test]
fn a_lost_day_that_comes_back_is_shown_as_of_this_stores_actor_and_is_not_undone() {
    let (ada, id) = victim();
    let disk = ada.into_connection();
    let backup = copy(&disk);
    let mut before = Core::open_connection(disk).unwrap();
    act(&mut before, id, set("/lost", json!(1)));
    let mut after = Core::open_connection(backup).unwrap();
    hand_over(&mut before, &mut after, id);
    let entry = last(&mut after, id);
    assert_eq!((entry.local, entry.own_actor), (false, true));
    after.undo(id).unwrap().unwrap();
    assert_eq!(after.state(id, "", None).unwrap(), json!({"lost": 1}));
}

#[test]
fn what_is_written_again_after_a_fork_stays_its_stores_own() {
    let (ada, id) = victim();
    let disk = ada.into_connection();
    let clone = copy(&disk);
    let mut cores = [disk, clone].map(|disk| Core::open_connection(disk).unwrap());
    for (core, name) in cores.iter_mut().zip(["/a", "/b"]) {
        act(core, id, set(name, json!(1)));
    }
    let [mut a, mut b] = cores;
    for _ in 0..2 {
        hand_over(&mut a, &mut b, id);
        hand_over(&mut b, &mut a, id);
    }
    assert_eq!(a.state(id, "", None).unwrap(), json!({"own": 1, "a": 1, "b": 1}));
    a.undo(id).unwrap().unwrap();
    b.undo(id).unwrap().unwrap();
    hand_over(&mut a, &mut b, id);
    assert_eq!(b.state(id, "", None).unwrap(), json!({"own": 1}));
}

#[test]
fn who_pushed_is_kept_beside_what_a_change_says_of_itself() {
    let (mut ada, id) = victim();
    let bytes = forged(&mut ada, id, "forged", 7);
    take(&mut ada, id, &bytes);
    let (own, theirs) = {
        let history = ada.history(id, None).unwrap();
        (history[0].hash, history[1].hash)
    };
    let says = |by: &str| Pushers { pushed: vec![(by.into(), vec![own, theirs])], ..Pushers::default() };
    ada.store_pushers(id, &says("token:mallory")).unwrap();
    ada.store_pushers(id, &says("token:later")).unwrap();
    let history = ada.history(id, None).unwrap();
    assert_eq!(history[0].pushed_by, None, "she knows what is hers");
    assert_eq!(history[1].pushed_by.as_deref(), Some("token:mallory"), "the first word stays");
    assert_eq!(ada.blame(id, "/forged", None).unwrap()[0].writer.pushed_by.as_deref(), Some("token:mallory"));
    let disk = ada.into_connection();
    let shown: Vec<(String, Option<String>)> = disk
        .prepare("SELECT origin, pushed_by FROM history ORDER BY position")
        .unwrap()
        .query_map([], |r| Ok((r.get(0)?, r.get(1)?)))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(shown, [("local".into(), None), ("remote".into(), Some("token:mallory".into()))]);
}
