//! A server with tokens, in a process of its own, and those who use it beside an attack.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rejoin::DocumentId;
use rejoin_server::Access;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{Process, Writer, post, send, token};

/// A server with tokens, in a process of its own.
pub struct Guarded {
    pub server: Process,
    pub reader: String,
    pub writer: String,
    pub admin: String,
    pub directory: tempfile::TempDir,
}

impl Guarded {
    pub fn start(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let make = |path: &Path, name: &str, access| token(&path.join("log.db"), name, None, access);
        let [reader, writer, admin] =
            [("eve", Access::Read), ("ada", Access::Write), ("root", Access::Admin)]
                .map(|(name, access)| make(directory.path(), name, access));
        let server = Process::start(directory.path(), arguments);
        Self { server, reader, writer, admin, directory }
    }

    pub fn url(&self, document: DocumentId, rest: &str) -> String {
        format!("{}/v1/documents/{document}{rest}", self.server.root)
    }

    pub fn address(&self) -> &str {
        self.server.root.strip_prefix("http://").unwrap()
    }

    pub async fn push(&self, document: DocumentId, body: Vec<u8>) {
        let request = post(self.url(document, "/changes"), body).bearer_auth(&self.admin);
        assert_eq!(send(request).await.status, 200);
    }

    /// What others do, and how long the slowest of some rounds takes.
    pub async fn others(&self, document: DocumentId, writer: &mut Writer) -> Duration {
        let client = reqwest::Client::new();
        let mut slowest = Duration::ZERO;
        for _ in 0..5 {
            let push = client.post(self.url(document, "/changes")).body(writer.many(1));
            let pull = client.get(self.url(document, "/changes?limit=5"));
            let list = client.get(format!("{}/v1/documents", self.server.root));
            for request in [push, pull, list] {
                let start = Instant::now();
                let answer = send(request.bearer_auth(&self.writer)).await;
                slowest = slowest.max(start.elapsed());
                assert_eq!(answer.status, 200, "{answer:?}");
            }
        }
        slowest
    }

    /// A request that is sent and whose answer is not read.
    pub async fn ask(&self, line: &str, who: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        let head = format!("{line} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {who}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream
    }
}

/// The status of an answer of which no more is read.
pub async fn status(stream: &mut TcpStream) -> u16 {
    let mut line = [0; 12];
    stream.read_exact(&mut line).await.unwrap();
    std::str::from_utf8(&line[9..]).unwrap().parse().unwrap()
}

/// A log of about so many megabytes, of what does not compress.
pub fn noise(megabytes: i64) -> Vec<u8> {
    use automerge::{ROOT, ScalarValue, transaction::Transactable};
    let (mut ada, mut state) = (Writer::new(7), 1_u64);
    let mut noise = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 56) as u8
    };
    let mut log = Vec::new();
    for number in 0..megabytes {
        let bytes: Vec<u8> = (0..950_000).map(|_| noise()).collect();
        ada.0.put(ROOT, format!("k{number}"), ScalarValue::Bytes(bytes)).unwrap();
        log.extend(ada.set("n", number));
    }
    log
}

/// A log in which each change is another actor's.
pub fn chain(actors: u32) -> Vec<u8> {
    use automerge::{
        ActorId, ROOT,
        transaction::{CommitOptions, Transactable},
    };
    let mut ada = Writer::new(1);
    let mut log = Vec::new();
    for number in 0..actors {
        let mut actor = [7; 16];
        actor[..4].copy_from_slice(&number.to_le_bytes());
        ada.0.set_actor(ActorId::from(actor));
        ada.0.put(ROOT, "n", i64::from(number)).unwrap();
        ada.0.commit_with(CommitOptions::default().with_time(0));
        log.extend_from_slice(ada.last().raw_bytes());
    }
    log
}
