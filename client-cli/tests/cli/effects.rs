//! `rejoin effects`, on a store that an app has written to.

use rejoin::Action;
use rejoin::blocking::Store;
use rejoin::effects::{EffectRequest, Verdict};
use rejoin::store::{Core, Durability, LeaseTerms};
use serde_json::{Value, json};

use crate::environment::{Environment, Person};

fn add(by: i64) -> Action {
    Action::Increment { path: "/n".into(), by }
}

/// Two requests that wait, a third that comes after the second, and a dead letter.
fn ask(person: &Person<'_>) -> Vec<String> {
    let store = Store::open(&person.store).unwrap();
    let id = store.create(None, Some("shop")).unwrap();
    let request = |url: &str| EffectRequest::new("http", json!({"url": url, "body": {"n": 1}})).lane(url);
    let create = request("/b").roll_back(add(-10));
    let effects = vec![
        request("/a"),
        create.clone(),
        EffectRequest::new("mail", json!({"to": "ben"})).lane("mail").after(create.id()),
        EffectRequest::new("dead", json!({"url": "/dead", "method": "put"})).lane("dead").roll_back(add(-1)),
    ];
    let names = effects.iter().map(|e| e.id().to_string()).collect();
    store.dispatch_with(id, add(11), effects).unwrap();
    drop(store);
    refuse(person);
    names
}

/// The receiver refuses what is of the kind `dead`.
fn refuse(person: &Person<'_>) {
    let mut core = Core::open(&person.store, Durability::Normal).unwrap();
    let terms = LeaseTerms { kinds: vec!["dead".into()], most: 9, lease: std::time::Duration::from_secs(9) };
    for (effect, lease) in core.lease_effects(&terms).unwrap().effects {
        let why = "the receiver answered 422: no \u{1b}[31mtents".to_owned();
        let verdict = Verdict::Dead { why, reply: json!({"status": 422}) };
        assert!(core.settle_effect(effect.id, &lease, verdict).unwrap());
    }
}

#[test]
fn effects_are_listed_and_a_dead_letter_needs_a_person() {
    let env = Environment::new();
    let ada = env.person("ada");
    assert_eq!(ada.json(&["effects"]), json!([]));
    assert_eq!(ada.ok(&["effects", "ls"]), "");
    let names = ask(&ada);
    let listed = ada.run(&["effects", "--json"]).expect(5);
    let listed: Value = serde_json::from_str(&listed.stdout).unwrap();
    let states: Vec<_> = listed.as_array().unwrap().iter().map(|e| e["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["waiting", "waiting", "waiting", "dead"]);
    for (effect, name) in listed.as_array().unwrap().iter().zip(&names) {
        assert_eq!(effect["id"], json!(name));
    }
    assert_eq!((&listed[3]["attempts"], &listed[3]["next_attempt_at"]), (&json!(1), &Value::Null));
    let table = ada.run(&["effects"]).expect(5);
    assert!(table.stdout.contains("POST /a {\"n\":1}") && table.stdout.contains("PUT /dead"), "{table:?}");
    assert!(table.stderr.contains("Dead 4: the receiver answered 422: no \\u{1b}[31mtents"), "{table:?}");
    assert_eq!(ada.json(&["get", "shop", "/n"]), 10, "the rollback");
}

#[test]
fn one_is_shown_in_full_by_number_id_or_the_start_of_it() {
    let env = Environment::new();
    let ada = env.person("ada");
    let names = ask(&ada);
    let shown = ada.json(&["effects", "show", "4"]);
    assert_eq!((&shown["id"], &shown["outcome"]["status"]), (&json!(names[3]), &json!(422)));
    assert_eq!(ada.json(&["effects", "show", names[3].get(..8).unwrap()]), shown);
    let text = ada.ok(&["effects", "show", &names[2]]);
    assert!(
        text.contains(&format!("comes after {}", names[1])) && text.contains("{\"to\":\"ben\"}"),
        "{text}"
    );
    ada.run(&["effects", "show", "9"]).expect_error(1, "rejoin effects");
}

#[test]
fn a_dead_letter_is_sent_again_under_its_key() {
    let env = Environment::new();
    let ada = env.person("ada");
    let names = ask(&ada);
    assert_eq!(ada.json(&["effects", "retry", "4"]), json!({"retried": 1}));
    let waiting = ada.json(&["effects", "show", &names[3]]);
    assert_eq!((&waiting["state"], &waiting["attempts"]), (&json!("waiting"), &json!(1)));
    refuse(&ada);
    ada.run(&["effects"]).expect(5);
}

#[test]
fn drop_names_what_goes_and_wants_a_yes() {
    let env = Environment::new();
    let ada = env.person("ada");
    let names = ask(&ada);
    let asked = ada.run(&["effects", "drop", "2"]).expect_error(2, "effect 2 would not be sent any more");
    assert!(asked.stderr.contains("3 {\"to\":\"ben\"} comes after it"), "{asked:?}");
    let before = ada.run(&["effects", "--json"]).expect(5).stdout;
    assert!(!before.contains("dropped"));
    let dropped = ada.json(&["effects", "drop", "2", "--roll-back", "--yes"]);
    assert_eq!(dropped["dropped"]["id"], json!(names[1]));
    assert_eq!(dropped["dependants"][0]["id"], json!(names[2]));
    assert_eq!(ada.json(&["get", "shop", "/n"]), 0);
    ada.run(&["effects", "drop", "2", "--yes"]).expect_error(1, "is dropped");
    ada.run(&["effects", "retry", "2"]).expect_error(1, "is dropped");
    let left = ada.run(&["effects", "ls", "--json"]).expect(5);
    assert_eq!(serde_json::from_str::<Value>(&left.stdout).unwrap().as_array().unwrap().len(), 3);
    let all = ada.run(&["effects", "ls", "--all", "--json"]).expect(5);
    assert_eq!(serde_json::from_str::<Value>(&all.stdout).unwrap().as_array().unwrap().len(), 4);
}
