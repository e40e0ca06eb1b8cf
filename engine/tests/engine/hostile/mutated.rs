//! Changes mutated here, checksums repaired, and batches with bad ones among good ones.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use automerge::{
    ActorId, Author, Automerge, Change, ChangeHash, PatchLog, ROOT, ReadDoc, ScalarValue,
    transaction::Transactable,
};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    fence::{DEPTH, Limits, check_bytes},
    untrusted::{TRIALS, apply_in_place, apply_untrusted, guarded, parse_untrusted, verify_snapshot},
};

use crate::cpu::of_this_thread;
use crate::hostile::support::{
    Fate, Parts, Replica, body, chunk, honest, nested, panicking, quiet, state, stays_editable,
};

/// One to three bytes changed, put in, taken out or moved about.
fn mutate(bytes: &[u8], rng: &mut StdRng) -> Vec<u8> {
    let mut out = bytes.to_vec();
    for _ in 0..rng.random_range(1..4) {
        let at = rng.random_range(0..out.len());
        match rng.random_range(0..6) {
            0 => out[at] ^= 1 << rng.random_range(0..8),
            1 => out[at] = rng.random(),
            2 => out.insert(at, rng.random()),
            3 => drop(out.remove(at)),
            4 => out[at] = out[at].wrapping_add(1),
            _ => {
                let other = rng.random_range(0..out.len());
                out.swap(at, other);
            }
        }
    }
    out
}

#[test]
fn no_mutated_change_panics_through_or_changes_a_document_by_failing() {
    quiet();
    let (mut fates, mut slowest) = (HashMap::<&str, u32>::new(), Duration::ZERO);
    for seed in 0..150 {
        let mut rng = StdRng::seed_from_u64(seed);
        let history = honest(&mut rng, 3, 16);
        let at = rng.random_range(0..history.len());
        let base: Vec<u8> = history[..at].iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
        let replica = Replica::of(&base);
        let before = state(&replica.document);
        let control = replica.clone().push(history[at].raw_bytes());
        assert_eq!(control, Fate::Applied, "seed {seed}: unmutated");
        for round in 0..40 {
            let mutated = chunk(1, &mutate(body(history[at].raw_bytes()), &mut rng));
            let mut replica = replica.clone();
            let started = of_this_thread();
            let fate = replica.push(&mutated);
            slowest = slowest.max(of_this_thread() - started);
            let fate = match fate {
                Fate::Refused(_) => "refused",
                Fate::Quarantined(_) => "quarantined",
                Fate::Applied => "applied",
                Fate::Duplicate => "duplicate",
            };
            *fates.entry(fate).or_default() += 1;
            if fate == "applied" {
                let _ = guarded(|| verify_snapshot(&replica.document, &replica.document.save()));
                continue;
            }
            assert_eq!(state(&replica.document), before, "seed {seed}, round {round}");
            if round % 8 == 0 {
                stays_editable(&mut replica.document);
            }
        }
    }
    eprintln!("mutated: {fates:?}, the slowest took {slowest:?}");
    assert!(fates["refused"] > 1_000 && fates["quarantined"] > 100 && fates["applied"] > 100, "{fates:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}

fn parse(bytes: &[u8]) -> Change {
    parse_untrusted(&check_bytes(bytes, &Limits::default()).unwrap()).unwrap()
}

/// `count` honest changes of an actor of their own, each on the one before.
fn chain(actor: u8, count: u64) -> Vec<Change> {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![actor; 16]));
    for number in 0..count {
        let key = format!("{actor}/{number}");
        document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, key, number)).unwrap();
    }
    document.get_changes(&[])
}

fn applied(changes: &[Change]) -> Automerge {
    let mut document = Automerge::new();
    document.apply_changes(changes.to_vec()).unwrap();
    document
}

#[test]
fn bad_changes_in_a_batch_are_found_and_all_others_go_in() {
    quiet();
    let good = [chain(1, 300), chain(2, 300)].concat();
    let mut batch = good.clone();
    let bad: Vec<Change> = (0..3).map(|number| parse(&panicking(100 + number, vec![]))).collect();
    let child = Parts { deps: vec![bad[0].hash()], actor: vec![90; 16], ..Parts::default() };
    let grandchild =
        Parts { deps: vec![parse(&child.chunk()).hash()], actor: vec![91; 16], ..Parts::default() };
    batch.insert(10, bad[0].clone());
    batch.insert(11, parse(&child.chunk()));
    batch.insert(333, bad[1].clone());
    batch.insert(500, parse(&grandchild.chunk()));
    batch.push(bad[2].clone());

    let mut document = Automerge::new();
    let outcome = apply_untrusted(&mut document, batch.clone(), None);
    let left_out: Vec<ChangeHash> = outcome.quarantined.iter().map(|(hash, _)| *hash).collect();
    assert_eq!(left_out, [10, 11, 333, 500, 604].map(|at| batch[at].hash()), "{:?}", outcome.quarantined);
    assert!(outcome.quarantined[0].1.to_string().contains("panicked"), "{:?}", outcome.quarantined[0]);
    assert!(
        outcome.quarantined[1].1.to_string().contains(&bad[0].hash().to_string()),
        "{:?}",
        outcome.quarantined[1]
    );
    assert_eq!(state(&document), state(&applied(&good)));
    stays_editable(&mut document);
}

#[test]
fn applied_in_place_all_go_in_or_it_is_an_error() {
    quiet();
    let good = [chain(1, 300), chain(2, 300)].concat();
    let mut document = Automerge::new();
    assert_eq!(apply_in_place(&mut document, good.clone()), Ok(()));
    assert_eq!(state(&document), state(&applied(&good)));
    let mut batch = good.clone();
    batch.insert(10, parse(&panicking(100, vec![])));
    assert!(apply_in_place(&mut Automerge::new(), batch).is_err());
    let orphans = good[5..20].to_vec();
    assert!(apply_in_place(&mut Automerge::new(), orphans).is_err(), "they lack what they depend on");
}

#[test]
fn patches_tell_of_what_was_applied_and_of_nothing_else() {
    quiet();
    let good = chain(1, 20);
    let mut batch = good.clone();
    batch.insert(7, parse(&panicking(100, vec![])));
    let (mut of_batch, mut of_good) = (PatchLog::active(), PatchLog::active());
    let mut document = Automerge::new();
    assert_eq!(apply_untrusted(&mut document, batch, Some(&mut of_batch)).quarantined.len(), 1);
    let mut expected = Automerge::new();
    expected.apply_changes_log_patches(good, &mut of_good).unwrap();
    let keys = |document: &Automerge, log: &mut PatchLog| {
        let mut keys: Vec<String> =
            document.make_patches(log).iter().map(|patch| format!("{:?}", patch.action)).collect();
        keys.sort();
        keys
    };
    assert_eq!(keys(&document, &mut of_batch), keys(&expected, &mut of_good));
}

#[test]
fn a_document_keeps_its_actor_and_its_author() {
    quiet();
    let author = Author::from(b"someone".to_vec());
    let actor = ActorId::from(vec![42; 16]);
    let mut document = Automerge::new().with_author(Some(author.clone()));
    document.set_actor(actor.clone());
    document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "mine", 1)).unwrap();
    let batch = [chain(1, 3), vec![parse(&panicking(100, vec![]))], chain(99, 3)].concat();
    apply_untrusted(&mut document, batch, None);
    assert_eq!((document.get_actor(), document.get_author()), (&actor, Some(&author)));
    document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "mine", 2)).unwrap();
    let own = document.get_last_local_change().unwrap();
    assert_eq!((own.actor_id(), own.seq()), (&actor, 2));
}

/// A batch gets at most 64 trials. What is left is held and tried later.
#[test]
fn what_sixty_four_trials_do_not_settle_is_held_and_goes_in_later() {
    quiet();
    let (mut batch, mut later) = (vec![], vec![]);
    for number in 0..100 {
        let [first, second] = chain(number, 2).try_into().unwrap();
        batch.push(parse(&panicking(100 + number, vec![])));
        batch.push(first);
        later.push(second);
    }
    batch.extend(later);
    let good: Vec<Change> =
        batch.iter().filter(|change| change.actor_id().to_bytes()[0] < 100).cloned().collect();
    let mut document = Automerge::new();
    let mut rounds = 0;
    let mut condemned = std::collections::HashSet::new();
    while !batch.is_empty() && rounds < 50 {
        let outcome = apply_untrusted(&mut document, batch.clone(), None);
        rounds += 1;
        if rounds == 1 {
            let held = outcome.quarantined.iter().filter(|(_, reason)| reason.is_held()).count();
            assert!(held > 0, "{TRIALS} trials cannot settle a hundred culprits");
        }
        let held: std::collections::HashSet<ChangeHash> = outcome
            .quarantined
            .iter()
            .filter(|(_, reason)| reason.is_held())
            .map(|(hash, _)| *hash)
            .collect();
        let settled = outcome.quarantined.iter().map(|(hash, _)| *hash).filter(|hash| !held.contains(hash));
        condemned.extend(settled);
        batch.retain(|change| held.contains(&change.hash()));
    }
    assert_eq!(condemned.len(), 100, "after {rounds} rounds");
    assert!(good.iter().all(|change| !condemned.contains(&change.hash())));
    assert_eq!(state(&document), state(&applied(&good)));
}

/// "Changes whose dependencies are missing are queued inside without bound: never give them in." They would be saved, too.
#[test]
fn a_change_whose_dependency_is_not_there_is_never_given_to_the_library() {
    quiet();
    let changes = chain(1, 5);
    let mut document = Automerge::new();
    let outcome = apply_untrusted(&mut document, changes[2..].to_vec(), None);
    assert_eq!(outcome.quarantined.len(), 3, "{:?}", outcome.quarantined);
    assert_eq!((document.get_heads(), document.get_missing_deps(&[])), (vec![], vec![]));
    assert!(apply_untrusted(&mut document, changes.clone(), None).quarantined.is_empty());
    assert_eq!(state(&document), state(&applied(&changes)));
    assert!(apply_untrusted(&mut document, changes.clone(), None).quarantined.is_empty(), "again");
}

#[test]
fn an_actors_number_used_twice_is_left_out_and_the_rest_goes_in() {
    quiet();
    let good = chain(1, 20);
    let fork = Parts { actor: vec![1; 16], ..Parts::default() };
    let mut batch = good.clone();
    batch.insert(5, parse(&fork.chunk()));
    let mut document = Automerge::new();
    let outcome = apply_untrusted(&mut document, batch, None);
    assert_eq!(outcome.quarantined.len(), 1, "{:?}", outcome.quarantined);
    assert_eq!(state(&document), state(&applied(&good)));
}

#[test]
fn a_snapshot_is_verified_by_loading_it_again() {
    quiet();
    for seed in 0..20 {
        let document = applied(&honest(&mut StdRng::seed_from_u64(seed), 3, 40));
        verify_snapshot(&document, &document.save()).unwrap_or_else(|why| panic!("seed {seed}: {why}"));
    }
    let mut document = applied(&chain(1, 10));
    document
        .transact::<_, _, automerge::AutomergeError>(|tx| {
            tx.put(ROOT, "not a number", ScalarValue::F64(f64::NAN))
        })
        .unwrap();
    let bytes = document.save();
    verify_snapshot(&document, &bytes).expect("a NaN is equal to itself here");
    assert!(verify_snapshot(&document, &bytes[..bytes.len() - 1]).is_err());
    assert!(verify_snapshot(&document, &[]).is_err());
    assert!(verify_snapshot(&applied(&chain(1, 9)), &bytes).is_err());
    assert!(verify_snapshot(&applied(&chain(2, 11)), &bytes).is_err());
    document.empty_commit(automerge::transaction::CommitOptions::default());
    assert!(verify_snapshot(&document, &bytes).is_err(), "the same state by other changes");
}

/// The library reads by recursion: at some 280 a thread's stack is full, and the process ends.
#[test]
fn objects_that_lie_too_deep_are_left_out_and_those_at_the_limit_can_be_read() {
    quiet();
    for at_once in [true, false] {
        let mut document = Automerge::new();
        let outcome = apply_untrusted(&mut document, nested(DEPTH, at_once).get_changes(&[]), None);
        assert_eq!(outcome.quarantined, []);
        verify_snapshot(&document, &document.save()).unwrap();
        assert_eq!(state(&document), state(&nested(DEPTH, at_once)));

        for depth in [DEPTH + 1, DEPTH + 100, 10_000] {
            let changes = nested(depth, at_once).get_changes(&[]);
            let mut document = Automerge::new();
            let outcome = apply_untrusted(&mut document, changes.clone(), None);
            let kept = if at_once { 0 } else { DEPTH };
            assert_eq!(outcome.quarantined.len(), changes.len() - kept, "{depth}, {at_once}");
            assert!(outcome.quarantined[0].1.to_string().contains("deeper"), "{:?}", outcome.quarantined[0]);
            let _ = state(&document);
        }
    }
}

#[test]
fn an_object_that_lies_in_itself_is_left_out() {
    quiet();
    let parts = Parts::operations(2).column(0x42, vec![0x7e, 0x00, 0x01]);
    let parts = parts.column(0x01, vec![0x02, 0x00]).column(0x02, vec![0x02, 0x01]);
    let mut document = Automerge::new();
    let outcome = apply_untrusted(&mut document, vec![parse(&parts.chunk())], None);
    assert_eq!(outcome.quarantined.len(), 1);
    stays_editable(&mut document);
}

/// No assertion: the machine is shared. 0.14 s for the batch was measured, without parsing.
#[test]
fn the_cost_of_a_batch_and_of_a_single_change_is_printed() {
    let changes = chain(1, 20_000);
    let mut document = applied(&changes[..10_000]);
    let batch: Vec<Vec<u8>> = changes[10_000..].iter().map(|change| change.raw_bytes().to_vec()).collect();
    let started = Instant::now();
    let parsed: Vec<Change> = batch.iter().map(|bytes| parse(bytes)).collect();
    let parsing = started.elapsed();
    let started = Instant::now();
    assert_eq!(apply_untrusted(&mut document, parsed, None).quarantined, []);
    let applying = started.elapsed();
    let more = chain(2, 1);
    let started = Instant::now();
    assert_eq!(apply_untrusted(&mut document, more, None).quarantined, []);
    eprintln!(
        "10,000 changes onto 10,000: parsed in {parsing:?}, applied in {applying:?}; one more in {:?}",
        started.elapsed()
    );
}
