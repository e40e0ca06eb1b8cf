//! The power goes right after something was acknowledged: what was written and not flushed is dropped or torn. FAULTS 2, and
//! invariants 1 and 2.

use automerge::AutoCommit;
use rejoin::{DocumentId, fence};
use rejoin_tests::harness::{Client, Disk, Place, Power, Proc, Server, binaries, foreign_change, get, push};
use serde_json::json;

/// Each moment is tried with so many ways to lose what was not flushed.
const SEEDS: u64 = 3;

/// So many changes of a document as were acknowledged, at a server that goes on with what a disk held.
fn held(place: &Place, (power, moment): (&Power, u64), (disk, seed): (Disk, u64), id: DocumentId) -> usize {
    let database = place.path(format!("after-{moment}-{seed}-{disk:?}.db"));
    power.cut(moment, (disk, seed), &database);
    let server = Server::start(&database);
    let (mut held, mut after) = (0, String::new());
    loop {
        let url = format!("{}/v1/documents/{id}/changes{after}", server.url);
        let page = get(&url, "application/vnd.automerge");
        held += fence::frame(&page.body).map_or(0, |frames| frames.len());
        match page.header("rejoin-cursor") {
            Some(cursor) if page.header("rejoin-more").is_some() => after = format!("?after={cursor}"),
            _ => return held,
        }
    }
}

#[test]
fn what_a_server_acknowledged_survives_a_power_cut() {
    let place = Place::new();
    let database = place.path("server.db");
    let Some(power) = Power::over(&database) else { return };
    let mut server = Server::start_with(power.watch(&binaries().server), &database, &[]);
    let (id, mut document) = (DocumentId::random(), AutoCommit::new());
    // Long values: the log is written back to the database in between, and begins anew.
    let mut moments = Vec::new();
    for n in 0..60 {
        let value: String = (0..120_000_u32).map(|i| char::from(b'a' + (i * (n + 7) % 26) as u8)).collect();
        let change = foreign_change(&mut document, &format!("key-{n}"), value, None);
        assert_eq!(push(&server.url, id, change).status, 200);
        moments.push(power.now());
    }
    server.process.kill();
    for (n, moment) in moments.iter().enumerate().step_by(6) {
        for seed in 0..SEEDS {
            let held = held(&place, (&power, *moment), (Disk::Honest, seed), id);
            assert!(held > n, "{} acknowledged, {held} held; seed {seed}", n + 1);
        }
    }
    // What a server that flushed nothing would have lost is seen here.
    let last = *moments.last().unwrap();
    let lied = std::panic::catch_unwind(|| held(&place, (&power, last), (Disk::Lying, 0), id));
    assert!(lied.is_err() || lied.is_ok_and(|held| held < moments.len()), "the test sees what is lost");
}

#[test]
fn what_a_dispatch_returned_survives_a_power_cut() {
    let place = Place::new();
    let store = place.path("ada.db");
    let Some(power) = Power::over(&store) else { return };
    let ada = Client::new(&store);
    let run = |words: &[&str]| {
        let command = ada.prepare(power.watch(&binaries().rejoin), words);
        assert!(watched(command), "{words:?}");
        power.now()
    };
    run(&["new", "--name", "d"]);
    let moments: Vec<u64> = (0..12).map(|n| run(&["set", "d", &format!("/k{n}"), "1"])).collect();
    for (n, moment) in moments.iter().enumerate() {
        for seed in 0..SEEDS {
            let after = place.path(format!("after-{n}-{seed}.db"));
            power.cut(*moment, (Disk::Honest, seed), &after);
            let again = Client::new(&after);
            assert_eq!(again.get("d")[format!("k{n}")], json!(1), "seed {seed}");
            assert_eq!(again.queued(), n as i64 + 1, "seed {seed}");
            again.check_file();
        }
    }
}

fn watched(mut command: std::process::Command) -> bool {
    let null = std::process::Stdio::null;
    let mut process = Proc::new(command.stdout(null()).spawn().unwrap());
    process.child.wait().unwrap().success()
}
