//! Which spelling stands, and that its bytes are fixed.

use super::*;

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
            let (said, proof) = message.rsplit_once(r#","of":{"#).unwrap();
            assert!(proof.ends_with("}}"));
            format!("{}}}", said.replace(&r.was.to_string(), "H"))
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
    let golden: Vec<&str> = include_str!("../golden.txt").lines().collect();
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

/// An actor goes on in its own line after it pulled a rewritten branch of its former numbers, and then loses itself.
#[test]
fn what_is_made_on_a_rewritten_branch_is_no_part_of_it() {
    let base = base();
    let (mut winner, mut loser) = (copy(&base, A), copy(&base, A));
    let (lost, _) = (put(&mut loser, "x", 1), put(&mut loser, "x", 2));
    put(&mut winner, "w", 1);
    put(&mut winner, "w", 2);
    let originals = split(&loser.get_changes(&[]), &[lost.hash()].into()).0;
    let spelled = changes(&rewrite(&originals, &[lost.hash()].into()).unwrap());
    winner.apply_changes(spelled.clone()).unwrap();
    let on_both = put(&mut winner, "x", 3);
    assert_eq!((on_both.seq(), on_both.deps().len()), (4, 2));
    let aliases: Vec<Alias<'_>> =
        spelled.iter().zip(&originals).map(|(gone, stands_for)| Alias { gone, stands_for }).collect();
    let mut affected = originals.clone();
    affected.push(on_both.clone());
    let losers = [lost.hash(), on_both.hash()].into();
    let rewritten = rewrite_with_aliases(&affected, &losers, &aliases, &HashSet::new()).unwrap();
    let places: HashSet<(ActorId, u64)> = rewritten.iter().map(|r| (r.actor.clone(), r.seq)).collect();
    assert_eq!(places.len(), 3, "each has a place of its own");
    let held = winner.get_changes(&[]);
    let gone: HashSet<ChangeHash> = spelled.iter().chain([&on_both]).map(Change::hash).collect();
    let mut all: Vec<Change> = held.into_iter().filter(|c| !gone.contains(&c.hash())).collect();
    all.extend(changes(&rewritten));
    let again = build(&all);
    loads(&again);
    assert_eq!(json_of(&again), json_of(&winner));
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
