//! The promises of the handles: group commit, events, `kill -9`, closing.
use std::{
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use rejoin::{Action, Error, Origin, Store, blocking};
use serde_json::json;

fn increment() -> Action {
    Action::Increment { path: "/n".into(), by: 1 }
}

fn commits(path: &std::path::Path) -> i64 {
    let raw = rusqlite::Connection::open(path).unwrap();
    raw.query_row("SELECT commits FROM pulse", [], |r| r.get(0)).unwrap()
}

#[tokio::test]
async fn documents_that_are_created_together_take_one_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = Store::open(&path).await.unwrap();
    let before = commits(&path);
    assert_eq!(store.create_all(&[None; 1_000]).await.unwrap().len(), 1_000);
    assert_eq!(commits(&path) - before, 1);
}

#[tokio::test]
async fn dispatches_that_wait_together_share_a_commit() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = Store::open(&path).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let before = commits(&path);
    let all = (0..200).map(|_| store.dispatch(id, increment()));
    for result in futures_util::future::join_all(all).await {
        result.unwrap();
    }
    assert_eq!(store.state(id, "/n").await.unwrap(), 200);
    let used = commits(&path) - before;
    assert!(used < 100, "200 dispatches used {used} commits");
}

#[tokio::test]
async fn an_event_comes_after_the_commit_and_names_action_author_and_origin() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = Store::open(&path).await.unwrap();
    store.set_author(Some("ada")).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let mut events = store.subscribe();
    let receipt = store.dispatch(id, increment()).await.unwrap();
    let event = events.recv().await.unwrap();
    assert_eq!((event.document, event.origin), (id, Origin::Local));
    assert_eq!(event.changes.len(), 1);
    assert_eq!(event.changes[0].hash, receipt.hash);
    assert_eq!(event.changes[0].action_type.as_deref(), Some("increment"));
    assert_eq!(event.changes[0].author.as_deref(), Some("ada"));
    assert!(!event.patches.is_empty());
}

#[tokio::test]
async fn what_another_handle_on_the_file_does_is_heard() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (one, two) = (Store::open(&path).await.unwrap(), Store::open(&path).await.unwrap());
    let id = one.create(None, None).await.unwrap();
    assert_eq!(one.state(id, "").await.unwrap(), json!({}));
    let mut events = one.subscribe();
    let receipt = two.dispatch(id, increment()).await.unwrap();
    let event =
        tokio::time::timeout(std::time::Duration::from_secs(20), events.recv()).await.unwrap().unwrap();
    assert_eq!(event.changes[0].hash, receipt.hash);
    assert_eq!(one.state(id, "/n").await.unwrap(), 1);
}

#[test]
fn the_blocking_store_is_the_same_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = blocking::Store::open(&path).unwrap();
    let id = store.create(None, Some("x")).unwrap();
    store.dispatch(id, increment()).unwrap();
    let results = store.dispatch_all(id, vec![increment(), Action::Delete { path: "/none".into() }]).unwrap();
    assert!(results[0].is_ok() && matches!(results[1], Err(Error::Action(_))));
    assert_eq!(store.state(id, "/n").unwrap(), 2);
    drop(store);
    let left: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(left.len() <= 2, "at rest a store is its file and at most one side file: {left:?}");
}

#[cfg(unix)]
#[test]
fn the_file_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    blocking::Store::open(&path).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Not a test of its own: the process that [`a_dispatch_that_returned_survives_kill_9`] kills.
#[test]
fn child_that_dispatches_until_it_is_killed() {
    let Ok(path) = std::env::var("REJOIN_TEST_CHILD_STORE") else { return };
    let store = blocking::Store::open(path).unwrap();
    let id = store.find("killed").unwrap();
    loop {
        let receipt = store.dispatch(id, increment()).unwrap();
        println!("ack {}", receipt.hash);
    }
}

#[test]
fn a_dispatch_that_returned_survives_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let id = blocking::Store::open(&path).unwrap().create(None, Some("killed")).unwrap();
    let mut acknowledged = Vec::new();
    for round in 1..=12_usize {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "api::child_that_dispatches_until_it_is_killed", "--nocapture"])
            .env("REJOIN_TEST_CHILD_STORE", &path)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ack = |line: String| line.split("ack ").nth(1).map(str::to_owned);
        // Killed at another moment each time: it is in the middle of a commit nearly always.
        acknowledged.extend(lines.by_ref().map_while(Result::ok).filter_map(ack).take(round * 7 % 23 + 1));
        child.kill().unwrap();
        child.wait().unwrap();
        acknowledged.extend(lines.map_while(Result::ok).filter_map(ack));
    }
    let store = blocking::Store::open(&path).unwrap();
    let held: Vec<String> = store.history(id, None).unwrap().iter().map(|h| h.hash.to_string()).collect();
    let queued: Vec<String> = store.queue(None).unwrap().iter().map(|q| q.change_hash.to_string()).collect();
    for hash in &acknowledged {
        assert!(held.contains(hash) && queued.contains(hash), "{hash} was acknowledged and is lost");
    }
    assert_eq!(held, queued, "a change and its queue row are both there or both not");
    assert_eq!(store.state(id, "/n").unwrap(), held.len());
    assert!(store.check().unwrap().ok);
}

#[test]
fn the_linked_sqlite_cannot_lose_committed_transactions_in_wal_mode() {
    assert!(rusqlite::version_number() >= 3_051_003, "SQLite {}", rusqlite::version());
}

#[test]
fn a_file_of_another_kind_and_a_newer_store_are_refused_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let text = dir.path().join("text.db");
    std::fs::write(&text, "this is no database, and it is long enough to be looked at as one".repeat(30))
        .unwrap();
    let before = std::fs::read(&text).unwrap();
    assert!(matches!(blocking::Store::open(&text), Err(Error::NotAStore { .. })));
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let other = dir.path().join("other.db");
    rusqlite::Connection::open(&other).unwrap().execute_batch("CREATE TABLE theirs (x)").unwrap();
    let before = std::fs::read(&other).unwrap();
    assert!(matches!(blocking::Store::open(&other), Err(Error::NotAStore { .. })));
    assert_eq!(std::fs::read(&other).unwrap(), before);

    let newer = dir.path().join("newer.db");
    blocking::Store::open(&newer).unwrap();
    let raw = rusqlite::Connection::open(&newer).unwrap();
    raw.pragma_update(None, "user_version", 99).unwrap();
    drop(raw);
    let before = std::fs::read(&newer).unwrap();
    assert!(matches!(blocking::Store::open(&newer), Err(Error::NewerSchema { found: 99, .. })));
    assert_eq!(std::fs::read(&newer).unwrap(), before);
}
