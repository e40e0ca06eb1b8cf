//! What the tests of the server share: changes to push, and servers to push them to.
#![allow(dead_code, unreachable_pub, unused_imports, reason = "each test file uses its part")]

mod bearers;
mod guarded;
pub mod house;
mod process;
mod running;

pub use bearers::{JWT_SECRET, jwt, jwt_for, take_jwts, token};
pub use guarded::{Guarded, chain, noise, status};
pub use process::{BINARY, Process};
pub use running::{Answer, Running, get, post, send};

use automerge::{ActorId, AutoCommit, Change, ROOT, transaction::Transactable};
use rejoin::{
    ChangeHash, Cursor, DocumentId,
    wire::{Request, Response},
};

/// A client in the simplest form: one Automerge document.
pub struct Writer(pub AutoCommit, i64);

impl Writer {
    pub fn new(actor: u8) -> Self {
        Self(AutoCommit::new().with_actor(ActorId::from([actor; 16])), 0)
    }

    /// Another that has the same changes.
    pub fn fork(&mut self, actor: u8) -> Self {
        Self(self.0.fork().with_actor(ActorId::from([actor; 16])), self.1)
    }

    /// One change: its bytes.
    pub fn set(&mut self, key: &str, value: i64) -> Vec<u8> {
        self.set_with(key, value, None)
    }

    pub fn set_with(&mut self, key: &str, value: i64, message: Option<&str>) -> Vec<u8> {
        self.0.put(ROOT, key, value).unwrap();
        let mut options = automerge::transaction::CommitOptions::default().with_time(0);
        if let Some(message) = message {
            options = options.with_message(message);
        }
        self.0.commit_with(options);
        self.last().raw_bytes().to_vec()
    }

    pub fn last(&mut self) -> Change {
        self.0.get_last_local_change().unwrap()
    }

    pub fn hash(&mut self) -> ChangeHash {
        self.last().hash()
    }

    /// `n` changes, one after another.
    pub fn many(&mut self, n: i64) -> Vec<u8> {
        // Each value is a new one: setting what is there already makes no change.
        let first = self.1;
        self.1 += n;
        (first..self.1).flat_map(|i| self.set(&format!("k{}", i % 50), i)).collect()
    }
}

/// The changes of a writer that starts from these.
pub fn writer_on(actor: u8, body: &[u8]) -> Writer {
    let mut writer = Writer::new(actor);
    writer.0.apply_changes(changes(body)).unwrap();
    writer
}

pub fn push(document: DocumentId, after: Option<&Cursor>, body: &[u8]) -> Request {
    Request::Push { document, after: after.cloned(), limit: None, body: body.to_vec().into() }
}

pub fn pull(document: DocumentId, after: Option<&Cursor>) -> Request {
    Request::Pull { document, after: after.cloned(), limit: None }
}

pub fn json<T: serde::de::DeserializeOwned>(response: &Response) -> T {
    serde_json::from_slice(&response.body)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&response.body)))
}

/// The changes of a body, as Automerge reads them.
pub fn changes(body: &[u8]) -> Vec<Change> {
    rejoin::fence::frame(body).unwrap().iter().map(|frame| Change::try_from(frame.bytes).unwrap()).collect()
}

pub fn hashes(body: &[u8]) -> Vec<ChangeHash> {
    changes(body).iter().map(Change::hash).collect()
}

/// A change written again, as after a fork that it lost.
pub fn written_again(bytes: &[u8]) -> Vec<u8> {
    let lost = automerge::Change::try_from(bytes).unwrap();
    rejoin::rewrite::rewrite(std::slice::from_ref(&lost), &[lost.hash()].into()).unwrap().remove(0).bytes
}
