//! The floors: what a flush, bare Automerge and bare SQLite take in the same run.

use std::{fs::File, io::Write, path::Path, time::Instant};

use automerge::{AutoCommit, ROOT, transaction::CommitOptions, transaction::Transactable};
use rejoin::Message;
use rusqlite::Connection;

use super::{median, ms, table::Table};
use crate::harness::Place;

/// What the disk takes for one flush: appending 4 KiB and `fdatasync`, the median of 50.
pub(super) fn flush(table: &mut Table) {
    let place = Place::new();
    let mut file = File::create(place.path("flush")).expect("a file can be made");
    let times = (0..50).map(|_| {
        let began = Instant::now();
        file.write_all(&[7; 4096]).expect("it can be written");
        file.sync_data().expect("it can be flushed");
        ms(began.elapsed())
    });
    let times: Vec<f64> = times.collect();
    table.add("flush to disk (4 KiB, fdatasync)", (median(times), "ms"), "median of 50");
}

/// The same commits and rows with nothing around them: Automerge commits with a message, and two SQLite rows
/// each, a transaction for each `group`. Returns microseconds an action: of Automerge, of SQLite.
pub(super) fn bare(file: &Path, n: usize, group: usize) -> (f64, f64) {
    let connection = Connection::open(file).expect("a file can be made");
    connection
        .execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
             CREATE TABLE change (id INTEGER PRIMARY KEY, bytes BLOB NOT NULL);
             CREATE TABLE queue (id INTEGER PRIMARY KEY, action TEXT NOT NULL);",
        )
        .expect("tables can be made");
    let mut document = AutoCommit::new();
    let (mut commits, mut rows) = (0.0, 0.0);
    for first in (0..n).step_by(group) {
        let range = first..(first + group).min(n);
        let began = Instant::now();
        let changes: Vec<Vec<u8>> = range.clone().map(|i| commit(&mut document, i)).collect();
        commits += began.elapsed().as_secs_f64();
        let began = Instant::now();
        insert(&connection, first, &changes);
        rows += began.elapsed().as_secs_f64();
    }
    (commits * 1e6 / n as f64, rows * 1e6 / n as f64)
}

fn commit(document: &mut AutoCommit, i: usize) -> Vec<u8> {
    document.put(ROOT, format!("k{}", i % 1000), i as i64).expect("a key can be set");
    let message = Message::of_action("set").encode();
    document.commit_with(CommitOptions::default().with_message(message).with_time(1_700_000_000));
    document.get_last_local_change().expect("a change was made").raw_bytes().to_vec()
}

fn insert(connection: &Connection, first: usize, changes: &[Vec<u8>]) {
    connection.execute_batch("BEGIN IMMEDIATE").expect("a transaction begins");
    {
        let prepare = |sql| connection.prepare_cached(sql).expect("a statement is prepared");
        let mut change = prepare("INSERT INTO change (id, bytes) VALUES (?1, ?2)");
        let mut queue = prepare("INSERT INTO queue (id, action) VALUES (?1, ?2)");
        for (i, bytes) in changes.iter().enumerate() {
            let (id, n) = ((first + i) as i64, first + i);
            change.execute((id, bytes)).expect("a row goes in");
            let action = format!("{{\"type\":\"set\",\"path\":\"/k{}\",\"value\":{n}}}", n % 1000);
            queue.execute((id, action)).expect("a row goes in");
        }
    }
    connection.execute_batch("COMMIT").expect("the transaction ends");
}
