//! What every backend of the log must do, a line for each backend at the end.

use std::collections::{BTreeMap, HashSet};

use automerge::{ActorId, AutoCommit, ROOT, transaction::Transactable};
use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{self, Ancestry, CheckedChange, Last, Limits, Placement, Reach, WalkBudget},
    quarantine::Reason,
};

use super::{
    Access, Appender, Attempt, Digest, Document, Edit, EditRows, EditTokens, Found, Grant, Group, Holder,
    Listed, Log, LogError, LogStore, Made, Mark, NewTokenRow, PageLimit, Quarantined, Read, Rows,
    StoredSnapshot, TokenChange, TokenId, TokenKey, TokenRows, View, Which, due, make_pack,
    memory::MemoryLog, store_pack,
};

/// The time in all of these.
const NOW: i64 = 1_000_000;

/// Does something in a transaction of its own.
macro_rules! write {
    ($log:expr, |$edit:ident| $work:expr) => {{
        let group = $log.begin().unwrap();
        let done = group.edit().attempt(|$edit| Ok(Attempt::Keep($work))).unwrap();
        group.commit().unwrap();
        done
    }};
}

/// Looks at the log as it is.
macro_rules! look {
    ($log:expr, |$view:ident| $work:expr) => {
        $log.read(|$view| Ok::<_, LogError>($work)).unwrap()
    };
}

// After the macros, which they use.
mod access;
mod changes;
mod documents;
mod transactions;

/// Whoever makes changes.
struct Writer(AutoCommit, i64);

impl Writer {
    fn new(actor: u8) -> Self {
        Self(AutoCommit::new().with_actor(ActorId::from([actor; 16])), 0)
    }

    fn fork(&mut self, actor: u8) -> Self {
        Self(self.0.fork().with_actor(ActorId::from([actor; 16])), self.1)
    }

    fn merge(&mut self, other: &mut Self) {
        self.0.merge(&mut other.0).unwrap();
    }

    fn change(&mut self) -> CheckedChange {
        self.1 += 1;
        self.0.put(ROOT, format!("k{}", self.1 % 5), self.1).unwrap();
        self.0.commit();
        let bytes = self.0.get_last_local_change().unwrap().raw_bytes().to_vec();
        fence::check_bytes(&bytes, &Limits::default()).unwrap()
    }

    fn many(&mut self, count: usize) -> Vec<CheckedChange> {
        (0..count).map(|_| self.change()).collect()
    }
}

/// Appends what a push would. Gives the document as it is then, and the positions of what it held already.
fn append(
    edit: &impl Edit,
    id: &DocumentId,
    changes: &[CheckedChange],
    by: Option<&str>,
) -> (Document, Vec<u64>) {
    let document = match edit.document(id).unwrap() {
        Some(document) => document,
        None => edit.begin_document(id, NOW).unwrap(),
    };
    let mut appender = Appender::open(edit, document);
    let (first, mut held) = (appender.first(), Vec::new());
    for change in changes {
        appender.expect(change).unwrap();
        match fence::place(change, &mut appender, &mut WalkBudget::default()).unwrap() {
            Placement::New { deps, reach } => drop(appender.append(change, (deps, reach), None).unwrap()),
            Placement::Duplicate { position } => held.push(position),
            Placement::Refused(refusal) => panic!("{refusal:?}"),
        }
    }
    let document = appender.finish().unwrap();
    edit.note_pushed(document.key, first, by).unwrap();
    (document, held)
}

/// A log with so many changes of one writer in one document.
fn with_changes(log: &mut impl Log, count: usize) -> (DocumentId, Vec<CheckedChange>) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(count));
    write!(log, |edit| append(edit, &id, &changes, None));
    (id, changes)
}

fn key_of(log: &impl Log, id: &DocumentId) -> i64 {
    look!(log, |view| view.document(id).unwrap().unwrap().key)
}

fn digests(changes: &[CheckedChange]) -> Vec<Digest> {
    let step = |digest: &mut Digest, change: &CheckedChange| {
        *digest = digest.then_change(&change.hash);
        Some(*digest)
    };
    changes.iter().scan(Digest::default(), step).collect()
}

/// Everything that can be read of these changes of one log is right, in rows and in packs.
fn reads_back(log: &impl Log, id: &DocumentId, changes: &[CheckedChange]) {
    let last = changes.len() as u64;
    look!(log, |view| {
        let document = view.document(id).unwrap().unwrap();
        let (key, all) = (document.key, digests(changes));
        assert_eq!(document.end, Mark { position: last, digest: *all.last().unwrap() });
        assert_eq!(document.bytes, changes.iter().map(|change| change.bytes.len() as u64).sum::<u64>());
        let mut read = Vec::new();
        view.for_each(key, (0, last), |position, bytes| {
            read.push((position, bytes.to_vec()));
            true
        })
        .unwrap();
        let pushed = (1..).zip(changes.iter().map(|change| change.bytes.clone()));
        assert_eq!(read, pushed.collect::<Vec<_>>());
        let hashes: Vec<ChangeHash> = changes.iter().map(|change| change.hash).collect();
        assert_eq!(view.hashes(key, (1, last)).unwrap(), hashes);
        assert_eq!(view.hashes(key, (2, 2)).unwrap(), hashes[1..2]);
        assert!(view.hashes(key, (last, last + 1)).is_err(), "there is no such row");
        for (position, (change, digest)) in (1..).zip(changes.iter().zip(&all)) {
            assert_eq!(view.locate(key, last, &change.hash).unwrap(), Some(position));
            assert_eq!(view.locate(key + 1, last, &change.hash).unwrap(), None, "another document's");
            assert_eq!(view.digest_at(key, position).unwrap(), Some(*digest));
            let plain = Reach::plain(change.start_op, change.operations);
            assert_eq!(view.reach(key, position).unwrap(), plain);
        }
        assert_eq!(view.locate(key, last, &ChangeHash([7; 32])).unwrap(), None);
        assert_eq!((view.digest_at(key, 0).unwrap(), view.digest_at(key, last + 1).unwrap()), (None, None));
        let mark = Mark { position: 2, digest: all[1] };
        assert_eq!(view.mark_at(key, document.end, 2).unwrap(), mark);
        assert_eq!(view.mark_at(key, document.end, 0).unwrap(), Mark::default());
    });
}

/// Packs as much as one pack takes, where at least so many changes are in rows. How many rows went.
fn pack(log: &mut impl Log, id: &DocumentId, least: u64) -> Option<u64> {
    let made = log.read(|view| {
        let document = view.document(id)?.unwrap();
        let run = due(view, &document, Some(least))?;
        run.map(|run| make_pack(view, &document, run)).transpose()
    });
    let packed = made.unwrap()?;
    let group = log.begin().unwrap();
    let gone = group.edit().attempt(|edit| store_pack(edit, &packed)).unwrap();
    let again = group.edit().attempt(|edit| store_pack(edit, &packed)).unwrap();
    assert_eq!(again, None, "it was made of rows that are gone");
    group.commit().unwrap();
    gone
}

/// A backend keeps what the log promises. `make` gives an empty log.
fn conforms<L: Log>(make: impl Fn() -> L) {
    changes::numbers(make());
    changes::pages(make());
    changes::ancestors_and_heads(make());
    changes::notes_of_changes(make());
    changes::packs(make());
    documents::deletion(make());
    documents::quarantine_and_snapshots(make());
    documents::pushers(make());
    access::tokens(make());
    access::grants(make());
    transactions::failed_transactions(make());
}

#[test]
fn sqlite_in_a_file_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let make = || LogStore::open(&directory.path().join(DocumentId::random().to_string())).unwrap();
    conforms(make);
    transactions::readers(make());
}

#[test]
fn sqlite_in_memory_conforms() {
    conforms(|| LogStore::open_in_memory().unwrap());
}

#[test]
fn the_log_of_the_tests_conforms() {
    conforms(MemoryLog::default);
    transactions::readers(MemoryLog::default());
}
