use serde_json::json;

use crate::environment::{Environment, contents};

#[test]
fn a_document_is_made_edited_and_read_offline() {
    let env = Environment::new();
    let ada = env.person("ada");
    let id = ada.new_document("trip");
    assert_eq!(id.len(), 36);
    for words in [
        &["set", "trip", "/title", "\"Alps\""][..],
        &["set", "trip", "/people/ada/train", "true"],
        &["set", "trip", "/low", "-5"],
        &["set", "trip", "/dash", "--string", "-x"],
        &["insert", "trip", "/list/-", "\"tent\""],
        &["insert", "trip", "/list/0", "--string", "stove"],
        &["increment", "trip", "/nights", "5"],
        &["increment", "trip", "/nights", "-2"],
        &["text", "trip", "/note", "0", "0", "-- hello"],
        &["text", "trip", "/note", "0", "3"],
        &["delete", "trip", "/low"],
    ] {
        ada.run(words).expect(0);
    }
    let expected = json!({
        "title": "Alps", "people": {"ada": {"train": true}}, "dash": "-x",
        "list": ["stove", "tent"], "nights": 3, "note": "hello",
    });
    assert_eq!(ada.json(&["get", "trip"]), expected);
    assert_eq!(ada.json(&["get", id.get(..4).unwrap(), "/list/0"]), "stove");
    assert_eq!(ada.ok(&["get", "trip", "/people"]), "{\n  \"ada\": {\n    \"train\": true\n  }\n}\n");
}

#[test]
fn get_at_reads_the_past_and_diff_tells_what_changed_since() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let first = ada.json(&["set", "d", "/a", "1"])["hash"].as_str().unwrap().to_owned();
    ada.ok(&["set", "d", "/a", "2"]);
    assert_eq!(ada.json(&["get", "d", "/a", "--at", first.get(..8).unwrap()]), 1);
    assert_eq!(ada.json(&["get", "d", "/a"]), 2);
    assert_eq!(ada.json(&["diff", "d", &first]), json!([{"path": "/a", "before": 1, "after": 2}]));
    assert_eq!(ada.ok(&["diff", "d", &first]), "~ /a  1 -> 2\n");
    ada.run(&["get", "d", "--at", "ffffffff"]).expect_error(1, "no change");
}

#[test]
fn the_log_is_newest_first_with_authors() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.ok(&["init", "--author", "Ada"]);
    ada.new_document("d");
    for value in ["1", "2", "3"] {
        ada.ok(&["set", "d", "/a", value]);
    }
    let log = ada.json(&["log", "d", "-n", "2"]);
    let positions: Vec<_> = log.as_array().unwrap().iter().map(|e| e["position"].as_u64().unwrap()).collect();
    assert_eq!(positions, [3, 2]);
    assert_eq!(
        (&log[0]["author"], &log[0]["action_type"], &log[0]["origin"]),
        (&json!("Ada"), &json!("set"), &json!("local"))
    );
    let text = ada.ok(&["log", "d"]);
    assert_eq!(text.lines().count(), 3);
    assert!(text.lines().all(|l| l.contains("Ada") && l.contains("set")), "{text}");
}

#[test]
fn the_queue_shows_what_waits_and_drop_names_what_goes_and_wants_a_yes() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["insert", "d", "/list/-", "\"tent\""]);
    ada.ok(&["set", "d", "/other", "1"]);
    let queue = ada.json(&["queue"]);
    assert_eq!(queue.as_array().unwrap().len(), 2);
    assert_eq!(queue[0]["action"], json!({"type": "insert", "path": "/list/-", "value": "tent"}));
    assert_eq!((&queue[0]["state"], &queue[0]["position"]), (&json!("waiting"), &json!(1)));
    assert!(ada.ok(&["queue"]).contains("insert /list/- \"tent\""));
    let hash = queue[0]["change_hash"].as_str().unwrap();
    assert!(ada.ok(&["queue", "show", hash.get(..6).unwrap()]).contains(hash));
    let asked = ada.run(&["queue", "drop", "1"]).expect_error(2, "insert /list/- \"tent\"");
    assert!(asked.stderr.contains("--yes"));
    assert_eq!(ada.json(&["queue"]), queue);
    ada.ok(&["queue", "drop", "1", "--yes"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"list": [], "other": 1}));
    ada.run(&["queue", "show", "9"]).expect_error(1, "9");
}

#[test]
fn a_queued_change_can_be_exported() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["queue", "export", "1", "change"]);
    let bytes = std::fs::read(env.path("change")).unwrap();
    assert_eq!(bytes.get(..4), Some(&[0x85, 0x6f, 0x4a, 0x83][..]));
    let piped = ada.command(&["queue", "export", "1"]).output().unwrap();
    assert_eq!(piped.stdout, bytes);
    ada.run(&["queue", "export", "1", "--json"]).expect_error(2, "--json");
}

#[test]
fn export_and_import_carry_a_document_with_its_history() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    ada.new_document("d");
    ada.ok(&["text", "d", "/note", "0", "0", "hello"]);
    ada.ok(&["export", "d", "d.automerge"]);
    ben.ok(&["import", "d.automerge", "--name", "copy"]);
    assert_eq!(ben.json(&["get", "copy"]), json!({"note": "hello"}));
    assert_eq!(ben.json(&["log", "copy"]).as_array().unwrap().len(), 1);
    ben.run(&["import", "d.automerge", "--name", "copy"]).expect_error(1, "copy");
}

#[test]
fn json_is_taken_by_import_too() {
    let env = Environment::new();
    let ada = env.person("ada");
    std::fs::write(env.path("a.json"), r#"{"title": "Alps", "list": [1, {"a": null}], "x/y": 1.5}"#).unwrap();
    ada.ok(&["import", "a.json", "--name", "d"]);
    assert_eq!(ada.json(&["get", "d"]), json!({"title": "Alps", "list": [1, {"a": null}], "x/y": 1.5}));
    let id = "6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e";
    assert_eq!(ada.run_with(&["import", "-", "--id", id], "{}").expect(0).stdout.trim(), id);
    for bad in ["[1]", "{\"a\":", "", "nonsense"] {
        ada.run_with(&["import", "-"], bad).expect_error(1, "JSON");
    }
    assert_eq!(ada.json(&["ls"]).as_array().unwrap().len(), 2);
}

#[test]
fn leave_asks_where_something_would_be_lost_and_rm_always() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("empty");
    ada.new_document("full");
    ada.ok(&["set", "full", "/a", "1"]);
    ada.ok(&["leave", "empty"]);
    ada.run(&["leave", "full"]).expect_error(2, "--yes");
    ada.run(&["rm", "full"]).expect_error(2, "--yes");
    assert_eq!(ada.json(&["ls"]).as_array().unwrap().len(), 1);
    ada.ok(&["leave", "full", "--yes"]);
    ada.new_document("gone");
    ada.ok(&["rm", "gone", "--yes"]);
    assert_eq!(ada.json(&["ls"]), json!([]));
}

#[test]
fn init_remembers_and_changes_and_share_never_shows_a_token() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.ok(&["init", "--server", "http://127.0.0.1:4810/", "--author", "Ada"]);
    let said = ada.run_with(&["init", "--token", "-"], "s3cret-token\n").expect(0);
    assert!(!format!("{said:?}").contains("s3cret"));
    let kept = env.path("ada.db.token");
    assert!(std::fs::read_to_string(&kept).unwrap().contains("s3cret-token"));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        for file in [&kept, &ada.store] {
            assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        }
    }
    let id = ada.new_document("d");
    let line = format!("rejoin join http://127.0.0.1:4810/v1/documents/{id}\n");
    assert_eq!(ada.ok(&["share", "d"]), line);
    assert_eq!(
        ada.ok(&["share", "d", "--server", "https://a"]),
        format!("rejoin join https://a/v1/documents/{id}\n")
    );
    assert_eq!(ada.json(&["init", "--author", "Ada Lovelace"])["server"], "http://127.0.0.1:4810");
    assert_eq!(ada.json(&["init", "--server", ""])["server"], json!(null));
    assert_eq!(ada.ok(&["share", "d"]), format!("rejoin join {id}\n"));
    ada.run(&["init", "--server", "localhost"]).expect_error(2, "http");
}

#[test]
fn join_takes_part_in_a_document_before_it_is_here() {
    let env = Environment::new();
    let (ada, ben) = (env.person("ada"), env.person("ben"));
    let id = ada.new_document("d");
    assert_eq!(ben.ok(&["join", &format!("http://127.0.0.1:9/v1/documents/{id}"), "--name", "d"]).trim(), id);
    ben.ok(&["set", "d", "/early", "1"]);
    assert_eq!(ben.json(&["ls"])[0]["server"], "http://127.0.0.1:9");
    ben.run(&["join", "nonsense"]).expect_error(2, "nonsense");
}

#[test]
fn at_rest_a_store_is_its_file_and_at_most_one_small_side_file() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let files = contents(&env.path(""));
    assert!(files.len() <= 2, "{:?}", files.iter().map(|f| &f.0).collect::<Vec<_>>());
}

#[test]
fn a_backup_is_a_store() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["backup", "copy.db"]);
    assert_eq!(ada.json(&["get", "d", "/a", "--store", "copy.db"]), 1);
    ada.run(&["backup", "copy.db"]).expect_error(1, "copy.db");
    assert_eq!(ada.json(&["doctor"])["ok"], true);
}

#[test]
fn quiet_says_nothing_and_json_says_one_value() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    for words in
        [&["ls"][..], &["status"], &["queue"], &["log", "d"], &["share", "d"], &["get", "d"], &["doctor"]]
    {
        ada.json(words);
        assert_eq!(ada.run(&[words, &["-q"]].concat()).expect(0).stderr, "", "{words:?}");
    }
}

#[test]
#[cfg(unix)]
fn what_a_command_writes_goes_through_links_into_fifos_and_to_standard_output() {
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _, symlink};
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let (target, link, fifo) = (env.path("real"), env.path("link"), env.path("fifo"));
    std::fs::write(&target, "old").unwrap();
    std::fs::set_permissions(&target, std::fs::Permissions::from_mode(0o644)).unwrap();
    symlink("real", &link).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for words in [&["export", "d"][..], &["queue", "export", "1"]] {
        let run = |file: &str| ada.command(&[words, &[file]].concat()).output().unwrap();
        let bytes = run("-").stdout;
        assert!(bytes.starts_with(&[0x85, 0x6f, 0x4a, 0x83]), "{words:?}");
        assert_eq!(run("/dev/stdout").stdout, bytes);
        assert!(!env.path("-").exists());
        assert!(run(link.to_str().unwrap()).status.success());
        assert_eq!(std::fs::read(&target).unwrap(), bytes);
        assert_eq!(std::fs::metadata(&target).unwrap().permissions().mode() & 0o777, 0o644);
        assert!(std::fs::symlink_metadata(&link).unwrap().file_type().is_symlink());
        let reading = std::thread::spawn({
            let fifo = fifo.clone();
            move || std::fs::read(fifo).unwrap()
        });
        assert!(run(fifo.to_str().unwrap()).status.success());
        assert_eq!(reading.join().unwrap(), bytes);
        assert!(std::fs::symlink_metadata(&fifo).unwrap().file_type().is_fifo());
    }
}
