//! What waits, shown as what it is, and taken back without losing what is shown.

use serde_json::{Value, json};

use crate::environment::Environment;
use crate::server::{Server, own_address};

#[test]
fn a_set_that_repeats_what_waits_goes_with_it_and_is_named() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "--string", "x"]);
    ada.ok(&["set", "d", "/a", "--string", "x"]);
    // The later one alone: the first stands.
    let asked = ada.run(&["queue", "drop", "1"]).expect(2);
    assert_eq!(asked.stderr.matches("set /a \"x\"").count(), 2, "{asked:#?}");
    ada.ok(&["queue", "drop", "2", "--yes"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"a": "x"}));
    ada.ok(&["set", "d", "/a", "--string", "x"]);
    ada.ok(&["queue", "drop", "1", "--yes"]);
    assert_eq!(ada.json(&["get", "d"]), json!({}));
    assert_eq!(ada.json(&["queue"]), json!([]), "nothing is said to wait that is not there");
}

#[test]
fn what_did_nothing_is_shown_as_that_in_queue_and_log() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "--string", "x"]);
    ada.ok(&["export", "d", "d.automerge"]);
    let id = ada.json(&["ls"])[0]["id"].as_str().unwrap().to_owned();
    ben.ok(&["import", "d.automerge", "--id", &id, "--name", "d"]);
    // Ada wrote it: what Ben sets is so already.
    ben.ok(&["set", "d", "/a", "--string", "x"]);
    ben.ok(&["set", "d", "/m", "{}"]);
    let queue = ben.run(&["queue"]).stdout;
    assert!(queue.contains("set /a \"x\" (already so)"), "{queue}");
    assert!(queue.contains("set /m {}") && !queue.contains("{} (already"), "{queue}");
    let log = ben.ok(&["log", "d"]);
    assert!(log.contains("set /a \"x\" (already so)") && log.contains("set /m {}"), "{log}");
    assert_eq!(ben.json(&["queue"])[0]["already_so"], true);
    assert_eq!(ben.json(&["queue"])[1]["already_so"], false);
    let hash = ben.json(&["queue"])[0]["change_hash"].as_str().unwrap().to_owned();
    assert!(ben.ok(&["show", "d", &hash]).contains("(already so)"));
}

#[test]
fn a_drop_tells_no_more_of_a_value_than_the_queue_does() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let long = "x".repeat(100_000);
    ada.run_with(&["set", "d", "/a", "-"], &json!(long).to_string()).expect(0);
    let asked = ada.run(&["queue", "drop", "1"]).expect(2);
    assert!(asked.stderr.len() < 600 && asked.stderr.contains("set /a"), "{asked:#?}");
    assert!(ada.ok(&["queue", "drop", "1", "--yes"]).len() < 300);
}

#[test]
fn an_undo_in_the_queue_names_its_change_by_its_first_digits() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let hash = ada.json(&["set", "d", "/a", "1"])["hash"].as_str().unwrap().to_owned();
    ada.ok(&["undo", "d"]);
    let queue = ada.ok(&["queue"]);
    assert!(queue.contains(&format!("undo {}", &hash[..12])) && !queue.contains('"'), "{queue}");
}

#[test]
fn a_retry_that_finds_nothing_to_do_says_so() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/b", "1"]);
    let none = ada.run(&["queue", "retry", "1"]).expect(0);
    assert!(none.stderr.contains("Nothing was parked") && none.stdout.is_empty(), "{none:#?}");
}

#[test]
fn retry_all_offers_what_is_parked_again_in_every_document() {
    let env = Environment::new();
    let ada = env.person("ada");
    let server = Server::start_with(env.path("server.db"), own_address(), |config| {
        config.limits.change.change_bytes = 600;
    });
    ada.ok(&["init", "--server", &server.url()]);
    let large: String = (0..2_000).map(|i| char::from(b'a' + (i * i % 23) as u8)).collect();
    for name in ["one", "two"] {
        ada.new_document(name);
        ada.ok(&["set", name, "/a", "--string", &large]);
        ada.ok(&["set", name, "/b", "--string", &large]);
    }
    let states = || -> Vec<String> {
        let queue: Value = serde_json::from_str(&ada.run(&["queue", "--json"]).stdout).unwrap();
        queue.as_array().unwrap().iter().map(|row| row["state"].as_str().unwrap().to_owned()).collect()
    };
    ada.run(&["sync"]).expect(5);
    assert!(states().iter().all(|state| state == "parked"), "{:?}", states());
    let parked = states().len();
    assert!(ada.ok(&["queue", "retry", "--all"]).contains(&format!("{parked} changes")));
    assert_eq!(states(), vec!["waiting"; parked]);
}
