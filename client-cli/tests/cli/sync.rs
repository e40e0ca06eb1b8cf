use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use rejoin_server::{Access, NewToken, Tokens};
use serde_json::{Value, json};

use crate::environment::{Environment, Person, Ran};
use crate::server::{Impostor, Server, new_token, nobody, own_address};

fn queued(person: &Person<'_>) -> usize {
    person.json(&["queue"]).as_array().unwrap().len()
}

#[test]
fn two_people_offline_and_then_one_truth() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    for person in [&ada, &ben] {
        person.ok(&["init", "--server", &server.url()]);
    }
    let id = ada.new_document("d");
    ada.ok(&["text", "d", "/t", "0", "0", "one two"]);
    ada.ok(&["sync"]);
    let share = ada.ok(&["share", "d"]);
    let join: Vec<_> = share.split_whitespace().skip(1).chain(["--name", "d"]).collect();
    ben.ok(&join);
    ben.ok(&["sync"]);
    let (database, address) = server.stop();
    ada.ok(&["text", "d", "/t", "0", "3", "1"]);
    ada.ok(&["increment", "d", "/n", "5"]);
    ben.ok(&["text", "d", "/t", "4", "3", "2"]);
    ben.ok(&["increment", "d", "/n", "10"]);
    assert_eq!((queued(&ada), queued(&ben)), (2, 2));
    ada.run(&["sync", "--timeout", "300ms"]).expect(3);
    let _server = Server::start_with(database, address, |_| {});
    for person in [&ada, &ben, &ada] {
        person.ok(&["sync"]);
    }
    assert_eq!(ada.json(&["get", "d"]), json!({"t": "1 2", "n": 15}));
    assert_eq!(ben.json(&["get", "d"]), ada.json(&["get", "d"]));
    assert_eq!((queued(&ada), queued(&ben)), (0, 0));
    let (a, b) = (ada.json(&["ls"]), ben.json(&["ls"]));
    assert_eq!(a[0]["heads"], b[0]["heads"]);
    assert_eq!((&a[0]["id"], &a[0]["in_step"]), (&json!(id), &json!(true)));
}

#[test]
fn sync_tells_its_figures_as_json() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let report = ada.json(&["sync", "--server", &server.url(), "d"]);
    assert_eq!((&report["pushed"], &report["pulled"]), (&json!(1), &json!(0)));
    assert_eq!((&report["queued"], &report["parked"]), (&json!(0), &json!(0)));
    assert_eq!(report["documents"][0]["id"], json!(id));
    assert_eq!(report["documents"][0]["heads"].as_array().unwrap().len(), 1);
    assert!(report["documents"][0]["cursor"].as_str().unwrap().starts_with("1."));
    assert_eq!(ada.json(&["sync", "--server", &server.url()])["pushed"], 0);
}

#[test]
fn a_joined_document_that_nobody_has_pushed_is_no_error() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    ada.ok(&["join", &format!("{}/v1/documents/6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e", server.url())]);
    ada.run(&["sync"]).expect(0);
}

#[test]
fn without_a_connection_the_exit_code_is_3_and_the_queue_is_kept() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.run(&["sync", "--timeout", "1s"]).expect(1);
    ada.ok(&["init", "--server", &nobody()]);
    let ran = ada.run(&["sync", "--timeout", "300ms", "--json"]).expect(3);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!(report["queued"], 1);
    assert!(ran.stderr.contains("queue is kept"), "{ran:#?}");
    assert_eq!(queued(&ada), 1);
    let status = ada.json(&["status"]);
    assert_eq!((&status["server"]["answers"], &status["documents"][0]["queued"]), (&json!(false), &json!(1)));
}

#[test]
fn a_captive_portal_is_no_server_and_acknowledges_nothing() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let portal = Impostor::answering("200 OK", "text/html", "<html>Log in</html>");
    ada.run(&["sync", "--timeout", "500ms", "--server", &portal.url()]).expect(3);
    assert_eq!(queued(&ada), 1);
    assert_eq!(ada.json(&["status", "--server", &portal.url()])["server"]["answers"], false);
}

#[test]
fn refused_credentials_are_exit_code_4_and_a_token_goes_to_its_own_server_alone() {
    let env = Environment::new();
    let ada = env.person("ada");
    let problem = r#"{"type":"about:blank","title":"no","status":401,"code":"unauthorized"}"#;
    let own = Impostor::answering("401 Unauthorized", "application/problem+json", problem);
    let other = Impostor::answering("401 Unauthorized", "application/problem+json", problem);
    ada.ok(&["init", "--server", &own.url()]);
    ada.run_with(&["init", "--token", "-"], "s3cret-token\n").expect(0);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["join", &format!("{}/v1/documents/6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e", other.url())]);
    let ran = ada.run(&["sync", "--timeout", "2s", "-vv"]).expect(4);
    assert!(!format!("{ran:?}").contains("s3cret"), "{ran:#?}");
    assert!(ran.stderr.contains("init --token -"), "{ran:#?}");
    let (to_own, to_other) = (own.asked(), other.asked());
    assert!(!to_own.is_empty() && to_own.iter().all(|r| r.contains("s3cret-token")), "{to_own:?}");
    assert!(!to_other.is_empty() && to_other.iter().all(|r| !r.contains("s3cret")), "{to_other:?}");
    ada.run(&["sync", "--timeout", "1s", "--server", &other.url()]).expect(4);
    assert!(other.asked().iter().all(|r| !r.contains("s3cret")));
    assert_eq!(queued(&ada), 1);
}

#[test]
fn what_the_server_refuses_is_parked_and_wants_a_person() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start_with(env.path("server.db"), own_address(), |config| {
        config.limits.change.change_bytes = 600;
    });
    ada.ok(&["init", "--server", &server.url()]);
    ada.new_document("d");
    ada.new_document("good");
    let large: String = (0..2_000).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    ada.ok(&["set", "d", "/a", "--string", &large]);
    ada.ok(&["set", "good", "/a", "1"]);
    let ran = ada.run(&["sync", "--json"]).expect(5);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["pushed"], &report["parked"], &report["queued"]), (&json!(1), &json!(1), &json!(0)));
    let queue = ada.run(&["queue"]).expect(5);
    assert!(queue.stdout.contains("parked"), "{queue:#?}");
    ada.run(&["status"]).expect(5);
    assert!(ada.ok(&["queue", "retry", "1"]).contains("1 change"));
    ada.run(&["sync"]).expect(5);
    ada.ok(&["queue", "drop", "1", "--yes"]);
    ada.ok(&["sync"]);
    ada.ok(&["status"]);
}

#[test]
fn a_watch_follows_until_it_is_told_to_stop() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    for person in [&ada, &ben] {
        person.ok(&["init", "--server", &server.url()]);
    }
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    let mut command = ben.command(&["sync", "--watch", "--json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut pulled = || loop {
        let report: Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        if report["pulled"].as_u64().unwrap() > 0 {
            return;
        }
    };
    pulled();
    ada.ok(&["set", "d", "/a", "2"]);
    ada.ok(&["sync"]);
    pulled();
    assert_eq!(ben.json(&["get", "d", "/a"]), 2);
    ben.ok(&["set", "d", "/b", "3"]);
    while ada.json(&["sync"])["pulled"] == 0 {}
    assert_eq!(ada.json(&["get", "d", "/b"]), 3);
    assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

/// It ended as it does where a server refuses credentials, and said what to do.
fn refused(ran: &Ran) {
    assert_eq!(ran.code, 4, "{ran:#?}");
    assert!(ran.stderr.contains("the queue is kept") && ran.stderr.contains("init --token -"), "{ran:#?}");
}

/// The token is good, and has not the right: that another token is no help is said too.
fn not_allowed(ran: &Ran) {
    assert_eq!(ran.code, 4, "{ran:#?}");
    let says = |text| ran.stderr.contains(text);
    assert!(says("the queue is kept") && says("rejoin-server token grant"), "{ran:#?}");
    assert!(!says("init --token"), "{ran:#?}");
}

#[test]
fn a_token_opens_a_server_and_a_revoked_one_keeps_the_queue_and_says_what_to_do() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start(env.path("server.db"));
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let new = |name| new_token(name, Access::Create);
    let first = tokens.create(&new("ada")).unwrap();
    let url = server.url();
    ada.ok(&["init", "--server", &url]);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    refused(&ada.run(&["sync"]));
    ada.run_with(&["init", "--token", "-"], first.reveal()).expect(0);
    assert_eq!(ada.json(&["sync"])["pushed"], 1);
    assert_eq!(ada.json(&["status"])["server"]["answers"], true);
    tokens.revoke("ada").unwrap();
    ada.ok(&["set", "d", "/a", "2"]);
    let ran = ada.run(&["sync"]);
    refused(&ran);
    assert!(!ran.stderr.contains(first.reveal()));
    let status = ada.run(&["status"]).expect(4);
    assert!(
        status.stderr.contains("init --token -") && status.stdout.contains("1 change queued"),
        "{status:#?}"
    );
    assert_eq!(queued(&ada), 1);
    let second = tokens.create(&new("ada")).unwrap();
    ada.run_with(&["init", "--token", "-"], second.reveal()).expect(0);
    // Another token: what the first one began is not its own.
    let document = ada.json(&["ls"])[0]["id"].as_str().unwrap().parse().unwrap();
    not_allowed(&ada.run(&["sync"]));
    tokens.grant("ada", &document, Access::Write).unwrap();
    assert_eq!(ada.json(&["sync"])["pushed"], 1);
    assert_eq!(queued(&ada), 0);
}

#[test]
fn a_reader_reads_and_what_it_may_not_push_stays_queued() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let new =
        |name: &str, document, access| NewToken { name: name.to_owned(), document, access, lifetime: None };
    let creator = tokens.create(&new("ada", None, Access::Create)).unwrap();
    let url = server.url();
    ada.run_with(&["init", "--server", &url, "--token", "-"], creator.reveal()).expect(0);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    let reader = tokens.create(&new("ben", Some(id.parse().unwrap()), Access::Read)).unwrap();
    ben.run_with(&["init", "--server", &url, "--token", "-"], reader.reveal()).expect(0);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    assert_eq!(ben.json(&["get", "d"]), json!({"a": 1}));
    ben.ok(&["sync"]);
    ben.ok(&["set", "d", "/b", "2"]);
    not_allowed(&ben.run(&["sync"]));
    // What others do comes all the same, and where the edit waits it is said why.
    ada.ok(&["set", "d", "/a", "7"]);
    ada.ok(&["sync"]);
    let ran = ben.run(&["sync", "--json"]);
    not_allowed(&ran);
    let report: Value = serde_json::from_str(&ran.stdout).unwrap();
    assert_eq!((&report["pulled"], &report["queued"]), (&json!(1), &json!(1)));
    assert_eq!(ben.json(&["get", "d"]), json!({"a": 7, "b": 2}));
    let grant = format!("rejoin-server token grant NAME --document {id} --access write");
    let row = ben.run(&["queue"]).expect(5);
    assert!(row.stdout.contains("not allowed") && row.stderr.contains(&grant), "{row:#?}");
    let status = ben.run(&["status"]).expect(5);
    assert!(status.stdout.contains("not allowed") && status.stderr.contains("403"), "{status:#?}");
    assert!(status.stderr.contains(&grant), "{status:#?}");
    let rows: Value = serde_json::from_str(&ben.run(&["queue", "--json"]).expect(5).stdout).unwrap();
    assert!(rows[0]["last_error"].as_str().unwrap().contains("403 forbidden"), "{rows}");
    // Once the right is given, it goes, and all is well.
    tokens.grant("ben", &id.parse().unwrap(), Access::Write).unwrap();
    assert_eq!(ben.json(&["sync"])["pushed"], 1);
    ben.ok(&["status"]);
    ben.ok(&["queue"]);
}

#[test]
fn a_known_document_follows_its_server_to_the_address_that_is_joined() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url()]);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["sync"]);
    let old = server.url();
    ben.ok(&["join", &format!("{old}/v1/documents/{id}"), "--name", "d"]);
    ben.ok(&["sync"]);
    // The server moves to another address.
    let (database, _) = server.stop();
    let server = Server::start(database);
    let ran = ben.run(&["sync", "--timeout", "300ms"]).expect(3);
    assert!(ran.stderr.contains(&old), "{ran:#?}");
    // A new address for the others does not concern it, and that is said with what does.
    let new = format!("{}/v1/documents/{id}", server.url());
    let ran = ben.run(&["init", "--server", &server.url()]).expect(0);
    assert!(ran.stderr.contains("d does not follow") && ran.stderr.contains(&old), "{ran:#?}");
    assert!(ran.stderr.contains(&format!("rejoin join {new}")), "{ran:#?}");
    let ran = ben.run(&["join", &new]).expect(0);
    assert!(ran.stderr.contains("syncs with") && ran.stderr.contains(&server.url()), "{ran:#?}");
    ben.ok(&["set", "d", "/b", "2"]);
    ben.ok(&["sync"]);
    assert_eq!(queued(&ben), 0);
    // Nothing is said where nothing stays behind.
    assert!(!ben.run(&["init", "--server", &server.url()]).expect(0).stderr.contains("follow"));
}

#[test]
fn where_a_redirect_leads_is_told_and_never_followed() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let target = Impostor::answering("200 OK", "application/json", "{}");
    let there = target.url();
    let moved = Impostor::answering(
        &format!("308 Permanent Redirect\r\nlocation: {there}/v1/documents/x/changes?token=hush"),
        "text/html",
        "<html>moved</html>",
    );
    ada.ok(&["init", "--server", &moved.url()]);
    let ran = ada.run(&["sync", "--timeout", "500ms"]).expect(3);
    let says = |text: &str| ran.stderr.contains(text);
    assert!(says(&format!("redirects to {there}, status 308")) && says(&moved.url()), "{ran:#?}");
    assert!(says("rejoin init --server URL") && says("rejoin join URL") && !says("hush"), "{ran:#?}");
    let status = ada.run(&["status"]).expect(0);
    assert!(status.stdout.contains(&format!("redirects to {there}")), "{status:#?}");
    assert!(target.asked().is_empty());
    assert_eq!(queued(&ada), 1);
}

#[test]
fn a_document_takes_another_name() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = ada.new_document("trip");
    ada.new_document("notes");
    ada.run(&["rename", "trip", "-x"]).expect_error(2, "an option");
    ada.ok(&["rename", &id, "holidays"]);
    assert_eq!(ada.json(&["ls"])[0]["name"], "holidays");
    ada.ok(&["rename", &id, "holidays"]);
    ada.run(&["rename", "holidays", "notes"]).expect_error(1, "notes");
    ada.run(&["rename", "trip", "other"]).expect_error(1, "trip");
    for wrong in ["", "  ", id.as_str(), "automerge:x", "http://a", "-x", "a/b"] {
        ada.run(&["rename", "holidays", wrong]).expect_error(2, "name");
    }
    assert_eq!(ada.json(&["ls"])[0]["name"], "holidays");
}

#[test]
fn a_document_that_was_joined_by_its_address_syncs_by_it_whatever_else_is_here() {
    let env = Environment::new();
    let (ada, ben, carl) = (env.person("ada"), env.person("ben"), env.person("carl"));
    let server = Server::start(env.path("server.db"));
    ada.ok(&["init", "--server", &server.url(), "--author", "ada"]);
    let id = ada.new_document("trip");
    ada.ok(&["set", "trip", "/a", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["init", "--author", "ben"]);
    ben.ok(&["join", &format!("{}/v1/documents/{id}", server.url()), "--name", "trip"]);
    assert_eq!(ben.json(&["sync"])["pulled"], 1);
    ben.ok(&["set", "trip", "/b", "2"]);
    // What has nowhere to go is named, and stops no other.
    ben.new_document("notes");
    ben.ok(&["set", "notes", "/c", "3"]);
    let ran = ben.run(&["sync"]).expect(1);
    assert!(ran.stdout.contains("pushed 1") && ran.stderr.contains("no server is set for notes"), "{ran:#?}");
    ada.ok(&["sync"]);
    assert_eq!(ada.json(&["get", "trip", "/b"]), 2);
    // Where it lives is known from the first sync, without an address of its own.
    carl.ok(&["join", &id, "--name", "trip"]);
    carl.ok(&["sync", "--server", &server.url()]);
    ada.ok(&["set", "trip", "/d", "4"]);
    ada.ok(&["sync"]);
    assert_eq!(carl.json(&["sync"])["pulled"], 1);
    // And what is made of a deleted one goes there too.
    ada.ok(&["rm", "trip", "--yes"]);
    ada.ok(&["sync"]);
    carl.run(&["sync"]).expect(5);
    carl.ok(&["undelete", "trip"]);
    carl.ok(&["sync"]);
    assert_eq!(queued(&carl), 0);
}

/// FAULTS 6: the file of yesterday is put back at its place, and the mark beside it tells.
#[test]
fn a_store_that_is_put_back_from_a_backup_gets_its_lost_day_and_new_edits_arrive() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let server = Server::start(env.path("server.db"));
    for person in [&ada, &ben] {
        person.ok(&["init", "--server", &server.url()]);
    }
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/before", "1"]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ada.ok(&["backup", "yesterday.db"]);
    ada.ok(&["set", "d", "/lost", "1"]);
    ada.ok(&["increment", "d", "/n", "5"]);
    ada.ok(&["sync"]);
    let lost = ada.json(&["log", "d", "-n", "1"])[0]["actor"].clone();
    for end in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(format!("{}{end}", ada.store.display()));
    }
    std::fs::copy(env.path("yesterday.db"), &ada.store).unwrap();
    ada.ok(&["increment", "d", "/n", "2"]);
    // Before any server told: what is made now cannot meet what was made then.
    assert_ne!(ada.json(&["log", "d", "-n", "1"])[0]["actor"], lost);
    for person in [&ada, &ben, &ada] {
        person.ok(&["sync"]);
        assert_eq!(queued(person), 0);
    }
    let want = json!({"before": 1, "lost": 1, "n": 7});
    assert_eq!((ada.json(&["get", "d"]), ben.json(&["get", "d"])), (want.clone(), want));
    assert_eq!(ada.json(&["doctor"])["ok"], true);
}

#[test]
fn a_sync_counts_each_action_once_also_where_a_server_lacks_them_all() {
    let env = Environment::new();
    let (first, second) = (Server::start(env.path("first.db")), Server::start(env.path("second.db")));
    let ada = env.person("ada");
    ada.ok(&["init", "--server", &first.url()]);
    let id = ada.new_document("d");
    // Its counter is a container change of its own, which is no action.
    ada.ok(&["increment", "d", "/n"]);
    assert_eq!(ada.json(&["sync"])["pushed"], 1);
    ada.ok(&["join", &format!("{}/v1/documents/{id}", second.url())]);
    ada.ok(&["increment", "d", "/n"]);
    let report = ada.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["queued"]), (&2.into(), &0.into()), "{report}");
    ada.ok(&["join", &format!("{}/v1/documents/{id}", first.url())]);
    let report = ada.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["queued"]), (&1.into(), &0.into()), "{report}");
}

#[test]
fn documents_that_go_where_they_do_not_live_are_named_before() {
    let env = Environment::new();
    let (home, other) = (Server::start(env.path("home.db")), Server::start(env.path("other.db")));
    let ada = env.person("ada");
    ada.ok(&["init", "--server", &home.url()]);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    assert_eq!(ada.run(&["sync"]).expect(0).stderr, "");
    assert_eq!(ada.run(&["sync", "--server", &home.url()]).expect(0).stderr, "");
    let ran = ada.run(&["sync", "--server", &other.url()]).expect(0);
    let says = format!("d (1 change) go to {}, which is not where they live.", other.url());
    assert_eq!(ran.stderr.trim(), says);
    assert_eq!(ada.run(&["sync", "--yes", "--server", &other.url()]).expect(0).stderr, "");
}

#[test]
fn a_refusal_is_told_once_and_with_the_document_that_it_is_of() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let secrets = [("ada", Access::Admin), ("ben", Access::Read)]
        .map(|(name, access)| tokens.create(&new_token(name, access)).unwrap().reveal().to_owned());
    for (person, secret) in [&ada, &ben].into_iter().zip(&secrets) {
        person.ok(&["init", "--server", &server.url()]);
        person.run_with(&["init", "--token", "-"], secret).expect(0);
    }
    for name in ["one", "two"] {
        let id = ada.new_document(name);
        ada.ok(&["set", name, "/a", "1"]);
        ada.ok(&["sync"]);
        ben.ok(&["join", &id, "--name", name]);
    }
    ben.ok(&["sync"]);
    ben.ok(&["set", "one", "/a", "2"]);
    let ran = ben.run(&["sync"]).expect(4);
    assert!(ran.stderr.contains("error: one: ") && ran.stderr.matches("403").count() == 1, "{ran:#?}");
    let status = ben.run(&["status"]).expect(5);
    assert!(!status.stderr.contains(".."), "{status:#?}");
}

#[test]
fn a_document_that_waits_and_may_not_be_pushed_is_told_alike_everywhere() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let ada = env.person("ada");
    let mut tokens = Tokens::open(&env.path("server.db")).unwrap();
    let elsewhere = Some(rejoin::DocumentId::random());
    let new = rejoin_server::NewToken { document: elsewhere, ..new_token("ada", Access::Write) };
    let secret = tokens.create(&new).unwrap();
    ada.ok(&["init", "--server", &server.url()]);
    ada.run_with(&["init", "--token", "-"], secret.reveal()).expect(0);
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let ran = ada.run(&["sync"]).expect(4);
    assert!(ran.stderr.contains("--access create"), "{ran:#?}");
    let queue = ada.run(&["queue"]).expect(5);
    assert!(queue.stdout.contains("not allowed") && queue.stderr.contains("--access create"), "{queue:#?}");
    assert!(ada.ok(&["queue", "show", "1"]).contains("tries       1"));
    let status = ada.run(&["status"]).expect(5);
    assert!(status.stdout.contains("this token may not begin a document"), "{status:#?}");
    assert!(!status.stderr.contains("rejoin leave"), "{status:#?}");
}
