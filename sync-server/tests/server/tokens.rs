//! Tokens: what becomes of them while a server runs, their names, and that none is told.

use std::time::Duration;

use crate::support::{
    Running, Writer,
    house::{House, get, heard, push, routes},
    send, token,
};
use rejoin::DocumentId;
use rejoin_server::{Access, NewToken, TokenError, Tokens};

#[tokio::test]
async fn a_revoked_or_expired_token_loses_access_at_once_while_the_server_runs() {
    let house = House::new().await;
    let (first, second) = (house.token("a", None, Access::Admin), house.token("b", None, Access::Admin));
    let limits = get("/v1/limits".to_owned());
    for token in [&first, &second] {
        assert_eq!(house.ask(Some(token), &limits).await.status, 200);
    }
    // As another process would: over a connection of its own.
    Tokens::open(&house.database()).unwrap().revoke("a").unwrap();
    assert_eq!(house.ask(Some(&first), &limits).await.code(), (401, "unauthorized".to_owned()));
    let database = rusqlite::Connection::open(house.database()).unwrap();
    database.execute("UPDATE token SET expires_at = 1 WHERE name = 'b'", []).unwrap();
    assert_eq!(house.ask(Some(&second), &limits).await.status, 401);
    assert_eq!(house.ask(None, &limits).await.status, 401, "tokens that are gone open nothing");
    let brief = NewToken {
        name: "brief".to_owned(),
        document: None,
        access: Access::Read,
        lifetime: Some(Duration::from_millis(1)),
    };
    let brief = Tokens::open(&house.database()).unwrap().create(&brief).unwrap();
    while house.ask(Some(brief.reveal()), &limits).await.status != 401 {}
}

#[tokio::test]
async fn a_revoked_or_expired_token_loses_its_open_streams() {
    let server = Running::start_with(|config| config.heartbeat = Duration::from_millis(50)).await;
    let house = House { server, client: reqwest::Client::new(), jwts: false };
    let listen = async |who: Option<&str>| {
        let mut request = house.client.get(format!("http://{}/v1/events", house.server.address));
        if let Some(token) = who {
            request = request.bearer_auth(token);
        }
        request.send().await.unwrap()
    };
    let ends = async |mut stream: reqwest::Response| {
        while let Ok(Some(_)) = stream.chunk().await {}
    };
    let nobody = listen(None).await;
    assert_eq!(nobody.status(), 200, "before there are tokens");
    let (kept, revoked) =
        (house.token("kept", None, Access::Read), house.token("revoked", None, Access::Read));
    let expired = house.token("expired", None, Access::Admin);
    ends(nobody).await;
    let mut of_kept = listen(Some(&kept)).await;
    let (of_revoked, of_expired) = (listen(Some(&revoked)).await, listen(Some(&expired)).await);
    Tokens::open(&house.database()).unwrap().revoke("revoked").unwrap();
    let database = rusqlite::Connection::open(house.database()).unwrap();
    database.execute("UPDATE token SET expires_at = 1 WHERE name = 'expired'", []).unwrap();
    ends(of_revoked).await;
    ends(of_expired).await;
    let document = DocumentId::random();
    let admin = house.token("admin", None, Access::Admin);
    assert_eq!(house.ask(Some(&admin), &push(document, Writer::new(1).many(1))).await.status, 200);
    assert_eq!(heard(&mut of_kept, document).await, Some(vec![document.to_string()]));
}

#[tokio::test]
async fn the_first_token_closes_a_server_that_runs_without_any() {
    let house = House::new().await;
    let limits = get("/v1/limits".to_owned());
    assert_eq!(house.ask(None, &limits).await.status, 200);
    let admin = house.token("admin", None, Access::Admin);
    // Who made it was told so: the very next request finds the door closed.
    assert_eq!(house.ask(None, &limits).await.status, 401);
    assert_eq!(house.ask(Some(&admin), &limits).await.status, 200);
    // What a page in a browser cannot send needs no Host of this machine.
    let foreign = |url: &str| {
        crate::support::get(format!("http://{}{url}", house.server.address)).header("host", "a.example")
    };
    assert_eq!(send(foreign("/v1/limits").bearer_auth(&admin)).await.status, 200);
    assert_eq!(send(foreign("/healthz")).await.status, 200);
}

#[tokio::test]
async fn with_a_token_any_address_is_served_and_without_one_none_but_loopback() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log.db");
    assert!(!rejoin_server::has_tokens(&path).unwrap());
    let admin = token(&path, "admin", None, Access::Admin);
    assert!(rejoin_server::has_tokens(&path).unwrap());
    let state = rejoin_server::AppState::open(rejoin_server::ServerConfig::new(&path)).unwrap();
    let listener = tokio::net::TcpListener::bind("0.0.0.0:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = tokio::spawn(rejoin_server::serve(listener, state, async { drop(stopped.await) }));
    let limits = || crate::support::get(format!("http://127.0.0.1:{port}/v1/limits"));
    assert_eq!(send(limits()).await.status, 401);
    assert_eq!(send(limits().bearer_auth(&admin)).await.status, 200);
    drop(stop);
    serving.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_token_stands_in_no_error_and_not_in_the_database() {
    let house = House::new().await;
    let reader = house.token("reader", Some(DocumentId::random()), Access::Read);
    let revoked = house.token("revoked", None, Access::Admin);
    Tokens::open(&house.database()).unwrap().revoke("revoked").unwrap();
    let document = DocumentId::random();
    for who in [&reader, &revoked, &format!("{reader}x"), &"y".repeat(5_000)] {
        for (_, ask) in routes(document) {
            let answer = house.ask(Some(who), &ask).await;
            let whole = format!("{:?} {}", answer.headers, String::from_utf8_lossy(&answer.body));
            assert!(!whole.contains(who.as_str()), "{whole}");
        }
    }
    for file in std::fs::read_dir(house.server.directory.path()).unwrap() {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for token in [&reader, &revoked] {
            assert!(!bytes.windows(20).any(|part| part == &token.as_bytes()[4..24]));
        }
    }
}

#[test]
fn a_name_is_given_once_and_again_after_it_was_revoked() {
    let directory = tempfile::tempdir().unwrap();
    let mut tokens = Tokens::open(&directory.path().join("log.db")).unwrap();
    let new = |name: &str| NewToken {
        name: name.to_owned(),
        document: None,
        access: Access::Write,
        lifetime: None,
    };
    tokens.create(&new("laptop")).unwrap();
    assert!(matches!(tokens.create(&new("laptop")), Err(TokenError::NameTaken(_))));
    tokens.revoke("laptop").unwrap();
    assert!(matches!(tokens.revoke("laptop"), Err(TokenError::UnknownName(_))));
    tokens.create(&new("laptop")).unwrap();
    let states: Vec<bool> = tokens.list().unwrap().iter().map(|token| token.revoked_at.is_some()).collect();
    assert_eq!(states, [true, false]);
    for bad in ["", "a\nb", &"x".repeat(101)] {
        assert!(matches!(tokens.create(&new(bad)), Err(TokenError::BadName)));
    }
    let for_ever = NewToken { lifetime: Some(Duration::from_secs(u64::MAX)), ..new("old") };
    assert!(matches!(tokens.create(&for_ever), Err(TokenError::TooLong)));
}

#[test]
fn several_who_open_a_database_that_is_not_there_yet_all_get_it() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        std::thread::scope(|scope| {
            for name in ["a", "b", "c"] {
                let path = &path;
                scope.spawn(move || token(path, name, None, Access::Admin));
            }
        });
        assert_eq!(Tokens::open(&path).unwrap().list().unwrap().len(), 3);
    }
}
