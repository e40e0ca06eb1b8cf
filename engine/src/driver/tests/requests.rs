//! What the driver sends: addresses, tokens, packs, connections.

use super::*;

#[tokio::test]
async fn a_thousand_edits_are_one_small_request() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, id) = store_with(1_000).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert_eq!((report.pushed, report.queued), (1_000, 0));
    assert_eq!(report.documents[0].state, SyncState::InStep);
    let heard = server.heard();
    assert_eq!(heard.len(), 1);
    assert_eq!(heard[0].line, format!("POST /v1/documents/{id}/changes HTTP/1.1"));
    assert!(heard[0].head.contains("accept: application/vnd.automerge, application/vnd.rejoin.pack"));
    assert!(heard[0].head.contains("content-type: application/vnd.rejoin.pack"));
    assert!(heard[0].body.len() < heard[0].plain().len() / 10);
}

#[tokio::test]
async fn a_base_with_a_path_and_a_token_are_used() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, id) = store_with(1).await;
    let base = format!("{}/team/sync/", server.url);
    let options = to(&base).token(&base, Token::new("Secret-1").unwrap());
    assert!(store.sync(options).await.unwrap().worst().is_none());
    let heard = server.heard();
    assert_eq!(heard[0].line, format!("POST /team/sync/v1/documents/{id}/changes HTTP/1.1"));
    assert!(heard[0].head.contains("authorization: Bearer Secret-1\n"));
}

#[tokio::test]
async fn a_token_is_sent_to_no_other_server() {
    let server = Server::start(|heard| Say::Bytes(accepted(heard))).await;
    let (_dir, store, _) = store_with(1).await;
    let options = to(&server.url).token("http://elsewhere.example", Token::new("Secret-1").unwrap());
    drop(store.sync(options).await.unwrap());
    assert!(!server.heard()[0].head.contains("authorization"));
}

#[tokio::test]
async fn a_server_that_takes_no_compression_gets_plain_bodies() {
    let server = Server::start(|heard| {
        Say::Bytes(match heard.head.contains("content-encoding") || packed(heard) {
            true => reply("415 Unsupported Media Type", &[], b""),
            false => accepted(heard),
        })
    })
    .await;
    let (_dir, store, _) = store_with(100).await;
    assert_eq!(store.sync(to(&server.url)).await.unwrap().pushed, 100);
    assert_eq!(server.heard().len(), 3, "a pack, zstd, plain");
}

fn packed(heard: &Heard) -> bool {
    heard.head.contains("content-type: application/vnd.rejoin.pack")
}

#[tokio::test]
async fn a_server_that_knows_no_packs_is_sent_changes_whatever_it_says_to_them() {
    for refusal in ["400 Bad Request", "415 Unsupported Media Type", "422 Unprocessable", "500 Oops"] {
        let server = Server::start(move |heard| {
            Say::Bytes(if packed(heard) { reply(refusal, &[], b"") } else { accepted(heard) })
        })
        .await;
        let (_dir, store, _) = store_with(100).await;
        assert_eq!(store.sync(to(&server.url)).await.unwrap().pushed, 100, "{refusal}");
        let heard = server.heard();
        assert_eq!(heard.len(), 2);
        assert!(heard[1].head.contains("content-encoding: zstd"));
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_opened_again_at_once() {
    let server = Server::start(|_| Say::Close(reply("404 Not Found", &[], b""))).await;
    let transport = HttpTransport::new(&server.url, None).unwrap();
    let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
    for _ in 0..5 {
        let response: Response = transport.send(&pull).await.unwrap();
        assert_eq!(response.status, 404);
    }
}

#[tokio::test]
async fn without_a_server_each_document_says_so() {
    let (_dir, store, _) = store_with(1).await;
    let report = store.sync(SyncOptions::default()).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::NoServer)));
}
