//! Who did it: what a change says of itself, and whose token brought it.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use automerge::{ActorId, Automerge, ROOT, transaction::CommitOptions, transaction::Transactable as _};
use rejoin_server::{Access, Tokens};
use serde_json::{Value, json};

use crate::environment::{Environment, Person};
use crate::server::{Server, new_token};

fn token(env: &Environment, name: &str) -> String {
    let new = new_token(name, Access::Admin);
    Tokens::open(&env.path("server.db")).unwrap().create(&new).unwrap().reveal().to_owned()
}

fn pushed_by(person: &Person<'_>) -> Vec<Value> {
    let log = person.json(&["log", "d"]);
    log.as_array().unwrap().iter().map(|entry| entry["pushed_by"].clone()).collect()
}

#[test]
fn where_tokens_have_names_it_is_shown_whose_brought_a_change() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, eve) = (env.person("ada"), env.person("ben"), env.person("eve"));
    for (person, name) in [(&ada, "ada"), (&ben, "ben"), (&eve, "eve")] {
        // Eve says that she is Ada.
        let author = if name == "eve" { "ada" } else { name };
        person.ok(&["init", "--server", &server.url(), "--author", author]);
        person.run_with(&["init", "--token", "-"], &token(&env, name)).expect(0);
    }
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    for person in [&ben, &eve] {
        person.ok(&["join", &id, "--name", "d"]);
        person.ok(&["sync"]);
    }
    eve.ok(&["set", "d", "/a", "2"]);
    eve.ok(&["sync"]);
    ben.ok(&["sync"]);
    assert_eq!(pushed_by(&ben), [json!("token:eve"), json!("token:ada")]);
    // Offline too, and to people: where it says something else than the change.
    drop(server);
    let log = ben.ok(&["log", "d"]);
    assert!(log.lines().next().unwrap().contains("ada") && log.contains("(pushed by token:eve)"), "{log}");
    assert!(!log.contains("token:ada"), "{log}");
    assert!(ben.ok(&["blame", "d", "/a"]).contains("(pushed by token:eve)"));
    assert_eq!(ben.json(&["blame", "d", "/a"])[0]["pushed_by"], "token:eve");
    assert_eq!(pushed_by(&eve), [Value::Null, json!("token:ada")], "what is one's own needs no telling");
}

/// Pushes what no client of ours would make. The server's answer.
pub(crate) fn push(server: &Server, (token, id): (&str, &str), body: &[u8]) -> String {
    let url = server.url();
    let host = url.strip_prefix("http://").unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    let head = format!(
        "POST /v1/documents/{id}/changes HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/vnd.automerge\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body)).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_change_forged_under_ones_own_actor_is_shown_as_such_and_is_not_undone() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ada = env.person("ada");
    ada.ok(&["init", "--server", &server.url(), "--author", "ada"]);
    ada.run_with(&["init", "--token", "-"], &token(&env, "ada")).expect(0);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    let file = env.path("d.automerge");
    ada.ok(&["export", "d", file.to_str().unwrap()]);
    let actor = ada.json(&["log", "d"])[0]["actor"].as_str().unwrap().to_owned();
    let mut forger = Automerge::load(&std::fs::read(file).unwrap()).unwrap();
    forger.set_actor(ActorId::try_from(actor.as_str()).unwrap());
    let mut tx = forger.transaction();
    tx.put(ROOT, "debt", 1_000).unwrap();
    tx.commit_with(CommitOptions::default().with_message(r#"{"a":"set","by":"ada"}"#));
    let forged = forger.get_last_local_change().unwrap().raw_bytes().to_vec();
    let answer = push(&server, (&token(&env, "eve"), &id), &forged);
    assert!(answer.contains("\"accepted\":1"), "{answer}");
    let ran = ada.run(&["sync"]).expect(0);
    assert!(
        ran.stderr.contains("wrote under this store's name") && !ran.stderr.contains("copied"),
        "{ran:#?}"
    );
    let newest = ada.json(&["log", "d", "-n", "1"])[0].clone();
    assert_eq!((&newest["author"], &newest["origin"]), (&json!("ada"), &json!("remote")));
    assert_eq!((&newest["own_actor"], &newest["pushed_by"]), (&json!(true), &json!("token:eve")));
    let shown = ada.ok(&["log", "d", "-n", "1"]);
    assert!(shown.contains("not made here") && shown.contains("pushed by token:eve"), "{shown}");
    ada.ok(&["undo", "d"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"debt": 1000}), "her own, and nothing else");
    ada.run(&["undo", "d"]).expect(1);
    ada.ok(&["redo", "d"]);
    ada.ok(&["sync"]);
    assert_ne!(
        ada.json(&["log", "d", "-n", "1"])[0]["actor"],
        json!(actor),
        "she writes under another actor"
    );
}

#[test]
fn somebody_who_writes_under_this_stores_name_is_told_once_however_much_it_is() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ada = env.person("ada");
    ada.ok(&["init", "--server", &server.url()]);
    ada.run_with(&["init", "--token", "-"], &token(&env, "ada")).expect(0);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    let file = env.path("d.automerge");
    ada.ok(&["export", "d", file.to_str().unwrap()]);
    let actor = ada.json(&["log", "d"])[0]["actor"].as_str().unwrap().to_owned();
    let mut forger = Automerge::load(&std::fs::read(file).unwrap()).unwrap();
    forger.set_actor(ActorId::try_from(actor.as_str()).unwrap());
    let eve = token(&env, "eve");
    for n in 0..5 {
        let mut tx = forger.transaction();
        tx.put(ROOT, "debt", n).unwrap();
        tx.commit();
        push(&server, (&eve, &id), forger.get_last_local_change().unwrap().raw_bytes());
    }
    let told = |ran: &crate::environment::Ran| ran.stderr.matches("under this store's name").count();
    assert_eq!(told(&ada.run(&["sync"]).expect(0)), 1);
    assert_eq!(told(&ada.run(&["sync"]).expect(0)), 0);
    // Where what she made meets theirs it is written again: that is said, with its cause.
    ada.ok(&["set", "d", "/b", "1"]);
    ada.ok(&["sync"]);
    ada.ok(&["export", "d", file_of(&env).to_str().unwrap()]);
    let mut forger = Automerge::load(&std::fs::read(file_of(&env)).unwrap()).unwrap();
    let actor = ada.json(&["log", "d", "-n", "1"])[0]["actor"].as_str().unwrap().to_owned();
    forger.set_actor(ActorId::try_from(actor.as_str()).unwrap());
    ada.ok(&["set", "d", "/c", "1"]);
    let mut tx = forger.transaction();
    tx.put(ROOT, "debt", 7).unwrap();
    tx.commit();
    push(&server, (&eve, &id), forger.get_last_local_change().unwrap().raw_bytes());
    let ran = ada.run(&["sync"]).expect(0);
    assert!(ran.stderr.contains("1 change of this store written again"), "{ran:#?}");
    assert_eq!(told(&ran), 0, "{ran:#?}");
    ada.ok(&["sync"]);
    assert_eq!(ada.json(&["get", "d", "/c"]), 1);
}

fn file_of(env: &Environment) -> std::path::PathBuf {
    env.path("again.automerge")
}

#[test]
fn where_nobody_is_asked_for_a_token_nobody_is_named() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    for person in [&ada, &ben] {
        person.ok(&["init", "--server", &server.url()]);
    }
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    assert_eq!(pushed_by(&ben), [Value::Null]);
    assert_eq!(ben.json(&["log", "d"])[0]["own_actor"], false);
}

/// A machine is cloned with its store, and nothing can tell the two apart.
#[test]
fn machines_that_were_cloned_and_do_the_same_in_one_second_count_twice() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let image = env.person("image");
    image.ok(&["init", "--server", &server.url()]);
    let id = image.new_document("d");
    image.ok(&["increment", "d", "/n", "5"]);
    image.ok(&["sync"]);
    let away = env.path("away.db");
    std::fs::rename(&image.store, &away).unwrap();
    let mut want = 5;
    // Until both act within one second: mostly at once.
    for round in 0..20 {
        let clones = [0, 1].map(|n| env.person(&format!("clone-{round}-{n}")));
        for clone in &clones {
            std::fs::copy(&away, &clone.store).unwrap();
            std::fs::copy(env.path("image.db-mark"), format!("{}-mark", clone.store.display())).unwrap();
        }
        let [mut a, mut b] =
            clones.each_ref().map(|c| c.command(&["increment", "d", "/n", "1"]).spawn().unwrap());
        assert!(a.wait().unwrap().success() && b.wait().unwrap().success());
        let newest = clones.each_ref().map(|c| c.json(&["log", "d", "-n", "1"])[0].clone());
        assert_eq!(newest[0]["actor"], newest[1]["actor"], "nothing tells them apart");
        let seconds = newest.each_ref().map(|entry| entry["made_at"].as_str().unwrap()[..19].to_owned());
        for clone in &clones {
            clone.ok(&["sync"]);
        }
        clones[0].ok(&["sync"]);
        want += 2;
        assert_eq!(clones[0].json(&["get", &id, "/n"]), want);
        if seconds[0] == seconds[1] {
            return;
        }
    }
    unreachable!("twenty times both needed more than a second");
}

/// Joined by an address, with a token in the environment: there is one server only that can be meant.
#[test]
fn status_shows_a_server_the_token_that_a_sync_shows_it() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--server", &server.url()]);
    let typed = token(&env, "ben");
    ada.run_with(&["init", "--token", "-"], &token(&env, "ada")).expect(0);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &format!("{}/v1/documents/{id}", server.url()), "--name", "d"]);
    for words in [["sync"], ["status"]] {
        let output = ben.command(&words).env("REJOIN_TOKEN", &typed).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{words:?} {output:?}");
    }
    ben.run(&["status"]).expect(4);
}
