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

#[test]
fn json_that_is_nested_too_deeply_is_said_to_be_that_and_not_to_be_no_json() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let deep = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
    for levels in [121, 200, 5_000] {
        let ran = ada.run(&["set", "d", "/a", &deep(levels)]);
        assert!(
            ran.stderr.contains("120 levels") && !ran.stderr.contains("is not JSON"),
            "{levels}: {ran:#?}"
        );
    }
    std::fs::write(env.path("deep.json"), format!("{{\"a\":{}}}", deep(300))).unwrap();
    ada.run(&["import", "deep.json"]).expect_error(1, "120 levels");
    // As deep as can be written, and read again to the last value.
    ada.ok(&["set", "d", "/a", &deep(119)]);
    let innermost = format!("/a{}", "/0".repeat(119));
    assert_eq!(ada.json(&["get", "d", &innermost]), 1);
    assert_eq!(ada.json(&["log", "d", &innermost]).as_array().unwrap().len(), 1);
}

#[test]
fn a_place_that_never_was_is_said_to_be_none() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let ran = ada.run(&["log", "d", "/none"]).expect(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Nothing was ever at /none"), "{ran:#?}");
}

#[test]
fn an_editor_that_leaves_no_file_changes_nothing_and_is_named() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["append", "d", "/note", "text"]);
    let mut command = ada.command(&["edit", "d", "/note"]);
    let ran = crate::environment::Ran::of(command.env("EDITOR", "rm").output().unwrap(), &["edit"]);
    ran.expect_error(1, "the editor left no file");
    assert_eq!(ada.json(&["get", "d", "/note"]), "text");
}

#[test]
fn a_name_that_could_not_be_typed_again_is_refused_with_a_sentence() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.ok(&["new", "--name", "d"]);
    for (name, why) in [("-x", "an option"), ("a/b", "a / in it")] {
        ada.run(&["new", &format!("--name={name}")]).expect_error(2, why);
        ada.run(&["rename", "d", "--", name]).expect_error(2, why);
    }
    assert_eq!(ada.json(&["ls"]).as_array().unwrap().len(), 1);
}

#[test]
fn a_remark_is_a_sentence_with_a_capital_letter_and_said_once() {
    let env = Environment::new();
    let ran = env.person("ada").run(&["init", "--server", "http://sync.example:1"]).expect(0);
    assert_eq!(ran.stderr.matches("plain HTTP").count(), 1, "{ran:#?}");
    assert!(ran.stderr.contains(". Give its https"), "{ran:#?}");
}

#[test]
fn a_usage_line_shows_no_option_as_needed_because_it_was_typed() {
    let env = Environment::new();
    let ada = env.person("ada");
    let store = ["--store", "x.db"];
    for words in [&["nonsense"][..], &["set"], &["join"], &["delete", "d"], &["--json", "queue", "drop"]] {
        for typed in [words.to_vec(), [&store, words].concat()] {
            let ran = ada.run(&typed).expect(2);
            let usage =
                ran.stderr.lines().find(|line| line.starts_with("Usage: rejoin ")).unwrap_or_default();
            assert!(!usage.is_empty() && !usage.contains("--store") && !usage.contains("--json"), "{ran:#?}");
        }
    }
    // What a newcomer types to delete a document.
    assert!(ada.run(&["delete", "d"]).stderr.contains("rejoin rm DOC"));
}
