//! Verification behind the log, in a process that may hang, die and run out of memory.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::skipped::skipped;
use crate::support::{Answer, Process, Writer, changes, get, hashes, post, send};
use rejoin::{DocumentId, wire::CHANGES};

/// What no known change makes the library do, a message makes it do in the builds of tests.
const STRIKES: [&str; 3] = ["planted: never ends", "planted: takes all memory", "planted: ends the process"];

/// A server that gives up quickly.
fn start(directory: &Path) -> Process {
    Process::start(
        directory,
        &["--verify-timeout", "500ms", "--verify-memory", "256MiB", "--snapshot-quiet", "50ms"],
    )
}

fn url(server: &Process, document: DocumentId, rest: &str) -> String {
    format!("{}/v1/documents/{document}{rest}", server.root)
}

fn left_out(answer: &Answer) -> usize {
    answer.header("rejoin-quarantined").map_or(0, |n| n.parse().unwrap())
}

/// The merged document, once the server has found out what is wrong with it.
async fn settled(server: &Process, document: DocumentId) -> Answer {
    let started = Instant::now();
    loop {
        let answer = send(get(url(server, document, ""))).await;
        // Until then what was verified before is shown, and said to be no more than that.
        if answer.status == 200 && answer.header("rejoin-verified") == answer.header("rejoin-end") {
            return answer;
        }
        assert!([200, 503].contains(&answer.status), "{answer:?}");
        assert_eq!(answer.header("retry-after").is_some(), answer.status == 503);
        assert!(started.elapsed() < Duration::from_secs(60), "it is never found");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A log with a change in its middle over which the library comes to harm, and one that depends on it.
async fn push_struck(server: &Process, document: DocumentId, strike: &str) -> Vec<u8> {
    let mut ada = Writer::new(1);
    let good = ada.many(20);
    let mut bob = ada.fork(2);
    let bad = bob.set_with("bad", 1, Some(strike));
    let after = bob.set("after", 1);
    let more = ada.many(20);
    let log = [good, bad, after, more].concat();
    let reply: rejoin::wire::PushReply = send(post(server.changes(document), log.clone())).await.json();
    assert_eq!((reply.accepted, reply.rejected.len()), (42, 0));
    log
}

#[tokio::test]
async fn a_change_that_hangs_or_kills_the_library_is_quarantined_and_the_rest_is_merged() {
    if !cfg!(feature = "planted-bugs") {
        return skipped("what verification finds", "this build has no planted bugs");
    }
    for strike in STRIKES {
        let directory = tempfile::tempdir().unwrap();
        let server = start(directory.path());
        let document = DocumentId::random();
        let log = push_struck(&server, document, strike).await;
        let started = Instant::now();
        let merged = settled(&server, document).await;
        println!("{strike}: found after {:?}", started.elapsed());
        assert_eq!(left_out(&merged), 2, "{strike}: it, and what depends on it");
        let state: serde_json::Value = merged.json();
        assert_eq!((&state["bad"], &state["after"], &state["k39"]), (&().into(), &().into(), &39.into()));
        let file = send(get(url(&server, document, "")).header("accept", CHANGES)).await;
        assert_eq!((file.status, left_out(&file)), (200, 2), "{strike}");
        // Invariant 10: a snapshot "ends before the first change it cannot hold".
        let snapshot = send(get(url(&server, document, "/snapshot"))).await;
        assert!(snapshot.header("rejoin-cursor").unwrap().starts_with("20."), "{snapshot:?}");
        // The log hands it on: every replica defends itself.
        assert_eq!(send(get(server.changes(document))).await.body, log);
        assert!(server.peak_memory() < 128 << 20, "{strike}: {}", server.peak_memory());
        let text = String::from_utf8(send(get(format!("{}/metrics", server.root))).await.body).unwrap();
        let figure = |name: &str| figure(&text, name);
        assert_eq!(figure("rejoin_quarantined_changes"), 2, "{strike}");
        assert_eq!(figure("rejoin_quarantined_documents"), 1, "{strike}");
        assert!(figure("rejoin_verifications_total{end=\"quarantined\"}") > 0, "{strike}");
        let end = if strike == STRIKES[0] { "timed-out" } else { "died" };
        assert!(
            figure(&format!("rejoin_verify_process_failures_total{{end=\"{end}\"}}")) > 0,
            "{strike}: {text}"
        );
    }
}

/// A figure of `/metrics` that counts.
fn figure(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in:\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn good_documents_are_not_held_back_by_bad_ones() {
    if !cfg!(feature = "planted-bugs") {
        return skipped("what verification finds", "this build has no planted bugs");
    }
    let directory = tempfile::tempdir().unwrap();
    let server = start(directory.path());
    let bad: Vec<DocumentId> = (0..3).map(|_| DocumentId::random()).collect();
    for document in &bad {
        push_struck(&server, *document, STRIKES[0]).await;
    }
    let asking: Vec<_> =
        bad.iter().map(|document| tokio::spawn(get(url(&server, *document, "")).send())).collect();
    let mut slowest = Duration::ZERO;
    for number in 0..30 {
        let good = DocumentId::random();
        send(post(server.changes(good), Writer::new(7).many(10))).await;
        let started = Instant::now();
        let merged = send(get(url(&server, good, ""))).await;
        slowest = slowest.max(started.elapsed());
        assert_eq!((merged.status, left_out(&merged)), (200, 0), "{number}");
    }
    println!("the slowest good document took {slowest:?}");
    for document in bad {
        assert_eq!(left_out(&settled(&server, document).await), 2);
    }
    asking.into_iter().for_each(|asked| asked.abort());
}

/// What was verified behind, once the server's own look has come that far.
async fn wait_for(directory: &Path, sql: &str, wanted: i64) {
    let started = Instant::now();
    loop {
        let database = rusqlite::Connection::open(directory.join("log.db")).unwrap();
        database.busy_timeout(Duration::from_secs(5)).unwrap();
        let found: Option<i64> = database.query_row(sql, [], |row| row.get(0)).unwrap();
        if found == Some(wanted) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{sql}: {found:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn what_is_quarantined_stays_so_and_another_release_tries_it_again() {
    let directory = tempfile::tempdir().unwrap();
    let document = DocumentId::random();
    let server = start(directory.path());
    let log = Writer::new(1).many(5);
    send(post(server.changes(document), log.clone())).await;
    wait_for(directory.path(), "SELECT max(position) FROM verified", 5).await;
    server.signal("-TERM");
    assert_eq!(server.end().0, Some(0));
    let path = directory.path().join("log.db");
    let change = |sql: &str| {
        let database = rusqlite::Connection::open(&path).unwrap();
        assert!(database.execute(sql, []).unwrap() > 0, "{sql}");
    };
    // As if this release had found the fourth.
    change(
        "INSERT INTO quarantine SELECT change.id, 'found', 0, maker FROM change, verified
         WHERE (change.id & 1099511627775) = 4",
    );
    let server = start(directory.path());
    let merged = send(get(url(&server, document, ""))).await;
    assert_eq!((merged.status, left_out(&merged)), (200, 2), "it, and what depends on it");
    server.signal("-TERM");
    server.end();
    change("UPDATE quarantine SET maker = 'an older release'");
    change("UPDATE verified SET maker = 'an older release'");
    let server = start(directory.path());
    let merged = send(get(url(&server, document, ""))).await;
    assert_eq!((merged.status, left_out(&merged)), (200, 0));
    // Also where nobody asks.
    wait_for(directory.path(), "SELECT count(*) FROM quarantine", 0).await;
    assert_eq!(hashes(&send(get(server.changes(document))).await.body).len(), changes(&log).len());
}

#[tokio::test]
async fn a_server_whose_verifying_process_cannot_be_started_or_says_nothing_quarantines_nothing() {
    use crate::support::Running;
    for (program, arguments, end) in [
        ("/nowhere/at/all", vec![], "not-started"),
        ("sleep", vec!["100"], "timed-out"),
        ("true", vec![], "died"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let running = Running::start_with(|config| {
            config.verify_command = Some(rejoin_server::VerifyCommand::new(program, arguments));
            config.verify_timeout = Duration::from_millis(200);
            config.request_timeout = Duration::from_secs(20);
        })
        .await;
        drop(directory);
        let document = DocumentId::random();
        send(post(running.url(document, "/changes"), Writer::new(1).many(5))).await;
        let answer = send(get(running.url(document, ""))).await;
        assert_eq!(answer.code(), (503, "unavailable".to_owned()), "{program}");
        assert_eq!(send(get(running.url(document, "/changes"))).await.status, 200, "{program}");
        let database = rusqlite::Connection::open(running.directory.path().join("log.db")).unwrap();
        let rows: i64 = database.query_row("SELECT count(*) FROM quarantine", [], |row| row.get(0)).unwrap();
        assert_eq!(rows, 0, "{program}");
        let text = send(get(format!("http://{}/metrics", running.address))).await.body;
        let name = format!("rejoin_verify_process_failures_total{{end=\"{end}\"}}");
        assert!(figure(&String::from_utf8(text).unwrap(), &name) > 0, "{program}");
    }
}
