//! `status` and `ls` say of a document what `sync` says of it, and nothing that is not so.

use rejoin_server::{Access, Tokens};
use serde_json::json;

use crate::environment::{Environment, Person};
use crate::server::{Impostor, Server, new_token, nobody};

/// A person with a token of this server.
fn person<'e>(env: &'e Environment, server: &Server, (name, access): (&str, Access)) -> Person<'e> {
    let person = env.person(name);
    let new = new_token(name, access);
    let token = Tokens::open(&env.path("server.db")).unwrap().create(&new).unwrap();
    person.ok(&["init", "--server", &server.url()]);
    person.run_with(&["init", "--token", "-"], token.reveal()).expect(0);
    person
}

#[test]
fn whoever_may_only_write_is_told_that_beginning_a_document_needs_another_right() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ben = person(&env, &server, ("ben", Access::Write));
    let id = ben.new_document("d");
    ben.ok(&["set", "d", "/a", "1"]);
    let ran = ben.run(&["sync"]).expect(4);
    assert!(ran.stderr.contains("--access create") && !ran.stderr.contains("--access write"), "{ran:#?}");
    let queue = ben.run(&["queue"]).expect(5);
    assert!(queue.stdout.contains("not allowed") && queue.stderr.contains("--access create"), "{queue:#?}");
    let status = ben.run(&["status"]).expect(5);
    assert!(status.stdout.contains("this token may not begin a document"), "{status:#?}");
    assert!(
        status.stderr.contains("--access create") && !status.stderr.contains("--access write"),
        "{status:#?}"
    );
    assert!(ben.ok(&["ls"]).contains("no: not allowed"));
    // What is said helps.
    let document = id.parse().unwrap();
    Tokens::open(&env.path("server.db")).unwrap().grant("ben", &document, Access::Admin).unwrap();
    assert_eq!(ben.json(&["sync"])["pushed"], 1);
    assert!(ben.ok(&["status"]).contains("yes"));
}

#[test]
fn a_document_that_may_not_be_read_is_in_step_nowhere() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ada = person(&env, &server, ("ada", Access::Admin));
    let ben = person(&env, &server, ("ben", Access::Write));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    assert!(ben.ok(&["ls"]).contains("yes"));
    // A token for documents of his own is all that he has now.
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    tokens.revoke("ben").unwrap();
    let new = new_token("other", Access::Create);
    let other = tokens.create(&new).unwrap();
    ben.run_with(&["init", "--token", "-"], other.reveal()).expect(0);
    ben.run(&["sync"]).expect(4);
    let status = ben.run(&["status"]).expect(5);
    assert!(status.stdout.contains("not allowed: this token may not read here"), "{status:#?}");
    assert!(status.stderr.contains("rejoin-server token grant"), "{status:#?}");
    assert!(ben.ok(&["ls"]).contains("no: not allowed"));
    let told = &ben.json(&["ls"])[0];
    assert_eq!((&told["in_step"], &told["problem"]["kind"]), (&json!(false), &json!("not-allowed")));
    tokens.grant("other", &id.parse().unwrap(), Access::Read).unwrap();
    ben.ok(&["sync"]);
    assert!(ben.ok(&["status"]).contains("yes") && ben.ok(&["ls"]).contains("yes"));
}

#[test]
fn where_a_sync_fails_for_good_status_and_ls_say_so() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url()]);
    // So many that a sync asks for all of them at once where they are well.
    for nth in 0..20 {
        let name = if nth == 0 { "d".to_owned() } else { format!("d{nth}") };
        ada.new_document(&name);
        ada.ok(&["set", &name, "/a", "1"]);
    }
    ada.ok(&["sync"]);
    ada.ok(&["sync"]);
    let problem = r#"{"type":"about:blank","title":"two of one number","status":409,"code":"contradiction"}"#;
    let other = Impostor::answering("409 Conflict", "application/problem+json", problem);
    ada.ok(&["init", "--server", &other.url()]);
    ada.run(&["sync", "--timeout", "5s"]).expect(1);
    ada.ok(&["init", "--server", &server.url()]);
    let status = ada.run(&["status"]).expect(5);
    let said = status.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("the last sync failed") && said.contains("contradiction"), "{status:#?}");
    assert!(ada.ok(&["ls"]).contains("no: the last sync failed"));
    ada.ok(&["sync"]);
    let documents = ada.json(&["status"])["documents"].clone();
    assert!(documents.as_array().unwrap().iter().all(|d| d["in_step"] == json!(true)), "{documents}");
}

#[test]
fn a_sync_with_a_wrong_address_changes_nothing_that_status_says() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url()]);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    let before = ada.json(&["ls"]);
    assert_eq!(before[0]["in_step"], true);
    ada.run(&["sync", "--server", &nobody(), "--timeout", "300ms"]).expect(3);
    assert_eq!(ada.json(&["ls"]), before);
    assert!(ada.ok(&["status"]).contains("yes"));
}

#[test]
fn a_document_that_was_never_sent_is_said_to_be_just_that() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let said = ada.ok(&["status"]);
    assert!(said.contains("never synced") && !said.contains("not fetched"), "{said}");
    ada.ok(&["join", "http://a/v1/documents/6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e"]);
    assert!(ada.ok(&["status"]).contains("not fetched yet"));
}

#[test]
fn the_deletion_of_what_no_server_ever_had_is_owed_to_nobody() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ben = person(&env, &server, ("ben", Access::Write));
    ben.new_document("d");
    ben.ok(&["set", "d", "/a", "1"]);
    ben.new_document("empty");
    for doc in ["d", "empty"] {
        ben.ok(&["rm", doc, "--yes"]);
    }
    assert!(ben.run(&["status"]).expect(0).stderr.contains("no server was told yet"));
    for _ in 0..2 {
        ben.run(&["sync"]).expect(0);
    }
    let status = ben.run(&["status"]).expect(0);
    assert!(!status.stderr.contains("no server was told yet"), "{status:#?}");
    assert!(ben.ok(&["ls", "--deleted"]).contains("none had it"));
    // What a server has is another matter: the person may not delete it, and hears that each time.
    let ada = person(&env, &server, ("ada", Access::Admin));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "e"]);
    ben.ok(&["sync"]);
    ben.ok(&["rm", "e", "--yes"]);
    for _ in 0..2 {
        ben.run(&["sync"]).expect(4);
    }
    assert!(ben.run(&["status"]).stderr.contains("no server was told yet"));
}
