use automerge::{
    ActorId, Automerge, ObjType, ROOT, ReadDoc, ScalarValue,
    transaction::{CommitOptions, Transactable},
};
use proptest::prelude::*;

use super::*;

const LIMITS: PackLimits = PackLimits { changes: 1_000_000, bytes: 256 << 20 };

fn all(document: &Automerge) -> Vec<u8> {
    let changes = document.get_changes(&[]);
    changes.iter().flat_map(|change| change.raw_bytes().to_vec()).collect()
}

fn there_and_back(body: &[u8]) -> usize {
    let packed = pack(body, Effort::Thorough).unwrap();
    let unpacked = unpack(&packed, &LIMITS).unwrap();
    assert!(unpacked.bytes() == body, "byte for byte");
    let quick = pack(body, Effort::Quick).unwrap();
    assert!(unpack(&quick, &LIMITS).unwrap() == unpacked, "whatever the effort");
    packed.len()
}

fn paper() -> Vec<(usize, usize, String)> {
    use std::io::Read;
    let directory = std::env::var("REJOIN_TRACES").unwrap();
    let file = std::fs::File::open(format!("{directory}/automerge-paper.json.gz")).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    let trace: serde_json::Value = serde_json::from_str(&text).unwrap();
    let txns = trace["txns"].as_array().unwrap().iter();
    txns.flat_map(|txn| serde_json::from_value::<Vec<(usize, usize, String)>>(txn["patches"].clone()).unwrap())
        .collect()
}

fn typed(count: usize) -> Vec<u8> {
    let mut document = Automerge::new().with_actor(ActorId::from([7; 16]));
    let mut at = 1_700_000_000;
    let text = document.transact::<_, _, automerge::AutomergeError>(|tx| tx.put_object(ROOT, "text", ObjType::Text));
    let text = text.unwrap().result;
    for (number, (pos, delete, insert)) in paper().into_iter().take(count).enumerate() {
        at += i64::from(number % 3 == 0);
        let mut tx = document.transaction();
        tx.splice_text(&text, pos, delete as isize, &insert).unwrap();
        tx.commit_with(CommitOptions::default().with_message("{\"a\":\"splice\"}").with_time(at));
    }
    all(&document)
}

fn put(count: usize) -> Vec<u8> {
    let mut document = Automerge::new().with_actor(ActorId::from([9; 16]));
    for number in 0..count {
        let mut tx = document.transaction();
        let key = format!("key-{}", (number * 7_919) % 1_009);
        tx.put(ROOT, key, ((number * 104_729) % 100_003) as i64).unwrap();
        let at = 1_700_000_000 + number as i64;
        tx.commit_with(CommitOptions::default().with_message("{\"a\":\"set\"}").with_time(at));
    }
    all(&document)
}

#[test]
#[ignore = "a measurement"]
fn measure() {
    for (name, body) in [("paper", typed(100_000)), ("set", put(100_000))] {
        let frames = crate::fence::frame(&body).unwrap();
        eprintln!("{name}: {} changes, {} bytes", frames.len(), body.len());
        for run in [1_024, 4_096, 16_384] {
            for effort in [Effort::Quick, Effort::Thorough] {
                let pieces: Vec<Vec<u8>> =
                    frames.chunks(run).map(|c| c.iter().flat_map(|f| f.bytes.to_vec()).collect()).collect();
                let start = std::time::Instant::now();
                let packs: Vec<_> = pieces.iter().map(|piece| pack(piece, effort).unwrap()).collect();
                let packing = start.elapsed();
                let start = std::time::Instant::now();
                for (pack, piece) in packs.iter().zip(&pieces) {
                    assert!(unpack(pack, &LIMITS).unwrap().bytes() == piece);
                }
                let bytes: usize = packs.iter().map(Vec::len).sum();
                let each = bytes as f64 / frames.len() as f64;
                eprintln!("{run} {effort:?}: {each:.2} bytes a change, {packing:?}, {:?}", start.elapsed());
                if run == 16_384 {
                    let (_, streams) = super::streams::inflate(&packs[1], &LIMITS).unwrap();
                    for (id, plain) in streams {
                        let small = zstd::bulk::compress(&plain, effort_level(effort)).unwrap().len();
                        eprintln!("   {id}: {} -> {small}", plain.len());
                    }
                }
            }
        }
        eprintln!("zstd alone: {:.2}", zstd::bulk::compress(&body, 19).unwrap().len() as f64 / frames.len() as f64);
    }
}

fn effort_level(effort: Effort) -> i32 {
    match effort {
        Effort::Quick => 3,
        Effort::Thorough => 19,
    }
}

#[test]
fn every_change_comes_back_byte_for_byte() {
    there_and_back(&[]);
    there_and_back(&put(2_000));
    let _ = (ScalarValue::Null, Automerge::new().length(ROOT));
}
