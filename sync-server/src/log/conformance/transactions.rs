//! Transactions: what failed leaves nothing, and who reads sees one state.

use super::*;

/// What fails leaves nothing, and takes nothing with it that stood before.
pub(super) fn failed_transactions<L: Log>(mut log: L) {
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
pub(super) fn readers<L: Log>(mut log: L) {
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
