//! Putting a backup in a store's place (issue 10, 7): nothing that lay beside the old one spoils the new one.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::environment::{Environment, Person, contents};

fn beside(file: &Path, ending: &str) -> PathBuf {
    PathBuf::from(format!("{}{ending}", file.display()))
}

/// What a process that died leaves beside a store: its write-ahead log, and the log's index.
fn die_with_a_log(store: &Path) {
    let connection = rusqlite::Connection::open(store).unwrap();
    connection.execute("INSERT INTO meta (key, value) VALUES ('died', 1)", []).unwrap();
    let files = ["-wal", "-shm"].map(|ending| beside(store, ending));
    let bytes = files.clone().map(|file| fs::read(file).unwrap());
    drop(connection);
    for (file, bytes) in files.iter().zip(bytes) {
        fs::write(file, bytes).unwrap();
    }
}

/// A person with a backup in which /a is 1, and a store in which it is 2.
fn ada(env: &Environment) -> Person<'_> {
    let ada = env.person("ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["backup", "backup.db"]);
    ada.ok(&["set", "d", "/a", "2"]);
    ada
}

#[test]
fn restore_puts_a_backup_in_place_and_keeps_the_old_store_beside_it() {
    let env = Environment::new();
    let ada = ada(&env);
    let done = ada.json(&["restore", "backup.db", "--yes"]);
    assert_eq!(ada.json(&["get", "d", "/a"]), 1);
    let kept = done["kept"].as_str().unwrap();
    assert_eq!(kept, format!("{}.before-restore", ada.store.display()));
    assert_eq!(ada.json(&["get", "d", "/a", "--store", kept]), 2);
    assert_eq!(ada.json(&["queue", "--store", kept]).as_array().unwrap().len(), 2);
    let again = ada.run(&["restore", "backup.db", "--yes"]).expect(0);
    assert!(again.stdout.trim().ends_with("ada.db.before-restore-2"), "{again:#?}");
    // Where nothing was nothing is kept.
    let new = env.person("new");
    assert_eq!(new.json(&["restore", "backup.db"])["kept"], json!(null));
    assert_eq!(new.json(&["get", "d", "/a"]), 1);
}

#[test]
fn a_log_that_was_left_beside_the_old_store_spoils_no_restored_one() {
    let env = Environment::new();
    let ada = ada(&env);
    die_with_a_log(&ada.store);
    ada.ok(&["restore", "backup.db", "--yes"]);
    assert!(!beside(&ada.store, "-wal").exists());
    assert_eq!(ada.json(&["get", "d", "/a"]), 1);
    assert_eq!(ada.json(&["doctor"])["ok"], true);
    let kept = beside(&ada.store, ".before-restore");
    let kept = kept.to_str().unwrap();
    assert_eq!(ada.json(&["get", "d", "/a", "--store", kept]), 2);
    // The old one is gone, and its log was left.
    fs::write(beside(&ada.store, "-wal"), "a log").unwrap();
    fs::remove_file(&ada.store).unwrap();
    ada.ok(&["restore", "backup.db", "--yes"]);
    assert_eq!(ada.json(&["get", "d", "/a"]), 1);
}

#[test]
fn what_is_made_after_a_restore_is_no_fork_of_what_was_made_before() {
    let env = Environment::new();
    let ada = ada(&env);
    let before = ada.json(&["log", "d"])[0]["actor"].clone();
    ada.ok(&["restore", "backup.db", "--yes"]);
    ada.ok(&["set", "d", "/a", "3"]);
    assert_ne!(ada.json(&["log", "d"])[0]["actor"], before);
}

#[test]
fn a_file_that_cannot_be_restored_changes_nothing() {
    let env = Environment::new();
    let ada = ada(&env);
    fs::write(env.path("text"), "no store at all, and longer than a header: ".repeat(30)).unwrap();
    let mut damaged = fs::read(env.path("backup.db")).unwrap();
    let length = damaged.len();
    damaged[4096..length].fill(7);
    fs::write(env.path("damaged.db"), damaged).unwrap();
    let before = contents(&env.path(""));
    for (file, what) in [
        ("nowhere.db", "no such file"),
        ("text", "is not a rejoin store"),
        ("damaged.db", "damaged.db"),
        ("ada.db", "the store itself"),
    ] {
        let ran = ada.run(&["restore", file, "--yes"]).expect_error(1, what);
        assert!(!ran.stderr.contains("the store is damaged"), "{ran:#?}");
    }
    assert_eq!(contents(&env.path("")), before);
}

#[test]
fn a_store_that_another_process_has_open_is_not_replaced() {
    let env = Environment::new();
    let ada = ada(&env);
    let open = rusqlite::Connection::open(&ada.store).unwrap();
    open.query_row("SELECT count(*) FROM queue", [], |row| row.get::<_, i64>(0)).unwrap();
    ada.run(&["restore", "backup.db", "--yes"]).expect_error(1, "in use by another process");
    assert!(!beside(&ada.store, ".before-restore").exists());
    drop(open);
    ada.ok(&["restore", "backup.db", "--yes"]);
}

/// Somebody copies a backup to the store's path, where the log of the old store still lies.
#[test]
fn a_store_with_somebody_elses_log_is_told_by_doctor_and_left_alone() {
    let env = Environment::new();
    let ada = ada(&env);
    die_with_a_log(&ada.store);
    fs::copy(env.path("backup.db"), &ada.store).unwrap();
    let before = contents(&env.path(""));
    ada.run(&["ls"]).expect_error(1, "doctor");
    ada.run(&["set", "d", "/a", "7"]).expect_error(1, "is not that of the file beside it");
    let told = ada.run(&["doctor"]).expect(1).stdout;
    assert!(told.contains("log of another database") && told.contains("mv '"), "{told}");
    assert!(!told.contains("make a new store") && !told.contains("damaged"), "{told}");
    assert_eq!(ada.run(&["doctor", "--json"]).expect(1).stdout.lines().count(), 1);
    assert_eq!(contents(&env.path("")), before);
    // As it says.
    fs::rename(beside(&ada.store, "-wal"), env.path("old-log")).unwrap();
    assert_eq!(ada.json(&["doctor"])["ok"], true);
    assert_eq!(ada.json(&["get", "d", "/a"]), 1);
}

/// Here the file is a copy of a store, which is always written with a log: nothing in its header tells.
#[test]
fn doctor_tells_a_log_of_another_store_beside_a_copied_one() {
    let env = Environment::new();
    let (ada, ben) = (ada(&env), env.person("ben"));
    ben.new_document("b");
    die_with_a_log(&ada.store);
    fs::copy(&ben.store, &ada.store).unwrap();
    let before = contents(&env.path(""));
    let told = ada.run(&["doctor"]).expect(1).stdout;
    assert!(told.contains("log of another database"), "{told}");
    assert_eq!(contents(&env.path("")), before);
    // Its own log is read, as ever.
    die_with_a_log(&ben.store);
    assert_eq!(ben.json(&["doctor"])["ok"], true);
}

#[test]
fn a_store_that_holds_what_was_never_sent_is_replaced_only_with_a_yes() {
    let env = Environment::new();
    let ada = ada(&env);
    let refused =
        ada.run(&["restore", "backup.db"]).expect_error(2, "2 changes that the server does not hold");
    assert!(refused.stderr.contains("--yes"), "{refused:#?}");
    assert_eq!(ada.json(&["get", "d", "/a"]), 2);
    ada.ok(&["restore", "backup.db", "--yes"]);
    assert_eq!(ada.json(&["get", "d", "/a"]), 1);
}
