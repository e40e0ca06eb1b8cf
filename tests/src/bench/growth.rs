//! The figures of `growth`: what verbs cost in documents of growing length.

use super::{
    Options, median,
    table::Table,
    worker::{Order, Worker},
};
use crate::harness::{Place, Server};

/// How a figure may grow from the shortest document to the longest and still be called flat.
const FLAT: f64 = 1.5;

/// What each verb costs in a document of growing length.
pub(super) fn run(options: &Options, table: &mut Table) {
    let sizes = [1_000, 10_000, options.size(100_000)];
    let sizes = if options.small { &sizes[..2] } else { &sizes[..] };
    let place = Place::new();
    let server = Server::start(place.path("server.db"));
    let store = place.path("store.db");
    let mut worker = Worker::on(store.clone());
    let id = worker.create();
    let sync = Order::Sync { server: server.url.clone() };
    let mut held = 0;
    let (mut dispatch, mut push, mut open) = (Vec::new(), Vec::new(), Vec::new());
    for &size in sizes {
        worker.ask(&Order::Set { id, from: held, n: size - held, group: 1000 });
        held = size;
        worker.ask(&sync);
        let (mut dispatches, mut pushes) = (Vec::new(), Vec::new());
        for _ in 0..7 {
            dispatches.push(worker.time(&Order::Set { id, from: held, n: 1000, group: 1000 }));
            pushes.push(worker.time(&sync));
            held += 1000;
        }
        dispatch.push(median(dispatches));
        push.push(median(pushes));
        // Closed, so that its snapshot is made and the file is at rest.
        std::mem::replace(&mut worker, Worker::start()).close();
        let opens = (0..3).map(|_| worker.time(&Order::TimeOpen { store: store.clone(), id }));
        open.push(median(opens.collect()) * 1e3 / held as f64);
        worker = Worker::on(store.clone());
        worker.ask(&Order::Look { id });
    }
    verdict(table, "dispatch", sizes, &dispatch);
    verdict(table, "push", sizes, &push);
    for (size, cost) in sizes.iter().zip(&open) {
        table.add(format!("open and read at {size} changes"), (*cost, "µs/change"), "");
    }
}

/// Thousands of changes took so many ms, which is µs a change.
fn verdict(table: &mut Table, verb: &str, sizes: &[usize], costs: &[f64]) {
    let (first, last) = (costs.first().copied().unwrap_or(0.0), costs.last().copied().unwrap_or(0.0));
    let ratio = last / first;
    for (size, cost) in sizes.iter().zip(costs) {
        let note = match Some(size) == sizes.last() {
            true if ratio <= FLAT => format!("flat: {ratio:.2} × the first"),
            true => format!("NOT FLAT: {ratio:.2} × the first"),
            false => String::new(),
        };
        table.add(format!("{verb} of 1,000 at {size} changes"), (*cost, "µs/change"), note);
    }
}
