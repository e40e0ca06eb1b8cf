//! Changes: numbers, pages, ancestors, notes and packs.

use super::*;

/// Changes get the numbers 1, 2, 3 … in the order in which they were appended, and one that is held gets none.
pub(super) fn numbers<L: Log>(mut log: L) {
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
pub(super) fn pages<L: Log>(mut log: L) {
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
pub(super) fn ancestors_and_heads<L: Log>(mut log: L) {
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
pub(super) fn notes_of_changes<L: Log>(mut log: L) {
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

/// What is in packs reads as it did in rows, and the log goes on.
pub(super) fn packs<L: Log>(mut log: L) {
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
