//! Documents: deletion, quarantine, snapshots and who pushed.

use super::*;

/// A tombstone comes once, tells the feed, and takes with it what was found.
pub(super) fn deletion<L: Log>(mut log: L) {
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
pub(super) fn quarantine_and_snapshots<L: Log>(mut log: L) {
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
pub(super) fn pushers<L: Log>(mut log: L) {
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
