//! Pushes: what is answered, what they share, and large ones, which are read in pieces.

use crate::support::{Running, Writer, get, hashes, post, send};
use rejoin::{
    DocumentId,
    fence::RefusalCode,
    wire::{CHANGES, JSON, PushReply},
};

fn changes_url(server: &Running, document: DocumentId) -> String {
    server.url(document, "/changes")
}

#[tokio::test]
async fn a_push_is_answered_as_json_or_as_what_the_client_lacks() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut ada = Writer::new(1);
    let body = ada.many(3);
    let answer = send(post(changes_url(&server, document), body.clone())).await;
    assert_eq!((answer.status, answer.header("content-type")), (200, Some(JSON)));
    let reply: PushReply = answer.json();
    assert_eq!((reply.accepted, reply.duplicate, reply.rejected.len()), (3, 0, 0));
    assert_eq!(reply.cursor, reply.end);
    assert_eq!(reply.heads, [ada.hash().to_string()]);
    let theirs = Writer::new(2).many(2);
    let request = post(changes_url(&server, document), theirs.clone()).header("accept", CHANGES);
    let answer = send(request).await;
    assert_eq!(answer.header("content-type"), Some(CHANGES));
    assert_eq!(answer.body, body);
    assert_eq!(answer.header("rejoin-accepted"), Some("2"));
    assert_eq!(answer.header("rejoin-duplicate"), Some("0"));
    assert_eq!(answer.header("rejoin-cursor"), answer.header("rejoin-end"));
    assert_eq!(answer.header("rejoin-more"), None);
    let after = answer.header("rejoin-cursor").unwrap().to_owned();
    let page = send(get(format!("{}?limit=2", changes_url(&server, document)))).await;
    assert_eq!((page.header("rejoin-more"), hashes(&page.body).len()), (Some("1"), 2));
    let rest = format!("{}?after={}", changes_url(&server, document), page.header("rejoin-cursor").unwrap());
    assert_eq!(send(get(rest)).await.header("rejoin-cursor"), Some(after.as_str()));
}

#[tokio::test]
async fn ten_pushes_of_the_same_at_once_are_stored_once() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let body = Writer::new(1).many(20);
    let pushes = (0..10).map(|_| send(post(changes_url(&server, document), body.clone())));
    let replies: Vec<PushReply> =
        futures_util::future::join_all(pushes).await.iter().map(crate::support::Answer::json).collect();
    assert_eq!(replies.iter().map(|r| r.accepted).sum::<u64>(), 20);
    assert_eq!(replies.iter().map(|r| r.duplicate).sum::<u64>(), 180);
    assert!(replies.iter().all(|r| r.cursor == r.end && r.cursor == replies[0].cursor));
    assert_eq!(send(get(changes_url(&server, document))).await.body, body);
}

#[tokio::test]
async fn concurrent_pushes_share_commits() {
    let server = Running::start().await;
    // One that holds the committer while the others gather.
    let large = Writer::new(1).many(20_000);
    let mut pushes = vec![post(changes_url(&server, DocumentId::random()), large)];
    for _ in 0..100 {
        let body = Writer::new(2).many(1);
        pushes.push(post(changes_url(&server, DocumentId::random()), body));
    }
    let answers = futures_util::future::join_all(pushes.into_iter().map(send)).await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    let figures = server.state.figures();
    assert_eq!((figures.pushes, figures.changes), (101, 20_100));
    assert!(figures.commits < figures.pushes, "{figures:?}");
}

#[tokio::test]
async fn one_bad_push_does_not_stop_the_others_of_its_group() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let gone = DocumentId::random();
    send(reqwest::Client::new().delete(server.url(gone, ""))).await;
    let body = Writer::new(1).many(5);
    let pushes = (0..20).map(|i| {
        let to = if i % 2 == 0 { document } else { gone };
        send(post(changes_url(&server, to), body.clone()))
    });
    let answers = futures_util::future::join_all(pushes).await;
    for (i, answer) in answers.iter().enumerate() {
        assert_eq!(answer.status, if i % 2 == 0 { 200 } else { 410 });
    }
}

#[tokio::test]
async fn a_push_that_is_stored_is_never_answered_406() {
    let server = Running::start().await;
    let url = changes_url(&server, DocumentId::random());
    for encodings in ["identity;q=0", "br, *;q=0"] {
        let body = Writer::new(1).many(3);
        let answer = send(post(url.clone(), body).header("accept-encoding", encodings)).await;
        assert_eq!(answer.status, 200, "{encodings}");
        let answer =
            send(get(format!("http://{}/v1/nothing", server.address)).header("accept-encoding", encodings));
        assert_eq!(answer.await.code(), (404, "not-found".to_owned()), "{encodings}");
    }
}

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

#[tokio::test]
async fn a_large_push_is_stored_as_a_whole_beside_others_or_not_at_all() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let url = server.url(document, "/changes");
    let mut carol = Writer::new(3);
    send(post(url.clone(), carol.many(1))).await;
    let body = Writer::new(1).many(12_000);
    // Cut in its last piece: the head of it could be framed, and nothing of it is stored.
    let cut = send(post(url.clone(), body[..body.len() - 1].to_vec())).await;
    assert_eq!(cut.code(), (422, "malformed".to_owned()));
    let large = tokio::spawn(send(post(url.clone(), body.clone()).header("accept", CHANGES)));
    let mut theirs = 1;
    while !large.is_finished() {
        assert_eq!(send(post(url.clone(), carol.many(1))).await.status, 200);
        theirs += 1;
    }
    let answer = large.await.unwrap();
    assert_eq!(answer.header("rejoin-accepted"), Some("12000"));
    let mut log = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = send(get(format!("{url}?after={cursor}"))).await;
        log.extend(hashes(&page.body));
        page.header("rejoin-cursor").unwrap().clone_into(&mut cursor);
        if page.header("rejoin-more").is_none() {
            break;
        }
    }
    println!("{theirs} pushes were answered meanwhile");
    assert_eq!(log.len(), 12_000 + theirs);
    let mine = hashes(&body);
    let at = log.iter().position(|hash| *hash == mine[0]).unwrap();
    assert_eq!(log[at..at + mine.len()], mine, "one push, one stretch of the log");
}
