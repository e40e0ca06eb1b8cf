//! Numbers that no honest change has, and documents with too many heads or actors, are refused by name; who was there
//! before goes on writing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod support;

use automerge::{ActorId, Change, ChangeHash, ExpandedChange};
use rejoin::{DocumentId, fence::RefusalCode, wire::PushReply};
use support::{Running, Writer, changes, post, send, writer_on};

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
    let leap = empty(1, &[], (1, 10_000_000, 0));
    assert_eq!(push(&server, document, std::slice::from_ref(&leap)).await.accepted, 1);
    let next = empty(2, &[leap.hash()], (1, 18_000_000, 0));
    assert_eq!(codes(&push(&server, document, &[next]).await), [RefusalCode::OutOfRange]);
    let next = empty(2, &[leap.hash()], (1, 10_000_000, 0));
    assert_eq!(push(&server, document, std::slice::from_ref(&next)).await.accepted, 1);
    let after = empty(3, &[next.hash()], (1, 17_000_000, 0));
    assert_eq!(codes(&push(&server, document, &[after]).await), [RefusalCode::OutOfRange]);
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
