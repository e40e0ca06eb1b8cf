//! What packs cost, in bytes and in time: real typing, and values set in a map.

use std::time::Instant;

use automerge::{
    ActorId, Automerge, ObjType, ROOT,
    transaction::{CommitOptions, Transactable},
};
use rejoin::{
    fence,
    pack::{Effort, PackLimits, pack, unpack},
    wire::{Request, Response},
};
use rejoin_server::{LogStore, ServerLimits, respond};

use super::{Options, table::Table};
use crate::{
    harness::{Place, traces},
    traces::Trace,
};

const GOAL: &str = "goal: at most 16, index included";

/// Bytes a change on the wire and at rest, and what packing takes.
pub(super) fn run(options: &Options, table: &mut Table) {
    let n = options.size(100_000);
    if let Some(directory) = traces() {
        let trace = Trace::read(&directory, "automerge-paper");
        measure(&format!("the paper's first {n} edits"), &typed(&trace, n), table);
    }
    measure(&format!("{n} values set on 1,000 keys"), &set(n), table);
}

fn measure(name: &str, changes: &[Vec<u8>], table: &mut Table) {
    let count = changes.len() as f64;
    let batches: Vec<Vec<u8>> = changes.chunks(10_000).map(<[_]>::concat).collect();
    let began = Instant::now();
    let packs: Vec<Vec<u8>> =
        batches.iter().map(|batch| pack(batch, Effort::Quick).expect("changes can be packed")).collect();
    let packing = began.elapsed().as_secs_f64() * 1e6 / count;
    let limits = PackLimits { changes: usize::MAX, bytes: 1 << 30 };
    let began = Instant::now();
    for (pack, batch) in packs.iter().zip(&batches) {
        assert!(unpack(pack, &limits).expect("it is a pack").bytes() == batch, "byte for byte");
    }
    let unpacking = began.elapsed().as_secs_f64() * 1e6 / count;
    let bytes: usize = packs.iter().map(Vec::len).sum();
    let plain: usize = batches.iter().map(Vec::len).sum();
    let note = format!("plain: {:.0}", plain as f64 / count);
    table.add(format!("pack on the wire: {name}"), (bytes as f64 / count, "bytes/change"), note);
    table.add(format!("pack: {name}"), (packing, "µs/change"), format!("unpack: {unpacking:.2}"));
    at_rest(name, &batches, count, table);
}

/// The size of a server's database with nothing else in it.
fn at_rest(name: &str, batches: &[Vec<u8>], count: f64, table: &mut Table) {
    let place = Place::new();
    let path = place.path("server.db");
    let mut log = LogStore::open(&path).expect("a log can be made");
    let document = rejoin::DocumentId::random();
    for batch in batches {
        let request = Request::Push { document, after: None, limit: Some(1), body: batch.clone().into() };
        let reply: Response = respond(&mut log, &ServerLimits::default(), &request, 0);
        assert_eq!(reply.status, 200, "they are taken");
    }
    let size = |path| std::fs::metadata(path).map_or(0, |file| file.len()) as f64;
    let began = Instant::now();
    log.compact(1).expect("it can be packed");
    let took = began.elapsed().as_secs_f64() * 1e6 / count;
    let each = size(&path) / count;
    table.add(format!("at rest: {name}"), (each, "bytes/change"), format!("{GOAL}; {took:.1} µs a change"));
    assert!(each <= 16.0 || count < 50_000.0, "{each} bytes a change at rest");
}

fn typed(trace: &Trace, n: usize) -> Vec<Vec<u8>> {
    let mut document = Automerge::new().with_actor(ActorId::from([7; 16]));
    let made = document.transact(|tx| tx.put_object(ROOT, "text", ObjType::Text)).map(|made| made.result);
    let text =
        made.unwrap_or_else(|_: automerge::transaction::Failure<automerge::AutomergeError>| panic!("a text"));
    for (at, (pos, delete, insert)) in trace.patches().take(n - 1).enumerate() {
        let mut tx = document.transaction();
        tx.splice_text(&text, *pos, *delete as isize, insert).expect("the trace fits");
        let options = CommitOptions::default().with_message(r#"{"a":"splice"}"#);
        tx.commit_with(options.with_time(1_700_000_000 + at as i64 / 4));
    }
    chunks(&document)
}

fn set(n: usize) -> Vec<Vec<u8>> {
    let mut document = Automerge::new().with_actor(ActorId::from([9; 16]));
    for number in 0..n {
        let mut tx = document.transaction();
        let (key, value) = (format!("key-{}", number * 7_919 % 1_000), (number * 104_729 % 100_003) as i64);
        tx.put(ROOT, key, value).expect("a value can be set");
        let options = CommitOptions::default().with_message(r#"{"a":"set"}"#);
        tx.commit_with(options.with_time(1_700_000_000 + number as i64));
    }
    chunks(&document)
}

fn chunks(document: &Automerge) -> Vec<Vec<u8>> {
    let all: Vec<u8> =
        document.get_changes(&[]).iter().flat_map(|change| change.raw_bytes().to_vec()).collect();
    let frames = fence::frame(&all).expect("they are changes");
    frames.iter().map(|frame| frame.bytes.to_vec()).collect()
}
