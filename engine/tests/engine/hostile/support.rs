//! What the tests share: a log in memory, a replica made of it, honest histories, and chunks put together by hand.

use crate::hostile::skipped::skipped;
use std::{collections::HashMap, convert::Infallible, path::PathBuf, sync::Once};

use automerge::{
    ActorId, Automerge, Change, ChangeHash, ObjId, ObjType, PatchLog, ROOT, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::{CommitOptions, Transactable},
};
use rand::{RngExt, rngs::StdRng};
use rejoin::{
    fence::{
        Ancestry, CheckedChange, Last, Limits, Placement, Reach, Refusal, WalkBudget, check, check_bytes,
        frame, place,
    },
    untrusted::{apply_untrusted, install_panic_hook, parse_untrusted},
};
use sha2::{Digest, Sha256};

/// A log in memory, as the fence asks for one.
#[derive(Default, Clone)]
pub(crate) struct Log {
    pub(crate) positions: HashMap<ChangeHash, u64>,
    pub(crate) changes: Vec<CheckedChange>,
    last: HashMap<ActorId, Last>,
    reaches: Vec<Reach>,
    pub(crate) steps: u64,
}

impl Log {
    pub(crate) fn append(&mut self, change: CheckedChange) {
        let before = change.deps.iter().filter_map(|dep| self.positions.get(dep));
        let before = before.map(|at| self.reaches[*at as usize - 1]).fold(Reach::default(), Reach::and);
        let previous = self.last.get(&change.actor).map(|last| self.reaches[last.position as usize - 1]);
        let before = before.after(previous);
        self.reaches.push(before.then(Reach::plain(change.start_op, change.operations), change.start_op));
        self.changes.push(change.clone());
        let position = self.changes.len() as u64;
        self.positions.insert(change.hash, position);
        self.last.insert(change.actor, Last { seq: change.seq, position });
    }
}

impl Log {
    /// Where a change begins to count that is made on those at these positions.
    pub(crate) fn next_counter(&self, deps: &[usize]) -> u64 {
        deps.iter().map(|at| self.reaches[*at - 1].last).max().unwrap_or(0) + 1
    }
}

impl Ancestry for Log {
    type Error = Infallible;

    fn locate(&mut self, hash: &ChangeHash) -> Result<Option<u64>, Infallible> {
        Ok(self.positions.get(hash).copied())
    }

    fn dependencies(&mut self, position: u64) -> Result<Vec<u64>, Infallible> {
        self.steps += 1;
        let change = &self.changes[position as usize - 1];
        Ok(change.deps.iter().map(|hash| self.positions[hash]).collect())
    }

    fn reach(&mut self, position: u64) -> Result<Reach, Infallible> {
        Ok(self.reaches[position as usize - 1])
    }

    fn last_of(&mut self, actor: &ActorId) -> Result<Option<Last>, Infallible> {
        Ok(self.last.get(actor).copied())
    }
}

/// What becomes of one change on its way through the fence and into the document.
#[derive(Debug, PartialEq)]
pub(crate) enum Fate {
    Refused(Refusal),
    Quarantined(String),
    Applied,
    Duplicate,
}

/// A log and the document that it makes, as a server or a client has them.
#[derive(Default, Clone)]
pub(crate) struct Replica {
    pub(crate) log: Log,
    pub(crate) document: Automerge,
}

impl Replica {
    pub(crate) fn of(base: &[u8]) -> Self {
        let mut replica = Self::default();
        for one in frame(base).unwrap() {
            assert_eq!(replica.push(one.bytes), Fate::Applied, "the base is honest");
        }
        replica
    }

    pub(crate) fn push(&mut self, chunk: &[u8]) -> Fate {
        let frames = match frame(chunk) {
            Ok(frames) => frames,
            Err(refusal) => return Fate::Refused(refusal),
        };
        assert_eq!(frames.len(), 1);
        let change = match check(&frames[0], &Limits::default()) {
            Ok(change) => change,
            Err(refusal) => {
                assert!(refusal.hash.is_some(), "a framed chunk is refused by its hash: {refusal}");
                return Fate::Refused(refusal);
            }
        };
        match place(&change, &mut self.log, &mut WalkBudget::default()).unwrap() {
            Placement::Duplicate { .. } => return Fate::Duplicate,
            Placement::Refused(refusal) => {
                assert_eq!(refusal.hash, Some(change.hash));
                return Fate::Refused(refusal);
            }
            Placement::New { deps, .. } => assert_eq!(deps.len(), change.deps.len()),
        }
        let parsed = match parse_untrusted(&change) {
            Ok(parsed) => parsed,
            Err(reason) => return Fate::Quarantined(reason),
        };
        let mut log = PatchLog::active();
        let outcome = apply_untrusted(&mut self.document, vec![parsed], Some(&mut log));
        match outcome.quarantined.into_iter().next() {
            Some((hash, reason)) => {
                assert_eq!(hash, change.hash);
                Fate::Quarantined(reason.to_string())
            }
            None => {
                self.log.append(change);
                Fate::Applied
            }
        }
    }
}

/// The document's state, with what tells two apart: heads and values.
pub(crate) fn state(document: &Automerge) -> (Vec<ChangeHash>, String) {
    let json = serde_json::to_string(&automerge::AutoSerde::from(document)).unwrap();
    (document.get_heads(), json)
}

pub(crate) fn stays_editable(document: &mut Automerge) {
    document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "edited", 1)).unwrap();
    let saved = document.save();
    let loaded = Automerge::load(&saved).unwrap();
    assert_eq!(state(&loaded), state(document));
}

/// The panics of the library are expected here, and would hide what matters.
pub(crate) fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(install_panic_hook);
}

pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) base: Vec<u8>,
    pub(crate) bad: Vec<u8>,
}

/// The cases of one directory of the corpus; none, said loudly, where the corpus is not there.
pub(crate) fn corpus(kind: &str) -> Vec<Case> {
    quiet();
    let root = std::env::var_os("REJOIN_CORPUS")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/corpus"), PathBuf::from);
    let Ok(entries) = std::fs::read_dir(root.join(kind)) else {
        skipped(kind, &format!("no corpus in {}; REJOIN_CORPUS says where it is", root.display()));
        return Vec::new();
    };
    let mut bad: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "bad"))
        .collect();
    bad.sort();
    bad.into_iter()
        .map(|path| Case {
            name: format!("{kind}/{}", path.file_stem().unwrap().to_string_lossy()),
            base: std::fs::read(path.with_extension("base")).unwrap_or_default(),
            bad: std::fs::read(&path).unwrap(),
        })
        .collect()
}

/// A number in LEB128.
pub(crate) fn leb128(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A chunk with the checksum that fits.
pub(crate) fn chunk(kind: u8, body: &[u8]) -> Vec<u8> {
    let head = [vec![kind], leb128(body.len() as u64)].concat();
    let digest = Sha256::new().chain_update(&head).chain_update(body).finalize();
    [&[0x85, 0x6f, 0x4a, 0x83], &digest[..4], &head, body].concat()
}

/// A compressed chunk, whose checksum is that of the plain form.
pub(crate) fn compressed(body: &[u8], deflated: &[u8]) -> Vec<u8> {
    let plain = chunk(1, body);
    [&plain[..8], &[2], &leb128(deflated.len() as u64), deflated].concat()
}

/// Raw deflate.
pub(crate) fn deflate(bytes: &[u8]) -> Vec<u8> {
    use std::io::Read;
    let mut out = Vec::new();
    flate2::bufread::DeflateEncoder::new(bytes, flate2::Compression::best()).read_to_end(&mut out).unwrap();
    out
}

/// What follows the header of a chunk.
pub(crate) fn body(chunk: &[u8]) -> &[u8] {
    let length = chunk[9..].iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    &chunk[9 + length..]
}

/// The parts of a change body, to be put together with one of them wrong.
#[derive(Clone)]
pub(crate) struct Parts {
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) actor: Vec<u8>,
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) time: i64,
    pub(crate) message: Vec<u8>,
    pub(crate) others: Vec<Vec<u8>>,
    pub(crate) columns: Vec<(u64, Vec<u8>)>,
}

impl Default for Parts {
    /// One `put` of null under the key `a` of the root.
    fn default() -> Self {
        let columns = vec![
            (0x15, vec![0x7f, 0x01, b'a']),
            (0x34, vec![0x01]),
            (0x42, vec![0x7f, 0x01]),
            (0x56, vec![0x7f, 0x00]),
            (0x70, vec![0x7f, 0x00]),
        ];
        let actor = vec![7; 16];
        let (deps, message, others) = (vec![], vec![], vec![]);
        Self { deps, actor, seq: 1, start_op: 1, time: 0, message, others, columns }
    }
}

pub(crate) fn signed_leb128(mut value: i64) -> Vec<u8> {
    let mut out = Vec::new();
    loop {
        let byte = (value & 0x7f) as u8;
        value >>= 7;
        if (value == 0 && byte & 0x40 == 0) || (value == -1 && byte & 0x40 != 0) {
            out.push(byte);
            return out;
        }
        out.push(byte | 0x80);
    }
}

impl Parts {
    /// As many operations as told, in the same few bytes.
    pub(crate) fn operations(count: i64) -> Self {
        let runs = signed_leb128(count);
        let of = |rest: &[u8]| [&runs, rest].concat();
        let columns = vec![
            (0x15, of(&[0x01, b'a'])),
            (0x34, leb128(count as u64)),
            (0x42, of(&[0x01])),
            (0x56, of(&[0x00])),
            (0x70, of(&[0x00])),
        ];
        Self { columns, ..Self::default() }
    }

    pub(crate) fn column(mut self, spec: u64, data: Vec<u8>) -> Self {
        self.columns.retain(|(other, _)| *other != spec);
        self.columns.push((spec, data));
        self.columns.sort_by_key(|(spec, _)| spec & !8);
        self
    }

    pub(crate) fn body(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| [leb128(bytes.len() as u64), bytes.to_vec()].concat();
        let mut out = leb128(self.deps.len() as u64);
        self.deps.iter().for_each(|hash| out.extend(hash.0));
        out.extend(text(&self.actor));
        out.extend(leb128(self.seq));
        out.extend(leb128(self.start_op));
        out.extend(signed_leb128(self.time));
        out.extend(text(&self.message));
        out.extend(leb128(self.others.len() as u64));
        self.others.iter().for_each(|actor| out.extend(text(actor)));
        out.extend(leb128(self.columns.len() as u64));
        for (spec, data) in &self.columns {
            out.extend(leb128(*spec));
            out.extend(leb128(data.len() as u64));
        }
        self.columns.iter().for_each(|(_, data)| out.extend(data));
        out
    }

    pub(crate) fn chunk(&self) -> Vec<u8> {
        chunk(1, &self.body())
    }

    pub(crate) fn check(&self) -> Result<CheckedChange, Refusal> {
        check_bytes(&self.chunk(), &Limits::default())
    }
}

/// A change on which the library panics: numbers of its actor before it are missing. Only the place in a log tells.
pub(crate) fn panicking(actor: u8, deps: Vec<ChangeHash>) -> Vec<u8> {
    Parts { actor: vec![actor; 16], seq: 9, deps, ..Parts::default() }.chunk()
}

/// Maps and lists by turns, each in the one before, `depth` in all: in one change, or in one each.
pub(crate) fn nested(depth: usize, at_once: bool) -> Automerge {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![77; 16]));
    let mut place = ROOT;
    let mut number = 0;
    while number < depth {
        let mut tx = document.transaction();
        for _ in 0..if at_once { depth } else { 1 } {
            place = match number % 2 {
                0 if number == 0 => tx.put_object(&place, "a", ObjType::Map).unwrap(),
                0 => tx.insert_object(&place, 0, ObjType::Map).unwrap(),
                _ => tx.put_object(&place, "a", ObjType::List).unwrap(),
            };
            number += 1;
        }
        tx.commit();
    }
    document
}

/// Replicas that edit everything there is, and merge now and then: all their changes, dependencies first.
pub(crate) fn honest(rng: &mut StdRng, replicas: usize, edits: usize) -> Vec<Change> {
    let mut documents: Vec<Automerge> = (0..replicas)
        .map(|number| Automerge::new().with_actor(ActorId::from(vec![number as u8 + 1; 16])))
        .collect();
    for _ in 0..edits {
        let at = rng.random_range(0..replicas);
        if rng.random_ratio(1, 6) {
            let mut other = documents[rng.random_range(0..replicas)].clone();
            documents[at].merge(&mut other).unwrap();
        } else {
            edit(&mut documents[at], rng);
        }
    }
    let (first, others) = documents.split_first_mut().unwrap();
    others.iter_mut().for_each(|other| drop(first.merge(other).unwrap()));
    edit(first, rng);
    first.get_changes(&[])
}

fn edit(document: &mut Automerge, rng: &mut StdRng) {
    let options = CommitOptions::default()
        .with_time(rng.random_range(-1_000_000_000_000..1_000_000_000_000))
        .with_message(["", "set", "été ☂", &"long ".repeat(100)][rng.random_range(0..4)]);
    if rng.random_ratio(1, 20) {
        document.empty_commit(options);
        return;
    }
    let objects: Vec<(ObjId, ObjType)> = objects(document);
    let mut tx = document.transaction();
    for _ in 0..rng.random_range(1..8) {
        let (object, kind) = &objects[rng.random_range(0..objects.len())];
        // Some of these fail, on an object that is gone or a place that is not a counter: that is honest too.
        match kind {
            ObjType::Map | ObjType::Table => edit_map(&mut tx, object, rng),
            ObjType::List => edit_list(&mut tx, object, rng),
            ObjType::Text => edit_text(&mut tx, object, rng),
        }
    }
    tx.commit_with(options);
}

fn objects(document: &Automerge) -> Vec<(ObjId, ObjType)> {
    let mut found = vec![(ROOT, ObjType::Map)];
    let mut at = 0;
    while at < found.len() {
        let inside: Vec<_> = match found[at].1 {
            ObjType::Map => {
                document.map_range(&found[at].0, ..).map(|item| (item.id(), item.value)).collect()
            }
            ObjType::List => {
                document.list_range(&found[at].0, ..).map(|item| (item.id(), item.value)).collect()
            }
            _ => vec![],
        };
        found.extend(inside.into_iter().filter_map(|(id, value)| match value {
            automerge::ValueRef::Object(kind) => Some((id, kind)),
            automerge::ValueRef::Scalar(_) => None,
        }));
        at += 1;
    }
    found
}

fn scalar(rng: &mut StdRng) -> ScalarValue {
    match rng.random_range(0..9) {
        0 => ScalarValue::Null,
        1 => ScalarValue::Boolean(rng.random()),
        2 => ScalarValue::Int(rng.random()),
        3 => ScalarValue::Uint(rng.random()),
        4 => ScalarValue::F64(rng.random()),
        5 => ScalarValue::counter(rng.random_range(-100..100)),
        6 => ScalarValue::Timestamp(rng.random()),
        7 => ScalarValue::Bytes(vec![rng.random(); rng.random_range(0..2_000)]),
        _ => ScalarValue::Str("ab☂".repeat(rng.random_range(0..40)).into()),
    }
}

const KINDS: [ObjType; 3] = [ObjType::Map, ObjType::List, ObjType::Text];

fn edit_map<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let key = ["a", "b", "c", "a much longer key than the others", "ü"][rng.random_range(0..5)];
    match rng.random_range(0..6) {
        0 => drop(tx.put_object(object, key, KINDS[rng.random_range(0..3)])),
        1 => drop(tx.delete(object, key)),
        2 => drop(tx.increment(object, key, rng.random_range(-5..5))),
        _ => drop(tx.put(object, key, scalar(rng))),
    }
}

fn edit_list<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let length = tx.length(object);
    let at = rng.random_range(0..=length);
    match rng.random_range(0..6) {
        0 => drop(tx.insert_object(object, at, KINDS[rng.random_range(0..3)])),
        1 => drop(tx.delete(object, at)),
        2 => drop(tx.increment(object, at, 1)),
        3 => drop(tx.put(object, at, scalar(rng))),
        _ => drop(tx.insert(object, at, scalar(rng))),
    }
}

fn edit_text<T: Transactable + ReadDoc>(tx: &mut T, object: &ObjId, rng: &mut StdRng) {
    let length = tx.length(object);
    let at = rng.random_range(0..=length);
    if length > 3 && rng.random_ratio(1, 4) {
        let mark = Mark::new(["bold", "link"][rng.random_range(0..2)].to_owned(), true, 0, 2);
        drop(tx.mark(object, mark, ExpandMark::Both));
        return;
    }
    let deleted = rng.random_range(0..3).min(length - at) as isize;
    drop(tx.splice_text(object, at, deleted, &"héllo ☂ ".repeat(rng.random_range(0..4))));
}
