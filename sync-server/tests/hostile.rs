//! Hostile input against a real server process: it stays up, small and quick, and serves everybody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod support;

use std::{
    path::PathBuf,
    time::{Duration, Instant},
};

use automerge::{Automerge, Change};
use rejoin::{
    ChangeHash, DocumentId,
    wire::{CHANGES, PushReply},
};
use support::{Answer, Process, changes, get, hashes, post, send, writer_on};

/// The cases of one kind: name, good changes to push first, the hostile change.
fn corpus(kind: &str) -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let root = std::env::var_os("REJOIN_CORPUS").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared/corpus")),
        PathBuf::from,
    );
    let Ok(entries) = std::fs::read_dir(root.join(kind)) else {
        eprintln!("SKIPPED: no corpus of {kind} in {}; REJOIN_CORPUS says where it is", root.display());
        return Vec::new();
    };
    let bad = entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().unwrap() == "bad");
    let mut cases: Vec<_> = bad
        .map(|bad| {
            let base = std::fs::read(bad.with_extension("base")).unwrap_or_default();
            (bad.file_stem().unwrap().to_string_lossy().into_owned(), base, std::fs::read(&bad).unwrap())
        })
        .collect();
    cases.sort();
    cases
}

struct Case<'s> {
    server: &'s Process,
    document: DocumentId,
    name: String,
}

impl Case<'_> {
    fn url(&self, rest: &str) -> String {
        format!("{}/v1/documents/{}{rest}", self.server.root, self.document)
    }

    async fn push(&self, body: Vec<u8>) -> PushReply {
        let answer = send(post(self.url("/changes"), body)).await;
        assert_eq!(answer.status, 200, "{}: {answer:?}", self.name);
        answer.json()
    }

    /// Everything that can be read of the document is whole; how many changes are left out of it.
    async fn read_all(&self) -> usize {
        let log = hashes(&send(get(self.url("/changes"))).await.body);
        let json = send(get(self.url(""))).await;
        assert_eq!(json.status, 200, "{}: {json:?}", self.name);
        json.json::<serde_json::Value>();
        let file = send(get(self.url("")).header("accept", CHANGES)).await;
        assert_eq!(file.status, 200, "{}: {file:?}", self.name);
        let loaded = Automerge::load(&file.body).unwrap();
        let left_out = left_out(&file);
        assert_eq!(loaded.get_changes(&[]).len() + left_out, log.len(), "{}", self.name);
        if !self.is_first_left_out(&loaded, &log) {
            self.check_snapshot(&log).await;
        }
        left_out
    }

    /// Without its first change no prefix of a log can be held.
    fn is_first_left_out(&self, merged: &Automerge, log: &[ChangeHash]) -> bool {
        !merged.get_changes(&[]).iter().any(|change| Some(&change.hash()) == log.first())
    }

    /// Invariant 10: a snapshot covers a prefix of the log.
    async fn check_snapshot(&self, log: &[ChangeHash]) {
        let snapshot = send(get(self.url("/snapshot"))).await;
        assert_eq!(snapshot.status, 200, "{}: {snapshot:?}", self.name);
        let cursor = snapshot.header("rejoin-cursor").unwrap_or("0.");
        let position: usize = cursor.split_once('.').unwrap().0.parse().unwrap();
        let mut held: Vec<_> =
            Automerge::load(&snapshot.body).unwrap().get_changes(&[]).iter().map(Change::hash).collect();
        let mut prefix = log[..position].to_vec();
        held.sort_unstable();
        prefix.sort_unstable();
        assert_eq!(held, prefix, "{}", self.name);
    }
}

fn left_out(answer: &Answer) -> usize {
    answer.header("rejoin-quarantined").map_or(0, |n| n.parse().unwrap())
}

async fn hostile(kind: &str, expect: impl Fn(&str, &PushReply, usize)) {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    for (name, base, bad) in corpus(kind) {
        let case = Case { server: &server, document: DocumentId::random(), name };
        let good = case.push(base.clone()).await;
        assert_eq!(good.rejected, [], "{}", case.name);
        let reply = case.push(bad).await;
        let left_out = case.read_all().await;
        expect(&case.name, &reply, left_out);
        // The document stays writable, and what is written is merged.
        let mut ada = writer_on(0xad, &base);
        let more = ada.set("written after", 1);
        assert_eq!(case.push(more).await.accepted, 1, "{}", case.name);
        let state: serde_json::Value = send(get(case.url(""))).await.json();
        assert_eq!(state["written after"], 1, "{}", case.name);
        assert_eq!(changes(&base).len(), good.accepted as usize);
    }
    assert_eq!(send(get(format!("{}/readyz", server.root))).await.status, 200);
}

#[tokio::test]
async fn changes_that_make_the_library_panic_are_refused_or_left_out() {
    hostile("panics", |name, reply, left_out| {
        assert!(!reply.rejected.is_empty() || left_out > 0, "{name} was taken for good");
    })
    .await;
}

#[tokio::test]
async fn changes_after_which_a_document_cannot_be_loaded_are_found() {
    hostile("poison", |name, reply, left_out| {
        assert!(!reply.rejected.is_empty() || left_out > 0, "{name} was taken for good");
    })
    .await;
}

#[tokio::test]
async fn odd_changes_that_are_good_are_taken() {
    hostile("harmless", |name, reply, left_out| {
        assert_eq!((reply.accepted, left_out), (1, 0), "{name}: {reply:?}");
    })
    .await;
}

#[tokio::test]
async fn bombs_are_refused_quickly_and_cheaply() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    for (name, _, bad) in corpus("bombs") {
        let case = Case { server: &server, document: DocumentId::random(), name };
        let start = Instant::now();
        let reply = case.push(bad).await;
        assert!(start.elapsed() < Duration::from_millis(500), "{}: {:?}", case.name, start.elapsed());
        assert_eq!(reply.rejected.len(), 1, "{}", case.name);
    }
    assert!(server.peak_memory() < 64 << 20, "{} bytes", server.peak_memory());
}

#[tokio::test]
async fn orphans_by_the_thousand_leave_no_memory_behind() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let mut ada = support::Writer::new(1);
    ada.set("lost", 1);
    let count = std::env::var("REJOIN_ORPHANS").map_or(20_000, |count| count.parse().unwrap());
    let body = ada.many(count as i64);
    let case = Case { server: &server, document: DocumentId::random(), name: "orphans".to_owned() };
    let push = async || {
        let reply = case.push(body.clone()).await;
        assert_eq!((reply.accepted, reply.rejected.len()), (0, count));
    };
    push().await;
    let first = server.peak_memory();
    println!("{count} orphans in {} bytes: a peak of {first} bytes", body.len());
    for _ in 0..5 {
        push().await;
    }
    assert!(server.peak_memory() < first + first / 4, "{first} bytes, then {}", server.peak_memory());
    assert_eq!(send(get(case.url("/changes"))).await.status, 404);
}

#[tokio::test]
async fn a_document_nested_without_end_does_not_end_the_server() {
    use automerge::{ObjType, ROOT, transaction::Transactable};
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let case = Case { server: &server, document: DocumentId::random(), name: "deep".to_owned() };
    let (mut ada, mut object) = (support::Writer::new(1), ROOT);
    for _ in 0..3 {
        for _ in 0..30_000 {
            object = ada.0.put_object(&object, "x", ObjType::Map).unwrap();
        }
        case.push(ada.set("n", 1)).await;
    }
    for rest in ["", "/snapshot", "/changes"] {
        let answer = send(get(case.url(rest)).header("accept", CHANGES)).await;
        assert!(answer.status < 500, "{rest}: {}", answer.status);
        let answer = send(get(case.url(rest))).await;
        assert!(answer.status < 500, "{rest}: {}", answer.status);
    }
    assert_eq!(send(get(format!("{}/readyz", server.root))).await.status, 200);
}
