//! FAULTS 34: many changes at once that the library cannot take. What was there is served all the same, and honest
//! content that comes after it.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use automerge::{
    ActorId, Automerge, Change, ROOT,
    legacy::{Op, OpId, OpType},
    transaction::Transactable,
};
use rejoin::fence;
use rejoin_tests::harness::{Answer, Client, Place, Server, binaries, get, push};
use serde_json::json;

fn log(server: &Server, id: &str) -> Vec<Change> {
    let url = format!("{}/v1/documents/{id}/changes", server.url);
    let body = get(&url, "application/vnd.automerge").body;
    fence::frame(&body).unwrap().iter().map(|frame| Change::try_from(frame.bytes).unwrap()).collect()
}

/// One that stands on `last`, with its operation spoilt.
fn harmful(nth: u8, last: &Change, spoil: impl Fn(&mut Op)) -> Change {
    let mut doc = Automerge::new().with_actor(ActorId::from(vec![nth; 16]));
    let mut tx = doc.transaction();
    tx.put(ROOT, format!("harm{nth}"), 1).unwrap();
    tx.commit();
    let mut change = doc.get_last_local_change().unwrap().decode();
    spoil(&mut change.operations[0]);
    (change.hash, change.deps) = (None, vec![last.hash()]);
    change.start_op = (last.start_op().get() + last.len() as u64).try_into().unwrap();
    Change::from(change)
}

/// Asks until `holds`; each answer on the way must be one that somebody can work with.
fn ask_until(url: &str, kind: &str, holds: impl Fn(&Answer) -> bool) {
    let began = Instant::now();
    loop {
        let merged = get(url, "application/json");
        assert_eq!(merged.status, 200, "{kind}: {:?}", merged.json());
        assert_eq!(merged.json()["salary"], json!(1000), "{kind}");
        if holds(&merged) {
            return;
        }
        let (verified, end) = (merged.header("rejoin-verified"), merged.header("rejoin-end"));
        assert!(verified != end, "{kind}: what is not shown yet is said not to be verified");
        assert_eq!(merged.header("rejoin-cursor").filter(|cursor| Some(*cursor) == end), None, "{kind}");
        assert!(began.elapsed() < Duration::from_secs(120), "{kind}: it is never shown");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn honest_content_is_served_beside_many_harmful_changes() {
    for kind in ["a predecessor that is none", "an increment of what is no counter"] {
        let place = Place::new();
        let server = Command::new(&binaries().server);
        let server = Server::start_with(server, &place.path("server.db"), &["--snapshot-quiet", "50ms"]);
        let ada = Client::new(place.path("ada.db")).with_server(&server.url);
        let id = ada.ok(&["new", "--name", "team"]).trim().to_owned();
        ada.ok(&["set", "team", "/salary", "1000"]);
        ada.ok(&["insert", "team", "/todos/-", "--string", "one"]);
        ada.ok(&["sync"]);
        let verified = || {
            let sql = rusqlite::Connection::open(place.path("server.db")).unwrap();
            sql.query_row("SELECT count(*) FROM verified", [], |row| row.get::<_, i64>(0)).unwrap() == 1
        };
        let began = Instant::now();
        while !verified() {
            assert!(began.elapsed() < Duration::from_secs(60), "it is never verified");
            std::thread::sleep(Duration::from_millis(20));
        }
        let last = log(&server, &id).pop().unwrap();
        let actor = last.actor_id().clone();
        let spoil = |op: &mut Op| {
            if kind.starts_with("an increment") {
                op.action = OpType::Increment(5);
                op.pred = vec![OpId(1, actor.clone())].into();
            } else {
                op.pred = vec![OpId(77, actor.clone())].into();
            }
        };
        let body: Vec<u8> = (0..60).flat_map(|nth| harmful(nth, &last, spoil).raw_bytes().to_vec()).collect();
        assert_eq!(push(&server.url, &id, body).status, 200);
        let url = format!("{}/v1/documents/{id}", server.url);
        ask_until(&url, kind, |_| true);
        ada.ok(&["set", "team", "/after", "1"]);
        let ran = ada.run(&["sync"]);
        assert!([0, 5].contains(&ran.code), "{ran:#?}");
        ask_until(&url, kind, |merged| merged.json()["after"] == json!(1));
        assert_eq!(ada.get("team"), get(&url, "application/json").json(), "{kind}");
    }
}
