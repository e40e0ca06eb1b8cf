//! What shells are told while somebody types (issue 10, 20).

use std::path::Path;

use crate::environment::{Environment, contents};

/// What bash is told of the last word.
fn asked(env: &Environment, store: &Path, words: &[&str]) -> Vec<String> {
    let mut command = env.rejoin();
    command.env("REJOIN_COMPLETE", "bash").env("_CLAP_IFS", "\n").env("_CLAP_COMPLETE_COMP_TYPE", "9");
    command.env("_CLAP_COMPLETE_INDEX", words.len().to_string()).env("_CLAP_COMPLETE_SPACE", "false");
    command.env("REJOIN_STORE", store).args(["--", "rejoin"]).args(words);
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "", "{words:?}");
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    let mut found: Vec<String> = text.lines().map(|line| line.trim().to_owned()).collect();
    found.sort();
    found
}

#[test]
fn documents_places_and_changes_are_completed() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("trip");
    ada.new_document("a name with spaces");
    ada.run_with(
        &["import", "-", "--name", "tools"],
        r#"{"a/b": {"deep": 1}, "list": [1, 2], "with space": 1}"#,
    )
    .expect(0);
    let hash = ada.json(&["set", "trip", "/x", "1"])["hash"].as_str().unwrap().to_owned();
    let asked = |words: &[&str]| asked(&env, &ada.store, words);
    assert_eq!(asked(&["get", "tr"]), ["trip"]);
    assert_eq!(asked(&["get", "t"]), ["tools", "trip"]);
    assert_eq!(asked(&["get", "tools", "/"]), ["/a~1b", "/list"]);
    assert_eq!(asked(&["get", "tools", "/a~1b/"]), ["/a~1b/deep"]);
    assert_eq!(asked(&["set", "tools", "/list/"]), ["/list/0", "/list/1"]);
    assert_eq!(asked(&["diff", "trip", &hash[..3]]), [&hash[..12]]);
    assert_eq!(asked(&["get", "trip", "--at", &hash[..3]]), [&hash[..12]]);
    assert_eq!(asked(&["sync", "tr"]), ["trip"]);
    for command in ["set", "insert", "text", "increment", "delete", "blame", "conflicts"] {
        assert_eq!(asked(&[command, "tr"]), ["trip"], "{command}");
        assert_eq!(asked(&[command, "tools", "/l"]), ["/list"], "{command}");
    }
    assert!(asked(&["qu"]).contains(&"queue".to_owned()));
    // Another store, as it was typed.
    let ben = env.person("ben");
    ben.new_document("other");
    assert_eq!(asked(&["--store", ben.store.to_str().unwrap(), "get", "o"]), ["other"]);
}

#[test]
fn completing_makes_no_store_writes_nothing_and_says_nothing_of_what_goes_wrong() {
    let env = Environment::new();
    let missing = env.path("missing.db");
    assert_eq!(asked(&env, &missing, &["get", "t"]), Vec::<String>::new());
    assert!(!missing.exists());
    std::fs::write(env.path("text.db"), "no store").unwrap();
    asked(&env, &env.path("text.db"), &["get", "t"]);
    let ada = env.person("ada");
    ada.new_document("trip");
    let before = contents(&env.path(""));
    asked(&env, &ada.store, &["get", "tr"]);
    asked(&env, &ada.store, &["get", "trip", "/"]);
    asked(&env, &ada.store, &["log", "nowhere", "/"]);
    assert_eq!(contents(&env.path("")), before);
}

#[test]
fn a_shell_takes_the_script_that_completions_prints() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("trip");
    let script = ada.ok(&["completions", "bash"]);
    std::fs::write(env.path("rejoin.bash"), script).unwrap();
    let directory = Path::new(env!("CARGO_BIN_EXE_rejoin")).parent().unwrap().to_owned();
    let lines = "source ./rejoin.bash; f=$(complete -p rejoin | sed 's/.*-F \\([^ ]*\\).*/\\1/'); \
                 COMP_WORDS=(rejoin get tr); COMP_CWORD=2; COMP_TYPE=9; COMP_LINE='rejoin get tr'; COMP_POINT=13; \
                 \"$f\" rejoin tr get; echo \"${COMPREPLY[@]}\"";
    let output = std::process::Command::new("bash")
        .args(["--norc", "-c", lines])
        .env_clear()
        .env("PATH", format!("{}:/usr/bin:/bin", directory.display()))
        .env("REJOIN_STORE", &ada.store)
        .current_dir(env.path(""))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(said.trim(), "trip", "{output:?}");
}

#[test]
fn what_waits_in_the_queue_is_completed_by_its_number_or_its_hash() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("trip");
    let hash = ada.json(&["set", "trip", "/x", "1"])["hash"].as_str().unwrap().to_owned();
    ada.ok(&["set", "trip", "/y", "1"]);
    for command in ["show", "retry", "drop", "export"] {
        let mut found = asked(&env, &ada.store, &["queue", command, ""]);
        found.retain(|word| !word.starts_with('-'));
        assert_eq!(found, ["1", "2"], "{command}");
    }
    if !hash.starts_with(['1', '2']) {
        assert_eq!(asked(&env, &ada.store, &["queue", "show", &hash[..3]]), [&hash[..12]]);
    }
    assert_eq!(asked(&env, &ada.store, &["queue", "ls", "tr"]), ["trip"]);
}
