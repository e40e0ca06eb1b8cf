//! Real processes, killed in the middle.

use std::{
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
};

use rejoin::{
    Store,
    effects::{EffectHandlers, EffectOptions, EffectRequest, EffectState, HttpEffects, Outcome, handler},
};
use serde_json::{Value, json};

use crate::effects::{
    server::{Server, status},
    support::{ask, increment},
};

const STORE: &str = "REJOIN_TEST_EFFECTS_STORE";

/// Not a test of its own: the process that is killed between sending and recording.
#[tokio::test]
async fn child_that_sends_and_never_records() {
    let Ok(path) = std::env::var(STORE) else { return };
    let store = Store::open(path).await.unwrap();
    let http = HttpEffects::new().unwrap();
    let http = std::sync::Arc::new(http);
    let sends = handler(move |effect| {
        let http = std::sync::Arc::clone(&http);
        async move {
            rejoin::effects::EffectHandler::handle(http.as_ref(), effect).await;
            println!("sent");
            std::future::pending().await
        }
    });
    let handlers = EffectHandlers::new().with("http", sends);
    store.run_effects(handlers, EffectOptions::default(), std::future::pending()).await.unwrap();
}

/// The child, once it has sent.
fn sending(path: &Path) -> Child {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "effects::processes::child_that_sends_and_never_records", "--nocapture"])
        .env(STORE, path)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap().contains("sent")), "the child ended before it sent");
    child
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_between_sending_and_recording_sends_again_under_the_same_key_and_records_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let server = Server::start(|_, _| status(200)).await;
    let store = Store::open(&path).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let effect = EffectRequest::new("http", json!({"url": server.url, "body": {"buy": "tent"}}))
        .commit(increment("/confirmed", 1));
    let name = effect.id();
    store.dispatch_with(id, increment("/ordered", 1), vec![effect]).await.unwrap();
    for killed in 1..=3 {
        let mut child = tokio::task::block_in_place(|| sending(&path));
        assert_eq!(store.effect("1").await.unwrap().state, EffectState::Running);
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(server.asked().len(), killed);
    }
    // Nobody waits for a dead process's lease to run out: this is at once.
    let handlers = EffectHandlers::new().with("http", HttpEffects::new().unwrap());
    store.run_effects_until_idle(handlers, EffectOptions::default()).await.unwrap();
    let done = store.effect(&name.to_string()).await.unwrap();
    assert_eq!((done.state, done.attempts, done.charged), (EffectState::Done, 4, 3));
    assert!(server.asked().iter().all(|asked| asked.key() == name));
    assert_eq!(store.state(id, "/confirmed").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_living_process_keeps_its_lease_from_others() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let server = Server::start(|_, _| status(200)).await;
    let store = Store::open(&path).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let effect = EffectRequest::new("http", json!({"url": server.url})).lane("a");
    store.dispatch_with(id, increment("/n", 1), vec![effect, ask("b")]).await.unwrap();
    let mut child = tokio::task::block_in_place(|| sending(&path));
    let handlers = EffectHandlers::new()
        .with("http", HttpEffects::new().unwrap())
        .with("test", handler(|_| async { Outcome::Done(Value::Null) }));
    store.run_effects_until_idle(handlers, EffectOptions::default()).await.unwrap();
    assert_eq!((store.effect("1").await.unwrap().state, server.asked().len()), (EffectState::Running, 1));
    assert_eq!(store.effect("2").await.unwrap().state, EffectState::Done);
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_can_be_read_by_others_while_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let store = Store::open(&path).await.unwrap();
    let id = store.create(None, None).await.unwrap();
    let receipt = store.dispatch_with(id, increment("/n", 1), vec![ask("a")]).await.unwrap();
    let effect = store.effect("1").await.unwrap();
    let raw =
        rusqlite::Connection::open_with_flags(&path, rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let sql = "SELECT id, action, kind, state, attempts, next_attempt_at, last_error FROM effects";
    let row: (String, String, String, String, i64, Option<String>, Option<String>) = raw
        .query_row(sql, [], |r| {
            Ok((r.get(0)?, r.get(1)?, r.get(2)?, r.get(3)?, r.get(4)?, r.get(5)?, r.get(6)?))
        })
        .unwrap();
    let expected =
        (effect.id.to_string(), receipt.hash.to_string(), "test".into(), "waiting".into(), 0, None, None);
    assert_eq!(row, expected);
}
