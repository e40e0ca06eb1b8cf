//! Effects over real sockets.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use rejoin::{
    DocumentId, Store, Token,
    effects::{EffectHandlers, EffectOptions, EffectRequest, EffectState, FollowUp, HttpEffects, Schedule},
};
use serde_json::{Value, json};

use crate::effects::{
    server::{Server, status},
    support::{increment, set},
};

struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    id: DocumentId,
}

impl Bench {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(dir.path().join("a.db")).await.unwrap();
        let id = store.create(None, None).await.unwrap();
        Self { _dir: dir, store, id }
    }

    async fn ask(&self, effect: EffectRequest) -> String {
        let name = effect.id().to_string();
        self.store.dispatch_with(self.id, increment("/asked", 1), vec![effect]).await.unwrap();
        name
    }

    /// Sends what can be sent, without waiting for what comes later.
    async fn run(&self, http: HttpEffects) {
        let handlers = EffectHandlers::new().with("http", http);
        let options = EffectOptions::default().schedule(Schedule::default());
        self.store.run_effects_until_idle(handlers, options).await.unwrap();
    }
}

fn post(url: &str) -> EffectRequest {
    EffectRequest::new("http", json!({"url": url, "body": {"title": "tent"}}))
}

fn to(server: &Server) -> HttpEffects {
    HttpEffects::new().unwrap().base_url(&server.url).unwrap()
}

#[tokio::test]
async fn the_reply_goes_into_the_commit_action() {
    let bench = Bench::new().await;
    let server =
        Server::start(|_, _| (201, vec![("content-type", "application/json".into())], r#"{"id":7}"#.into()))
            .await;
    let commit = FollowUp::new(json!({"type": "set", "path": "/reply"})).put("", "/value");
    let name = bench.ask(post("/notes?a=b").commit(commit)).await;
    bench.run(to(&server)).await;
    assert_eq!(
        bench.store.state(bench.id, "/reply").await.unwrap(),
        json!({"status": 201, "body": {"id": 7}})
    );
    let asked = server.asked();
    assert_eq!(asked.len(), 1);
    assert_eq!((asked[0].method.as_str(), asked[0].path.as_str()), ("POST", "/notes?a=b"));
    assert_eq!((asked[0].body.clone(), asked[0].key().to_string()), (json!({"title": "tent"}), name));
    assert_eq!(asked[0].header("content-type"), Some("application/json"));
    assert_eq!(asked[0].header("authorization"), None);
}

#[tokio::test]
async fn every_attempt_bears_the_same_key_whatever_the_request_says() {
    let bench = Bench::new().await;
    let server = Server::start(|_, before| status(if before < 3 { 503 } else { 204 })).await;
    let request =
        json!({"method": "put", "url": "/x", "headers": {"Idempotency-Key": "mine", "X-App": "yes"}});
    let name = bench.ask(EffectRequest::new("http", request)).await;
    for _ in 0..4 {
        bench.run(to(&server)).await;
        bench.store.hurry_effects().await.unwrap();
    }
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked.iter().all(|a| a.key().to_string() == name && a.method == "PUT"));
    assert!(asked.iter().all(|a| a.header("x-app") == Some("yes") && a.body == ""));
    assert_eq!(bench.store.effect(&name).await.unwrap().state, EffectState::Done);
}

#[tokio::test]
async fn a_refused_connection_does_not_roll_back() {
    let bench = Bench::new().await;
    let gone = Server::start(|_, _| status(200)).await.url.clone();
    let effect = post(&gone).roll_back(set("/rolled", true));
    let name = bench.ask(effect).await;
    bench.run(HttpEffects::new().unwrap()).await;
    let waiting = bench.store.effect(&name).await.unwrap();
    assert_eq!((waiting.state, waiting.charged), (EffectState::Waiting, 0));
    let error = waiting.last_error.unwrap();
    assert!(error.starts_with("nobody was reached: ") && !error.contains("http://"), "{error}");
    assert!(bench.store.state(bench.id, "/rolled").await.is_err());
}

#[tokio::test]
async fn retry_after_of_a_reply_is_obeyed() {
    let bench = Bench::new().await;
    let server = Server::start(|_, _| (429, vec![("retry-after", "1000".into())], String::new())).await;
    let name = bench.ask(post("/x")).await;
    bench.run(to(&server)).await;
    let waiting = bench.store.effect(&name).await.unwrap();
    let wait = waiting.next_attempt_at.unwrap() - waiting.created_at;
    assert!((1_000_000..=1_260_000).contains(&wait), "{wait}");
}

#[tokio::test]
async fn a_401_is_held_until_there_is_another_token() {
    let bench = Bench::new().await;
    let server = Server::start(|asked, _| {
        let good = asked.header("authorization") == Some("Bearer fresh");
        if good { (200, Vec::new(), "welcome".into()) } else { status(401) }
    })
    .await;
    let token = Arc::new(Mutex::new("stale"));
    let source = Arc::clone(&token);
    let http = to(&server).token(move || Token::new(*source.lock().unwrap()));
    let name = bench.ask(post("/x")).await;
    bench.run(http.clone()).await;
    bench.run(http.clone()).await;
    let held = bench.store.effect(&name).await.unwrap();
    assert_eq!((held.state, server.asked().len()), (EffectState::Held, 1));
    assert!(!format!("{http:?} {held:?}").contains("stale"));
    *token.lock().unwrap() = "fresh";
    assert_eq!(bench.store.release_held_effects().await.unwrap(), 1);
    bench.run(http).await;
    let done = bench.store.effect(&name).await.unwrap();
    assert_eq!(
        (done.state, done.outcome),
        (EffectState::Done, Some(json!({"status": 200, "body": "welcome"})))
    );
}

#[tokio::test]
async fn a_token_goes_to_its_own_server_alone() {
    let bench = Bench::new().await;
    let (ours, theirs) = (Server::start(|_, _| status(200)).await, Server::start(|_, _| status(200)).await);
    let http = to(&ours).token(|| Token::new("secret"));
    for url in [&ours.url, &theirs.url] {
        bench.ask(post(url)).await;
    }
    bench.run(http).await;
    assert_eq!(ours.asked()[0].header("authorization"), Some("Bearer secret"));
    assert_eq!(theirs.asked()[0].header("authorization"), None);
}

#[tokio::test]
async fn a_login_page_and_a_redirect_to_one_are_no_answers() {
    let bench = Bench::new().await;
    let server = Server::start(|asked, _| match asked.path.as_str() {
        "/page" => (200, vec![("content-type", "text/html; charset=utf-8".into())], "<html>".into()),
        "/there" => (302, vec![("location", "/page".into())], String::new()),
        _ => status(404),
    })
    .await;
    let (page, there) = (bench.ask(post("/page").lane("a")).await, bench.ask(post("/there").lane("b")).await);
    bench.run(to(&server)).await;
    for name in [&page, &there] {
        assert_eq!(bench.store.effect(name).await.unwrap().state, EffectState::Waiting);
    }
    assert_eq!(server.asked().len(), 2);
    bench.store.hurry_effects().await.unwrap();
    bench.run(to(&server).allow_html()).await;
    assert_eq!(bench.store.effect(&page).await.unwrap().state, EffectState::Done);
}

#[tokio::test]
async fn a_reply_over_the_limit_is_lost_and_its_status_counts() {
    let bench = Bench::new().await;
    let server = Server::start(|_, _| (200, Vec::new(), "x".repeat(1_000_000))).await;
    let name = bench.ask(post("/x")).await;
    bench.run(to(&server).reply_limit(10_000)).await;
    let done = bench.store.effect(&name).await.unwrap();
    assert_eq!((done.state, done.outcome), (EffectState::Done, Some(json!({"status": 200, "body": null}))));
}

#[tokio::test]
async fn a_request_that_cannot_be_made_is_refused_and_says_why() {
    let bench = Bench::new().await;
    let requests = [
        (json!({}), "url"),
        (json!("x"), "invalid type"),
        (json!({"url": "/relative"}), "its address"),
        (json!({"url": "ftp://a/b"}), "neither http nor https"),
        (json!({"url": "http://127.0.0.1:9", "method": "NO GOOD"}), "its method"),
        (json!({"url": "http://127.0.0.1:9", "headers": {"a b": "c"}}), "its header"),
        (json!({"url": "http://127.0.0.1:9", "hedaers": {}}), "hedaers"),
    ];
    for (request, why) in requests {
        let name = bench.ask(EffectRequest::new("http", request.clone())).await;
        bench.run(HttpEffects::new().unwrap()).await;
        let dead = bench.store.effect(&name).await.unwrap();
        let error = dead.last_error.unwrap();
        assert_eq!(dead.state, EffectState::Dead, "{request}: {error}");
        assert!(
            error.starts_with("the request cannot be made: ") && error.contains(why),
            "{request}: {error}"
        );
    }
}

#[tokio::test]
async fn a_server_that_never_answers_is_broken_off_and_asked_again() {
    let bench = Bench::new().await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let name = bench.ask(post(&url).timeout(Duration::from_millis(100))).await;
    bench.run(HttpEffects::new().unwrap()).await;
    let waiting = bench.store.effect(&name).await.unwrap();
    assert_eq!(waiting.last_error.as_deref(), Some("the handler did not end within 100 ms"));
    assert_eq!((waiting.state, waiting.outcome), (EffectState::Waiting, None::<Value>));
}

#[tokio::test]
async fn a_text_goes_out_as_it_is_where_the_headers_say_so() {
    let bench = Bench::new().await;
    let server = Server::start(|_, _| status(200)).await;
    let headers = json!({"Content-Type": "text/plain"});
    for headers in [headers, json!({})] {
        let request = json!({"url": "/x", "headers": headers, "body": "hello"});
        bench.ask(EffectRequest::new("http", request)).await;
    }
    bench.run(to(&server)).await;
    let asked = server.asked();
    // As JSON it is in quotes, which this server takes off.
    let lengths: Vec<_> =
        asked.iter().map(|a| (a.header("content-length").unwrap(), a.body.clone())).collect();
    assert_eq!(lengths, [("5", json!("hello")), ("7", json!("hello"))]);
}
