//! Who may do what: every route, every kind of principal.

use crate::support::{
    Writer, hashes,
    house::{House, delete, get, get_changes, heard, push, routes},
    jwt,
};
use rejoin::{DocumentId, wire::DocumentsReply};
use rejoin_server::{Access, TokenError, Tokens};

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
        "merged" | "pull" | "head of pull" | "snapshot" | "pushers" => {
            ([200, 200, 200, 200, 403, 401], [404, 404, 404, 404, 403, 401])
        }
        "missing" | "events of it" => ([200, 200, 200, 200, 403, 401], [200, 200, 200, 200, 403, 401]),
        "push" => ([200, 200, 200, 403, 403, 401], [200, 200, 403, 403, 403, 401]),
        "delete" => ([204, 204, 403, 403, 403, 401], [204, 404, 403, 403, 403, 401]),
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
