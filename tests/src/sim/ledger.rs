//! Every log that the server ever had. A cursor names a position and, by its running digest, everything before
//! it: so a prefix is known by its cursor, also after the server forgot it.

use std::collections::{HashMap, HashSet};

use rejoin::{
    ChangeHash, Cursor, DocumentId, Message,
    fence::{self, Limits},
    wire::{Request, Response},
};
use rejoin_server::{LogStore, ServerLimits, respond};

use super::invariant::{Checked, Invariant, Violation};

#[derive(Debug)]
struct Node {
    before: Option<Cursor>,
    hash: ChangeHash,
}

/// One document's log as it is now.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) entries: Vec<ChangeHash>,
    pub(super) end: Option<Cursor>,
}

#[derive(Debug, Default)]
pub(super) struct Ledger {
    nodes: HashMap<(DocumentId, Cursor), Node>,
    logs: HashMap<DocumentId, Log>,
    /// The plain bytes of everything that was ever in a log.
    pub(super) bytes: HashMap<ChangeHash, Vec<u8>>,
    /// Changes that name others without being those.
    pub(super) lies: HashSet<ChangeHash>,
    /// What a change was before it was written again.
    pub(super) was: HashMap<ChangeHash, ChangeHash>,
}

impl Ledger {
    pub(super) fn log(&self, document: DocumentId) -> &Log {
        static EMPTY: Log = Log { entries: Vec::new(), end: None };
        self.logs.get(&document).unwrap_or(&EMPTY)
    }

    /// The server was put back: what it has now is read from its beginning.
    pub(super) fn forget(&mut self) {
        self.logs.clear();
    }

    /// Reads what the log gained since.
    pub(super) fn follow(&mut self, server: &mut LogStore, document: DocumentId, now: i64) -> Checked {
        let broken = |detail: String| Violation { invariant: Invariant::Acknowledged, detail, at: now };
        loop {
            let after = self.log(document).end.clone();
            let request = Request::Pull { document, after: after.clone(), limit: Some(1) };
            let reply = respond(server, &ServerLimits::default(), &request, now);
            match reply.status {
                200 => {}
                404 if after.is_none() => return Ok(()),
                status => {
                    return Err(broken(format!(
                        "the log does not know its own end {after:?}: status {status}"
                    )));
                }
            }
            let Response { cursor: Some(cursor), body, .. } = reply else {
                return Ok(());
            };
            if Some(&cursor) == after.as_ref() {
                return Ok(());
            }
            let hash =
                self.learn(&body).ok_or_else(|| broken("the log holds what cannot be read".to_owned()))?;
            self.nodes.insert((document, cursor.clone()), Node { before: after, hash });
            let log = self.logs.entry(document).or_default();
            log.entries.push(hash);
            log.end = Some(cursor);
        }
    }

    fn learn(&mut self, body: &[u8]) -> Option<ChangeHash> {
        let frames = fence::frame(body).ok()?;
        let [frame] = frames.as_slice() else { return None };
        let change = fence::check(frame, &Limits::default()).ok()?;
        let lies = self.lies.contains(&change.hash);
        if let Some(was) = Message::decode(change.message.as_deref()).was().filter(|_| !lies) {
            self.was.insert(change.hash, was);
        }
        self.bytes.entry(change.hash).or_insert(change.bytes);
        Some(change.hash)
    }

    /// What stood in the log up to this cursor, newest first; `None` for a cursor that no server ever gave out.
    pub(super) fn prefix(&self, document: DocumentId, cursor: &Cursor) -> Option<Vec<ChangeHash>> {
        let mut found = Vec::new();
        let mut at = Some(cursor.clone());
        while let Some(cursor) = at.take() {
            let node = self.nodes.get(&(document, cursor))?;
            found.push(node.hash);
            at.clone_from(&node.before);
        }
        Some(found)
    }

    /// The change that this one was first made as.
    pub(super) fn root(&self, mut hash: ChangeHash) -> ChangeHash {
        for _ in 0..64 {
            match self.was.get(&hash) {
                Some(was) => hash = *was,
                None => break,
            }
        }
        hash
    }

    /// Everything that the logs hold now, as first made.
    pub(super) fn held(&self) -> HashSet<ChangeHash> {
        self.logs.values().flat_map(|log| log.entries.iter().map(|hash| self.root(*hash))).collect()
    }
}
