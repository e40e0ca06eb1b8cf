//! The fence itself: what it reads is what the library reads, and each limit holds at its edge.

use std::time::Instant;

use automerge::{ActorId, Automerge, Change, ChangeHash, ROOT, transaction::Transactable};
use rand::{SeedableRng, rngs::StdRng};
use rejoin::fence::{
    CheckedChange, ChunkKind, LAST_TIME, Limits, Placement, RefusalCode, SHARES, SLACK, WalkBudget, check,
    check_bytes, frame, place,
};

use crate::cpu::of_this_thread;
use crate::hostile::support::{Log, Parts, body, chunk, compressed, deflate, honest, leb128};

fn code(parts: &Parts) -> RefusalCode {
    let refusal = parts.check().unwrap_err();
    assert!(refusal.hash.is_some(), "{refusal}");
    refusal.code
}

fn agrees(checked: &CheckedChange, change: &Change) {
    assert_eq!(checked.hash, change.hash());
    assert_eq!(checked.operations, change.len() as u64);
    assert_eq!(checked.actor, *change.actor_id());
    assert_eq!(checked.seq, change.seq());
    assert_eq!(checked.start_op, change.start_op().get());
    assert_eq!(checked.deps, change.deps());
    assert_eq!(checked.time, change.timestamp());
    // The library keeps an empty message that was set, and forgets it when it loads the change again.
    assert_eq!(checked.message.as_deref(), change.message().filter(|text| !text.is_empty()));
    assert_eq!(checked.bytes, change.raw_bytes());
}

#[test]
fn the_fence_reads_in_honest_changes_what_the_library_reads() {
    let (mut plain, mut deflated, mut most) = (0, 0, 0);
    for seed in 0..60 {
        let mut rng = StdRng::seed_from_u64(seed);
        for mut change in honest(&mut rng, 4, 60) {
            let checked = check_bytes(change.raw_bytes(), &Limits::default());
            agrees(&checked.unwrap_or_else(|refusal| panic!("seed {seed}: {refusal}")), &change);
            plain += 1;
            most = most.max(change.len());
            let bytes = change.bytes().into_owned();
            if bytes != change.raw_bytes() {
                assert_eq!(frame(&bytes).unwrap()[0].kind, ChunkKind::Compressed);
                agrees(&check_bytes(&bytes, &Limits::default()).unwrap(), &change);
                deflated += 1;
            }
        }
    }
    eprintln!("{plain} changes agree, {deflated} of them compressed too; the longest has {most} operations");
    assert!(plain > 1_000 && deflated > 100 && most > 20, "{plain} {deflated} {most}");
}

#[test]
fn every_honest_history_is_placed_as_new_and_then_as_duplicate() {
    for seed in 0..20 {
        let mut log = Log::default();
        let changes = honest(&mut StdRng::seed_from_u64(seed), 4, 60);
        for round in 0..2 {
            for change in &changes {
                let checked = check_bytes(change.raw_bytes(), &Limits::default()).unwrap();
                match place(&checked, &mut log, &mut WalkBudget::default()).unwrap() {
                    Placement::New { .. } if round == 0 => log.append(checked),
                    Placement::Duplicate { position } if round == 1 => {
                        assert_eq!(log.changes[position as usize - 1], checked);
                    }
                    other => panic!("seed {seed}: {other:?}"),
                }
            }
        }
    }
}

#[test]
fn what_cannot_be_framed_is_refused_whole() {
    let good = Parts::default().chunk();
    assert_eq!(frame(&[]).unwrap(), []);
    assert_eq!(frame(&[good.clone(), good.clone()].concat()).unwrap().len(), 2);
    let over_long = [&good[..9], &[good[9] | 0x80, 0x00], &good[10..]].concat();
    let past_the_end = [&good[..9], &leb128(u64::MAX), &good[10..]].concat();
    let mut magic = good.clone();
    magic[3] ^= 1;
    let trailing = [good.clone(), vec![0x85]].concat();
    for bad in [over_long, past_the_end, magic, trailing, vec![0; 3]] {
        let refusal = frame(&[good.clone(), bad].concat()).unwrap_err();
        assert_eq!((refusal.code, refusal.hash), (RefusalCode::Malformed, None), "{refusal}");
    }
    for cut in 1..good.len() {
        assert_eq!(frame(&good[..cut]).unwrap_err().code, RefusalCode::Malformed, "cut at {cut}");
    }
}

#[test]
fn a_chunk_that_is_no_change_is_framed_and_refused_by_its_hash() {
    let mut document = Automerge::new();
    document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "a", 1)).unwrap();
    let saved = document.save();
    let bundle = chunk(3, b"whatever");
    let unknown = chunk(9, b"whatever");
    let mut checksum = Parts::default().chunk();
    checksum[4] ^= 1;
    let body = [saved, bundle, unknown, checksum].concat();
    let frames = frame(&body).unwrap();
    let refusals: Vec<_> = frames.iter().map(|one| check(one, &Limits::default()).unwrap_err()).collect();
    let codes: Vec<_> = refusals.iter().map(|refusal| refusal.code).collect();
    use RefusalCode::{Checksum, Malformed, NotAChange};
    assert_eq!(codes, [NotAChange, NotAChange, Malformed, Checksum]);
    assert!(refusals.iter().all(|refusal| refusal.hash.is_some()));
    let hash = check_bytes(&Parts::default().chunk(), &Limits::default()).unwrap().hash;
    assert_eq!(refusals[3].hash, Some(hash), "a wrong checksum does not hide which change it is");
}

#[test]
fn a_change_of_one_byte_over_the_limit_is_too_large_compressed_or_not() {
    let change = Parts::default();
    let size = change.chunk().len();
    for (limit, fits) in [(size, true), (size - 1, false)] {
        let mut limits = Limits::default();
        limits.change_bytes = limit;
        let deflated = compressed(&change.body(), &deflate(&change.body()));
        for bytes in [change.chunk(), deflated] {
            let result = check_bytes(&bytes, &limits);
            match result {
                Ok(checked) => assert!(fits && checked.bytes == change.chunk()),
                Err(refusal) => {
                    assert_eq!((fits, refusal.code), (false, RefusalCode::TooLarge));
                    assert!(refusal.detail.contains(&limit.to_string()), "the limit is named: {refusal}");
                    assert!(refusal.hash.is_some());
                }
            }
        }
    }
}

/// A limit: its name, what has so many of it, the most, and the code for one more.
type Edge = (&'static str, fn(usize) -> Parts, usize, RefusalCode);

#[test]
fn each_limit_holds_at_its_edge_and_is_named() {
    let limits = Limits::default();
    let actor = |length: usize| vec![7; length];
    let edges: [Edge; 5] = [
        ("operations", |n| Parts::operations(n as i64), 100_000, RefusalCode::TooManyOperations),
        (
            "dependencies",
            |n| Parts { deps: vec![ChangeHash([1; 32]); n], ..Parts::default() },
            limits.dependencies,
            RefusalCode::TooLarge,
        ),
        (
            "actor",
            |n| Parts { actor: vec![7; n], ..Parts::default() },
            limits.actor_bytes,
            RefusalCode::TooLarge,
        ),
        (
            "other actors",
            |n| Parts { others: vec![vec![1; 16]; n], ..Parts::default() },
            limits.actors,
            RefusalCode::TooLarge,
        ),
        (
            "message",
            |n| Parts { message: vec![b'x'; n], ..Parts::default() },
            limits.message_bytes,
            RefusalCode::TooLarge,
        ),
    ];
    for (name, parts, limit, expected) in edges {
        parts(limit).check().unwrap_or_else(|refusal| panic!("{name} at the limit: {refusal}"));
        let refusal = parts(limit + 1).check().unwrap_err();
        assert_eq!(refusal.code, expected, "{name}");
        assert!(refusal.detail.contains(&limit.to_string()), "{name}: {refusal}");
    }
    assert_eq!(
        code(&Parts { others: vec![actor(limits.actor_bytes + 1)], ..Parts::default() }),
        RefusalCode::TooLarge
    );
}

#[test]
fn a_few_bytes_that_stand_for_much_are_refused_in_every_column() {
    let huge = [0x81, 0xa0, 0x94, 0xa5, 0x8d, 0x1d];
    let operations = Parts::default().column(0x42, [&huge[..], &[1]].concat());
    assert_eq!(code(&operations), RefusalCode::TooManyOperations);
    let predecessors = Parts::default().column(0x70, [&[0x7f][..], &huge].concat());
    assert_eq!(code(&predecessors), RefusalCode::TooManyOperations);
    let long = vec![b'k'; 700];
    let many = 100_000_i64;
    let rows = Parts::operations(many).columns[2].1.clone();
    let name = [&rows[..rows.len() - 1], &leb128(long.len() as u64), &long].concat();
    assert_eq!(code(&Parts::operations(many).column(0x15, name.clone())), RefusalCode::TooLarge);
    assert_eq!(code(&Parts::operations(many).column(0xa5, name)), RefusalCode::TooLarge);
}

#[test]
fn numbers_at_their_ends_are_refused_without_a_panic() {
    let seq = |seq| Parts { seq, ..Parts::default() };
    let start = |start_op| Parts { start_op, ..Parts::default() };
    assert_eq!(code(&seq(0)), RefusalCode::Malformed);
    assert_eq!(code(&start(0)), RefusalCode::Malformed);
    assert_eq!(code(&start(u64::MAX)), RefusalCode::OutOfRange);
    assert_eq!(code(&start(u64::from(u32::MAX))), RefusalCode::OutOfRange);
    assert_eq!(code(&seq(u64::MAX)), RefusalCode::OutOfRange);
    assert!(seq(u64::from(u32::MAX)).check().is_ok());
    assert!(
        start(1 << 31).check().is_ok(),
        "by itself a start_op says nothing: its ancestors may have gone as far"
    );
    let count = Parts::default().column(0x42, vec![0x80; 10]);
    assert_eq!(code(&count), RefusalCode::Malformed);
    let deflated = Parts::default().column(0x42 | 8, deflate(&[0x7f, 0x01]));
    assert_eq!(code(&deflated), RefusalCode::Malformed);
}

#[test]
fn a_time_that_no_clock_shows_is_out_of_range() {
    let time = |time| Parts { time, ..Parts::default() };
    let decade = 10 * 366 * 86_400;
    let today = 1_795_000_000_i64;
    for good in [0, -decade, today - decade, today + decade, today * 1_000, LAST_TIME, -LAST_TIME] {
        assert!(time(good).check().is_ok(), "{good}");
    }
    for bad in [LAST_TIME + 1, -LAST_TIME - 1, i64::MAX, i64::MIN, today - i64::MAX] {
        assert_eq!(code(&time(bad)), RefusalCode::OutOfRange, "{bad}");
    }
}

/// What the first actor of a document may pass over.
const MOST: u64 = SLACK / SHARES;

#[test]
fn a_change_counts_on_from_what_it_depends_on() {
    let honest = |count: u64| {
        let mut log = Log::default();
        for seq in 1..=count {
            let deps: Vec<usize> = (seq > 1).then_some(seq as usize - 1).into_iter().collect();
            let change = counting(&log, (1, seq, &deps), seq);
            assert!(matches!(
                place(&change, &mut log, &mut WalkBudget::default()),
                Ok(Placement::New { .. })
            ));
            log.append(change);
        }
        log
    };
    let mut log = honest(10);
    let leap = counting(&log, (2, 1, &[10]), 4_293_918_000);
    assert_eq!(refused(&mut log, &leap), RefusalCode::OutOfRange);
    let after_a_drop = counting(&log, (2, 1, &[10]), 11 + MOST);
    assert!(matches!(place(&after_a_drop, &mut log, &mut WalkBudget::default()), Ok(Placement::New { .. })));
    log.append(after_a_drop);
    let again = counting(&log, (2, 2, &[11]), 13 + MOST);
    assert_eq!(refused(&mut log, &again), RefusalCode::OutOfRange, "the slack is a sum over all of an actor");
    let others = counting(&log, (3, 1, &[11]), 12 + 2 * MOST - MOST / 2048);
    assert!(
        matches!(place(&others, &mut log, &mut WalkBudget::default()), Ok(Placement::New { .. })),
        "another has nearly as much"
    );
    let on = counting(&log, (3, 1, &[11]), 12 + MOST);
    assert!(matches!(place(&on, &mut log, &mut WalkBudget::default()), Ok(Placement::New { .. })));
    let beside = counting(&log, (3, 1, &[10]), 11 + MOST);
    assert!(
        matches!(place(&beside, &mut log, &mut WalkBudget::default()), Ok(Placement::New { .. })),
        "what did not come before it uses nothing of it up"
    );
}

#[test]
fn a_compressed_chunk_inflates_no_further_than_the_limit() {
    let bomb = compressed(&[], &deflate(&vec![0; 48 << 20]));
    let started = of_this_thread();
    let refusal = check_bytes(&bomb, &Limits::default()).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::TooLarge);
    assert!((of_this_thread() - started).as_millis() < 50);
    let cut = deflate(&Parts::default().body());
    let refusal = check_bytes(&compressed(&[], &cut[..cut.len() - 3]), &Limits::default()).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Malformed);
}

/// A log of changes by hand: `(actor, seq, dependencies by position)`.
fn log_of(changes: &[(u8, u64, &[usize])]) -> Log {
    let mut log = Log::default();
    for change in changes {
        let checked = made(&log, change);
        log.append(checked);
    }
    log
}

fn made(log: &Log, (actor, seq, deps): &(u8, u64, &[usize])) -> CheckedChange {
    counting(log, (*actor, *seq, deps), log.next_counter(deps))
}

/// With its first operation at this counter.
fn counting(log: &Log, (actor, seq, deps): (u8, u64, &[usize]), start_op: u64) -> CheckedChange {
    let deps = deps.iter().map(|at| log.changes[at - 1].hash).collect();
    Parts { actor: vec![actor; 16], seq, deps, start_op, ..Parts::default() }.check().unwrap()
}

fn refused(log: &mut Log, change: &CheckedChange) -> RefusalCode {
    match place(change, log, &mut WalkBudget::default()).unwrap() {
        Placement::Refused(refusal) => {
            assert_eq!(refusal.hash, Some(change.hash));
            refusal.code
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_whose_dependencies_are_missing_names_all_of_them() {
    let mut log = log_of(&[(1, 1, &[])]);
    let absent = [ChangeHash([3; 32]), ChangeHash([4; 32])];
    let deps = vec![absent[0], log.changes[0].hash, absent[1]];
    let change = Parts { actor: vec![2; 16], deps, ..Parts::default() }.check().unwrap();
    match place(&change, &mut log, &mut WalkBudget::default()).unwrap() {
        Placement::Refused(refusal) => {
            assert_eq!(refusal.code, RefusalCode::MissingDependency);
            assert_eq!(refusal.missing, absent);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sequence_number_used_again_is_a_fork_and_a_gap_is_malformed() {
    let mut log = log_of(&[(1, 1, &[]), (1, 2, &[1]), (2, 1, &[])]);
    let again = made(&log, &(1, 2, &[1, 3]));
    assert_eq!(refused(&mut log, &again), RefusalCode::ActorFork);
    let first_again = made(&log, &(1, 1, &[2]));
    assert_eq!(refused(&mut log, &first_again), RefusalCode::ActorFork);
    let gap = made(&log, &(1, 4, &[2]));
    assert_eq!(refused(&mut log, &gap), RefusalCode::Malformed);
    let new_actor = made(&log, &(9, 2, &[2]));
    assert_eq!(refused(&mut log, &new_actor), RefusalCode::Malformed);
    let far = made(&log, &(1, u64::from(u32::MAX), &[2]));
    assert_eq!(refused(&mut log, &far), RefusalCode::Malformed);
}

/// Without this the library panics in one batching and stores an unloadable document in another.
#[test]
fn an_actors_last_change_has_to_be_an_ancestor() {
    let mut log = log_of(&[(1, 1, &[]), (2, 1, &[]), (1, 2, &[1]), (2, 2, &[2])]);
    let beside = made(&log, &(1, 3, &[4]));
    assert_eq!(refused(&mut log, &beside), RefusalCode::Malformed);
    let on_older = made(&log, &(1, 3, &[1]));
    assert_eq!(refused(&mut log, &on_older), RefusalCode::Malformed);
    let nowhere = made(&log, &(1, 3, &[]));
    assert_eq!(refused(&mut log, &nowhere), RefusalCode::Malformed);
    for (deps, found) in [(&[3_usize][..], vec![3]), (&[4, 3], vec![4, 3])] {
        let change = made(&log, &(1, 3, deps));
        let placed = place(&change, &mut log, &mut WalkBudget::default()).unwrap();
        assert!(matches!(placed, Placement::New { deps, .. } if deps == found));
    }
}

#[test]
fn the_walk_to_an_actors_last_change_never_goes_below_it_and_ends_with_its_budget() {
    // Actor 1, then a thousand changes of actor 2, the last actor 1 again in the middle of them.
    let mut log = log_of(&[(2, 1, &[])]);
    for seq in 2..=1_000 {
        let change = made(&log, &(2, seq, &[seq as usize - 1]));
        log.append(change);
    }
    let own = made(&log, &(1, 1, &[1_000]));
    log.append(own);
    for seq in 1_001..=1_500 {
        let last = log.changes.len();
        let change = made(&log, &(2, seq, &[last]));
        log.append(change);
    }
    let change = made(&log, &(1, 2, &[1_501]));
    log.steps = 0;
    let mut walk = WalkBudget { steps: 500 };
    let placed = place(&change, &mut log, &mut walk).unwrap();
    assert!(matches!(placed, Placement::New { deps, .. } if deps == [1_501]));
    assert_eq!((log.steps, walk.steps), (500, 0));
    let mut walk = WalkBudget { steps: 499 };
    match place(&change, &mut log, &mut walk).unwrap() {
        Placement::Refused(refusal) => assert_eq!(refusal.code, RefusalCode::TooLarge),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_walk_that_finds_nothing_stops_at_the_actors_last_change() {
    // A thousand changes of actor 2, then one of actor 1, then ten more of actor 2 beside it.
    let mut log = log_of(&[(2, 1, &[])]);
    for seq in 2..=1_000 {
        let change = made(&log, &(2, seq, &[seq as usize - 1]));
        log.append(change);
    }
    let own = made(&log, &(1, 1, &[1_000]));
    log.append(own);
    for seq in 1_001..=1_010 {
        let last = if seq == 1_001 { 1_000 } else { log.changes.len() };
        let change = made(&log, &(2, seq, &[last]));
        log.append(change);
    }
    let beside = made(&log, &(1, 2, &[1_011]));
    log.steps = 0;
    assert_eq!(refused(&mut log, &beside), RefusalCode::Malformed);
    assert_eq!(log.steps, 10);
}

/// No assertion: the machine is shared. About 2 µs a change was measured.
#[test]
fn the_cost_of_a_small_change_is_printed() {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![5; 16]));
    for number in 0..2_000 {
        document
            .transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, format!("key{number}"), number))
            .unwrap();
    }
    let chunks: Vec<Vec<u8>> =
        document.get_changes(&[]).iter().map(|change| change.raw_bytes().to_vec()).collect();
    let bytes = chunks.concat();
    let best = (0..20)
        .map(|_| {
            let started = Instant::now();
            for one in frame(&bytes).unwrap() {
                std::hint::black_box(check(&one, &Limits::default()).unwrap());
            }
            started.elapsed()
        })
        .min()
        .unwrap();
    let mean = bytes.len() / chunks.len();
    eprintln!("the fence: {:.2} µs a change of {mean} bytes", best.as_secs_f64() * 1e6 / chunks.len() as f64);
    assert_eq!(body(&chunks[0]).len() + 10, chunks[0].len());
}
