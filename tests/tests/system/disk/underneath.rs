//! A disk with no room, a disk that cannot be written, and a file that goes away: an error, nothing acknowledged
//! that is not there, and it goes on afterwards. The limits are the system's own.

use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

use rejoin::{Action, Error, Store, SyncOptions};
use rejoin_tests::harness::{Client, Limit, Place, Ran, Server, binaries, limited, skipped};
use serde_json::json;

/// A file system of its own, of one MiB. Gone when dropped.
struct TinyDisk(PathBuf);

impl TinyDisk {
    /// `None`, said loudly, where this user may not mount.
    fn mount(place: &Place, what: &str) -> Option<Self> {
        let path = place.path("tiny");
        std::fs::create_dir(&path).unwrap();
        let mounted = run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", path.to_str().unwrap()]);
        if !mounted.is_ok_and(|output| output.status.success()) {
            skipped(what, "this user may not mount a small tmpfs");
            return None;
        }
        Some(Self(path))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Takes what room there is, to the last byte.
    fn fill(&self) {
        let mut filler = std::fs::File::create(self.path("filler")).unwrap();
        for size in [4_096, 64, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.path("filler")).unwrap();
    }

    fn remount(&self, option: &str) {
        let option = format!("remount,{option}");
        assert!(run("mount", &["-o", &option, self.0.to_str().unwrap()]).unwrap().status.success());
    }
}

impl Drop for TinyDisk {
    fn drop(&mut self) {
        let _ = run("umount", &["-l", self.0.to_str().unwrap()]);
    }
}

fn run(program: &str, arguments: &[&str]) -> std::io::Result<Output> {
    Command::new(program).args(arguments).output()
}

/// So many actions, each of a kilobyte.
fn actions(n: usize) -> Vec<u8> {
    let line = |i| format!(r#"{{"type":"set","path":"/k{i}","value":"{}"}}"#, "x".repeat(1_000)) + "\n";
    (0..n).map(line).collect::<String>().into_bytes()
}

/// Runs a command that reads this file, with this program before it.
fn run_under(client: &Client, program: Command, words: &[&str], input: &Path) -> Ran {
    let mut command = client.prepare(program, words);
    command.stdin(std::fs::File::open(input).unwrap());
    Ran::of(command.output().unwrap(), words)
}

/// Runs the command with no file larger than so many KiB.
fn run_limited(client: &Client, kib: u64, words: &[&str], input: &Path) -> Ran {
    run_under(client, limited(binaries().rejoin.as_os_str(), Limit::FileKib(kib)), words, input)
}

fn history(client: &Client) -> BTreeSet<String> {
    let connection = rusqlite::Connection::open(&client.store).unwrap();
    let mut rows = connection.prepare("SELECT change_hash FROM history").unwrap();
    rows.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

/// It failed, said so in words that a person understands, and did not panic.
fn is_clear(ran: &Ran) {
    assert_eq!(ran.code, 1, "{ran:#?}");
    assert!(ran.stderr.contains("error: ") && ran.stderr.contains("hint: "), "{ran:#?}");
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
}

fn set(key: &str, value: impl Into<serde_json::Value>) -> Action {
    Action::Set { path: format!("/{key}"), value: value.into() }
}

fn entries(state: &serde_json::Value) -> usize {
    state.as_object().unwrap().len()
}

#[test]
fn apply_at_a_file_size_limit_keeps_what_it_acknowledged_and_nothing_else() {
    let place = Place::new();
    let ada = Client::new(place.path("ada.db"));
    ada.ok(&["new", "--name", "notes"]);
    let input = place.path("actions");
    std::fs::write(&input, actions(3_000)).unwrap();
    let ran = run_limited(&ada, 700, &["apply", "notes", "--ack", "--batch", "10"], &input);
    is_clear(&ran);
    let acknowledged: BTreeSet<String> = ran.stdout.lines().map(str::to_owned).collect();
    assert!(!acknowledged.is_empty() && acknowledged.len() < 3_000, "{}", acknowledged.len());
    assert_eq!(history(&ada), acknowledged);
    assert_eq!(ada.queued() as usize, acknowledged.len());
    ada.ok(&["doctor"]);
    assert_eq!(entries(&ada.get("notes")), acknowledged.len());
    ada.ok(&["set", "notes", "/after", "1"]);
    assert_eq!(ada.get("notes")["after"], 1);
}

#[test]
fn a_file_size_limit_ends_no_command_by_a_signal() {
    let place = Place::new();
    let ada = Client::new(place.path("ada.db"));
    ada.ok(&["new", "--name", "notes"]);
    let input = place.path("actions");
    std::fs::write(&input, actions(3_000)).unwrap();
    // As a person sets it: nothing ignores the signal for the program.
    let mut bash = Command::new("bash");
    bash.args(["-c", "ulimit -f 700; exec \"$0\" \"$@\""]).arg(&binaries().rejoin);
    is_clear(&run_under(&ada, bash, &["apply", "notes"], &input));
    ada.ok(&["doctor"]);
}

#[test]
fn an_edit_on_a_full_disk_fails_clearly_changes_nothing_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let Some(disk) = TinyDisk::mount(&place, "an edit on a full disk") else { return };
    let ada = Client::new(disk.path("ada.db"));
    ada.ok(&["new", "--name", "notes"]);
    ada.ok(&["set", "notes", "/before", "1"]);
    let queued = ada.queued();
    disk.fill();
    let ran = ada.run(&["set", "notes", "/lost", &format!("\"{}\"", "x".repeat(50_000))]);
    is_clear(&ran);
    assert!(ran.stderr.contains("disk"), "{ran:#?}");
    disk.free();
    ada.ok(&["doctor"]);
    assert_eq!((ada.get("notes"), ada.queued()), (json!({"before": 1}), queued));
    ada.ok(&["set", "notes", "/after", "1"]);
    assert_eq!(ada.get("notes"), json!({"before": 1, "after": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_store_on_a_full_disk_knows_what_the_disk_knows_and_goes_on_when_there_is_room() {
    let place = Place::new();
    let Some(disk) = TinyDisk::mount(&place, "an open store on a full disk") else { return };
    let store = Store::open(disk.path("ada.db")).await.unwrap();
    let notes = store.create(None, Some("notes")).await.unwrap();
    store.dispatch(notes, set("before", 1)).await.unwrap();
    disk.fill();
    // A little may fit into room that the file has already.
    let long = "x".repeat(100_000);
    let mut held = 1;
    let error = loop {
        match store.dispatch(notes, set(&format!("k{held}"), long.clone())).await {
            Ok(_) => held += 1,
            Err(error) => break error,
        }
        assert!(held < 100, "the disk is never full");
    };
    assert!(matches!(error, Error::DiskFull), "{error:?}");
    assert_eq!(entries(&store.state(notes, "").await.unwrap()), held);
    assert_eq!(store.queue(None).await.unwrap().len(), held);
    disk.free();
    store.dispatch(notes, set("after", 1)).await.unwrap();
    drop(store);
    let store = Store::open(disk.path("ada.db")).await.unwrap();
    assert_eq!(entries(&store.state(notes, "").await.unwrap()), held + 1);
    assert_eq!(store.queue(None).await.unwrap().len(), held + 1);
}

#[test]
fn a_pulled_page_that_does_not_fit_moves_no_cursor_and_comes_when_there_is_room() {
    let place = Place::new();
    let server = Server::start(place.path("log.db"));
    let [ada, bob] = ["ada.db", "bob.db"].map(|name| Client::new(place.path(name)).with_server(&server.url));
    let id = ada.ok(&["new", "--name", "notes"]);
    ada.run_with(&["apply", "notes"], &actions(2_000)).expect(0);
    ada.ok(&["sync"]);
    bob.ok(&["join", id.trim(), "--name", "notes"]);
    bob.ok(&["set", "notes", "/mine", "1"]);
    let empty = place.path("empty");
    std::fs::write(&empty, "").unwrap();
    is_clear(&run_limited(&bob, 500, &["sync"], &empty));
    let moved = bob.sql("SELECT count(*) FROM documents WHERE cursor IS NOT NULL");
    assert_eq!(moved, 0, "no cursor without its changes");
    assert_eq!(bob.queued(), 1);
    bob.ok(&["doctor"]);
    assert_eq!(bob.get("notes"), json!({"mine": 1}));
    bob.ok(&["sync"]);
    ada.ok(&["sync"]);
    assert_eq!(entries(&bob.get("notes")), 2_001);
    assert_eq!((ada.get("notes"), bob.queued()), (bob.get("notes"), 0));
}

#[test]
fn a_store_that_cannot_be_written_fails_clearly_and_changes_nothing() {
    let place = Place::new();
    let Some(disk) = TinyDisk::mount(&place, "a read-only disk") else { return };
    let ada = Client::new(disk.path("ada.db"));
    ada.ok(&["new", "--name", "notes"]);
    ada.ok(&["set", "notes", "/before", "1"]);
    disk.remount("ro");
    is_clear(&ada.run(&["set", "notes", "/lost", "1"]));
    disk.remount("rw");
    assert_eq!((ada.get("notes"), ada.queued()), (json!({"before": 1}), 1));
    ada.ok(&["set", "notes", "/after", "1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_whose_file_is_deleted_underneath_acknowledges_nothing() {
    for gone in ["ada.db", "ada.db-wal"] {
        let place = Place::new();
        let store = Store::open(place.path("ada.db")).await.unwrap();
        let notes = store.create(None, Some("notes")).await.unwrap();
        store.dispatch(notes, set("before", 1)).await.unwrap();
        let aside = place.path("aside");
        std::fs::rename(place.path(gone), &aside).unwrap();
        let error = store.dispatch(notes, set("lost", 1)).await.unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{gone}: {error:?}");
        assert!(store.create(None, None).await.is_err(), "{gone}");
        // Put back, it holds what was acknowledged and nothing else.
        std::fs::rename(&aside, place.path(gone)).unwrap();
        store.dispatch(notes, set("after", 1)).await.unwrap();
        assert_eq!(store.state(notes, "").await.unwrap(), json!({"before": 1, "after": 1}));
        assert_eq!(store.queue(None).await.unwrap().len(), 2);
    }
}

#[test]
fn apply_prints_no_hash_after_its_file_is_deleted_underneath() {
    let place = Place::new();
    let ada = Client::new(place.path("ada.db"));
    ada.ok(&["new", "--name", "notes"]);
    let mut running = ada.start(&["apply", "notes", "--ack"]);
    let mut stdin = running.stdin.take().unwrap();
    stdin.write_all(&actions(1)).unwrap();
    assert!(running.line().is_some());
    std::fs::remove_file(&ada.store).unwrap();
    stdin.write_all(&actions(2)).unwrap();
    drop(stdin);
    let ran = running.finish(&["apply"]);
    is_clear(&ran);
    assert_eq!(ran.stdout, "");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_database_is_deleted_underneath_acknowledges_nothing() {
    let place = Place::new();
    let mut server = Server::start(place.path("log.db"));
    let store = Store::open(place.path("ada.db")).await.unwrap();
    let notes = store.create(None, None).await.unwrap();
    store.dispatch(notes, set("before", 1)).await.unwrap();
    let options = || SyncOptions::default().server(&server.url).timeout(Duration::from_secs(3));
    assert_eq!(store.sync(options()).await.unwrap().queued, 0);
    std::fs::remove_file(place.path("log.db")).unwrap();
    store.dispatch(notes, set("waits", 1)).await.unwrap();
    let report = store.sync(options()).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))), "{report:?}");
    assert_eq!(report.queued, 1);
    assert!(server.process.is_alive());
}
