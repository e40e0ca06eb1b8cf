//! What is said where something cannot be done: what is so, and a way out that can be followed.

use crate::environment::Environment;
use crate::server::Server;

#[test]
fn a_counter_at_its_end_has_a_way_out() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["increment", "d", "/n", "9223372036854775807"]);
    let refused = ada.run(&["increment", "d", "/n"]).expect_error(1, "outside the range");
    assert!(
        refused.stderr.contains("with a negative number") && refused.stderr.contains("rejoin set"),
        "{refused:#?}"
    );
    ada.ok(&["increment", "d", "/n", "-7"]);
    ada.ok(&["set", "d", "/n", "1"]);
    ada.ok(&["increment", "d", "/n"]);
    assert_eq!(ada.json(&["get", "d", "/n"]), 2);
}

#[test]
fn a_hash_that_is_too_short_or_fits_several_changes_is_called_that() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let hash = ada.json(&["log", "d"])[0]["hash"].as_str().unwrap().to_owned();
    ada.run(&["show", "d", &hash[..3]]).expect_error(2, "at least 4 digits");
    ada.ok(&["show", "d", &hash[..4]]);
    ada.run(&["show", "d", "xyz"]).expect_error(1, "no change");
}

#[test]
fn what_is_read_in_vain_is_not_said_to_be_unchanged() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let ran = ada.run(&["get", "d", "/nope"]).expect_error(1, "nothing at \"/nope\"");
    assert!(!ran.stderr.contains("nothing was changed") && ran.stderr.contains("rejoin get"), "{ran:#?}");
}

#[test]
fn a_mark_of_utf_8_before_a_value_or_an_action_is_skipped() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    std::fs::write(env.path("value"), "\u{feff}{\"x\": 1}").unwrap();
    ada.ok(&["set", "d", "/a", "@value"]);
    ada.run_with(&["append", "d", "/t", "-"], "\u{feff}text").expect(0);
    ada.run_with(&["apply", "d", "-"], "\u{feff}{\"type\":\"set\",\"path\":\"/b\",\"value\":2}\n").expect(0);
    assert_eq!(ada.json(&["get", "d"]), serde_json::json!({"a": {"x": 1}, "b": 2, "t": "text"}));
}

#[test]
fn a_backup_takes_no_other_files_place_and_says_what_to_do() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    std::fs::write(env.path("there"), "mine").unwrap();
    let refused = ada.run(&["backup", "there"]).expect_error(1, "is there already");
    assert!(refused.stderr.contains("another name"), "{refused:#?}");
    assert_eq!(std::fs::read(env.path("there")).unwrap(), b"mine");
}

#[test]
fn a_servers_database_is_not_taken_for_a_store() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    drop(Server::start(env.path("server.db")));
    let refused = ada.run(&["restore", "server.db", "-y"]).expect_error(1, "the database of a server");
    assert!(refused.stderr.contains("rejoin-server restore"), "{refused:#?}");
    assert_eq!(ada.json(&["ls"])[0]["name"], "d");
}

#[test]
fn join_alone_shows_what_can_be_typed() {
    let env = Environment::new();
    let ran = env.person("ada").run(&["join"]).expect(2);
    assert!(ran.stderr.contains("rejoin join [OPTIONS] <DOC>") && ran.stderr.contains("--all"), "{ran:#?}");
    assert!(!ran.stderr.contains("--store"), "{ran:#?}");
}

#[test]
fn a_saved_token_is_told_to_stay_its_own_servers() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.ok(&["init", "--server", "http://127.0.0.1:4001"]);
    ada.run_with(&["init", "--token", "-"], "s3cret").expect(0);
    let moved = ada.run(&["init", "--server", "http://127.0.0.1:4002"]).expect(0);
    let said = |word: &str| moved.stderr.contains(word);
    assert!(said("The saved token is for http://127.0.0.1:4001") && said("it is kept"), "{moved:#?}");
    assert!(!moved.stderr.contains("s3cret"));
    let back = ada.run(&["init", "--server", "http://127.0.0.1:4001"]).expect(0);
    assert!(!back.stderr.contains("token"), "{back:#?}");
}

#[test]
fn the_whole_document_is_named_in_words() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    assert!(ada.ok(&["set", "d", "", "{\"a\":1}"]).contains("set (the whole document)"));
    assert!(ada.ok(&["queue"]).contains("set (the whole document) {\"a\":1}"));
}
