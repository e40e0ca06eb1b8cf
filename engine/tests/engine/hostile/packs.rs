//! Packs: what was packed comes back byte for byte, and no bytes whatever make unpacking panic or take more than the
//! limits say.

use std::time::Duration;

use automerge::{
    Automerge, Change, ObjType, ROOT, ScalarValue,
    transaction::{CommitOptions, Transactable},
};
use proptest::prelude::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    fence::{Limits, check_bytes, frame},
    pack::{Dependency, Effort, PackError, PackLimits, claim, pack, unpack},
};

use crate::cpu::of_this_thread;
use crate::hostile::support::{Parts, chunk, corpus, honest};

const LIMITS: PackLimits = PackLimits { changes: 100_000, bytes: 64 << 20 };

fn bytes_of(changes: &[Change]) -> Vec<u8> {
    changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect()
}

/// Packs, unpacks, and compares everything. Gives the pack.
fn there_and_back(body: &[u8]) -> Vec<u8> {
    let packed = pack(body, Effort::Thorough).unwrap();
    let unpacked = unpack(&packed, &LIMITS).unwrap();
    assert!(unpacked.bytes() == body, "byte for byte");
    assert!(unpack(&pack(body, Effort::Quick).unwrap(), &LIMITS).unwrap() == unpacked, "whatever the effort");
    let claimed = claim(&packed).unwrap();
    assert_eq!((claimed.changes, claimed.bytes), (unpacked.len() as u64, body.len() as u64));
    for (index, one) in frame(body).unwrap().iter().enumerate() {
        assert_eq!(unpacked.chunk(index), Some(one.bytes));
        let Ok(change) = check_bytes(one.bytes, &Limits::default()) else { continue };
        assert_eq!(unpacked.hashes()[index], change.hash);
        let named = unpacked.dependencies(index).unwrap().iter().map(|dependency| match dependency {
            Dependency::Inside(before) => unpacked.hashes()[..index][*before as usize],
            Dependency::Outside(place) => unpacked.outside()[*place as usize],
        });
        assert_eq!(named.collect::<Vec<_>>(), change.deps, "each dependency is found where it is");
    }
    packed
}

/// Changes of every kind of operation.
fn every_kind() -> Vec<u8> {
    let mut document = Automerge::new();
    for number in 0..60_i64 {
        let mut tx = document.transaction();
        let list = tx.put_object(ROOT, format!("list {}", number % 3), ObjType::List).unwrap();
        tx.insert(&list, 0, number).unwrap();
        tx.insert(&list, 1, f64::from(number as i32) / 3.0).unwrap();
        tx.insert(&list, 1, ScalarValue::Bytes(vec![number as u8; 300])).unwrap();
        tx.delete(&list, 0).unwrap();
        let text = tx.put_object(ROOT, "text", ObjType::Text).unwrap();
        tx.splice_text(&text, 0, 0, "ein schönes Wort, und 🦀 noch eins").unwrap();
        tx.splice_text(&text, 3, 4, "").unwrap();
        let mark = automerge::marks::Mark::new("bold".to_owned(), true, 1, 4);
        tx.mark(&text, mark, automerge::marks::ExpandMark::Both).unwrap();
        tx.put(ROOT, "count", ScalarValue::counter(number)).unwrap();
        tx.increment(ROOT, "count", -7).unwrap();
        tx.put(ROOT, "none", ScalarValue::Null).unwrap();
        tx.put(ROOT, "when", ScalarValue::Timestamp(-number)).unwrap();
        let message = if number % 5 == 0 { format!("message {number}") } else { String::new() };
        tx.commit_with(CommitOptions::default().with_message(message).with_time(number * number - 900));
        if number % 10 == 3 {
            let mut empty = document.transaction();
            empty.put(ROOT, "gone", 1).unwrap();
            empty.rollback();
            document.empty_commit(CommitOptions::default().with_time(-1_000_000_007 * number));
        }
    }
    bytes_of(&document.get_changes(&[]))
}

#[test]
fn every_kind_of_change_comes_back_byte_for_byte() {
    assert_eq!(there_and_back(&[]).len(), 24);
    there_and_back(&every_kind());
}

#[test]
fn honest_histories_come_back_whole_and_in_part() {
    for seed in 0..100 {
        let mut rng = StdRng::seed_from_u64(seed);
        let history = honest(&mut rng, 3, 40);
        there_and_back(&bytes_of(&history));
        // Dependencies lie outside then.
        let at = rng.random_range(0..history.len());
        there_and_back(&bytes_of(&history[at..]));
        // Each second one: inside and outside by turns.
        let some: Vec<Change> = history.into_iter().step_by(2).collect();
        there_and_back(&bytes_of(&some));
    }
}

/// Changes that no Automerge writes, and what is none at all: chunks are all the same to a pack.
#[test]
fn strange_changes_come_back_byte_for_byte() {
    for kind in ["harmless", "panics", "poison"] {
        for case in corpus(kind) {
            there_and_back(&[case.base.clone(), plain(&case.bad)].concat());
        }
    }
}

/// As the fence gives it: plain, also where it came deflated.
fn plain(bytes: &[u8]) -> Vec<u8> {
    check_bytes(bytes, &Limits::default()).map_or_else(|_| Vec::new(), |change| change.bytes)
}

/// Columns of kinds that no release knows stand as they are, however many.
#[test]
fn a_change_with_columns_of_any_kind_comes_back() {
    for kinds in [vec![0xb0_u64, 0xb7], (0..3_000).map(|kind| 0x100 + 16 * kind).collect()] {
        let parts = kinds.iter().fold(Parts::default(), |parts, kind| parts.column(*kind, vec![7; 3]));
        there_and_back(&parts.chunk());
    }
}

#[test]
fn changes_as_javascript_sends_them_are_packed_once_they_are_plain() {
    let mut document = Automerge::new();
    for number in 0..20 {
        let text = document.transact::<_, _, automerge::AutomergeError>(|tx| {
            let text = tx.put_object(ROOT, "text", ObjType::Text)?;
            tx.splice_text(&text, 0, 0, &"many words that can be deflated ".repeat(20 + number))
        });
        text.unwrap();
    }
    let mut deflated: Vec<Vec<u8>> = Vec::new();
    for mut change in document.get_changes(&[]) {
        deflated.push(change.bytes().to_vec());
    }
    assert!(deflated.iter().any(|bytes| bytes[8] == 2));
    assert_eq!(pack(&deflated.concat(), Effort::Quick), Err(PackError::NotPlain(1)));
    there_and_back(&deflated.iter().flat_map(|bytes| plain(bytes)).collect::<Vec<_>>());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_bodies_come_back(bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..20)) {
        let chunks: Vec<u8> = bodies.iter().flat_map(|body| chunk(1, body)).collect();
        there_and_back(&chunks);
    }

    #[test]
    fn any_bytes_are_refused_and_nothing_else(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(unpack(&bytes, &LIMITS).is_err());
        let with_head = [b"RJPK\x01".as_slice(), &bytes].concat();
        prop_assert!(unpack(&with_head, &LIMITS).is_err() || with_head.len() == 24);
    }
}

/// A damaged pack is refused, or is the same as before: never does it give other changes.
#[test]
fn a_mutated_pack_never_panics_and_never_gives_other_changes() {
    let (mut same, mut refused) = (0, 0);
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let history = honest(&mut rng, 3, 30);
        let body = bytes_of(&history[rng.random_range(0..10)..]);
        let packed = pack(&body, Effort::Thorough).unwrap();
        for _ in 0..500 {
            let mut mutated = packed.clone();
            for _ in 0..rng.random_range(1..4) {
                let at = rng.random_range(0..mutated.len());
                match rng.random_range(0..4) {
                    0 => mutated[at] ^= 1 << rng.random_range(0..8),
                    1 => mutated[at] = rng.random(),
                    2 => mutated.insert(at, rng.random()),
                    _ => drop(mutated.remove(at)),
                }
            }
            match unpack(&mutated, &LIMITS) {
                Ok(unpacked) => {
                    assert!(unpacked.bytes() == body);
                    same += 1;
                }
                Err(_) => refused += 1,
            }
        }
        for cut in 0..packed.len() {
            assert!(unpack(&packed[..cut], &LIMITS).is_err());
        }
    }
    assert!(refused > 15_000, "{refused}; {same} are the same");
}

fn number(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// A pack with these streams, each of them zeros.
fn bomb(changes: u64, plain: u64, streams: &[(u64, usize)]) -> Vec<u8> {
    let mut out = b"RJPK\x01".to_vec();
    out.extend([number(changes), number(plain), vec![0; 16], number(streams.len() as u64)].concat());
    for (id, length) in streams {
        let small = zstd::bulk::compress(&vec![0; *length], 3).unwrap();
        out.extend([number(*id), number(*length as u64), number(small.len() as u64), small].concat());
    }
    out
}

#[test]
fn a_pack_that_claims_much_is_refused_before_it_costs_anything() {
    let limits = PackLimits { changes: 1_000, bytes: 1 << 20 };
    let bombs = [
        (bomb(u64::MAX, 0, &[]), true),
        (bomb(1_001, 0, &[]), true),
        (bomb(1, u64::MAX, &[]), true),
        (bomb(1, 1 << 30, &[(0, 1)]), true),
        (bomb(1_000, 1 << 20, &[(0, 48 << 20)]), true),
        (bomb(1_000, 1 << 20, &[(0, 1 << 19), (1, 1 << 19), (2, 1 << 19)]), true),
        // As many changes as there is room for, each of an empty body.
        (bomb(1_000, 1 << 20, &[(0, 1_000), (16, 1_000)]), false),
        (bomb(1_000, 0, &[(0, 1_000), (16, 1_000)]), false),
    ];
    let started = of_this_thread();
    for (bomb, too_large) in bombs {
        let error = unpack(&bomb, &limits).unwrap_err();
        assert_eq!(matches!(error, PackError::TooLarge { .. }), too_large, "{error}");
    }
    let took = of_this_thread() - started;
    assert!(took < Duration::from_millis(400), "50 ms each, and it took {took:?}");
}

/// A few bytes that stand for many: metadata of millions of columns, millions of streams.
#[test]
fn a_pack_of_many_small_things_takes_no_more_memory_than_its_bytes() {
    let limits = PackLimits { changes: 1_000, bytes: 32 << 20 };
    let columns = 4 << 20;
    let metadata = [number(columns), vec![0; 2 * columns as usize]].concat();
    let entry = [number(metadata.len() as u64), metadata].concat();
    let zeros = |id: u64| (id, vec![0_u8; 8]);
    let mut streams = vec![(0, vec![1]), (1, entry)];
    streams.extend([zeros(2), zeros(3), zeros(4), zeros(5), zeros(6), zeros(7), zeros(8), zeros(9)]);
    streams.extend([zeros(10), zeros(13), zeros(14), zeros(15), (32, Vec::new())]);
    let mut pack = b"RJPK\x01".to_vec();
    pack.extend([number(1), number(16 << 20), vec![0; 16], number(streams.len() as u64)].concat());
    for (id, stream) in streams {
        pack.extend([number(id), number(stream.len() as u64), number(0), stream].concat());
    }
    let started = of_this_thread();
    assert!(matches!(unpack(&pack, &limits), Err(PackError::Malformed(_))));
    assert!((of_this_thread() - started) < Duration::from_millis(500), "{:?}", (of_this_thread() - started));
    let ids = 1_000_000;
    let mut pack = b"RJPK\x01".to_vec();
    pack.extend([number(0), number(0), vec![0; 16], number(ids)].concat());
    (0..ids).for_each(|id| pack.extend([number(id), number(0), number(0)].concat()));
    assert!(matches!(unpack(&pack, &limits), Err(PackError::Malformed(_))), "at the 288th");
}

/// What is written today must be read by every release to come.
#[test]
fn the_bytes_of_a_pack_are_fixed() {
    let golden = include_str!("pack.golden.txt");
    let mut lines = golden.lines().map(|line| {
        let pairs = line.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).unwrap());
        pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap()).collect::<Vec<u8>>()
    });
    let (changes, packed) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(unpack(&packed, &LIMITS).unwrap().bytes(), changes);
    assert_eq!(
        pack(&changes, Effort::Quick).unwrap(),
        packed,
        "of so few changes zstd makes nothing smaller"
    );
}

/// Writes the golden file: only for a new version of the format.
#[test]
#[ignore = "it writes a file"]
fn write_golden() {
    let mut document = Automerge::new().with_actor(automerge::ActorId::from([1; 16]));
    for number in 0..3 {
        let mut tx = document.transaction();
        tx.put(ROOT, "a", number).unwrap();
        tx.commit_with(CommitOptions::default().with_message("{\"a\":\"set\"}").with_time(1_700_000_000));
    }
    let whole = chunk(1, b"no change at all");
    let changes = [bytes_of(&document.get_changes(&[])), whole].concat();
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let packed = pack(&changes, Effort::Quick).unwrap();
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/engine/hostile/pack.golden.txt");
    std::fs::write(path, format!("{}\n{}\n", hex(&changes), hex(&packed))).unwrap();
}
