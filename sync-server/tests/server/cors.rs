//! Browsers: which pages may use the server, and what they may read.

use crate::support::{Answer, Running, Writer, send, token};
use rejoin::DocumentId;
use rejoin_server::Access;
use reqwest::Method;

const PAGE: &str = "https://app.example";

async fn start() -> (Running, String) {
    let server = Running::start_with(|config| {
        config.cors_origins = vec![PAGE.to_owned(), "http://localhost:3000".to_owned()];
        config.limits.body_bytes = 10_000;
    });
    let server = server.await;
    let database = server.directory.path().join("log.db");
    let secret = token(&database, "a", None, Access::Admin);
    (server, secret)
}

fn paths(document: DocumentId) -> Vec<String> {
    let rests = ["", "/changes", "/snapshot", "/missing"];
    let of = rests.map(|rest| format!("/v1/documents/{document}{rest}"));
    let others = ["/healthz", "/readyz", "/v1/limits", "/v1/documents", "/v1/events", "/v1/nothing"];
    others.into_iter().map(str::to_owned).chain(of).collect()
}

async fn ask(server: &Running, what: (Method, &str), origin: &str, token: Option<&str>) -> Answer {
    let url = format!("http://{}{}", server.address, what.1);
    let mut request = reqwest::Client::new().request(what.0, url).header("origin", origin);
    if let Some(token) = token {
        request = request.bearer_auth(token);
    }
    if let Ok(length) = what.1.split("?length=").nth(1).unwrap_or_default().parse::<usize>() {
        request = request.header("content-type", rejoin::wire::CHANGES).body(vec![0; length]);
    }
    send(request).await
}

/// What a browser asks before it sends a request with a token.
async fn preflight(server: &Running, path: &str, method: &str, origin: &str) -> Answer {
    let url = format!("http://{}{path}", server.address);
    let request = reqwest::Client::new().request(Method::OPTIONS, url).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    send(request.header("access-control-request-headers", "authorization,content-type")).await
}

#[tokio::test]
async fn a_page_of_a_named_origin_may_ask_everything_and_read_every_answer() {
    let (server, token) = start().await;
    let document = DocumentId::random();
    for path in paths(document) {
        for method in ["GET", "HEAD", "POST", "DELETE"] {
            let answer = preflight(&server, &path, method, PAGE).await;
            assert_eq!(
                (answer.status, answer.header("access-control-allow-origin")),
                (200, Some(PAGE)),
                "{path}"
            );
            assert!(answer.header("access-control-allow-methods").unwrap().contains(method), "{path}");
            let headers = answer.header("access-control-allow-headers").unwrap();
            assert!(["authorization", "content-type", "accept"].iter().all(|name| headers.contains(name)));
            assert_eq!(answer.header("access-control-allow-credentials"), None);
        }
    }
    // Errors too: whoever may not read them cannot tell what is wrong.
    let push = format!("/v1/documents/{document}/changes?length=20000");
    for (what, token, status) in [
        ((Method::GET, "/v1/limits"), None, 401),
        ((Method::GET, "/v1/limits"), Some("wrong"), 401),
        ((Method::GET, "/v1/nothing"), Some(token.as_str()), 404),
        ((Method::POST, push.as_str()), Some(&token), 413),
        ((Method::PUT, "/v1/limits"), Some(&token), 405),
        ((Method::GET, "/v1/limits"), Some(&token), 200),
    ] {
        let answer = ask(&server, what.clone(), PAGE, token).await;
        assert_eq!(
            (answer.status, answer.header("access-control-allow-origin")),
            (status, Some(PAGE)),
            "{what:?}"
        );
        let told = answer.header("access-control-expose-headers").unwrap();
        let told: Vec<&str> = told.split(',').map(str::trim).collect();
        for name in [
            "rejoin-cursor",
            "rejoin-end",
            "rejoin-more",
            "rejoin-accepted",
            "rejoin-duplicate",
            "retry-after",
        ] {
            assert!(told.contains(&name), "{name}: {told:?}");
        }
        assert!(answer.headers.get_all("vary").iter().any(|vary| vary.to_str().unwrap().contains("origin")));
    }
    let body = Writer::new(1).many(1);
    let url = server.url(document, "/changes");
    let pushed =
        send(crate::support::post(url, body).bearer_auth(&token).header("origin", "http://localhost:3000"))
            .await;
    assert_eq!(pushed.header("access-control-allow-origin"), Some("http://localhost:3000"));
}

#[tokio::test]
async fn a_page_of_another_origin_gets_nothing() {
    let (server, token) = start().await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example:8443",
        "https://app.example.evil.example",
        "null",
        "*",
    ] {
        for path in paths(DocumentId::random()) {
            let answer = preflight(&server, &path, "GET", origin).await;
            assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
        }
        let answer = ask(&server, (Method::GET, "/v1/documents"), origin, Some(&token)).await;
        assert_eq!(answer.header("access-control-allow-origin"), None, "{origin}");
    }
    let without = Running::start().await;
    let answer = preflight(&without, "/v1/limits", "GET", PAGE).await;
    assert_ne!(answer.status, 200);
    assert_eq!(answer.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn without_tokens_a_named_origin_is_let_in_no_more_than_any_other() {
    let server = Running::start_with(|config| config.cors_origins = vec![PAGE.to_owned()]).await;
    let answer = ask(&server, (Method::GET, "/v1/documents"), PAGE, None).await;
    assert_eq!(answer.code(), (403, "forbidden".to_owned()));
}
