use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;

use crate::environment::Environment;

fn sets(n: usize) -> String {
    (1..=n).map(|i| format!("{{\"type\":\"set\",\"path\":\"/a{}\",\"value\":{i}}}\n", i % 100)).collect()
}

#[test]
fn each_line_is_one_change() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let lines = r#"{"type":"set","path":"/a","value":1}

{"type":"increment","path":"/n","by":2}
{"type":"insert","path":"/list/-","value":"tent"}
{"type":"splice","path":"/text","pos":0,"delete":0,"insert":"x"}
{"type":"delete","path":"/a"}"#;
    std::fs::write(env.path("lines"), lines).unwrap();
    assert_eq!(ada.ok(&["apply", "d", "lines"]), "5 actions applied\n");
    assert_eq!(ada.json(&["get", "d"]), serde_json::json!({"n": 2, "list": ["tent"], "text": "x"}));
    assert_eq!(ada.json(&["queue"]).as_array().unwrap().len(), 5);
    assert_eq!(ada.json(&["apply", "d", "lines"])["applied"], 5);
}

#[test]
fn ack_prints_a_hash_for_each_change_in_order() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let printed = ada.run_with(&["apply", "d", "--ack", "--batch", "7"], &sets(50)).expect(0).stdout;
    let queue = ada.json(&["queue"]);
    let hashes: Vec<_> =
        queue.as_array().unwrap().iter().map(|e| e["change_hash"].as_str().unwrap()).collect();
    assert_eq!(printed.lines().collect::<Vec<_>>(), hashes);
    let lines = ada.run_with(&["apply", "d", "-", "--ack", "--json"], &sets(3)).expect(0).stdout;
    let line: serde_json::Value = serde_json::from_str(lines.lines().nth(2).unwrap()).unwrap();
    assert_eq!(line["line"], 3);
    assert_eq!(line["hash"].as_str().unwrap().len(), 64);
}

#[test]
fn from_a_slow_input_each_action_is_durable_before_the_next_comes() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let mut child =
        ada.command(&["apply", "d", "--ack"]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    for n in 1..=3 {
        stdin.write_all(sets(1).as_bytes()).unwrap();
        let mut hash = String::new();
        stdout.read_line(&mut hash).unwrap();
        assert_eq!(hash.trim().len(), 64);
        assert_eq!(ada.json(&["queue"]).as_array().unwrap().len(), n);
    }
    drop(stdin);
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_bad_line_stops_with_its_number_and_what_came_before_it_is_kept() {
    let env = Environment::new();
    let ada = env.person("ada");
    for (n, bad) in [
        "nonsense",
        r#"{"type":"fly"}"#,
        r#"{"type":"set","path":"no-slash","value":1}"#,
        r#"{"type":"insert","path":"/a1/-","value":1}"#,
        r#"{"type":"splice","path":"/t","pos":9,"delete":0,"insert":"x"}"#,
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("d{n}");
        ada.new_document(&name);
        let input = format!("{}\n{bad}\n{}", sets(2), sets(1));
        let ran = ada.run_with(&["apply", &name, "--ack"], &input).expect(1);
        assert!(ran.stderr.contains("line 4") && ran.stderr.contains("2 actions"), "{ran:#?}");
        assert_eq!(ran.stdout.lines().count(), 2, "{ran:#?}");
        assert_eq!(ada.json(&["get", &name]), serde_json::json!({"a1": 1, "a2": 2}));
    }
    ada.new_document("j");
    let ran = ada.run_with(&["apply", "j", "--json"], &format!("{}nonsense", sets(2))).expect(1);
    assert!(ran.stdout.contains("\"applied\":2") && ran.stdout.contains("\"stopped_at\":3"), "{ran:#?}");
}

#[test]
fn thirty_thousand_actions_take_seconds() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let begun = std::time::Instant::now();
    ada.run_with(&["apply", "d"], &sets(30_000)).expect(0);
    assert!(begun.elapsed().as_secs() < 60, "{:?}", begun.elapsed());
}
