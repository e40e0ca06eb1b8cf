//! The figure `dispatch`: small actions beside bare commits and rows.

use super::{
    Options,
    table::Table,
    worker::{Order, Worker},
};
use crate::harness::Place;

/// Small actions against bare commits and rows with the same bytes.
pub(super) fn run(options: &Options, table: &mut Table) {
    let (n, place) = (options.size(100_000), Place::new());
    let bare = Worker::start().ask(&Order::Bare { file: place.path("bare.db"), n, group: 1000 });
    let (commits, rows) = (bare["commits"].as_f64().unwrap_or(0.0), bare["rows"].as_f64().unwrap_or(0.0));
    let floor = commits + rows;
    table.add("bare Automerge commit", (commits, "µs/action"), "with message, and its bytes");
    table.add(
        "bare SQLite rows, 1,000 actions a transaction",
        (rows, "µs/action"),
        "change and queue row, FULL",
    );
    let mut worker = Worker::on(place.path("groups.db"));
    let id = worker.create();
    let groups = worker.time(&Order::Set { id, from: 0, n, group: 1000 }) * 1e3 / n as f64;
    let note = format!("{:.2} × the floor of {floor:.1}", groups / floor);
    table.add(format!("dispatch {n} actions, 1,000 a call"), (groups, "µs/action"), note);
    let mut worker = Worker::on(place.path("alone.db"));
    let id = worker.create();
    let alone = worker.time(&Order::SetAlone { id, n, at_once: 256 }) * 1e3 / n as f64;
    let note = format!("{:.2} × the floor; each returns when durable", alone / floor);
    table.add(format!("dispatch {n} actions, one a call, 256 at once"), (alone, "µs/action"), note);
    let few = n / 100;
    let one = worker.time(&Order::SetAlone { id, n: few, at_once: 1 }) / few as f64;
    table.add(format!("dispatch {few} actions, one after another"), (one, "ms/action"), "a flush each");
}
