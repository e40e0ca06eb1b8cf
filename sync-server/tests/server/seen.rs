//! What a server tells of itself: figures, ids of requests, logs.

use std::process::Command;

use crate::support::{Running, Writer, get, post, send};
use rejoin::{DocumentId, wire::CHANGES};
use rejoin_server::{Access, NewToken, Tokens};

/// The value of a figure, by its name and labels as they are written.
fn figure(text: &str, name: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("{name} is not in:\n{text}")).parse().unwrap()
}

async fn scrape(server: &Running, token: Option<&str>) -> String {
    let request = get(format!("http://{}/metrics", server.address));
    let answer = send(match token {
        Some(token) => request.bearer_auth(token),
        None => request,
    })
    .await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain; version=0.0.4"));
    String::from_utf8(answer.body).unwrap()
}

#[tokio::test]
async fn what_is_counted_by_a_label_is_there_from_nought() {
    let text = scrape(&Running::start().await, None).await;
    let nought = |name: &str, label: &str, words: &[&str]| {
        for word in words {
            assert_eq!(figure(&text, &format!("{name}{{{label}=\"{word}\"}}")), 0.0);
        }
    };
    let changes = ["malformed", "checksum", "not-a-change", "too-large", "missing-dependency", "actor-fork"];
    nought("rejoin_rejected_total", "code", &changes);
    let requests = [
        "malformed",
        "checksum",
        "too-large",
        "cursor-unknown",
        "unauthorized",
        "forbidden",
        "not-found",
        "method-not-allowed",
        "deleted",
        "timeout",
        "rate-limited",
        "unavailable",
        "internal",
    ];
    nought("rejoin_refused_total", "code", &requests);
    nought("rejoin_verifications_total", "end", &["sound", "quarantined", "unsettled"]);
    nought("rejoin_verify_process_failures_total", "end", &["died", "timed-out", "not-started"]);
    for status in [200, 500, 503] {
        let asked = format!("{{route=\"/v1/documents/{{id}}/changes\",method=\"POST\",status=\"{status}\"}}");
        assert_eq!(figure(&text, &format!("rejoin_requests_total{asked}")), 0.0);
    }
    assert_eq!(figure(&text, "rejoin_quarantined_changes"), 0.0);
    assert_eq!(figure(&text, "rejoin_quarantined_documents"), 0.0);
}

#[tokio::test]
async fn each_figure_is_explained_to_who_runs_the_server() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../OPERATIONS.md")).unwrap();
    let text = scrape(&Running::start().await, None).await;
    let names: Vec<&str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    assert!(names.len() > 15, "{text}");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in OPERATIONS.md");
    }
}

#[tokio::test]
async fn the_figures_tell_what_was_pushed_pulled_held_and_refused() {
    let server = Running::start().await;
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let first = ada.many(3);
    let push = async |body: Vec<u8>| send(post(server.url(document, "/changes"), body)).await;
    assert_eq!(push(first.clone()).await.status, 200);
    assert_eq!(push(first).await.status, 200);
    // Its dependency never comes.
    drop(ada.many(1));
    assert_eq!(push(ada.many(1)).await.status, 200);
    assert_eq!(push(b"nothing that can be framed".to_vec()).await.status, 422);
    let pull = get(server.url(document, "/changes")).header("accept", CHANGES);
    assert_eq!(send(pull).await.status, 200);
    assert_eq!(send(get(server.url(document, ""))).await.status, 200);
    let stream = get(format!("http://{}/v1/events", server.address)).send().await.unwrap();

    let text = scrape(&server, None).await;
    assert_eq!(figure(&text, "rejoin_pushes_total"), 3.0);
    assert_eq!(figure(&text, "rejoin_changes_total"), 3.0);
    assert_eq!(figure(&text, "rejoin_duplicates_total"), 3.0);
    assert_eq!(figure(&text, "rejoin_pulls_total"), 1.0);
    assert_eq!(figure(&text, "rejoin_rejected_total{code=\"missing-dependency\"}"), 1.0);
    assert_eq!(figure(&text, "rejoin_refused_total{code=\"malformed\"}"), 1.0);
    assert_eq!(figure(&text, "rejoin_documents"), 1.0);
    assert_eq!(figure(&text, "rejoin_streams"), 1.0);
    assert_eq!(figure(&text, "rejoin_committer_waiting"), 0.0);
    assert!(figure(&text, "rejoin_commit_seconds_count") >= 1.0);
    assert!(figure(&text, "rejoin_merge_cache_bytes") > 0.0);
    assert!(figure(&text, "rejoin_database_bytes") > 4_096.0);
    let route = "rejoin_requests_total{route=\"/v1/documents/{id}/changes\",method=\"POST\",status=\"200\"}";
    assert_eq!(figure(&text, route), 3.0);
    assert!(!text.contains(&document.to_string()), "a route is told, and never what was asked for");
    drop(stream);
}

#[tokio::test]
async fn each_clients_lag_is_told_by_the_name_of_its_token() {
    let server = Running::start().await;
    let mut tokens = Tokens::open(&server.directory.path().join("log.db")).unwrap();
    let mut token = |name: &str, access| {
        let new = NewToken { name: name.to_owned(), document: None, access, lifetime: None };
        tokens.create(&new).unwrap().reveal().to_owned()
    };
    let (laptop, phone, admin) =
        (token("laptop", Access::Admin), token("phone", Access::Read), token("admin", Access::Admin));
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    let push = async |body: Vec<u8>| {
        let request = post(server.url(document, "/changes"), body).header("accept", CHANGES);
        assert_eq!(send(request.bearer_auth(&laptop)).await.status, 200);
    };
    push(ada.many(2)).await;
    let pull = get(server.url(document, "/changes")).bearer_auth(&phone);
    assert_eq!(send(pull).await.status, 200);
    push(ada.many(5)).await;
    let text = scrape(&server, Some(&admin)).await;
    assert_eq!(figure(&text, "rejoin_client_lag_changes{client=\"laptop\"}"), 0.0);
    assert_eq!(figure(&text, "rejoin_client_lag_changes{client=\"phone\"}"), 5.0);
    assert!(figure(&text, "rejoin_client_seen_timestamp{client=\"phone\"}") > 1_700_000_000.0);
    tokens.revoke("phone").unwrap();
    assert!(!scrape(&server, Some(&admin)).await.contains("phone"));
}

#[tokio::test]
async fn every_answer_bears_the_id_of_its_request() {
    let server = Running::start().await;
    let ask = async |path: &str, id: Option<&str>| {
        let request = get(format!("http://{}{path}", server.address));
        let answer = send(match id {
            Some(id) => request.header("x-request-id", id),
            None => request,
        })
        .await;
        answer.header("x-request-id").unwrap().to_owned()
    };
    assert_eq!(ask("/healthz", Some("proxy-7f.3")).await, "proxy-7f.3");
    assert_eq!(ask("/v1/nothing", Some("proxy-8")).await, "proxy-8");
    let (one, two) = (ask("/healthz", None).await, ask("/healthz", None).await);
    assert!(one != two && one.len() == 32);
    for bad in ["", "a b", "x\ty", &"x".repeat(65)] {
        assert_eq!(ask("/healthz", Some(bad)).await.len(), 32, "{bad:?}");
    }
}

#[test]
fn the_log_can_be_json_and_holds_no_query_and_no_token() {
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    let mut process = Command::new(env!("CARGO_BIN_EXE_rejoin-server"))
        .args(["--listen", "127.0.0.1:0", "--log-format", "json", "--database"])
        .arg(directory.path().join("log.db"))
        .env("RUST_LOG", "debug")
        .stdout(std::process::Stdio::piped())
        .stderr(std::fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(process.stdout.take().unwrap()), &mut line)
        .unwrap();
    let root = line.trim().strip_prefix("listening on ").unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let request = get(format!("{root}/v1/documents?since=secret-in-a-query")).bearer_auth("secret-token");
        assert_eq!(send(request.header("x-request-id", "find-me")).await.status, 409);
    });
    let mut all = String::new();
    while !all.contains("find-me") {
        all = std::fs::read_to_string(&log).unwrap();
        std::thread::yield_now();
    }
    process.kill().unwrap();
    process.wait().unwrap();
    let line = all.lines().find(|line| line.contains("find-me")).unwrap();
    let entry: serde_json::Value = serde_json::from_str(line).unwrap();
    assert_eq!((&entry["status"], &entry["span"]["route"]), (&409.into(), &"/v1/documents".into()), "{line}");
    assert!(!all.contains("secret"), "{all}");
}
