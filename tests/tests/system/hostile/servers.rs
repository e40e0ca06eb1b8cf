//! Hostile servers and real clients: nothing is acknowledged that must not be, no cursor moves over what was spoilt,
//! and the documents stay in use.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use automerge::{AutoCommit, Automerge, Change, ROOT, transaction::Transactable as _};
use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{Response, StatusCode},
};
use futures_util::stream::{self, StreamExt};
use rejoin::{Action, DocumentId, Store, SyncOptions, SyncReport, SyncState, fence};
use rejoin_tests::harness::{Client, Place, corpus, foreign_change};
use serde_json::{Value, json};

const CHANGES: &str = "application/vnd.automerge";

/// One case of the corpus: what is good, and what comes after it.
#[derive(Clone)]
struct Case {
    name: String,
    base: Vec<u8>,
    bad: Vec<u8>,
}

impl Case {
    fn both(&self) -> Vec<u8> {
        [self.base.as_slice(), &self.bad].concat()
    }

    /// What the library itself makes of the good part.
    fn base_state(&self) -> Value {
        state_of(&self.base)
    }
}

fn state_of(chunks: &[u8]) -> Value {
    let frames = fence::frame(chunks).unwrap();
    let changes = frames.iter().map(|frame| Change::try_from(frame.bytes).unwrap());
    let mut document = Automerge::new();
    document.apply_changes(changes).unwrap();
    serde_json::to_value(automerge::AutoSerde::from(&document)).unwrap()
}

/// The cases of one kind; `None`, said loudly, where there is no corpus.
fn cases(kind: &str) -> Option<Vec<Case>> {
    let directory = corpus()?.join(kind);
    let mut paths: Vec<_> =
        std::fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|e| e == "bad"));
    paths.sort();
    assert!(!paths.is_empty(), "{} is empty", directory.display());
    let case = |path: &std::path::PathBuf| {
        let name = format!("{kind}/{}", path.file_stem().unwrap().to_string_lossy());
        // Without a file there is nothing to come first.
        let base = std::fs::read(path.with_extension("base")).unwrap_or_default();
        Case { name, base, bad: std::fs::read(path).unwrap() }
    };
    Some(paths.iter().map(case).collect())
}

/// A document that everybody can read.
fn good_change() -> (Vec<u8>, Vec<u8>) {
    let mut document = AutoCommit::new();
    let change = foreign_change(&mut document, "good", 1, None);
    (change, document.save())
}

fn set(key: &str) -> Action {
    Action::Set { path: format!("/{key}"), value: json!(1) }
}

async fn sync(store: &Store, url: &str) -> SyncReport {
    store.sync(SyncOptions::default().server(url).timeout(Duration::from_secs(60))).await.unwrap()
}

/// A person who uses the same store from the command line.
fn at_shell(store: &Path, url: &str) -> Client {
    Client::new(store).with_server(url)
}

/// A file that was exported can be loaded.
fn is_sound(file: &[u8], name: &str) {
    let loaded = std::panic::catch_unwind(|| Automerge::load(file).is_ok());
    assert!(loaded.unwrap_or(false), "{name}: export");
}

type Reply = Response<Body>;

/// A server that answers what it is told to. What it is asked is called `POST changes`, `GET snapshot` and so on.
struct Liar {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    async fn start(answer: impl Fn(&str, DocumentId) -> Reply + Send + Sync + 'static) -> Self {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        let handler = move |request: Request| {
            let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
            async move {
                let path = request.uri().path().to_owned();
                let mut parts = path.trim_start_matches("/v1/documents/").split('/');
                let document = parts.next().and_then(|id| id.parse().ok());
                let what = format!("{} {}", request.method(), parts.next().unwrap_or_default());
                log.lock().unwrap().push(format!("{what} {path}"));
                // A server that takes the request before it answers, as most do.
                let _ = axum::body::to_bytes(request.into_body(), 1 << 24).await;
                document.map_or_else(html, |document| answer(&what, document))
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            axum::serve(listener, Router::new().fallback(handler)).await.unwrap();
        });
        Self { url, asked, task }
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn reply(status: u16, headers: &[(&str, &str)], body: impl Into<Body>) -> Reply {
    let mut builder = Response::builder().status(StatusCode::from_u16(status).unwrap());
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(body.into()).unwrap()
}

fn html() -> Reply {
    reply(200, &[("content-type", "text/html")], "<html>Please log in</html>")
}

/// A page of changes as a sync server would send it, up to the end of its log.
fn page(body: impl Into<Body>) -> Reply {
    reply(200, &[("content-type", CHANGES), ("rejoin-cursor", "1.aa"), ("rejoin-end", "1.aa")], body)
}

/// An honest "later".
fn busy() -> Reply {
    let problem = r#"{"code":"unavailable","status":503,"title":"later"}"#;
    reply(503, &[("content-type", "application/problem+json")], problem)
}

fn figures(accepted: &str, cursor: &str, body: impl Into<Body>) -> Reply {
    let head = [
        ("content-type", CHANGES),
        ("rejoin-cursor", cursor),
        ("rejoin-end", "1.aa"),
        ("rejoin-accepted", accepted),
        ("rejoin-duplicate", "0"),
    ];
    reply(200, &head, body)
}

/// A body that is cut off.
fn cut(bytes: Vec<u8>) -> Body {
    let pieces = [Ok(Bytes::from(bytes)), Err(std::io::Error::other("cut"))];
    Body::from_stream(stream::iter(pieces))
}

/// A body that goes on as long as somebody listens.
fn endless() -> Body {
    Body::from_stream(stream::repeat(()).then(async |()| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Ok::<_, std::io::Error>(Bytes::from_static(b"x"))
    }))
}

type Answer = fn() -> Reply;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_but_a_sync_servers_reply_acknowledges_a_push() {
    const JSON: &[(&str, &str)] = &[("content-type", "application/json")];
    let lies: &[(&str, Answer)] = &[
        ("HTML with status 200", html),
        ("a redirect to a login", || reply(302, &[("location", "/login")], "")),
        ("a redirect that keeps the method", || reply(307, &[("location", "/login")], "")),
        ("200 and nothing", || reply(200, &[], "")),
        ("204", || reply(204, &[], "")),
        ("JSON of another kind", || reply(200, JSON, "{}")),
        ("JSON cut off", || reply(200, JSON, cut(br#"{"cursor":"1.aa","end":"1.aa","accepted":1"#.to_vec()))),
        ("figures that do not add up", || {
            reply(
                200,
                JSON,
                r#"{"cursor":"1.aa","end":"1.aa","accepted":7,"duplicate":0,"heads":[],"rejected":[]}"#,
            )
        }),
        ("a refusal of what was not sent", || {
            let hash = "ab".repeat(32);
            let rejected = format!(r#"[{{"hash":"{hash}","code":"malformed","detail":"no"}}]"#);
            let rest = r#""cursor":"1.aa","end":"1.aa","accepted":0,"duplicate":0,"heads":[]"#;
            reply(200, JSON, format!(r#"{{{rest},"rejected":{rejected}}}"#))
        }),
        ("changes without figures", || page("")),
        ("more accepted than was sent", || figures("9", "1.aa", "")),
        ("no cursor", || reply(200, &[("content-type", CHANGES), ("rejoin-accepted", "1")], "")),
        ("changes that cannot be framed", || figures("1", "1.aa", "no changes at all")),
        ("changes cut off", || figures("1", "1.aa", cut(good_change().0[..20].to_vec()))),
        ("a body that never ends", || figures("1", "1.aa", endless())),
    ];
    for (name, lie) in lies {
        let place = Place::new();
        let lie = *lie;
        let liar = Liar::start(move |_, _| lie()).await;
        let ada = at_shell(&place.path("ada.db"), &liar.url);
        ada.ok(&["new", "--name", "notes"]);
        ada.ok(&["set", "notes", "/mine", "1"]);
        let start = Instant::now();
        let ran = ada.run(&["sync", "--timeout", "2s"]);
        assert_eq!(ran.code, 3, "{name}: {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{name}: {ran:#?}");
        assert!(start.elapsed() < Duration::from_secs(30), "{name}: {:?}", start.elapsed());
        assert_eq!(ada.queued(), 1, "{name} was taken for an acknowledgement");
        assert_eq!(ada.sql("SELECT count(*) FROM documents WHERE cursor IS NOT NULL"), 0, "{name}");
        assert!(
            !liar.asked.lock().unwrap().iter().any(|asked| asked.contains("login")),
            "{name} was followed"
        );
        ada.ok(&["set", "notes", "/more", "1"]);
        assert_eq!(ada.get("notes"), json!({"mine": 1, "more": 1}), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pull_that_was_spoilt_on_its_way_moves_no_cursor() {
    let lies: &[(&str, Answer)] = &[
        ("HTML with status 200", html),
        ("a redirect", || reply(302, &[("location", "/login")], "")),
        ("a change cut off", || page(good_change().0[..40].to_vec())),
        ("a body cut off", || page(cut(good_change().0))),
        ("a flipped bit", || {
            let mut change = good_change().0;
            *change.last_mut().unwrap() ^= 1;
            page(change)
        }),
        ("bytes after a change", || page([good_change().0.as_slice(), b"more"].concat())),
        ("no cursor", || reply(200, &[("content-type", CHANGES)], good_change().0)),
        ("a body that never ends", || page(endless())),
    ];
    for (name, lie) in lies {
        let place = Place::new();
        let lie = *lie;
        let liar = Liar::start(move |_, _| lie()).await;
        let ada = at_shell(&place.path("ada.db"), &liar.url);
        let id = DocumentId::random().to_string();
        ada.ok(&["join", &id, "--name", "notes"]);
        let ran = ada.run(&["sync", "--timeout", "2s"]);
        assert_eq!(ran.code, 3, "{name}: {ran:#?}");
        assert_eq!(ada.sql("SELECT count(*) FROM documents WHERE cursor IS NOT NULL"), 0, "{name}");
        // The next server is an honest one: what was spoilt comes.
        let good = good_change().0;
        let honest =
            Liar::start(move |asked, _| if asked == "GET changes" { page(good.clone()) } else { busy() });
        let honest = honest.await;
        ada.ok(&["set", "notes", "/mine", "1"]);
        let ran = ada.with_server(&honest.url).run(&["sync", "--timeout", "2s"]);
        assert!(!ran.stderr.contains("panicked"), "{name}: {ran:#?}");
        assert_eq!(ada.queued(), 1, "{name}");
        assert_eq!(ada.get("notes")["mine"], 1, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_whose_log_never_ends_is_given_up() {
    // New cursors for ever: with nothing, and with the same change again and again.
    for (name, body) in [("nothing", Vec::new()), ("the same again", good_change().0)] {
        let place = Place::new();
        let count = Arc::new(Mutex::new(0_u64));
        let liar = Liar::start(move |asked, _| {
            if asked != "GET changes" {
                return html();
            }
            let mut count = count.lock().unwrap();
            *count += 1;
            let cursor = format!("{count}.aa");
            reply(
                200,
                &[("content-type", CHANGES), ("rejoin-cursor", &cursor), ("rejoin-end", "9999999.bb")],
                body.clone(),
            )
        })
        .await;
        let ada = at_shell(&place.path("ada.db"), &liar.url);
        ada.ok(&["join", &DocumentId::random().to_string(), "--name", "notes"]);
        let mut running = ada.start(&["sync", "--timeout", "2s"]);
        let deadline = Instant::now() + Duration::from_secs(60);
        while running.process.is_alive() {
            assert!(Instant::now() < deadline, "{name}: the sync never ends");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ran = running.finish(&["sync"]);
        assert!([1, 3].contains(&ran.code) && !ran.stderr.contains("panicked"), "{name}: {ran:#?}");
        ada.ok(&["set", "notes", "/mine", "1"]);
    }
}

/// Serves changes without end, sixteen a page. `strangers`: each is the first of its actor.
async fn always_more(strangers: bool) -> Liar {
    let log: Arc<Mutex<(AutoCommit, usize)>> = Arc::default();
    Liar::start(move |asked, _| {
        if !asked.starts_with("GET") {
            return busy();
        }
        let mut log = log.lock().unwrap();
        let (writer, count) = &mut *log;
        let mut new: Vec<u8> = Vec::new();
        for _ in 0..16 {
            *count += 1;
            let mut stranger = AutoCommit::new();
            let one = if strangers { &mut stranger } else { &mut *writer };
            one.put(ROOT, "more", format!("{count:>1024}")).unwrap();
            new.extend_from_slice(one.get_last_local_change().unwrap().raw_bytes());
        }
        let body = if asked == "GET snapshot" { AutoCommit::new().save() } else { new };
        let cursor = if asked == "GET snapshot" { "0.aa".to_owned() } else { format!("{count}.aa") };
        if asked == "GET snapshot" {
            (*writer, *count) = (AutoCommit::new(), 0);
        }
        let figures = [("content-type", CHANGES), ("rejoin-cursor", &cursor), ("rejoin-end", "9999999.bb")];
        reply(200, &figures, body)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_server_that_always_has_more_fills_no_disk() {
    for (strangers, limit, told) in [
        (false, ["--document-bytes", "256KiB"], "262144 bytes"),
        (true, ["--document-actors", "100"], "100 actors"),
    ] {
        let (place, liar) = (Place::new(), always_more(strangers).await);
        let ada = at_shell(&place.path("ada.db"), &liar.url);
        ada.ok(&["join", &DocumentId::random().to_string(), "--name", "notes"]);
        for round in 0..2 {
            let ran = ada.run(&["sync", limit[0], limit[1]]);
            assert_eq!(ran.code, 1, "{round}: {ran:#?}");
            assert!(ran.stderr.contains(told) && ran.stderr.contains(limit[0]), "{ran:#?}");
            assert!(std::fs::metadata(place.path("ada.db")).unwrap().len() < 4 << 20, "{round}");
        }
        // What is here can be read and written.
        ada.ok(&["set", "notes", "/mine", "1"]);
        assert_eq!(ada.get("notes")["mine"], 1);
    }
}

/// Serves every case as the log of its document, with this snapshot; pushes are told "later".
async fn serve(
    cases: &BTreeMap<DocumentId, Case>,
    snapshot: impl Fn(&Case) -> Reply + Send + Sync + 'static,
) -> Liar {
    let cases = cases.clone();
    Liar::start(move |asked, document| match (asked, cases.get(&document)) {
        ("GET changes", Some(case)) => page(case.both()),
        ("GET snapshot", Some(case)) => snapshot(case),
        _ => busy(),
    })
    .await
}

/// A client takes what a hostile server serves: the good part is there and can be edited, the bad part is shown.
async fn a_client_defends_itself(kind: &str, snapshot: impl Fn(&Case) -> Reply + Send + Sync + 'static) {
    let Some(cases) = cases(kind) else { return };
    let cases: BTreeMap<_, _> = cases.into_iter().map(|case| (DocumentId::random(), case)).collect();
    let liar = serve(&cases, snapshot).await;
    let place = Place::new();
    let store = Store::open(place.path("ada.db")).await.unwrap();
    for document in cases.keys() {
        store.join(*document, None, None).await.unwrap();
    }
    let start = Instant::now();
    let report = sync(&store, &liar.url).await;
    println!("{kind}: {} documents in {:?}", cases.len(), start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(120));
    assert!(report.documents.iter().all(|d| d.state == SyncState::InStep), "{report:#?}");
    for (document, case) in &cases {
        let info = store.document(*document).await.unwrap();
        assert!(info.quarantined > 0, "{}", case.name);
        assert_eq!(store.state(*document, "").await.unwrap(), case.base_state(), "{}", case.name);
        is_sound(&store.export(*document).await.unwrap(), &case.name);
        store.dispatch(*document, set("mine")).await.unwrap();
        assert_eq!(store.document(*document).await.unwrap().queued, 1, "{}", case.name);
    }
    drop(store);
    let ada = at_shell(&place.path("ada.db"), &liar.url);
    let status = ada.json_with(&["status"], 5);
    let shown =
        status["documents"].as_array().unwrap().iter().filter(|d| d["quarantined"].as_u64() > Some(0));
    println!("{kind}: {} quarantined", shown.count());
    ada.ok(&["doctor"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_served_panics_apart() {
    a_client_defends_itself("panics", |_| page("no document")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_served_poison_apart() {
    a_client_defends_itself("poison", |_| page("no document")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_keeps_served_bombs_apart() {
    a_client_defends_itself("bombs", |_| page("")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_panics_is_not_taken() {
    a_client_defends_itself("panics", |case| page(case.both())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_poison_is_not_taken() {
    a_client_defends_itself("poison", |case| page(case.both())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_that_does_not_load_or_is_a_bomb_gives_way_to_the_changes() {
    let (change, whole) = good_change();
    let zeros = {
        use std::io::Write;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        for _ in 0..200 {
            encoder.write_all(&vec![0; 1 << 20]).unwrap();
        }
        encoder.finish().unwrap()
    };
    let head = [("content-type", CHANGES), ("rejoin-cursor", "1.aa"), ("rejoin-end", "1.aa")];
    let mut flipped = whole.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let snapshots = [
        ("cut short", head.to_vec(), whole[..whole.len() - 3].to_vec()),
        ("flipped", head.to_vec(), flipped),
        ("no document", head.to_vec(), b"no document".to_vec()),
        ("a bomb", [head.as_slice(), &[("content-encoding", "gzip")]].concat(), zeros),
    ];
    for (name, head, body) in snapshots {
        let change = change.clone();
        let liar = Liar::start(move |asked, _| match asked {
            "GET snapshot" => reply(200, &head, body.clone()),
            "GET changes" => page(change.clone()),
            _ => busy(),
        });
        let (liar, place) = (liar.await, Place::new());
        let store = Store::open(place.path("ada.db")).await.unwrap();
        let document = store.join(DocumentId::random(), None, None).await.unwrap();
        let report = sync(&store, &liar.url).await;
        assert!(report.worst().is_none() && !report.needs_person(), "{name}: {report:#?}");
        assert_eq!(store.state(document, "").await.unwrap(), json!({"good": 1}), "{name}");
        assert!(liar.asked.lock().unwrap().iter().any(|asked| asked.starts_with("GET snapshot")), "{name}");
    }
}
