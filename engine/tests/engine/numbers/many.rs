use automerge::{ReadDoc, ScalarValue};
use rejoin::{
    Action, DocumentId, Durability,
    container::{self, ContainerKind, ContainerSpec, MAX_CONTAINERS, OWN_CONTAINERS},
    fence::{CheckedChange, Limits},
    store::Core,
};
use serde_json::json;

use crate::numbers::support::{Hand, act, as_automerge, bring, checked, set, waiting};

const MANY: u32 = 5_000;

fn roots(value: &ScalarValue) -> Vec<CheckedChange> {
    (0..MANY).map(|actor| checked(&Hand { value: value.clone(), ..Hand::of(actor) }.change())).collect()
}

/// A store that an older server, which had no limits, or a hostile one, gave all that.
fn store_with(changes: Vec<CheckedChange>) -> (Core, DocumentId, Vec<CheckedChange>) {
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let outcome = bring(&mut core, id, changes.clone());
    assert_eq!((outcome.pulled, outcome.quarantined), (u64::from(MANY), 0));
    (core, id, changes)
}

#[test]
fn five_thousand_heads_are_merged_in_steps_before_the_next_action() {
    let (mut core, id, before) = store_with(roots(&ScalarValue::Int(1)));
    assert_eq!(core.document(id).unwrap().heads.len(), MANY as usize);
    act(&mut core, id, set("/other", json!(2)));
    assert_eq!(core.state(id, "/other", None).unwrap(), 2);
    assert_eq!(core.document(id).unwrap().heads.len(), 1);
    assert_eq!(core.queue(None).unwrap().len(), 1, "the steps have no line in the queue");
    assert_eq!(core.history(id, None).unwrap().len(), MANY as usize + 1, "nor in the history");
    core.undo(id).unwrap().unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), json!({"key": 1}));
    let sent = waiting(&mut core, id);
    let all = as_automerge(&[before.clone(), sent.clone()].concat());
    assert_eq!(all.get_heads().len(), 1);
    let (mut other, there, _) = store_with(before);
    let outcome = bring(&mut other, there, sent);
    assert_eq!((outcome.pulled, outcome.quarantined), (2, 0), "an action, and its undo");
    assert_eq!(other.state(there, "", None).unwrap(), json!({"key": 1}));
}

#[test]
fn five_thousand_values_of_one_key_are_set_deleted_and_undone() {
    for action in [set("/key", json!("mine")), Action::Delete { path: "/key".into() }] {
        let (mut core, id, before) = store_with(roots(&ScalarValue::Int(7)));
        let want = if matches!(action, Action::Delete { .. }) { json!({}) } else { json!({"key": "mine"}) };
        act(&mut core, id, action);
        assert_eq!(core.state(id, "", None).unwrap(), want);
        assert_eq!(core.queue(None).unwrap().len(), 1);
        let all = as_automerge(&[before, waiting(&mut core, id)].concat());
        assert_eq!(all.get_all(automerge::ROOT, "key").unwrap().len(), want.as_object().unwrap().len());
        core.undo(id).unwrap().unwrap();
        assert_eq!(core.state(id, "/key", None).unwrap(), 7);
        core.redo(id).unwrap().unwrap();
        assert_eq!(core.state(id, "", None).unwrap(), want);
    }
}

#[test]
fn five_thousand_counters_of_one_key_still_count() {
    let (mut core, id, _) = store_with(roots(&ScalarValue::counter(10)));
    act(&mut core, id, Action::Increment { path: "/key".into(), by: 5 });
    assert_eq!(core.state(id, "/key", None).unwrap(), 15);
    core.undo(id).unwrap().unwrap();
    assert_eq!(core.state(id, "/key", None).unwrap(), 10);
    act(
        &mut core,
        id,
        Action::Splice { path: "/text".into(), pos: 0, delete: 0, insert: "on it goes".into() },
    );
    act(&mut core, id, Action::Insert { path: "/list/-".into(), value: json!(1) });
    assert!(core.check().unwrap().ok);
}

#[test]
fn a_chain_of_many_actors_is_taken_in() {
    let mut changes: Vec<CheckedChange> = Vec::new();
    // In no order: each new actor takes its place among the others.
    for actor in 0..5_000_u32 {
        let deps = changes.last().map(|change| change.hash).into_iter().collect();
        let start_op = u64::from(actor) + 1;
        changes.push(checked(
            &Hand { deps, start_op, key: "chain", ..Hand::of(actor.wrapping_mul(2_654_435_761)) }.change(),
        ));
    }
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    for page in changes.chunks(2_500) {
        let started = std::time::Instant::now();
        bring(&mut core, id, page.to_vec());
        println!("a page of 2,500 actors: {:?}", started.elapsed());
    }
    let started = std::time::Instant::now();
    act(&mut core, id, set("/other", json!(2)));
    println!("a dispatch: {:?}", started.elapsed());
}

/// What lies beside this store's own change is looked up with what each was made on: with many actors too.
#[test]
fn a_chain_of_many_actors_beside_ones_own_work_is_taken_in_whole() {
    let mut changes: Vec<CheckedChange> = Vec::new();
    for actor in 0..6_000_u32 {
        let deps = changes.last().map(|change| change.hash).into_iter().collect();
        let start_op = u64::from(actor) + 1;
        let hand = Hand { deps, start_op, key: "chain", ..Hand::of(actor.wrapping_mul(2_654_435_761)) };
        changes.push(checked(&hand.change()));
    }
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    act(&mut core, id, set("/own", json!(1)));
    assert_eq!(bring(&mut core, id, changes).quarantined, 0);
    act(&mut core, id, set("/own", json!(2)));
    assert_eq!(core.state(id, "/own", None).unwrap(), 2);
}

/// A malicious server sends pages of new actors. For each one the library moves what it holds of all others: page after page
/// that would take a time that grows with the square.
#[test]
fn a_page_of_new_actors_costs_little_more_than_reading_all_at_once() {
    let mut changes: Vec<CheckedChange> = Vec::new();
    for actor in 0..10_000_u32 {
        let deps = changes.last().map(|change| change.hash).into_iter().collect();
        let start_op = u64::from(actor) + 1;
        changes.push(checked(
            &Hand { deps, start_op, key: "chain", ..Hand::of(actor.wrapping_mul(2_654_435_761)) }.change(),
        ));
    }
    let parse = |change: &CheckedChange| automerge::Change::try_from(change.bytes.as_slice()).unwrap();
    let all: Vec<_> = changes.iter().map(parse).collect();
    let started = std::time::Instant::now();
    let mut whole = automerge::Automerge::new();
    whole.apply_changes(all).unwrap();
    let floor = started.elapsed();
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    let mut last = std::time::Duration::ZERO;
    for page in changes.chunks(2_000) {
        let started = std::time::Instant::now();
        assert_eq!(bring(&mut core, id, page.to_vec()).quarantined, 0);
        last = started.elapsed();
    }
    println!("all at once {floor:?}, the last of five pages {last:?}");
    // It was 21 times when each page was given to what was there.
    assert!(last < 8 * floor, "{last:?} against {floor:?}");
    act(&mut core, id, set("/other", json!(2)));
    assert_eq!(core.document(id).unwrap().changes, 10_001);
    assert!(core.check().unwrap().ok);
}

/// In a few hundred bytes: each look at that key would look through them all. No honest change leaves what it put before.
#[test]
fn half_a_million_values_of_one_key_by_one_actor_are_left_out() {
    let mut changes: Vec<CheckedChange> = Vec::new();
    for seq in 1..=5_u64 {
        let deps = changes.last().map(|change| change.hash).into_iter().collect();
        let start_op = (seq - 1) * 100_000 + 1;
        changes.push(checked(&Hand { deps, seq, start_op, ..Hand::of(1) }.many(100_000)));
    }
    let mut core = Core::open_in_memory().unwrap();
    let id = core.create(None, None).unwrap();
    assert_eq!(bring(&mut core, id, changes).quarantined, 5);
    act(&mut core, id, set("/key", json!("mine")));
    assert_eq!(core.state(id, "", None).unwrap(), json!({"key": "mine"}));
    core.undo(id).unwrap().unwrap();
    assert_eq!(core.state(id, "", None).unwrap(), json!({}));
}

/// A member may bring half of all containers that a document may have. What two honest people then make at one place
/// while both are offline still merges.
#[test]
fn counters_and_lists_merge_also_where_one_member_made_all_the_containers_that_he_can() {
    let hostile: Vec<CheckedChange> = (0..MAX_CONTAINERS / 2)
        .map(|nth| {
            let spec = ContainerSpec::new(vec![format!("c{nth}")], ContainerKind::List, vec![0]).unwrap();
            rejoin::fence::check_bytes(&container::make(&spec).bytes, &Limits::default()).unwrap()
        })
        .collect();
    let mut people = [(); 2].map(|()| {
        let mut core = Core::open_in_memory().unwrap();
        let id = core.create(None, None).unwrap();
        assert_eq!(bring(&mut core, id, hostile.clone()).quarantined, 0);
        act(&mut core, id, Action::Increment { path: "/visits".into(), by: 1 });
        act(&mut core, id, Action::Insert { path: "/plan/-".into(), value: json!("ours") });
        (core, id)
    });
    let [one, two] = &mut people;
    let (from_one, from_two) = (waiting(&mut one.0, one.1), waiting(&mut two.0, two.1));
    for ((core, id), others) in [(one, from_two), (two, from_one)] {
        bring(core, *id, others);
        assert_eq!(core.state(*id, "/visits", None).unwrap(), 2);
        assert_eq!(core.state(*id, "/plan", None).unwrap(), json!(["ours", "ours"]));
    }
}

/// What one store makes is bounded too, so that it makes none for which the server has no room.
#[test]
fn a_store_makes_a_thousand_containers_and_remembers_it() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store.db");
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    let id = core.create(None, None).unwrap();
    let list = |core: &mut Core, nth: usize| {
        act(core, id, Action::Insert { path: format!("/list{nth}/-"), value: json!(1) });
    };
    (0..OWN_CONTAINERS).for_each(|nth| list(&mut core, nth));
    assert_eq!(waiting(&mut core, id).len(), 2 * OWN_CONTAINERS, "each with its container");
    list(&mut core, OWN_CONTAINERS);
    drop(core);
    let mut core = Core::open(&path, Durability::Normal).unwrap();
    list(&mut core, OWN_CONTAINERS + 1);
    assert_eq!(waiting(&mut core, id).len(), 2 * OWN_CONTAINERS + 2, "nor after a restart");
}
