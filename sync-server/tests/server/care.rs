//! Backups, and the check of a database.

use std::{path::Path, process::Command};

use crate::support::{BINARY, Process, Writer, get, post, pull, push, send, written_again};
use rejoin::DocumentId;
use rejoin_server::{LogStore, ServerLimits, backup, doctor, respond};

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let output = Command::new(BINARY).current_dir(directory).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// A log with two documents, a merge and a rewritten change.
fn fill(path: &Path) -> DocumentId {
    let mut log = LogStore::open(path).unwrap();
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    let mut body = ada.many(3);
    let mut bob = ada.fork(2);
    body.extend(bob.many(2));
    body.extend(ada.many(2));
    body.extend(written_again(&Writer::new(3).set("w", 1)));
    for id in [document, DocumentId::random()] {
        let reply = respond(&mut log, &ServerLimits::default(), &push(id, None, &body), 0);
        assert_eq!(reply.accepted, Some(8));
    }
    let snapshot = rejoin::wire::Request::Snapshot { document };
    assert_eq!(respond(&mut log, &ServerLimits::default(), &snapshot, 0).status, 200);
    document
}

#[test]
fn a_sound_database_has_no_findings() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("log.db"));
    let diagnosis = doctor(&directory.path().join("log.db")).unwrap();
    assert_eq!((diagnosis.documents, diagnosis.changes, diagnosis.findings), (2, 16, vec![]));
    let (code, out, _) = run(directory.path(), &["doctor", "--database", "log.db"]);
    assert_eq!(code, Some(0));
    assert!(out.contains("16 changes") && out.contains("All is well."), "{out}");
}

#[test]
fn each_kind_of_damage_is_found_and_said() {
    for (damage, says) in [
        ("UPDATE change SET bytes = zeroblob(60) WHERE id = (SELECT min(id) FROM change)", "begin like"),
        ("UPDATE change SET hash = zeroblob(32) WHERE id = (SELECT min(id) FROM change)", "hash to"),
        ("UPDATE change SET lookup = 7 WHERE id = (SELECT min(id) FROM change)", "hash to"),
        ("UPDATE change SET digest = zeroblob(16) WHERE id = (SELECT min(id) FROM change)", "digest"),
        ("UPDATE change SET deps = x'02' WHERE id = (SELECT min(id) + 2 FROM change)", "dependencies"),
        ("UPDATE change SET seq = 9 WHERE id = (SELECT min(id) FROM change)", "its actor"),
        ("UPDATE change SET was = NULL", "before it was rewritten"),
        ("DELETE FROM change WHERE id = (SELECT min(id) + 2 FROM change)", "missing"),
        ("DELETE FROM head WHERE id = (SELECT min(id) FROM head)", "heads"),
        ("UPDATE actor SET position = 1 WHERE id = 1", "last change of actor"),
        ("UPDATE document SET last = 7", "ends at 8"),
        ("UPDATE document SET bytes = 7", "size"),
        ("UPDATE snapshot SET position = 4", "snapshot"),
        ("UPDATE snapshot SET bytes = x'00'", "snapshot"),
        ("DELETE FROM actor WHERE id = 1", "not there"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        fill(&path);
        let database = rusqlite::Connection::open(&path).unwrap();
        database.pragma_update(None, "foreign_keys", false).unwrap();
        assert!(database.execute(damage, []).unwrap() > 0, "{damage}");
        drop(database);
        let findings = doctor(&path).unwrap().findings;
        assert!(findings.iter().any(|finding| finding.contains(says)), "{damage}: {findings:?}");
        let (code, out, err) = run(directory.path(), &["doctor", "--database", "log.db"]);
        assert_eq!(code, Some(1), "{out}");
        assert!(err.contains("backup"), "{err}");
    }
}

#[test]
fn a_flipped_page_is_found() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let mut log = LogStore::open(&path).unwrap();
    let body = Writer::new(1).many(2_000);
    respond(&mut log, &ServerLimits::default(), &push(DocumentId::random(), None, &body), 0);
    drop(log);
    let mut bytes = std::fs::read(&path).unwrap();
    let middle = bytes.len() / 2 / 4_096 * 4_096;
    bytes[middle..middle + 512].iter_mut().for_each(|byte| *byte ^= 0x5a);
    std::fs::write(&path, bytes).unwrap();
    assert!(!doctor(&path).unwrap().findings.is_empty());
}

#[tokio::test]
async fn a_backup_is_whole_while_the_server_writes() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let before = ada.many(50);
    send(post(server.changes(document), before.clone())).await;
    let copy = directory.path().join("copy.db");
    let (database, to) = (directory.path().join("log.db"), copy.clone());
    let copying = tokio::task::spawn_blocking(move || backup(&database, &to));
    for _ in 0..20 {
        send(post(server.changes(document), ada.many(5))).await;
    }
    copying.await.unwrap().unwrap();
    let log = send(get(server.changes(document))).await.body;
    assert_eq!(doctor(&copy).unwrap().findings, Vec::<String>::new());
    let mut restored = LogStore::open(&copy).unwrap();
    let held = respond(&mut restored, &ServerLimits::default(), &pull(document, None), 0).body;
    assert!(held.len() >= before.len() && log.starts_with(&held));
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
    }
}

#[test]
fn a_backup_overwrites_nothing_and_leaves_nothing_half_done() {
    let directory = tempfile::tempdir().unwrap();
    fill(&directory.path().join("log.db"));
    std::fs::write(directory.path().join("mine"), "mine").unwrap();
    let (code, _, err) = run(directory.path(), &["backup", "mine", "--database", "log.db"]);
    assert_eq!(code, Some(1), "{err}");
    assert_eq!(std::fs::read(directory.path().join("mine")).unwrap(), b"mine");
    let (code, ..) = run(directory.path(), &["backup", "new.db", "--database", "nothing.db"]);
    assert_eq!(code, Some(1));
    assert!(!directory.path().join("new.db").exists() && !directory.path().join("nothing.db").exists());
    let (code, out, err) = run(directory.path(), &["backup", "new.db", "--database", "log.db"]);
    assert_eq!((code, out.as_str()), (Some(0), ""), "{err}");
    let names = std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name());
    assert!(names.into_iter().all(|name| !name.to_string_lossy().contains(".part")));
}

/// A power cut, or a copy of a database without its whole log.
#[test]
fn a_write_ahead_log_that_was_cut_leaves_whole_commits() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let (document, limits, mut ada) = (DocumentId::random(), ServerLimits::default(), Writer::new(1));
    let mut log = LogStore::open(&path).unwrap();
    let mut sent = Vec::new();
    for _ in 0..40 {
        let body = ada.many(3);
        assert_eq!(respond(&mut log, &limits, &push(document, None, &body), 0).accepted, Some(3));
        sent.extend(body);
    }
    let wal = std::fs::read(directory.path().join("log.db-wal")).unwrap();
    assert!(wal.len() > 100_000, "nothing was moved into the file yet");
    let mut lengths = std::collections::BTreeSet::new();
    for part in 0..=48 {
        let copy = directory.path().join(format!("cut{part}.db"));
        std::fs::copy(&path, &copy).unwrap();
        let cut = wal.len() * part / 48;
        std::fs::write(directory.path().join(format!("cut{part}.db-wal")), &wal[..cut]).unwrap();
        let mut log = LogStore::open(&copy).unwrap();
        let reply = respond(&mut log, &limits, &pull(document, None), 0);
        let held = if reply.status == 200 { reply.body } else { Vec::new() };
        assert!(sent.starts_with(&held), "no hole");
        let again = respond(&mut log, &limits, &push(document, None, &sent), 0);
        assert_eq!(again.accepted.unwrap() + again.duplicate.unwrap(), 120, "clients bring the rest again");
        drop(log);
        assert_eq!(doctor(&copy).unwrap().findings, Vec::<String>::new());
        lengths.insert(held.len());
    }
    assert!(lengths.len() > 4 && lengths.contains(&sent.len()), "{lengths:?}");
}
