//! Compaction by the program: behind a server that works, and killed at any time.

use std::{
    path::Path,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::support::{BINARY, Process, Running, Writer, get, hashes, post, pull, push, send};
use rejoin::DocumentId;
use rejoin_server::{LogStore, ServerLimits, backup, doctor, respond};

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(BINARY);
    command.current_dir(directory).args(arguments).args(["--database", "log.db"]).stdin(Stdio::null());
    let Output { status, stdout, stderr } = command.output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

fn count(database: &Path, table: &str) -> i64 {
    let database = rusqlite::Connection::open(database).unwrap();
    database.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

/// Waits until the server has packed what it was to pack.
async fn until(mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < deadline, "it does not come to that");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn a_document_that_is_left_alone_is_packed_behind() {
    let server = Running::start_with(|config| {
        config.compact_quiet = Duration::from_millis(50);
        config.compact_least = 2;
    })
    .await;
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let body = ada.many(100);
    assert_eq!(send(post(server.url(document, "/changes"), body.clone())).await.status, 200);
    let database = server.directory.path().join("log.db");
    until(|| count(&database, "change") == 0).await;
    assert_eq!(send(get(server.url(document, "/changes"))).await.body, body);
    assert_eq!(send(post(server.url(document, "/changes"), ada.many(1))).await.status, 200);
    assert_eq!(doctor(&database).unwrap().findings, Vec::<String>::new());
}

#[tokio::test]
async fn what_an_earlier_server_left_in_rows_is_packed_after_a_start() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("log.db");
    let mut log = LogStore::open(&database).unwrap();
    for _ in 0..70 {
        let body = Writer::new(1).many(3);
        respond(&mut log, &ServerLimits::default(), &push(DocumentId::random(), None, &body), 0);
    }
    drop(log);
    let server = Process::start(directory.path(), &["--compact-quiet", "10ms", "--compact-least", "3"]);
    until(|| count(&database, "change") == 0).await;
    assert_eq!(count(&database, "pack"), 70);
    drop(server);
}

/// Invariant 6, of one document: whoever pushes while a long log is packed waits for no more than one short step.
#[tokio::test(flavor = "multi_thread")]
async fn a_compaction_is_never_in_the_way_of_a_push() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("log.db");
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let mut log = LogStore::open(&database).unwrap();
    for _ in 0..6 {
        let body = ada.many(10_000);
        respond(&mut log, &ServerLimits::default(), &push(document, None, &body), 0);
    }
    drop(log);
    let server = Process::start(directory.path(), &["--compact-quiet", "10ms", "--compact-least", "2"]);
    let client = reqwest::Client::new();
    let (mut waited, mut during) = (Vec::new(), 0);
    let url = server.changes(document);
    while count(&database, "pack") < 29 {
        during += 1;
        let start = Instant::now();
        let request = client.post(&url).header("content-type", rejoin::wire::CHANGES).body(ada.many(1));
        assert_eq!(request.send().await.unwrap().status(), 200);
        waited.push(start.elapsed());
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    waited.sort_unstable();
    let at = |part: usize| waited[(waited.len() * part / 100).min(waited.len() - 1)];
    eprintln!("{during} pushes: median {:?}, 99 % {:?}, worst {:?}", at(50), at(99), waited.last().unwrap());
    assert!(during > 20, "the pushes came while it was packed");
    assert!(*waited.last().unwrap() < Duration::from_secs(1), "none waits for the whole");
    drop(server);
    assert_eq!(doctor(&database).unwrap().findings, Vec::<String>::new());
}

#[test]
fn kill_9_during_a_compaction_loses_and_doubles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("log.db");
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let mut log = LogStore::open(&database).unwrap();
    let mut all = Vec::new();
    for _ in 0..4 {
        let body = ada.many(10_000);
        respond(&mut log, &ServerLimits::default(), &push(document, None, &body), 0);
        all.extend(body);
    }
    drop(log);
    let mut killed = 0;
    for delay in (0..).map(|round| Duration::from_millis(5 + 23 * round)) {
        let mut command = Command::new(BINARY);
        command.arg("compact").arg("--database").arg(&database);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(delay);
        let over = child.try_wait().unwrap().is_some();
        let _ = child.kill();
        child.wait().unwrap();
        assert_eq!(doctor(&database).unwrap().findings, Vec::<String>::new());
        if over {
            break;
        }
        killed += 1;
    }
    assert!(killed >= 3, "{killed}");
    assert_eq!(count(&database, "change"), 0);
    let mut log = LogStore::open(&database).unwrap();
    let mut limits = ServerLimits::default();
    (limits.page_bytes, limits.page_changes) = (usize::MAX, usize::MAX);
    assert!(respond(&mut log, &limits, &pull(document, None), 0).body == all);
}

#[tokio::test]
async fn a_backup_of_packs_is_whole_while_the_server_writes_and_packs() {
    let server = Running::start_with(|config| {
        config.compact_quiet = Duration::from_millis(1);
        config.compact_least = 1;
    })
    .await;
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let url = server.url(document, "/changes");
    let mut all = ada.many(5_000);
    assert_eq!(send(post(url.clone(), all.clone())).await.status, 200);
    let (database, copy) = (server.directory.path().join("log.db"), server.directory.path().join("copy.db"));
    let to = copy.clone();
    let copying = tokio::task::spawn_blocking(move || backup(&database, &to));
    while !copying.is_finished() {
        let body = ada.many(20);
        assert_eq!(send(post(url.clone(), body.clone())).await.status, 200);
        all.extend(body);
    }
    copying.await.unwrap().unwrap();
    assert_eq!(doctor(&copy).unwrap().findings, Vec::<String>::new());
    let mut log = LogStore::open(&copy).unwrap();
    let held = respond(&mut log, &ServerLimits::default(), &pull(document, None), 0).body;
    assert!(held.len() >= 5_000 && all.starts_with(&held), "a prefix of what was acknowledged");
}

fn holds(directory: &Path, secret: &[u8]) -> bool {
    let files =
        std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}

#[tokio::test]
async fn a_purge_beside_a_server_that_runs_leaves_no_byte_and_the_server_goes_on() {
    let server = Running::start_with(|config| config.compact_quiet = Duration::from_millis(1)).await;
    let (document, other) = (DocumentId::random(), DocumentId::random());
    let (secret, database) = ("PURGE-ME-WHOLLY", server.directory.path().join("log.db"));
    let mut ada = Writer::new(1);
    let body = [ada.many(3_000), ada.set(secret, 1)].concat();
    for id in [document, other] {
        let body = if id == document { body.clone() } else { Writer::new(2).many(10) };
        assert_eq!(send(post(server.url(id, "/changes"), body)).await.status, 200);
    }
    until(|| count(&database, "pack") > 0).await;
    assert_eq!(send(reqwest::Client::new().delete(server.url(document, ""))).await.status, 204);
    let (path, clock) = (database.clone(), 1_700_000_000_000);
    let purged = tokio::task::spawn_blocking(move || rejoin_server::purge(&path, &document, clock));
    assert_eq!(purged.await.unwrap().unwrap(), rejoin_server::Purged::Done);
    assert!(!holds(server.directory.path(), secret.as_bytes()));
    assert_eq!(send(get(server.url(document, "/changes"))).await.status, 410);
    assert_eq!(send(post(server.url(other, "/changes"), Writer::new(3).many(2))).await.status, 200);
    assert_eq!(hashes(&send(get(server.url(other, "/changes"))).await.body).len(), 12);
    assert_eq!(doctor(&database).unwrap().findings, Vec::<String>::new());
}

#[test]
fn compact_and_purge_say_what_they_did_and_purge_asks_first() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("log.db");
    let document = DocumentId::random();
    let (code, _, err) = run(directory.path(), &["compact"]);
    assert_eq!((code, database.exists()), (Some(1), false), "{err}");
    let mut log = LogStore::open(&database).unwrap();
    respond(&mut log, &ServerLimits::default(), &push(document, None, &Writer::new(1).many(10)), 0);
    drop(log);
    let (code, out, _) = run(directory.path(), &["compact"]);
    assert_eq!((code, out.as_str()), (Some(0), "Packed 10 changes into 1 packs.\n"));
    let id = document.to_string();
    let (code, _, err) = run(directory.path(), &["purge", &id]);
    assert_eq!(code, Some(2), "no terminal to ask on: {err}");
    let (code, _, err) = run(directory.path(), &["purge", &id, "--yes"]);
    assert!(code == Some(1) && err.contains("not deleted"), "{err}");
    let mut log = LogStore::open(&database).unwrap();
    respond(&mut log, &ServerLimits::default(), &rejoin::wire::Request::Delete { document }, 0);
    drop(log);
    let (code, out, _) = run(directory.path(), &["purge", &id, "--yes"]);
    assert!(code == Some(0) && out.contains("tombstone stays"), "{out}");
    let (code, ..) = run(directory.path(), &["purge", &DocumentId::random().to_string(), "--yes"]);
    assert_eq!(code, Some(1));
    let (code, _, _) = run(directory.path(), &["purge", "no uuid", "--yes"]);
    assert_eq!(code, Some(2));
    let (code, out, _) = run(directory.path(), &["doctor"]);
    assert_eq!(code, Some(0), "{out}");
    assert_eq!(hashes(&[]).len(), 0);
}
