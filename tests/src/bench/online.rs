//! The figures W1 and W3: clients that go online with offline edits, and a first push and first copy of a long text.

use rejoin::DocumentId;

use super::{
    Options, median,
    table::Table,
    worker::{Order, Worker},
};
use crate::harness::{Place, Proxy, Server};

const W1_GOAL: &str = "goal 88–105 ms at full durability";

/// Two clients with offline edits on one document.
struct Pair {
    server: Server,
    clients: [Worker; 2],
    id: DocumentId,
    edits: usize,
    _place: Place,
}

impl Pair {
    fn apart(edits: usize) -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let mut clients = ["a.db", "b.db"].map(|name| Worker::on(place.path(name)));
        let [a, b] = &mut clients;
        let id = a.create();
        a.ask(&Order::Type { id, typist: 1, length: 0, n: 1 });
        let sync = Order::Sync { server: server.url.clone() };
        a.ask(&sync);
        b.ask(&Order::Join { id });
        b.ask(&sync);
        for (client, typist) in clients.iter_mut().zip([2, 3]) {
            client.ask(&Order::Type { id, typist, length: 1, n: edits });
        }
        Self { server, clients, id, edits, _place: place }
    }

    /// Both go online at once: the time until both have everything and nothing waits.
    fn meet(&mut self, url: &str) -> f64 {
        let order = Order::Follow { id: self.id, server: url.to_owned(), changes: 2 * self.edits as u64 + 1 };
        self.clients.iter_mut().for_each(|c| c.tell(&order));
        let times = self.clients.iter_mut().map(|c| c.answer()["ms"].as_f64().unwrap_or(f64::NAN));
        let time = times.fold(0.0, f64::max);
        let looks = self.clients.each_mut().map(|c| c.ask(&Order::Look { id: self.id }));
        assert_eq!(looks[0]["heads"], looks[1]["heads"], "both are equal");
        assert_eq!(looks[0]["length"], looks[1]["length"], "both are equal");
        time
    }
}

/// W1: from going online until both have both's edits.
pub(super) fn w1(options: &Options, table: &mut Table) {
    let edits = options.size(1_000);
    let runs = if options.small { 3 } else { 7 };
    let mut times = Vec::new();
    let mut peak = 0;
    for _ in 0..runs {
        let mut pair = Pair::apart(edits);
        let url = pair.server.url.clone();
        times.push(pair.meet(&url));
        peak = peak.max(pair.server.process.peak_kib());
    }
    let spread = times.iter().map(|t| format!("{t:.0}")).collect::<Vec<_>>().join(" ");
    let note = format!("median of {spread}; {W1_GOAL}");
    table.add(
        format!("W1: 2 clients, {edits} offline edits each, until both have all"),
        (median(times), "ms"),
        note,
    );
    table.add("W1: server's peak memory", (peak as f64 / 1024.0, "MiB"), "others 9–138 MiB");
    let mut pair = Pair::apart(edits);
    let proxy = Proxy::to(&pair.server.address());
    pair.meet(&proxy.url());
    let counts = proxy.counts();
    let note = format!("up {}, down {}; {} requests", counts.up, counts.down, counts.requests);
    table.add("W1: bytes on the wire, both clients", ((counts.up + counts.down) as f64, "bytes"), note);
}

/// W3: the first copy of a long document.
pub(super) fn w3(options: &Options, table: &mut Table) {
    let (n, place) = (options.size(100_000), Place::new());
    let server = Server::start(place.path("server.db"));
    let memory = server.process.watch_peak();
    let mut writer = Worker::on(place.path("writer.db"));
    let id = writer.create();
    writer.ask(&Order::Type { id, typist: 1, length: 0, n });
    let push = writer.time(&Order::Sync { server: server.url.clone() });
    table.add(
        format!("W3: first push of {n} edits"),
        (push, "ms"),
        format!("{:.1} µs/change", push * 1e3 / n as f64),
    );
    let file = place.path("document.automerge");
    writer.ask(&Order::Export { id, to: file.clone() });
    let load = median((0..3).map(|_| Worker::start().time(&Order::Load { from: file.clone() })).collect());
    table.add(format!("W3: Automerge::load of these {n} edits"), (load, "ms"), "the floor; median of 3");
    // The first copy may have to wait for the server's snapshot; the others find it.
    let mut copy = |name: &str, url: &str| {
        let mut reader = Worker::on(place.path(name));
        reader.ask(&Order::Join { id });
        let time = reader.time(&Order::Sync { server: url.to_owned() });
        let seen = reader.ask(&Order::Look { id });
        assert_eq!(seen["changes"], n, "the copy is whole");
        assert_eq!(seen["heads"], writer.ask(&Order::Look { id })["heads"], "the copy is equal");
        time
    };
    let first = copy("cold.db", &server.url);
    let times: Vec<f64> = (0..3).map(|i| copy(&format!("copy{i}.db"), &server.url)).collect();
    let time = median(times);
    table.add("W3: first copy, the first client that asks", (first, "ms"), "");
    let note = format!("{:.2} × load; others 500–2,300 ms; median of 3", time / load);
    table.add("W3: first copy", (time, "ms"), note);
    let peak = memory.end() as f64 / 1024.0;
    table.add("W3: server's peak memory", (peak, "MiB"), "others 9–138 MiB");
    let proxy = Proxy::to(&server.address());
    copy("counted.db", &proxy.url());
    let counts = proxy.counts();
    let note =
        format!("{:.2} a change; {} requests", (counts.up + counts.down) as f64 / n as f64, counts.requests);
    table.add("W3: bytes on the wire", ((counts.up + counts.down) as f64, "bytes"), note);
}
