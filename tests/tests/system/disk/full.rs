//! A disk without room, by a limit that the system enforces: on the client, and on the server.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use rejoin_tests::harness::{
    Client, Limit, Place, Ran, Server, binaries, foreign_change, get, limited, push, skipped, unlimit,
};
use serde_json::json;

fn lines(n: usize) -> Vec<u8> {
    let line = |i| format!("{{\"type\":\"insert\",\"path\":\"/list/-\",\"value\":\"item number {i}\"}}\n");
    (0..n).map(line).collect::<String>().into_bytes()
}

/// Whether a limit bites here at all.
fn limits_work(place: &Place) -> bool {
    let mut command = limited("head".as_ref(), Limit::FileKib(4));
    let file = std::fs::File::create(place.path("probe")).unwrap();
    let status = command.args(["-c", "100000", "/dev/zero"]).stdout(file).stderr(Stdio::null()).status();
    let works = status.is_ok_and(|s| !s.success());
    if !works {
        skipped("a full disk", "ulimit does not limit files here");
    }
    works
}

#[test]
fn a_client_on_a_full_disk_acknowledges_nothing_that_is_not_there_and_goes_on_when_there_is_room() {
    let place = Place::new();
    if !limits_work(&place) {
        return;
    }
    let client = Client::new(place.path("store.db"));
    let doc = client.ok(&["new"]).trim().to_owned();
    let words = ["apply", &doc, "--ack", "--batch", "50"];
    let mut command = client.prepare(limited(binaries().rejoin.as_os_str(), Limit::FileKib(600)), &words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let writer = std::thread::spawn(move || drop(stdin.write_all(&lines(20_000))));
    let ran = Ran::of(child.wait_with_output().unwrap(), &words).expect(1);
    writer.join().unwrap();
    assert!(ran.stderr.contains("error: "), "{ran:#?}");
    assert!(ran.stderr.to_lowercase().contains("disk"), "it says what is the matter: {}", ran.stderr);
    let acks: Vec<&str> = ran.stdout.lines().collect();
    assert!(!acks.is_empty() && acks.len() < 20_000, "{}", acks.len());
    client.check_file();
    let held = client.sql("SELECT count(*) FROM history");
    assert_eq!(held, acks.len() as i64, "what was acknowledged is there, and nothing else");
    assert_eq!(client.queued(), held);
    let list = client.json(&["get", &doc, "/list"]);
    assert_eq!(list.as_array().map(Vec::len), Some(acks.len()));
    // There is room again.
    let ran = client.run_with(&["apply", &doc, "--ack"], &lines(500)).expect(0);
    assert_eq!(ran.stdout.lines().count(), 500);
    assert_eq!(client.queued(), held + 500);
}

#[test]
fn a_server_on_a_full_disk_acknowledges_nothing_and_goes_on_when_there_is_room() {
    let place = Place::new();
    if !limits_work(&place) {
        return;
    }
    let command: Command = limited(binaries().server.as_os_str(), Limit::FileKib(600));
    let mut server = Server::start_with(command, &place.path("server.db"), &[]);
    let client = Client::new(place.path("store.db")).with_server(&server.url);
    let doc = client.ok(&["new"]).trim().to_owned();
    client.run_with(&["apply", &doc], &lines(20_000)).expect(0);
    let ran = client.run(&["sync", "--timeout", "3s"]);
    assert!([1, 3].contains(&ran.code), "{ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    assert!(server.process.is_alive(), "the server stays up:\n{}", server.log());
    let waiting = client.queued();
    assert!(waiting > 0);
    let raw = push(&server.url, &doc, big_change());
    assert_eq!((raw.status, &raw.json()["code"]), (503, &json!("unavailable")), "{:?}", raw.json());
    assert!(raw.header("retry-after").is_some(), "{raw:?}");
    // Nothing that left the queue is missing from the log.
    let log = get(&format!("{}/v1/documents/{doc}/changes", server.url), "*/*");
    assert!([200, 404, 503].contains(&log.status), "{log:?}");
    if unlimit(server.process.id()) {
        println!("there is room again under the running server");
    } else {
        server = restarted(server);
    }
    let client = client.with_server(&server.url);
    client.ok(&["sync", "--timeout", "60s"]);
    assert_eq!(client.queued(), 0);
    let other = Client::new(place.path("other.db")).with_server(&server.url);
    other.ok(&["join", &doc]);
    other.ok(&["sync"]);
    assert_eq!(other.get(&doc), client.get(&doc));
    assert_eq!(other.json(&["get", &doc, "/list"]).as_array().map(Vec::len), Some(20_000));
}

fn restarted(server: Server) -> Server {
    let database = server.database.clone();
    drop(server);
    Server::start(database)
}

/// A change of a document of its own, which is new to every log, and larger than what may be left of the room.
fn big_change() -> Vec<u8> {
    foreign_change(&mut automerge::AutoCommit::new(), "big", noise(700_000), None)
}

/// Bytes that no compression makes small.
fn noise(n: usize) -> Vec<u8> {
    let mut state = 1_u64;
    let mut draw = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..n).map(|_| draw()).collect()
}
