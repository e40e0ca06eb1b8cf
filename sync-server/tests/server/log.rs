//! The rules on a log in memory: what is stored, refused and answered.

use crate::support::{Writer, changes, hashes, json, pull, push, written_again};
use automerge::ActorId;
use rejoin::{
    Cursor, DocumentId,
    fence::RefusalCode,
    rewrite,
    wire::{CHANGES, JSON, MissingReply, Problem, PushReply, Request, Response},
};
use rejoin_server::{LogStore, ServerLimits, respond};

struct Server {
    log: LogStore,
    limits: ServerLimits,
}

impl Server {
    fn new() -> Self {
        Self { log: LogStore::open_in_memory().unwrap(), limits: ServerLimits::default() }
    }

    fn ask(&mut self, request: &Request) -> Response {
        respond(&mut self.log, &self.limits, request, 0)
    }

    fn push(&mut self, document: DocumentId, after: Option<&Cursor>, body: &[u8]) -> Response {
        self.ask(&push(document, after, body))
    }
}

fn code(response: &Response) -> (u16, String) {
    (response.status, json::<Problem>(response).code)
}

#[test]
fn what_was_pushed_is_pulled_in_log_order() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let body = ada.many(10);
    let pushed = server.push(document, None, &body);
    assert_eq!((pushed.status, pushed.accepted, pushed.duplicate), (200, Some(10), Some(0)));
    assert_eq!(pushed.media_type, CHANGES);
    assert!(pushed.body.is_empty() && !pushed.more);
    assert_eq!(pushed.cursor, pushed.end);
    let pulled = server.ask(&pull(document, None));
    assert_eq!(pulled.body, body);
    assert_eq!(pulled.cursor, pushed.cursor);
    let rest = server.ask(&pull(document, pulled.cursor.as_ref()));
    assert_eq!((rest.body.len(), rest.cursor), (0, pulled.cursor));
}

#[test]
fn a_push_again_changes_nothing_and_its_cursor_covers_it() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let body = Writer::new(1).many(5);
    let first = server.push(document, None, &body);
    let again = server.push(document, None, &body);
    assert_eq!((again.accepted, again.duplicate), (Some(0), Some(5)));
    assert_eq!((again.cursor, again.end), (first.cursor, first.end));
    assert_eq!(server.ask(&pull(document, None)).body, body);
    let twice_in_one = server.push(document, None, &[body.clone(), body].concat());
    assert_eq!(twice_in_one.duplicate, Some(10));
}

#[test]
fn a_push_answers_with_what_the_client_lacks_and_not_with_what_it_sent() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let base = ada.set("base", 1);
    let start = server.push(document, None, &base).cursor;
    let mut bob = ada.fork(2);
    let theirs = bob.many(3);
    server.push(document, start.as_ref(), &theirs);
    let mine = ada.many(2);
    let reply = server.push(document, start.as_ref(), &mine);
    assert_eq!(reply.body, theirs);
    assert_eq!((reply.cursor.clone(), reply.more), (reply.end.clone(), false));
    assert_eq!(server.ask(&pull(document, reply.cursor.as_ref())).body, b"");
}

#[test]
fn a_page_ends_at_its_limits_and_its_cursor_goes_on() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let base = ada.many(7);
    server.push(document, None, &base);
    let mut bob = Writer::new(2);
    let mine = bob.many(2);
    let request = Request::Push { document, after: None, limit: Some(3), body: mine.clone().into() };
    let mut reply = server.ask(&request);
    assert!(reply.more);
    let mut read = reply.body.clone();
    assert_eq!(hashes(&read).len(), 3);
    while reply.more {
        let request = Request::Pull { document, after: reply.cursor.clone(), limit: Some(3) };
        reply = server.ask(&request);
        read.extend_from_slice(&reply.body);
    }
    // A client that only reads has its own again: a duplicate costs nothing.
    assert_eq!(read, [base, mine].concat());
    server.limits.page_bytes = 1;
    assert_eq!(hashes(&server.ask(&pull(document, None)).body).len(), 1, "one at least");
}

#[test]
fn the_cursor_of_a_json_reply_moves_only_over_what_was_carried() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let base = ada.set("base", 1);
    let start = server.push(document, None, &base).cursor;
    let mut bob = ada.fork(2);
    let theirs = bob.set("b", 1);
    server.push(document, start.as_ref(), &theirs);
    let mine = ada.set("a", 1);
    // A rejected one makes the reply JSON.
    let mut orphan = Writer::new(9);
    orphan.set("x", 1);
    let bad = orphan.set("x", 2);
    let reply = server.push(document, start.as_ref(), &[mine, bad].concat());
    assert_eq!(reply.media_type, JSON);
    let body: PushReply = json(&reply);
    assert_eq!(body.cursor, start.map(|c| c.to_string()));
    assert!(body.end.unwrap().starts_with("3."));
    assert_eq!((body.accepted, body.duplicate, body.heads.len()), (1, 0, 2));
    assert_eq!(body.rejected.len(), 1);
    assert_eq!(body.rejected[0].code, RefusalCode::MissingDependency);
    assert_eq!(body.rejected[0].missing.len(), 1);
}

#[test]
fn the_good_part_of_a_batch_is_stored_and_the_bad_part_named() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let good = [ada.set("a", 1), ada.set("b", 2)].concat();
    let mut broken = Writer::new(3).set("c", 3);
    broken[4] ^= 0xff;
    let whole = ada.fork(8).0.save();
    let mut orphan = Writer::new(4);
    orphan.set("x", 1);
    let (missing, of_missing) = (orphan.set("x", 2), orphan.set("x", 3));
    let body = [broken, whole, missing, of_missing, good.clone()].concat();
    let reply: PushReply = json(&server.push(document, None, &body));
    let codes: Vec<_> = reply.rejected.iter().map(|r| r.code).collect();
    use RefusalCode::{Checksum, MissingDependency, NotAChange};
    assert_eq!(codes, [Checksum, NotAChange, MissingDependency, MissingDependency]);
    assert_eq!(reply.accepted, 2);
    assert_eq!(server.ask(&pull(document, None)).body, good);
}

#[test]
fn a_fork_is_named_and_the_document_stays_writable() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let base = ada.set("base", 1);
    let mut copy = ada.fork(1);
    let first = ada.set("a", 1);
    let other = copy.set("a", 2);
    let other_hash = copy.hash().to_string();
    server.push(document, None, &[base, first].concat());
    let good = Writer::new(5).set("z", 1);
    let reply: PushReply = json(&server.push(document, None, &[other, good].concat()));
    assert_eq!((reply.accepted, reply.rejected.len()), (1, 1));
    assert_eq!(reply.rejected[0].code, RefusalCode::ActorFork);
    assert_eq!(reply.rejected[0].hash, other_hash);
    assert_eq!(reply.rejected[0].stands, None, "no other spelling of it is held");
    assert_eq!(server.push(document, None, &ada.set("more", 1)).accepted, Some(1));
}

#[test]
fn a_change_does_not_enter_in_two_spellings() {
    for rewritten_first in [true, false] {
        let (mut server, document) = (Server::new(), DocumentId::random());
        let mut old = Writer::new(1);
        let old_bytes = old.set("a", 1);
        let new_bytes = written_again(&old_bytes);
        let (first, second) = if rewritten_first { (new_bytes, old_bytes) } else { (old_bytes, new_bytes) };
        let refused = hashes(&second)[0];
        assert_eq!(server.push(document, None, &first).accepted, Some(1));
        let reply: PushReply = json(&server.push(document, None, &second));
        assert_eq!(reply.rejected[0].code, RefusalCode::ActorFork);
        assert_eq!(reply.rejected[0].hash, refused.to_string());
        assert_eq!(reply.rejected[0].stands, Some(hashes(&first)[0].to_string()), "it says which one stands");
        // Both in one push, too.
        let both: PushReply = json(&server.push(DocumentId::random(), None, &[first, second].concat()));
        assert_eq!((both.accepted, both.rejected.len()), (1, 1));
    }
}

#[test]
fn a_change_does_not_enter_in_two_rewritten_spellings() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut old = Writer::new(1);
    let made = changes(&[old.set("a", 1), old.set("b", 1)].concat());
    let losers = [made[0].hash()].into();
    let in_line = rewrite::rewrite(&made, &losers).unwrap();
    let apart = rewrite::rewrite_with_aliases(&made, &losers, &[], &[made[1].hash()].into()).unwrap();
    assert_eq!(in_line[0], apart[0]);
    let (before, one, two) = (in_line[0].bytes.clone(), in_line[1].bytes.clone(), apart[1].bytes.clone());
    server.push(document, None, &before);
    assert_eq!(server.push(document, None, &one).accepted, Some(1));
    assert_eq!(server.push(document, None, &one).duplicate, Some(1));
    let reply: PushReply = json(&server.push(document, None, &two));
    assert_eq!(reply.rejected[0].code, RefusalCode::ActorFork);
    assert!(reply.rejected[0].detail.contains(&hashes(&one)[0].to_string()));
    assert_eq!(reply.rejected[0].stands, Some(hashes(&one)[0].to_string()));
    let both: PushReply = json(&server.push(DocumentId::random(), None, &[before, one, two].concat()));
    assert_eq!((both.accepted, both.rejected.len()), (2, 1));
}

/// A claim (`was`) that is not proved: "the server refuses nothing because of it" (PROTOCOL.md).
#[test]
fn a_claim_that_is_not_proved_refuses_nothing() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut old = Writer::new(1);
    let made = old.set("a", 1);
    let message = format!(r#"{{"a":"set","was":"{}"}}"#, old.hash());
    let lie = |writer: u8| Writer::new(writer).set_with("a", 1, Some(&message));
    assert_eq!(server.push(document, None, &lie(2)).accepted, Some(1));
    assert_eq!(server.push(document, None, &made).accepted, Some(1));
    assert_eq!(server.push(document, None, &lie(3)).accepted, Some(1));
}

#[test]
fn a_cursor_proves_itself_also_against_a_restored_log_that_has_grown_past_it() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    server.push(document, None, &ada.many(5));
    let backup = server.log.copy_in_memory().unwrap();
    let cursor = server.push(document, None, &ada.many(2)).cursor;
    server.log = backup;
    let stale = server.ask(&pull(document, cursor.as_ref()));
    assert_eq!(code(&stale), (409, "cursor-unknown".to_owned()));
    let mut bob = Writer::new(2);
    server.push(document, None, &bob.many(9));
    assert_eq!(code(&server.ask(&pull(document, cursor.as_ref()))), (409, "cursor-unknown".to_owned()));
    let more = ada.many(1);
    let refused = server.push(document, cursor.as_ref(), &more);
    assert_eq!(code(&refused), (409, "cursor-unknown".to_owned()));
    assert!(!server.ask(&pull(document, None)).body.ends_with(&more), "nothing is stored");
    server.log = LogStore::open_in_memory().unwrap();
    assert_eq!(code(&server.push(document, cursor.as_ref(), &more)).0, 409, "wiped");
    assert_eq!(code(&server.ask(&pull(document, cursor.as_ref()))).0, 404);
}

#[test]
fn a_bare_number_is_taken_within_the_log() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let body = Writer::new(1).many(3);
    server.push(document, None, &body);
    let ask = |server: &mut Server, text: &str| server.ask(&pull(document, Cursor::parse(text).as_ref()));
    assert_eq!(hashes(&ask(&mut server, "2").body).len(), 1);
    assert_eq!(ask(&mut server, "0").body, body);
    for unknown in ["4", "2.00", "x", "02", "1-1"] {
        assert_eq!(code(&ask(&mut server, unknown)).1, "cursor-unknown", "{unknown}");
    }
}

#[test]
fn a_tombstone_stays_and_nothing_comes_back() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    server.push(document, None, &ada.many(3));
    for _ in 0..2 {
        assert_eq!(server.ask(&Request::Delete { document }).status, 204);
    }
    let gone = (410, "deleted".to_owned());
    assert_eq!(code(&server.push(document, None, &ada.many(1))), gone);
    assert_eq!(code(&server.ask(&pull(document, None))), gone);
    assert_eq!(code(&server.ask(&Request::Missing { document, hashes: vec![] })), gone);
    let never = DocumentId::random();
    assert_eq!(server.ask(&Request::Delete { document: never }).status, 204);
    assert_eq!(code(&server.push(never, None, &ada.many(1))), gone);
}

#[test]
fn missing_names_what_the_log_lacks() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    let pushed = server.push(document, None, &ada.set("a", 1));
    let held = ada.hash();
    ada.set("b", 1);
    let lacking = ada.hash();
    let ask = Request::Missing { document, hashes: vec![held, lacking] };
    let reply = server.ask(&ask);
    let body: MissingReply = json(&reply);
    assert_eq!((body.hashes, body.heads), (vec![lacking.to_string()], vec![held.to_string()]));
    assert_eq!(reply.cursor, pushed.cursor);
    let nowhere = Request::Missing { document: DocumentId::random(), hashes: vec![held] };
    let nowhere = server.ask(&nowhere);
    assert_eq!((nowhere.status, nowhere.cursor.clone()), (200, None));
    assert_eq!(json::<MissingReply>(&nowhere).hashes, [held.to_string()]);
    server.limits.missing_hashes = 1;
    assert_eq!(code(&server.ask(&ask)), (413, "too-large".to_owned()));
}

#[test]
fn a_body_that_cannot_be_framed_stores_nothing() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let body = Writer::new(1).many(3);
    for cut in (1..body.len()).filter(|cut| cut % (body.len() / 3) != 0) {
        let reply = server.push(document, None, &body[..cut]);
        if reply.status == 200 {
            // The cut fell between two changes: the first ones are whole.
            server.log = LogStore::open_in_memory().unwrap();
            continue;
        }
        assert_eq!(code(&reply), (422, "malformed".to_owned()), "cut at {cut}");
        assert_eq!(server.ask(&pull(document, None)).status, 404);
    }
    server.limits.push_changes = 2;
    assert_eq!(code(&server.push(document, None, &body)), (413, "too-large".to_owned()));
}

#[test]
fn a_document_begins_with_its_first_change() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let empty = server.push(document, None, b"");
    assert_eq!((empty.status, empty.accepted, empty.cursor, empty.end), (200, Some(0), None, None));
    let mut orphan = Writer::new(4);
    orphan.set("x", 1);
    assert_eq!(server.push(document, None, &orphan.set("x", 2)).status, 200);
    assert_eq!(code(&server.ask(&pull(document, None))), (404, "not-found".to_owned()));
}

#[test]
fn orphans_are_each_named_and_not_stored() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    let mut ada = Writer::new(1);
    ada.set("lost", 1);
    let body = ada.many(5_000);
    let reply: PushReply = json(&server.push(document, None, &body));
    assert_eq!((reply.accepted, reply.rejected.len()), (0, 5_000));
    assert!(reply.rejected.iter().all(|r| r.code == RefusalCode::MissingDependency));
    assert_eq!(server.ask(&pull(document, None)).status, 404);
}

#[test]
fn actors_of_any_length_keep_their_sequences_apart() {
    let (mut server, document) = (Server::new(), DocumentId::random());
    for actor in [vec![], vec![1], vec![1, 2], vec![7; 64]] {
        let mut writer = Writer::new(0);
        writer.0.set_actor(ActorId::from(actor));
        assert_eq!(server.push(document, None, &writer.many(2)).accepted, Some(2));
    }
}

#[test]
fn a_database_of_the_first_schema_finds_its_changes_after_the_upgrade() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("server.db");
    let limits = ServerLimits::default();
    let document = DocumentId::random();
    let body = Writer::new(1).many(40);
    let mut log = LogStore::open(&path).unwrap();
    respond(&mut log, &limits, &push(document, None, &body), 0);
    drop(log);
    // As the first schema had it: 40 bits of the hash, and no stretches.
    let old = rusqlite::Connection::open(&path).unwrap();
    old.execute("UPDATE change SET lookup = id >> 40 << 40", []).unwrap();
    old.execute_batch(
        "DROP TABLE token_document; DROP TABLE token; DROP TABLE pack; DROP TABLE rewritten; DROP TABLE verified; DROP TABLE quarantine;
         DROP TABLE subject_document; DROP TABLE pushed; DROP TABLE pusher; DROP TABLE reach;
         ALTER TABLE document DROP COLUMN purged_at;
         CREATE TABLE old_head (id INTEGER PRIMARY KEY REFERENCES change (id)) STRICT;
         INSERT INTO old_head SELECT id FROM head; DROP TABLE head; ALTER TABLE old_head RENAME TO head;",
    )
    .unwrap();
    old.pragma_update(None, "user_version", 1).unwrap();
    drop(old);
    let mut log = LogStore::open(&path).unwrap();
    let again = respond(&mut log, &limits, &push(document, None, &body), 0);
    assert_eq!((again.accepted, again.duplicate), (Some(0), Some(40)));
    let question = Request::Missing { document, hashes: Vec::new() };
    let missing: MissingReply = json(&respond(&mut log, &limits, &question, 0));
    assert_eq!(missing.heads, [hashes(&body)[39].to_string()], "heads bear their hashes now");
}
