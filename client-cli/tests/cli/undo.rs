use rejoin::blocking::Store;
use rejoin::{Action, UndoStep};
use serde_json::{Value, json};

use crate::environment::{Environment, Person};
use crate::server::Server;

/// Two people on one document, each known by name, who have synced.
fn two<'a>(env: &'a Environment, server: &Server) -> (Person<'a>, Person<'a>) {
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.ok(&["init", "--server", &server.url(), "--author", "Ada"]);
    ben.ok(&["init", "--server", &server.url(), "--author", "Ben"]);
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/title", "\"Alps\""]);
    ada.ok(&["sync"]);
    ben.ok(&["join", &id, "--name", "d"]);
    ben.ok(&["sync"]);
    (ada, ben)
}

/// Everybody has what everybody has.
fn meet(ada: &Person<'_>, ben: &Person<'_>) -> Value {
    for person in [ada, ben, ada] {
        person.ok(&["sync"]);
    }
    let read = ada.json(&["get", "d"]);
    assert_eq!(read, ben.json(&["get", "d"]));
    read
}

/// The words of a line without hashes and times, which are never the same.
fn words(line: &str) -> Vec<&str> {
    let plain = |word: &&str| {
        let hash = word.len() >= 8 && word.bytes().all(|b| b.is_ascii_hexdigit());
        let time = word.len() > 5 && word.bytes().all(|b| b.is_ascii_digit() || b"-:+".contains(&b));
        !(hash || time)
    };
    line.split_whitespace().filter(plain).collect()
}

#[test]
fn undo_and_redo_go_back_and_forth_and_say_what_they_did() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let first = ada.json(&["set", "d", "/a", "1"])["hash"].as_str().unwrap().to_owned();
    ada.ok(&["text", "d", "/t", "0", "0", "hello"]);
    assert_eq!(words(&ada.ok(&["undo", "d"])), ["undid", "splice"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"a": 1, "t": ""}));
    let done = ada.json(&["undo", "d"]);
    assert_eq!((&done["kind"], &done["action_type"]), (&json!("undo"), &json!("set")));
    assert_eq!((&done["of"], &done["action"]), (&json!(first), &json!(first)));
    assert_eq!((&done["undone"], &done["skipped"]), (&json!(1), &json!(0)));
    assert_eq!(ada.json(&["get", "d"]), json!({"t": ""}));
    ada.run(&["undo", "d"]).expect_error(1, "nothing to undo");
    assert_eq!(words(&ada.ok(&["redo", "d"])), ["redid", "set"]);
    assert_eq!(words(&ada.ok(&["redo", "d"])), ["redid", "splice"]);
    ada.run(&["redo", "d"]).expect_error(1, "nothing to redo");
    assert_eq!(ada.json(&["get", "d"]), json!({"a": 1, "t": "hello"}));
    ada.ok(&["undo", "d"]);
    ada.ok(&["set", "d", "/b", "1"]);
    ada.run(&["redo", "d"]).expect_error(1, "nothing to redo");
    ada.run(&["undo", "no"]).expect_error(1, "no");
    let queue = ada.json(&["queue"]);
    assert_eq!(queue[2]["action_type"], "undo");
    assert!(queue[2]["action"]["of"].is_string());
    assert!(ada.ok(&["log", "d"]).contains("redo"));
}

#[test]
fn undo_after_a_sync_leaves_what_others_wrote_since() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = two(&env, &server);
    ada.ok(&["set", "d", "", r#"{"title": "Andes", "nights": 3}"#]);
    meet(&ada, &ben);
    ben.ok(&["set", "d", "/nights", "5"]);
    meet(&ada, &ben);
    let said = ada.ok(&["undo", "d"]);
    assert!(said.contains("but for 1 place where others wrote since"), "{said}");
    assert_eq!(meet(&ada, &ben), json!({"title": "Alps", "nights": 5}));
    ada.ok(&["redo", "d"]);
    assert_eq!(meet(&ada, &ben), json!({"title": "Andes", "nights": 5}));
    ada.ok(&["undo", "d"]);
    meet(&ada, &ben);
    // What Ben's stood over is undone meanwhile, and does not come back.
    ben.ok(&["undo", "d"]);
    assert_eq!(meet(&ada, &ben), json!({"title": "Alps"}));
    ben.run(&["undo", "d"]).expect_error(1, "nothing to undo");
}

#[test]
fn conflicts_lists_every_value_until_one_is_taken() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = two(&env, &server);
    assert_eq!(ada.json(&["conflicts", "d"]), json!([]));
    let none = ada.run(&["conflicts", "d"]).expect(0);
    assert!(none.stdout.is_empty() && none.stderr.contains("No writes met"), "{none:#?}");
    ada.ok(&["set", "d", "/title", "\"Andes\""]);
    ben.ok(&["set", "d", "/title", "\"Ural\""]);
    ben.ok(&["set", "d", "/other", "1"]);
    let read = meet(&ada, &ben);
    let found = ben.json(&["conflicts", "d", "/title"]);
    assert_eq!((found.as_array().unwrap().len(), &found[0]["path"]), (1, &json!("/title")));
    let values = found[0]["values"].as_array().unwrap();
    assert_eq!((values[0]["wins"].as_bool(), &values[0]["value"]), (Some(true), &read["title"]));
    let mut told: Vec<_> =
        values.iter().map(|v| (v["author"].as_str().unwrap(), v["value"].as_str().unwrap())).collect();
    told.sort_unstable();
    assert_eq!(told, [("Ada", "Andes"), ("Ben", "Ural")]);
    assert!(values.iter().all(|v| v["made_at"].is_string() && v["hash"].is_string()));
    let text = ada.ok(&["conflicts", "d"]);
    let lines: Vec<_> = text.lines().map(words).collect();
    assert_eq!(lines[0], ["/title"]);
    assert!(lines[1].starts_with(&["*", "1"]) && lines[2].first() == Some(&"2"), "{text}");
    for bad in ["0", "3"] {
        assert_ne!(ada.run(&["conflicts", "d", "/title", "--take", bad]).code, 0);
    }
    ada.run(&["conflicts", "d", "/other", "--take", "1"]).expect_error(1, "no concurrent writes");
    assert!(ada.ok(&["conflicts", "d", "/title", "--take", "2"]).contains("take /title"));
    assert_eq!(meet(&ada, &ben)["title"], values[1]["value"]);
    assert_eq!(ben.json(&["conflicts", "d"]), json!([]));
    ada.ok(&["undo", "d"]);
    assert_eq!(meet(&ada, &ben)["title"], values[0]["value"]);
}

#[test]
fn blame_names_who_wrote_what() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = two(&env, &server);
    ada.ok(&["text", "d", "/note", "0", "0", "We leave at nine"]);
    meet(&ada, &ben);
    let before = ada.json(&["ls"])[0]["heads"][0].as_str().unwrap().to_owned();
    ben.ok(&["text", "d", "/note", "12", "4", "ten"]);
    meet(&ada, &ben);
    let text = ada.ok(&["blame", "d", "/note"]);
    let lines: Vec<_> = text.lines().map(words).collect();
    assert_eq!(lines[0], ["-", "-", "(container)", "/note"]);
    assert_eq!(lines[1], ["Ada", "splice", "/note", "0..12"]);
    assert_eq!(lines[2], ["Ben", "splice", "/note", "12..15"]);
    assert_eq!(words(&ada.ok(&["blame", "d", "/title"])), ["Ada", "set", "/title"]);
    let then = ada.json(&["blame", "d", "/note", "--at", &before]);
    assert_eq!((then.as_array().unwrap().len(), &then[1]["length"]), (2, &json!(16)));
    assert_eq!(ada.json(&["blame", "d"]).as_array().unwrap().len(), 4);
    ada.run(&["blame", "d", "/no"]).expect_error(1, "/no");
}

#[test]
fn revert_takes_anothers_change_back_and_names_what_others_built_on() {
    let env = Environment::new();
    let server = Server::start(env.path("server.db"));
    let (ada, ben) = two(&env, &server);
    let hash = ben.json(&["set", "d", "", r#"{"title": "Andes", "nights": 3}"#])["hash"].clone();
    let hash = hash.as_str().unwrap();
    meet(&ada, &ben);
    ada.ok(&["set", "d", "/nights", "5"]);
    let said = ada.ok(&["revert", "d", &hash[..8]]);
    assert!(said.contains(" reverted set ") && said.contains("  left as it is: /nights\n"), "{said}");
    assert_eq!(meet(&ada, &ben), json!({"title": "Alps", "nights": 5}));
    let before = ada.json(&["log", "d"]);
    let nothing = ada.run(&["revert", "d", hash]).expect(0);
    assert!(nothing.stderr.contains("nothing to revert") && nothing.stdout.is_empty(), "{nothing:#?}");
    assert_eq!(ada.json(&["revert", "d", hash])["hash"], serde_json::Value::Null);
    assert_eq!(ada.json(&["log", "d"]), before, "no change was made");
    assert_eq!(words(&ada.ok(&["undo", "d"]))[..2], ["undid", "revert"]);
    assert_eq!(meet(&ada, &ben), json!({"title": "Andes", "nights": 5}));
    assert_eq!(ada.json(&["redo", "d"])["left"], json!([]));
    assert_eq!(meet(&ada, &ben), json!({"title": "Alps", "nights": 5}));
    ada.run(&["revert", "d", "ffffffff"]).expect_error(1, "no change");
}

#[test]
fn reset_makes_the_document_read_as_it_did_and_is_undone_like_any_action() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let first = ada.json(&["text", "d", "/note", "0", "0", "hello"])["hash"].clone();
    let first = first.as_str().unwrap();
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["text", "d", "/note", "5", "0", " world"]);
    assert!(ada.ok(&["reset", "d", "--to", &first[..8]]).contains(" reset to "));
    assert_eq!(ada.json(&["get", "d"]), json!({"note": "hello"}));
    let again = ada.run(&["reset", "d", "--to", first]).expect(0);
    assert!(again.stdout.is_empty() && again.stderr.contains("Nothing was changed"), "{again:#?}");
    assert!(ada.ok(&["log", "d", "-n", "1"]).contains("reset "));
    ada.ok(&["undo", "d"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"a": 1, "note": "hello world"}));
    ada.run(&["reset", "d"]).expect(2);
    ada.run(&["reset", "d", "--to", "ffffffff"]).expect_error(1, "no change");
}

#[test]
fn a_step_that_an_app_made_of_several_actions_is_undone_as_one_and_called_by_its_name() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = ada.new_document("d").parse().unwrap();
    let store = Store::open(&ada.store).unwrap();
    let typing = UndoStep::new().group("typing").label("Typing");
    for (pos, letter) in ["a", "b", "c"].into_iter().enumerate() {
        let letter =
            Action::Splice { path: "/t".into(), pos: pos as u64, delete: 0, insert: letter.to_owned() };
        store.dispatch_step(id, letter, &typing).unwrap();
    }
    drop(store);
    let undid = ada.ok(&["undo", "d"]);
    assert_eq!(
        words(&undid),
        ["undid", "\"Typing\"", "(splice)", "and", "2", "more", "actions", "of", "the", "same", "step"]
    );
    assert_eq!(ada.json(&["get", "d"]), json!({"t": ""}));
    let redone = ada.json(&["redo", "d"]);
    assert_eq!((&redone["label"], redone["with"].as_array().unwrap().len()), (&json!("Typing"), 2));
    assert!(redone["with"][0]["action"].is_string());
    assert_eq!(ada.json(&["get", "d"]), json!({"t": "abc"}));
}

/// One change cannot write two values of a place: what a take removed comes back as what read, or is named.
#[test]
fn the_undo_of_a_take_leaves_what_read_before_and_says_where_the_other_values_are() {
    for nth in ["1", "2"] {
        let env = Environment::new();
        let server = Server::start(env.path("server.db"));
        let (ada, ben) = two(&env, &server);
        ada.ok(&["set", "d", "/title", "--string", "hers"]);
        ben.ok(&["set", "d", "/title", "--string", "his"]);
        let before = meet(&ada, &ben);
        ada.ok(&["conflicts", "d", "/title", "--take", nth]);
        let undone = ada.run(&["undo", "d"]).expect(0);
        assert!(undone.stderr.contains("`rejoin log` shows each value"), "{nth}: {undone:#?}");
        assert!(!undone.stdout.contains("others wrote"), "{nth}: {undone:#?}");
        assert_eq!(meet(&ada, &ben), before, "{nth}");
        let log = ben.ok(&["log", "d", "/title"]);
        assert!(log.contains("\"hers\"") && log.contains("\"his\""), "{nth}: {log}");
    }
}
