//! Compact files: measured first, and loaded only then.

use std::time::Duration;

use automerge::{ActorId, Automerge, ROOT, transaction::Transactable};
use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    fence::{DEPTH, DocumentLimits, RefusalCode, check_document},
    untrusted::{LoadRefused, load_untrusted},
};

use crate::cpu::of_this_thread;
use crate::hostile::support::{Parts, chunk, compressed, deflate, honest, leb128, nested, quiet, state};

fn of(seed: u64) -> Automerge {
    let mut document = Automerge::new();
    document.apply_changes(honest(&mut StdRng::seed_from_u64(seed), 3, 60)).unwrap();
    document
}

#[test]
fn an_honest_file_is_loaded_in_every_form_that_save_writes() {
    let limits = DocumentLimits::default();
    for seed in 0..30 {
        let document = of(seed);
        let changes: Vec<u8> =
            document.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
        let packed: Vec<u8> =
            document.get_changes(&[]).into_iter().flat_map(|mut change| change.bytes().to_vec()).collect();
        let mut edited = document.clone();
        edited.transact::<_, _, automerge::AutomergeError>(|tx| tx.put(ROOT, "more", 1)).unwrap();
        let and_more = [document.save(), edited.save_after(&document.get_heads())].concat();
        for bytes in [document.save(), document.save_nocompress(), changes, packed] {
            assert_eq!(state(&load_untrusted(&bytes, &limits).unwrap()), state(&document), "seed {seed}");
        }
        assert_eq!(state(&load_untrusted(&and_more, &limits).unwrap()), state(&edited), "seed {seed}");
    }
    assert_eq!(load_untrusted(&[], &limits).unwrap().get_heads(), vec![]);
}

/// A document chunk with these columns of changes and of operations.
fn document(of_changes: &[(u64, Vec<u8>)], of_operations: &[(u64, Vec<u8>)]) -> Vec<u8> {
    let mut body = vec![1, 16];
    body.extend([7; 16]);
    body.push(0);
    for columns in [of_changes, of_operations] {
        body.extend(leb128(columns.len() as u64));
        for (spec, data) in columns {
            body.extend(leb128(*spec));
            body.extend(leb128(data.len() as u64));
        }
    }
    for (_, data) in of_changes.iter().chain(of_operations) {
        body.extend(data);
    }
    chunk(0, &body)
}

#[test]
fn a_few_bytes_that_stand_for_much_are_refused_before_the_library_loads_them() {
    let huge = vec![0x81, 0xa0, 0x94, 0xa5, 0x8d, 0x1d];
    let run = |value: u8| [huge.clone(), vec![value]].concat();
    let long = [&[0x80, 0x80, 0x04][..], &leb128(1 << 20), &vec![b'm'; 1 << 20]].concat();
    let one = vec![0x7f, 0x00];
    let cases = [
        ("changes", document(&[(0x01, run(0))], &[])),
        ("sequence numbers", document(&[(0x01, one.clone()), (0x03, run(1))], &[])),
        ("dependencies", document(&[(0x01, one.clone()), (0x40, [vec![0x7f], huge.clone()].concat())], &[])),
        ("dependencies named", document(&[(0x40, one.clone()), (0x43, run(0))], &[])),
        ("messages", document(&[(0x35, long.clone())], &[])),
        ("operations", document(&[], &[(0x42, run(1))])),
        ("booleans", document(&[], &[(0x34, huge.clone())])),
        ("successors", document(&[], &[(0x80, [vec![0x7f], huge.clone()].concat())])),
        ("successors named", document(&[], &[(0x80, one.clone()), (0x81, run(0))])),
        ("keys", document(&[], &[(0x15, long)])),
        ("deflated operations", document(&[], &[(0x42 | 8, deflate(&run(1)))])),
        ("raw bytes", document(&[], &[(0x56, one.clone()), (0x57 | 8, deflate(&vec![0; 300 << 20]))])),
        ("unknown columns", document(&[], &[(0x5505 | 8, deflate(&vec![0; 300 << 20]))])),
        ("a change", Parts::operations(30_000_000).chunk()),
        ("a compressed change", compressed(&[], &deflate(&vec![0; 300 << 20]))),
    ];
    for (name, bytes) in cases {
        let started = of_this_thread();
        let refusal = check_document(&bytes, &DocumentLimits::default()).expect_err(name);
        let took = of_this_thread() - started;
        eprintln!("{name}: {} bytes, {took:?}: {refusal}", bytes.len());
        let large = [RefusalCode::TooLarge, RefusalCode::TooManyOperations];
        assert!(large.contains(&refusal.code), "{name}: {refusal}");
        assert!(refusal.hash.is_some(), "{name}: {refusal}");
        assert!(took < Duration::from_secs(3), "{name}: {took:?}");
    }
}

#[test]
fn each_limit_of_a_file_holds_at_its_edge() {
    let mut document = Automerge::new().with_actor(ActorId::from(vec![5; 16]));
    for number in 0..500 {
        document
            .transact::<_, _, automerge::AutomergeError>(|tx| {
                tx.put(ROOT, format!("{number}"), number)?;
                tx.put(ROOT, "same", number)
            })
            .unwrap();
    }
    let raw: Vec<u8> =
        document.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
    for bytes in [document.save(), raw] {
        let defaults = DocumentLimits::default();
        let check = |set: &dyn Fn(&mut DocumentLimits)| {
            let mut limits = defaults;
            set(&mut limits);
            check_document(&bytes, &limits).map_err(|refusal| refusal.code)
        };
        assert_eq!(check(&|limits| limits.bytes = bytes.len()), Ok(()));
        assert_eq!(check(&|limits| limits.bytes = bytes.len() - 1), Err(RefusalCode::TooLarge));
        assert_eq!(check(&|limits| limits.changes = 500), Ok(()));
        assert!(check(&|limits| limits.changes = 499).is_err());
        assert_eq!(check(&|limits| limits.operations = 1_000), Ok(()));
        assert_eq!(check(&|limits| limits.operations = 999), Err(RefusalCode::TooManyOperations));
        assert_eq!(check(&|limits| limits.inflated = 100), Err(RefusalCode::TooLarge));
    }
}

#[test]
fn what_is_not_a_file_is_refused_by_code() {
    let limits = DocumentLimits::default();
    let code = |bytes: &[u8]| check_document(bytes, &limits).unwrap_err().code;
    let saved = of(1).save();
    let mut flipped = saved.clone();
    flipped[100] ^= 1;
    assert_eq!(code(&flipped), RefusalCode::Checksum);
    assert_eq!(code(&saved[..saved.len() - 1]), RefusalCode::Malformed);
    assert_eq!(code(b"{}"), RefusalCode::Malformed);
    assert_eq!(code(&chunk(3, b"bundle")), RefusalCode::NotAChange);
    assert_eq!(code(&chunk(7, b"unknown")), RefusalCode::Malformed);
    let orphan = Parts { deps: vec![automerge::ChangeHash([1; 32])], ..Parts::default() }.chunk();
    assert!(matches!(load_untrusted(&[saved, orphan].concat(), &limits), Err(LoadRefused::Library(_))));
}

#[test]
fn no_mutated_file_panics_through() {
    quiet();
    let (mut loaded, mut refused, mut failed) = (0, 0, 0);
    for seed in 0..40 {
        let mut rng = StdRng::seed_from_u64(seed);
        let document = of(seed);
        let saved = if seed % 2 == 0 { document.save() } else { document.save_nocompress() };
        let body = crate::hostile::support::body(&saved).to_vec();
        for _ in 0..50 {
            let mut mutated = body.clone();
            for _ in 0..rng.random_range(1..3) {
                let at = rng.random_range(0..mutated.len());
                mutated[at] = rng.random();
            }
            match load_untrusted(&chunk(0, &mutated), &DocumentLimits::default()) {
                Ok(_) => loaded += 1,
                Err(LoadRefused::Fence(_)) => refused += 1,
                Err(_) => failed += 1,
            }
        }
    }
    eprintln!("mutated files: {loaded} loaded, {refused} refused by the fence, {failed} by the library");
    assert!(failed > 100);
}

#[test]
fn a_file_whose_objects_lie_too_deep_is_refused_in_every_form() {
    quiet();
    let limits = DocumentLimits::default();
    for (depth, fits) in [(DEPTH, true), (DEPTH + 1, false), (5_000, false)] {
        let document = nested(depth, true);
        let raw: Vec<u8> =
            document.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
        for bytes in [document.save(), document.save_nocompress(), raw] {
            match load_untrusted(&bytes, &limits) {
                Ok(loaded) => assert!(fits && state(&loaded) == state(&document), "{depth}"),
                Err(refused) => assert!(!fits, "{depth}: {refused}"),
            }
        }
    }
    for (depth, fits) in [(DEPTH, true), (DEPTH + 1, false)] {
        let changes = nested(depth, false).get_changes(&[]);
        let mut bytes = Automerge::new();
        bytes.apply_changes(changes[..DEPTH / 2].to_vec()).unwrap();
        let mut bytes = bytes.save();
        changes[DEPTH / 2..].iter().for_each(|change| bytes.extend(change.raw_bytes()));
        let loaded = load_untrusted(&bytes, &limits).map(|_| ());
        assert_eq!(loaded.is_ok(), fits, "a document and changes, {depth} deep: {loaded:?}");
    }
}
