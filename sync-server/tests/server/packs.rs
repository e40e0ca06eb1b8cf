//! Logs that are packed answer as those in rows do.

use std::path::Path;

use crate::support::{Writer, hashes, json, pull, push, written_again};
use rejoin::{
    ChangeHash, Cursor, DocumentId,
    fence::{self, RefusalCode},
    wire::{MissingReply, PushReply, Request, Response},
};
use rejoin_server::{LogStore, Purged, ServerLimits, doctor, purge, respond};

struct Server {
    log: LogStore,
    limits: ServerLimits,
    directory: tempfile::TempDir,
}

impl Server {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let log = LogStore::open(&directory.path().join("log.db")).unwrap();
        Self { log, limits: ServerLimits::default(), directory }
    }

    fn ask(&mut self, request: &Request) -> Response {
        respond(&mut self.log, &self.limits, request, 0)
    }

    fn push(&mut self, document: DocumentId, after: Option<&Cursor>, body: &[u8]) -> Response {
        self.ask(&push(document, after, body))
    }

    fn missing(&mut self, document: DocumentId, hashes: Vec<ChangeHash>) -> MissingReply {
        json(&self.ask(&Request::Missing { document, hashes }))
    }

    fn database(&self) -> rusqlite::Connection {
        rusqlite::Connection::open(self.directory.path().join("log.db")).unwrap()
    }

    fn count(&self, table: &str) -> u64 {
        let sql = format!("SELECT count(*) FROM {table}");
        self.database().query_row(&sql, [], |row| row.get::<_, i64>(0)).unwrap() as u64
    }

    fn healthy(&self) {
        let diagnosis = doctor(&self.directory.path().join("log.db")).unwrap();
        assert_eq!(diagnosis.findings, Vec::<String>::new());
    }
}

/// Three writers who merge now and then, and a change that was written again: `n` changes and more.
fn busy(n: i64) -> Vec<u8> {
    let mut ada = Writer::new(1);
    let mut body = ada.many(5);
    let mut others = [ada.fork(2), ada.fork(3)];
    body.extend(written_again(&Writer::new(4).set("w", 1)));
    let mut count = 6;
    while count < n {
        body.extend(ada.many(7));
        for other in &mut others {
            body.extend(other.many(3));
        }
        let [bob, eve] = &mut others;
        ada.0.merge(&mut bob.0).unwrap();
        bob.0.merge(&mut eve.0).unwrap();
        count += 13;
    }
    body
}

/// A server that holds this, packed, with this many changes that came after.
fn packed(body: &[u8], after: &[u8]) -> (Server, DocumentId) {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let all = hashes(body).len() as u64;
    assert_eq!(server.push(document, None, body).accepted, Some(all));
    let compacted = server.log.compact(2).unwrap();
    assert_eq!(compacted.changes, all);
    assert_eq!(server.count("change"), 0);
    if !after.is_empty() {
        assert!(server.push(document, None, after).accepted.is_some());
    }
    (server, document)
}

/// Every place in a log, read a page at a time.
fn places(server: &mut Server, document: DocumentId, step: u32) -> Vec<(Option<Cursor>, Vec<u8>)> {
    let (mut after, mut places) = (None, Vec::new());
    loop {
        let reply = server.ask(&Request::Pull { document, after: after.clone(), limit: Some(step) });
        places.push((after, reply.body));
        after = reply.cursor;
        if !reply.more {
            return places;
        }
    }
}

#[test]
fn a_packed_log_reads_as_it_did_from_every_cursor() {
    let (body, later) = (busy(10_000), Writer::new(9).many(30));
    let (mut rows, document) = (Server::new(), DocumentId::random());
    rows.push(document, None, &body);
    let (mut packs, other) = packed(&body, &[]);
    let before = places(&mut rows, document, 777);
    assert_eq!(places(&mut packs, other, 777), before, "with the same cursors");
    packs.push(other, None, &later);
    packs.healthy();
    for (after, page) in before {
        let reply = packs.ask(&Request::Pull { document: other, after, limit: Some(777) });
        assert!(reply.body.starts_with(&page));
    }
    assert_eq!(packs.ask(&pull(other, None)).body.len(), rows.ask(&pull(document, None)).body.len());
    // A place that this log never had is still told from one that it has.
    let wrong = Cursor::parse(&format!("50.{}", "0".repeat(32))).unwrap();
    assert_eq!(packs.ask(&pull(other, Some(&wrong))).status, 409);
}

#[test]
fn duplicates_forks_and_dependencies_are_found_in_packs() {
    let mut ada = Writer::new(1);
    let base = ada.many(20);
    let mut clone = ada.fork(1);
    let mut old = ada.fork(7);
    let rest = ada.many(6_000);
    let body = [base, rest].concat();
    let (mut server, document) = packed(&body, &[]);
    let again = server.push(document, None, &body);
    assert_eq!((again.accepted, again.duplicate), (Some(0), Some(6_020)));
    // The second of two clones: the log decides, though its own is in a pack.
    let reply: PushReply = json(&server.push(document, None, &clone.set("fork", 1)));
    assert_eq!(reply.rejected[0].code, RefusalCode::ActorFork);
    // A change that builds on one deep inside the first pack, and one on the head.
    assert_eq!(server.push(document, None, &old.set("on old", 1)).accepted, Some(1));
    assert_eq!(server.push(document, None, &ada.set("on head", 1)).accepted, Some(1));
    let known = hashes(&body);
    let unknown = ChangeHash([0xee; 32]);
    let asked = vec![known[0], unknown, known[4_500], known[6_019]];
    let missing = server.missing(document, asked);
    assert_eq!(missing.hashes, [unknown.to_string()]);
    assert_eq!(missing.heads.len(), 2);
    server.healthy();
    assert_eq!(server.log.compact(1).unwrap().changes, 2);
    server.healthy();
}

#[test]
fn a_walk_to_an_actors_last_change_goes_through_packs() {
    let mut ada = Writer::new(1);
    let first = ada.set("a", 1);
    let mut bob = ada.fork(2);
    let theirs = bob.many(5_000);
    // It names only the head of bob's changes: that ada's own last is below is found by walking.
    ada.0.merge(&mut bob.0).unwrap();
    let next = ada.set("b", 1);
    let (mut server, document) = packed(&[first, theirs].concat(), &[]);
    assert_eq!(server.push(document, None, &next).accepted, Some(1));
    server.healthy();
}

#[test]
fn a_change_in_a_pack_stands_against_its_other_spellings() {
    let mut old = Writer::new(1);
    let old_bytes = old.set("a", 1);
    let new_bytes = written_again(&old_bytes);
    for (first, second) in [(&new_bytes, &old_bytes), (&old_bytes, &new_bytes)] {
        let body = [first.clone(), Writer::new(5).many(10)].concat();
        let (mut server, document) = packed(&body, &[]);
        let reply: PushReply = json(&server.push(document, None, second));
        assert_eq!(reply.rejected[0].stands, Some(hashes(first)[0].to_string()));
        server.healthy();
    }
}

#[test]
fn a_log_that_grows_by_little_is_packed_again_and_does_not_fall_into_small_packs() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let (mut ada, mut all) = (Writer::new(1), Vec::new());
    for _ in 0..30 {
        let body = ada.many(300);
        server.push(document, None, &body);
        all.extend(body);
        assert_eq!(server.log.compact(1).unwrap().changes, 300);
    }
    assert_eq!(server.count("pack"), 5, "9,000 changes, 2,048 in a pack");
    assert!(server.ask(&pull(document, None)).body == all);
    server.healthy();
    let snapshot = server.ask(&Request::Snapshot { document });
    assert_eq!((snapshot.status, snapshot.cursor), (200, snapshot.end));
}

#[test]
fn large_changes_are_packed_few_at_a_time() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let mut all = Vec::new();
    for number in 0..10 {
        let text: String =
            (0..900_000_u64).map(|i| char::from(b'a' + (i * i % (23 + number)) as u8)).collect();
        automerge::transaction::Transactable::put(&mut ada.0, automerge::ROOT, "large", text).unwrap();
        ada.0.commit();
        all.extend_from_slice(ada.last().raw_bytes());
    }
    assert_eq!(server.push(document, None, &all).accepted, Some(10));
    server.log.compact(1).unwrap();
    assert_eq!((server.count("change"), server.count("pack")), (0, 3));
    server.push(document, None, &ada.many(2));
    server.log.compact(1).unwrap();
    assert_eq!(server.count("pack"), 3, "the last one is short of bytes");
    server.healthy();
}

#[test]
fn a_hundred_thousand_small_changes_take_at_most_sixteen_bytes_each_at_rest() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    for _ in 0..10 {
        let body = ada.many(10_000);
        assert_eq!(server.push(document, None, &body).accepted, Some(10_000));
    }
    let start = std::time::Instant::now();
    server.log.compact(2).unwrap();
    eprintln!("compacted in {:?}", start.elapsed());
    let file = server.directory.path().join("log.db");
    assert_eq!(std::fs::metadata(server.directory.path().join("log.db-wal")).unwrap().len(), 0);
    let each = std::fs::metadata(file).unwrap().len() as f64 / 100_000.0;
    eprintln!("{each:.2} bytes a change at rest, index included");
    assert!(each <= 16.0);
    let one = server.ask(&Request::Pull { document, after: None, limit: Some(1) });
    assert_eq!(fence::frame(&one.body).unwrap().len(), 1);
}

#[test]
fn each_kind_of_damage_to_a_pack_is_found_and_said() {
    for (damage, says) in [
        ("UPDATE pack SET bytes = substr(bytes, 1, length(bytes) - 1)", "cannot be read"),
        ("UPDATE pack SET digest = zeroblob(16)", "other changes"),
        ("UPDATE pack SET before = zeroblob(16) WHERE first > 1", "other changes"),
        ("UPDATE pack SET plain = plain + 1", "other changes"),
        ("UPDATE pack SET prefixes = zeroblob(length(prefixes)) WHERE first = 1", "index"),
        ("UPDATE pack SET outside = x'' WHERE first > 1", "depends on"),
        (
            "UPDATE pack SET outside = CAST(x'70' || substr(outside, 2) AS BLOB) WHERE first > 1",
            "dependencies",
        ),
        ("DELETE FROM pack WHERE first = 1", "does not follow"),
        ("DELETE FROM rewritten", "noted"),
    ] {
        let (server, _) = packed(&[busy(4_090), Writer::new(8).many(100)].concat(), &[]);
        let database = server.database();
        assert!(database.execute(damage, []).unwrap() > 0, "{damage}");
        let findings = doctor(&server.directory.path().join("log.db")).unwrap().findings;
        assert!(findings.iter().any(|finding| finding.contains(says)), "{damage}: {findings:?}");
    }
}

fn holds(directory: &Path, secret: &[u8]) -> bool {
    let files =
        std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
    files.into_iter().any(|bytes| bytes.windows(secret.len()).any(|window| window == secret))
}

#[test]
fn what_is_purged_is_in_no_byte_of_the_database() {
    let (secret, kept) = (b"PURGE-ME-WHOLLY", b"KEEP-ME-PLEASE");
    let mut server = Server::new();
    let (document, other) = (DocumentId::random(), DocumentId::random());
    let path = server.directory.path().join("log.db");
    let write = |actor, text: &[u8]| {
        let mut writer = Writer::new(actor);
        let mut body = writer.many(50);
        body.extend(writer.set(std::str::from_utf8(text).unwrap(), 1));
        body
    };
    server.push(document, None, &write(1, secret));
    server.push(other, None, &write(2, kept));
    assert_eq!(purge(&path, &document, 0).unwrap(), Purged::Alive);
    assert_eq!(purge(&path, &DocumentId::random(), 0).unwrap(), Purged::Unknown);
    // In rows, in free pages that rows left behind, and in rows again.
    server.log.compact(1).unwrap();
    let mut more = Writer::new(3);
    server.push(document, None, &more.set(std::str::from_utf8(secret).unwrap(), 1));
    assert_eq!(server.ask(&Request::Delete { document }).status, 204);
    assert!(holds(server.directory.path(), secret));
    assert_eq!(purge(&path, &document, 0).unwrap(), Purged::Done);
    assert!(!holds(server.directory.path(), secret) && !holds(server.directory.path(), &[1; 16]));
    assert_eq!(purge(&path, &document, 0).unwrap(), Purged::Empty);
    server.healthy();
    for request in
        [pull(document, None), push(document, None, &write(1, secret)), Request::Snapshot { document }]
    {
        assert_eq!(server.ask(&request).status, 410, "the tombstone stays");
    }
    assert_eq!(hashes(&server.ask(&pull(other, None)).body).len(), 51);
}
