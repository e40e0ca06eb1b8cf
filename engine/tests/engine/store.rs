//! The promises of the store, each on real files.
use rejoin::{
    Action, ChangeHash, Cursor, DocumentId, Error,
    fence::{self, Limits, RefusalCode},
    store::{BatchBounds, Core, Durability, Page, QueueState},
    wire::Rejected,
};
use serde_json::json;

const ALL: BatchBounds = BatchBounds { count: usize::MAX, bytes: usize::MAX };

fn set(path: &str, value: serde_json::Value) -> Action {
    Action::Set { path: path.into(), value }
}

fn act(core: &mut Core, id: DocumentId, action: Action) -> ChangeHash {
    core.dispatch(&[(id, action)]).unwrap().pop().unwrap().unwrap().hash
}

/// Hands everything that waits in `from` to `to`, as a server's log would.
fn hand_over(from: &mut Core, to: &mut Core, id: DocumentId) {
    let batch = from.take_batch(id, ALL).unwrap();
    let changes = fence::frame(&batch.body)
        .unwrap()
        .iter()
        .map(|f| fence::check(f, &Limits::default()).unwrap())
        .collect();
    let page = Page { changes, ..Page::default() };
    let outcome = to.store_page(id, page).unwrap();
    assert!(!outcome.hole);
}

#[test]
fn what_was_dispatched_is_read_again_after_reopening() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let id = core.create(None, Some("notes")).unwrap();
    act(&mut core, id, set("/a/b", json!({"c": [1, "two", null]})));
    act(&mut core, id, Action::Increment { path: "/n".into(), by: 5 });
    act(&mut core, id, Action::Splice { path: "/t".into(), pos: 0, delete: 0, insert: "héllo".into() });
    act(&mut core, id, Action::Insert { path: "/l/-".into(), value: json!(1) });
    let want = json!({"a": {"b": {"c": [1, "two", null]}}, "l": [1], "n": 5, "t": "héllo"});
    assert_eq!(core.state(id, "", None).unwrap(), want);
    assert_eq!(core.queue(None).unwrap().len(), 4);
    drop(core);
    let mut core = Core::open(&path, Durability::Full).unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), want);
    assert_eq!(core.queue(None).unwrap().len(), 4);
    assert_eq!(core.history(id, None).unwrap().len(), 4);
    assert!(core.check().unwrap().ok, "{:?}", core.check());
}

#[test]
fn an_action_that_fails_changes_nothing_and_fails_alone() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let actions = vec![
        (id, set("/a", json!(1))),
        (id, Action::Splice { path: "/new".into(), pos: 5, delete: 0, insert: "x".into() }),
        (id, set("/b", json!(2))),
    ];
    let results = core.dispatch(&actions).unwrap();
    assert!(results[0].is_ok() && results[1].is_err() && results[2].is_ok());
    assert_eq!(core.state(id, "", None).unwrap(), json!({"a": 1, "b": 2}));
    assert_eq!(core.queue(None).unwrap().len(), 2);
}

#[test]
fn containers_made_on_two_devices_merge() {
    let (mut a, mut b) = (Core::open_in_memory().unwrap(), Core::open_in_memory().unwrap());
    let id = a.create(None, None).unwrap();
    b.join(id, None, None).unwrap();
    act(&mut a, id, Action::Increment { path: "/stats/n".into(), by: 5 });
    act(&mut b, id, Action::Increment { path: "/stats/n".into(), by: 10 });
    act(&mut a, id, Action::Insert { path: "/list/-".into(), value: json!("a") });
    act(&mut b, id, Action::Insert { path: "/list/-".into(), value: json!("b") });
    hand_over(&mut a, &mut b, id);
    hand_over(&mut b, &mut a, id);
    assert_eq!(a.state(id, "/stats/n", None).unwrap(), 15);
    assert_eq!(a.state(id, "", None).unwrap(), b.state(id, "", None).unwrap());
    assert_eq!(a.document(id).unwrap().heads, b.document(id).unwrap().heads);
    assert_eq!(a.state(id, "/list", None).unwrap().as_array().unwrap().len(), 2);
}

#[test]
fn a_cloned_store_and_its_twin_both_keep_every_edit() {
    let mut log = Core::open_in_memory().unwrap();
    let mut a = Core::open_in_memory().unwrap();
    let id = a.create(None, None).unwrap();
    act(&mut a, id, Action::Increment { path: "/n".into(), by: 1 });
    act(&mut a, id, Action::Splice { path: "/t".into(), pos: 0, delete: 0, insert: "base ".into() });
    let mut b = Core::open_in_memory().unwrap();
    b.join(id, None, None).unwrap();
    hand_over(&mut a, &mut b, id);
    let mut third = Core::open_in_memory().unwrap();
    third.join(id, None, None).unwrap();
    hand_over(&mut a, &mut third, id);
    b.take_fresh_actor(a.actor().clone()).unwrap();
    for (core, by, text) in [(&mut a, 10, "from a "), (&mut b, 100, "from b ")] {
        act(core, id, Action::Increment { path: "/n".into(), by });
        act(core, id, Action::Splice { path: "/t".into(), pos: 5, delete: 0, insert: text.into() });
        act(core, id, Action::Insert { path: "/l/-".into(), value: json!(by) });
    }
    // A third replica has pulled the side that loses; "log" stands for the server's order.
    log.join(id, None, None).unwrap();
    hand_over(&mut a, &mut log, id);
    hand_over(&mut b, &mut third, id);
    // b and the third learn of the winner by pulling.
    hand_over(&mut a, &mut b, id);
    hand_over(&mut a, &mut third, id);
    hand_over(&mut b, &mut a, id);
    assert_eq!(a.state(id, "/n", None).unwrap(), 111);
    for core in [&mut b, &mut third] {
        assert_eq!(core.state(id, "", None).unwrap(), a.state(id, "", None).unwrap());
        assert_eq!(core.document(id).unwrap().heads, a.document(id).unwrap().heads);
        assert!(core.check().unwrap().ok, "{:?}", core.check());
    }
    let text = a.state(id, "/t", None).unwrap();
    assert!(text.as_str().unwrap().contains("from a ") && text.as_str().unwrap().contains("from b "));
}

#[test]
fn a_dropped_row_takes_along_what_touches_it_and_nothing_else() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/keep", json!(1)));
    let bad = act(&mut core, id, set("/bad", json!({"x": 1})));
    act(&mut core, id, set("/bad/x", json!(2)));
    act(&mut core, id, set("/later", json!(3)));
    let plan = core.plan_drop(&bad.to_string()).unwrap();
    assert_eq!((plan.dropped.len(), plan.rewritten), (2, 1));
    core.drop_queued(&bad.to_string()).unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), json!({"keep": 1, "later": 3}));
    assert_eq!(core.queue(None).unwrap().len(), 2);
    assert!(core.check().unwrap().ok, "{:?}", core.check());
    act(&mut core, id, set("/after", json!(4)));
    assert!(core.check().unwrap().ok, "{:?}", core.check());
}

#[test]
fn a_document_opens_from_its_snapshot_and_the_rows_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    let id = core.create(None, None).unwrap();
    for n in 0..50 {
        act(&mut core, id, set(&format!("/k{n}"), json!(n)));
    }
    core.make_snapshot(id).unwrap().unwrap();
    act(&mut core, id, set("/after", json!(true)));
    let want = core.state(id, "", None).unwrap();
    drop(core);
    // The rows below the snapshot are not read: one of them may even be damaged.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE change SET bytes = x'00' WHERE id & 1099511627775 = 3", []).unwrap();
    drop(raw);
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), want);
    assert!(!core.check().unwrap().ok);
}

#[test]
fn an_edit_in_one_process_is_seen_in_the_other() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut one = Core::open(&path, Durability::Normal).unwrap();
    let mut two = Core::open(&path, Durability::Normal).unwrap();
    let id = one.create(None, None).unwrap();
    for n in 0..10 {
        let core = if n % 2 == 0 { &mut one } else { &mut two };
        act(core, id, Action::Increment { path: "/n".into(), by: 1 });
    }
    assert_eq!(one.state(id, "/n", None).unwrap(), 10);
    assert_eq!(two.state(id, "/n", None).unwrap(), 10);
    assert!(one.check().unwrap().ok, "{:?}", one.check());
}

#[test]
fn a_page_moves_the_cursor_only_if_it_is_still_the_one_asked_with() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let cursor = Cursor::parse("3.aa").unwrap();
    let page = Page { asked: None, cursor: Some(cursor.clone()), at_end: true, ..Page::default() };
    assert!(!core.store_page(id, page.clone()).unwrap().stale);
    assert!(core.store_page(id, page).unwrap().stale);
    assert_eq!(core.facts(id).unwrap().cursor, Some(cursor));
}

#[test]
fn a_page_whose_cursor_is_not_taken_drains_nothing() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/a", json!(1)));
    let batch = core.take_batch(id, ALL).unwrap();
    let changes: Vec<_> = fence::frame(&batch.body)
        .unwrap()
        .iter()
        .map(|f| fence::check(f, &Limits::default()).unwrap())
        .collect();
    let asked = Cursor::parse("7.an-older-one");
    let stale = Page { asked, cursor: Cursor::parse("8.bb"), changes: changes.clone(), ..Page::default() };
    assert!(core.store_page(id, stale).unwrap().stale);
    assert_eq!(core.queue(None).unwrap().len(), 1, "the cursor does not cover it");
    let page = Page { cursor: Cursor::parse("8.bb"), changes, ..Page::default() };
    assert_eq!(core.store_page(id, page).unwrap().drained, 1);
    assert_eq!(core.queue(None).unwrap().len(), 0);
}

#[test]
fn a_store_whose_own_change_lost_writes_under_another_actor() {
    let mut one = Core::open_in_memory().unwrap();
    let id = one.create(None, None).unwrap();
    let mut two = Core::open_in_memory().unwrap();
    two.join(id, None, None).unwrap();
    let shared = one.actor().clone();
    two.take_fresh_actor(shared.clone()).unwrap();
    act(&mut one, id, set("/one", json!(1)));
    act(&mut two, id, set("/two", json!(2)));
    hand_over(&mut one, &mut two, id);
    act(&mut two, id, set("/after", json!(3)));
    assert_ne!(*two.actor(), shared, "somebody else writes under it");
    hand_over(&mut two, &mut one, id);
    assert_eq!(one.state(id, "", None).unwrap(), json!({"one": 1, "two": 2, "after": 3}));
    assert_eq!(one.state(id, "", None).unwrap(), two.state(id, "", None).unwrap());
}

#[test]
fn a_thousand_appends_write_in_proportion_and_not_the_whole_state_each_time() {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("store.db");
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    let id = core.create(None, None).unwrap();
    let log = place.path().join("store.db-wal");
    let mut written = |n: usize| {
        let before = std::fs::metadata(&log).unwrap().len();
        for _ in 0..n {
            act(&mut core, id, Action::Insert { path: "/list/-".into(), value: "x".repeat(1_000).into() });
        }
        std::fs::metadata(&log).unwrap().len() - before
    };
    written(10);
    let (first, second) = (written(50), written(50));
    assert!(second < first * 3 / 2, "{first} bytes for the first fifty, and {second} for the next");
}

#[test]
fn a_queue_row_of_an_unknown_type_is_kept_as_it_stands() {
    let mut core = Core::open_in_memory().unwrap();
    let mut other = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    other.join(id, None, None).unwrap();
    act(&mut core, id, set("/a", 1.into()));
    let row = "UPDATE change SET action_type = 'later/invented', action_version = 9";
    let pending = r#"UPDATE pending SET action = '{"type":"later/invented","x":1}'"#;
    let connection = core.into_connection();
    connection.execute(row, []).unwrap();
    connection.execute(pending, []).unwrap();
    let mut core = Core::open_connection(connection).unwrap();
    let queued = core.queue(None).unwrap();
    assert_eq!(queued[0].action_type.as_deref(), Some("later/invented"));
    hand_over(&mut core, &mut other, id);
    assert_eq!(other.state(id, "/a", None).unwrap(), 1);
}

/// FAULTS 21: what is too large for a change is refused before anything is changed, and the limit is named.
#[test]
fn an_action_that_is_too_large_is_refused_and_names_the_limit() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/a", json!(1)));
    let text = "x".repeat(1_100_000);
    let many = json!(vec![0; 100_001]);
    for (value, limit) in
        [(json!(text), "make several actions of it"), (many, "the limit for one change is 100000")]
    {
        let refused = core.dispatch(&[(id, set("/b", value))]).unwrap().remove(0).unwrap_err().to_string();
        assert!(refused.contains(limit), "{refused}");
        assert_eq!(core.state(id, "", None).unwrap(), json!({"a": 1}));
        assert_eq!(core.queue(None).unwrap().len(), 1);
    }
    act(&mut core, id, set("/b", json!("x".repeat(900_000))));
    assert!(core.check().unwrap().ok);
}

/// FAULTS 30: as a power cut leaves it, the write-ahead log ends anywhere. What is whole in it is there, document and queue
/// alike, and nothing else is.
#[test]
fn a_write_ahead_log_that_was_cut_leaves_whole_commits() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut core = Core::open(&path, Durability::Full).unwrap();
    let id = core.create(None, None).unwrap();
    for n in 1..=40 {
        act(&mut core, id, set(&format!("/k{n}"), json!(n)));
    }
    let wal = std::fs::read(dir.path().join("a.db-wal")).unwrap();
    assert!(wal.len() > 100_000, "nothing was moved into the file yet");
    let (mut seen, mut last) = (std::collections::BTreeSet::new(), 0);
    for part in 0..=48 {
        let copy = dir.path().join(format!("cut{part}.db"));
        std::fs::copy(&path, &copy).unwrap();
        let cut = wal.len() * part / 48;
        std::fs::write(dir.path().join(format!("cut{part}.db-wal")), &wal[..cut]).unwrap();
        let mut core = Core::open(&copy, Durability::Full).unwrap();
        let Ok(state) = core.state(id, "", None) else {
            assert!(seen.is_empty(), "once it is whole in the log it is there");
            continue;
        };
        let kept = state.as_object().unwrap().len();
        assert!(kept >= last, "what is longer holds more");
        last = kept;
        assert!((1..=kept).all(|n| state[format!("k{n}")] == json!(n)), "no hole: {state}");
        assert_eq!(core.queue(None).unwrap().len(), kept, "document and queue alike");
        assert!(core.check().unwrap().ok, "{:?}", core.check());
        act(&mut core, id, set("/after", json!(true)));
        seen.insert(kept);
    }
    assert!(seen.len() > 4 && seen.contains(&40), "{seen:?}");
}

/// A store with a short and a long document.
fn short_and_long(path: &std::path::Path) -> (Core, DocumentId, DocumentId) {
    let mut core = Core::open(path, Durability::Full).unwrap();
    let (good, long) = (core.create(None, None).unwrap(), core.create(None, None).unwrap());
    act(&mut core, good, set("/a", json!(1)));
    for n in 0..300 {
        act(&mut core, long, set(&format!("/k{n}"), json!("x".repeat(300))));
    }
    (core, good, long)
}

/// FAULTS 30: a page that is not what was written is found, and it is said what to do.
#[test]
fn a_flipped_page_of_a_store_is_found_and_it_is_said_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (core, _, _) = short_and_long(&path);
    drop(core);
    let whole = std::fs::read(&path).unwrap();
    let pages = whole.len() / 4_096;
    let mut found = 0;
    for page in [pages / 3, pages / 2, pages * 2 / 3] {
        let mut bytes = whole.clone();
        bytes[page * 4_096..page * 4_096 + 512].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, bytes).unwrap();
        let Ok(mut core) = Core::open(&path, Durability::Full) else {
            found += 1;
            continue;
        };
        let report = core.check().unwrap();
        assert!(!report.ok && !report.problems.is_empty(), "page {page} of {pages}: {report:?}");
        assert!(report.advice.iter().any(|line| line.contains("rejoin export")), "{report:?}");
        found += 1;
    }
    assert_eq!(found, 3);
}

/// A change that was found to do harm late is at the server, and not in the document in memory: its number is given out
/// again. Nobody copied the store.
#[test]
fn what_is_written_again_behind_own_quarantined_changes_is_not_blamed_on_a_copy() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    let id = core.create(None, None).unwrap();
    let first = act(&mut core, id, set("/a", json!(1)));
    act(&mut core, id, set("/b", json!(2)));
    let accepted = core.take_batch(id, ALL).unwrap().rows.iter().map(|row| row.id).collect();
    let cursor = Cursor::parse("2.aa");
    core.store_page(id, Page { accepted, cursor: cursor.clone(), at_end: true, ..Page::default() }).unwrap();
    drop(core);
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute("UPDATE change SET quarantined = 'it does harm' WHERE id & 1099511627775 = 2", []).unwrap();
    let sql = "UPDATE document SET heads = ?1, heads_at = '1', changes = 1, epoch = epoch + 1";
    raw.execute(sql, [first.to_string()]).unwrap();
    drop(raw);
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    act(&mut core, id, set("/c", json!(3)));
    let row = &core.take_batch(id, ALL).unwrap().rows[0];
    let refused = Rejected {
        hash: row.hash.to_string(),
        code: RefusalCode::ActorFork,
        detail: "another has its number".to_owned(),
        missing: Vec::new(),
        stands: None,
    };
    let page = Page {
        asked: cursor.clone(),
        rejected: vec![(row.id, refused)],
        cursor,
        at_end: true,
        ..Page::default()
    };
    let outcome = core.store_page(id, page).unwrap();
    assert_eq!((outcome.own_rewritten, outcome.after_quarantine), (1, true));
    assert_eq!(core.state(id, "", None).unwrap(), json!({"a": 1, "c": 3}));
}

/// A store that has what another made.
fn copy_of(core: &mut Core, id: DocumentId) -> Core {
    let mut copy = Core::open_in_memory().unwrap();
    copy.join(id, None, None).unwrap();
    hand_over(core, &mut copy, id);
    copy
}

#[test]
fn what_repeats_a_queued_value_goes_with_it_when_that_is_dropped() {
    let empty = json!({"b": null, "l": [{}, 1], "n": 1});
    for again in [
        set("/b", json!(null)),
        set("/l/0", json!({})),
        set("/l/1", json!(1)),
        set("/n", json!(1)),
        set("", empty.clone()),
    ] {
        let mut core = Core::open_in_memory().unwrap();
        let id = core.create(None, None).unwrap();
        let first = act(&mut core, id, set("", empty.clone()));
        let second = act(&mut core, id, again.clone());
        assert_eq!(core.state(id, "", None).unwrap(), empty);
        let queue = core.queue(None).unwrap();
        assert!(!queue[1].already_so, "{again:?}");
        let plan = core.plan_drop(&first.to_string()).unwrap();
        let named: Vec<_> = plan.dropped.iter().map(|e| e.change_hash).collect();
        assert_eq!(named, [first, second], "{again:?}");
        // The later one alone leaves what the first wrote.
        core.drop_queued(&second.to_string()).unwrap();
        assert_eq!(core.state(id, "", None).unwrap(), empty, "{again:?}");
        assert!(core.check().unwrap().ok);
    }
}

#[test]
fn setting_what_others_wrote_already_writes_nothing_and_says_so() {
    let (mut a, id) = {
        let mut a = Core::open_in_memory().unwrap();
        let id = a.create(None, None).unwrap();
        act(&mut a, id, set("/a", json!("x")));
        (a, id)
    };
    let mut b = copy_of(&mut a, id);
    let again = act(&mut b, id, set("/a", json!("x")));
    let made = act(&mut b, id, set("/m", json!({})));
    let said: Vec<_> = b.queue(None).unwrap().iter().map(|e| (e.change_hash, e.already_so)).collect();
    assert_eq!(said, [(again, true), (made, false)]);
    let edits = b.edits(id, &[again, made]).unwrap();
    assert!(edits[0].already_so && edits[0].edits.is_empty());
    assert_eq!(edits[1].edits, [rejoin::Edit::Set { path: "/m".into(), value: json!({}) }]);
    // A concurrent edit of somebody else stands: nothing was written against it.
    act(&mut a, id, set("/a", json!("y")));
    hand_over(&mut a, &mut b, id);
    assert_eq!(b.state(id, "/a", None).unwrap(), "y");
}

#[test]
fn what_depends_on_a_hidden_change_says_what_was_refused_and_is_offered_with_it() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, Action::Splice { path: "/a/note".into(), pos: 0, delete: 0, insert: "x".into() });
    let batch = core.take_batch(id, ALL).unwrap();
    // The map, the text in it, and the action.
    assert_eq!(batch.rows.len(), 3);
    let first = &batch.rows[0];
    let refused = Rejected {
        hash: first.hash.to_string(),
        code: RefusalCode::OutOfRange,
        detail: "it is not wanted".to_owned(),
        missing: Vec::new(),
        stands: None,
    };
    core.store_page(id, Page { rejected: vec![(first.id, refused)], ..Page::default() }).unwrap();
    let queue = core.queue(None).unwrap();
    assert_eq!(queue.len(), 1);
    let why = "it depends on the map /a, which was refused: it is not wanted";
    assert_eq!((queue[0].state, queue[0].last_error.as_deref()), (QueueState::Parked, Some(why)));
    assert_eq!(core.retry("1").unwrap(), 1, "the one that is shown");
    assert_eq!(core.take_batch(id, ALL).unwrap().rows.len(), 3, "and what it needs");
}

#[test]
fn many_documents_are_made_in_one_commit_or_none_is() {
    let mut core = Core::open_in_memory().unwrap();
    let names = |of: [&str; 3]| of.map(|name| Some(name.to_owned()));
    let ids = core.create_all(&names(["a", "b", "c"])).unwrap();
    assert_eq!(core.document(ids[1]).unwrap().name.as_deref(), Some("b"));
    assert!(matches!(core.create_all(&names(["d", "e", "a"])), Err(Error::DocumentExists(_))));
    assert!(matches!(core.create_all(&names(["d", "e", "d"])), Err(Error::DocumentExists(_))));
    assert_eq!(core.documents().unwrap().len(), 3, "none of those beside a bad one");
}

#[test]
fn what_can_still_be_read_of_a_damaged_store_can_be_exported() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.db");
    let (mut core, good, long) = short_and_long(&path);
    // Its last value lies on pages of its own.
    act(&mut core, long, set("/large", json!("y".repeat(20_000))));
    let whole = core.salvage(long).unwrap();
    assert_eq!((whole.lost, whole.bytes.is_empty()), (0, false));
    drop(core);
    let bytes = std::fs::read(&path).unwrap();
    let pages = bytes.len() / 4_096;
    let mut some = 0;
    // The first pages are the tables themselves.
    for page in (pages / 4..pages).step_by(3) {
        let mut spoilt = bytes.clone();
        spoilt[page * 4_096..(page + 1) * 4_096].iter_mut().for_each(|byte| *byte ^= 0x5a);
        std::fs::write(&path, spoilt).unwrap();
        let Ok(mut core) = Core::open(&path, Durability::Full) else { continue };
        let (Ok(other), Ok(found)) = (core.export(good), core.salvage(long)) else { continue };
        assert!(automerge::Automerge::load(&other).is_ok(), "page {page}: another document is whole");
        let document = automerge::Automerge::load(&found.bytes).unwrap();
        assert_eq!(document.get_changes(&[]).len() as u64, found.changes);
        assert_eq!(found.changes + found.lost, whole.changes, "page {page}");
        if core.export(long).is_err() {
            // A chain of changes breaks where it is broken; what comes before that is there.
            some += u64::from(found.lost > 0 && found.changes > 1);
        }
    }
    assert!(some > 2, "damage that export cannot pass was passed {some} times");
}
