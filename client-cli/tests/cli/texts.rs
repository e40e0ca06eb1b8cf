//! Text for people (issue 10, 16): an editor, append, replace, values from files.

use serde_json::json;

use crate::environment::{Environment, Person, Ran};

/// Opens the "editor": a shell script, with the file's name in `$1` and this program in `$REJOIN`.
fn edit(ada: &Person<'_>, env: &Environment, words: &[&str], script: &str) -> Ran {
    std::fs::write(env.path("editor.sh"), script).unwrap();
    let mut command = ada.command(words);
    command.env("VISUAL", "sh editor.sh").env("EDITOR", "false").env("PATH", "/usr/bin:/bin");
    command.env("REJOIN", env!("CARGO_BIN_EXE_rejoin")).env("TMPDIR", env.path(""));
    Ran::of(command.output().unwrap(), words)
}

fn document(env: &Environment) -> Person<'_> {
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["text", "d", "/note", "0", "0", "We leave at nine"]);
    ada.ok(&["set", "d", "/list", r#"["tent", {"name": "stove"}]"#]);
    ada.ok(&["increment", "d", "/nights", "3"]);
    ada
}

#[test]
fn edit_opens_the_editor_and_makes_splices_of_what_differs() {
    let env = Environment::new();
    let ada = document(&env);
    let ran =
        edit(&ada, &env, &["edit", "d", "/note"], "sed -i 's/nine/ten/' \"$1\"; echo >> \"$1\"").expect(0);
    assert!(ran.stdout.contains(" edit /note"), "{ran:#?}");
    // The line break that editors end a file with is not the text's.
    assert_eq!(ada.json(&["get", "d", "/note"]), "We leave at ten");
    let done = &ada.json(&["log", "d", "-n", "1"])[0]["edits"];
    let wanted = json!({"type": "splice", "path": "/note", "pos": 12, "delete": 4, "insert": "ten", "deleted": "nine"});
    assert_eq!(done, &json!([wanted]));
    let ran = edit(&ada, &env, &["edit", "d", "/note"], "true").expect(0);
    assert!(ran.stdout.is_empty() && ran.stderr.contains("Nothing was changed"), "{ran:#?}");
    edit(&ada, &env, &["edit", "d", "/new"], "printf 'a text' > \"$1\"").expect(0);
    ada.ok(&["text", "d", "/new", "0", "0", "It is "]);
    assert_eq!(ada.json(&["get", "d", "/new"]), "It is a text");
    ada.ok(&["undo", "d"]);
    assert_eq!(ada.json(&["get", "d", "/new"]), "a text");
}

#[test]
fn edit_of_json_sets_what_differs_and_keeps_counters_and_texts_what_they_are() {
    let env = Environment::new();
    let ada = document(&env);
    let script = "sed -i -e 's/nine/ten/' -e 's/\"tent\"/\"big tent\"/' -e 's/3/5/' \"$1\"";
    edit(&ada, &env, &["edit", "d"], script).expect(0);
    let wanted = json!({"note": "We leave at ten", "list": ["big tent", {"name": "stove"}], "nights": 5});
    assert_eq!(ada.json(&["get", "d"]), wanted);
    ada.ok(&["increment", "d", "/nights"]);
    ada.ok(&["append", "d", "/note", "!"]);
    assert_eq!(ada.json(&["log", "d", "-n", "3"])[2]["edits"].as_array().unwrap().len(), 3);
}

#[test]
fn an_edit_that_arrives_while_the_editor_is_open_is_not_lost() {
    let env = Environment::new();
    let ada = document(&env);
    let script = "\"$REJOIN\" text d /note 0 0 'Dear all! ' && \"$REJOIN\" insert d /list/0 1 && \
                  sed -i -e 's/nine/ten/' -e 's/\"stove\"/\"small stove\"/' \"$1\"";
    edit(&ada, &env, &["edit", "d", "/note"], script).expect(0);
    assert_eq!(ada.json(&["get", "d", "/note"]), "Dear all! We leave at ten");
    edit(&ada, &env, &["edit", "d"], script).expect(0);
    assert_eq!(ada.json(&["get", "d", "/list"]), json!([1, 1, "tent", {"name": "small stove"}]));
    let script = "\"$REJOIN\" set d /list/2 --string canoe && sed -i 's/\"tent\"/\"big tent\"/' \"$1\"";
    let ran = edit(&ada, &env, &["edit", "d"], script).expect(1);
    assert!(ran.stderr.contains("/list/2"), "{ran:#?}");
}

#[test]
fn what_cannot_be_written_is_kept_in_a_file() {
    let env = Environment::new();
    let ada = document(&env);
    let before = ada.json(&["get", "d"]);
    let kept = |ran: &Ran| {
        let path = ran.stderr.split("kept in ").nth(1).unwrap().trim().trim_end_matches('.').to_owned();
        std::fs::read_to_string(path).unwrap()
    };
    let ran = edit(&ada, &env, &["edit", "d"], "echo '{\"a\": ' > \"$1\"").expect_error(1, "not JSON");
    assert_eq!(kept(&ran), "{\"a\": \n");
    assert_eq!(ada.json(&["get", "d"]), before);
    edit(&ada, &env, &["edit", "d", "/note"], "exit 3").expect_error(1, "editor");
    let gone = "\"$REJOIN\" delete d /note > gone && printf 'We stay' > \"$1\"";
    let ran = edit(&ada, &env, &["edit", "d", "/note"], gone).expect_error(1, "/note");
    assert_eq!(kept(&ran), "We stay");
    edit(&ada, &env, &["edit", "d", "/nights/x"], "true").expect_error(1, "/nights");
}

#[test]
fn append_and_replace_write_texts_without_counting() {
    let env = Environment::new();
    let ada = document(&env);
    ada.ok(&["append", "d", "/note", " sharp"]);
    ada.ok(&["append", "d", "/new", "-- it begins"]);
    ada.ok(&["replace", "d", "/note", "nine", "ten"]);
    assert_eq!(ada.json(&["get", "d", "/note"]), "We leave at ten sharp");
    ada.run(&["replace", "d", "/note", "e", "E"]).expect_error(1, "there 4 times");
    ada.ok(&["replace", "d", "/note", "e", "é", "--all"]);
    assert_eq!(ada.json(&["get", "d", "/note"]), "Wé léavé at tén sharp");
    ada.run(&["replace", "d", "/note", "no such", "x"]).expect_error(1, "is not in the text");
    ada.run(&["replace", "d", "/nothing", "a", "x"]).expect_error(1, "/nothing");
    ada.run(&["replace", "d", "/nights", "a", "x"]).expect_error(1, "/nights");
    ada.run(&["append", "d", "/list", "x"]).expect_error(1, "/list");
    ada.run(&["replace", "d", "/note", "", "x"]).expect(2);
    // A plain string is one value, and is put anew.
    ada.ok(&["set", "d", "/plain", "--string", "a"]);
    ada.ok(&["append", "d", "/plain", "b"]);
    assert_eq!(ada.json(&["get", "d", "/plain"]), "ab");
    assert_eq!(ada.json(&["get", "d", "/new"]), "-- it begins");
}

#[test]
fn any_value_is_taken_from_a_file_or_from_standard_input() {
    let env = Environment::new();
    let ada = document(&env);
    std::fs::write(env.path("v.json"), "{\"a\": [1]}\n").unwrap();
    std::fs::write(env.path("t.txt"), "two\nlines\n").unwrap();
    ada.ok(&["set", "d", "/v", "@v.json"]);
    ada.ok(&["insert", "d", "/l/-", "@v.json"]);
    ada.run_with(&["insert", "d", "/l/-", "-"], "[2]").expect(0);
    ada.run_with(&["set", "d", "/s", "--string", "-"], "as it is\n").expect(0);
    ada.ok(&["set", "d", "/at", "--string", "@@ada"]);
    ada.ok(&["text", "d", "/t", "0", "0", "@t.txt"]);
    ada.run_with(&["append", "d", "/t", "-"], "three").expect(0);
    ada.ok(&["append", "d", "/t", "@@"]);
    ada.ok(&["replace", "d", "/t", "three@", "@t.txt"]);
    let read = ada.json(&["get", "d"]);
    assert_eq!((&read["v"], &read["l"]), (&json!({"a": [1]}), &json!([{"a": [1]}, [2]])));
    assert_eq!((&read["s"], &read["at"]), (&json!("as it is\n"), &json!("@ada")));
    assert_eq!(read["t"], "two\nlines\ntwo\nlines\n");
    for words in [
        &["set", "d", "/v", "@no"][..],
        &["set", "d", "/v", "--string", "@no"],
        &["append", "d", "/t", "@no"],
    ] {
        ada.run(words).expect_error(1, "no could not be read");
    }
    std::fs::write(env.path("bytes"), [0xff, 0xfe]).unwrap();
    ada.run(&["append", "d", "/t", "@bytes"]).expect_error(1, "UTF-8");
}
