//! Who pushed: what a server says of it.

use crate::support::{
    Answer, Writer, hashes,
    house::{House, delete, get, push},
    jwt,
};
use rejoin::{DocumentId, wire::PushersReply};
use rejoin_server::{Access, LogStore, doctor, purge};

fn told(answer: &Answer) -> Vec<(String, Vec<String>)> {
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let reply: PushersReply = serde_json::from_slice(&answer.body).unwrap();
    reply.pushers.into_iter().map(|one| (one.by, one.hashes)).collect()
}

fn hex(body: &[u8]) -> Vec<String> {
    hashes(body).iter().map(ToString::to_string).collect()
}

fn pushers(document: DocumentId, query: &str) -> crate::support::house::Ask {
    get(format!("/v1/documents/{document}/pushers{query}"))
}

#[tokio::test]
async fn each_change_has_the_name_of_whoever_brought_it_and_not_of_whoever_made_it() {
    let house = House::with_jwts().await;
    let document = DocumentId::random();
    let own = crate::support::token(&house.database(), "own", None, Access::Admin);
    let ada = jwt("ada", &[(None, Access::Admin)], 60);
    let mut writer = Writer::new(1);
    let [first, second, third] = [writer.many(3), writer.many(2), writer.many(2)];
    for (bears, body) in [(&own, &first), (&ada, &second), (&own, &third)] {
        // What is there already stays with whoever brought it first.
        for _ in 0..2 {
            assert_eq!(house.ask(Some(bears), &push(document, body.clone())).await.status, 200);
        }
    }
    let want = vec![
        ("token:own".to_owned(), hex(&first)),
        ("jwt:ada".to_owned(), hex(&second)),
        ("token:own".to_owned(), hex(&third)),
    ];
    assert_eq!(told(&house.ask(Some(&own), &pushers(document, "")).await), want);
    // Packed, they keep their names.
    LogStore::open(&house.database()).unwrap().pack(1).unwrap();
    let all = house.ask(Some(&own), &pushers(document, "")).await;
    assert_eq!(told(&all), want);
    assert!(doctor(&house.database()).unwrap().findings.is_empty());
    // In pages.
    let (mut after, mut found) = (String::new(), Vec::new());
    loop {
        let page = house.ask(Some(&own), &pushers(document, &format!("?limit=2{after}"))).await;
        found.extend(
            told(&page).into_iter().flat_map(|(by, hashes)| hashes.into_iter().map(move |h| (by.clone(), h))),
        );
        after = format!("&after={}", page.header("rejoin-cursor").unwrap());
        if page.header("rejoin-more").is_none() {
            break;
        }
    }
    let flat: Vec<_> =
        want.iter().flat_map(|(by, hashes)| hashes.iter().map(move |h| (by.clone(), h.clone()))).collect();
    assert_eq!(found, flat);
    assert_eq!(house.ask(Some(&own), &pushers(document, "?after=7.00")).await.code().0, 409);
    assert_eq!(house.ask(Some(&own), &pushers(document, "?limit=0")).await.status, 422);
    let stranger = jwt("eve", &[(Some(DocumentId::random()), Access::Read)], 60);
    assert_eq!(house.ask(Some(&stranger), &pushers(document, "")).await.status, 403);
    // With a purge the names go too.
    assert_eq!(house.ask(Some(&own), &delete(document)).await.status / 100, 2);
    assert_eq!(house.ask(Some(&own), &pushers(document, "")).await.status, 410);
    purge(&house.database(), &document, 0).unwrap();
    let sql = rusqlite::Connection::open(house.database()).unwrap();
    let left: i64 = sql.query_row("SELECT count(*) FROM pusher", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_was_pushed_before_tokens_were_asked_for_is_nobodys() {
    let house = House::new().await;
    let document = DocumentId::random();
    let mut writer = Writer::new(1);
    let [first, second] = [writer.many(3), writer.many(2)];
    assert_eq!(house.ask(None, &push(document, first)).await.status, 200);
    let nobody = house.ask(None, &pushers(document, "")).await;
    assert_eq!((told(&nobody), nobody.header("rejoin-more").is_some()), (vec![], false));
    let own = house.token("own", None, Access::Admin);
    let pushed = async || house.ask(Some(&own), &push(document, second.clone())).await.status;
    assert_eq!(pushed().await, 200);
    assert_eq!(
        told(&house.ask(Some(&own), &pushers(document, "")).await),
        [("token:own".to_owned(), hex(&second))]
    );
}
