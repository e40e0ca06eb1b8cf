//! Numbers that no honest change has, and documents with too many heads or actors, are refused by name; who was there
//! before goes on writing.

use crate::support::{
    Running, Writer, changes,
    house::{self, House},
    post, send, take_jwts, writer_on,
};
use automerge::{ActorId, Change, ChangeHash, ExpandedChange};
use rejoin::{
    DocumentId,
    container::{self, ContainerKind, ContainerSpec, MAX_CONTAINERS},
    fence::RefusalCode,
    wire::PushReply,
};
use rejoin_server::{Access, LogStore, ServerConfig, doctor};

/// A change that does nothing.
fn empty(actor: u16, deps: &[ChangeHash], (seq, start_op, time): (u64, u64, i64)) -> Change {
    Change::from(ExpandedChange {
        operations: Vec::new(),
        actor_id: ActorId::from([&[5_u8; 14][..], &actor.to_be_bytes()].concat()),
        hash: None,
        seq,
        start_op: start_op.try_into().unwrap(),
        time,
        message: None,
        deps: deps.to_vec(),
        extra_bytes: Vec::new(),
        author: None,
    })
}

fn body(changes: &[Change]) -> Vec<u8> {
    changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect()
}

async fn push(server: &Running, document: DocumentId, changes: &[Change]) -> PushReply {
    let answer = send(post(server.url(document, "/changes"), body(changes))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

fn codes(reply: &PushReply) -> Vec<RefusalCode> {
    reply.rejected.iter().map(|one| one.code).collect()
}

#[tokio::test]
async fn a_change_with_extreme_numbers_is_refused_by_name_and_honest_ones_beside_it_are_stored() {
    let server = Running::start_with(|_| {}).await;
    let document = DocumentId::random();
    let mut honest = Writer::new(1);
    let first = changes(&honest.many(3));
    let heads = [first[2].hash()];
    let hostile = [
        empty(1, &heads, (1, 4, i64::MIN + 5)),
        empty(2, &heads, (1, 4_293_918_718, 0)),
        empty(3, &heads, (1 << 40, 4, 0)),
    ];
    let after = changes(&honest.many(2));
    let all = [&first[..], &hostile[..], &after[..]].concat();
    let reply = push(&server, document, &all).await;
    assert_eq!(reply.accepted, 5);
    assert_eq!(codes(&reply), [RefusalCode::OutOfRange; 3]);
    let on_it = empty(4, &[hostile[1].hash()], (1, 4_293_918_719, 0));
    assert_eq!(codes(&push(&server, document, &[on_it]).await), [RefusalCode::MissingDependency]);
}

#[tokio::test]
async fn how_far_a_document_counts_is_known_across_pushes_and_from_packs() {
    let server = Running::start_with(|_| {}).await;
    let document = DocumentId::random();
    let leap = empty(1, &[], (1, 400_000, 0));
    assert_eq!(push(&server, document, std::slice::from_ref(&leap)).await.accepted, 1);
    let next = empty(2, &[leap.hash()], (1, 1_000_000, 0));
    assert_eq!(codes(&push(&server, document, &[next]).await), [RefusalCode::OutOfRange]);
    let next = empty(2, &[leap.hash()], (1, 400_000, 0));
    assert_eq!(push(&server, document, std::slice::from_ref(&next)).await.accepted, 1);
    LogStore::open(&server.directory.path().join("log.db")).unwrap().pack(1).unwrap();
    let again = empty(1, &[leap.hash()], (2, 600_000, 0));
    let reply = push(&server, document, &[again]).await;
    assert_eq!(codes(&reply), [RefusalCode::OutOfRange], "an actor's leaps are added up");
    assert!(reply.rejected[0].detail.contains("drop"), "{}", reply.rejected[0].detail);
    let after = empty(3, &[next.hash()], (1, 900_000, 0));
    let accepted = push(&server, document, &[after]).await.accepted;
    assert_eq!(accepted, 1, "whoever drops a change has a part of their own");
}

#[tokio::test]
async fn one_head_too_many_is_refused_by_name_and_a_push_that_merges_is_taken() {
    let server = Running::start_with(|c| c.limits.document_heads = 3).await;
    let document = DocumentId::random();
    let mut owner = Writer::new(1);
    let first = changes(&owner.many(1));
    assert_eq!(push(&server, document, &first).await.accepted, 1);
    let roots: Vec<Change> = (0..3).map(|actor| empty(actor, &[], (1, 1, 0))).collect();
    let reply = push(&server, document, &roots).await;
    assert_eq!((reply.accepted, codes(&reply)), (2, vec![RefusalCode::TooManyHeads]));
    assert!(reply.rejected[0].detail.contains("document_heads"));
    assert_eq!(reply.heads.len(), 3);
    let merge = empty(9, &[first[0].hash(), roots[0].hash(), roots[1].hash(), roots[2].hash()], (1, 2, 0));
    let reply = push(&server, document, &[roots[2].clone(), merge]).await;
    assert_eq!((reply.accepted, reply.heads.len()), (2, 1), "{reply:?}");
    // Who wrote here before goes on, whatever others began beside it.
    let more: Vec<Change> = (20..22).map(|actor| empty(actor, &[], (1, 1, 0))).collect();
    assert_eq!(push(&server, document, &more).await.accepted, 2);
    let own = changes(&owner.many(1));
    let reply = push(&server, document, &own).await;
    assert_eq!((reply.accepted, reply.heads.len()), (1, 4), "{reply:?}");
}

#[tokio::test]
async fn one_actor_too_many_is_refused_by_name_and_who_was_there_goes_on() {
    let server = Running::start_with(|c| c.limits.document_actors = 2).await;
    let document = DocumentId::random();
    let mut owner = Writer::new(1);
    let first = owner.many(1);
    let mut second = writer_on(2, &first);
    let all = changes(&[first.clone(), second.set("second", 1)].concat());
    assert_eq!(push(&server, document, &all).await.accepted, 2);
    let third = changes(&writer_on(3, &first).set("third", 1));
    let reply = push(&server, document, &third).await;
    assert_eq!((reply.accepted, codes(&reply)), (0, vec![RefusalCode::TooManyActors]));
    assert!(reply.rejected[0].detail.contains("document_actors"));
    assert_eq!(push(&server, document, &changes(&owner.many(5))).await.accepted, 5);
    assert_eq!(push(&server, document, &changes(&second.set("second", 2))).await.accepted, 1);
}

/// A server with tokens and one with JWTs, each with a document that its admin began.
async fn houses(limits: impl Fn(&mut ServerConfig)) -> Vec<(House, DocumentId)> {
    let mut houses = Vec::new();
    for jwts in [false, true] {
        let start = |config: &mut ServerConfig| {
            limits(config);
            if jwts {
                take_jwts(config);
            }
        };
        let server = Running::start_with(start).await;
        let (house, document) =
            (House { server, client: reqwest::Client::new(), jwts }, DocumentId::random());
        let root = house.token("root", None, Access::Admin);
        let first = empty(0, &[], (1, 1, 0));
        assert_eq!(bring(&house, document, (&root, &[first])).await.accepted, 1);
        houses.push((house, document));
    }
    houses
}

async fn bring(house: &House, document: DocumentId, (who, what): (&str, &[Change])) -> PushReply {
    let answer = house.ask(Some(who), &house::push(document, body(what))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

/// Each the first of its actor.
fn anonymous(actors: std::ops::Range<u16>) -> Vec<Change> {
    actors.map(|actor| empty(actor, &[], (1, 1, 0))).collect()
}

#[tokio::test]
async fn one_member_cannot_use_up_a_documents_bytes() {
    let most = 64 * 1024;
    for (house, document) in houses(|c| c.limits.document_bytes = most).await {
        let token = |name| house.token(name, Some(document), Access::Write);
        let (ada, mallory, root) =
            (token("ada"), token("mallory"), house.token("admin", None, Access::Admin));
        let all = large(100..200);
        let each = all[0].raw_bytes().len() as u64;
        let reply = bring(&house, document, (&mallory, &all)).await;
        assert!(
            reply.accepted * each <= most / 2 && (reply.accepted + 1) * each > most / 2 - 1_000,
            "{reply:?}"
        );
        assert!(reply.rejected.iter().all(|one| one.code == RefusalCode::TooLarge));
        let why = &reply.rejected[0].detail;
        assert!(why.contains("document_bytes") && why.contains("--document-bytes"), "{why}");
        // In packs it is the same, and nothing of what was there before is lost.
        LogStore::open(&house.database()).unwrap().pack(1).unwrap();
        assert_eq!(bring(&house, document, (&mallory, &all[20..])).await.accepted, 0);
        // Another has half of what is left, and small changes of everybody else are taken.
        let reply = bring(&house, document, (&ada, &large(300..350))).await;
        assert!(reply.accepted * each > most / 8, "{reply:?}");
        let ben = token("ben");
        assert_eq!(bring(&house, document, (&ben, &anonymous(400..410))).await.accepted, 10);
        // An operator sees who it was.
        let crowd = doctor(&house.database()).unwrap().crowds.remove(0);
        let kind = if house.jwts { "jwt" } else { "token" };
        let bytes = |name: &str| {
            let name = format!("{kind}:{name}");
            crowd.by.iter().find(|one| one.name.as_deref() == Some(&name)).map(|one| one.bytes)
        };
        assert!(bytes("mallory") > bytes("ada") && bytes("ada") > bytes("ben"), "{crowd:?}");
        assert_eq!(crowd.by.iter().map(|one| one.bytes).sum::<u64>(), crowd.bytes);
        // Who may delete the document has the whole, to the last byte.
        let reply = bring(&house, document, (&root, &large(500..600))).await;
        assert!(reply.accepted > 0 && crowd.bytes + (reply.accepted + 1) * each > most, "{reply:?}");
        assert!(reply.rejected[0].detail.contains("--document-bytes"));
    }
}

/// Each the first of its actor, of a kilobyte and a little.
fn large(actors: std::ops::Range<u16>) -> Vec<Change> {
    let grow = |change: Change| {
        let mut large = change.decode();
        (large.hash, large.message) = (None, Some("x".repeat(1_024)));
        Change::from(large)
    };
    anonymous(actors).into_iter().map(grow).collect()
}

/// The changes that make so many containers, as any client would.
fn containers(count: usize) -> Vec<Change> {
    let made = |nth: usize| {
        let spec = ContainerSpec::new(vec![format!("c{nth}")], ContainerKind::Counter, vec![0]).unwrap();
        Change::try_from(container::make(&spec).bytes.as_slice()).unwrap()
    };
    (0..count).map(made).collect()
}

#[tokio::test]
async fn containers_take_no_room_from_actors_nor_from_heads() {
    for (house, document) in houses(|c| (c.limits.document_actors, c.limits.document_heads) = (8, 8)).await {
        let token = |name| house.token(name, Some(document), Access::Write);
        let (ada, mallory) = (token("ada"), token("mallory"));
        assert_eq!(bring(&house, document, (&mallory, &containers(500))).await.accepted, 500);
        let reply = bring(&house, document, (&ada, &anonymous(1..10))).await;
        assert_eq!(reply.accepted, 4, "{reply:?}");
        assert!(reply.rejected.iter().all(|one| one.code == RefusalCode::TooManyActors));
        // And they have their own limit, and their own shares.
        let half = MAX_CONTAINERS / 2;
        let reply = bring(&house, document, (&mallory, &containers(half + 1))).await;
        assert_eq!((reply.accepted, reply.rejected.len()), (half as u64 - 500, 1));
        let own = containers(half + 1).split_off(half);
        assert_eq!(bring(&house, document, (&ada, &own)).await.accepted, 1);
    }
}

#[tokio::test]
async fn one_member_cannot_use_up_a_documents_actors() {
    for (mut house, document) in houses(|c| c.limits.document_actors = 16).await {
        let token = |name| house.token(name, Some(document), Access::Write);
        let (ada, mallory, root) =
            (token("ada"), token("mallory"), house.token("admin", None, Access::Admin));
        assert_eq!(bring(&house, document, (&ada, &anonymous(1..2))).await.accepted, 1);
        // "One alone gets half of all at most" (PROTOCOL.md).
        let all = anonymous(100..200);
        let reply = bring(&house, document, (&mallory, &all)).await;
        assert_eq!(reply.accepted, 7);
        assert!(reply.rejected.iter().all(|one| one.code == RefusalCode::TooManyActors));
        assert!(reply.rejected[0].detail.contains("--document-actors"), "{}", reply.rejected[0].detail);
        // In packs it is the same, and after a restart, when nothing is remembered.
        LogStore::open(&house.database()).unwrap().pack(1).unwrap();
        assert_eq!(bring(&house, document, (&mallory, &all)).await.accepted, 0);
        let database = house.database();
        house.server.stop().await;
        let jwts = house.jwts;
        let server = Running::start_with(|config| {
            config.limits.document_actors = 16;
            config.database.clone_from(&database);
            if jwts {
                take_jwts(config);
            }
        });
        let again = House { server: server.await, client: reqwest::Client::new(), jwts };
        assert_eq!(bring(&again, document, (&mallory, &all)).await.accepted, 0);
        // Who was there, whoever comes, and who has to take another actor find a place.
        for (nth, name) in ["ada", "ada", "ben", "cleo"].into_iter().enumerate() {
            let who = if name == "ada" { ada.clone() } else { another(&again, &database, name, document) };
            let nth = u16::try_from(nth).unwrap();
            let reply = bring(&again, document, (&who, &anonymous(300 + nth..301 + nth))).await;
            assert_eq!(reply.accepted, 1, "{name}: {reply:?}");
        }
        // An operator sees who it was.
        let crowd = doctor(&database).unwrap().crowds.remove(0);
        assert_eq!((crowd.document, crowd.actors), (document, 13));
        let kind = if jwts { "jwt" } else { "token" };
        assert_eq!(crowd.by[0].name.as_deref(), Some(format!("{kind}:mallory").as_str()));
        assert_eq!((crowd.by[0].actors, crowd.by[0].heads), (7, 7));
        // Who may delete the document has the whole.
        assert_eq!(bring(&again, document, (&root, &anonymous(400..420))).await.accepted, 3);
        let reply = bring(&again, document, (&ada, &anonymous(500..501))).await;
        assert_eq!(codes(&reply), [RefusalCode::TooManyActors]);
        assert!(reply.rejected[0].detail.contains("--document-actors"));
        assert_eq!(bring(&again, document, (&ada, &[after(&anonymous(1..2)[0])])).await.accepted, 1);
    }
}

fn another(house: &House, database: &std::path::Path, name: &str, document: DocumentId) -> String {
    match house.jwts {
        true => house.token(name, Some(document), Access::Write),
        false => crate::support::token(database, name, Some(document), Access::Write),
    }
}

/// The next change of the actor of this one.
fn after(change: &Change) -> Change {
    let mut next = change.decode();
    next.hash = None;
    (next.seq, next.deps) = (2, vec![change.hash()]);
    Change::from(next)
}

#[tokio::test]
async fn one_member_cannot_use_up_a_documents_heads() {
    for (house, document) in houses(|c| c.limits.document_heads = 16).await {
        let token = |name| house.token(name, Some(document), Access::Write);
        let (ada, mallory) = (token("ada"), token("mallory"));
        let reply = bring(&house, document, (&mallory, &anonymous(100..150))).await;
        assert_eq!(reply.accepted, 8);
        assert!(reply.rejected.iter().all(|one| one.code == RefusalCode::TooManyHeads));
        for nth in 0..4 {
            assert_eq!(bring(&house, document, (&ada, &anonymous(nth + 1..nth + 2))).await.accepted, 1);
        }
        // What merges them is taken whole, also where it brings more on the way.
        let heads: Vec<ChangeHash> = anonymous(100..108).iter().map(Change::hash).collect();
        let more = anonymous(200..204);
        let deps = [heads, more.iter().map(Change::hash).collect()].concat();
        let merge = empty(300, &deps, (1, 1, 0));
        let reply = bring(&house, document, (&mallory, &[more, vec![merge]].concat())).await;
        assert_eq!((reply.accepted, reply.heads.len()), (5, 6), "{reply:?}");
    }
}

/// "Those who bear JWTs without a `sub` count as one" (PROTOCOL.md).
#[tokio::test]
async fn whoever_has_no_name_leaves_room_for_those_who_have() {
    let (house, document) = houses(|c| c.limits.document_actors = 16).await.pop().unwrap();
    let write = [(Some(document), Access::Write)];
    let nobody = crate::support::jwt_for(None, &write, 60);
    assert_eq!(bring(&house, document, (&nobody, &anonymous(100..150))).await.accepted, 8);
    let other = crate::support::jwt_for(None, &write, 90);
    assert_eq!(bring(&house, document, (&other, &anonymous(200..210))).await.accepted, 0);
    let ada = crate::support::jwt("ada", &write, 60);
    assert_eq!(bring(&house, document, (&ada, &anonymous(1..2))).await.accepted, 1);
}
