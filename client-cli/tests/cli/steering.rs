//! Whatever others wrote, and wherever it comes out: nothing in it steers a terminal or turns a line around.

use std::collections::BTreeSet;

use automerge::{
    ActorId, AutoCommit, ROOT, ReadDoc as _, transaction::CommitOptions, transaction::Transactable as _,
};
use rejoin::Action;
use rejoin::blocking::Store;
use rejoin::effects::EffectRequest;
use serde_json::{Value, json};

use crate::environment::{Environment, Person, Ran};
use crate::server::Impostor;

/// Every character that steers, but for NUL, which no argument can hold.
fn all() -> String {
    let everything = (1..=0x10_ffff).filter_map(char::from_u32);
    format!("<{}>", everything.filter(|c| rejoin::printable::steers(*c)).collect::<String>())
}

/// Values, keys, action types and authors of another program that writes whatever it likes, and a conflict.
fn hostile_file() -> Vec<u8> {
    let evil = format!("{}\0", all());
    let message = json!({"a": format!("set{evil}"), "by": format!("ada{evil}")}).to_string();
    let commit = |doc: &mut AutoCommit| {
        doc.commit_with(CommitOptions::default().with_message(message.clone()).with_time(1));
    };
    let mut doc = AutoCommit::new().with_actor(ActorId::from([1; 16]));
    doc.put(ROOT, format!("key{evil}"), format!("value{evil}")).unwrap();
    commit(&mut doc);
    let mut other = doc.fork().with_actor(ActorId::from([2; 16]));
    doc.put(ROOT, "met", format!("one{evil}")).unwrap();
    commit(&mut doc);
    other.put(ROOT, "met", format!("two{evil}")).unwrap();
    commit(&mut other);
    doc.merge(&mut other).unwrap();
    assert_eq!(doc.get_all(ROOT, "met").unwrap().len(), 2);
    doc.save()
}

/// A store in which everything that can be shown is hostile. Gives the document's id.
fn fill(env: &Environment, ada: &Person<'_>) -> String {
    let evil = all();
    let file = env.path("hostile.automerge");
    std::fs::write(&file, hostile_file()).unwrap();
    let id = ada.ok(&["import", file.to_str().unwrap()]).trim().to_owned();
    let store = Store::open(&ada.store).unwrap();
    let shop = store.create(None, Some("shop")).unwrap();
    let request = EffectRequest::new("http", json!({"url": format!("/a{evil}"), "body": evil}));
    store.dispatch_with(shop, Action::Increment { path: "/n".into(), by: 1 }, vec![request]).unwrap();
    drop(store);
    // Others made these names, or an earlier release took them.
    let sql = rusqlite::Connection::open(&ada.store).unwrap();
    let set = |text: &str| sql.execute(text, [format!("x{evil}")]).unwrap();
    set("INSERT INTO meta VALUES ('author', ?1) ON CONFLICT DO UPDATE SET value = excluded.value");
    set("UPDATE document SET name = ?1 || id");
    set("INSERT INTO pusher VALUES (1, 'token:' || ?1)");
    sql.execute("UPDATE change SET pusher = 1 WHERE local = 0", []).unwrap();
    set("INSERT INTO change (id, hash, actor, seq, deps, bytes, action_type, author, made_at, local, quarantined, pusher)
         SELECT id + 1000, randomblob(32), actor, seq + 1000, deps, bytes, action_type, author, made_at, 0, ?1, pusher
           FROM change WHERE local = 0 AND author IS NOT NULL ORDER BY id LIMIT 1");
    set("UPDATE job SET name = ?1, lane = ?1, error = ?1, state = 'dead'");
    drop(sql);
    ada.ok(&["set", &id, "/q", "--string", &evil]);
    let sql = rusqlite::Connection::open(&ada.store).unwrap();
    let sent = "UPDATE pending SET last_error = ?1, attempts = 1, last_attempt_at = 1, state = 'parked'";
    sql.execute(sent, [format!("x{evil}")]).unwrap();
    id
}

/// Nothing steers, on either stream.
fn calm(ran: &Ran, words: &[String]) {
    for text in [&ran.stdout, &ran.stderr] {
        let found: BTreeSet<char> =
            text.chars().filter(|c| *c != '\n' && rejoin::printable::steers(*c)).collect();
        assert!(found.is_empty(), "rejoin {words:?}: {found:?} in {text}");
    }
}

/// What is typed for each command, here and where nothing is as it should be.
fn invocations(env: &Environment, id: &str, server: &str) -> Vec<(&'static str, Vec<Vec<String>>)> {
    let evil = all();
    let bad = format!("/nothing{evil}");
    let path = |name: &str| env.path(name).to_str().unwrap().to_owned();
    let key = json!(format!("{evil}\0")).to_string();
    let line = format!("{{\"type\":\"set\",\"path\":\"/a\",\"value\":{key}}}\n{{\"type\":{key}}}\n");
    std::fs::write(env.path("actions"), line).unwrap();
    let lines = |all: &[&[&str]]| -> Vec<Vec<String>> {
        all.iter().map(|words| words.iter().map(ToString::to_string).collect()).collect()
    };
    vec![
        ("demo", lines(&[&["demo", &evil]])),
        ("init", lines(&[&["init"], &["init", "--server", &evil]])),
        ("new", lines(&[&["new", "--id", &evil], &["new"]])),
        ("share", lines(&[&["share", id], &["share", &evil]])),
        ("join", lines(&[&["join", &evil], &["join", id]])),
        ("ls", lines(&[&["ls"], &["ls", "--deleted"]])),
        ("undelete", lines(&[&["undelete", &evil], &["undelete", id, "--name", &evil]])),
        ("discard", lines(&[&["discard", &evil, "--yes"], &["discard", id]])),
        ("leave", lines(&[&["leave", "shop"], &["leave", &evil, "--yes"]])),
        ("rename", lines(&[&["rename", id, &evil], &["rename", &evil, "x"]])),
        ("rm", lines(&[&["rm", id], &["rm", &evil, "--yes"]])),
        (
            "get",
            lines(&[
                &["get", id],
                &["get", id, "/met"],
                &["get", id, &bad],
                &["get", &evil],
                &["get", id, "--format", "yaml"],
                &["get", id, "--format", "table"],
            ]),
        ),
        ("set", lines(&[&["set", id, "/s", &key], &["set", id, "/s", &evil], &["set", id, &bad, "1"]])),
        ("delete", lines(&[&["delete", id, &bad], &["delete", id, &evil]])),
        ("increment", lines(&[&["increment", id, &format!("/n{evil}")], &["increment", id, "/met"]])),
        ("insert", lines(&[&["insert", id, "/l/-", &key], &["insert", id, &bad, &evil]])),
        ("text", lines(&[&["text", id, "/t", "0", "0", &evil], &["text", id, &bad, "9", "9"]])),
        ("edit", lines(&[&["edit", id, "/t"], &["edit", id, &bad], &["edit", &evil]])),
        ("append", lines(&[&["append", id, "/t", &evil], &["append", id, "/met2", &format!("@{evil}")]])),
        (
            "replace",
            lines(&[&["replace", id, "/t", &evil, "x", "--all"], &["replace", id, &bad, &evil, "x"]]),
        ),
        (
            "apply",
            lines(&[&["apply", id, &path("actions")], &["apply", id, &path(&format!("no{}", '\u{9b}'))]]),
        ),
        (
            "sync",
            lines(&[
                &["sync", "--server", server, "--timeout", "1s"],
                &["-vvv", "sync", "--server", server, "--timeout", "1s"],
                &["sync", &evil],
            ]),
        ),
        ("status", lines(&[&["status"], &["status", "--server", server]])),
        (
            "queue",
            lines(&[&["queue"], &["queue", "show", "1"], &["queue", "drop", "1"], &["queue", "show", &evil]]),
        ),
        (
            "effects",
            lines(&[
                &["effects"],
                &["effects", "ls", "--all"],
                &["effects", "show", "1"],
                &["effects", "show", &evil],
            ]),
        ),
        (
            "quarantine",
            lines(&[&["quarantine"], &["quarantine", id], &["quarantine", &evil], &["quarantine", "--seen"]]),
        ),
        (
            "log",
            lines(&[
                &["log", id],
                &["log", id, "-p"],
                &["log", id, "/met"],
                &["log", id, &bad],
                &["log", &evil],
            ]),
        ),
        ("watch", lines(&[&["watch", &evil], &["watch", id, &evil]])),
        ("show", lines(&[&["show", id, "FIRST"], &["show", id, &evil]])),
        (
            "diff",
            lines(&[
                &["diff", id, &evil],
                &["diff", id, "FIRST"],
                &["diff", id, "--with", &evil],
                &["diff", id, "--with", &path("hostile.automerge")],
            ]),
        ),
        ("undo", lines(&[&["undo", id], &["undo", &evil]])),
        ("redo", lines(&[&["redo", id], &["redo", &evil]])),
        ("revert", lines(&[&["revert", id, &evil], &["revert", id, "FIRST"]])),
        ("reset", lines(&[&["reset", id, "--to", &evil], &["reset", id, "--to", "FIRST"]])),
        ("blame", lines(&[&["blame", id], &["blame", id, &bad]])),
        (
            "conflicts",
            lines(&[&["conflicts", id], &["conflicts", id, &bad], &["conflicts", id, "/met", "--take", "9"]]),
        ),
        ("export", lines(&[&["export", id, &path("out.automerge")], &["export", &evil]])),
        (
            "import",
            lines(&[
                &["import", &path("actions")],
                &["import", &path("hostile.automerge"), "--name", &format!("n{evil}")],
            ]),
        ),
        ("backup", lines(&[&["backup", &path("copy.db")], &["backup", &path("copy.db")]])),
        ("restore", lines(&[&["restore", &evil], &["restore", &path("copy.db")]])),
        (
            "service",
            lines(&[&["service", "status"], &["service", "install", "--print"], &["service", &evil]]),
        ),
        ("doctor", lines(&[&["doctor"]])),
        ("completions", lines(&[&["completions", &evil]])),
        ("man", lines(&[&["man"]])),
    ]
}

/// The commands that there are, as the help lists them: a new one cannot be forgotten here.
fn commands(env: &Environment) -> BTreeSet<String> {
    let output = env.rejoin().arg("--help").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let list = text.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let words = list.lines().filter(|l| l.starts_with("  ") && !l.starts_with("   "));
    words.filter_map(|l| l.split_whitespace().next()).filter(|w| *w != "help").map(str::to_owned).collect()
}

#[test]
fn whatever_others_wrote_steers_no_terminal_in_any_command() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = fill(&env, &ada);
    let problem = json!({"code": "unavailable", "status": 400, "title": all(), "detail": all()}).to_string();
    let impostor = Impostor::answering("400 Bad Request", "application/problem+json", &problem);
    let log = ada.json(&["log", &id]);
    let first = log.as_array().unwrap().last().unwrap()["hash"].as_str().unwrap().to_owned();
    let invocations = invocations(&env, &id, &impostor.url());
    let listed: BTreeSet<String> = invocations.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(commands(&env), listed, "every command is tried here");
    for words in invocations.into_iter().flat_map(|(_, lines)| lines) {
        let words: Vec<String> = words.iter().map(|w| w.replace("FIRST", &first)).collect();
        for json in [None, Some("--json")] {
            let words: Vec<&str> = words.iter().map(String::as_str).chain(json).collect();
            let ran = ada.run(&words);
            calm(&ran, &words.iter().map(ToString::to_string).collect::<Vec<_>>());
            if json.is_some() {
                for line in ran.stdout.lines() {
                    serde_json::from_str::<Value>(line).unwrap();
                }
            }
        }
    }
}

#[test]
fn what_nobody_sees_is_written_out_in_names_values_and_authors() {
    let env = Environment::new();
    let ada = env.person("ada");
    for hidden in ['\u{200b}', '\u{feff}', '\u{ad}', '\u{200d}', '\u{2060}', '\u{e0041}'] {
        let author = format!("a{hidden}da");
        ada.ok(&["init", "--author", &author]);
        let id = ada.ok(&["new"]).trim().to_owned();
        // As an earlier release took it.
        let sql = rusqlite::Connection::open(&ada.store).unwrap();
        sql.execute("UPDATE document SET name = ?1 WHERE uuid = ?2", [&format!("tr{hidden}ip"), &id])
            .unwrap();
        drop(sql);
        ada.ok(&["set", &id, "/k", "--string", &format!("v{hidden}w")]);
        let escaped = hidden.escape_unicode().to_string();
        for (words, shown) in
            [(&["ls"][..], "tr"), (&["log", &id], "a"), (&["status"], "tr"), (&["queue"], "v")]
        {
            let text = ada.ok(words);
            assert!(text.contains(&format!("{shown}{escaped}")), "{words:?}: {text}");
        }
        let json = ada.ok(&["get", &id, "/k", "--json"]);
        assert!(!json.contains(hidden) && json.contains("\\u"), "{json}");
        assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), format!("v{hidden}w"));
    }
}

#[test]
fn what_is_escaped_in_json_is_the_same_value() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = fill(&env, &ada);
    let evil = format!("{}\0", all());
    for words in [&["get", &id][..], &["get", &id, "--json"]] {
        let read: Value = serde_json::from_str(&ada.ok(words)).unwrap();
        assert_eq!(read[format!("key{evil}")], format!("value{evil}"));
    }
    let log = ada.json(&["log", &id]);
    let first = log.as_array().unwrap().last().unwrap();
    assert_eq!(first["author"], format!("ada{evil}"));
    assert_eq!(first["pushed_by"], format!("token:x{}", all()));
    assert!(ada.ok(&["get", &id, "--json"]).contains("\\u009b"));
}
