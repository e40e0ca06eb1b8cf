//! Who may do what: every route, every kind of principal, and what becomes of it while the server runs.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use std::time::Duration;

use rejoin::{DocumentId, wire::DocumentsReply};
use rejoin_server::{Access, NewToken, TokenError, Tokens};
use reqwest::Method;
use support::{Answer, JWT_SECRET, Running, Writer, hashes, jwt, send, take_jwts, token};

/// A server with tokens, or one with JWTs, and everybody who may come to a document.
struct House {
    server: Running,
    client: reqwest::Client,
    jwts: bool,
}

impl House {
    async fn new() -> Self {
        Self { server: Running::start().await, client: reqwest::Client::new(), jwts: false }
    }

    async fn with_jwts() -> Self {
        Self { server: Running::start_with(take_jwts).await, client: reqwest::Client::new(), jwts: true }
    }

    /// One of each kind: what holds for tokens holds for JWTs.
    async fn both() -> [Self; 2] {
        [Self::new().await, Self::with_jwts().await]
    }

    fn database(&self) -> std::path::PathBuf {
        self.server.directory.path().join("log.db")
    }

    fn token(&self, name: &str, document: Option<DocumentId>, access: Access) -> String {
        if self.jwts {
            return jwt(name, &[(document, access)], 60);
        }
        token(&self.database(), name, document, access)
    }

    async fn ask(&self, who: Option<&str>, what: &Ask) -> Answer {
        let url = format!("http://{}{}", self.server.address, what.path);
        let mut request = self.client.request(what.method.clone(), url).body(what.body.clone());
        if let Some(media_type) = what.media_type {
            request = request.header("content-type", media_type);
        }
        if let Some(token) = who {
            request = request.bearer_auth(token);
        }
        send(request).await
    }
}

/// A request without credentials.
struct Ask {
    method: Method,
    path: String,
    media_type: Option<&'static str>,
    body: Vec<u8>,
}

fn get(path: String) -> Ask {
    Ask { method: Method::GET, path, media_type: None, body: Vec::new() }
}

fn push(document: DocumentId, body: Vec<u8>) -> Ask {
    let path = format!("/v1/documents/{document}/changes");
    Ask { method: Method::POST, path, media_type: Some(rejoin::wire::CHANGES), body }
}

fn missing(document: DocumentId) -> Ask {
    let path = format!("/v1/documents/{document}/missing");
    Ask {
        method: Method::POST,
        path,
        media_type: Some(rejoin::wire::JSON),
        body: br#"{"hashes":[]}"#.to_vec(),
    }
}

fn delete(document: DocumentId) -> Ask {
    Ask { method: Method::DELETE, ..get(format!("/v1/documents/{document}")) }
}

/// Every route, for a document.
fn routes(document: DocumentId) -> Vec<(&'static str, Ask)> {
    let of = |rest: &str| format!("/v1/documents/{document}{rest}");
    let head = |ask: Ask| Ask { method: Method::HEAD, ..ask };
    vec![
        ("healthz", get("/healthz".to_owned())),
        ("readyz", get("/readyz".to_owned())),
        ("limits", get("/v1/limits".to_owned())),
        ("documents", get("/v1/documents".to_owned())),
        ("events", get("/v1/events".to_owned())),
        ("metrics", get("/metrics".to_owned())),
        ("openapi", get("/openapi.json".to_owned())),
        ("nothing", get("/v1/nothing".to_owned())),
        ("other method", Ask { method: Method::PUT, ..get(of("/changes")) }),
        ("merged", get(of(""))),
        ("pull", get(of("/changes"))),
        ("head of pull", head(get(of("/changes")))),
        ("snapshot", get(of("/snapshot"))),
        ("missing", missing(document)),
        ("push", push(document, Writer::new(9).many(1))),
        ("delete", delete(document)),
        ("events of it", get(format!("/v1/events?document={document}"))),
    ]
}

const WHO: [&str; 6] = ["admin", "creator", "writer", "reader", "stranger", "nobody"];

/// What each of [`WHO`] is answered: on a document that the creator began, and on one that nobody began.
fn expected(route: &str) -> ([u16; 6], [u16; 6]) {
    match route {
        "healthz" | "readyz" => ([200; 6], [200; 6]),
        "limits" | "documents" | "events" | "openapi" => {
            ([200, 200, 200, 200, 200, 401], [200, 200, 200, 200, 200, 401])
        }
        "metrics" => ([200, 403, 403, 403, 403, 401], [200, 403, 403, 403, 403, 401]),
        "nothing" => ([404, 404, 404, 404, 404, 401], [404, 404, 404, 404, 404, 401]),
        "other method" => ([405, 405, 405, 405, 405, 401], [405, 405, 405, 405, 405, 401]),
        "merged" | "pull" | "head of pull" | "snapshot" => {
            ([200, 200, 200, 200, 403, 401], [404, 404, 404, 404, 403, 401])
        }
        "missing" | "events of it" => ([200, 200, 200, 200, 403, 401], [200, 200, 200, 200, 403, 401]),
        "push" => ([200, 200, 200, 403, 403, 401], [200, 200, 403, 403, 403, 401]),
        "delete" => ([204, 204, 403, 403, 403, 401], [204, 204, 403, 403, 403, 401]),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn every_route_answers_each_kind_of_principal_as_it_should() {
    for house in House::both().await {
        matrix(&house).await;
    }
}

async fn matrix(house: &House) {
    let admin = house.token("admin", None, Access::Admin);
    let creator = house.token("creator", None, Access::Create);
    let elsewhere = DocumentId::random();
    assert_eq!(house.ask(Some(&creator), &push(elsewhere, Writer::new(1).many(1))).await.status, 200);
    let stranger = house.token("stranger", Some(elsewhere), Access::Admin);
    let count = routes(elsewhere).len();
    for (place, begun) in (0..count).flat_map(|place| [(place, true), (place, false)]) {
        for (column, who) in WHO.into_iter().enumerate() {
            let document = DocumentId::random();
            if begun {
                let began = house.ask(Some(&creator), &push(document, Writer::new(1).many(2))).await;
                assert_eq!(began.status, 200);
            }
            let named = format!("{who} {place} {begun}");
            let bears = match who {
                "admin" => Some(admin.clone()),
                "creator" => Some(creator.clone()),
                "writer" => Some(house.token(&named, Some(document), Access::Write)),
                "reader" => Some(house.token(&named, Some(document), Access::Read)),
                "stranger" => Some(stranger.clone()),
                _ => None,
            };
            let (route, ask) = routes(document).remove(place);
            let (on_begun, on_none) = expected(route);
            let answer = house.ask(bears.as_deref(), &ask).await;
            let wanted = if begun { on_begun[column] } else { on_none[column] };
            assert_eq!(answer.status, wanted, "{route}, {who}, begun: {begun}: {answer:?}");
            assert_eq!(answer.header("www-authenticate").is_some(), wanted == 401);
            if route != "head of pull" && wanted >= 401 {
                let code = answer.code().1;
                assert!(wanted != 401 || code == "unauthorized", "{code}");
                assert!(wanted != 403 || code == "forbidden", "{code}");
            }
        }
    }
}

#[tokio::test]
async fn a_creator_has_nothing_on_what_others_began_until_it_is_granted() {
    let house = House::new().await;
    let (ada, ben) = (house.token("ada", None, Access::Create), house.token("ben", None, Access::Create));
    let document = DocumentId::random();
    let body = Writer::new(1).many(1);
    assert_eq!(house.ask(Some(&ada), &push(document, body.clone())).await.status, 200);
    for (route, ask) in routes(document).into_iter().skip(9) {
        assert_eq!(house.ask(Some(&ben), &ask).await.status, 403, "{route}");
    }
    let mut tokens = Tokens::open(&house.database()).unwrap();
    tokens.grant("ben", &document, Access::Write).unwrap();
    let more = Writer::new(2).many(1);
    assert_eq!(house.ask(Some(&ben), &push(document, more)).await.status, 200);
    assert_eq!(house.ask(Some(&ben), &delete(document)).await.status, 403);
    tokens.grant("ben", &document, Access::Read).unwrap();
    assert_eq!(house.ask(Some(&ben), &push(document, body)).await.status, 403, "in place of what it was");
    assert!(matches!(tokens.grant("ben", &document, Access::Create), Err(TokenError::NotGrantable)));
    assert!(matches!(tokens.grant("eve", &document, Access::Read), Err(TokenError::UnknownName(_))));
}

#[tokio::test]
async fn of_two_who_begin_a_document_at_once_one_has_it() {
    for house in House::both().await {
        one_has_it(&house).await;
    }
}

async fn one_has_it(house: &House) {
    let (ada, ben) = (house.token("ada", None, Access::Create), house.token("ben", None, Access::Create));
    for _ in 0..20 {
        let document = DocumentId::random();
        let (first, second) =
            (push(document, Writer::new(1).many(1)), push(document, Writer::new(2).many(1)));
        let answers = tokio::join!(house.ask(Some(&ada), &first), house.ask(Some(&ben), &second));
        let mut statuses = [answers.0.status, answers.1.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 403]);
        let pull = get_changes(document);
        let winner = if answers.0.status == 200 { &ada } else { &ben };
        let pulled = house.ask(Some(winner), &pull).await;
        assert_eq!(hashes(&pulled.body).len(), 1);
    }
}

fn get_changes(document: DocumentId) -> Ask {
    get(format!("/v1/documents/{document}/changes"))
}

#[tokio::test]
async fn a_push_that_stores_nothing_begins_nothing() {
    for house in House::both().await {
        begins_nothing(&house).await;
    }
}

async fn begins_nothing(house: &House) {
    let (ada, ben) = (house.token("ada", None, Access::Create), house.token("ben", None, Access::Create));
    let (document, mut writer) = (DocumentId::random(), Writer::new(1));
    writer.many(1);
    let orphan = writer.many(1);
    let reply: rejoin::wire::PushReply = house.ask(Some(&ada), &push(document, orphan)).await.json();
    assert_eq!((reply.accepted, reply.rejected.len()), (0, 1));
    assert_eq!(house.ask(Some(&ben), &push(document, Writer::new(2).many(1))).await.status, 200);
    assert_eq!(house.ask(Some(&ada), &get_changes(document)).await.status, 403);
}

#[tokio::test]
async fn a_healer_may_push_what_others_wrote() {
    for house in House::both().await {
        heal(&house).await;
    }
}

async fn heal(house: &House) {
    let creator = house.token("creator", None, Access::Create);
    let (document, mut ada) = (DocumentId::random(), Writer::new(1));
    assert_eq!(house.ask(Some(&creator), &push(document, ada.many(1))).await.status, 200);
    let healer = house.token("healer", Some(document), Access::Write);
    let others: Vec<u8> = [ada.many(2), ada.fork(2).many(2)].concat();
    let reply: rejoin::wire::PushReply = house.ask(Some(&healer), &push(document, others)).await.json();
    assert_eq!(reply.accepted, 4);
}

#[tokio::test]
async fn the_list_holds_only_what_may_be_read() {
    let house = House::new().await;
    let (ada, ben) = (house.token("ada", None, Access::Create), house.token("ben", None, Access::Create));
    let documents: Vec<DocumentId> = (0..4).map(|_| DocumentId::random()).collect();
    for (place, document) in documents.iter().enumerate() {
        let who = if place % 2 == 0 { &ada } else { &ben };
        assert_eq!(house.ask(Some(who), &push(*document, Writer::new(1).many(1))).await.status, 200);
    }
    let [zero, one, two, three] = documents[..] else { panic!() };
    Tokens::open(&house.database()).unwrap().grant("ada", &three, Access::Read).unwrap();
    let only = house.token("only", Some(one), Access::Read);
    let all = house.token("all", None, Access::Read);
    let gone = house.token("gone", Some(DocumentId::random()), Access::Admin);
    for (who, wanted) in [
        (&ada, vec![zero, two, three]),
        (&ben, vec![one, three]),
        (&only, vec![one]),
        (&all, documents.clone()),
        (&gone, vec![]),
    ] {
        let list: DocumentsReply = house.ask(Some(who), &get("/v1/documents".to_owned())).await.json();
        let ids: Vec<String> = list.documents.into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids, wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
        let again = get(format!("/v1/documents?since={}", list.next.unwrap_or_default()));
        let again: DocumentsReply = house.ask(Some(who), &again).await.json();
        assert!(again.documents.is_empty());
    }
}

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

/// The changes events of a stream, as far as one that tells of `last`; `None` where the stream ended before.
async fn heard(stream: &mut reqwest::Response, last: DocumentId) -> Option<Vec<String>> {
    let mut text = String::new();
    loop {
        text.push_str(std::str::from_utf8(&stream.chunk().await.ok()??).unwrap());
        let whole = text.rsplit_once("\n\n").map_or("", |(whole, _)| whole);
        let data = whole.lines().filter_map(|line| line.strip_prefix("data: "));
        let told: Vec<rejoin::wire::ChangesEvent> =
            data.map(|data| serde_json::from_str(data).unwrap()).collect();
        if told.iter().any(|event| event.document == last.to_string()) {
            return Some(told.into_iter().map(|event| event.document).collect());
        }
    }
}

#[tokio::test]
async fn a_stream_tells_only_of_what_may_be_read() {
    let house = House::new().await;
    let (ada, ben) = (house.token("ada", None, Access::Create), house.token("ben", None, Access::Create));
    let all = house.token("all", None, Access::Read);
    let [one, two, granted] = std::array::from_fn(|_| DocumentId::random());
    let listen = async |who: &str, query: &str| {
        let url = format!("http://{}/v1/events{query}", house.server.address);
        let mut stream = house.client.get(url).bearer_auth(who).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream.chunk().await.unwrap().expect("a greeting");
        stream
    };
    let mut of_ada = listen(&ada, "").await;
    let mut of_ben = listen(&ben, &format!("?document={one}&document={two}&document={granted}")).await;
    let mut of_all = listen(&all, "").await;
    for (who, document) in [(&ada, one), (&ben, two), (&ada, granted)] {
        assert_eq!(house.ask(Some(who), &push(document, Writer::new(1).many(1))).await.status, 200);
    }
    // What was said of a token holds until another process writes to the database.
    Tokens::open(&house.database()).unwrap().grant("ben", &granted, Access::Read).unwrap();
    assert_eq!(house.ask(Some(&ada), &push(granted, Writer::new(2).many(1))).await.status, 200);
    let texts = |ids: &[DocumentId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(heard(&mut of_ada, granted).await, Some(texts(&[one, granted])));
    assert_eq!(heard(&mut of_ben, granted).await, Some(texts(&[two, granted])));
    assert_eq!(heard(&mut of_all, granted).await, Some(texts(&[one, two, granted])));
    assert_eq!(house.ask(Some(&all), &get(format!("/v1/events?document={one}"))).await.status, 200);
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
    let foreign =
        |url: &str| support::get(format!("http://{}{url}", house.server.address)).header("host", "a.example");
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
    let limits = || support::get(format!("http://127.0.0.1:{port}/v1/limits"));
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

#[tokio::test]
async fn the_list_holds_only_what_a_jwt_says_and_what_its_subject_began() {
    let house = House::with_jwts().await;
    let creator = |sub: &str| jwt(sub, &[(None, Access::Create)], 60);
    let documents: [DocumentId; 4] = std::array::from_fn(|_| DocumentId::random());
    for (place, document) in documents.iter().enumerate() {
        let who = creator(if place % 2 == 0 { "ada" } else { "ben" });
        assert_eq!(house.ask(Some(&who), &push(*document, Writer::new(1).many(1))).await.status, 200);
    }
    let [zero, one, two, three] = documents;
    for (bears, wanted) in [
        (creator("ada"), vec![zero, two]),
        (jwt("ada", &[(Some(zero), Access::Create), (Some(one), Access::Create)], 60), vec![zero]),
        (jwt("ada", &[(Some(three), Access::Read), (None, Access::Create)], 60), vec![zero, two, three]),
        (jwt("ada", &[(Some(three), Access::Read)], 60), vec![three]),
        (jwt("ada", &[], 60), vec![]),
        (jwt("eve", &[(None, Access::Read)], 60), documents.to_vec()),
    ] {
        let list: DocumentsReply = house.ask(Some(&bears), &get("/v1/documents".to_owned())).await.json();
        let ids: Vec<String> = list.documents.into_iter().map(|entry| entry.id).collect();
        assert_eq!(ids, wanted.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    // Who began it is its admin as long as the minter lets them begin documents.
    let reader = jwt("ada", &[(Some(zero), Access::Read)], 60);
    assert_eq!(house.ask(Some(&reader), &delete(zero)).await.status, 403);
    assert_eq!(house.ask(Some(&creator("ben")), &delete(zero)).await.status, 403);
    assert_eq!(house.ask(Some(&creator("ada")), &delete(zero)).await.status, 204);
}

#[tokio::test]
async fn a_server_with_a_jwt_key_is_guarded_and_takes_tokens_too() {
    let house = House::with_jwts().await;
    let limits = get("/v1/limits".to_owned());
    assert_eq!(
        house.ask(None, &limits).await.status,
        401,
        "no token was ever made, and none is needed for that"
    );
    let own = token(&house.database(), "own", None, Access::Read);
    let good = jwt("ada", &[(None, Access::Admin)], 60);
    for (bears, status) in
        [(&own, 200), (&good, 200), (&format!("{good}x"), 401), (&own.replace("rjt_", ""), 401)]
    {
        assert_eq!(house.ask(Some(bears), &limits).await.status, status);
    }
    let late = jwt("ada", &[(None, Access::Admin)], -60);
    assert_eq!(house.ask(Some(&late), &limits).await.code(), (401, "unauthorized".to_owned()));
    let many = vec![(Some(DocumentId::random()), Access::Write); 50];
    let long = jwt("ada", &many, 60);
    assert!(long.len() > 4_096 && rejoin::Token::new(&long).is_some(), "the client takes it");
    assert_eq!(house.ask(Some(&long), &limits).await.status, 200);
    assert_eq!(
        house.ask(Some(&jwt("ada", &vec![many[0]; 500], 60)), &limits).await.status,
        401,
        "it is too long"
    );
    // Where JWTs are not taken one is no token.
    let without = House::new().await;
    without.token("a", None, Access::Admin);
    assert_eq!(without.ask(Some(&good), &limits).await.status, 401);
}

#[tokio::test]
async fn a_jwt_that_ends_and_a_key_that_goes_lose_their_open_streams() {
    let server = Running::start_with(|config| {
        config.heartbeat = Duration::from_millis(50);
        take_jwts(config);
    });
    let house = House { server: server.await, client: reqwest::Client::new(), jwts: true };
    let listen = async |bears: String| {
        let url = format!("http://{}/v1/events", house.server.address);
        let stream = house.client.get(url).bearer_auth(bears).send().await.unwrap();
        assert_eq!(stream.status(), 200);
        stream
    };
    let ends = async |mut stream: reqwest::Response| {
        let end = async { while let Ok(Some(_)) = stream.chunk().await {} };
        tokio::time::timeout(Duration::from_secs(10), end).await.expect("it ends");
    };
    // Its time is over, and the leeway in four seconds.
    let brief = listen(jwt("ada", &[(None, Access::Read)], -26)).await;
    let long = listen(jwt("ada", &[(None, Access::Read)], 60)).await;
    ends(brief).await;
    assert_eq!(house.server.state.figures().streams, 1);
    let key = house.database().with_file_name("jwt.key");
    std::fs::write(key, "another secret, of at least 32 bytes").unwrap();
    ends(long).await;
}

#[tokio::test]
async fn a_jwt_stands_in_no_log_no_error_and_not_in_the_database() {
    let directory = tempfile::tempdir().unwrap();
    let (log, key) = (directory.path().join("server.log"), directory.path().join("key"));
    std::fs::write(&key, format!("{JWT_SECRET}\n")).unwrap();
    let mut command = std::process::Command::new(support::BINARY);
    command.env("RUST_LOG", "trace").arg("--database").arg(directory.path().join("log.db"));
    command.arg("--jwt-key").arg(&key);
    let server = support::Process::logging(command, std::fs::File::create(&log).unwrap().into());
    let good = jwt("ada", &[(None, Access::Create)], 60);
    let late = jwt("ada", &[(None, Access::Create)], -60);
    let broken = format!("{}.e30.{}", good.split('.').next().unwrap(), good.rsplit('.').next().unwrap());
    for (bears, status) in [(&good, 200), (&late, 401), (&broken, 401)] {
        let url = server.changes(DocumentId::random());
        let answer = send(support::post(url, Writer::new(1).many(1)).bearer_auth(bears)).await;
        assert_eq!(answer.status, status);
        assert!(!String::from_utf8_lossy(&answer.body).contains(bears.as_str()));
    }
    server.signal("-TERM");
    let (code, _, _) = tokio::task::spawn_blocking(move || server.end()).await.unwrap();
    assert_eq!(code, Some(0));
    let said = std::fs::read_to_string(log).unwrap();
    assert!(said.contains("its time is over") && said.contains("its signature is wrong"));
    let parts = [&good, &late, &broken].into_iter().flat_map(|bears| bears.split('.').skip(1));
    let parts: Vec<&str> = parts.filter(|part| part.len() > 10).chain([JWT_SECRET]).collect();
    assert!(parts.iter().all(|part| !said.contains(part)));
    let bytes = std::fs::read(directory.path().join("log.db")).unwrap();
    for part in parts {
        assert!(!bytes.windows(part.len()).any(|window| window == part.as_bytes()));
    }
}
