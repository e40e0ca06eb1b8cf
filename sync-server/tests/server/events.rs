//! The stream of events, over real sockets.

use std::time::Duration;

use crate::support::{Process, Running, Writer, get, post, send};
use base64::{Engine, engine::general_purpose::STANDARD};
use rejoin::{
    DocumentId,
    wire::{CHANGES, ChangesEvent, LimitsReply},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// A reader of a stream.
struct Reader {
    response: reqwest::Response,
    text: String,
}

impl Reader {
    /// Opens a stream, and waits until it speaks.
    async fn open(root: &str, query: &str) -> Self {
        let response = get(format!("{root}/v1/events{query}")).send().await.unwrap();
        assert_eq!(
            (response.status().as_u16(), &response.headers()["content-type"]),
            (200, &"text/event-stream".parse().unwrap())
        );
        let mut reader = Self { response, text: String::new() };
        reader.piece().await.expect("a greeting");
        reader.text.clear();
        reader
    }

    async fn piece(&mut self) -> Option<()> {
        let piece = self.response.chunk().await.ok()??;
        self.text.push_str(std::str::from_utf8(&piece).unwrap());
        Some(())
    }

    /// The next event; `None` at the end.
    async fn event(&mut self) -> Option<ChangesEvent> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let data = event
                    .strip_prefix("event: changes\ndata: ")
                    .map(|data| serde_json::from_str(data).unwrap());
                self.text = rest.to_owned();
                match data {
                    Some(event) => return Some(event),
                    None => continue,
                }
            }
            self.piece().await?;
        }
    }
}

fn root(server: &Running) -> String {
    format!("http://{}", server.address)
}

async fn push(server: &Running, document: DocumentId, body: Vec<u8>) {
    assert_eq!(send(post(server.url(document, "/changes"), body)).await.status, 200);
}

#[tokio::test]
async fn an_event_says_from_where_to_where_and_brings_what_lies_between() {
    let server = Running::start().await;
    let (document, other) = (DocumentId::random(), DocumentId::random());
    let mut reader = Reader::open(&root(&server), &format!("?document={document}&document={other}")).await;
    let mut ada = Writer::new(1);
    push(&server, DocumentId::random(), Writer::new(3).many(1)).await;
    let first = ada.many(2);
    push(&server, document, first.clone()).await;
    let event = reader.event().await.unwrap();
    assert_eq!((event.document, event.after), (document.to_string(), None));
    assert_eq!(STANDARD.decode(event.changes.unwrap()).unwrap(), first);
    assert_eq!(event.heads, [ada.hash().to_string()]);
    // What was there already says nothing; what was added begins where the last event ended.
    push(&server, document, first).await;
    let second = ada.many(1);
    push(&server, document, second.clone()).await;
    let next = reader.event().await.unwrap();
    assert_eq!(next.after, event.cursor);
    let page = send(get(format!("{}?after={}", server.url(document, "/changes"), next.after.unwrap()))).await;
    assert_eq!((page.body.clone(), page.header("rejoin-cursor")), (second, next.cursor.as_deref()));
    assert_eq!(STANDARD.decode(next.changes.unwrap()).unwrap(), page.body);
    assert_eq!(send(reqwest::Client::new().delete(server.url(document, ""))).await.status, 204);
    let deleted = reader.event().await.unwrap();
    assert!(deleted.deleted && deleted.cursor.is_none() && deleted.document == document.to_string());
}

#[tokio::test]
async fn large_changes_are_told_of_and_not_sent() {
    let server = Running::start().await;
    let document = DocumentId::random();
    let mut reader = Reader::open(&root(&server), "").await;
    push(&server, document, Writer::new(1).many(1_000)).await;
    let event = reader.event().await.unwrap();
    assert!(event.changes.is_none() && event.cursor.unwrap().starts_with("1000."));
}

#[tokio::test]
async fn a_stream_says_something_where_nothing_happens() {
    let server = Running::start_with(|config| config.heartbeat = Duration::from_millis(20)).await;
    let mut reader = Reader::open(&root(&server), "").await;
    for _ in 0..3 {
        reader.text.clear();
        reader.piece().await.unwrap();
        assert!(reader.text.starts_with(':'), "{}", reader.text);
    }
    // A heartbeat that nobody ever saw would be none: the default keeps what was promised.
    assert!(rejoin_server::ServerConfig::new("x").heartbeat <= Duration::from_secs(15));
}

#[tokio::test]
async fn more_streams_than_the_limit_are_told_to_come_later() {
    let server = Running::start_with(|config| config.streams = 1).await;
    let limits: LimitsReply = send(get(format!("{}/v1/limits", root(&server)))).await.json();
    assert_eq!(limits.streams, 1);
    let reader = Reader::open(&root(&server), "").await;
    let refused = send(get(format!("{}/v1/events", root(&server)))).await;
    assert_eq!(refused.code(), (503, "unavailable".to_owned()));
    assert!(refused.header("retry-after").is_some());
    drop(reader);
    // Whoever leaves makes room, as soon as the server sees it.
    while server.state.figures().streams > 0 {
        tokio::task::yield_now().await;
    }
    drop(Reader::open(&root(&server), "").await);
    assert_eq!(send(get(format!("{}/v1/events?document=x", root(&server)))).await.status, 404);
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut_and_holds_nobody_back() {
    let server = Running::start_with(|config| config.body_timeout = Duration::from_millis(200)).await;
    let document = DocumentId::random();
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let head = format!("GET /v1/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.address);
    slow.write_all(head.as_bytes()).await.unwrap();
    slow.read_u8().await.unwrap();
    let mut quick = Reader::open(&root(&server), "").await;
    assert_eq!(server.state.figures().streams, 2);
    let mut ada = Writer::new(1);
    let mut pushed = 0;
    while server.state.figures().streams == 2 {
        push(&server, document, ada.many(100)).await;
        pushed += 1;
        assert!(pushed < 5_000, "the slow reader was never cut");
        quick.event().await.unwrap();
    }
    push(&server, document, ada.many(1)).await;
    assert!(quick.event().await.unwrap().cursor.unwrap().starts_with(&format!("{}.", pushed * 100 + 1)));
    // It is not left open for ever either: its connection ends.
    let mut rest = Vec::new();
    let _ = slow.read_to_end(&mut rest).await;
}

#[test]
fn a_signal_ends_open_streams_and_the_process_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let process = Process::start(directory.path(), &[]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut readers = Vec::new();
        for _ in 0..20 {
            readers.push(Reader::open(&process.root, "").await);
        }
        let document = DocumentId::random();
        let request = post(process.changes(document), Writer::new(1).many(1)).header("accept", CHANGES);
        assert_eq!(send(request).await.status, 200);
        for reader in &mut readers {
            assert!(reader.event().await.is_some());
        }
        process.signal("-TERM");
        for reader in &mut readers {
            assert!(reader.event().await.is_none());
        }
    });
    let (code, _, took) = process.end();
    assert_eq!(code, Some(0));
    // Not at the end of the drain time, which would be a cut.
    assert!(took < Duration::from_secs(7), "{took:?}");
}
