//! The main job, through the programs as they ship: two stores apart, then one truth; and what befalls them.

use std::{fs, process::Command, time::Duration};

use rejoin_tests::harness::{Client, Place, Proxy, Server, impostor, skipped};
use serde_json::{Value, json};

/// A server, and Ada and Ben in step on a trip.
struct Trip {
    place: Place,
    server: Server,
    proxy: Proxy,
    ada: Client,
    ben: Client,
    id: String,
}

impl Trip {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let proxy = Proxy::to(&server.address());
        let person = |name: &str| Client::new(place.path(format!("{name}.db")));
        let (ada, ben) = (person("ada"), person("ben"));
        ada.ok(&["init", "--server", &proxy.url(), "--author", "ada"]);
        let id = ada.ok(&["new", "--name", "trip"]).trim().to_owned();
        ada.ok(&["text", "trip", "/note", "0", "0", "We leave at nine and take the old path."]);
        ada.ok(&["insert", "trip", "/bring/-", "--string", "tent"]);
        assert_eq!(ada.ok(&["sync"]).trim(), "pushed 2, pulled 0, in step");
        ben.ok(&["init", "--author", "ben"]);
        // The line that `share` prints is the line that Ben types.
        let line = ada.ok(&["share", "trip"]);
        let words: Vec<&str> = line.split_whitespace().skip(1).chain(["--name", "trip"]).collect();
        ben.ok(&words);
        assert_eq!(ben.ok(&["sync"]).trim(), "pushed 0, pulled 2, in step");
        Self { place, server, proxy, ada, ben, id }
    }

    fn cut_off(&mut self) {
        self.proxy.set_target(None);
        self.proxy.cut();
        self.server.process.kill();
    }

    fn reconnect(&mut self) {
        self.server = Server::start(&self.server.database);
        self.proxy.set_target(Some(&self.server.address()));
    }

    /// Everyone syncs until everyone has everything: equal states, empty queues.
    fn settle(&self, people: &[&Client]) -> Value {
        for _ in 0..2 {
            for person in people {
                person.ok(&["sync"]);
            }
        }
        let states: Vec<Value> = people.iter().map(|p| p.get(&self.id)).collect();
        assert!(states.iter().all(|s| *s == states[0]), "all are equal: {states:#?}");
        for person in people {
            assert_eq!(person.queued(), 0, "the queue is empty");
            person.check_file();
        }
        states[0].clone()
    }
}

#[test]
fn two_people_edit_apart_and_then_read_one_truth() {
    let mut trip = Trip::new();
    trip.cut_off();
    let (ada, ben) = (&trip.ada, &trip.ben);
    ada.ok(&["text", "trip", "/note", "12", "4", "ten"]);
    ada.ok(&["increment", "trip", "/snacks", "3"]);
    let ran = ada.run(&["sync", "--timeout", "2s"]).expect(3);
    assert_eq!(ran.stdout.trim(), "pushed 0, pulled 0, 2 queued");
    assert!(ran.stderr.contains("nothing is lost"), "{ran:#?}");
    ben.ok(&["text", "trip", "/note", "30", "3", "new"]);
    ben.ok(&["increment", "trip", "/snacks", "5"]);
    ben.ok(&["insert", "trip", "/bring/-", "--string", "soup"]);
    let queue = ben.json(&["queue"]);
    assert_eq!(queue.as_array().map(Vec::len), Some(3), "{queue}");
    assert_eq!((ada.queued(), ben.queued()), (2, 3));
    check_with_sqlite3(ben);
    trip.reconnect();
    let (ada, ben) = (&trip.ada, &trip.ben);
    let report = ben.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["queued"], &report["parked"]), (&json!(3), &json!(0), &json!(0)));
    assert_eq!(report["documents"][0]["id"], json!(trip.id));
    let report = ada.json(&["sync"]);
    assert_eq!((&report["pushed"], &report["pulled"]), (&json!(2), &json!(3)));
    ben.ok(&["sync"]);
    let truth =
        json!({"bring": ["tent", "soup"], "note": "We leave at ten and take the new path.", "snacks": 8});
    assert_eq!(trip.settle(&[ada, ben]), truth);
    let heads = |c: &Client| c.json(&["sync"])["documents"][0]["heads"].clone();
    assert_eq!(heads(ada), heads(ben));
    assert_eq!(ben.json(&["status"])["documents"][0]["in_step"], true);
    let ran = ben.run(&["queue"]).expect(0);
    assert_eq!((ran.stdout.as_str(), ran.stderr.trim()), ("", "The queue is empty."));
    assert_eq!(ada.json(&["log", "trip"]).as_array().map(Vec::len), Some(7), "nothing lost, nothing doubled");
}

/// `sqlite3 -readonly STORE 'select * from queue'`, as README shows it.
fn check_with_sqlite3(client: &Client) {
    let mut command = Command::new("sqlite3");
    command.arg("-readonly").arg(&client.store).arg("select * from queue");
    let Ok(output) = command.output() else {
        skipped("the queue read by sqlite3", "there is no sqlite3 here");
        return;
    };
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<Vec<&str>> = text.lines().map(|l| l.split('|').collect()).collect();
    assert_eq!(lines.len(), 3, "{text}");
    for (n, columns) in (1..).zip(&lines) {
        assert_eq!(columns.len(), 11, "{text}");
        assert_eq!(columns[0], n.to_string());
        assert_eq!(columns[10], "waiting");
        assert_eq!(columns[4].len(), 64, "{text}");
    }
    assert_eq!(lines[1][3], r#"{"type":"increment","path":"/snacks","by":5}"#);
}

#[test]
fn everyone_may_be_killed_in_between() {
    let mut trip = Trip::new();
    trip.cut_off();
    let mut running = trip.ada.start(&["apply", "trip", "--ack"]);
    let mut stdin = running.stdin.take().unwrap();
    let mut acks = Vec::new();
    for n in 0..50 {
        use std::io::Write as _;
        writeln!(stdin, r#"{{"type":"increment","path":"/n","by":{n}}}"#).unwrap();
        acks.push(running.line().expect("each is acknowledged"));
    }
    running.process.kill();
    assert_eq!(trip.ada.queued(), 50, "what was acknowledged waits");
    trip.reconnect();
    trip.ada.ok(&["sync"]);
    // What was acknowledged to Ada is on the server's disk.
    trip.cut_off();
    trip.reconnect();
    let truth = trip.settle(&[&trip.ada, &trip.ben]);
    assert_eq!(truth["n"], (0..50).sum::<i32>());
    let log = trip.ben.json(&["log", "trip"]);
    let there: Vec<&str> = log.as_array().unwrap().iter().filter_map(|e| e["hash"].as_str()).collect();
    assert!(acks.iter().all(|ack| there.contains(&ack.as_str())));
}

#[test]
fn a_copied_store_is_used_on_both_sides_and_every_edit_is_everywhere_once() {
    let trip = Trip::new();
    trip.ada.ok(&["increment", "trip", "/n", "1"]);
    let twin = Client::new(trip.place.path("twin.db"));
    fs::copy(&trip.ada.store, &twin.store).unwrap();
    for (client, by, word) in [(&trip.ada, "10", "ada"), (&twin, "100", "twin")] {
        client.ok(&["increment", "trip", "/n", by]);
        client.ok(&["insert", "trip", "/bring/-", "--string", word]);
        client.ok(&["text", "trip", "/note", "0", "0", word]);
    }
    let truth = trip.settle(&[&trip.ada, &trip.ben, &twin]);
    assert_eq!(truth["n"], 111, "{truth:#}");
    let bring: Vec<&str> = truth["bring"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(bring.len(), 3, "{truth:#}");
    assert!(bring.contains(&"ada") && bring.contains(&"twin"), "{truth:#}");
    let note = truth["note"].as_str().unwrap();
    assert!(note.contains("ada") && note.contains("twin") && note.contains("We leave"), "{note}");
    // And it goes on.
    twin.ok(&["increment", "trip", "/n", "1000"]);
    assert_eq!(trip.settle(&[&twin, &trip.ada, &trip.ben])["n"], 1111);
}

#[test]
fn a_wiped_server_is_filled_again() {
    let mut trip = Trip::new();
    trip.ben.ok(&["increment", "trip", "/n", "5"]);
    trip.settle(&[&trip.ada, &trip.ben]);
    trip.cut_off();
    remove_database(&trip);
    trip.reconnect();
    trip.ada.ok(&["increment", "trip", "/n", "2"]);
    assert_eq!(trip.settle(&[&trip.ada, &trip.ben])["n"], 7);
    let third = Client::new(trip.place.path("third.db")).with_server(&trip.proxy.url());
    third.ok(&["join", &trip.id, "--name", "trip"]);
    assert_eq!(trip.settle(&[&third, &trip.ada])["n"], 7);
}

#[test]
fn a_server_restored_from_an_old_copy_and_written_to_since_heals() {
    let mut trip = Trip::new();
    trip.cut_off();
    let old = trip.place.path("old.copy");
    fs::copy(&trip.server.database, &old).unwrap();
    trip.reconnect();
    trip.ada.ok(&["increment", "trip", "/n", "1"]);
    trip.ada.ok(&["increment", "trip", "/n", "2"]);
    trip.settle(&[&trip.ada, &trip.ben]);
    trip.cut_off();
    remove_database(&trip);
    fs::copy(&old, &trip.server.database).unwrap();
    trip.reconnect();
    // Someone new writes to the old log before those come back who know more.
    let third = Client::new(trip.place.path("third.db")).with_server(&trip.proxy.url());
    third.ok(&["join", &trip.id, "--name", "trip"]);
    third.ok(&["sync"]);
    for by in ["10", "20", "30"] {
        third.ok(&["increment", "trip", "/m", by]);
    }
    third.ok(&["sync"]);
    trip.ben.ok(&["increment", "trip", "/n", "4"]);
    let truth = trip.settle(&[&trip.ben, &trip.ada, &third]);
    assert_eq!((&truth["n"], &truth["m"]), (&json!(7), &json!(60)));
}

/// The database and what SQLite keeps beside it.
fn remove_database(trip: &Trip) {
    let stem = trip.server.database.file_name().unwrap().to_string_lossy().into_owned();
    for entry in fs::read_dir(trip.place.dir()).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if name.starts_with(&stem) && !name.ends_with(".log") {
            fs::remove_file(&path).unwrap();
        }
    }
}

#[test]
fn a_document_deleted_for_everyone_stays_deleted() {
    let trip = Trip::new();
    trip.ben.ok(&["set", "trip", "/late", "1"]);
    trip.ada.ok(&["rm", "trip", "--yes"]);
    trip.ada.ok(&["sync"]);
    let url = format!("{}/v1/documents/{}", trip.server.url, trip.id);
    let push = rejoin_tests::harness::post(&format!("{url}/changes"), Vec::new());
    assert_eq!((push.status, &push.json()["code"]), (410, &json!("deleted")), "{:?}", push.json());
    let ran = trip.ben.run(&["sync"]);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    let ran = trip.ben.run(&["sync"]);
    assert!([0, 5].contains(&ran.code), "{ran:#?}");
    let gone = rejoin_tests::harness::get(&url, "application/json");
    assert_eq!(gone.status, 410);
    assert_eq!(trip.ada.run(&["get", "trip"]).code, 1);
}

#[test]
fn two_processes_on_one_store_lose_nothing() {
    let trip = Trip::new();
    let lanes: Vec<_> = (0..4)
        .map(|lane| {
            let client = trip.ada.clone();
            std::thread::spawn(move || {
                for n in 0..15 {
                    if (lane + n) % 5 == 0 {
                        client.run(&["sync"]).expect(0);
                    }
                    client.ok(&["increment", "trip", "/n", "1"]);
                    client.ok(&["insert", "trip", "/list/-", &format!("{}", lane * 100 + n)]);
                }
            })
        })
        .collect();
    for lane in lanes {
        lane.join().unwrap();
    }
    let truth = trip.settle(&[&trip.ada, &trip.ben]);
    assert_eq!(truth["n"], 60);
    let mut list: Vec<i64> = truth["list"].as_array().unwrap().iter().filter_map(Value::as_i64).collect();
    list.sort_unstable();
    let mut expected: Vec<i64> = (0..4).flat_map(|l| (0..15).map(move |n| l * 100 + n)).collect();
    expected.sort_unstable();
    assert_eq!(list, expected);
    let server: i64 = trip.ada.sql("SELECT count(*) FROM history");
    assert_eq!(server, trip.ben.sql("SELECT count(*) FROM history"));
}

#[test]
fn a_captive_portal_is_never_an_acknowledgement() {
    let trip = Trip::new();
    trip.ada.ok(&["set", "trip", "/a", "1"]);
    let html = "<html><body>Welcome to the airport. Please log in.</body></html>";
    for (status, media_type) in
        [(200, "text/html"), (200, "application/vnd.automerge"), (200, "application/json")]
    {
        let portal = impostor(move |_| (status, media_type, html.as_bytes().to_vec(), Vec::new()));
        let ran = trip.ada.run(&["sync", "--server", &portal, "--timeout", "2s"]);
        assert_eq!(ran.code, 3, "{media_type}: {ran:#?}");
        assert_eq!(trip.ada.queued(), 1, "{media_type}: the queue is kept");
    }
    assert_eq!(trip.settle(&[&trip.ada, &trip.ben])["a"], 1);
}

#[test]
fn a_cut_line_is_tried_again() {
    let trip = Trip::new();
    let lines: String =
        (0..3000).map(|n| format!("{{\"type\":\"insert\",\"path\":\"/l/-\",\"value\":{n}}}\n")).collect();
    trip.ada.run_with(&["apply", "trip"], lines.as_bytes()).expect(0);
    let running = trip.ada.start(&["sync"]);
    for _ in 0..20 {
        trip.proxy.cut();
        std::thread::sleep(Duration::from_millis(5));
    }
    running.finish(&["sync"]).expect(0);
    let truth = trip.settle(&[&trip.ada, &trip.ben]);
    assert_eq!(truth["l"].as_array().map(Vec::len), Some(3000));
}
