//! Deletions: whose are believed, and what is kept.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rejoin_server::{Access, Tokens};
use serde_json::{Value, json};

use crate::environment::{Environment, Person};
use crate::server::{Burier, Server, new_token};

/// Two people in step on one document, `d`, and its id.
fn two_in_step<'e>(env: &'e Environment, url: &str) -> (Person<'e>, Person<'e>, String) {
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--server", url]);
    ben.ok(&["init", "--server", url]);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/base", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    (ada, ben, id)
}

fn queued(person: &Person<'_>) -> usize {
    person.json(&["queue"]).as_array().unwrap().len()
}

/// Nothing was deleted anywhere: what Ada edited meanwhile arrives, and both go on.
fn nothing_is_deleted_anywhere(ada: &Person<'_>, ben: &Person<'_>) {
    assert_eq!(ada.json(&["sync"])["documents"][0]["state"], "in-step");
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "d"]), ada.json(&["get", "d"]));
    assert_eq!(ben.json(&["get", "d", "/mine"]), 2);
    ben.ok(&["set", "d", "/after", "3"]);
    ben.ok(&["sync"]);
    ada.ok(&["sync"]);
    assert_eq!(ada.json(&["get", "d", "/after"]), 3);
    assert_eq!(ada.json(&["ls", "--deleted"]), json!([]));
    assert_eq!(ada.json(&["status"])["documents"][0]["reason"], Value::Null);
}

#[test]
fn a_server_that_a_store_is_pointed_to_for_one_sync_and_says_deleted_to_everything_deletes_nothing() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, _) = two_in_step(&env, &server.url());
    let burier = Burier::start();
    ada.ok(&["set", "d", "/mine", "2"]);
    let cursor = ada.json(&["ls"])[0]["cursor"].clone();
    let by_option = ada.run(&["sync", "--server", &burier.url()]).expect(5);
    assert!(by_option.stderr.contains("does not live there"), "{by_option:#?}");
    let by_variable = ada.command(&["sync", "--json"]).env("REJOIN_SERVER", burier.url()).output().unwrap();
    assert_eq!(by_variable.status.code(), Some(5));
    let report: Value = serde_json::from_slice(&by_variable.stdout).unwrap();
    assert_eq!((&report["documents"][0]["state"], &report["queued"]), (&json!("not-served"), &json!(1)));
    assert_eq!((queued(&ada), &ada.json(&["ls"])[0]["cursor"]), (1, &cursor));
    let status = ada.run(&["status"]).expect(5);
    assert!(status.stdout.contains("does not live there"), "{status:#?}");
    assert!(!burier.asked().iter().any(|line| line.starts_with("DELETE")));
    // The server is started again in between, and every command is a process of its own.
    let (database, address) = server.stop();
    let _server = Server::start_with(database, address, |_| {});
    nothing_is_deleted_anywhere(&ada, &ben);
}

#[test]
fn a_store_that_is_moved_to_such_a_server_and_back_has_lost_nothing() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, _) = two_in_step(&env, &server.url());
    let burier = Burier::start();
    ada.ok(&["set", "d", "/mine", "2"]);
    ada.ok(&["init", "--server", &burier.url()]);
    ada.run(&["sync"]).expect(5);
    ada.run(&["sync"]).expect(5);
    ada.ok(&["init", "--server", &server.url()]);
    nothing_is_deleted_anywhere(&ada, &ben);
}

#[test]
fn a_stream_that_tells_of_a_deletion_is_believed_no_more_than_an_answer() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, _) = two_in_step(&env, &server.url());
    let burier = Burier::start();
    ada.ok(&["set", "d", "/mine", "2"]);
    let mut command = ada.command(&["sync", "--watch", "--json"]);
    let mut child = command
        .env("REJOIN_SERVER", burier.url())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(report["documents"][0]["state"], "not-served");
    let mut asked = burier.asked();
    while !asked.iter().any(|line| line.contains("/v1/events")) {
        std::thread::yield_now();
        asked.extend(burier.asked());
    }
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
    asked.extend(burier.asked());
    assert!(!asked.iter().any(|line| line.starts_with("DELETE")), "{asked:?}");
    nothing_is_deleted_anywhere(&ada, &ben);
}

#[test]
fn what_another_server_took_is_given_to_the_home_server_too() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, _) = two_in_step(&env, &server.url());
    let other = Server::start(env.path("other.db"));
    ada.ok(&["set", "d", "/mine", "2"]);
    ada.ok(&["sync", "--server", &other.url()]);
    assert_eq!(queued(&ada), 0);
    nothing_is_deleted_anywhere(&ada, &ben);
}

#[test]
fn a_deletion_by_the_document_s_own_server_is_believed_wherever_it_has_moved_once_a_person_says_so() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, id) = two_in_step(&env, &server.url());
    ben.ok(&["rm", "d", "--yes"]);
    ben.ok(&["sync"]);
    // The same database, at another address.
    let (database, _) = server.stop();
    let moved = Server::start(database);
    ada.ok(&["init", "--server", &moved.url()]);
    ada.run(&["sync"]).expect(5);
    assert_eq!(ada.json(&["get", "d", "/base"]), 1);
    ada.ok(&["join", &format!("{}/v1/documents/{id}", moved.url())]);
    ada.run(&["sync"]).expect(5);
    let kept = ada.json(&["ls", "--deleted"]);
    assert_eq!((&kept[0]["id"], &kept[0]["server"]), (&json!(id), &json!(moved.url())));
}

#[test]
fn what_others_deleted_before_it_was_sent_is_named_kept_and_can_be_had_again() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, id) = two_in_step(&env, &server.url());
    ada.ok(&["set", "d", "/mine", "2"]);
    ada.ok(&["insert", "d", "/list/-", "\"x\""]);
    ben.ok(&["rm", "d", "--yes"]);
    ben.ok(&["sync"]);
    for _ in 0..2 {
        let ran = ada.run(&["sync", "--json"]).expect(5);
        let report: Value = serde_json::from_str(&ran.stdout).unwrap();
        assert_eq!((&report["deleted"][0]["id"], &report["deleted"][0]["unsent"]), (&json!(id), &json!(2)));
        assert_eq!(report["queued"], 0, "what is not sent any more does not wait");
    }
    let ran = ada.run(&["sync"]).expect(5);
    assert!(
        ran.stderr.contains("d: deleted by others") && ran.stderr.contains("2 changes never sent"),
        "{ran:#?}"
    );
    let status = ada.run(&["status"]).expect(5);
    assert!(status.stdout.contains("2 changes never sent"), "{status:#?}");
    ada.run(&["get", "d"]).expect_error(1, "kept in the trash");
    ada.run(&["join", &id]).expect_error(1, "kept in the trash");
    assert_eq!((ada.json(&["ls"]), queued(&ada)), (json!([]), 0));
    let kept = ada.json(&["ls", "--deleted"]);
    assert_eq!(
        (&kept[0]["name"], &kept[0]["unsent"], &kept[0]["looked_at"]),
        (&json!("d"), &json!(2), &Value::Null)
    );
    assert_eq!(kept[0]["unsent_changes"][0]["action"]["path"], "/mine");
    ada.run(&["sync"]).expect(0);
    ada.run(&["status"]).expect(0);
    assert!(ada.ok(&["ls", "--deleted"]).contains("/list/-"));
    // A copy as a file, and a new document.
    ada.ok(&["export", &id, "d.automerge"]);
    let copy = ada.ok(&["import", "d.automerge", "--name", "copy"]);
    assert_eq!(ada.json(&["get", copy.trim()]), json!({"base": 1, "mine": 2, "list": ["x"]}));
    let new = ada.ok(&["undelete", "d"]).trim().to_owned();
    assert_ne!(new, id);
    assert_eq!((queued(&ada), ada.json(&["ls", "--deleted"])), (2, json!([])));
    ada.ok(&["sync"]);
    assert_eq!(queued(&ada), 0);
    ben.ok(&["join", &new, "--name", "new"]);
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "new"]), ada.json(&["get", "d"]));
    assert_eq!(ben.json(&["get", "new", "/mine"]), 2);
    // The old one never comes back.
    ada.run(&["undelete", &id]).expect_error(1, "was deleted");
}

#[test]
fn a_document_that_others_deleted_is_named_and_calls_a_person_until_it_was_looked_at() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    for look in [&["ls", "--deleted"][..], &["undelete", "d"], &["discard", "d", "--yes"]] {
        let ada = env.person(&format!("ada-{}", look[0]));
        let ben = env.person(&format!("ben-{}", look[0]));
        for person in [&ada, &ben] {
            person.ok(&["init", "--server", &server.url()]);
        }
        let id = ada.new_document("d");
        ada.ok(&["set", "d", "/base", "1"]);
        ada.ok(&["sync"]);
        ben.ok(&["join", &id, "--name", "theirs"]);
        ben.ok(&["sync"]);
        ben.ok(&["rm", "theirs", "--yes"]);
        ben.ok(&["sync"]);
        for _ in 0..2 {
            let ran = ada.run(&["sync"]).expect(5);
            assert!(ran.stderr.contains("d: deleted by others") && !ran.stderr.contains(&id), "{ran:#?}");
            assert!(ran.stderr.contains("nothing of it was unsent") && ran.stderr.contains("ls --deleted"));
        }
        let report: Value = serde_json::from_str(&ada.run(&["sync", "--json"]).expect(5).stdout).unwrap();
        assert_eq!(
            (&report["deleted"][0]["name"], &report["deleted"][0]["unsent"]),
            (&json!("d"), &json!(0))
        );
        ada.run(&["status"]).expect(5);
        ada.ok(look);
        ada.ok(&["sync"]);
        ada.ok(&["status"]);
    }
}

#[test]
fn what_one_deleted_oneself_is_listed_as_such_and_calls_nobody() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, _, id) = two_in_step(&env, &server.url());
    ada.ok(&["set", "d", "/mine", "2"]);
    ada.ok(&["rm", "d", "--yes"]);
    for _ in 0..2 {
        let ran = ada.run(&["sync"]).expect(0);
        assert!(!ran.stderr.contains(&id), "{ran:#?}");
    }
    ada.ok(&["status"]);
    let kept = ada.json(&["ls", "--deleted"]);
    assert_eq!((&kept[0]["name"], &kept[0]["by_others"]), (&json!("d"), &json!(false)));
    assert!(ada.ok(&["ls", "--deleted"]).contains("by you"));
    let new = ada.ok(&["undelete", "d"]);
    assert_eq!(ada.json(&["get", new.trim(), "/mine"]), 2);
    assert_eq!(ada.json(&["ls", "--deleted"]), json!([]));
}

#[test]
fn whoever_looks_for_a_deleted_document_in_vain_is_told_where_they_are_listed() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("alive");
    for words in [["undelete", "alive"], ["discard", "alive"], ["undelete", "no"], ["discard", "no"]] {
        let ran = ada.run(&words).expect_error(1, "rejoin ls --deleted");
        assert!(!ran.stderr.contains("`rejoin ls`"), "{ran:#?}");
    }
}

#[test]
fn what_is_discarded_is_gone_and_asks_first() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, id) = two_in_step(&env, &server.url());
    ada.ok(&["set", "d", "/mine", "2"]);
    ben.ok(&["rm", "d", "--yes"]);
    ben.ok(&["sync"]);
    ada.run(&["sync"]).expect(5);
    ada.run(&["discard", "d"]).expect_error(2, "1 change that nobody else has");
    assert_eq!(ada.json(&["discard", "d", "--yes"]), json!({"id": id, "lost": 1}));
    assert_eq!(ada.json(&["ls", "--deleted"]), json!([]));
    ada.run(&["sync"]).expect(0);
    ada.run(&["export", &id]).expect_error(1, "was deleted");
    assert_eq!(ada.json(&["doctor"])["ok"], true);
    // Asked for again, it is told what is the case.
    ada.ok(&["join", &id, "--name", "again"]);
    ada.run(&["sync"]).expect(5);
}

#[test]
fn a_reader_goes_on_after_a_document_was_deleted() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let url = server.url();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let new = new_token;
    let admin = tokens.create(&new("ada", Access::Admin)).unwrap();
    let reader = tokens.create(&new("ben", Access::Read)).unwrap();
    ada.run_with(&["init", "--server", &url, "--token", "-"], admin.reveal()).expect(0);
    ben.run_with(&["init", "--server", &url, "--token", "-"], reader.reveal()).expect(0);
    let burier = Burier::start();
    let ids = ["one", "two"].map(|name| {
        let id = ada.new_document(name);
        ada.ok(&["set", name, "/base", "1"]);
        ben.ok(&["join", &id, "--name", name]);
        id
    });
    ada.ok(&["sync"]);
    ben.ok(&["sync"]);
    ben.run(&["sync", "--server", &burier.url()]).expect(5);
    ben.ok(&["sync"]);
    ada.ok(&["rm", "one", "--yes"]);
    ada.ok(&["sync"]);
    ben.run(&["sync"]).expect(5);
    ben.ok(&["ls", "--deleted"]);
    for _ in 0..3 {
        ben.ok(&["sync"]);
    }
    ben.run(&["join", &ids[0]]).expect_error(1, "kept in the trash");
    ada.ok(&["set", "two", "/more", "2"]);
    ada.ok(&["sync"]);
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "two", "/more"]), 2);
    // One who may not delete is told so, and can take it back.
    ben.ok(&["rm", "two", "--yes"]);
    ben.run(&["sync"]).expect(4);
    ben.ok(&["join", &ids[1], "--name", "two"]);
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "two", "/more"]), 2);
}

#[test]
fn the_trash_has_settings_and_keeps_what_nobody_looked_at() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben, _) = two_in_step(&env, &server.url());
    assert!(ada.ok(&["init"]).contains("90 days, 256 MiB"));
    let init = ada.json(&["init", "--trash-days", "30", "--trash-bytes", "1"]);
    assert_eq!((&init["trash_days"], &init["trash_bytes"]), (&json!(30), &json!(1)));
    ada.ok(&["set", "d", "/mine", "2"]);
    ben.ok(&["rm", "d", "--yes"]);
    ben.ok(&["sync"]);
    ada.run(&["sync"]).expect(5);
    ada.run(&["sync"]).expect(5);
    assert_eq!(ada.json(&["ls", "--deleted"]).as_array().unwrap().len(), 1);
    ada.ok(&["sync"]);
    assert_eq!(ada.json(&["ls", "--deleted"]), json!([]), "it was over the size, and looked at");
}

#[test]
fn a_deletion_that_is_not_allowed_is_named_and_can_be_taken_back() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let token = |name: &str, access| {
        let new = new_token(name, access);
        let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
        tokens.create(&new).unwrap().reveal().to_owned()
    };
    let person = |name: &'static str, access| {
        let person = env.person(name);
        person.ok(&["init", "--server", &server.url()]);
        person.run_with(&["init", "--token", "-"], &token(name, access)).expect(0);
        person
    };
    let ada = person("ada", Access::Admin);
    let ben = person("ben", Access::Write);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/x", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    ben.ok(&["rm", "d", "--yes"]);
    let told = ben.run(&["sync"]).expect(4).stderr;
    for part in [id.as_str(), "delete it for everyone", "--access admin", "rejoin join"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(ben.run(&["status"]).expect(0).stderr.contains("no server was told yet"));
    assert_eq!(ben.json(&["status"])["deletions_owed"], json!([id]));
    assert_eq!(ada.ok(&["sync"]).trim(), "pushed 0, pulled 0, in step");
    // It comes back as it was.
    ben.ok(&["join", &id]);
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "d"]), json!({"x": 1}));
    assert_eq!(ben.json(&["status"])["deletions_owed"], json!([]));
}

#[test]
fn whoever_joins_what_was_deleted_and_discarded_is_told_what_to_do() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url()]);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ada.ok(&["rm", "d", "--yes"]);
    ada.ok(&["sync"]);
    ada.ok(&["discard", "d", "--yes"]);
    let joined = ada.run(&["join", &id]).expect(0);
    assert!(joined.stderr.contains("deleted once") && joined.stderr.contains(&format!("rejoin leave {id}")));
    let synced = ada.run(&["sync"]).expect(5);
    assert!(synced.stderr.contains(&format!("rejoin leave {id}")), "{synced:#?}");
    assert!(!synced.stderr.contains("does not live there"), "{synced:#?}");
    assert!(ada.run(&["status"]).expect(5).stdout.contains("`rejoin leave`"));
    ada.ok(&["leave", &id, "--yes"]);
    ada.run(&["sync"]).expect(0);
}

/// A store that joined by address, and undeleted: its server moved, and nobody misses the old one.
#[test]
fn what_is_undeleted_is_sound_and_a_server_that_is_gone_is_not_missed_for_what_was_deleted() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--server", &server.url()]);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/base", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &format!("{}/v1/documents/{id}", server.url()), "--name", "d"]);
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/sent", "1"]);
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/unsent", "1"]);
    ada.ok(&["rm", "d", "--yes"]);
    ada.ok(&["sync"]);
    ben.run(&["sync"]).expect(5);
    let new = ben.ok(&["undelete", "d"]).trim().to_owned();
    ben.ok(&["doctor"]);
    drop(server);
    let moved = Server::start(env.path("moved.db"));
    ben.ok(&["init", "--server", &moved.url()]);
    ben.ok(&["join", &format!("{}/v1/documents/{new}", moved.url())]);
    assert_eq!(ben.json(&["sync"])["documents"][0]["state"], "in-step");
    ben.ok(&["doctor"]);
    let cleo = env.person("cleo");
    cleo.ok(&["init", "--server", &moved.url()]);
    cleo.ok(&["join", &new, "--name", "d"]);
    cleo.ok(&["sync"]);
    assert_eq!(cleo.json(&["get", "d"]), json!({"base": 1, "sent": 1, "unsent": 1}));
}
