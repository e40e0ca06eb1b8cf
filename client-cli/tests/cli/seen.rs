//! What was left out is shown, and calls a person until it was seen.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};

use automerge::{
    ActorId, Change, ChangeHash, ExpandedChange,
    legacy::{Key, ObjectId, Op, OpType},
};
use serde_json::{Value, json};

use crate::environment::{Environment, Person};

/// A server whose log holds what no honest one takes.
struct Careless {
    url: String,
    log: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Careless {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let rows = Arc::clone(&log);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                answer(stream.unwrap(), &rows.lock().unwrap());
            }
        });
        Self { url, log }
    }

    fn hold(&self, change: &Change) {
        self.log.lock().unwrap().push(change.raw_bytes().to_vec());
    }
}

fn answer(mut stream: std::net::TcpStream, log: &[Vec<u8>]) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut first, mut length) = (String::new(), 0);
    let _ = reader.read_line(&mut first);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).is_err() || line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
    }
    let _ = reader.read_exact(&mut vec![0; length]);
    let head = "connection: close\r\n";
    if !first.contains("/changes") {
        let problem = r#"{"code":"not-found","title":"No","status":404}"#;
        let _ = write!(
            stream,
            "HTTP/1.1 404 Not Found\r\n{head}content-type: application/problem+json\r\ncontent-length: {}\r\n\r\n{problem}",
            problem.len()
        );
        return;
    }
    let after = first.split("after=").nth(1).and_then(|rest| rest.split('.').next());
    let after: usize = after.and_then(|text| text.parse().ok()).unwrap_or(0);
    let (body, end) = (log[after..].concat(), log.len());
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\n{head}content-type: application/vnd.automerge\r\nrejoin-cursor: {end}.aa\r\n\
         rejoin-end: {end}.aa\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&body);
}

/// A change that says it is Ada's. One that counts from far above what it was made on would end the document.
fn change(actor: u8, start_op: u64, deps: Vec<ChangeHash>) -> Change {
    Change::from(ExpandedChange {
        operations: vec![Op {
            action: OpType::Put(1_i64.into()),
            obj: ObjectId::Root,
            key: Key::Map(format!("key{actor}").as_str().into()),
            pred: Vec::new().into(),
            insert: false,
        }],
        actor_id: ActorId::from([actor; 16]),
        hash: None,
        seq: 1,
        start_op: start_op.try_into().unwrap(),
        time: 1_795_000_000,
        message: Some(r#"{"a":"set","by":"ada"}"#.into()),
        deps,
        extra_bytes: Vec::new(),
        author: None,
    })
}

fn listed(person: &Person<'_>, code: i32) -> Value {
    serde_json::from_str(&person.run(&["quarantine", "--json"]).expect(code).stdout).unwrap()
}

#[test]
fn what_was_left_out_calls_a_person_until_it_was_seen_and_then_only_when_more_is() {
    let env = Environment::new();
    let (ben, server) = (env.person("ben"), Careless::start());
    let id = "6f1d2c5e-8f0b-4c58-9d3e-3a1f2b4c5d6e";
    ben.ok(&["join", &format!("{}/v1/documents/{id}", server.url), "--name", "trip"]);
    let good = change(1, 1, vec![]);
    let bad = change(2, 1 << 31, vec![good.hash()]);
    let after = change(3, (1 << 31) + 1, vec![bad.hash()]);
    for row in [&good, &bad, &after] {
        server.hold(row);
    }
    for _ in 0..2 {
        let ran = ben.run(&["sync"]).expect(5);
        assert!(ran.stderr.contains("rejoin quarantine") && !ran.stderr.contains("rejoin queue"), "{ran:#?}");
        let status = ben.run(&["status"]).expect(5);
        assert!(status.stdout.contains("2 changes left out"), "{status:#?}");
    }
    assert_eq!(ben.json(&["get", "trip"]), json!({"key1": 1}));
    let all = listed(&ben, 5);
    assert_eq!(all.as_array().unwrap().len(), 2);
    for (row, hash) in all.as_array().unwrap().iter().zip([bad.hash(), after.hash()]) {
        assert_eq!((&row["change_hash"], &row["document"]), (&json!(hash.to_string()), &json!(id)));
        assert_eq!((&row["author"], &row["action_type"]), (&json!("ada"), &json!("set")));
        assert!(row["arrived_at"].is_string() && row["seen_at"].is_null(), "{row}");
    }
    assert_eq!(all[1]["why"], format!("it depends on {}, which was left out", bad.hash()));
    let text = ben.run(&["quarantine", "trip"]).expect(5);
    assert!(
        text.stdout.contains("trip") && text.stdout.contains("ada") && text.stdout.contains("left out: ")
    );
    // Somebody looked.
    ben.ok(&["quarantine", "--seen"]);
    for _ in 0..2 {
        let ran = ben.run(&["sync"]).expect(0);
        assert!(ran.stdout.contains("2 changes left out (seen)"), "{ran:#?}");
        assert!(ben.ok(&["status"]).contains("2 changes left out (seen)"));
    }
    assert!(listed(&ben, 0)[0]["seen_at"].is_string());
    let report = ben.json(&["sync"]);
    assert_eq!((&report["quarantined"], &report["quarantined_seen"]), (&json!(2), &json!(2)));
    // A new one.
    let more = change(4, 1 << 31, vec![good.hash()]);
    server.hold(&more);
    ben.run(&["sync"]).expect(5);
    let status = ben.run(&["status"]).expect(5);
    assert!(status.stdout.contains("3 changes left out (1 not seen yet)"), "{status:#?}");
    let unseen: Vec<Value> =
        listed(&ben, 5).as_array().unwrap().iter().filter(|row| row["seen_at"].is_null()).cloned().collect();
    assert_eq!((unseen.len(), &unseen[0]["change_hash"]), (1, &json!(more.hash().to_string())));
    ben.ok(&["quarantine", "trip", "--seen"]);
    ben.ok(&["sync"]);
    ben.ok(&["status"]);
}

#[test]
fn where_nothing_is_left_out_it_says_so() {
    let env = Environment::new();
    let ada = env.person("ada");
    ada.new_document("d");
    assert_eq!(ada.json(&["quarantine"]), json!([]));
    assert!(ada.run(&["quarantine", "d", "--seen"]).expect(0).stderr.contains("No change is left out."));
    ada.run(&["quarantine", "no"]).expect_error(1, "no");
}
