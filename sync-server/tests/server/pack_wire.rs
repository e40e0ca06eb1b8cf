//! Packs over HTTP: the same changes in fewer bytes, through the same fence, within the same limits.

use crate::support::{Running, Writer, get, send};
use rejoin::{
    DocumentId,
    fence::RefusalCode,
    pack::{Effort, PackLimits, pack, unpack},
    wire::{CHANGES, JSON, PACK, PushReply},
};

const LIMITS: PackLimits = PackLimits { changes: 100_000, bytes: 64 << 20 };
/// What clients of rejoin say.
const EITHER: &str = "application/vnd.automerge, application/vnd.rejoin.pack";

fn push_pack(url: String, pack: Vec<u8>) -> reqwest::RequestBuilder {
    reqwest::Client::new().post(url).header("content-type", PACK).body(pack)
}

#[tokio::test]
async fn a_pack_is_stored_as_its_changes_are_and_given_to_who_asks_for_one() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let url = server.url(document, "/changes");
    let mut ada = Writer::new(1);
    let body = ada.many(1_000);
    let packed = pack(&body, Effort::Quick).unwrap();
    assert!(packed.len() * 10 < body.len());
    let pushed = send(push_pack(url.clone(), packed).header("accept", EITHER)).await;
    assert_eq!((pushed.status, pushed.header("rejoin-accepted")), (200, Some("1000")));
    let plain = send(get(url.clone())).await;
    assert_eq!((plain.header("content-type"), plain.body == body), (Some(CHANGES), true));
    let asked = send(get(url.clone()).header("accept", EITHER)).await;
    assert_eq!((asked.header("content-type"), asked.header("content-encoding")), (Some(PACK), None));
    assert_eq!(asked.header("rejoin-cursor"), plain.header("rejoin-cursor"));
    eprintln!("{} bytes as changes, {} as a pack", body.len(), asked.body.len());
    assert!(asked.body.len() * 10 < body.len());
    assert!(unpack(&asked.body, &LIMITS).unwrap().bytes() == body);
    // The reply of a push is packed too, and one with few changes is not.
    let mut bob = Writer::new(2);
    let small = pack(&bob.many(2), Effort::Quick).unwrap();
    let reply = send(push_pack(url.clone(), small).header("accept", EITHER)).await;
    assert_eq!(reply.header("content-type"), Some(PACK));
    let after = format!("{url}?after={}", plain.header("rejoin-cursor").unwrap());
    let few = send(get(after).header("accept", EITHER)).await;
    assert_eq!(few.header("content-type"), Some(CHANGES));
}

#[tokio::test]
async fn the_fence_sees_what_is_in_a_pack() {
    let server = Running::start().await;
    let url = server.url(DocumentId::random(), "/changes");
    let mut orphan = Writer::new(1);
    orphan.set("lost", 1);
    let body = [orphan.set("x", 1), Writer::new(2).set("good", 1)].concat();
    let answer = send(push_pack(url, pack(&body, Effort::Quick).unwrap()).header("accept", EITHER)).await;
    assert_eq!(answer.header("content-type"), Some(JSON));
    let reply: PushReply = answer.json();
    assert_eq!((reply.accepted, reply.rejected.len()), (1, 1));
    assert_eq!(reply.rejected[0].code, RefusalCode::MissingDependency);
}

#[tokio::test]
async fn a_hostile_pack_is_refused_and_nothing_is_stored() {
    let server = Running::start_with(|config| {
        config.limits.push_changes = 500;
        config.limits.inflated_body_bytes = 1 << 20;
    })
    .await;
    let url = server.url(DocumentId::random(), "/changes");
    let good = pack(&Writer::new(1).many(100), Effort::Quick).unwrap();
    let mut flipped = good.clone();
    *flipped.last_mut().unwrap() ^= 1;
    let cut = good[..good.len() - 1].to_vec();
    let head = |changes: &[u8], plain: &[u8]| [b"RJPK\x01", changes, plain, &[0; 17]].concat();
    let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for (body, expected) in [
        (Vec::new(), (422, "malformed")),
        (b"no pack".to_vec(), (422, "malformed")),
        (flipped, (422, "malformed")),
        (cut, (422, "malformed")),
        (head(&[1], &[1]), (422, "malformed")),
        (head(&huge, &[1]), (413, "too-large")),
        (head(&[1], &huge), (413, "too-large")),
        (pack(&Writer::new(1).many(501), Effort::Quick).unwrap(), (413, "too-large")),
        (pack(&Writer::new(1).many(9_000), Effort::Quick).unwrap(), (413, "too-large")),
    ] {
        let (status, code) = send(push_pack(url.clone(), body)).await.code();
        assert_eq!((status, code.as_str()), expected);
    }
    assert_eq!(send(get(url.clone())).await.status, 404);
    assert_eq!(send(push_pack(url, good)).await.status, 200);
}
