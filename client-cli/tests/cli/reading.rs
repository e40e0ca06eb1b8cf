//! Reading in other ways (issue 10, 19): formats, a watch of a document, a comparison with another copy.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use serde_json::{Value, json};

use crate::environment::{Environment, Person};

fn document(env: &Environment) -> Person<'_> {
    let ada = env.person("ada");
    ada.new_document("d");
    let people = json!({"ada": {"train": true, "age": 36}, "ben": {"train": false}});
    ada.ok(&["set", "d", "", &json!({"title": "Alps", "people": people, "list": ["tent", 2]}).to_string()]);
    ada.ok(&["text", "d", "/note", "0", "0", "two\nlines"]);
    ada
}

#[test]
fn get_prints_json_yaml_a_table_or_the_text_as_it_is() {
    let env = Environment::new();
    let ada = document(&env);
    let get = |words: &[&str]| ada.ok(&[&["get", "d"], words].concat());
    assert_eq!(get(&["/list"]), "[\n  \"tent\",\n  2\n]\n");
    assert_eq!(get(&["/list", "--format", "json", "--json"]), "[\"tent\",2]\n");
    assert_eq!(get(&["/list", "--format", "yaml"]), "- tent\n- 2\n");
    assert!(
        get(&["--format", "yaml"]).contains("\nnote: |-\n  two\n  lines\n"),
        "{}",
        get(&["--format", "yaml"])
    );
    assert_eq!(get(&["/note", "--format", "raw"]), "two\nlines");
    assert_eq!(get(&["/people/ada/age", "--format", "raw"]), "36\n");
    let table = get(&["/people", "--format", "table"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0], &rows[3]), (&vec!["key", "age", "train"], &vec!["ben", "false"]), "{table}");
    let table = get(&["/list", "--format", "table"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!((&rows[0], &rows[2]), (&vec!["#", "value"], &vec!["0", "tent"]), "{table}");
    ada.run(&["get", "d", "--format", "yaml", "--json"]).expect(2);
    ada.run(&["get", "d", "--format", "xml"]).expect(2);
}

#[test]
fn watch_prints_each_change_as_it_comes() {
    let env = Environment::new();
    let ada = document(&env);
    for (words, json) in [(&["watch", "d", "/list"][..], false), (&["watch", "d", "/list", "--json"], true)] {
        let mut child = ada.command(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
        assert!(said.next().unwrap().unwrap().starts_with("Watching"));
        ada.ok(&["set", "d", "/title", "1"]);
        let hash = ada.json(&["insert", "d", "/list/0", "\"rope\""])["hash"].as_str().unwrap().to_owned();
        ada.ok(&["delete", "d", "/list/0"]);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let (first, second) = (lines.next().unwrap().unwrap(), lines.next().unwrap().unwrap());
        if json {
            let first: Value = serde_json::from_str(&first).unwrap();
            assert_eq!(first["hash"], hash);
            assert_eq!(first["edits"], json!([{"type": "insert", "path": "/list/0", "value": "rope"}]));
        } else {
            assert!(first.starts_with(&hash[..12]) && first.contains("insert /list/0 \"rope\""), "{first}");
            assert!(second.contains("delete /list/0"), "{second}");
        }
        let id = child.id().to_string();
        assert!(std::process::Command::new("kill").args(["-INT", &id]).status().unwrap().success());
        assert_eq!(child.wait().unwrap().code(), Some(0));
    }
    ada.run(&["watch", "no"]).expect_error(1, "no");
}

#[test]
fn diff_compares_a_document_with_a_file_and_with_another_store() {
    let env = Environment::new();
    let ada = document(&env);
    let ben = env.person("ben");
    ada.ok(&["export", "d", "d.automerge"]);
    let id = ada.json(&["ls"])[0]["id"].as_str().unwrap().to_owned();
    ben.ok(&["import", "d.automerge", "--id", &id]);
    assert_eq!(ada.ok(&["diff", "d", "--with", "d.automerge"]), "");
    let first = ada.json(&["log", "d"])[1]["hash"].as_str().unwrap().to_owned();
    ada.ok(&["set", "d", "/title", "\"Andes\""]);
    ben.ok(&["delete", &id, "/list"]);
    let title = json!({"path": "/title", "before": "Andes", "after": "Alps"});
    assert_eq!(ada.json(&["diff", "d", "--with", "d.automerge"]), json!([title]));
    let told = ada.ok(&["diff", "d", "--with", "ben.db"]);
    assert!(told.contains("- /list") && told.contains("~ /title  \"Andes\" -> \"Alps\""), "{told}");
    std::fs::write(env.path("plan.json"), json!({"title": "Andes"}).to_string()).unwrap();
    let told = ada.ok(&["diff", "d", &first, "--with", "plan.json"]);
    assert!(told.contains("~ /title  \"Alps\" -> \"Andes\"") && told.contains("- /people"), "{told}");
    ada.run(&["diff", "d"]).expect(2);
    ada.run(&["diff", "d", "--with", "nothing"]).expect_error(1, "nothing could not be read");
    std::fs::write(env.path("bad"), "{").unwrap();
    ada.run(&["diff", "d", "--with", "bad"]).expect_error(1, "neither");
    let eve = env.person("eve");
    eve.new_document("other");
    ada.run(&["diff", "d", "--with", "eve.db"]).expect_error(1, "eve.db");
    assert_eq!(eve.json(&["ls"]).as_array().unwrap().len(), 1);
}
