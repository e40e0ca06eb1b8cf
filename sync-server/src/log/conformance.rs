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

/// Changes get the numbers 1, 2, 3 … in the order in which they were appended, and one that is held gets none.
fn numbers<L: Log>(mut log: L) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(700));
    assert_eq!(look!(log, |view| view.document(&id).unwrap()), None);
    assert_eq!(look!(log, |view| view.feed_end().unwrap()), Mark::default());
    let (document, held) = write!(log, |edit| append(edit, &id, &changes[..5], None));
    assert_eq!((document.end.position, held.len(), document.entry), (5, 0, 1));
    let (document, held) = write!(log, |edit| append(edit, &id, &changes[3..], None));
    assert_eq!((document.end.position, held, document.entry), (700, vec![4, 5], 2));
    assert_eq!(look!(log, |view| view.document(&id).unwrap()), Some(document.clone()));
    reads_back(&log, &id, &changes);
    look!(log, |view| {
        let last = Last { seq: 700, position: 700 };
        assert_eq!(view.actor(document.key, &changes[0].actor).unwrap(), Some(last));
        assert_eq!(view.actor(document.key, &ActorId::from([9; 16])).unwrap(), None);
        assert_eq!(view.count_actors(document.key).unwrap(), (1, 0));
        let begins = |wanted: u64| {
            let (mut found, mut lengths) = (Vec::new(), 0);
            view.lines(document.key, (0, wanted), |line| {
                found.extend(line.begins.map(|name| (line.position, ActorId::from(name))));
                lengths += line.length;
                true
            })
            .unwrap();
            (found, lengths)
        };
        assert_eq!(begins(700), (vec![(1, changes[0].actor.clone())], document.bytes));
        // The feed has an entry for each transaction, and its digests follow from the documents.
        let feed = |entry| view.feed(Some(entry)).unwrap().map(|mark| mark.digest);
        let end = view.feed_end().unwrap();
        let parts: [&[u8]; 3] = [id.as_bytes(), &document.end.digest.0, &[0]];
        assert_eq!((end.position, Some(end.digest)), (2, feed(1).map(|before| before.then(&parts))));
        assert_eq!((feed(2), feed(0), feed(3)), (Some(end.digest), None, None));
    });
}

/// A page ends where its limits say, and leaves out what it is told to.
fn pages<L: Log>(mut log: L) {
    let (id, changes) = with_changes(&mut log, 6);
    let key = key_of(&log, &id);
    let bytes =
        |wanted: &[usize]| wanted.iter().flat_map(|at| changes[at - 1].bytes.clone()).collect::<Vec<_>>();
    let no_end = PageLimit { changes: 100, bytes: usize::MAX };
    let page = |span, skip: &[u64], limit| {
        let page = look!(log, |view| view.page(key, span, skip, limit).unwrap());
        (page.bytes, page.covered)
    };
    assert_eq!(page((0, 6), &[], no_end), (bytes(&[1, 2, 3, 4, 5, 6]), 6));
    assert_eq!(page((2, 4), &[], no_end), (bytes(&[3, 4]), 4));
    assert_eq!(page((6, 6), &[], no_end), (vec![], 6));
    assert_eq!(page((0, 6), &[2, 6], no_end), (bytes(&[1, 3, 4, 5]), 6));
    assert_eq!(page((1, 6), &[], PageLimit { changes: 2, ..no_end }), (bytes(&[2, 3]), 3));
    let one = changes[0].bytes.len();
    assert_eq!(page((0, 6), &[], PageLimit { bytes: one, ..no_end }), (bytes(&[1]), 1));
    assert_eq!(page((0, 6), &[], PageLimit { bytes: 1, ..no_end }), (bytes(&[1]), 1), "one always fits");
}

/// Dependencies and heads are those of the graph, and what was not merged yet stays apart.
fn ancestors_and_heads<L: Log>(mut log: L) {
    let mut one = Writer::new(1);
    let begun = one.many(2);
    let mut two = one.fork(2);
    let (left, right) = (one.change(), two.change());
    let id = DocumentId::random();
    let heads = |log: &L, key| {
        let rows = look!(log, |view| view.head_rows(key).unwrap());
        rows.iter().map(|head| (head.position, head.hash)).collect::<Vec<_>>()
    };
    let changes = [begun, vec![left.clone(), right.clone()]].concat();
    let (document, _) = write!(log, |edit| append(edit, &id, &changes, None));
    assert_eq!(heads(&log, document.key), [(3, left.hash), (4, right.hash)]);
    let mut sorted = vec![left.hash, right.hash];
    sorted.sort_unstable();
    assert_eq!(look!(log, |view| view.heads(document.key).unwrap()), sorted);
    one.merge(&mut two);
    let merged = one.change();
    write!(log, |edit| append(edit, &id, std::slice::from_ref(&merged), None));
    assert_eq!(heads(&log, document.key), [(5, merged.hash)]);
    let dependencies = write!(log, |edit| {
        let document = edit.document(&id).unwrap().unwrap();
        let mut appender = Appender::open(edit, document);
        (1..=5).map(|at| appender.dependencies(at).unwrap()).collect::<Vec<_>>()
    });
    let mut last = dependencies[4].clone();
    last.sort_unstable();
    assert_eq!((&dependencies[..4], last), (&[vec![], vec![1], vec![2], vec![2]][..], vec![3, 4]));
    assert_eq!(look!(log, |view| view.count_actors(document.key).unwrap()), (2, 0));
}

/// How far a change counts is kept where its bytes do not say it; what it was before it was written again, too.
fn notes_of_changes<L: Log>(mut log: L) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(3));
    let (was, reach) = (ChangeHash([9; 32]), Reach { last: 50, slack: 40, own: 30 });
    let document = write!(log, |edit| {
        let document = edit.begin_document(&id, NOW).unwrap();
        let mut appender = Appender::open(edit, document);
        for (change, was) in changes.iter().zip([None, Some(was), None]) {
            let deps: Vec<u64> = change.deps.iter().filter_map(|dep| appender.locate(dep).unwrap()).collect();
            let plain = Reach::plain(change.start_op, change.operations);
            let reach = if was.is_some() { reach } else { plain };
            appender.append(change, (deps, reach), was).unwrap();
        }
        appender.finish().unwrap()
    });
    let check = |log: &L| {
        look!(log, |view| {
            assert_eq!(view.noted_reach(document.key, 1).unwrap(), None);
            assert_eq!(view.reach(document.key, 2).unwrap(), reach);
            assert_eq!(view.rewritten_as(document.key, &was).unwrap(), Some(changes[1].hash));
            assert_eq!(view.rewritten_as(document.key + 1, &was).unwrap(), None);
            assert_eq!(view.rewritten_as(document.key, &changes[1].hash).unwrap(), None);
            let is = |at: u64| view.is_rewritten(document.key, at, &changes[at as usize - 1].hash).unwrap();
            assert_eq!((is(1), is(2), is(3)), (false, true, false));
        });
    };
    assert_eq!(document.rewritten, 1);
    check(&log);
    pack(&mut log, &id, 1);
    check(&log);
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

/// What is in packs reads as it did in rows, and the log goes on.
fn packs<L: Log>(mut log: L) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(30));
    write!(log, |edit| append(edit, &id, &changes[..20], None));
    assert_eq!(pack(&mut log, &id, 21), None, "too few");
    assert_eq!(pack(&mut log, &id, 20), Some(20));
    reads_back(&log, &id, &changes[..20]);
    let (document, held) = write!(log, |edit| append(edit, &id, &changes[15..], None));
    assert_eq!((document.end.position, held), (30, (16..=20).collect::<Vec<_>>()));
    reads_back(&log, &id, &changes);
    // The short pack becomes part of the next one.
    assert_eq!(pack(&mut log, &id, 1), Some(10));
    reads_back(&log, &id, &changes);
    let mut rows = 0;
    look!(log, |view| {
        view.chunks(document.key, (0, 30), |_, _| {
            rows += 1;
            true
        })
        .unwrap();
    });
    assert_eq!(rows, 0);
    let dependencies = write!(log, |edit| {
        let document = edit.document(&id).unwrap().unwrap();
        let mut appender = Appender::open(edit, document);
        (1..=30).map(|at| appender.dependencies(at).unwrap()).collect::<Vec<_>>()
    });
    let before = |at: u64| if at == 1 { vec![] } else { vec![at - 1] };
    assert_eq!(dependencies, (1..=30).map(before).collect::<Vec<_>>());
    // It may be asked for as often as one likes.
    while write!(log, |edit| edit.tidy().unwrap()) {}
}

/// A tombstone comes once, tells the feed, and takes with it what was found.
fn deletion<L: Log>(mut log: L) {
    let (id, _) = with_changes(&mut log, 3);
    let key = key_of(&log, &id);
    write!(log, |edit| edit.keep_found(&found(id, Some(3), &[(2, "it harms")], Some(1)), NOW).unwrap());
    assert!(write!(log, |edit| edit.delete(&id, NOW).unwrap()));
    assert!(!write!(log, |edit| edit.delete(&id, NOW).unwrap()), "once");
    let unknown = DocumentId::random();
    assert!(write!(log, |edit| edit.delete(&unknown, NOW).unwrap()), "also where it never was");
    look!(log, |view| {
        let document = view.document(&id).unwrap().unwrap();
        assert_eq!((document.deleted, document.end.position, document.entry), (true, 3, 2));
        assert_eq!((view.known(key).unwrap(), view.snapshot(key).unwrap()), Default::default());
        assert!(view.document(&unknown).unwrap().unwrap().deleted);
        let changed = view.documents(&Which::Changed(1, Listed::All), 10).unwrap();
        assert_eq!(
            changed.iter().map(|d| (d.uuid, d.deleted)).collect::<Vec<_>>(),
            [(id, true), (unknown, true)]
        );
        assert_eq!(view.documents(&Which::After(0), 10).unwrap().len(), 2);
        assert_eq!(view.documents(&Which::Unverified(0), 10).unwrap(), []);
        assert_eq!(view.counts().unwrap().documents, 2);
    });
    write!(log, |edit| edit.keep_found(&found(id, Some(3), &[(2, "it harms")], Some(1)), NOW).unwrap());
    assert_eq!(
        look!(log, |view| view.known(key).unwrap()),
        Default::default(),
        "nothing is kept of it any more"
    );
}

fn found(
    document: DocumentId,
    verified: Option<u64>,
    left_out: &[(u64, &str)],
    snapshot: Option<u64>,
) -> Found {
    let reason = |(at, why): &(u64, &str)| (*at, Reason::Refused((*why).to_owned()));
    let made = |position| Made {
        snapshot: StoredSnapshot { position, stop: Some(position + 1) },
        bytes: vec![position as u8],
    };
    Found {
        document,
        verified,
        left_out: left_out.iter().map(reason).collect(),
        snapshot: snapshot.map(made),
    }
}

/// What verification found stands until it finds something else; a snapshot until one covers more.
fn quarantine_and_snapshots<L: Log>(mut log: L) {
    let (id, _) = with_changes(&mut log, 5);
    let (other, _) = with_changes(&mut log, 1);
    let (key, other) = (key_of(&log, &id), key_of(&log, &other));
    let unverified = |log: &L| {
        let documents = look!(log, |view| view.documents(&Which::Unverified(0), 10).unwrap());
        documents.into_iter().map(|document| document.key).collect::<Vec<_>>()
    };
    assert_eq!(unverified(&log), [key, other]);
    let mut keep = |found: &Found| {
        write!(log, |edit| edit.keep_found(found, NOW).unwrap());
        look!(log, |view| (view.known(key).unwrap(), view.snapshot(key).unwrap()))
    };
    let texts = |left_out: &BTreeMap<u64, Reason>| {
        left_out.iter().map(|(at, why)| (*at, why.to_string())).collect::<Vec<_>>()
    };
    let text = |at: u64, why: &str| (at, why.to_owned());
    let (known, snapshot) = keep(&found(id, Some(4), &[(2, "two"), (3, "three"), (9, "past the end")], None));
    assert_eq!((known.verified, known.snapshot, snapshot), (Some(4), None, None));
    assert_eq!(texts(&known.left_out), [text(2, "two"), text(3, "three")]);
    let (known, _) = keep(&found(id, None, &[(3, "another"), (5, "five")], None));
    assert_eq!(known.verified, Some(4), "where it came to no end, what stands is only added to");
    assert_eq!(texts(&known.left_out), [text(2, "two"), text(3, "another"), text(5, "five")]);
    let (known, snapshot) = keep(&found(id, Some(99), &[(5, "five")], Some(3)));
    assert_eq!((known.verified, texts(&known.left_out)), (Some(5), vec![text(5, "five")]));
    assert_eq!(known.snapshot, Some(StoredSnapshot { position: 3, stop: Some(4) }));
    assert_eq!(snapshot, Some((3, vec![3])));
    for less in [2, 6] {
        let (_, snapshot) = keep(&found(id, Some(5), &[(5, "five")], Some(less)));
        assert_eq!(snapshot, Some((3, vec![3])), "one that covers less, or more than there is, is not kept");
    }
    assert_eq!(keep(&found(id, Some(5), &[(5, "five")], Some(4))).1, Some((4, vec![4])));
    assert_eq!(unverified(&log), [other]);
    let quarantined = Quarantined { changes: 1, documents: 1 };
    assert_eq!(look!(log, |view| view.counts().unwrap().quarantined), quarantined);
}

/// Who pushed is noted by runs, and outlives packing.
fn pushers<L: Log>(mut log: L) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(9));
    let by = [None, Some("token:ada"), Some("token:ada"), Some("jwt:bob"), None];
    for (part, by) in changes.chunks(2).zip(by) {
        write!(log, |edit| append(edit, &id, part, by));
    }
    let key = key_of(&log, &id);
    let check = |log: &L| {
        look!(log, |view| {
            let pushed = |span| {
                let runs = view.pushed(key, span).unwrap().into_iter();
                runs.map(|run| (run.first, run.last, run.by)).collect::<Vec<_>>()
            };
            let run = |first, last, by: &str| (first, last, (!by.is_empty()).then(|| by.to_owned()));
            let all = [run(3, 6, "token:ada"), run(7, 8, "jwt:bob"), run(9, 9, "")];
            assert_eq!(pushed((0, 9)), all, "of the first nobody is known, and nothing is noted");
            assert_eq!(pushed((3, 7)), [run(4, 6, "token:ada"), run(7, 7, "jwt:bob")]);
            assert_eq!(pushed((0, 2)), []);
            let first = |after| view.first_pushed(key, after, 9).unwrap();
            assert_eq!(
                (first(0), first(4), first(7), first(8), first(9)),
                (Some(3), Some(5), Some(8), None, None)
            );
            let of = |by| view.pushed_by(key, &HashSet::from([1, 4, 7, 9]), by).unwrap();
            assert_eq!(of(Some("token:ada")), [4].into());
            assert_eq!((of(Some("jwt:bob")), of(None)), ([7].into(), [1, 9].into()));
        });
    };
    check(&log);
    pack(&mut log, &id, 1);
    check(&log);
}

fn token(log: &mut impl Log, name: &str, access: Access, ends: Option<i64>) -> TokenId {
    let hash: [u8; 32] = std::array::from_fn(|at| name.as_bytes().get(at).copied().unwrap_or(0));
    let row = NewTokenRow { name, hash: &hash, document: None, access, ends };
    write!(log, |edit| edit.put_token(&row, NOW).unwrap())
}

/// A token is found by its hash, its name or its id, and is good until it ends or is revoked.
fn tokens<L: Log>(mut log: L) {
    assert!(!look!(log, |view| view.has_tokens().unwrap()));
    let ada = token(&mut log, "ada", Access::Write, Some(NOW + 100));
    let mut hash = [0; 32];
    hash[..3].copy_from_slice(b"ada");
    let find = |log: &L, key: TokenKey<'_>| look!(log, |view| view.token(key).unwrap());
    for key in [TokenKey::Id(ada), TokenKey::Hash(&hash), TokenKey::Name("ada"), TokenKey::Any] {
        let row = find(&log, key).unwrap();
        assert_eq!((row.id, row.name.as_str(), row.access, row.document), (ada, "ada", Access::Write, None));
        assert!(row.is_good(NOW + 99) && !row.is_good(NOW + 100));
    }
    assert_eq!(find(&log, TokenKey::Name("bob")), None);
    assert_eq!(find(&log, TokenKey::Hash(&[1; 32])), None);
    write!(log, |edit| edit.change_token(ada, TokenChange::Ends(NOW + 500)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW + 100), "an end only comes nearer");
    write!(log, |edit| edit.change_token(ada, TokenChange::Ends(NOW + 50)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW + 50));
    write!(log, |edit| edit.change_token(ada, TokenChange::Revoked(NOW)).unwrap());
    assert!(!find(&log, TokenKey::Id(ada)).unwrap().is_good(NOW));
    assert_eq!(find(&log, TokenKey::Name("ada")), None, "its name is free");
    let new = write!(log, |edit| {
        let row =
            NewTokenRow { name: "ada", hash: &[2; 32], document: None, access: Access::Read, ends: None };
        edit.put_token(&row, NOW).unwrap()
    });
    assert_eq!(find(&log, TokenKey::Name("ada")).map(|row| row.id), Some(new));
    assert!(look!(log, |view| view.has_tokens().unwrap()));
    let shown = look!(log, |view| view.tokens(NOW + 60).unwrap());
    let shown: Vec<_> = shown.iter().map(|t| (t.name.as_str(), t.revoked_at.is_some(), t.expired)).collect();
    assert_eq!(shown, [("ada", true, true), ("ada", false, false)]);
}

/// What is granted is granted there alone, and lists show it.
fn grants<L: Log>(mut log: L) {
    let (one, _) = with_changes(&mut log, 1);
    let (two, _) = with_changes(&mut log, 1);
    let (three, _) = with_changes(&mut log, 1);
    let unowned = |log: &L| look!(log, |view| view.unowned(2).unwrap());
    assert_eq!(unowned(&log), (3, vec![one, two]));
    let ada = token(&mut log, "ada", Access::Create, None);
    let bob = token(&mut log, "bob", Access::Create, None);
    grants_of(&mut log, (ada, bob), [one, two, three]);
}

fn grants_of(log: &mut impl Log, (ada, bob): (TokenId, TokenId), [one, two, three]: [DocumentId; 3]) {
    write!(log, |edit| edit.grant(&Grant::One(ada, &one, Access::Read)).unwrap());
    write!(log, |edit| edit.grant(&Grant::One(ada, &one, Access::Admin)).unwrap());
    write!(log, |edit| edit.grant(&Grant::Founder("carol", &two)).unwrap());
    write!(log, |edit| edit.grant(&Grant::Founder("carol", &two)).unwrap());
    look!(log, |view| {
        let granted = |to, id| view.granted(to, id).unwrap();
        assert_eq!(
            granted(Holder::Token(ada), &one),
            Some(Access::Admin),
            "in place of what was granted there"
        );
        assert_eq!((granted(Holder::Token(ada), &two), granted(Holder::Token(bob), &one)), (None, None));
        assert_eq!(granted(Holder::Subject("carol"), &two), Some(Access::Admin));
        assert_eq!(
            (granted(Holder::Subject("carol"), &one), granted(Holder::Subject("dan"), &two)),
            (None, None)
        );
        assert_eq!(view.unowned(2).unwrap(), (1, vec![three]));
        let list = |listed, limit| {
            let documents = view.documents(&Which::Changed(0, listed), limit).unwrap();
            documents.into_iter().map(|document| document.uuid).collect::<Vec<_>>()
        };
        assert_eq!((list(Listed::All, 9), list(Listed::All, 2)), (vec![one, two, three], vec![one, two]));
        assert_eq!(list(Listed::Of(ada, None), 9), [one]);
        assert_eq!(list(Listed::Of(ada, Some(three)), 9), [one, three]);
        let carol = |which| Some(("carol".to_owned(), which));
        assert_eq!(list(Listed::Claimed(vec![three], None), 9), [three]);
        assert_eq!(list(Listed::Claimed(vec![three], carol(None)), 9), [two, three]);
        assert_eq!(list(Listed::Claimed(vec![], carol(Some(vec![one]))), 9), []);
        assert_eq!(list(Listed::Claimed(vec![], carol(Some(vec![two]))), 9), [two]);
    });
    write!(log, |edit| edit.grant(&Grant::Like { from: ada, to: bob }).unwrap());
    assert_eq!(look!(log, |view| view.granted(Holder::Token(bob), &one).unwrap()), Some(Access::Admin));
    write!(log, |edit| edit.delete(&three, NOW).unwrap());
    assert_eq!(
        write!(log, |edit| edit.grant(&Grant::All(bob, Access::Read)).unwrap()),
        2,
        "deleted ones left out"
    );
    assert_eq!(look!(log, |view| view.granted(Holder::Token(bob), &one).unwrap()), Some(Access::Read));
}

/// What fails leaves nothing, and takes nothing with it that stood before.
fn failed_transactions<L: Log>(mut log: L) {
    let ids: [DocumentId; 4] = std::array::from_fn(|_| DocumentId::random());
    let [kept, undone, failed, dropped] = ids;
    let changes = Writer::new(1).many(3);
    let group = log.begin().unwrap();
    let edit = group.edit();
    edit.attempt(|edit| Ok(Attempt::Keep(append(edit, &kept, &changes[..1], Some("ada"))))).unwrap();
    edit.attempt(|edit| Ok(Attempt::Undo(append(edit, &undone, &changes, Some("bob"))))).unwrap();
    let error = edit.attempt(|edit| {
        append(edit, &failed, &changes, None);
        append(edit, &kept, &changes, Some("bob"));
        Err::<Attempt<()>, _>(LogError::Moved)
    });
    assert!(matches!(error, Err(LogError::Moved)) && group.is_whole());
    // A part within a part.
    edit.attempt(|edit| {
        edit.attempt(|edit| Ok(Attempt::Undo(append(edit, &kept, &changes, Some("bob")))))?;
        let (_, held) = append(edit, &kept, &changes[..2], Some("ada"));
        assert_eq!(held, [1]);
        Ok(Attempt::Keep(()))
    })
    .unwrap();
    drop(edit);
    group.commit().unwrap();
    let group = log.begin().unwrap();
    group.edit().attempt(|edit| Ok(Attempt::Keep(append(edit, &dropped, &changes, None)))).unwrap();
    drop(group);
    reads_back(&log, &kept, &changes[..2]);
    look!(log, |view| {
        let there = ids.map(|id| view.document(&id).unwrap().is_some());
        assert_eq!(there, [true, false, false, false]);
        let key = view.document(&kept).unwrap().unwrap().key;
        let last = Last { seq: 2, position: 2 };
        assert_eq!(view.actor(key, &changes[0].actor).unwrap(), Some(last));
        assert_eq!(view.heads(key).unwrap(), [changes[1].hash]);
        assert_eq!(view.pushed(key, (0, 2)).unwrap().len(), 1);
        assert_eq!((view.feed_end().unwrap().position, view.counts().unwrap().documents), (2, 1));
    });
}

fn has_second(view: &impl View) -> bool {
    view.digest_at(1, 2).unwrap().is_some()
}

/// Who reads sees one state from first to last, whatever is committed meanwhile.
fn readers<L: Log>(mut log: L) {
    let (id, changes) = (DocumentId::random(), Writer::new(1).many(2));
    write!(log, |edit| append(edit, &id, &changes[..1], None));
    let reader = log.opener().open().unwrap();
    look!(reader, |view| {
        assert!(!has_second(view));
        write!(log, |edit| append(edit, &id, &changes[1..], None));
        assert!(!has_second(view), "the state that it began with");
    });
    assert!(look!(reader, |view| has_second(view)));
}

/// A backend keeps what the log promises. `make` gives an empty log.
fn conforms<L: Log>(make: impl Fn() -> L) {
    numbers(make());
    pages(make());
    ancestors_and_heads(make());
    notes_of_changes(make());
    packs(make());
    deletion(make());
    quarantine_and_snapshots(make());
    pushers(make());
    tokens(make());
    grants(make());
    failed_transactions(make());
}

#[test]
fn sqlite_in_a_file_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let make = || LogStore::open(&directory.path().join(DocumentId::random().to_string())).unwrap();
    conforms(make);
    readers(make());
}

#[test]
fn sqlite_in_memory_conforms() {
    conforms(|| LogStore::open_in_memory().unwrap());
}

#[test]
fn the_log_of_the_tests_conforms() {
    conforms(MemoryLog::default);
    readers(MemoryLog::default());
}
