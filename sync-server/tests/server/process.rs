//! The server as a program: real processes, real signals, a real limit on the disk.

use std::{
    path::Path,
    process::{Command, Output},
    time::Duration,
};

use crate::skipped::skipped;
use crate::support::{BINARY, Process, Writer, get, hashes, post, send};
use rejoin::{DocumentId, wire::PushReply};

fn run(directory: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let output: Output = Command::new(BINARY).current_dir(directory).args(arguments).output().unwrap();
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let directory = tempfile::tempdir().unwrap();
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let mut acknowledged = Vec::new();
    for _ in 0..5 {
        let server = Process::start(directory.path(), &[]);
        for _ in 0..3 {
            let body = ada.many(1);
            let reply: PushReply = send(post(server.changes(document), body.clone())).await.json();
            assert_eq!(reply.accepted, 1);
            acknowledged.extend(body);
        }
        server.signal("-KILL");
    }
    let server = Process::start(directory.path(), &[]);
    assert_eq!(send(get(server.changes(document))).await.body, acknowledged);
}

#[tokio::test]
async fn sigterm_under_load_drains_and_loses_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let documents: Vec<DocumentId> = (0..8).map(|_| DocumentId::random()).collect();
    let (told, mut first) = tokio::sync::mpsc::channel(64);
    let writers = documents.iter().map(|document| {
        let (url, told) = (server.changes(*document), told.clone());
        tokio::spawn(async move {
            let (client, mut writer, mut acknowledged) = (reqwest::Client::new(), Writer::new(1), 0);
            loop {
                let request =
                    client.post(&url).header("content-type", rejoin::wire::CHANGES).body(writer.many(1));
                match request.send().await {
                    Ok(response) if response.status() == 200 => acknowledged += 1,
                    _ => return acknowledged,
                }
                let _ = told.try_send(());
            }
        })
    });
    let writers: Vec<_> = writers.collect();
    for _ in 0..40 {
        first.recv().await.unwrap();
    }
    server.signal("-TERM");
    let (code, rest, took) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!((code, rest.as_str()), (Some(0), ""));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let server = Process::start(directory.path(), &[]);
    for (writer, document) in writers.into_iter().zip(documents) {
        let acknowledged = writer.await.unwrap();
        let stored = hashes(&send(get(server.changes(document))).await.body).len();
        assert!(stored >= acknowledged, "{stored} of {acknowledged}");
        assert!(acknowledged > 0);
    }
}

#[tokio::test]
async fn one_server_alone_has_a_database_and_all_else_works_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let document = DocumentId::random();
    assert_eq!(send(post(server.changes(document), Writer::new(1).many(9))).await.status, 200);
    let (code, text) = run(directory.path(), &["--listen", "127.0.0.1:0", "--database", "log.db"]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("another rejoin-server serves it") && text.contains("--database"), "{text}");
    for words in [&["doctor"][..], &["backup", "copy.db"], &["compact"], &["token", "ls"]] {
        let mut command = Command::new(BINARY);
        let output =
            command.current_dir(directory.path()).args(["--database", "log.db"]).args(words).output();
        assert!(output.as_ref().unwrap().status.success(), "{words:?}: {output:?}");
    }
    let copied = hashes(&send(get(server.changes(document))).await.body).len();
    assert_eq!(copied, 9, "and harms it in nothing");
    // Another file is another database, and a death frees it.
    drop(Process::of({
        let mut command = Command::new(BINARY);
        command.arg("--database").arg(directory.path().join("copy.db"));
        command
    }));
    server.signal("-KILL");
    drop(Process::start(directory.path(), &[]));
}

/// What a user who is not root types; `None` where nobody else can be made of this one.
#[cfg(unix)]
fn as_nobody(directory: &Path, arguments: &[&str]) -> Option<(Option<i32>, String)> {
    use std::os::unix::fs::PermissionsExt;
    // Root may write everything.
    let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups"];
    let binary = directory.join("rejoin-server");
    if !binary.exists() {
        std::fs::copy(BINARY, &binary).unwrap();
        std::fs::set_permissions(&binary, PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::set_permissions(directory, PermissionsExt::from_mode(0o777)).unwrap();
    }
    let mut command = Command::new("setpriv");
    let output =
        command.current_dir(directory).args(words).arg(binary).args(["--database", "log.db"]).args(arguments);
    let output = output.output().ok()?;
    let text = String::from_utf8(output.stderr).unwrap();
    (!text.starts_with("setpriv")).then(|| (output.status.code(), text))
}

#[cfg(unix)]
#[test]
fn a_database_that_cannot_be_written_is_not_served_and_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let mode = |name: &str, mode| {
        std::fs::set_permissions(directory.path().join(name), PermissionsExt::from_mode(mode)).unwrap();
    };
    let create = ["token", "create", "--name", "a", "--document", "*", "--access", "admin"];
    let Some((code, text)) = as_nobody(directory.path(), &create) else {
        return skipped("a database of another user", "this user cannot become another");
    };
    assert_eq!(code, Some(0), "{text}");
    let serve = ["--listen", "127.0.0.1:0"];
    let create = ["token", "create", "--name", "b", "--document", "*", "--access", "admin"];
    for (name, readable) in [("log.db", true), ("", false)] {
        let usual = if readable { 0o600 } else { 0o777 };
        mode(name, if readable { 0o400 } else { 0o555 });
        for words in [&serve[..], &create, &["compact"]] {
            let (code, text) = as_nobody(directory.path(), words).unwrap();
            assert_eq!(code, Some(1), "{words:?}: {text}");
            assert!(
                text.contains("cannot be written by this user") && text.contains("chown"),
                "{words:?}: {text}"
            );
        }
        // What only reads does, where it can.
        for words in [&["doctor"][..], &["token", "ls"], &["backup", "/dev/null/no"][..]] {
            let (code, text) = as_nobody(directory.path(), words).unwrap();
            let works = readable && words[0] != "backup";
            assert_eq!(code, Some(i32::from(!works)), "{words:?}: {text}");
        }
        mode(name, usual);
        // Whoever could read left them: with these SQLite needs to make nothing in a directory.
        for name in ["log.db-wal", "log.db-shm"] {
            drop(std::fs::remove_file(directory.path().join(name)));
        }
    }
}

#[test]
fn whoever_looks_after_a_database_that_is_not_there_makes_none() {
    let directory = tempfile::tempdir().unwrap();
    let looks = [
        &["token", "ls"][..],
        &["token", "revoke", "ada"],
        &["doctor"],
        &["compact"],
        &["backup", "copy.db"],
    ];
    for words in looks {
        let (code, text) = run(directory.path(), &[&["--database", "log.db"], words].concat());
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains("--database"), "{text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is made");
}

#[tokio::test]
async fn an_open_connection_does_not_hold_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &["--drain-timeout", "500ms"]);
    let address = server.root.strip_prefix("http://").unwrap();
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut half = tokio::net::TcpStream::connect(address).await.unwrap();
    let head = b"POST /v1/documents/x/changes HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\n";
    tokio::io::AsyncWriteExt::write_all(&mut half, head).await.unwrap();
    server.signal("-INT");
    let (code, _, took) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(8), "{took:?}");
    drop((idle, half));
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_acknowledged_and_it_goes_on_when_there_is_room() {
    let directory = tempfile::tempdir().unwrap();
    let mut shell = Command::new("bash");
    let script = r#"ulimit -S -f 600; exec "$0" --database "$1""#;
    shell.args(["-c", script, BINARY]).arg(directory.path().join("log.db"));
    let server = Process::of(shell);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let mut stored = Vec::new();
    let refused = loop {
        let body = ada.many(200);
        let answer = send(post(server.changes(document), body.clone())).await;
        if answer.status != 200 {
            assert_eq!(answer.code(), (503, "unavailable".to_owned()));
            assert!(answer.header("retry-after").is_some());
            break body;
        }
        stored.extend(body);
        assert!(stored.len() < 4 << 20, "the disk is never full");
    };
    assert!(!stored.is_empty());
    // What is there can be read, and the next one is refused too.
    assert_eq!(send(get(server.changes(document))).await.body, stored);
    assert_eq!(send(post(server.changes(document), refused.clone())).await.status, 503);
    let pid = server.child.id().to_string();
    let raised = Command::new("prlimit").args(["--fsize=unlimited:", "--pid", &pid]).status();
    assert!(raised.unwrap().success());
    assert_eq!(send(post(server.changes(document), refused.clone())).await.status, 200);
    stored.extend(refused);
    assert_eq!(send(get(server.changes(document))).await.body, stored);
}

#[test]
fn wrong_usage_is_exit_2_and_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    for (arguments, says) in [
        (vec!["--listen", "0.0.0.0:0"], "loopback"),
        (vec!["--listen", "[::]:0"], "loopback"),
        (vec!["--listen", "nonsense"], "127.0.0.1:4810"),
        (vec!["--database", "postgres://localhost/x"], "PostgreSQL"),
        (vec!["--database", "mysql://x"], "sqlite:PATH"),
        (vec!["--database", ""], "sqlite:PATH"),
        (vec!["--page-bytes", "lots"], "KiB"),
        (vec!["dance"], "dance"),
    ] {
        let (code, text) = run(directory.path(), &arguments);
        assert_eq!(code, Some(2), "{arguments:?}: {text}");
        assert!(text.contains(says), "{text}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "nothing is made");
}

#[test]
fn a_database_of_another_kind_or_newer_is_refused_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    let listen = ["--listen", "127.0.0.1:0", "--database", "log.db"];
    drop(rejoin_server::LogStore::open(&path).unwrap());
    let database = rusqlite::Connection::open(&path).unwrap();
    database.pragma_update(None, "user_version", 99).unwrap();
    drop(database);
    let newer = std::fs::read(&path).unwrap();
    let other = directory.path().join("other.db");
    let database = rusqlite::Connection::open(&other).unwrap();
    database.execute_batch("CREATE TABLE mine (x)").unwrap();
    drop(database);
    let foreign = std::fs::read(&other).unwrap();
    for (bytes, says) in [
        (newer, "schema 99"),
        (foreign, "not a database of this kind"),
        (vec![b'x'; 5_000], "not a database"),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        let (code, text) = run(directory.path(), &listen);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.contains(says), "{text}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn the_database_is_readable_by_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &["serve"]);
    send(post(server.changes(DocumentId::random()), Writer::new(1).many(1))).await;
    for name in ["log.db", "log.db-wal"] {
        let mode = std::fs::metadata(directory.path().join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[test]
fn every_option_has_an_environment_variable_in_the_help() {
    let output = Command::new(BINARY).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let options: Vec<&str> = help
        .split_whitespace()
        .filter(|word| word.starts_with("--") && word.len() > 2 && !word.ends_with('`'))
        .filter(|word| !["--help", "--version", "--listen", "--database"].contains(word))
        .collect();
    assert!(options.len() > 10, "{help}");
    for option in options {
        let variable = format!("REJOIN_{}", option.trim_start_matches('-').replace('-', "_").to_uppercase());
        assert!(help.contains(&variable), "{variable} is not in the help");
    }
}

#[tokio::test]
async fn a_clean_stop_leaves_one_file_and_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let body = ada.many(20);
    assert_eq!(send(post(server.changes(document), body.clone())).await.status, 200);
    // Every kind of connection was open.
    for rest in ["", "/changes", "/snapshot"] {
        let url = server.changes(document).replace("/changes", rest);
        assert!([200, 404].contains(&send(get(url)).await.status));
    }
    assert!(directory.path().join("log.db-wal").exists());
    server.signal("-TERM");
    let (code, _, took) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(10), "{took:?}");
    let names: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(names, ["log.db"]);
    let server = Process::start(directory.path(), &[]);
    assert_eq!(send(get(server.changes(document))).await.body, body);
}

#[tokio::test]
async fn a_database_that_was_replaced_underneath_is_left_alone_at_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let document = DocumentId::random();
    assert_eq!(send(post(server.changes(document), Writer::new(1).many(1))).await.status, 200);
    let path = |name: &str| directory.path().join(name);
    std::fs::rename(path("log.db"), path("old.db")).unwrap();
    std::fs::write(path("log.db"), "another").unwrap();
    std::fs::write(path("log.db-wal"), "another's").unwrap();
    server.signal("-TERM");
    let (code, _, _) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(std::fs::read(path("log.db")).unwrap(), b"another");
    assert_eq!(std::fs::read(path("log.db-wal")).unwrap(), b"another's");
}

#[tokio::test]
async fn readyz_is_false_while_draining() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &[]);
    let address = server.root.strip_prefix("http://").unwrap().to_owned();
    assert_eq!(send(get(format!("{}/readyz", server.root))).await.status, 200);
    // A request that has begun is answered.
    let mut begun = tokio::net::TcpStream::connect(&address).await.unwrap();
    begun.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n").await.unwrap();
    assert_eq!(send(get(format!("{}/healthz", server.root))).await.status, 200);
    server.signal("-TERM");
    while tokio::net::TcpStream::connect(&address).await.is_ok() {}
    begun.write_all(b"\r\n").await.unwrap();
    let mut answer = String::new();
    begun.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("about to stop"), "{answer}");
    let (code, _, _) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
}

#[test]
fn systemd_is_told_when_it_is_ready_and_when_it_stops() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notify");
    let socket = std::os::unix::net::UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let told = || {
        let mut text = [0; 64];
        let length = socket.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..length]).into_owned()
    };
    let mut command = Command::new(BINARY);
    command.env("NOTIFY_SOCKET", &path).arg("--database").arg(directory.path().join("log.db"));
    let server = Process::of(command);
    assert_eq!(told().trim(), "READY=1");
    server.signal("-TERM");
    assert_eq!(told().trim(), "STOPPING=1");
    assert_eq!(server.end().0, Some(0));
}
