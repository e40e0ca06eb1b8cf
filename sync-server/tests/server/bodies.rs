//! Bodies on their way in and out: compressed, too large, cut, too slow.

use std::{io::Write, time::Duration};

use crate::support::{Running, Writer, get, post, send};
use rejoin::{
    DocumentId,
    wire::{CHANGES, PushReply},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

fn changes_url(server: &Running, document: DocumentId) -> String {
    server.url(document, "/changes")
}

#[tokio::test]
async fn bodies_are_compressed_both_ways() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let body = Writer::new(1).many(100);
    let zstd = zstd::encode_all(body.as_slice(), 3).unwrap();
    let url = changes_url(&server, document);
    let reply: PushReply = send(post(url.clone(), zstd).header("content-encoding", "zstd")).await.json();
    assert_eq!(reply.accepted, 100);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    gzip.write_all(&body).unwrap();
    let gzip = gzip.finish().unwrap();
    let reply: PushReply = send(post(url.clone(), gzip).header("content-encoding", "gzip")).await.json();
    assert_eq!(reply.duplicate, 100);
    let raw = reqwest::Client::builder().no_gzip().no_zstd().build().unwrap();
    for encoding in ["zstd", "gzip"] {
        let answer = send(raw.get(url.clone()).header("accept-encoding", encoding)).await;
        assert_eq!(answer.header("content-encoding"), Some(encoding));
        assert!(answer.body.len() < body.len());
    }
    assert_eq!(send(raw.get(url.clone())).await.body, body);
    for (encoding, body) in [("br", body.clone()), ("zstd, gzip", body.clone())] {
        let answer = send(post(url.clone(), body).header("content-encoding", encoding)).await;
        assert_eq!(answer.code(), (415, "malformed".to_owned()));
    }
    let not_zstd = send(post(url, body).header("content-encoding", "zstd")).await;
    assert_eq!(not_zstd.code(), (422, "malformed".to_owned()));
}

#[tokio::test]
async fn who_asks_whether_to_send_too_much_is_told_not_to() {
    let server = Running::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let head = head_of_push(DocumentId::random(), 1 << 40).replace("Host:", "Expect: 100-continue\r\nHost:");
    stream.write_all(head.as_bytes()).await.unwrap();
    let said = rest_of(stream).await;
    assert!(said.starts_with("HTTP/1.1 413"), "{said}");
}

#[tokio::test]
async fn a_body_over_a_limit_is_413_plain_and_inflated() {
    let server = Running::start_with(|config| {
        config.limits.body_bytes = 10_000;
        config.limits.inflated_body_bytes = 20_000;
    })
    .await;
    let url = changes_url(&server, DocumentId::random());
    let too_large = (413, "too-large".to_owned());
    assert_eq!(send(post(url.clone(), vec![0; 10_001])).await.code(), too_large);
    for encoding in ["zstd", "gzip"] {
        let bomb = match encoding {
            "zstd" => zstd::encode_all([0; 1 << 20].as_slice(), 3).unwrap(),
            _ => {
                let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                gzip.write_all(&[0; 1 << 20]).unwrap();
                gzip.finish().unwrap()
            }
        };
        assert!(bomb.len() < 10_000);
        let answer = send(post(url.clone(), bomb).header("content-encoding", encoding)).await;
        assert_eq!(answer.code(), too_large, "{encoding}");
    }
}

/// Everything that the server still says on this connection until it closes it.
async fn rest_of(mut stream: TcpStream) -> String {
    let mut rest = Vec::new();
    let read = tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await;
    assert!(read.is_ok(), "the connection is not freed");
    String::from_utf8_lossy(&rest).into_owned()
}

fn head_of_push(document: DocumentId, length: usize) -> String {
    format!(
        "POST /v1/documents/{document}/changes HTTP/1.1\r\nHost: localhost\r\n\
         Content-Type: {CHANGES}\r\nContent-Length: {length}\r\n\r\n"
    )
}

#[tokio::test]
async fn an_upload_cut_anywhere_stores_nothing() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let body = Writer::new(1).many(3);
    let whole = [head_of_push(document, body.len()).into_bytes(), body.clone()].concat();
    for cut in (0..whole.len()).step_by(3).chain([whole.len() - 1]) {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(&whole[..cut]).await.unwrap();
        stream.shutdown().await.unwrap();
        let said = rest_of(stream).await;
        assert!(!said.starts_with("HTTP/1.1 200"), "cut at {cut}: {said}");
    }
    assert_eq!(send(get(changes_url(&server, document))).await.status, 404);
    assert_eq!(send(post(changes_url(&server, document), body)).await.status, 200);
}

#[tokio::test]
async fn a_body_that_trickles_is_cut() {
    let server = Running::start_with(|config| config.body_timeout = Duration::from_millis(300)).await;
    let document = DocumentId::random();
    let body = Writer::new(1).many(3);
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(head_of_push(document, body.len()).as_bytes()).await.unwrap();
    let (reader, mut writer) = stream.into_split();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_millis(50));
        for byte in body {
            tick.tick().await;
            if writer.write_all(&[byte]).await.is_err() {
                break;
            }
        }
    });
    let mut said = Vec::new();
    let mut reader = reader;
    let read = tokio::time::timeout(Duration::from_secs(20), reader.read_to_end(&mut said)).await;
    trickle.abort();
    assert!(read.is_ok(), "the connection is not freed");
    assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
    assert_eq!(send(get(changes_url(&server, document))).await.status, 404);
}

#[tokio::test]
async fn a_head_that_trickles_is_cut() {
    let server = Running::start_with(|config| config.header_timeout = Duration::from_millis(200)).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHo").await.unwrap();
    rest_of(stream).await;
}

#[tokio::test]
async fn a_reply_that_nobody_reads_is_given_up() {
    let server = Running::start_with(|config| config.body_timeout = Duration::from_millis(300)).await;
    let document = DocumentId::random();
    send(post(changes_url(&server, document), Writer::new(1).many(10_000))).await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    let request = format!("GET /v1/documents/{document}/changes HTTP/1.1\r\nHost: localhost\r\n\r\n");
    // So many replies do not fit in what the system buffers.
    stream.write_all(request.repeat(40).as_bytes()).await.unwrap();
    // Reading nothing, writing is all that shows the end of it.
    let cut = tokio::time::timeout(Duration::from_secs(20), async {
        while stream.write_all(b"\r\n").await.is_ok() {
            tokio::task::yield_now().await;
        }
    });
    assert!(cut.await.is_ok(), "the connection is not freed");
}

#[tokio::test]
async fn a_push_that_finds_no_memory_is_told_to_come_later() {
    let server = Running::start_with(|config| config.body_memory = 64 * 1024).await;
    let url = changes_url(&server, DocumentId::random());
    let answer = send(post(url.clone(), vec![0; 200_000])).await;
    assert_eq!(answer.code(), (503, "unavailable".to_owned()));
    assert_eq!(send(post(url, Writer::new(1).many(10))).await.status, 200, "what was held was given back");
}
