//! Tests of edits: what a change did, and where.

use automerge::{Automerge, ObjType, ROOT, ReadDoc as _, transaction::Transactable as _};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use serde_json::json;

use super::*;
use crate::{Action, reducer};

fn last(am: &Automerge) -> Vec<Edit> {
    let change = am.get_changes(&[]).pop().unwrap();
    Edits::of(am, &change).edits
}

fn done(am: &mut Automerge, work: impl FnOnce(&mut automerge::transaction::Transaction<'_>)) -> Vec<Edit> {
    let mut tx = am.transaction();
    work(&mut tx);
    tx.commit();
    last(am)
}

/// The document before the newest change, with its edits done one after another as actions.
fn replayed(am: &Automerge) -> serde_json::Value {
    let change = am.get_changes(&[]).pop().unwrap();
    let mut again = am.fork_at(change.deps()).unwrap();
    for edit in last(am) {
        let mut json = serde_json::to_value(&edit).unwrap();
        json.as_object_mut().unwrap().remove("deleted");
        let action: Action = serde_json::from_value(json).unwrap();
        let mut tx = again.transaction();
        reducer::reduce(&mut tx, &action).unwrap();
        tx.commit();
    }
    crate::state::to_json(&again, "", None).unwrap()
}

#[test]
fn a_change_reads_as_the_actions_that_would_do_the_same() {
    let mut am = Automerge::new();
    let text = am.transact::<_, _, automerge::AutomergeError>(|tx| {
        let text = tx.put_object(ROOT, "note", ObjType::Text)?;
        tx.splice_text(&text, 0, 0, "We leave at nine")?;
        let list = tx.put_object(ROOT, "list", ObjType::List)?;
        for (index, item) in ["tent", "stove", "map"].into_iter().enumerate() {
            tx.insert(&list, index, item)?;
        }
        tx.put(ROOT, "nights", automerge::ScalarValue::counter(2))?;
        Ok((text, list))
    });
    let (text, list) = text.unwrap().result;
    let splice = done(&mut am, |tx| tx.splice_text(&text, 12, 4, "ten").unwrap());
    let wanted = json!({"type": "splice", "path": "/note", "pos": 12, "delete": 4, "insert": "ten", "deleted": "nine"});
    assert_eq!(serde_json::to_value(splice).unwrap(), json!([wanted]));
    let typed = done(&mut am, |tx| tx.splice_text(&text, 0, 0, "Then ").unwrap());
    assert!(
        matches!(typed.as_slice(), [Edit::Splice { pos: 0, delete: 0, insert, .. }] if insert == "Then ")
    );
    done(&mut am, |tx| {
        tx.delete(&list, 1).unwrap();
        tx.put(&list, 1, "atlas").unwrap();
        let map = tx.insert_object(&list, 0, ObjType::Map).unwrap();
        tx.put(&map, "name", "rope").unwrap();
        tx.increment(ROOT, "nights", 3).unwrap();
        tx.increment(ROOT, "nights", -1).unwrap();
        tx.put(ROOT, "a/b", 1).unwrap();
        tx.splice_text(&text, 0, 5, "").unwrap();
        tx.splice_text(&text, 3, 0, "all ").unwrap();
    });
    assert_eq!(replayed(&am), crate::state::to_json(&am, "", None).unwrap());
    let kinds: Vec<_> = last(&am).iter().map(|edit| format!("{} {}", edit.kind(), edit.path())).collect();
    let list = ["insert /list/0", "delete /list/2", "set /list/2"];
    assert_eq!(kinds[..3], list, "{kinds:?}");
    assert!(
        kinds.contains(&"increment /nights".to_owned()) && kinds.contains(&"set /a~1b".to_owned()),
        "{kinds:?}"
    );
    assert_eq!(am.text(&text).unwrap(), "We all leave at ten");
}

#[test]
fn a_message_of_another_program_is_told_as_it_is() {
    let mut am = Automerge::new();
    let commit = |am: &mut Automerge, message: &str| {
        let mut tx = am.transaction();
        tx.put(ROOT, "a", message).unwrap();
        tx.commit_with(automerge::transaction::CommitOptions::default().with_message(message));
        Edits::of(am, &am.get_changes(&[]).pop().unwrap())
    };
    assert_eq!(commit(&mut am, "fix the plan").message.as_deref(), Some("fix the plan"));
    assert_eq!(commit(&mut am, r#"{"a":"set"}"#).message, None);
}

/// Changes of three devices that insert, type, set, count and delete in lists, texts and maps, and meet now and then.
fn devices(seed: u64, rounds: usize) -> Automerge {
    let mut random = StdRng::seed_from_u64(seed);
    let mut first = Automerge::new();
    first
        .transact::<_, _, automerge::AutomergeError>(|tx| {
            let text = tx.put_object(ROOT, "note", ObjType::Text)?;
            tx.splice_text(&text, 0, 0, "We leave")?;
            let list = tx.put_object(ROOT, "list", ObjType::List)?;
            let inner = tx.insert_object(&list, 0, ObjType::List)?;
            tx.insert(&inner, 0, automerge::ScalarValue::counter(1))?;
            Ok(())
        })
        .unwrap();
    let mut all: Vec<Automerge> =
        (0..3_u8).map(|nth| first.fork().with_actor(automerge::ActorId::from([nth + 7]))).collect();
    for _ in 0..rounds {
        let (here, there) = (random.random_range(0..3_usize), random.random_range(0..3_usize));
        if here != there && random.random_ratio(1, 5) {
            let mut other = all[there].clone();
            all[here].merge(&mut other).unwrap();
        }
        let am = &mut all[here];
        let mut tx = am.transaction();
        for _ in 0..=random.random_range(0..3) {
            act(&mut tx, &mut random);
        }
        tx.commit();
    }
    let mut last = all.remove(0);
    for other in &mut all {
        last.merge(other).unwrap();
    }
    last
}

fn act(tx: &mut automerge::transaction::Transaction<'_>, random: &mut StdRng) {
    let (_, list) = tx.get(ROOT, "list").unwrap().unwrap();
    let inner = tx
        .list_range(&list, ..)
        .find_map(|item| matches!(item.value, automerge::ValueRef::Object(ObjType::List)).then(|| item.id()));
    let object = inner.filter(|_| random.random::<bool>()).unwrap_or(list);
    let (_, text) = tx.get(ROOT, "note").unwrap().unwrap();
    let (length, letters) = (tx.length(&object), tx.length(&text));
    let at = random.random_range(0..=length);
    match random.random_range(0..10) {
        0..=2 => tx.insert(&object, at, random.random::<i64>()).unwrap(),
        3 if at < length => tx.delete(&object, at).unwrap(),
        4 if at < length => tx.put(&object, at, automerge::ScalarValue::counter(5)).unwrap(),
        5 if at < length => drop(tx.increment(&object, at, 2)),
        6 => drop(tx.insert_object(&object, at, ObjType::List).unwrap()),
        7 => tx.put(ROOT, "title", i64::from(random.random::<u8>())).unwrap(),
        _ => {
            let pos = random.random_range(0..=letters);
            let delete = random.random_range(0..=(letters - pos).min(2));
            tx.splice_text(&text, pos, delete as isize, ["", "x", "yé😀"][random.random_range(0..3_usize)])
                .unwrap();
        }
    }
}

#[test]
fn what_many_changes_did_is_told_as_that_of_each_by_itself() {
    for seed in 0..60 {
        let am = devices(seed, 60);
        let changes = am.get_changes(&[]);
        let many: Vec<&automerge::Change> = changes.iter().rev().collect();
        assert!(many.len() > FEW);
        for (together, change) in Edits::of_each(&am, &many).into_iter().zip(&many) {
            assert_eq!(together.unwrap(), Edits::of(&am, change), "seed {seed}");
        }
    }
}

/// A document of so many changes that each insert into a list, type into a text or set one key, and the time that it takes
/// to tell five times what all of them did, in seconds of a processor: what else runs meanwhile does not count.
fn time_to_tell(count: usize, what: &str) -> f64 {
    let mut am = Automerge::new();
    let made = am.transact::<_, _, automerge::AutomergeError>(|tx| {
        let outer = tx.put_object(ROOT, "list", ObjType::List)?;
        let inner = tx.insert_object(&outer, 0, ObjType::Map)?;
        Ok((tx.put_object(&inner, "text", ObjType::Text)?, outer, inner))
    });
    let (text, list, map) = made.unwrap().result;
    for nth in 0..count {
        let mut tx = am.transaction();
        match what {
            "list" => tx.insert(&list, nth / 2, nth as i64).unwrap(),
            "text" => tx.splice_text(&text, nth / 2, 0, "x").unwrap(),
            _ => tx.put(&map, "key", nth as i64).unwrap(),
        }
        tx.commit();
    }
    let changes = am.get_changes(&[]);
    let changes: Vec<&automerge::Change> = changes.iter().rev().collect();
    let start = processor_time();
    for _ in 0..5 {
        let told = Edits::of_each(&am, &changes);
        assert!(told.iter().all(|told| told.as_ref().is_some_and(|told| !told.edits.is_empty())));
    }
    processor_time() - start
}

/// How long this thread was at work, where the system tells it; else the time of day.
fn processor_time() -> f64 {
    let told = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = told.split(' ').next().and_then(|word| word.parse::<f64>().ok());
    let since = || std::time::UNIX_EPOCH.elapsed().unwrap_or_default().as_secs_f64();
    nanoseconds.map_or_else(since, |nanoseconds| nanoseconds / 1e9)
}

#[test]
fn to_tell_what_a_history_did_costs_in_proportion_to_it_and_not_to_its_square() {
    for what in ["list", "text", "key"] {
        let (few, many) = (time_to_tell(1_000, what), time_to_tell(8_000, what));
        // Eight times as much costs 8 times as long, or 64 times where each change reads all.
        let ratio = many / few;
        assert!(ratio < 24.0, "{what}: {ratio:.1} times ({few} s, {many} s)");
    }
}
