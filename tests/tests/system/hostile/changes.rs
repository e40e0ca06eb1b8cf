//! Hostile changes through a real server to a real client, and from a hostile server to a real client.

use std::{
    collections::HashMap,
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use automerge::{AutoCommit, Change};
use rejoin_tests::harness::{Client, Place, Proc, Ran, Server, corpus, foreign_change, get, impostor, push};
use serde_json::{Value, json};
use uuid::Uuid;

/// One hostile change and the good ones before it.
struct Case {
    name: String,
    id: String,
    base: Vec<u8>,
    bad: Vec<u8>,
}

fn cases(dir: &Path, kind: &str) -> Vec<Case> {
    let entries = std::fs::read_dir(dir.join(kind)).unwrap().map(|e| e.unwrap().path());
    let mut bad: Vec<_> = entries.filter(|p| p.extension().is_some_and(|e| e == "bad")).collect();
    bad.sort();
    bad.into_iter()
        .map(|path| Case {
            name: format!("{kind}/{}", path.file_stem().unwrap().to_string_lossy()),
            id: Uuid::new_v4().to_string(),
            // A bomb stands alone: a good change goes before it.
            base: std::fs::read(path.with_extension("base")).unwrap_or_else(|_| good_change()),
            bad: std::fs::read(&path).unwrap(),
        })
        .collect()
}

fn good_change() -> Vec<u8> {
    foreign_change(&mut AutoCommit::new(), "good", 1, None)
}

/// Runs a command to its end, and tells its time and its most memory in KiB.
fn watched(client: &Client, words: &[&str]) -> (Ran, Duration, u64) {
    let began = Instant::now();
    let mut command = client.command(words);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = Proc::new(command.spawn().unwrap());
    let mut peak = 0;
    // Its output is small: it fits into the pipes.
    while process.is_alive() {
        peak = peak.max(process.peak_kib());
        std::thread::sleep(Duration::from_millis(1));
    }
    let took = began.elapsed();
    let read = |stream: Option<&mut dyn std::io::Read>| {
        let mut bytes = Vec::new();
        stream.unwrap().read_to_end(&mut bytes).unwrap();
        bytes
    };
    let stdout = read(process.child.stdout.as_mut().map(|s| s as _));
    let stderr = read(process.child.stderr.as_mut().map(|s| s as _));
    let status = process.child.wait().unwrap();
    (Ran::of(std::process::Output { status, stdout, stderr }, words), took, peak)
}

fn documents(client: &Client) -> HashMap<String, Value> {
    let ran = client.run(&["status", "--json"]);
    assert!([0, 5].contains(&ran.code), "{ran:#?}");
    let status: Value = serde_json::from_str(&ran.stdout).unwrap();
    let documents = status["documents"].as_array().unwrap().clone();
    documents.into_iter().map(|d| (d["id"].as_str().unwrap().to_owned(), d)).collect()
}

/// The edit that was made after the hostile change is in the document.
fn assert_edited(client: &Client, case: &Case) {
    let read = client.run(&["get", &case.id, "/edited"]);
    assert_eq!((read.code, read.stdout.trim()), (0, "true"), "{} can be edited: {read:#?}", case.name);
}

#[test]
fn hostile_changes_in_a_log_stop_neither_server_nor_client_nor_other_documents() {
    let Some(dir) = corpus() else { return };
    let place = Place::new();
    let mut server = Server::start(place.path("server.db"));
    let ada = Client::new(place.path("ada.db")).with_server(&server.url);
    let good = ada.ok(&["new"]).trim().to_owned();
    ada.ok(&["set", &good, "/a", "1"]);
    let ben = Client::new(place.path("ben.db")).with_server(&server.url);
    let kinds: Vec<(&str, Vec<Case>)> =
        ["harmless", "panics", "poison"].into_iter().map(|kind| (kind, cases(&dir, kind))).collect();
    for (kind, cases) in &kinds {
        let mut refused = 0;
        for case in cases {
            if !case.base.is_empty() {
                let answer = push(&server.url, &case.id, case.base.clone());
                assert_eq!((answer.status, &answer.json()["rejected"]), (200, &json!([])), "{}", case.name);
            }
            let answer = push(&server.url, &case.id, case.bad.clone());
            assert!([200, 413, 422].contains(&answer.status), "{}: {answer:?}", case.name);
            let taken = answer.status == 200 && answer.json()["rejected"] == json!([]);
            assert!(taken || *kind != "harmless", "{} is refused: {}", case.name, answer.json());
            refused += usize::from(!taken);
            ben.ok(&["join", &case.id]);
        }
        println!("{kind}: {} cases, {refused} refused by the server's fence", cases.len());
    }
    ada.ok(&["sync"]);
    ben.ok(&["join", &good]);
    let (ran, took, peak) = watched(&ben, &["sync"]);
    println!("a client syncs them all: {:.1} s, {} MiB", took.as_secs_f64(), peak / 1024);
    assert!([0, 5].contains(&ran.code), "{ran:#?}");
    assert!(server.process.is_alive(), "the server stays up:\n{}", server.log());
    assert_eq!(ben.get(&good), json!({"a": 1}), "another document is in step");
    let documents = documents(&ben);
    for (kind, cases) in &kinds {
        let quarantined = |c: &&Case| documents[&c.id]["quarantined"].as_u64().unwrap_or(0) > 0;
        println!("{kind}: {} documents with a quarantined change", cases.iter().filter(quarantined).count());
        for case in cases {
            assert!(*kind != "harmless" || !quarantined(&case), "{} is quarantined", case.name);
            ben.ok(&["set", &case.id, "/edited", "true"]);
        }
    }
    let ran = ben.run(&["sync"]);
    assert!([0, 5].contains(&ran.code), "{ran:#?}");
    for case in kinds.iter().flat_map(|(_, cases)| cases) {
        assert_edited(&ben, case);
        // Nothing hostile keeps what was written afterwards from anybody.
        let url = format!("{}/v1/documents/{}", server.url, case.id);
        assert_eq!(get(&url, "application/json").json()["edited"], true, "{}", case.name);
    }
    assert_eq!(ben.queued(), 0, "everything written afterwards was taken");
    assert!(server.process.is_alive(), "the server stays up:\n{}", server.log());
}

#[test]
fn bombs_are_refused_quickly_and_cheaply() {
    let Some(dir) = corpus() else { return };
    let place = Place::new();
    let mut server = Server::start(place.path("server.db"));
    for case in cases(&dir, "bombs") {
        push(&server.url, &case.id, case.base.clone());
        let before = server.process.resident_kib();
        let began = Instant::now();
        let answer = push(&server.url, &case.id, case.bad.clone());
        let took = began.elapsed();
        let grown = server.process.peak_kib().saturating_sub(before) / 1024;
        let code = answer.json()["rejected"][0]["code"].as_str().map(str::to_owned);
        let code = code.or_else(|| answer.json()["code"].as_str().map(str::to_owned));
        println!(
            "{}: {} {code:?} in {:.1} ms, {grown} MiB more",
            case.name,
            answer.status,
            took.as_secs_f64() * 1e3
        );
        assert!(code.is_some(), "{} is refused: {answer:?}", case.name);
        assert!(took < Duration::from_secs(1), "{}: {took:?}", case.name);
        assert!(grown < 64, "{}: {grown} MiB", case.name);
    }
    assert!(server.process.is_alive());
}

/// A server that hands out exactly what a good one would refuse.
fn hostile_server(cases: &[Case]) -> String {
    let logs: HashMap<String, Vec<u8>> =
        cases.iter().map(|c| (c.id.clone(), [c.base.as_slice(), &c.bad].concat())).collect();
    impostor(move |asked| {
        let mut parts = asked.path.split(['/', '?']).skip(3);
        let (id, resource) = (parts.next().unwrap_or_default(), parts.next());
        match (asked.method.as_str(), resource, logs.get(id)) {
            ("GET", Some("changes"), Some(log)) => {
                let known = asked.path.contains("after=");
                let body = if known { Vec::new() } else { log.clone() };
                let cursor = "9.0123456789abcdef".to_owned();
                (
                    200,
                    "application/vnd.automerge",
                    body,
                    vec![("rejoin-cursor", cursor.clone()), ("rejoin-end", cursor)],
                )
            }
            _ => (
                404,
                "application/problem+json",
                br#"{"code":"not-found","status":404,"title":"none"}"#.to_vec(),
                vec![],
            ),
        }
    })
}

#[test]
fn a_hostile_server_cannot_harm_a_client() {
    let Some(dir) = corpus() else { return };
    let place = Place::new();
    let server = Server::start(place.path("server.db"));
    let all: Vec<Case> =
        ["panics", "poison", "bombs"].into_iter().flat_map(|kind| cases(&dir, kind)).collect();
    let hostile = hostile_server(&all);
    let ada = Client::new(place.path("ada.db")).with_server(&server.url);
    let good = ada.ok(&["new"]).trim().to_owned();
    ada.ok(&["set", &good, "/a", "1"]);
    ada.ok(&["sync"]);
    // No server for the run: each document has its own.
    let ben = Client::new(place.path("ben.db"));
    ben.ok(&["join", &format!("{}/v1/documents/{good}", server.url)]);
    for case in &all {
        ben.ok(&["join", &format!("{hostile}/v1/documents/{}", case.id)]);
    }
    let (ran, took, peak) = watched(&ben, &["sync", "--timeout", "10s"]);
    println!(
        "{} hostile documents: {:.1} s, {} MiB, exit {}",
        all.len(),
        took.as_secs_f64(),
        peak / 1024,
        ran.code
    );
    assert_eq!(ran.code, 5, "something needs a person: {ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    assert!(took < Duration::from_secs(60), "{took:?}");
    assert!(peak < 512 * 1024, "{peak} KiB");
    assert_eq!(ben.get(&good), json!({"a": 1}), "another document is in step");
    assert_eq!(ben.run(&["status"]).code, 5);
    let documents = documents(&ben);
    let mut free = Vec::new();
    for case in &all {
        if documents[&case.id]["quarantined"].as_u64().unwrap_or(0) == 0 {
            free.push(case.name.as_str());
        }
        ben.ok(&["set", &case.id, "/edited", "true"]);
        assert_edited(&ben, case);
    }
    println!("not quarantined: {free:?}");
    assert!(free.is_empty(), "each change that panics, each poison and each bomb is quarantined");
    ben.check_file();
    // A well-formed good change parses; what is served here is no accident of the harness.
    assert!(Change::from_bytes(good_change()).is_ok());
}
