//! Real people typing, from end to end.

use std::time::Instant;

use rejoin_tests::{
    friends_stage::Stage,
    harness::{Client, Place, Server, traces},
    traces::{Patch, Trace, splice_line},
};

fn lines<'a>(patches: impl Iterator<Item = &'a Patch>) -> Vec<u8> {
    patches.map(|patch| splice_line("/text", patch)).collect::<String>().into_bytes()
}

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let began = Instant::now();
    let result = work();
    println!("automerge-paper: {what}: {:.1} s", began.elapsed().as_secs_f64());
    result
}

/// 259,778 edits, one change each: the first half by one client, the second by another, both through the shell.
#[test]
fn a_paper_written_by_two_clients_reads_as_it_was_written() {
    let Some(dir) = traces() else { return };
    let trace = Trace::read(&dir, "automerge-paper");
    let patches: Vec<Patch> = trace.patches().cloned().collect();
    let (first, second) = patches.split_at(patches.len() / 2);
    let place = Place::new();
    let server = Server::start(place.path("server.db"));
    let a = Client::new(place.path("a.db")).with_server(&server.url);
    let b = Client::new(place.path("b.db")).with_server(&server.url);
    let doc = a.ok(&["new"]).trim().to_owned();
    let apply = |client: &Client, patches: &[Patch]| {
        let ran = client.run_with(&["apply", &doc, "--json"], &lines(patches.iter())).expect(0);
        let summary: serde_json::Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!(summary["applied"], patches.len());
    };
    timed("A applies the first half offline", || apply(&a, first));
    assert_eq!(a.queued(), first.len() as i64);
    timed("A syncs", || a.ok(&["sync"]));
    timed("B joins and syncs", || {
        b.ok(&["join", &doc]);
        b.ok(&["sync"]);
    });
    timed("B applies the second half offline", || apply(&b, second));
    timed("B syncs", || b.ok(&["sync"]));
    timed("A syncs again", || a.ok(&["sync"]));
    for client in [&a, &b] {
        let text = timed("a client reads the text", || client.json(&["get", &doc, "/text"]));
        assert!(text == trace.end_content, "the text is the paper");
        assert_eq!(client.queued(), 0);
        assert_eq!(client.sql("SELECT count(*) FROM history"), patches.len() as i64);
    }
    println!(
        "automerge-paper: the server's peak memory: {:.0} MiB",
        server.process.peak_kib() as f64 / 1024.0
    );
}

/// Two people typing at once: each sees at each moment exactly what they saw then.
#[test]
fn two_friends_typing_see_what_they_saw_and_end_where_they_ended() {
    let Some(dir) = traces() else { return };
    let trace = Trace::read(&dir, "friendsforever");
    let began = Instant::now();
    Stage::new(env!("CARGO_BIN_EXE_typist"), None).play(&trace);
    println!("friendsforever: {:.1} s", began.elapsed().as_secs_f64());
}
