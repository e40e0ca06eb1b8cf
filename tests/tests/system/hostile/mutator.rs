//! Changes that the project's own mutator spoilt, through every way in: the fence, a server, and a client's pull.
//! `REJOIN_TEST_SIZE` says how many seeds are tried, `REJOIN_MUTATION_SEED` tries one alone.

use std::{
    collections::BTreeMap,
    ops::Range,
    time::{Duration, Instant},
};

use automerge::Automerge;
use rejoin::{
    Action, Cursor, DocumentId,
    fence::{self, Limits, check, frame},
    store::{BatchBounds, Core, Durability, Page},
    untrusted::{guarded, install_panic_hook, verify_snapshot},
};
use rejoin_server::{AppState, ServerConfig, VerifyCommand, serve};
use rejoin_tests::{
    harness::{Answer, Place, corpus, get, push, runtime, size},
    mutate::Spoilt,
};
use serde_json::{Value, json};

/// Longest that anything may take for one spoilt log of some dozen changes, on a machine that others use too.
const LONGEST: Duration = Duration::from_secs(20);

/// The seeds to try: `REJOIN_MUTATION_SEED` alone, where it is set.
fn seeds((small, full): (u64, u64)) -> Range<u64> {
    let one = std::env::var("REJOIN_MUTATION_SEED").ok().and_then(|text| text.parse::<u64>().ok());
    one.map_or(0..size(small, full), |seed| seed..seed + 1)
}

/// The logs of the corpus: histories made by others.
fn logs() -> Vec<Vec<u8>> {
    install_panic_hook();
    let Some(dir) = corpus() else { return Vec::new() };
    let mut logs = Vec::new();
    for kind in ["harmless", "panics", "poison"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(dir.join(kind)).unwrap().map(|e| e.unwrap().path()).collect();
        paths.retain(|path| path.extension().is_some_and(|e| e == "base"));
        paths.sort();
        logs.extend(paths.iter().map(|path| std::fs::read(path).unwrap()).filter(|log| !log.is_empty()));
    }
    logs
}

/// Says which seed it was, where one fails.
struct Naming(u64, Vec<&'static str>);

impl Drop for Naming {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("REJOIN_MUTATION_SEED={} (spoilt: {:?}) fails", self.0, self.1);
        }
    }
}

#[test]
fn no_spoilt_change_panics_in_the_fence_or_takes_long() {
    let (logs, mut passed, mut slowest) = (logs(), 0, Duration::ZERO);
    let seeds = seeds((1_000, 4_000));
    let count = seeds.end - seeds.start;
    for seed in seeds {
        let spoilt = Spoilt::of_seed(seed, &logs);
        let _naming = Naming(seed, spoilt.how.clone());
        let started = Instant::now();
        let frames = frame(&spoilt.change).unwrap();
        passed += usize::from(check(&frames[0], &Limits::default()).is_ok());
        slowest = slowest.max(started.elapsed());
    }
    println!("{count} spoilt changes: {passed} passed the fence, the slowest took {slowest:?}");
    assert!(slowest < Duration::from_secs(1), "{slowest:?}");
}

/// A server in this process that verifies in another.
struct Served {
    url: String,
    _place: Place,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Served {
    fn start() -> Self {
        let place = Place::new();
        let mut config = ServerConfig::new(place.path("server.db"));
        config.verify_command =
            Some(VerifyCommand::new(env!("CARGO_BIN_EXE_verifier"), Vec::<String>::new()));
        config.snapshot_quiet = Duration::from_millis(20);
        let state = AppState::open(config).unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let (told, address) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            runtime().block_on(async {
                let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
                told.send(listener.local_addr().unwrap()).unwrap();
                let stopped = async { drop(stopped.await) };
                serve(listener, state, stopped).await.unwrap();
            });
        });
        Self { url: format!("http://{}", address.recv().unwrap()), _place: place, stop: Some(stop) }
    }

    fn push(&self, document: DocumentId, body: Vec<u8>) -> Answer {
        let answer = push(&self.url, document, body);
        assert!([200, 413, 422].contains(&answer.status), "a push: {answer:?}");
        answer
    }

    /// Nothing is 5xx.
    fn get(&self, document: DocumentId, rest: &str, accept: &str) -> Answer {
        let answer = get(&format!("{}/v1/documents/{document}{rest}", self.url), accept);
        assert!([200, 404].contains(&answer.status), "{rest}: {answer:?}");
        answer
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

fn left_out(answer: &Answer) -> usize {
    answer.header("rejoin-quarantined").map_or(0, |n| n.parse().unwrap())
}

/// What a client has after it pulled this log: its store in a file, as the engine would do it.
fn pull(place: &Place, name: &str, document: DocumentId, log: &[u8]) -> Core {
    let mut core = Core::open(&place.path(name), Durability::Normal).unwrap();
    core.join(document, None, None).unwrap();
    let (mut changes, mut refused) = (Vec::new(), Vec::new());
    for one in frame(log).unwrap() {
        match fence::check(&one, &Limits::default()) {
            Ok(change) => changes.push(change),
            Err(refusal) => refused.push((refusal, one.bytes.to_vec())),
        }
    }
    let page = Page { cursor: Cursor::parse("9.ab"), at_end: true, changes, refused, ..Page::default() };
    core.store_page(document, page).unwrap();
    core
}

const CHANGES: &str = "application/vnd.automerge";

/// One spoilt log through a server and a client: what is counted of it.
fn through(served: &Served, place: &Place, seed: u64, spoilt: &Spoilt) -> &'static str {
    let document = DocumentId::random();
    if !spoilt.before.is_empty() {
        let answer = served.push(document, spoilt.before.concat());
        assert_eq!(answer.json()["rejected"], json!([]), "the honest part is taken");
    }
    let answer = served.push(document, spoilt.change.clone());
    let taken = answer.status == 200 && answer.json()["rejected"] == json!([]);
    if !spoilt.after.is_empty() {
        served.push(document, spoilt.after.concat());
    }
    let file = served.get(document, "", CHANGES);
    if file.status == 404 {
        assert!(!taken);
        return "refused";
    }
    let log = served.get(document, "/changes", CHANGES).body;
    let held = frame(&log).unwrap().len();
    let loaded = guarded(|| Automerge::load(&file.body)).unwrap().expect("a file that was given out loads");
    assert_eq!(loaded.get_changes(&[]).len() + left_out(&file), held, "nothing else is left out");
    verify_snapshot(&loaded, &loaded.save()).expect("and is as it was once it was saved again");
    for (one, at) in frame(&log).unwrap().iter().zip(1..) {
        let change = check(one, &Limits::default()).unwrap();
        if loaded.get_change_meta_by_hash(&change.hash).is_none() {
            println!("seed {seed}: the server leaves out {} at {}", change.hash, at);
        }
    }
    let state = served.get(document, "", "application/json");
    assert_eq!(left_out(&state), left_out(&file));
    let snapshot = served.get(document, "/snapshot", CHANGES);
    if snapshot.status == 200 {
        guarded(|| Automerge::load(&snapshot.body)).unwrap().expect("a snapshot loads");
    }
    let quarantined = pulled(place, (seed, document), &log, &state.json());
    assert_eq!(quarantined > 0, left_out(&file) > 0, "client and server leave the same out");
    match (taken, left_out(&file) > 0) {
        (false, _) => "refused",
        (true, true) => "left out",
        (true, false) => "good",
    }
}

/// "Every honest person on that document can go on setting, inserting, splicing, counting, deleting, undoing".
fn go_on(core: &mut Core, document: DocumentId) {
    let path = |path: &str| path.to_owned();
    let actions = [
        Action::Set { path: path("/edited"), value: json!(true) },
        Action::Insert { path: path("/a new list/-"), value: json!(1) },
        Action::Splice { path: path("/a new text"), pos: 0, delete: 0, insert: path("typed") },
        Action::Increment { path: path("/a new counter"), by: 3 },
        Action::Set { path: path("/short lived"), value: json!(1) },
        Action::Delete { path: path("/short lived") },
    ];
    for action in actions {
        let shown = format!("{action:?}");
        core.dispatch(&[(document, action)]).unwrap().remove(0).unwrap_or_else(|e| panic!("{shown}: {e}"));
    }
    // What was there, too.
    let there = core.state(document, "", None).unwrap();
    let keys: Vec<String> = there.as_object().unwrap().keys().take(8).cloned().collect();
    for key in keys.into_iter().filter(|key| key != "edited" && key.len() < 1_000) {
        let pointer = format!("/{}", key.replace('~', "~0").replace('/', "~1"));
        for action in
            [Action::Set { path: pointer.clone(), value: json!(1) }, Action::Delete { path: pointer }]
        {
            core.dispatch(&[(document, action)]).unwrap().remove(0).expect("what is there can be changed");
        }
        for _ in 0..2 {
            core.undo(document).expect("it can be undone").expect("there is something to undo");
        }
    }
    let back = core.state(document, "", None).unwrap();
    assert_eq!(back.as_object().unwrap().len(), there.as_object().unwrap().len(), "all is back");
    // Everything that was made here can be sent: no fence refuses it.
    let bounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };
    let batch = core.take_batch(document, bounds).unwrap();
    assert!(!batch.rows.is_empty());
    for one in frame(&batch.body).unwrap() {
        fence::check(&one, &Limits::default()).expect("an honest change passes every fence");
    }
}

/// The same changes in another order of arrival, page by page, with honest edits between: the same are left out.
fn quarantined_in_another_order(
    place: &Place,
    (seed, document): (u64, DocumentId),
    log: &[u8],
) -> Vec<String> {
    let mut core = Core::open(&place.path(format!("{seed}-other.db")), Durability::Normal).unwrap();
    core.join(document, None, None).unwrap();
    let mut left: Vec<_> =
        frame(log).unwrap().iter().filter_map(|one| fence::check(one, &Limits::default()).ok()).collect();
    left.reverse();
    let mut held = std::collections::HashSet::new();
    while !left.is_empty() {
        // As late as possible comes what came early.
        let ready = |change: &fence::CheckedChange| change.deps.iter().all(|dep| held.contains(dep));
        let Some(at) = left.iter().position(ready) else { break };
        let change = left.remove(at);
        held.insert(change.hash);
        let page = Page { changes: vec![change], at_end: left.is_empty(), ..Page::default() };
        core.store_page(document, page).unwrap();
        if left.len() % 3 == 0 {
            let edit = Action::Increment { path: "/met".to_owned(), by: 1 };
            core.dispatch(&[(document, edit)]).unwrap().remove(0).expect("it can be edited between");
        }
    }
    left_out_here(&mut core, document)
}

fn left_out_here(core: &mut Core, document: DocumentId) -> Vec<String> {
    let rows = core.history(document, None).unwrap().into_iter();
    let mut found: Vec<String> =
        rows.filter(|row| row.quarantined.is_some()).map(|row| row.hash.to_string()).collect();
    found.sort_unstable();
    found
}

/// The same log at a client, which defends itself: how many changes it has quarantined.
fn pulled(place: &Place, (seed, document): (u64, DocumentId), log: &[u8], state: &Value) -> u64 {
    let name = format!("{seed}.db");
    let mut core = pull(place, &name, document, log);
    let quarantined = core.document(document).unwrap().quarantined;
    let here = left_out_here(&mut core, document);
    let there = quarantined_in_another_order(place, (seed, document), log);
    assert_eq!(here, there, "in every order of arrival the same is left out");
    for row in core.history(document, None).unwrap() {
        if let Some(why) = row.quarantined {
            println!("seed {seed}: the client leaves out {} at {}: {why}", row.hash, row.position);
        }
    }
    // Through text, as the server's: reading a fraction back may change its last digit.
    let read = core.state(document, "", None).unwrap().to_string();
    let read: Value = serde_json::from_str(&read).unwrap();
    assert_eq!(&read, state, "client and server read the same");
    go_on(&mut core, document);
    let before = core.state(document, "", None).unwrap();
    assert_eq!(before["edited"], true);
    let file = core.export(document).expect("it can be exported");
    guarded(|| Automerge::load(&file)).unwrap().expect("and loaded");
    core.make_snapshot(document).unwrap();
    drop(core);
    let mut core = Core::open(&place.path(&name), Durability::Normal).unwrap();
    assert_eq!(core.state(document, "", None).unwrap(), before, "it is the same when it is opened again");
    quarantined
}

#[test]
fn spoilt_changes_stop_neither_server_nor_client_nor_other_documents() {
    let (logs, served, place) = (logs(), Served::start(), Place::new());
    let good = DocumentId::random();
    let honest = Spoilt::of_seed(7, &[]).before.concat();
    served.push(good, honest);
    let before = served.get(good, "", "application/json").json();
    let (mut counts, mut slowest) = (BTreeMap::<&str, u32>::new(), Duration::ZERO);
    for seed in seeds((75, 300)) {
        let spoilt = Spoilt::of_seed(seed, &logs);
        let naming = Naming(seed, spoilt.how.clone());
        let started = Instant::now();
        *counts.entry(through(&served, &place, seed, &spoilt)).or_default() += 1;
        slowest = slowest.max(started.elapsed());
        assert!(started.elapsed() < LONGEST, "{:?}", started.elapsed());
        drop(naming);
    }
    println!("spoilt logs: {counts:?}, the slowest took {slowest:?}");
    assert_eq!(served.get(good, "", "application/json").json(), before, "another document is as it was");
}
