//! `rejoin-server restore`, and `compact` where there is no room.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::skipped::skipped;
use crate::support::{BINARY, Process, Writer, post, send};
use rejoin::DocumentId;

/// What somebody types in this directory, of the database there: the exit code and all that was said.
fn typed(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(BINARY);
    let output =
        command.current_dir(directory).args(["--database", "log.db"]).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout) + &text(output.stderr))
}

/// How many changes are in the database.
fn count(database: &Path) -> i64 {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.query_row("SELECT count(*) FROM change", [], |row| row.get(0)).unwrap()
}

/// A database with five changes, of which a backup has two.
async fn with_backup(directory: &Path) -> PathBuf {
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let server = Process::start(directory, &[]);
    assert_eq!(send(post(server.changes(document), ada.many(2))).await.status, 200);
    assert_eq!(typed(directory, &["backup", "backup.db"]).0, Some(0));
    assert_eq!(send(post(server.changes(document), ada.many(3))).await.status, 200);
    let (code, said) = typed(directory, &["restore", "backup.db"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("another rejoin-server serves it"), "{said}");
    server.signal("-TERM");
    assert_eq!(tokio::task::spawn_blocking(move || server.end()).await.unwrap().0, Some(0));
    directory.join("log.db")
}

/// What a process that died leaves: the write-ahead log.
fn die_with_a_log(database: &Path) {
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.execute("CREATE TABLE died (x)", []).unwrap();
    let log = PathBuf::from(format!("{}-wal", database.display()));
    let bytes = fs::read(&log).unwrap();
    drop(connection);
    fs::write(&log, bytes).unwrap();
}

#[tokio::test]
async fn restore_puts_a_backup_in_place_and_keeps_the_old_database_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let database = with_backup(directory.path()).await;
    die_with_a_log(&database);
    let (code, said) = typed(directory.path(), &["restore", "backup.db"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("log.db.before-restore"), "{said}");
    assert_eq!(count(&database), 2);
    let kept = directory.path().join("log.db.before-restore");
    assert!(directory.path().join("log.db.before-restore-wal").exists());
    assert_eq!(count(&kept), 5);
    assert_eq!(typed(directory.path(), &["doctor"]).0, Some(0));
}

#[tokio::test]
async fn a_database_with_somebody_elses_log_is_opened_by_nothing_and_told() {
    let directory = tempfile::tempdir().unwrap();
    let database = with_backup(directory.path()).await;
    die_with_a_log(&database);
    fs::copy(directory.path().join("backup.db"), &database).unwrap();
    let log = directory.path().join("log.db-wal");
    let before = (fs::read(&database).unwrap(), fs::read(&log).unwrap());
    for words in
        [&["doctor"][..], &["serve", "--listen", "127.0.0.1:0"], &["backup", "other.db"], &["token", "ls"]]
    {
        let (code, said) = typed(directory.path(), words);
        assert_eq!(code, Some(1), "{words:?}: {said}");
        assert!(
            said.contains("is not that of the file beside it") && said.contains("move the log away"),
            "{said}"
        );
    }
    assert_eq!((fs::read(&database).unwrap(), fs::read(&log).unwrap()), before);
    fs::remove_file(&log).unwrap();
    assert_eq!(typed(directory.path(), &["doctor"]).0, Some(0));
    assert_eq!(count(&database), 2);
}

#[tokio::test]
async fn a_backup_that_cannot_be_restored_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let database = with_backup(directory.path()).await;
    fs::write(directory.path().join("text"), "no database at all; ".repeat(100)).unwrap();
    let mut damaged = fs::read(directory.path().join("backup.db")).unwrap();
    let length = damaged.len();
    damaged[4096..length].fill(7);
    fs::write(directory.path().join("damaged"), damaged).unwrap();
    let before = fs::read(&database).unwrap();
    for file in ["nowhere", "text", "damaged", "log.db"] {
        let (code, said) = typed(directory.path(), &["restore", file]);
        assert_eq!(code, Some(1), "{file}: {said}");
    }
    assert_eq!(fs::read(&database).unwrap(), before);
    assert!(!directory.path().join("log.db.before-restore").exists());
}

/// A disk of 64 KiB for temporary files, in a name space of its own.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn compact_names_the_temporary_directory_that_is_full() {
    let directory = tempfile::tempdir().unwrap();
    let database = with_backup(directory.path()).await;
    {
        let connection = rusqlite::Connection::open(&database).unwrap();
        connection.execute_batch("CREATE TABLE filler (x)").unwrap();
        // More than SQLite keeps in memory of a temporary file.
        for _ in 0..20 {
            connection.execute("INSERT INTO filler VALUES (randomblob(1000000))", []).unwrap();
        }
    }
    let small = directory.path().join("small");
    fs::create_dir(&small).unwrap();
    let script = format!("mount -t tmpfs -o size=64k none '{}' && exec \"$0\" \"$@\"", small.display());
    let run = |words: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", &script, BINARY, "--database"]).arg(&database).args(words);
        let output = command.env("SQLITE_TMPDIR", &small).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    if run(&["config"]).0 != Some(0) {
        skipped("a full disk", "this user may not mount a small one");
        return;
    }
    let (code, said) = run(&["compact"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains(small.to_str().unwrap()) && said.contains("SQLITE_TMPDIR"), "{said}");
    assert_eq!(typed(directory.path(), &["compact"]).0, Some(0));
}
