use automerge::{
    ActorId, Automerge, Change, ObjId, ObjType, ROOT, ReadDoc, ScalarValue,
    marks::{ExpandMark, Mark},
    transaction::{CommitOptions, Transactable},
};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::{Message, state};

fn doc(actor: &[u8]) -> Automerge {
    Automerge::new().with_actor(ActorId::from(actor.to_vec()))
}

/// A copy under the same actor, as a cloned store is.
fn copy(original: &Automerge, actor: &[u8]) -> Automerge {
    let mut copy = original.fork();
    copy.set_actor(ActorId::from(actor.to_vec()));
    copy
}

fn build(changes: &[Change]) -> Automerge {
    let mut doc = doc(b"nobody");
    doc.apply_changes(changes.to_vec()).unwrap();
    assert!(doc.get_missing_deps(&[]).is_empty());
    doc
}

fn changes(rewritten: &[Rewritten]) -> Vec<Change> {
    rewritten
        .iter()
        .map(|r| {
            let change = Change::try_from(&r.bytes[..]).unwrap();
            assert_eq!(change.hash(), r.hash);
            change
        })
        .collect()
}

fn json_of(doc: &Automerge) -> Value {
    state::to_json(doc, "", None).unwrap()
}

fn loads(doc: &Automerge) {
    let loaded = Automerge::load(&doc.save()).unwrap();
    assert_eq!(loaded.get_heads(), doc.get_heads());
    assert_eq!(json_of(&loaded), json_of(doc));
}

/// What of `held` is affected when these lose, and what is not.
fn split(held: &[Change], losers: &HashSet<ChangeHash>) -> (Vec<Change>, Vec<Change>) {
    let found: HashSet<_> =
        descendants(losers, held.iter().map(|c| (c.hash(), c.deps()))).into_iter().collect();
    held.iter().cloned().partition(|change| found.contains(&change.hash()))
}

fn put(doc: &mut Automerge, key: &str, value: i64) -> Change {
    let mut tx = doc.transaction();
    tx.put(ROOT, key, value).unwrap();
    tx.commit_with(CommitOptions::default().with_message(Message::of_action("set").encode()).with_time(7));
    doc.get_last_local_change().unwrap()
}

/// One of everything, by actor `a`.
fn base() -> Automerge {
    let mut doc = doc(b"aaaaaaaaaaaaaaaa");
    let mut tx = doc.transaction();
    tx.put_object(ROOT, "map", ObjType::Map).unwrap();
    let list = tx.put_object(ROOT, "list", ObjType::List).unwrap();
    tx.insert(&list, 0, ScalarValue::counter(0)).unwrap();
    tx.insert(&list, 1, "end").unwrap();
    let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
    tx.splice_text(&text, 0, 0, "[]").unwrap();
    tx.put(ROOT, "counter", ScalarValue::counter(0)).unwrap();
    tx.commit();
    doc
}

fn at(doc: &impl ReadDoc, key: &str) -> ObjId {
    doc.get(ROOT, key).unwrap().unwrap().1
}

/// Whether edits may undo what others did, or only add.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Mode {
    Anything,
    AddOnly,
}

/// One random edit: `n` is unique, `kind` and `place` are random. The counters get 1 each.
fn edit(doc: &mut Automerge, mode: Mode, n: usize, kind: u8, place: u16) {
    let mut tx = doc.transaction();
    let (map, list, text) = (at(&tx, "map"), at(&tx, "list"), at(&tx, "text"));
    let place = usize::from(place);
    let in_list = place % (tx.length(&list) + 1);
    let in_text = place % (tx.length(&text) + 1);
    let in_text = match mode {
        Mode::AddOnly => boundary(&tx.text(&text).unwrap(), place),
        Mode::Anything => in_text,
    };
    let key = format!("k{}", place % 5);
    match kind % 16 {
        0 => tx.increment(ROOT, "counter", 1).unwrap(),
        1 => match (0..tx.length(&list)).find(|i| tx.get(&list, *i).unwrap().unwrap().0.is_counter()) {
            Some(index) => tx.increment(&list, index, 1).unwrap(),
            None => tx.insert(&list, 0, ScalarValue::counter(1)).unwrap(),
        },
        2 | 3 => tx.splice_text(&text, in_text, 0, &format!("<{n}>")).unwrap(),
        4 => tx.insert(&list, in_list.max(1), format!("<{n}>")).unwrap(),
        5 => {
            let child = tx.insert_object(&list, in_list.max(1), ObjType::Map).unwrap();
            tx.put(&child, "n", format!("<{n}>")).unwrap();
        }
        6 => tx.put(&map, format!("u{n}"), format!("<{n}>")).unwrap(),
        7 => {
            let child = tx.put_object(&map, format!("u{n}"), ObjType::List).unwrap();
            tx.insert(&child, 0, format!("<{n}>")).unwrap();
        }
        8 => tx.put(&map, key, n as i64).unwrap(),
        _ if mode == Mode::AddOnly => tx.put(&map, key, n as i64).unwrap(),
        9 if tx.length(&text) > 2 => {
            let from = place % (tx.length(&text) - 1);
            tx.splice_text(&text, from, 2, &format!("({n})")).unwrap();
        }
        10 if tx.length(&list) > 2 => tx.delete(&list, 1 + place % (tx.length(&list) - 1)).unwrap(),
        11 => tx.delete(&map, key).unwrap(),
        12 if tx.length(&text) > 2 => {
            let end = tx.length(&text);
            let start = place % (end - 1);
            let mark = Mark::new(format!("m{}", n % 3), n as i64, start, (start + 3).min(end));
            tx.mark(&text, mark, [ExpandMark::Both, ExpandMark::None][n % 2]).unwrap();
        }
        13 if tx.length(&text) > 2 => tx.unmark(&text, "m1", 0, 2, ExpandMark::After).unwrap(),
        14 if tx.length(&list) > 1 => tx.put(&list, 1 + place % (tx.length(&list) - 1), n as i64).unwrap(),
        15 => tx.put(ROOT, "counter", ScalarValue::counter(n as i64)).unwrap(),
        _ => tx.put(&map, key, ScalarValue::counter(n as i64)).unwrap(),
    }
    let message = [None, Some("free text".to_owned()), Some(Message::of_action("edit").encode())];
    let mut options = CommitOptions::default().with_time(n as i64);
    options.message.clone_from(&message[n % 3]);
    tx.commit_with(options);
}

/// Everything that can be seen of a document, concurrent values and marks included.
fn seen(doc: &Automerge) -> Value {
    let text = at(doc, "text");
    let marks: Vec<String> = doc.marks(&text).unwrap().iter().map(|m| format!("{m:?}")).collect();
    let mut all = Vec::new();
    for key in doc.keys(at(doc, "map")) {
        for (value, _) in doc.get_all(at(doc, "map"), key.as_str()).unwrap() {
            all.push(format!("{key}={value:?}"));
        }
    }
    json!({"state": json_of(doc), "marks": marks, "all": all})
}

type Script = Vec<(u8, u8, u16)>;

/// A fork of one actor: `winner` and `loser` both go on as `a`; `friend` is in touch with the loser.
struct Fork {
    base: Vec<Change>,
    winner: Automerge,
    loser: Automerge,
    losers: HashSet<ChangeHash>,
}

const A: &[u8] = b"aaaaaaaaaaaaaaaa";

/// `friends` begin before and after `a` in the order of actors.
fn fork(script: &Script, mode: Mode) -> Fork {
    let base = base();
    let (mut winner, mut loser) = (copy(&base, A), copy(&base, A));
    let mut friends = [copy(&base, b"AAAA-before-a"), copy(&base, b"zzzz-after-a")];
    for (n, (who, kind, place)) in script.iter().enumerate() {
        match who % 9 {
            0 | 1 => edit(&mut winner, mode, n, *kind, *place),
            2..=4 => edit(&mut loser, mode, n, *kind, *place),
            5 => edit(&mut friends[0], mode, n, *kind, *place),
            6 => edit(&mut friends[1], mode, n, *kind, *place),
            7 => drop(friends[usize::from(*place) % 2].merge(&mut loser).unwrap()),
            _ => drop(loser.merge(&mut friends[usize::from(*place) % 2]).unwrap()),
        }
    }
    friends.iter_mut().for_each(|friend| drop(loser.merge(friend).unwrap()));
    let held = base.get_changes(&[]);
    let forked = 1 + held.len() as u64;
    let of = |doc: &Automerge| {
        let first = |c: &&Change| c.actor_id().to_bytes() == A && c.seq() == forked;
        doc.get_changes(&[]).iter().find(first).map(Change::hash)
    };
    // Without a change by the winner there is no rival, but there may be a loser all the same.
    let losers = of(&loser).into_iter().collect();
    Fork { base: held, winner, loser, losers }
}

fn scripts() -> impl Strategy<Value = Script> {
    proptest::collection::vec((any::<u8>(), any::<u8>(), any::<u16>()), 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// The branch alone reads as it did before, with marks and with what concurrent writes hide.
    #[test]
    fn a_rewritten_branch_reads_as_it_did(script in scripts()) {
        let fork = fork(&script, Mode::Anything);
        let (affected, others) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let rewritten = rewrite(&affected, &fork.losers).unwrap();
        prop_assert_eq!(rewritten.len(), affected.len());
        let mut all = others;
        all.extend(changes(&rewritten));
        let again = build(&all);
        loads(&again);
        prop_assert_eq!(seen(&again), seen(&fork.loser));
    }

    /// Two branches of one actor that both lost use the same operation ids, and each means its own.
    #[test]
    fn two_losing_branches_of_one_actor_are_kept_apart(one in scripts(), two in scripts()) {
        let forks = [fork(&one, Mode::Anything), fork(&two, Mode::Anything)];
        let mut losers = HashSet::new();
        let mut both: Vec<Change> = Vec::new();
        for fork in &forks {
            // The friends of the two branches are the same people: only what follows the losers is taken.
            losers.extend(&fork.losers);
            let known: HashSet<ChangeHash> = both.iter().map(Change::hash).collect();
            let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
            both.extend(affected.into_iter().filter(|c| !known.contains(&c.hash())));
        }
        let together = rewrite(&both, &losers).unwrap();
        for fork in &forks {
            let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
            let mut alone = rewrite(&affected, &fork.losers).unwrap();
            alone.retain(|r| !together.contains(r));
            prop_assert_eq!(alone, []);
        }
    }

    /// All replicas end with equal heads and state, whatever the order, and the library loads it.
    #[test]
    fn all_replicas_end_equal(script in scripts()) {
        let fork = fork(&script, Mode::Anything);
        let (affected, others) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let rewritten = changes(&rewrite(&affected, &fork.losers).unwrap());
        // The winner's replica pulls the rewritten; the loser's is built anew and pulls the winner's.
        let mut winner = fork.winner.fork();
        winner.apply_changes(others.iter().chain(&rewritten).cloned()).unwrap();
        let mut loser = build(&others);
        loser.apply_changes(rewritten.clone()).unwrap();
        loser.apply_changes(fork.winner.get_changes(&[])).unwrap();
        // A third one gets everything mixed, one by one.
        let mut third = build(&fork.base);
        let (mut one, mut two) = (rewritten.into_iter().rev(), others.into_iter().rev());
        third.apply_changes(fork.winner.get_changes(&[])).unwrap();
        loop {
            let next: Vec<Change> = one.next().into_iter().chain(two.next()).collect();
            if next.is_empty() { break }
            third.apply_changes(next).unwrap();
        }
        for doc in [&winner, &loser, &third] {
            loads(doc);
            prop_assert_eq!(seen(doc), seen(&winner));
            prop_assert_eq!(doc.get_heads(), winner.get_heads());
        }
    }

    /// Every edit of both sides is there, once.
    #[test]
    fn every_edit_is_there_once(script in scripts()) {
        let fork = fork(&script, Mode::AddOnly);
        let (affected, others) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let mut all = others;
        all.extend(changes(&rewrite(&affected, &fork.losers).unwrap()));
        let mut merged = fork.winner.fork();
        merged.apply_changes(all).unwrap();
        let now = json_of(&merged);
        let text = now.to_string();
        let (mut counter, mut in_list) = (0, 0);
        for (n, (who, kind, _)) in script.iter().enumerate() {
            match (who % 9, kind % 16) {
                (7.., _) => {}
                (_, 0) => counter += 1,
                (_, 1) => in_list += 1,
                (_, 2..=7) => prop_assert_eq!(text.matches(&format!("<{n}>")).count(), 1, "edit {} in {}", n, text),
                _ => {}
            }
        }
        prop_assert_eq!(&now["counter"], &json!(counter));
        prop_assert_eq!(&now["list"][0], &json!(in_list));
    }

    /// A replica that holds only a part, closed under ancestors, makes the same bytes for that part.
    #[test]
    fn a_part_is_rewritten_to_the_same_bytes(script in scripts(), cut in any::<prop::sample::Index>()) {
        let fork = fork(&script, Mode::Anything);
        let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
        if affected.is_empty() { return Ok(()) }
        let whole = rewrite(&affected, &fork.losers).unwrap();
        let tip = affected[cut.index(affected.len())].hash();
        let mut wanted: HashSet<_> = [tip].into();
        for change in affected.iter().rev() {
            if wanted.contains(&change.hash()) { wanted.extend(change.deps()) }
        }
        let part: Vec<Change> = affected.iter().filter(|c| wanted.contains(&c.hash())).cloned().collect();
        let part = rewrite(&part, &fork.losers).unwrap();
        prop_assert!(part.iter().all(|r| whole.contains(r)));
        // And the order in which they are given does not matter.
        let mut turned = affected.clone();
        turned.reverse();
        let mut turned = rewrite(&turned, &fork.losers).unwrap();
        let mut whole = whole;
        turned.sort_by_key(|r| r.hash);
        whole.sort_by_key(|r| r.hash);
        prop_assert_eq!(turned, whole);
    }

    /// That later changes of the branch lost too, to the winner's later ones, adds nothing.
    #[test]
    fn only_the_first_loser_of_a_branch_counts(script in scripts(), which in any::<u64>()) {
        let fork = fork(&script, Mode::Anything);
        let (affected, _) = split(&fork.loser.get_changes(&[]), &fork.losers);
        let mut told = fork.losers.clone();
        let rivals = affected.iter().filter(|c| c.actor_id().to_bytes() == A).map(Change::hash);
        told.extend(rivals.enumerate().filter(|(n, _)| which >> (n % 64) & 1 == 1).map(|(_, hash)| hash));
        prop_assert_eq!(rewrite(&affected, &told).unwrap(), rewrite(&affected, &fork.losers).unwrap());
    }

    /// What is dropped is gone, with what touches it and nothing else; the rest loads.
    #[test]
    fn a_drop_takes_what_touches_it_and_nothing_else(script in scripts(), which in any::<prop::sample::Index>()) {
        let fork = fork(&script, Mode::Anything);
        let held = fork.loser.get_changes(&[]);
        let edits = &held[fork.base.len()..];
        if edits.is_empty() { return Ok(()) }
        let dropped = edits[which.index(edits.len())].hash();
        let (affected, others) = split(&held, &[dropped].into());
        let result = without(&affected, &dropped).unwrap();
        let gone: HashSet<_> = result.also.iter().copied().chain([dropped]).collect();
        prop_assert_eq!(result.rewritten.len() + gone.len(), affected.len());
        // Exactly those go that name an operation of one that goes.
        let made: HashSet<(u64, ActorId)> = affected.iter().filter(|c| gone.contains(&c.hash()))
            .flat_map(|c| (c.start_op().get()..=c.max_op()).map(|n| (n, c.actor_id().clone()))).collect();
        for change in affected.iter().filter(|c| c.hash() != dropped) {
            let operations = spell::operations(change).unwrap();
            let touches = operations.iter().flat_map(spell::references)
                .any(|id| made.contains(&(id.counter(), id.actor().clone()))
                    && !(change.start_op().get()..=change.max_op()).contains(&id.counter()));
            prop_assert_eq!(touches, gone.contains(&change.hash()));
        }
        let mut all = others;
        all.extend(changes(&result.rewritten));
        let doc = build(&all);
        loads(&doc);
        prop_assert_eq!(doc.get_changes(&[]).len(), held.len() - gone.len());
    }
}

/// Where text may be inserted so that nothing that was inserted before is cut apart.
fn boundary(text: &str, place: usize) -> usize {
    let mut ends = text.chars().enumerate().filter(|(_, c)| "[>".contains(*c)).map(|(i, _)| i + 1);
    let count = ends.clone().count();
    ends.nth(place % count.max(1)).unwrap_or_default()
}

#[test]
fn the_rewritten_says_what_it_was_and_keeps_the_rest() {
    let mut original = base();
    original.set_author(Some(automerge::Author::from(vec![1, 2, 3])));
    original.set_actor(ActorId::from(A.to_vec()));
    let mut changes = Vec::new();
    for message in [
        None,
        Some(""),
        Some("free"),
        Some("{}"),
        Some(r#"{ "a" : "set", "x":1.50 } "#),
        Some(r#"["a"]"#),
        Some(r#"{"was":7}"#),
    ] {
        let mut tx = original.transaction();
        tx.increment(ROOT, "counter", 1).unwrap();
        let mut options = CommitOptions::default().with_time(42);
        options.message = message.map(str::to_owned);
        tx.commit_with(options);
        changes.push(original.get_last_local_change().unwrap());
    }
    let mut with_extra = changes[0].decode();
    with_extra.extra_bytes = vec![9, 8, 7];
    changes[0] = Change::from(with_extra);
    changes.truncate(1);
    // The rest again on top of the one with extra bytes.
    let mut doc = build(&base().get_changes(&[]));
    doc.set_actor(ActorId::from(A.to_vec()));
    doc.apply_changes(changes.clone()).unwrap();
    for message in ["", "free", "{}", r#"{ "a" : "set", "x":1.50 } "#, r#"["a"]"#, r#"{"was":7}"#] {
        let mut tx = doc.transaction();
        tx.increment(ROOT, "counter", 1).unwrap();
        tx.commit_with(CommitOptions::default().with_time(42).with_message(message));
        changes.push(doc.get_last_local_change().unwrap());
    }
    let rewritten = rewrite(&changes, &[changes[0].hash()].into()).unwrap();
    let messages: Vec<String> = rewritten
        .iter()
        .map(|r| {
            let change = Change::try_from(&r.bytes[..]).unwrap();
            assert_eq!(change.timestamp(), 42);
            let message = change.message().unwrap().to_owned();
            assert_eq!(Message::decode(Some(&message)).was(), Some(r.was));
            message.replace(&r.was.to_string(), "H")
        })
        .collect();
    assert_eq!(
        messages,
        [
            r#"{"was":"H"}"#,
            r#"{"message":"","was":"H"}"#,
            r#"{"message":"free","was":"H"}"#,
            r#"{"was":"H"}"#,
            r#"{ "a" : "set", "x":1.50 ,"was":"H"}"#,
            r#"{"message":"[\"a\"]","was":"H"}"#,
            r#"{"message":"{\"was\":7}","was":"H"}"#,
        ]
    );
    assert_eq!(Change::try_from(&rewritten[0].bytes[..]).unwrap().extra_bytes(), [9, 8, 7]);
    let again: Vec<Change> = super::tests::changes(&rewritten);
    assert_eq!(again.iter().map(Change::seq).collect::<Vec<_>>(), (1..=7).collect::<Vec<u64>>());
    // Written again once more, it still says what it was first.
    let twice = rewrite(&again, &[again[0].hash()].into()).unwrap();
    let message = Change::try_from(&twice[0].bytes[..]).unwrap().message().unwrap().to_owned();
    assert_eq!(Message::decode(Some(&message)).was(), Some(rewritten[0].was));
}

/// Every replica must make these bytes, in every release.
#[test]
fn the_bytes_are_fixed() {
    let base = base();
    let mut loser = copy(&base, A);
    let first = put(&mut loser, "x", 1);
    let mut friend = copy(&loser, b"friend");
    put(&mut loser, "x", 2);
    put(&mut friend, "x", 3);
    loser.merge(&mut friend).unwrap();
    let mut tx = loser.transaction();
    let (list, text) = (at(&tx, "list"), at(&tx, "text"));
    tx.increment(&list, 0, 5).unwrap();
    tx.insert(&list, 1, "new").unwrap();
    tx.splice_text(&text, 1, 1, "ab").unwrap();
    tx.delete(ROOT, "x").unwrap();
    tx.mark(&text, Mark::new("bold".into(), true, 0, 2), ExpandMark::Both).unwrap();
    tx.commit_with(CommitOptions::default().with_message("by hand").with_time(8));
    put(&mut loser, "y", 4);
    let (affected, _) = split(&loser.get_changes(&[]), &[first.hash()].into());
    let rewritten = rewrite(&affected, &[first.hash()].into()).unwrap();
    let dropped = without(&affected, &affected[1].hash()).unwrap();
    let hex = |r: &Rewritten| r.bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
    let mut lines: Vec<String> = rewritten.iter().map(hex).collect();
    lines.extend(dropped.rewritten.iter().map(hex));
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    assert_eq!(lines, golden);
}

/// A chain by `a`: 1 (the base), 2 (lost), 3, and a fork in the branch itself: two different 4.
struct Nested {
    affected: Vec<Change>,
    lost: ChangeHash,
    one: ChangeHash,
    two: ChangeHash,
}

fn nested() -> Nested {
    let base = base();
    let mut loser = copy(&base, A);
    let lost = put(&mut loser, "x", 1).hash();
    put(&mut loser, "y", 1);
    let mut clone = copy(&loser, A);
    let one = put(&mut loser, "one", 1).hash();
    put(&mut loser, "one", 2);
    let two = put(&mut clone, "two", 1).hash();
    put(&mut clone, "two", 2);
    let mut affected = split(&loser.get_changes(&[]), &[lost].into()).0;
    let known = loser.get_changes(&[]).iter().map(Change::hash).collect::<HashSet<_>>();
    affected.extend(clone.get_changes(&[]).into_iter().filter(|c| !known.contains(&c.hash())));
    Nested { affected, lost, one, two }
}

#[test]
fn a_fork_within_a_fork_is_found_and_resolved_from_the_first_spellings() {
    let Nested { affected, lost, one, two } = nested();
    let now = |all: &[Rewritten], was: ChangeHash| all.iter().find(|r| r.was == was).unwrap().clone();
    let first = rewrite(&affected, &[lost].into()).unwrap();
    let place = |r: &Rewritten| {
        let change = Change::try_from(&r.bytes[..]).unwrap();
        (change.actor_id().clone(), change.seq())
    };
    assert_eq!(place(&now(&first, one)), place(&now(&first, two)), "the same place: the log will say");
    // The log has taken the first, so the second lost, in its second spelling.
    let told = now(&first, two).hash;
    let second = rewrite(&affected, &[lost, told].into()).unwrap();
    assert_eq!(now(&second, one), now(&first, one));
    assert_ne!(place(&now(&second, two)), place(&now(&second, one)));
    assert_eq!(place(&now(&second, two)).1, 1);
    // A replica that never held the first, and pulls its rewriting, is told the same and makes the same bytes.
    let after_one = [one, affected[3].hash()];
    let without_one: Vec<Change> =
        affected.iter().filter(|c| !after_one.contains(&c.hash())).cloned().collect();
    let other = rewrite(&without_one, &[lost, told].into()).unwrap();
    assert_eq!(now(&other, two), now(&second, two));
    // Everything loads together.
    let mut all = base().get_changes(&[]);
    all.extend(changes(&second));
    let doc = build(&all);
    loads(&doc);
    for key in ["one", "two"] {
        assert_eq!(json_of(&doc)[key], json!(2));
        assert_eq!(doc.get_all(ROOT, key).unwrap().len(), 1, "each replaced its own");
    }
}

#[test]
fn losers_told_one_after_another_or_at_once_make_the_same_bytes() {
    // Two actors that both forked; a change on both.
    let base = base();
    let mut other = copy(&base, b"bbbb");
    put(&mut other, "b0", 0);
    let mut loser = copy(&base, A);
    let a = put(&mut loser, "a", 1).hash();
    let b = put(&mut other, "b", 1).hash();
    loser.merge(&mut other).unwrap();
    put(&mut loser, "both", 1);
    other.merge(&mut loser).unwrap();
    put(&mut other, "after", 1);
    let held = other.get_changes(&[]);
    let rewrite = |losers: HashSet<ChangeHash>| super::rewrite(&split(&held, &losers).0, &losers).unwrap();
    let at_once = rewrite([a, b].into());
    // Whoever was told of one first starts over from the first spellings with both.
    let (_, _) = (rewrite([a].into()), rewrite([b].into()));
    assert_eq!(rewrite([b, a].into()), at_once);
    // What one was told of the spelling that only one loser made adds nothing.
    let stale = rewrite([a].into()).last().unwrap().hash;
    assert_eq!(rewrite([a, b, stale].into()), at_once);
}

#[test]
fn an_edit_on_another_spelling_is_written_onto_the_one_that_stays() {
    let base = base();
    let mut loser = copy(&base, A);
    let first = put(&mut loser, "x", 1);
    let mut tx = loser.transaction();
    let list = at(&tx, "list");
    let map = tx.insert_object(&list, 0, ObjType::Map).unwrap();
    tx.put(&map, "in", 1).unwrap();
    tx.commit();
    let originals = split(&loser.get_changes(&[]), &[first.hash()].into()).0;
    let spelled = changes(&rewrite(&originals, &[first.hash()].into()).unwrap());
    // Someone edits the rewritten one, in the object that it made.
    let mut friend = build(&base.get_changes(&[]));
    friend.apply_changes(spelled.clone()).unwrap();
    friend.set_actor(ActorId::from(b"friend".to_vec()));
    let mut tx = friend.transaction();
    let map = tx.get(at(&tx, "list"), 0).unwrap().unwrap().1;
    tx.put(&map, "in", 2).unwrap();
    tx.put(&map, "more", 3).unwrap();
    tx.put(ROOT, "x", 4).unwrap();
    tx.commit();
    let edit = friend.get_last_local_change().unwrap();
    // The log turns out to have the originals.
    let aliases: Vec<Alias<'_>> =
        spelled.iter().zip(&originals).map(|(gone, stands_for)| Alias { gone, stands_for }).collect();
    let none = HashSet::new();
    let moved = rewrite_with_aliases(std::slice::from_ref(&edit), &none, &aliases, &HashSet::new()).unwrap();
    let mut all = loser.get_changes(&[]);
    all.extend(changes(&moved));
    let doc = build(&all);
    loads(&doc);
    assert_eq!(json_of(&doc), json_of(&friend));
    assert_eq!(doc.get_heads(), [moved[0].hash]);
    // Given with the ones that go, and while the originals lose again to someone else, it is all the same kind.
    let mut affected = vec![edit.clone()];
    affected.extend(spelled.iter().cloned());
    assert_eq!(rewrite_with_aliases(&affected, &none, &aliases, &HashSet::new()).unwrap(), moved);
    affected.extend(originals.iter().cloned());
    let both = rewrite_with_aliases(&affected, &[first.hash()].into(), &aliases, &HashSet::new()).unwrap();
    let mut all = base.get_changes(&[]);
    all.extend(changes(&both));
    assert_eq!(json_of(&build(&all)), json_of(&friend));
    // Two that are not the same edit are refused.
    let wrong = Alias { gone: &spelled[0], stands_for: &edit };
    let error = rewrite_with_aliases(std::slice::from_ref(&edit), &none, &[wrong], &none).unwrap_err();
    assert_eq!(error, RewriteError::Alias { gone: spelled[0].hash(), stands_for: edit.hash() });
}

#[test]
fn what_does_not_touch_the_dropped_goes_on_without_it() {
    let mut doc = base();
    let dropped = put(&mut doc, "x", 1);
    put(&mut doc, "y", 2);
    let touches = put(&mut doc, "x", 3);
    put(&mut doc, "z", 4);
    let (affected, others) = split(&doc.get_changes(&[]), &[dropped.hash()].into());
    let result = without(&affected, &dropped.hash()).unwrap();
    assert_eq!(result.also, [touches.hash()]);
    let mut all = others;
    let rest = changes(&result.rewritten);
    assert_eq!(rest.iter().map(Change::seq).collect::<Vec<_>>(), [1, 2]);
    all.extend(rest);
    let now = json_of(&build(&all));
    assert_eq!((now.get("x"), &now["y"], &now["z"]), (None, &json!(2), &json!(4)));
    assert_eq!(without(&affected[1..], &dropped.hash()), Err(RewriteError::NotThere(dropped.hash())));
}

#[test]
fn a_container_change_is_never_written_again() {
    let spec =
        crate::container::ContainerSpec::new(vec!["a".into()], crate::container::ContainerKind::Map, vec![0]);
    let change = Change::try_from(&crate::container::make(&spec.unwrap()).bytes[..]).unwrap();
    let hash = change.hash();
    assert_eq!(rewrite(&[change], &[hash].into()), Err(RewriteError::Container(hash)));
}

#[test]
fn a_new_actor_stands_where_the_old_one_stood() {
    let starts = HashSet::new();
    let reason = Reason::Fork(&starts);
    let hash = ChangeHash([7; 32]);
    let actor = |bytes: &[u8]| ActorId::from(bytes.to_vec());
    let old = [actor(b"a"), actor(b"b"), actor(b"ba"), actor(&[255; 16]), actor(b"rjc1")];
    for one in &old {
        let new = reason.actor(one, &hash);
        assert!(!is_container(&new) && new.to_bytes().len() <= 64);
        assert_ne!(new, reason.actor(one, &ChangeHash([8; 32])));
        assert_ne!(new, Reason::Drop(hash).actor(one, &hash));
        for two in old.iter().filter(|two| !two.to_bytes().starts_with(one.to_bytes())) {
            assert_eq!(new.cmp(two), one.cmp(two));
        }
    }
    assert!(reason.actor(&actor(&[1; 64]), &hash).to_bytes().len() <= 64);
}

fn is_container(actor: &ActorId) -> bool {
    crate::container::is_container_actor(actor)
}

#[test]
fn hostile_numbers_do_not_panic() {
    let mut change = put(&mut base(), "x", 1).decode();
    change.start_op = std::num::NonZeroU64::MAX;
    change.seq = u64::MAX;
    let change = Change::from(change);
    let hash = change.hash();
    assert_eq!(rewrite(std::slice::from_ref(&change), &[hash].into()).unwrap().len(), 1);
    assert_eq!(without(&[change], &hash).unwrap().also, []);
}

#[test]
#[ignore = "a measurement"]
fn measure_rewriting_a_hundred_thousand() {
    let mut doc = base();
    let first = put(&mut doc, "x", 0).hash();
    for n in 0..100_000_i64 {
        put(&mut doc, &format!("k{}", n % 1000), n);
    }
    let (affected, others) = split(&doc.get_changes(&[]), &[first].into());
    let started = std::time::Instant::now();
    let rewritten = rewrite(&affected, &[first].into()).unwrap();
    println!("rewrite of {}: {:?}", rewritten.len(), started.elapsed());
    let mut all = others;
    all.extend(changes(&rewritten));
    let started = std::time::Instant::now();
    let doc = build(&all);
    println!("applied: {:?}, {} bytes", started.elapsed(), doc.save().len());
}
