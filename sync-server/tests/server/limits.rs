//! Each limit: exactly at it a request passes, one over it is refused by its code.

use crate::support::{
    Answer, Process, Running, Writer, changes, get, jwt, jwt_for, post, send, take_jwts, token,
};
use automerge::{ROOT, transaction::Transactable};
use rejoin::{
    DocumentId,
    fence::RefusalCode,
    wire::{JSON, LimitsReply, PushReply},
};
use rejoin_server::{Access, ServerConfig};

/// One push to a server with this setting.
async fn pushed(setting: impl FnOnce(&mut ServerConfig), body: &[u8], encoding: Option<&str>) -> Answer {
    let server = Running::start_with(setting).await;
    let mut request = post(server.url(DocumentId::random(), "/changes"), body.to_vec());
    if let Some(encoding) = encoding {
        request = request.header("content-encoding", encoding);
    }
    send(request).await
}

fn taken(answer: &Answer) -> u64 {
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply: PushReply = answer.json();
    assert_eq!(reply.rejected, []);
    reply.accepted
}

fn rejected(answer: &Answer) -> (u64, Vec<RefusalCode>) {
    assert_eq!(answer.status, 200, "{answer:?}");
    let reply: PushReply = answer.json();
    assert!(reply.rejected.iter().all(|one| one.detail.contains("limit")), "it is named: {reply:?}");
    (reply.accepted, reply.rejected.iter().map(|one| one.code).collect())
}

#[tokio::test]
async fn a_body_may_be_as_large_as_its_limit_as_it_travels_and_inflated() {
    let body = Writer::new(1).many(40);
    let too_large = (413, "too-large".to_owned());
    assert_eq!(taken(&pushed(|c| c.limits.body_bytes = body.len(), &body, None).await), 40);
    assert_eq!(pushed(|c| c.limits.body_bytes = body.len() - 1, &body, None).await.code(), too_large);
    let packed = zstd::encode_all(body.as_slice(), 3).unwrap();
    let encoding = Some("zstd");
    assert_eq!(taken(&pushed(|c| c.limits.body_bytes = packed.len(), &packed, encoding).await), 40);
    assert_eq!(pushed(|c| c.limits.body_bytes = packed.len() - 1, &packed, encoding).await.code(), too_large);
    let inflated = |most| move |c: &mut ServerConfig| c.limits.inflated_body_bytes = most;
    assert_eq!(taken(&pushed(inflated(body.len()), &packed, encoding).await), 40);
    assert_eq!(pushed(inflated(body.len() - 1), &packed, encoding).await.code(), too_large);
}

#[tokio::test]
async fn a_push_may_have_as_many_changes_as_its_limit() {
    let body = Writer::new(1).many(40);
    assert_eq!(taken(&pushed(|c| c.limits.push_changes = 40, &body, None).await), 40);
    let over = pushed(|c| c.limits.push_changes = 39, &body, None).await;
    assert_eq!(over.code(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn a_change_may_be_as_large_and_have_as_many_operations_and_dependencies_as_its_limits() {
    let mut ada = Writer::new(1);
    let (mut log, mut heads) = (ada.set("n", 0), Vec::new());
    let others: Vec<Writer> = (2..7).map(|actor| ada.fork(actor)).collect();
    for (mut other, actor) in others.into_iter().zip(2..7) {
        heads.push(other.set("n", actor));
        ada.0.merge(&mut other.0).unwrap();
    }
    log.extend(heads.concat());
    for number in 0..30 {
        ada.0.put(ROOT, format!("k{number}"), "some words").unwrap();
    }
    let whole = ada.set("n", 9);
    let (operations, deps) = (changes(&whole)[0].len(), changes(&whole)[0].deps().len());
    assert!(operations > 30 && deps > 2, "{operations}, {deps}");
    log.extend(&whole);
    type Set = fn(&mut ServerConfig, usize);
    let cases: [(Set, usize, RefusalCode); 3] = [
        (|c, n| c.limits.change.change_bytes = n, whole.len(), RefusalCode::TooLarge),
        (|c, n| c.limits.change.operations = n as u64, operations, RefusalCode::TooManyOperations),
        (|c, n| c.limits.change.dependencies = n, deps, RefusalCode::TooLarge),
    ];
    for (set, limit, code) in cases {
        assert_eq!(taken(&pushed(|c| set(c, limit), &log, None).await), 7, "{code}");
        let over = rejected(&pushed(|c| set(c, limit - 1), &log, None).await);
        assert_eq!(over, (6, vec![code]), "the good ones beside it are stored");
    }
}

#[tokio::test]
async fn a_document_may_be_as_large_as_its_limit_and_stays_readable_when_it_is_full() {
    let mut ada = Writer::new(1);
    let (first, second) = (ada.many(20), ada.many(20));
    let whole = (first.len() + second.len()) as u64;
    for (most, accepted) in [(whole, 20), (whole - 1, 19)] {
        let server = Running::start_with(|c| c.limits.document_bytes = most).await;
        let url = server.url(DocumentId::random(), "/changes");
        taken(&send(post(url.clone(), first.clone())).await);
        let answer = send(post(url.clone(), second.clone())).await;
        let codes = vec![RefusalCode::TooLarge; 20 - accepted];
        assert_eq!(rejected(&answer), (accepted as u64, codes));
        assert_eq!(changes(&send(get(url.clone())).await.body).len(), 20 + accepted);
        // What is there already costs nothing.
        let again: PushReply = send(post(url, first.clone())).await.json();
        assert_eq!((again.duplicate, again.rejected.len()), (20, 0));
    }
}

#[tokio::test]
async fn a_log_may_be_as_large_as_what_is_merged() {
    let body = Writer::new(1).many(20);
    for (most, status) in [(body.len(), 200), (body.len() - 1, 413)] {
        let server = Running::start_with(|c| c.limits.merge_bytes = most as u64).await;
        let document = DocumentId::random();
        taken(&send(post(server.url(document, "/changes"), body.clone())).await);
        let answer = send(get(server.url(document, ""))).await;
        assert_eq!(answer.status, status, "{answer:?}");
        // The log itself is read all the same.
        assert_eq!(send(get(server.url(document, "/changes"))).await.body, body);
    }
}

#[tokio::test]
async fn a_question_may_name_as_many_hashes_as_its_limit() {
    let server = Running::start_with(|c| c.limits.missing_hashes = 3).await;
    let document = DocumentId::random();
    taken(&send(post(server.url(document, "/changes"), Writer::new(1).many(1))).await);
    let ask = async |count: usize| {
        let hashes = vec!["ab".repeat(32); count];
        let body = serde_json::json!({ "hashes": hashes }).to_string();
        let request = reqwest::Client::new().post(server.url(document, "/missing"));
        send(request.header("content-type", JSON).body(body)).await
    };
    assert_eq!(ask(3).await.status, 200);
    assert_eq!(ask(4).await.code(), (413, "too-large".to_owned()));
}

#[tokio::test]
async fn a_token_may_ask_as_often_as_its_limit_and_is_told_when_to_come_again() {
    let server = Running::start_with(|c| (c.limits.request_rate, c.limits.request_burst) = (1, 5)).await;
    let token = |name| token(&server.directory.path().join("log.db"), name, None, Access::Write);
    let (ada, bob) = (token("ada"), token("bob"));
    for number in 0..5 {
        assert_eq!(list(&server, &ada).await.status, 200, "{number}");
    }
    is_held_back(&refused_after(200, async || list(&server, &ada).await).await);
    assert_eq!(list(&server, &bob).await.status, 200, "each has its own");
    assert_eq!(send(get(format!("http://{}/healthz", server.address))).await.status, 200);
}

#[tokio::test]
async fn a_jwt_minted_anew_is_no_new_budget() {
    let server = Running::start_with(|config| {
        (config.limits.request_rate, config.limits.request_burst) = (1, 5);
        take_jwts(config);
    });
    let server = server.await;
    // Each ends at another second, and so is another text.
    let minted = std::cell::Cell::new(60);
    let mint = |sub: &str| {
        minted.set(minted.get() + 1);
        jwt(sub, &[(None, Access::Read)], minted.get())
    };
    for number in 0..5 {
        assert_eq!(list(&server, &mint("ada")).await.status, 200, "{number}");
    }
    is_held_back(&refused_after(200, async || list(&server, &mint("ada")).await).await);
    assert_eq!(list(&server, &mint("bob")).await.status, 200, "each has its own");
}

#[tokio::test]
async fn jwts_of_nobody_that_allow_the_same_share_a_budget() {
    let server = Running::start_with(|config| {
        (config.limits.request_rate, config.limits.request_burst) = (1, 5);
        take_jwts(config);
    });
    let (server, minted) = (server.await, std::cell::Cell::new(60));
    let mint = |sub: Option<&str>, document: Option<DocumentId>| {
        minted.set(minted.get() + 1);
        jwt_for(sub, &[(document, Access::Read)], minted.get())
    };
    for number in 0..5 {
        assert_eq!(list(&server, &mint(None, None)).await.status, 200, "{number}");
    }
    is_held_back(&refused_after(200, async || list(&server, &mint(None, None)).await).await);
    let document = Some(DocumentId::random());
    assert_eq!(list(&server, &mint(None, document)).await.status, 200, "those that allow something else");
    assert_eq!(list(&server, &mint(Some("ada"), None)).await.status, 200, "and somebody");
}

#[tokio::test]
async fn what_a_token_may_not_do_counts_as_what_it_may() {
    let server = Running::start_with(|c| (c.limits.request_rate, c.limits.request_burst) = (1, 5)).await;
    let ada = token(&server.directory.path().join("log.db"), "ada", None, Access::Read);
    let forbidden = async || {
        let url = server.url(DocumentId::random(), "");
        send(reqwest::Client::new().delete(url).bearer_auth(&ada)).await
    };
    is_held_back(&refused_after(403, forbidden).await);
}

#[tokio::test]
async fn an_address_that_fails_too_often_is_held_back_and_a_good_token_beside_it_is_not() {
    let server = Running::start_with(|c| (c.limits.failure_rate, c.limits.failure_burst) = (1, 5)).await;
    let ada = token(&server.directory.path().join("log.db"), "ada", None, Access::Admin);
    let without = async || send(get(format!("http://{}/v1/documents", server.address))).await;
    is_held_back(&refused_after(401, async || list(&server, "rjt_nobody").await).await);
    is_held_back(&refused_after(401, without).await);
    // Unheard, until the address may fail once more.
    let mut answer = list(&server, &ada).await;
    while answer.status == 429 {
        answer = list(&server, &ada).await;
    }
    assert_eq!(answer.status, 200);
    // From now on the address is known as one that somebody good comes from, a proxy's say.
    for _ in 0..20 {
        drop(list(&server, "rjt_nobody").await);
        assert_eq!(list(&server, &ada).await.status, 200);
    }
    is_held_back(&refused_after(401, async || list(&server, "rjt_nobody").await).await);
    let metrics = send(get(format!("http://{}/metrics", server.address)).bearer_auth(&ada)).await;
    let text = String::from_utf8(metrics.body).unwrap();
    for code in ["unauthorized", "rate-limited"] {
        assert!(text.contains(&format!("rejoin_refused_total{{code=\"{code}\"}}")), "{text}");
    }
}

async fn list(server: &Running, token: &str) -> Answer {
    send(get(format!("http://{}/v1/documents", server.address)).bearer_auth(token)).await
}

/// The first answer that is another than this one. On a slow machine seconds may go by, and with each one more is
/// allowed.
async fn refused_after(status: u16, ask: impl AsyncFn() -> Answer) -> Answer {
    for _ in 0..50 {
        let answer = ask().await;
        if answer.status != status {
            return answer;
        }
    }
    panic!("nothing but {status}");
}

fn is_held_back(answer: &Answer) {
    assert_eq!(answer.code(), (429, "rate-limited".to_owned()));
    assert_eq!(answer.header("retry-after"), Some("1"));
}

#[tokio::test]
async fn every_limit_is_told_by_its_name_and_in_the_help() {
    let help = std::process::Command::new(crate::support::BINARY).arg("--help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let server = Process::start(directory.path(), &["--document-bytes", "5MiB", "--request-rate", "7"]);
    let told: serde_json::Map<String, serde_json::Value> =
        send(get(format!("{}/v1/limits", server.root))).await.json();
    for (name, value) in &told {
        let option = format!("--{}", name.trim_end_matches("_ms").replace('_', "-"));
        // What follows from another option is named there.
        let derived = help.contains(&format!("`{name}`"));
        assert!(derived || help.contains(&option), "{option} is not in --help");
        assert!(value.as_u64().unwrap() > 0, "{name}");
    }
    let limits: LimitsReply = serde_json::from_value(told.into()).unwrap();
    assert_eq!((limits.document_bytes, limits.request_rate), (5 << 20, 7));
}
