//! A store that cannot be written can be read (issue 10, 7).
#![cfg(target_os = "linux")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::environment::Environment;
use crate::skipped::skipped;

/// Somebody who owns nothing.
const NOBODY: &str = "65534";

/// Every command that only reads.
const READING: [&[&str]; 14] = [
    &["get", "d"],
    &["get", "d", "/list/0"],
    &["ls"],
    &["ls", "--deleted"],
    &["log", "d"],
    &["status"],
    &["queue"],
    &["queue", "show", "1"],
    &["conflicts", "d"],
    &["blame", "d"],
    &["export", "d", "-"],
    &["share", "d"],
    &["quarantine"],
    &["doctor"],
];

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs the program as one who may not write: as nobody where this is root, for whom permissions are none.
fn run(program: &Path, store: &Path, words: &[&str]) -> Output {
    let root = fs::metadata("/proc/self").unwrap();
    let mut command = if std::os::unix::fs::MetadataExt::uid(&root) == 0 {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NOBODY, "--regid", NOBODY, "--clear-groups"]).arg(program);
        command
    } else {
        Command::new(program)
    };
    command.env_clear().env("PATH", "/usr/bin:/bin").env("REJOIN_STORE", store).args(words).output().unwrap()
}

/// The program where everybody may run it.
fn reachable_program(env: &Environment) -> std::path::PathBuf {
    let program = env.path("rejoin");
    fs::copy(env!("CARGO_BIN_EXE_rejoin"), &program).unwrap();
    mode(&program, 0o755);
    program
}

fn check(program: &Path, store: &Path, left: &[&str]) {
    let names = || {
        let entries = fs::read_dir(store.parent().unwrap()).unwrap();
        let mut names: Vec<_> = entries.map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    for words in READING {
        let ran = run(program, store, words);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {said}");
    }
    let read = run(program, store, &["get", "d", "/a", "--json"]);
    assert_eq!(String::from_utf8_lossy(&read.stdout).trim(), "2");
    for words in [&["set", "d", "/a", "3"][..], &["new"], &["init", "--author", "x"], &["rename", "d", "e"]] {
        let ran = run(program, store, words);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("can be read here, and not written"), "{words:?}: {said}");
        assert!(said.contains("rejoin backup"), "{words:?}: {said}");
    }
    assert_eq!(names(), left);
}

#[test]
fn a_store_in_a_directory_that_cannot_be_written_can_be_read() {
    let env = Environment::new();
    let ada = env.person("shelf/ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "2"]);
    ada.ok(&["insert", "d", "/list/-", "1"]);
    let program = reachable_program(&env);
    mode(&env.path(""), 0o755);
    if run(&program, &ada.store, &["--version"]).status.code() != Some(0) {
        skipped(
            "a store of another user",
            "no other user can be had here, and permissions say nothing to this one",
        );
        return;
    }
    let shelf = env.path("shelf");
    for (directory, file) in [(0o555, 0o444), (0o555, 0o644), (0o755, 0o444)] {
        mode(&ada.store, file);
        mode(&env.path("shelf/ada.db-mark"), file);
        mode(&shelf, directory);
        check(&program, &ada.store, &["ada.db", "ada.db-mark"]);
    }
    mode(&shelf, 0o755);
    mode(&ada.store, 0o644);
}

/// A process died here, and the disk is read-only since: what it had committed stands in its log.
#[test]
fn what_stands_in_the_log_of_a_store_that_cannot_be_written_is_read_too() {
    let env = Environment::new();
    let ada = env.person("shelf/ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    ada.ok(&["insert", "d", "/list/-", "1"]);
    let held = rusqlite::Connection::open(&ada.store).unwrap();
    held.query_row("SELECT count(*) FROM queue", [], |row| row.get::<_, i64>(0)).unwrap();
    ada.ok(&["set", "d", "/a", "2"]);
    let log = env.path("shelf/ada.db-wal");
    let bytes = fs::read(&log).unwrap();
    drop(held);
    // The file as it was before: the log was moved into it at the end. So the older one comes from a copy.
    fs::write(&log, bytes).unwrap();
    mode(&log, 0o444);
    mode(&ada.store, 0o444);
    let program = reachable_program(&env);
    mode(&env.path(""), 0o755);
    if run(&program, &ada.store, &["--version"]).status.code() != Some(0) {
        skipped(
            "a store of another user",
            "no other user can be had here, and permissions say nothing to this one",
        );
        return;
    }
    mode(&env.path("shelf"), 0o555);
    check(&program, &ada.store, &["ada.db", "ada.db-mark", "ada.db-wal"]);
    mode(&env.path("shelf"), 0o755);
}

/// A disk that is read-only says so to root too.
#[test]
fn a_store_on_a_disk_that_is_read_only_can_be_read() {
    let env = Environment::new();
    let ada = env.person("shelf/ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "2"]);
    ada.ok(&["insert", "d", "/list/-", "1"]);
    let shelf = env.path("shelf");
    let shelf = shelf.display();
    let script =
        format!("mount --bind {shelf} {shelf} && mount -o remount,ro,bind {shelf} && exec \"$0\" \"$@\"");
    let run = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script]).arg(env!("CARGO_BIN_EXE_rejoin")).args(words);
        command.env_clear().env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin").env("REJOIN_STORE", &ada.store);
        command.output().unwrap()
    };
    if run(&["--version"]).status.code() != Some(0) {
        skipped("a disk that is mounted read-only", "this user may not mount one");
        return;
    }
    for words in READING {
        let ran = run(words);
        assert_eq!(ran.status.code(), Some(0), "{words:?}: {}", String::from_utf8_lossy(&ran.stderr));
    }
    let ran = run(&["set", "d", "/a", "3"]);
    assert!(String::from_utf8_lossy(&ran.stderr).contains("not written"), "{ran:?}");
}

#[test]
fn a_store_that_is_compared_with_is_only_read() {
    let env = Environment::new();
    let (ada, ben) = (env.person("shelf/ada"), env.person("ben"));
    let id = ada.new_document("d");
    ada.ok(&["set", "d", "/a", "2"]);
    ben.ok(&["new", "--id", &id, "--name", "d"]);
    ben.ok(&["set", "d", "/a", "1"]);
    fs::remove_file(env.path("shelf/ada.db-mark")).unwrap();
    let before = crate::environment::contents(&env.path("shelf"));
    let path = ada.store.to_str().unwrap();
    for permissions in [0o755, 0o555] {
        mode(&env.path("shelf"), permissions);
        assert_eq!(ben.ok(&["diff", "d", "--with", path]), "~ /a  1 -> 2\n");
    }
    mode(&env.path("shelf"), 0o755);
    assert_eq!(crate::environment::contents(&env.path("shelf")), before);
    // Itself is a store too.
    assert_eq!(ada.ok(&["diff", "d", "--with", path]), "");
}

#[test]
fn a_store_that_cannot_even_be_read_is_not_said_to_be_readable() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    let program = reachable_program(&env);
    mode(&env.path(""), 0o755);
    if run(&program, &ada.store, &["--version"]).status.code() != Some(0) {
        skipped(
            "a store of another user",
            "no other user can be had here, and permissions say nothing to this one",
        );
        return;
    }
    mode(&ada.store, 0o000);
    for words in [&["ls"][..], &["set", "d", "/a", "1"]] {
        let ran = run(&program, &ada.store, words);
        let said = String::from_utf8_lossy(&ran.stderr);
        assert_eq!(ran.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("Permission denied") && said.contains("who may read"), "{words:?}: {said}");
        assert!(!said.contains("can be read here"), "{words:?}: {said}");
    }
}

#[test]
fn no_editor_opens_on_a_store_that_cannot_be_written() {
    let env = Environment::new();
    let ada = env.person("shelf/ada");
    ada.new_document("d");
    ada.ok(&["set", "d", "/a", "1"]);
    let program = reachable_program(&env);
    mode(&env.path(""), 0o777);
    if run(&program, &ada.store, &["--version"]).status.code() != Some(0) {
        skipped(
            "a store of another user",
            "no other user can be had here, and permissions say nothing to this one",
        );
        return;
    }
    mode(&ada.store, 0o444);
    mode(&env.path("shelf"), 0o555);
    let opened = env.path("opened");
    let editor = format!("touch {} ;", opened.display());
    let script = format!("EDITOR='{editor}' exec {} edit d", program.display());
    let ran = run(Path::new("/bin/sh"), &ada.store, &["-c", &script]);
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!(ran.status.code(), Some(1), "{said}");
    assert!(said.contains("can be read here, and not written"), "{said}");
    assert!(!opened.exists(), "the editor was opened");
    mode(&env.path("shelf"), 0o755);
}
