//! A log in memory, for the tests of what every backend must do: it says the verbs in plain Rust, and knows no SQL.

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

impl Rows for MemoryRows {
    fn cache(&self) -> &PackCache {
        &self.log.packs
    }

    fn document(&self, id: &DocumentId) -> Result<Option<Document>, LogError> {
        Ok(self.state().documents.iter().find(|document| document.uuid == *id).cloned())
    }

    fn documents(&self, which: &Which, limit: usize) -> Result<Vec<Document>, LogError> {
        let state = self.state();
        let all = state.documents.iter();
        let mut found: Vec<Document> = match which {
            Which::After(key) => all.filter(|d| d.key > *key).cloned().collect(),
            Which::Unverified(key) => all
                .filter(|d| d.key > *key && !d.deleted)
                .filter(|d| state.verified(d.key).is_none_or(|upto| upto < d.end.position))
                .cloned()
                .collect(),
            Which::Unowned(key) => {
                all.filter(|d| d.key > *key && !d.deleted && state.is_unowned(d)).cloned().collect()
            }
            Which::Changed(entry, listed) => {
                all.filter(|d| d.entry > *entry && state.is_listed(d, listed)).cloned().collect()
            }
        };
        if matches!(which, Which::Changed(..)) {
            found.sort_by_key(|document| document.entry);
        }
        found.truncate(limit);
        Ok(found)
    }

    fn feed(&self, entry: Option<u64>) -> Result<Option<Mark>, LogError> {
        let state = self.state();
        let position = entry.unwrap_or(state.feed.len() as u64);
        let digest = position.checked_sub(1).and_then(|index| state.feed.get(index as usize));
        Ok(digest.map(|digest| Mark { position, digest: *digest }))
    }

    fn counts(&self) -> Result<Counts, LogError> {
        let state = self.state();
        let left_out = || state.known.values().map(|known| known.left_out.len() as u64);
        let quarantined = Quarantined {
            changes: left_out().sum(),
            documents: left_out().filter(|count| *count > 0).count() as u64,
        };
        Ok(Counts { documents: state.documents.len() as u64, quarantined })
    }

    /// Nobody else writes.
    fn version(&self) -> Result<i64, LogError> {
        Ok(0)
    }

    fn chunks(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(u64, &[u8]) -> bool,
    ) -> Result<(), LogError> {
        let state = self.state();
        let _ended =
            state.changes(document, span).try_for_each(|(at, change)| take(at, &change.bytes).then_some(()));
        Ok(())
    }

    fn lines(
        &self,
        document: i64,
        span: (u64, u64),
        mut take: impl FnMut(Line<'_>) -> bool,
    ) -> Result<(), LogError> {
        let state = self.state();
        for (position, change) in state.changes(document, span) {
            let line = Line {
                position,
                hash: change.hash,
                digest: change.digest,
                begins: (change.seq == 1).then(|| change.actor.to_bytes()),
                length: change.bytes.len() as u64,
            };
            if !take(line) {
                break;
            }
        }
        Ok(())
    }

    fn dependencies(&self, document: i64, span: (u64, u64)) -> Result<Vec<Box<[u8]>>, LogError> {
        Ok(self.state().changes(document, span).map(|(_, change)| change.deps.clone()).collect())
    }

    fn find(&self, document: i64, span: (u64, u64), hash: &ChangeHash) -> Result<Option<u64>, LogError> {
        let state = self.state();
        let found = state.changes(document, span).find(|(_, change)| change.hash == *hash);
        Ok(found.map(|(position, _)| position))
    }

    fn rewritten_as(&self, document: i64, was: &ChangeHash) -> Result<Option<ChangeHash>, LogError> {
        let state = self.state();
        let all = state.changes(document, (0, u64::MAX - 1));
        let row = all.into_iter().find(|(_, change)| change.was == Some(*was)).map(|(_, change)| change.hash);
        let packed = || state.rewritten.iter().find(|(of, before, _)| (*of, before) == (document, was));
        Ok(row.or_else(|| packed().map(|(_, _, hash)| *hash)))
    }

    fn is_rewritten(&self, document: i64, position: u64, hash: &ChangeHash) -> Result<bool, LogError> {
        let state = self.state();
        let row = state.changes.get(&(document, position)).is_some_and(|change| change.was.is_some());
        Ok(row || state.rewritten.iter().any(|(of, _, now)| (*of, now) == (document, hash)))
    }

    fn actor(&self, document: i64, actor: &ActorId) -> Result<Option<Last>, LogError> {
        Ok(self.state().actors.get(&(document, actor.clone())).copied())
    }

    fn count_actors(&self, document: i64) -> Result<(u64, u64), LogError> {
        let state = self.state();
        let all = || state.actors.keys().filter(|(of, _)| *of == document);
        let containers = all().filter(|(_, actor)| rejoin_protocol::container::is_container_actor(actor));
        Ok((all().count() as u64, containers.count() as u64))
    }

    fn head_rows(&self, document: i64) -> Result<Vec<Head>, LogError> {
        let state = self.state();
        let heads = state.heads.range((document, 0)..=(document, u64::MAX));
        Ok(heads.map(|((_, position), hash)| Head { position: *position, hash: *hash }).collect())
    }

    fn noted_reach(&self, document: i64, position: u64) -> Result<Option<Reach>, LogError> {
        Ok(self.state().reaches.get(&(document, position)).copied())
    }

    fn packs(&self, document: i64, which: Packs) -> Result<Vec<PackRow>, LogError> {
        let state = self.state();
        let from = if let Packs::EndingFrom(position) = which { position } else { 0 };
        let mut packs = state.packs.range((document, from)..=(document, u64::MAX)).map(|(_, pack)| pack.row);
        Ok(match which {
            Packs::All => packs.collect(),
            Packs::Newest => packs.next_back().into_iter().collect(),
            Packs::EndingFrom(_) => packs.next().into_iter().collect(),
        })
    }

    fn pack_part(&self, document: i64, last: u64, part: PackPart) -> Result<Option<Vec<u8>>, LogError> {
        let state = self.state();
        let part = |pack: &Packed| match part {
            PackPart::Outside => pack.outside.clone(),
            PackPart::Prefixes => pack.prefixes.clone(),
            PackPart::Bytes => pack.bytes.clone(),
        };
        Ok(state.packs.get(&(document, last)).map(part))
    }

    fn runs(
        &self,
        document: i64,
        (after, upto): (u64, u64),
        most: usize,
    ) -> Result<Vec<PushedRun>, LogError> {
        let state = self.state();
        let mut next = upto + 1;
        let mut runs = Vec::new();
        for ((_, first), by) in state.runs.range((document, 0)..=(document, upto)).rev() {
            runs.insert(0, PushedRun { first: *first, last: next - 1, by: by.clone() });
            next = *first;
            if *first <= after + 1 {
                break;
            }
        }
        runs.truncate(most);
        Ok(runs)
    }

    fn known(&self, document: i64) -> Result<Known, LogError> {
        Ok(self.state().known.get(&document).cloned().unwrap_or_default())
    }

    fn snapshot(&self, document: i64) -> Result<Option<(u64, Vec<u8>)>, LogError> {
        let state = self.state();
        let position =
            state.known.get(&document).and_then(|known| known.snapshot).map(|stored| stored.position);
        Ok(position.zip(state.snapshots.get(&document).cloned()))
    }
}

impl EditRows for MemoryRows {
    fn attempt<T>(&self, work: impl FnOnce(&Self) -> Result<Attempt<T>, LogError>) -> Result<T, LogError> {
        let before = self.state().clone();
        let done = work(self);
        if !matches!(done, Ok(Attempt::Keep(_))) {
            *self.state.borrow_mut() = before;
        }
        done.map(|(Attempt::Keep(value) | Attempt::Undo(value))| value)
    }

    fn create(&self, id: &DocumentId, entry: u64, _: i64) -> Result<i64, LogError> {
        let documents = &mut self.state.borrow_mut().documents;
        let key = documents.len() as i64 + 1;
        let end = Mark::default();
        documents.push(Document { key, uuid: *id, end, rewritten: 0, bytes: 0, deleted: false, entry });
        Ok(key)
    }

    fn append(&self, document: i64, rows: &[NewRow<'_>]) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        for row in rows {
            let place = (document, row.position);
            let change = Change {
                hash: row.hash,
                digest: row.digest,
                actor: row.actor.clone(),
                seq: row.seq,
                deps: row.deps.into(),
                bytes: row.bytes.to_vec(),
                was: row.was,
            };
            state.changes.insert(place, change);
            let last = Last { seq: row.seq, position: row.position };
            state.actors.insert((document, row.actor.clone()), last);
            if let Some(reach) = row.reach {
                state.reaches.insert(place, reach);
            }
        }
        Ok(())
    }

    fn put(&self, document: &Document, heads: &MovedHeads, entry: Mark) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        for position in &heads.gone {
            state.heads.remove(&(document.key, *position));
        }
        for head in &heads.new {
            state.heads.insert((document.key, head.position), head.hash);
        }
        state.feed.push(entry.digest);
        let index = document.key as usize - 1;
        let deleted = state.documents[index].deleted;
        state.documents[index] = Document { entry: entry.position, deleted, ..document.clone() };
        Ok(())
    }

    fn bury(&self, document: i64, _: i64) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        state.documents[document as usize - 1].deleted = true;
        state.known.remove(&document);
        state.snapshots.remove(&document);
        Ok(())
    }

    fn begin_run(&self, document: i64, first: u64, by: Option<&str>) -> Result<(), LogError> {
        self.state.borrow_mut().runs.insert((document, first), by.map(str::to_owned));
        Ok(())
    }

    fn put_findings(&self, document: i64, new: &NewFindings<'_>, _: i64) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        let known = state.known.entry(document).or_default();
        known.verified = new.verified.or(known.verified);
        known.left_out.retain(|position, _| !new.released.contains(position));
        known.left_out.extend(new.left_out.iter().map(|(position, why)| (*position, (*why).clone())));
        Ok(())
    }

    fn put_snapshot(
        &self,
        document: i64,
        snapshot: StoredSnapshot,
        bytes: &[u8],
        _: i64,
    ) -> Result<(), LogError> {
        let mut state = self.state.borrow_mut();
        state.known.entry(document).or_default().snapshot = Some(snapshot);
        state.snapshots.insert(document, bytes.to_vec());
        Ok(())
    }

    fn put_pack(&self, packed: &Packed) -> Result<u64, LogError> {
        let mut state = self.state.borrow_mut();
        if let Some(replaced) = packed.replaced() {
            state.packs.remove(&(packed.document, replaced));
        }
        state.packs.insert((packed.document, packed.row.last), packed.clone());
        let gone: Vec<u64> = state
            .changes(packed.document, (packed.rows_after(), packed.row.last))
            .map(|(at, _)| at)
            .collect();
        for position in &gone {
            let change = state.changes.remove(&(packed.document, *position));
            if let Some(Change { hash, was: Some(was), .. }) = change {
                state.rewritten.insert((packed.document, was, hash));
            }
        }
        Ok(gone.len() as u64)
    }

    fn tidy(&self) -> Result<bool, LogError> {
        Ok(false)
    }
}

impl TokenRows for MemoryRows {
    fn token(&self, key: TokenKey<'_>) -> Result<Option<TokenRow>, LogError> {
        let state = self.state();
        let mut all = state.tokens.iter();
        let found = match key {
            TokenKey::Any => all.next(),
            TokenKey::Id(id) => all.find(|(_, token)| token.id == id),
            TokenKey::Hash(hash) => all.find(|(held, _)| held == hash),
            TokenKey::Name(name) => all.find(|(_, token)| token.name == name && !token.revoked),
        };
        Ok(found.map(|(_, token)| token.clone()))
    }

    fn tokens(&self, now: i64) -> Result<Vec<TokenInfo>, LogError> {
        let state = self.state();
        let shown = |token: &TokenRow| TokenInfo {
            name: token.name.clone(),
            document: token.document,
            access: token.access,
            grants: state.grants.keys().filter(|(of, _)| *of == token.id.0).count() as u64,
            created_at: String::new(),
            expires_at: token.expires_at.map(|at| at.to_string()),
            revoked_at: token.revoked.then(String::new),
            expired: token.expires_at.is_some_and(|at| at <= now),
        };
        Ok(state.tokens.iter().map(|(_, token)| shown(token)).collect())
    }

    fn granted(&self, to: Holder<'_>, id: &DocumentId) -> Result<Option<Access>, LogError> {
        let (state, id) = (self.state(), *id.as_bytes());
        Ok(match to {
            Holder::Token(token) => state.grants.get(&(token.0, id)).copied(),
            Holder::Subject(subject) => {
                state.founders.contains(&(subject.to_owned(), id)).then_some(Access::Admin)
            }
        })
    }
}

impl EditTokens for MemoryRows {
    fn put_token(&self, new: &NewTokenRow<'_>, _: i64) -> Result<TokenId, LogError> {
        let tokens = &mut self.state.borrow_mut().tokens;
        let id = TokenId(tokens.len() as i64 + 1);
        let (name, document, access) = (new.name.to_owned(), new.document, new.access);
        let row = TokenRow { id, name, document, access, expires_at: new.ends, revoked: false };
        tokens.push((*new.hash, row));
        Ok(id)
    }

    fn change_token(&self, id: TokenId, change: TokenChange) -> Result<(), LogError> {
        let (_, token) = &mut self.state.borrow_mut().tokens[id.0 as usize - 1];
        match change {
            TokenChange::Ends(at) => {
                token.expires_at = Some(token.expires_at.map_or(at, |before| before.min(at)));
            }
            TokenChange::Revoked(_) => token.revoked = true,
        }
        Ok(())
    }

    fn grant(&self, grant: &Grant<'_>) -> Result<u64, LogError> {
        let mut state = self.state.borrow_mut();
        let new: Vec<((i64, [u8; 16]), Access)> = match grant {
            Grant::One(token, id, access) => vec![((token.0, *id.as_bytes()), *access)],
            Grant::All(token, access) => {
                let there = state.documents.iter().filter(|document| !document.deleted);
                there.map(|document| ((token.0, *document.uuid.as_bytes()), *access)).collect()
            }
            Grant::Founder(subject, id) => {
                return Ok(u64::from(state.founders.insert(((*subject).to_owned(), *id.as_bytes()))));
            }
            Grant::Like { from, to } => {
                let all = state.grants.iter().filter(|((token, _), _)| *token == from.0);
                all.map(|((_, id), access)| ((to.0, *id), *access)).collect()
            }
        };
        let count = new.len() as u64;
        state.grants.extend(new);
        Ok(count)
    }
}
