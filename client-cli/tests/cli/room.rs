//! A document has room for so many actors: one member does not use it up, and who finds none is told what to do.

use std::net::SocketAddr;

use automerge::{
    ActorId, AutoCommit, Automerge, ROOT, transaction::CommitOptions, transaction::Transactable as _,
};
use rejoin_server::{Access, Tokens, doctor};
use serde_json::json;

use crate::authors::push;
use crate::environment::{Environment, Person};
use crate::server::{Server, new_token, own_address};

fn start(env: &Environment, address: SocketAddr, actors: u64) -> Server {
    Server::start_with(env.path("server.db"), address, |config| {
        config.limits.document_actors = actors;
    })
}

fn token(env: &Environment, name: &str, access: Access) -> String {
    let new = new_token(name, access);
    Tokens::open(&env.path("server.db")).unwrap().create(&new).unwrap().reveal().to_owned()
}

fn person<'e>(env: &'e Environment, server: &Server, (name, access): (&str, Access)) -> Person<'e> {
    let person = env.person(name);
    person.ok(&["init", "--server", &server.url(), "--author", name]);
    person.run_with(&["init", "--token", "-"], &token(env, name, access)).expect(0);
    person
}

/// Changes without dependencies, each the first of its actor.
fn strangers(count: u8) -> Vec<u8> {
    let change = |nth: u8| {
        let mut doc = AutoCommit::new().with_actor(ActorId::from([nth; 16]));
        doc.put(ROOT, "stranger", i64::from(nth)).unwrap();
        doc.get_last_local_change().unwrap().raw_bytes().to_vec()
    };
    (0..count).flat_map(change).collect()
}

/// The next change under the actor of who made the newest of a document.
fn forged(env: &Environment, person: &Person<'_>) -> Vec<u8> {
    let file = env.path("forged.automerge");
    let _ = std::fs::remove_file(&file);
    person.ok(&["export", "d", file.to_str().unwrap()]);
    let actor = person.json(&["log", "d", "-n", "1"])[0]["actor"].as_str().unwrap().to_owned();
    let mut forger = Automerge::load(&std::fs::read(file).unwrap()).unwrap();
    forger.set_actor(ActorId::try_from(actor.as_str()).unwrap());
    let mut tx = forger.transaction();
    tx.put(ROOT, "forged", 1).unwrap();
    tx.commit_with(CommitOptions::default().with_message("{}"));
    forger.get_last_local_change().unwrap().raw_bytes().to_vec()
}

#[test]
fn whoever_fills_a_document_with_actors_keeps_nobody_out() {
    let env = Environment::new();
    let server = start(&env, own_address(), 24);
    let ada = person(&env, &server, ("ada", Access::Admin));
    let ben = person(&env, &server, ("ben", Access::Write));
    let mallory = token(&env, "mallory", Access::Write);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/ada", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/ben", "1"]);
    ben.ok(&["sync"]);
    let by_ben = forged(&env, &ben);
    let answer = push(&server, (&mallory, &id), &strangers(100));
    assert!(answer.contains("too-many-actors") && answer.contains("--document-actors"), "{answer}");
    // Ben's next number is taken from him: he takes another actor.
    assert!(push(&server, (&mallory, &id), &by_ben).contains("\"accepted\":1"));
    ben.ok(&["set", "d", "/ben", "2"]);
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/ben", "3"]);
    ben.ok(&["sync"]);
    let cleo = person(&env, &server, ("cleo", Access::Write));
    cleo.ok(&["join", &id, "--name", "d"]);
    cleo.ok(&["sync"]);
    cleo.ok(&["set", "d", "/cleo", "1"]);
    cleo.ok(&["sync"]);
    for one in [&ada, &ben, &cleo] {
        one.ok(&["sync"]);
        assert_eq!(one.json(&["queue"]), json!([]));
    }
    let state = ada.json(&["get", "d"]);
    assert_eq!((&state["ben"], &state["cleo"]), (&json!(3), &json!(1)));
}

#[test]
fn what_finds_no_room_says_what_to_do_and_goes_by_itself_once_there_is_some() {
    let env = Environment::new();
    let server = start(&env, own_address(), 10);
    let ada = person(&env, &server, ("ada", Access::Admin));
    let ben = person(&env, &server, ("ben", Access::Write));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/ada", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    // Who may delete the document may fill it.
    let root = token(&env, "root", Access::Admin);
    assert!(push(&server, (&root, &id), &strangers(20)).contains("\"accepted\":9"));
    ben.ok(&["set", "d", "/ben", "1"]);
    ben.ok(&["set", "d", "/ben", "2"]);
    for _ in 0..2 {
        let ran = ben.run(&["sync", "--json"]).expect(5);
        assert!(ran.stdout.contains("\"parked\":2"), "{ran:#?}");
        ben.ok(&["set", "d", "/more", "1"]);
        ben.run(&["sync"]).expect(5);
        ben.ok(&["undo", "d"]);
        ben.run(&["sync"]).expect(5);
        ben.ok(&["queue", "drop", "4", "--yes"]);
        ben.ok(&["queue", "drop", "3", "--yes"]);
    }
    let told = ben.run(&["queue"]).expect(5).stderr;
    assert!(told.contains("each sync offers it again") && told.contains("rejoin-server doctor"), "{told}");
    assert!(told.contains("limit document_actors"), "{told}");
    assert!(ben.ok(&["queue", "show", "1"]).contains("no room at the server"));
    let crowd = doctor(&env.path("server.db")).unwrap().crowds.remove(0);
    assert_eq!(crowd.by[0].name.as_deref(), Some("token:root"));
    // The operator makes room. Nobody else does anything.
    let (_, address) = server.stop();
    let _server = start(&env, address, 30);
    let report = ben.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["parked"], &report["queued"]), (&json!(2), &json!(0), &json!(0)));
    ada.ok(&["sync"]);
    assert_eq!(ada.json(&["get", "d", "/ben"]), 2);
}

#[test]
fn what_finds_no_room_for_its_bytes_goes_by_itself_once_there_is_some() {
    let env = Environment::new();
    let start = |address: SocketAddr, bytes: u64| {
        Server::start_with(env.path("server.db"), address, |config| {
            config.limits.document_bytes = bytes;
        })
    };
    let server = start(own_address(), 64 * 1024);
    let ada = person(&env, &server, ("ada", Access::Admin));
    let ben = person(&env, &server, ("ben", Access::Write));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/ada", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/large", "--string", &"x".repeat(40_000)]);
    let ran = ben.run(&["sync", "--json"]).expect(5);
    assert!(ran.stdout.contains("\"parked\":1"), "{ran:#?}");
    let told = ben.run(&["queue"]).expect(5).stderr;
    assert!(told.contains("--document-bytes") && told.contains("each sync offers it again"), "{told}");
    // Others go on.
    ada.ok(&["set", "d", "/ada", "2"]);
    ada.ok(&["sync"]);
    let (_, address) = server.stop();
    let _server = start(address, 1 << 20);
    let report = ben.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["parked"], &report["queued"]), (&json!(1), &json!(0), &json!(0)));
}
