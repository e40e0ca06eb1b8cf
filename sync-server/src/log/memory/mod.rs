//! A log in memory, for the tests of what every backend must do: it says the verbs in plain Rust, and knows no SQL.

mod edit;
mod rows;
mod tokens;

use std::{
    cell::{Ref, RefCell},
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    sync::{Arc, Mutex},
};

use automerge::ActorId;
use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{Last, Reach},
};

use super::{
    Access, Attempt, Digest, Document, Grant, Group, Holder, Listed, Log, LogError, Mark, NewTokenRow,
    Opener, PackCache, Quarantined, Read, StoredSnapshot, TokenChange, TokenId, TokenInfo, TokenKey,
    TokenRow,
    backend::{EditRows, EditTokens, Rows, TokenRows},
    documents::{Counts, Which},
    found::{Known, NewFindings},
    pack::{PackPart, PackRow, Packed, Packs},
    pushers::PushedRun,
    rows::{Head, Line, MovedHeads, NewRow},
};

type Place = (i64, u64);

/// What is stored.
#[derive(Debug, Clone, Default)]
struct State {
    /// The key of each is its place here, from 1.
    documents: Vec<Document>,
    feed: Vec<Digest>,
    changes: BTreeMap<Place, Change>,
    actors: BTreeMap<(i64, ActorId), Last>,
    heads: BTreeMap<Place, ChangeHash>,
    reaches: BTreeMap<Place, Reach>,
    packs: BTreeMap<Place, Packed>,
    rewritten: BTreeSet<(i64, ChangeHash, ChangeHash)>,
    runs: BTreeMap<Place, Option<String>>,
    known: BTreeMap<i64, Known>,
    snapshots: BTreeMap<i64, Vec<u8>>,
    tokens: Vec<([u8; 32], TokenRow)>,
    grants: BTreeMap<(i64, [u8; 16]), Access>,
    founders: BTreeSet<(String, [u8; 16])>,
}

#[derive(Debug, Clone)]
struct Change {
    hash: ChangeHash,
    digest: Digest,
    actor: ActorId,
    seq: u64,
    deps: Box<[u8]>,
    bytes: Vec<u8>,
    was: Option<ChangeHash>,
}

/// The log, or a reader of it.
#[derive(Debug, Clone, Default)]
pub(super) struct MemoryLog {
    committed: Arc<Mutex<State>>,
    packs: Arc<PackCache>,
}

/// A transaction, or a state that is read.
#[derive(Debug, Clone)]
pub(super) struct MemoryRows {
    log: MemoryLog,
    state: Rc<RefCell<State>>,
}

impl MemoryLog {
    fn rows(&self) -> MemoryRows {
        let state = self.committed.lock().unwrap().clone();
        MemoryRows { state: Rc::new(RefCell::new(state)), log: self.clone() }
    }
}

impl Read for MemoryLog {
    type View<'v> = MemoryRows;

    fn read<T, E: From<LogError>>(&self, work: impl FnOnce(&MemoryRows) -> Result<T, E>) -> Result<T, E> {
        work(&self.rows())
    }
}

impl Log for MemoryLog {
    type Reader = Self;
    type Group<'g> = MemoryRows;

    fn opener(&self) -> Opener<Self> {
        let log = self.clone();
        Opener::new(move || Ok(log.clone()))
    }

    fn begin(&mut self) -> Result<MemoryRows, LogError> {
        Ok(self.rows())
    }
}

impl Group for MemoryRows {
    type Edit<'e> = Self;

    fn edit(&self) -> Self {
        self.clone()
    }

    fn is_whole(&self) -> bool {
        true
    }

    fn commit(self) -> Result<(), LogError> {
        *self.log.committed.lock().unwrap() = self.state().clone();
        Ok(())
    }
}

impl State {
    fn changes(&self, document: i64, (after, upto): (u64, u64)) -> impl Iterator<Item = (u64, &Change)> {
        let span = (document, after + 1)..(document, upto.max(after) + 1);
        self.changes.range(span).map(|((_, position), change)| (*position, change))
    }

    fn is_listed(&self, document: &Document, listed: &Listed) -> bool {
        let id = document.uuid.as_bytes();
        match listed {
            Listed::All => true,
            Listed::Of(token, only) => {
                *only == Some(document.uuid) || self.grants.contains_key(&(token.0, *id))
            }
            Listed::Claimed(named, begun) => {
                let begun = begun.as_ref().is_some_and(|(subject, which)| {
                    self.founders.contains(&(subject.clone(), *id))
                        && which.as_ref().is_none_or(|which| which.contains(&document.uuid))
                });
                begun || named.contains(&document.uuid)
            }
        }
    }

    fn is_unowned(&self, document: &Document) -> bool {
        let id = document.uuid.as_bytes();
        !self.grants.keys().any(|(_, granted)| granted == id) && !self.founders.iter().any(|(_, of)| of == id)
    }

    fn verified(&self, document: i64) -> Option<u64> {
        self.known.get(&document).and_then(|known| known.verified)
    }
}

impl MemoryRows {
    fn state(&self) -> Ref<'_, State> {
        self.state.borrow()
    }
}
