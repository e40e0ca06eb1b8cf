use rejoin::{
    DocumentId,
    fence::{CheckedChange, LAST_TIME, Limits, RefusalCode, SLACK, check_bytes},
    store::Core,
};
use serde_json::json;

use crate::numbers::support::{Hand, act, as_automerge, bring, checked, edit_on, set, waiting};

#[test]
fn a_time_near_the_end_of_64_bits_is_refused_and_honest_edits_go_on() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/a", json!(1)));
    let honest = waiting(&mut core, id);
    let time = honest[0].time - i64::MAX;
    let hostile = Hand { time, deps: vec![honest[0].hash], start_op: 2, ..Hand::of(1) }.change();
    let refusal = check_bytes(hostile.raw_bytes(), &Limits::default()).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::OutOfRange);
    let page = rejoin::store::Page {
        refused: vec![(refusal, hostile.raw_bytes().to_vec())],
        at_end: true,
        ..Default::default()
    };
    assert_eq!(core.store_page(id, page).unwrap().quarantined, 1);
    act(&mut core, id, set("/b", json!(2)));
    core.undo(id).unwrap().unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), json!({"a": 1}));
}

#[test]
fn a_clock_that_is_wrong_makes_changes_that_others_take() {
    for clock in [i64::MIN, i64::MAX, 0, -LAST_TIME * 1000 - 5_000] {
        let mut core = Core::open_in_memory().unwrap();
        core.set_clock(Box::new(move || clock));
        let id = core.create(None, None).unwrap();
        act(&mut core, id, set("/a", json!(1)));
        core.undo(id).unwrap().unwrap();
        assert_eq!(waiting(&mut core, id).len(), 2, "the fence takes both");
    }
}

/// Changes of an honest person, a hostile one beside it, and what honest people made on either.
struct Story {
    honest: Vec<CheckedChange>,
    hostile: Vec<CheckedChange>,
}

fn leap() -> Story {
    let first = checked(&Hand { key: "first", ..Hand::of(1) }.change());
    let leap = Hand { deps: vec![first.hash], start_op: 4_000_000_000, key: "leap", ..Hand::of(2) };
    let leap = checked(&leap.change());
    let on_leap = Hand { deps: vec![leap.hash], start_op: 4_000_000_001, key: "on", ..Hand::of(3) };
    let on_leap = checked(&on_leap.change());
    let mut beside = as_automerge(std::slice::from_ref(&first));
    let beside = edit_on(&mut beside, "beside");
    Story { honest: vec![first, beside], hostile: vec![leap, on_leap] }
}

/// All orders of these in which dependencies go first.
fn orders(changes: &[CheckedChange]) -> Vec<Vec<CheckedChange>> {
    if changes.is_empty() {
        return vec![Vec::new()];
    }
    let mut found = Vec::new();
    for (at, first) in changes.iter().enumerate() {
        let rest: Vec<_> =
            changes.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, c)| c.clone()).collect();
        if rest.iter().any(|other| first.deps.contains(&other.hash)) {
            continue;
        }
        found.extend(orders(&rest).into_iter().map(|rest| [vec![first.clone()], rest].concat()));
    }
    found
}

fn quarantined(core: &mut Core, id: DocumentId) -> Vec<String> {
    let mut found: Vec<String> = core
        .history(id, None)
        .unwrap()
        .into_iter()
        .filter(|row| row.quarantined.is_some())
        .map(|row| row.hash.to_string())
        .collect();
    found.sort_unstable();
    found
}

#[test]
fn a_leap_of_counters_is_left_out_alike_in_every_order_of_arrival() {
    let story = leap();
    let all = [story.honest.clone(), story.hostile.clone()].concat();
    let mut want: Vec<String> = story.hostile.iter().map(|change| change.hash.to_string()).collect();
    want.sort_unstable();
    let orders = orders(&all);
    assert_eq!(orders.len(), 3);
    for order in orders {
        for pages in [1, 2, 4] {
            let mut core = Core::open_in_memory().unwrap();
            let id = core.create(None, None).unwrap();
            for page in order.chunks(order.len().div_ceil(pages)) {
                bring(&mut core, id, page.to_vec());
                act(&mut core, id, set("/own", json!(1)));
            }
            assert_eq!(quarantined(&mut core, id), want);
            assert_eq!(core.state(id, "", None).unwrap(), json!({"beside": 1, "first": 1, "own": 1}));
            assert!(waiting(&mut core, id).iter().all(|own| own.start_op < 100));
        }
    }
}

#[test]
fn what_an_older_release_took_in_is_left_out_when_something_arrives() {
    let story = leap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut core = Core::open(&path, rejoin::store::Durability::Full).unwrap();
    let id = core.create(None, None).unwrap();
    bring(&mut core, id, story.honest.clone());
    bring(&mut core, id, story.hostile.clone());
    drop(core);
    // As it was stored before anybody measured.
    let raw = rusqlite::Connection::open(&path).unwrap();
    raw.execute_batch(
        "UPDATE change SET quarantined = NULL; DELETE FROM reach; DELETE FROM measured;
         UPDATE document SET changes = 4, epoch = epoch + 1",
    )
    .unwrap();
    let heads = [&story.honest[1].hash, &story.hostile[1].hash].map(ToString::to_string);
    let mut places = [(heads[0].clone(), "2"), (heads[1].clone(), "4")];
    places.sort_unstable();
    let (heads, at): (Vec<_>, Vec<_>) = places.into_iter().unzip();
    raw.execute("UPDATE document SET heads = ?1, heads_at = ?2", [heads.join(" "), at.join(" ")]).unwrap();
    drop(raw);
    let mut core = Core::open(&path, rejoin::store::Durability::Full).unwrap();
    assert_eq!(core.state(id, "/leap", None).unwrap(), 1);
    let news = checked(&Hand { key: "news", ..Hand::of(9) }.change());
    assert_eq!(bring(&mut core, id, vec![news]).quarantined, 2);
    let mut want: Vec<String> = story.hostile.iter().map(|change| change.hash.to_string()).collect();
    want.sort_unstable();
    assert_eq!(quarantined(&mut core, id), want);
    act(&mut core, id, set("/own", json!(1)));
    assert_eq!(core.state(id, "", None).unwrap(), json!({"beside": 1, "first": 1, "news": 1, "own": 1}));
}

#[test]
fn a_dropped_change_leaves_a_gap_that_is_allowed() {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let text = "x".repeat(50_000);
    act(&mut core, id, rejoin::Action::Splice { path: "/t".into(), pos: 0, delete: 0, insert: text });
    act(&mut core, id, set("/a", json!(1)));
    let first = core.queue(None).unwrap().remove(0);
    let row = first.change_hash.to_string();
    core.drop_queued(&row).unwrap();
    let left = waiting(&mut core, id);
    let last = left.last().unwrap();
    assert!(last.start_op > 50_000 && last.start_op < SLACK);
    let mut other = Core::open_in_memory().unwrap();
    other.join(id, None, None).unwrap();
    assert_eq!(bring(&mut other, id, left).quarantined, 0);
    assert_eq!(other.state(id, "/a", None).unwrap(), 1);
}
