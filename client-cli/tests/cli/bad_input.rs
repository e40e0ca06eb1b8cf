use std::os::unix::fs::FileExt as _;

use serde_json::json;

use crate::environment::{Environment, contents};

#[test]
fn bad_input_is_named_with_the_right_exit_code_and_changes_nothing() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "{\"b\": [1, 2]}"]);
    ada.ok(&["set", "d", "/s", "--string", "plain"]);
    ada.ok(&["text", "d", "/t", "0", "0", "hello"]);
    let (state, queue) = (ada.json(&["get", "d"]), ada.json(&["queue"]));
    for (words, code, what) in [
        (&["get", "d", "a"][..], 2, "'/'"),
        (&["set", "d", "/a~2", "1"], 2, "~"),
        (&["set", "d", "/x", "Alps"], 2, "--string"),
        (&["set", "d", "/x", "{\"a\":1,}"], 2, "JSON"),
        (&["set", "d", "/x", "1 2"], 2, "JSON"),
        (&["get", "d", "/nothing"], 1, "/nothing"),
        (&["delete", "d", "/nothing"], 1, "/nothing"),
        (&["delete", "d", "/a/b/7"], 1, "7"),
        (&["set", "d", "/s/deeper", "1"], 1, "/s"),
        (&["set", "d", "/a/b/x", "1"], 1, "x"),
        (&["increment", "d", "/s"], 1, "/s"),
        (&["insert", "d", "/a/b/9", "1"], 1, "9"),
        (&["insert", "d", "/s/-", "1"], 1, "/s"),
        (&["text", "d", "/t", "6", "0", "x"], 1, "6"),
        (&["text", "d", "/t", "0", "6"], 1, "6"),
        (&["text", "d", "/a", "0", "0", "x"], 1, "/a"),
        (&["get", "nope"], 1, "nope"),
        (&["get", "00000000-0000-4000-8000-000000000000"], 1, "00000000"),
        (&["queue", "show", "77"], 1, "77"),
        (&["import", "nowhere"], 1, "nowhere"),
        (&["apply", "d", "nowhere"], 1, "nowhere"),
        (&["new", "--name", "d"], 1, "d"),
    ] {
        ada.run(words).expect_error(code, what);
        ada.run(&[words, &["--json"]].concat()).expect(code);
    }
    assert_eq!((ada.json(&["get", "d"]), ada.json(&["queue"])), (state, queue));
}

#[test]
fn an_ambiguous_prefix_is_wrong_usage() {
    let env = Environment::new();
    let ada = env.person("ada");
    for last in ["e", "f"] {
        ada.ok(&["new", "--id", &format!("6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6{last}")]);
    }
    ada.run(&["get", "6f1d"]).expect_error(2, "6f1d");
    assert_eq!(ada.json(&["get", "6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6f"]), json!({}));
}

#[test]
fn a_store_that_is_not_a_store_is_left_alone() {
    let env = Environment::new();
    let ada = env.person("ada");
    std::fs::create_dir(env.path("directory")).unwrap();
    std::fs::write(
        env.path("text.db"),
        "just some text, longer than the header of a database would be: ".repeat(20),
    )
    .unwrap();
    let before = contents(&env.path(""));
    for store in ["text.db", "directory"] {
        ada.run(&["ls", "--store", store]).expect_error(1, store);
        ada.run(&["doctor", "--store", store]).expect_error(1, store);
    }
    assert_eq!(contents(&env.path("")), before);
}

#[test]
fn a_store_of_a_newer_release_is_refused_and_left_alone() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    // `user_version` stands in the header of an SQLite file, big-endian, at byte 60.
    let file = std::fs::OpenOptions::new().write(true).open(&ada.store).unwrap();
    file.write_all_at(&999u32.to_be_bytes(), 60).unwrap();
    let before = contents(&env.path(""));
    for words in [&["ls"][..], &["set", "d", "/a", "1"], &["new"]] {
        ada.run(words).expect_error(1, "999");
    }
    assert_eq!(contents(&env.path("")), before);
}

#[test]
fn a_store_where_nobody_may_write_is_an_error_with_its_path() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.run(&["ls", "--store", "/dev/null/x.db"]).expect_error(1, "/dev/null");
}

#[test]
fn without_a_server_there_is_something_to_do_about_it() {
    let env = Environment::new();
    let ada = env.person("ada");
    let ran = ada.run(&["init", "--token", "-"]).expect(1);
    assert!(ran.stderr.contains("no server is set") && ran.stderr.contains("--server URL"), "{ran:#?}");
}

#[test]
fn a_name_that_would_be_read_as_something_else_or_not_at_all_is_refused() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let url = "http://127.0.0.1:1/v1/documents/6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e";
    let bad = [
        "",
        "  ",
        "6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e",
        "automerge:2fYtAAMcCUsXiqkLcRNvCWZJvJ8c",
        "https://a.example",
        "a\nb",
        "tr\u{200b}ip",
        "\u{202e}pirt",
        "-x",
        "a/b",
    ];
    for name in bad {
        ada.run(&["new", "--name", name]).expect_error(2, "cannot be a name");
        ada.run(&["join", url, "--name", name]).expect_error(2, "cannot be a name");
    }
    ada.ok(&["rm", &id, "--yes"]);
    ada.run(&["undelete", &id, "--name", "  "]).expect_error(2, "cannot be a name");
    ada.ok(&["undelete", &id, "--name", "Ausflug 日本 👩\u{200d}🚀"]);
    assert_eq!(ada.json(&["ls"]).as_array().unwrap().len(), 1);
}

#[test]
fn an_integer_that_does_not_fit_is_refused_and_never_becomes_another_number() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    for number in ["18446744073709551616", "-9223372036854775809", "{\"a\":[99999999999999999999]}"] {
        ada.run(&["set", "d", "/n", number]).expect_error(2, "64 bits");
        ada.run(&["insert", "d", "/l/-", number]).expect_error(2, "64 bits");
        let line = format!("{{\"type\":\"set\",\"path\":\"/n\",\"value\":{number}}}");
        let ran = ada.run_with(&["apply", "d"], &line);
        assert!(ran.code == 1 && ran.stderr.contains("64 bits") && ran.stderr.contains("line 1"), "{ran:#?}");
        let file = env.path("n.json");
        std::fs::write(&file, format!("{{\"n\":{number}}}")).unwrap();
        ada.run(&["import", file.to_str().unwrap()]).expect_error(1, "64 bits");
    }
    assert_eq!(ada.json(&["get", "d"]), serde_json::json!({}));
    ada.ok(&["set", "d", "/n", "-9223372036854775808"]);
    assert_eq!(ada.ok(&["get", "d", "/n"]).trim(), "-9223372036854775808");
}
