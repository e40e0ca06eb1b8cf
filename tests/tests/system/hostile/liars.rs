//! People who lie about what a change was, among honest ones: real servers, real clients, before and after restarts.
//! FAULTS 33: "the claim is proved or ignored; nobody is stuck, nothing is lost or replaced."

use std::process::Command;

use automerge::{ActorId, Automerge, Change, ROOT, legacy::Key, transaction::Transactable};
use rejoin::{
    ChangeHash,
    container::{self, ContainerKind, ContainerSpec},
    fence, rewrite,
};
use rejoin_tests::harness::{Answer, Client, Place, Server, binaries, get, push};
use serde_json::{Value, json};

/// Ada and Ben on one document, and a server.
struct Team {
    place: Place,
    server: Server,
    ada: Client,
    ben: Client,
    id: String,
}

impl Team {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let person = |name: &str| Client::new(place.path(format!("{name}.db"))).with_server(&server.url);
        let (ada, ben) = (person("ada"), person("ben"));
        let id = ada.ok(&["new", "--name", "team"]).trim().to_owned();
        ada.ok(&["set", "team", "/salary", "1000"]);
        ada.ok(&["set", "team", "/iban", "\"DE-ada\""]);
        ada.ok(&["sync"]);
        ben.ok(&["join", &id, "--name", "team"]);
        ben.ok(&["sync"]);
        Self { place, server, ada, ben, id }
    }

    /// The changes in the log.
    fn log(&self) -> Vec<Change> {
        let url = format!("{}/v1/documents/{}/changes", self.server.url, self.id);
        let body = get(&url, "application/vnd.automerge").body;
        fence::frame(&body).unwrap().iter().map(|frame| Change::try_from(frame.bytes).unwrap()).collect()
    }

    /// The change in the log that wrote this key of the root.
    fn victim(&self, key: &str) -> Change {
        let wrote =
            |change: &Change| change.decode().operations.iter().any(|op| op.key == Key::Map(key.into()));
        self.log().into_iter().find(wrote).expect("the key was written")
    }

    fn push(&self, change: &Change) -> Answer {
        push(&self.server.url, &self.id, change.raw_bytes().to_vec())
    }

    fn restart(&mut self, database: std::path::PathBuf) {
        self.server.process.kill();
        self.server = Server::start(database);
        for person in [&mut self.ada, &mut self.ben] {
            *person = person.with_server(&self.server.url);
        }
    }

    fn backup(&self, name: &str) -> std::path::PathBuf {
        let file = self.place.path(name);
        let mut command = Command::new(&binaries().server);
        command.arg("--database").arg(&self.server.database).arg("backup").arg(&file);
        assert!(command.status().unwrap().success());
        file
    }

    /// Everybody works on, and all read the same: the two, the server, and one who joins now.
    fn goes_on(&self, name: &str) -> Value {
        for (person, key) in [(&self.ada, "ada"), (&self.ben, "ben")] {
            person.ok(&["set", "team", &format!("/{name}-{key}"), "true"]);
            person.ok(&["insert", "team", "/todos/-", "--string", &format!("{name} {key}")]);
            person.ok(&["increment", "team", "/count", "1"]);
            person.ok(&["set", "team", "/passing", "1"]);
            person.ok(&["undo", "team"]);
        }
        for _ in 0..2 {
            self.ada.ok(&["sync"]);
            self.ben.ok(&["sync"]);
        }
        let joiner = Client::new(self.place.path(format!("{name}.db"))).with_server(&self.server.url);
        joiner.ok(&["join", &self.id, "--name", "team"]);
        joiner.ok(&["sync"]);
        let state = self.ada.get("team");
        for person in [&self.ada, &self.ben, &joiner] {
            assert_eq!(person.get("team"), state, "{name}: all read the same");
            assert_eq!(person.queued(), 0, "{name}: the queue is empty");
            person.check_file();
        }
        let merged = get(&format!("{}/v1/documents/{}", self.server.url, self.id), "application/json");
        assert_eq!(merged.json(), state, "{name}: the server reads the same");
        for key in ["ada", "ben"] {
            assert_eq!(state[format!("{name}-{key}")], json!(true));
            let todos = state["todos"].as_array().unwrap();
            assert_eq!(todos.iter().filter(|todo| **todo == json!(format!("{name} {key}"))).count(), 1);
        }
        state
    }
}

/// What a liar sends: `victim`'s operations with other values, under another name, and the claim to be it.
fn forged(victim: &Change, value: &str, start_op: u64, message: String) -> Change {
    let mut change = victim.decode();
    change.hash = None;
    change.actor_id = ActorId::from(victim.hash().0[..20].to_vec());
    change.seq = 1;
    change.start_op = start_op.try_into().unwrap();
    for op in &mut change.operations {
        if let automerge::legacy::OpType::Put(_) = op.action {
            op.action = automerge::legacy::OpType::Put(value.into());
        }
        op.pred = Vec::<automerge::legacy::OpId>::new().into();
    }
    change.message = Some(message);
    Change::from(change)
}

fn bare(victim: &ChangeHash) -> String {
    json!({"a": "set", "was": victim.to_string()}).to_string()
}

/// One value at the root, by a stranger who names `victim`.
fn small(victim: &ChangeHash, key: &str) -> Change {
    let mut doc = Automerge::new().with_actor(ActorId::from(format!("liar {key}").into_bytes()));
    let mut tx = doc.transaction();
    tx.put(ROOT, key, 1).unwrap();
    tx.commit_with(automerge::transaction::CommitOptions::default().with_message(bare(victim)));
    doc.get_last_local_change().unwrap()
}

fn stored(answer: &Answer) -> bool {
    answer.status == 200 && answer.json()["rejected"] == json!([])
}

/// C1 a and b: the hash of a container can be known before anybody makes it.
#[test]
fn a_container_is_replaced_by_nothing() {
    let team = Team::new();
    for (nth, path, kind) in [(1, "todos", ContainerKind::List), (2, "count", ContainerKind::Counter)] {
        let spec = ContainerSpec::new(vec![path.to_owned()], kind, vec![0]).unwrap();
        let made = container::make(&spec);
        let made = Change::try_from(made.bytes.as_slice()).unwrap();
        assert!(stored(&team.push(&small(&made.hash(), &format!("small-{path}")))));
        let mut fits = forged(&made, "no container", 1, bare(&made.hash())).decode();
        // Anybody may write to the same place at the same time. This one loses: only its claim could make it win.
        (fits.hash, fits.actor_id) = (None, ActorId::from(vec![nth; 20]));
        assert!(stored(&team.push(&Change::from(fits))));
    }
    let state = team.goes_on("containers");
    assert_eq!(state["count"], json!(2));
}

/// C1 a: also where the honest change is one that waits, or comes later.
#[test]
fn a_change_that_names_another_stands_beside_it() {
    let mut team = Team::new();
    team.ada.ok(&["set", "team", "/later", "\"ada's\""]);
    let waiting: ChangeHash = {
        let queue = team.ada.json(&["queue"]);
        queue[0]["change_hash"].as_str().unwrap().parse().unwrap()
    };
    for (nth, victim) in [waiting, team.victim("salary").hash(), ChangeHash([7; 32])].into_iter().enumerate()
    {
        assert!(stored(&team.push(&small(&victim, &format!("liar{nth}")))));
    }
    let state = team.goes_on("beside");
    assert_eq!((&state["later"], &state["salary"]), (&json!("ada's"), &json!(1000)));
    let database = team.server.database.clone();
    team.restart(database);
    let state = team.goes_on("restarted");
    assert_eq!((&state["later"], &state["salary"]), (&json!("ada's"), &json!(1000)));
}

/// C1 c: between a restore of the server and the clients that heal it somebody else is first.
#[test]
fn after_a_restore_nobody_takes_the_place_of_what_was_acknowledged() {
    let mut team = Team::new();
    let backup = team.backup("backup.db");
    team.ada.ok(&["set", "team", "/salary", "2000"]);
    team.ada.ok(&["set", "team", "/iban", "\"DE-ada-2\""]);
    team.ada.ok(&["sync"]);
    team.ben.ok(&["sync"]);
    let victims: Vec<Change> = team.log().into_iter().rev().take(2).collect();
    team.restart(backup);
    for (nth, victim) in victims.iter().enumerate() {
        let lie = bare(&victim.hash());
        let start = victim.start_op().get();
        let deps: Vec<String> = victim.deps().iter().map(ToString::to_string).collect();
        let own = ActorId::from(victim.hash().0[..20].to_vec()).to_hex_string();
        let line = json!([own, victim.actor_id().to_hex_string(), 1, 99]);
        let proof = json!({"a": "set", "was": victim.hash().to_string(), "of": {"s": victim.seq(), "d": deps, "l": [line]}});
        for (message, start_op) in [(lie.clone(), start), (lie, start + 1), (proof.to_string(), start)] {
            let mut change = forged(victim, "attacker", start_op, message).decode();
            // What the victim was made on is not there any more.
            (change.hash, change.deps) = (None, Vec::new());
            change.actor_id = ActorId::from(
                format!("liar {nth} {start_op} {}", change.message.as_ref().unwrap().len()).into_bytes(),
            );
            for op in &mut change.operations {
                op.key = Key::Map(format!("forged{nth}").into());
            }
            assert!(stored(&team.push(&Change::from(change))));
        }
    }
    let state = team.goes_on("restored");
    assert_eq!((&state["salary"], &state["iban"]), (&json!(2000), &json!("DE-ada-2")));
    let log = team.ben.json(&["log", "team"]);
    let by_ada = log.as_array().unwrap().iter().filter(|line| line["action_type"] == json!("set")).count();
    assert!(by_ada >= 4, "{log}");
}

/// FAULTS 34: a search for what does harm stops after so many trials. What came with it is not held for good.
#[test]
fn many_harmful_changes_at_once_hold_nobody() {
    let team = Team::new();
    let last = team.log().into_iter().next_back().unwrap();
    for nth in 0..20_u8 {
        let mut doc = Automerge::new().with_actor(ActorId::from(vec![nth; 16]));
        let mut tx = doc.transaction();
        tx.put(ROOT, format!("harm{nth}"), 1).unwrap();
        tx.commit();
        let mut change = doc.get_last_local_change().unwrap().decode();
        // It writes over what nobody wrote.
        change.operations[0].pred = vec![automerge::legacy::OpId(77, last.actor_id().clone())].into();
        (change.hash, change.deps) = (None, vec![last.hash()]);
        change.start_op = (last.start_op().get() + last.len() as u64).try_into().unwrap();
        assert_eq!(team.push(&Change::from(change)).status, 200);
    }
    for person in [&team.ada, &team.ben] {
        person.ok(&["insert", "team", "/todos/-", "--string", "goes on"]);
    }
    let joiner = Client::new(team.place.path("joiner.db")).with_server(&team.server.url);
    joiner.ok(&["join", &team.id, "--name", "team"]);
    let people = [&team.ada, &team.ben, &joiner];
    for _ in 0..2 {
        for person in people {
            let ran = person.run(&["sync"]);
            assert!([0, 5].contains(&ran.code), "{ran:#?}");
        }
    }
    let state = team.ada.get("team");
    assert_eq!(state["todos"], json!(["goes on", "goes on"]));
    for person in people {
        assert_eq!(person.get("team"), state);
        assert_eq!(person.sql("SELECT count(*) FROM change WHERE quarantined LIKE 'held%'"), 0);
    }
}

/// Who writes a change again as it was takes nothing away: it is the same edit, and stands once.
#[test]
fn a_true_rewriting_of_what_stands_changes_nothing() {
    let mut team = Team::new();
    let backup = team.backup("backup.db");
    team.ada.ok(&["increment", "team", "/count", "5"]);
    team.ada.ok(&["sync"]);
    team.ben.ok(&["sync"]);
    let victim = team.log().into_iter().next_back().unwrap();
    let again = rewrite::rewrite(std::slice::from_ref(&victim), &[victim.hash()].into()).unwrap();
    let again = Change::try_from(again[0].bytes.as_slice()).unwrap();
    let answer = team.push(&again);
    assert_eq!(answer.json()["rejected"][0]["code"], json!("actor-fork"), "{:?}", answer.json());
    assert_eq!(team.goes_on("in the log")["count"], json!(7));
    // And where the log has lost it the rewriting stands for it, once.
    team.restart(backup);
    let container = team.ada.json(&["log", "team"]);
    assert!(container.as_array().is_some());
    let _ = team.push(&again);
    assert_eq!(team.goes_on("restored")["count"], json!(9));
}
