//! Pushes that are large: committed in pieces, and one push all the same.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a test may panic and print"
)]

mod support;

use std::collections::HashSet;

use rejoin::{
    DocumentId,
    fence::RefusalCode,
    wire::{CHANGES, PushReply},
};
use support::{Running, Writer, get, hashes, post, send};

#[tokio::test]
async fn a_large_push_is_one_push_whatever_its_pieces() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let (mut ada, mut bob) = (Writer::new(1), Writer::new(2));
    bob.set("lost", 1);
    // What cannot be stored lies at both ends and between.
    let orphans: Vec<Vec<u8>> = (0..3).map(|_| bob.many(1_500)).collect();
    let (first, second) = (ada.many(6_000), ada.many(5_000));
    let body = [&orphans[0], &first, &orphans[1], &second, &orphans[2]].map(Vec::as_slice).concat();
    let url = server.url(document, "/changes");
    let answer = send(post(url.clone(), body.clone())).await;
    let reply: PushReply = answer.json();
    assert_eq!((reply.accepted, reply.duplicate), (11_000, 0));
    assert!(reply.cursor.is_some() && reply.cursor == reply.end);
    assert_eq!(reply.heads, [ada.hash().to_string()]);
    let named: Vec<String> = reply.rejected.iter().map(|one| one.hash.clone()).collect();
    let meant: Vec<String> = hashes(&orphans.concat()).iter().map(ToString::to_string).collect();
    assert_eq!(named, meant, "each is named, in the order of the push");
    assert!(reply.rejected.iter().all(|one| one.code == RefusalCode::MissingDependency));
    let log = [first, second].concat();
    let again: PushReply = send(post(url.clone(), body)).await.json();
    assert_eq!((again.accepted, again.duplicate, again.rejected.len()), (0, 11_000, 4_500));
    assert_eq!(again.cursor, reply.cursor);
    let figures = server.state.figures();
    assert_eq!((figures.pushes, figures.changes), (2, 11_000));
    let page = send(get(format!("{url}?after={}", reply.cursor.unwrap()))).await;
    assert!(page.body.is_empty());
    let page = send(post(url, log).header("accept", CHANGES)).await;
    assert_eq!((page.header("rejoin-duplicate"), page.body.len()), (Some("11000"), 0));
    assert_eq!(page.header("rejoin-cursor"), page.header("rejoin-end"));
}

/// Invariant 4: "A phantom is allowed, a hole never", also where others push between the pieces.
#[tokio::test]
async fn what_others_push_between_the_pieces_lies_after_the_cursor() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let url = server.url(document, "/changes");
    let mut carol = Writer::new(3);
    send(post(url.clone(), carol.many(1))).await;
    let body = Writer::new(1).many(12_000);
    let large = tokio::spawn(send(post(url.clone(), body.clone()).header("accept", CHANGES)));
    let mut theirs = 0;
    while !large.is_finished() {
        assert_eq!(send(post(url.clone(), carol.many(1))).await.status, 200);
        theirs += 1;
    }
    let answer = large.await.unwrap();
    assert_eq!(answer.header("rejoin-accepted"), Some("12000"));
    let mut held: HashSet<_> = hashes(&body).into_iter().chain(hashes(&answer.body)).collect();
    let mut cursor = answer.header("rejoin-cursor").unwrap().to_owned();
    loop {
        let page = send(get(format!("{url}?after={cursor}"))).await;
        held.extend(hashes(&page.body));
        page.header("rejoin-cursor").unwrap().clone_into(&mut cursor);
        if page.header("rejoin-more").is_none() {
            break;
        }
    }
    println!("{theirs} pushes were answered meanwhile");
    assert_eq!(held.len(), 12_001 + theirs, "nothing is missing");
}
