//! What is no acknowledgement, and what is refused.

use super::*;

fn portal() -> Vec<u8> {
    reply("200 OK", &[("content-type", "text/html; charset=utf-8")], b"<html>please log in</html>")
}

/// One sync against a server that always says this; it must fail as unreachable, and keep the queue.
async fn never_an_acknowledgement(say: impl Fn() -> Vec<u8> + Send + Sync + 'static) {
    let server = Server::start(move |_| Say::Bytes(say())).await;
    let (_dir, store, _) = store_with(3).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))), "{:?}", report.worst());
    assert_eq!((report.queued, report.pushed, waiting(&store).await), (3, 0, 3));
}

#[tokio::test]
async fn a_captive_portal_is_never_an_acknowledgement() {
    never_an_acknowledgement(portal).await;
}

#[tokio::test]
async fn a_wrong_media_type_is_never_an_acknowledgement() {
    never_an_acknowledgement(|| {
        let headers = [
            ("rejoin-cursor", "9.aa"),
            ("rejoin-end", "9.aa"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        reply("200 OK", &headers, b"")
    })
    .await;
}

#[tokio::test]
async fn a_malformed_cursor_is_never_an_acknowledgement() {
    never_an_acknowledgement(|| {
        let headers = [
            ("content-type", "application/vnd.automerge"),
            ("rejoin-cursor", "9 aa/../"),
            ("rejoin-end", "9 aa/../"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        reply("200 OK", &headers, b"")
    })
    .await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let server = Server::start(|_| Say::Bytes(reply("302 Found", &[("location", "/login")], b""))).await;
    let (_dir, store, _) = store_with(1).await;
    let report = store.sync(to(&server.url)).await.unwrap();
    assert!(matches!(report.worst(), Some(Error::Unreachable(_))));
    assert!(server.heard().iter().all(|h| h.line.contains("/changes")));
    assert_eq!(waiting(&store).await, 1);
}

/// A reply whose body ends before its length, at every byte of it, or that does not tell its length.
#[tokio::test]
async fn a_short_body_is_never_an_acknowledgement() {
    let whole = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&whole);
    let server = Server::start(move |heard| {
        *seen.lock().unwrap() = heard.plain();
        Say::Bytes(accepted(heard))
    })
    .await;
    let (_dir, store, _) = store_with(3).await;
    drop(store.sync(to(&server.url)).await.unwrap());
    let changes = whole.lock().unwrap().clone();
    let first = fence::frame(&changes).unwrap()[0].bytes.len();
    // Without a length, and cut between two changes: nothing but the missing length tells.
    let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-type: application/vnd.automerge\r\n\
                rejoin-cursor: 3.aa\r\nrejoin-end: 3.aa\r\n";
    for cut in [1, first, changes.len() - 1] {
        for length in [Some(changes.len()), None] {
            let length = length.map_or(String::new(), |l| format!("content-length: {l}\r\n"));
            let bytes = [head.as_bytes(), length.as_bytes(), b"\r\n", &changes[..cut]].concat();
            let cutting = Server::start(move |_| Say::Close(bytes.clone())).await;
            let transport = HttpTransport::new(&cutting.url, None).unwrap();
            let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
            let result = transport.send(&pull).await;
            assert!(
                matches!(result, Err(TransportError::Broken(_) | TransportError::NotASyncServer(_))),
                "{result:?}"
            );
        }
    }
}

#[tokio::test]
async fn bombs_in_replies_are_refused_at_the_cap() {
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let piece = vec![0; 1 << 20];
    for _ in 0..=REPLY_BYTES >> 20 {
        gzip.write_all(&piece).unwrap();
    }
    let gzip = gzip.finish().unwrap();
    let zeros = std::io::repeat(0);
    let zstd = zstd::encode_all(std::io::Read::take(zeros, REPLY_BYTES as u64 + 1), 1).unwrap();
    for (name, bomb) in [("gzip", gzip), ("zstd", zstd)] {
        assert!(bomb.len() < 1 << 20);
        let headers = [("content-type", "application/vnd.automerge"), ("content-encoding", name)];
        let bytes = reply("200 OK", &headers, &bomb);
        let server = Server::start(move |_| Say::Bytes(bytes.clone())).await;
        let transport = HttpTransport::new(&server.url, None).unwrap();
        let pull = Request::Pull { document: DocumentId::random(), after: None, limit: None };
        assert_eq!(transport.send(&pull).await, Err(TransportError::TooLarge(REPLY_BYTES)), "{name}");
    }
}

#[tokio::test]
async fn a_reply_that_is_no_whole_pack_is_no_acknowledgement() {
    let server = Server::start(|_| {
        let headers = [
            ("content-type", "application/vnd.rejoin.pack"),
            ("rejoin-cursor", "9.aa"),
            ("rejoin-end", "9.aa"),
            ("rejoin-accepted", "3"),
            ("rejoin-duplicate", "0"),
        ];
        Say::Bytes(reply("200 OK", &headers, b"RJPK\x01 and then nothing"))
    })
    .await;
    let (_dir, store, _) = store_with(3).await;
    let report = store.sync(to(&server.url).timeout(Duration::from_secs(2))).await.unwrap();
    assert!(report.worst().is_some());
    assert_eq!((report.queued, waiting(&store).await), (3, 3));
}
