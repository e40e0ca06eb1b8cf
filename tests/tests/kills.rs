//! Real typing, with clients and servers that die by `kill -9` at random moments and come back.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a failure here fails the test"
)]

use std::{
    collections::HashSet,
    io::Write,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use rejoin_tests::{
    friends_stage::Stage,
    harness::{Client, Killer, Moment, Place, Proxy, Running, Server, Victim, traces},
    traces::{Patch, Trace, splice_line},
};

/// So many edits of the paper: CI has little time, and each kill costs a start. `REJOIN_KILLS_EDITS` changes it.
const EDITS: usize = 60_000;

/// What everyone in this test shares.
struct World {
    place: Place,
    server: Server,
    proxy: Proxy,
    killer: Killer,
    doc: String,
    /// Every hash that `apply --ack` printed.
    acknowledged: Vec<String>,
    /// Edits that were durable, and whose acknowledgement died with the process.
    unacknowledged: usize,
}

impl World {
    fn new() -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let proxy = Proxy::to(&server.address());
        let killer = Killer::new("automerge-paper");
        Self { place, server, proxy, killer, doc: String::new(), acknowledged: Vec::new(), unacknowledged: 0 }
    }

    fn client(&self, name: &str) -> Client {
        Client::new(self.place.path(name)).with_server(&self.proxy.url())
    }

    /// Applies these edits, killed `kills` times meanwhile. How far it came is asked of the store, never guessed.
    fn apply(&mut self, client: &Client, patches: &[Patch], kills: u64) {
        let before = held(client);
        let lines: Arc<Vec<String>> = Arc::new(patches.iter().map(|p| splice_line("/text", p)).collect());
        let until = self.killer.kills + kills;
        loop {
            let done = usize::try_from(held(client) - before).unwrap();
            if done == lines.len() {
                return;
            }
            let most = (self.killer.kills < until).then_some(Duration::from_millis(700));
            let acks = self.apply_once(client, &lines, done, most);
            let durable = usize::try_from(held(client) - before).unwrap();
            assert!(durable >= done + acks.len(), "an acknowledged change is gone");
            assert!(durable <= lines.len(), "an edit is there twice");
            self.unacknowledged += durable - done - acks.len();
            self.acknowledged.extend(acks);
        }
    }

    /// One run of `apply --ack` from this edit on, killed within `most`.
    fn apply_once(
        &mut self,
        client: &Client,
        lines: &Arc<Vec<String>>,
        from: usize,
        most: Option<Duration>,
    ) -> Vec<String> {
        let mut running = client.start(&["apply", &self.doc, "--ack"]);
        let given = Arc::new(AtomicUsize::new(0));
        let feeder = feed(&mut running, lines, from, &given);
        let mut out = running.stdout.take().unwrap();
        let reader = std::thread::spawn(move || {
            let mut acks = Vec::new();
            let mut line = String::new();
            // A line that a kill cut says nothing.
            while std::io::BufRead::read_line(&mut out, &mut line).is_ok_and(|n| n > 0)
                && line.ends_with('\n')
            {
                acks.push(line.trim_end().to_owned());
                line.clear();
            }
            acks
        });
        match most {
            Some(most) => {
                let moment = Moment { within: most, patience: most, spread: Duration::from_millis(20) };
                let process = &mut running.process;
                let mut victim = Victim { process, database: &client.store, proxy: None, serves: false };
                self.killer.strike(&mut victim, moment);
            }
            None => {
                let status = running.process.child.wait().unwrap();
                assert!(status.success(), "apply failed: {status}");
            }
        }
        feeder.join().unwrap();
        let acks = reader.join().unwrap();
        assert!(acks.len() <= given.load(Ordering::SeqCst), "more was acknowledged than was given");
        acks
    }

    /// Syncs until it is done, with client or server killed `kills` times.
    fn sync(&mut self, client: &Client, kills: u64) {
        let until = self.killer.kills + kills;
        let mut usual = Duration::from_millis(1_500);
        for _ in 0..200 + 3 * kills {
            let began = Instant::now();
            let mut running = client.start(&["sync", "--timeout", "20s"]);
            if self.killer.kills < until {
                self.strike(client, &mut running, usual);
            }
            let ran = running.finish(&["sync"]);
            assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
            assert!([0, 3, -1].contains(&ran.code), "{ran:#?}");
            if ran.code == 0 {
                usual = usual.min(began.elapsed());
                if self.killer.kills >= until && client.queued() == 0 {
                    return;
                }
                // Nothing is left to be torn: the rest of the kills is not spent on nothing.
                if client.queued() == 0 && client.json(&["status"])["documents"][0]["in_step"] == true {
                    return;
                }
            }
        }
        panic!("it does not come to an end");
    }

    fn strike(&mut self, client: &Client, running: &mut Running, most: Duration) {
        let moment = Moment { within: most / 2, patience: most, spread: most / 16 };
        let proxy = Some(&self.proxy);
        if self.killer.draw(2) == 0 {
            let process = &mut running.process;
            let mut victim = Victim { process, database: &client.store, proxy, serves: false };
            self.killer.strike(&mut victim, moment);
            return;
        }
        let Server { process, database, .. } = &mut self.server;
        if self.killer.strike(&mut Victim { process, database, proxy, serves: true }, moment) {
            self.proxy.set_target(None);
            self.proxy.cut();
            self.server = Server::start(&self.server.database);
            self.proxy.set_target(Some(&self.server.address()));
        }
    }
}

fn feed(
    running: &mut Running,
    lines: &Arc<Vec<String>>,
    from: usize,
    given: &Arc<AtomicUsize>,
) -> std::thread::JoinHandle<()> {
    let mut stdin = running.stdin.take().unwrap();
    let (lines, given) = (Arc::clone(lines), Arc::clone(given));
    std::thread::spawn(move || {
        for line in &lines[from..] {
            // Counted before it is given: it may be acknowledged at once.
            given.fetch_add(1, Ordering::SeqCst);
            if stdin.write_all(line.as_bytes()).is_err() {
                return;
            }
        }
    })
}

/// How many actions this store holds, of anyone.
fn held(client: &Client) -> i64 {
    client.sql("SELECT count(*) FROM history")
}

fn hashes(file: &Path) -> HashSet<String> {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(file, flags).unwrap();
    let mut statement = connection.prepare("SELECT change_hash FROM history").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

/// The text that these edits of an empty one end at.
fn text_of(patches: &[Patch]) -> String {
    let mut text: Vec<char> = Vec::new();
    for (pos, delete, insert) in patches {
        text.splice(*pos..pos + delete, insert.chars());
    }
    text.into_iter().collect()
}

#[test]
fn a_paper_survives_kills_and_nothing_is_lost_or_doubled() {
    let Some(dir) = traces() else { return };
    let trace = Trace::read(&dir, "automerge-paper");
    let all: Vec<Patch> = trace.patches().cloned().collect();
    assert_eq!(text_of(&all), trace.end_content, "the trace says of itself what it says");
    let edits = std::env::var("REJOIN_KILLS_EDITS").ok().and_then(|n| n.parse().ok()).unwrap_or(EDITS);
    let patches = &all[..edits.min(all.len())];
    let (first, second) = patches.split_at(patches.len() / 2);
    let mut world = World::new();
    let (a, b) = (world.client("a.db"), world.client("b.db"));
    world.doc = a.ok(&["new"]).trim().to_owned();
    let timed = |what: &str, world: &mut World, work: &dyn Fn(&mut World)| {
        let (began, kills, inside) = (Instant::now(), world.killer.kills, world.killer.inside());
        work(world);
        let (kills, inside) = (world.killer.kills - kills, world.killer.inside() - inside);
        println!("{what}: {:.1} s, {kills} kills, {inside} inside", began.elapsed().as_secs_f64());
    };
    timed("A applies", &mut world, &|w| w.apply(&a, first, 40));
    timed("A syncs", &mut world, &|w| w.sync(&a, 25));
    b.ok(&["join", &world.doc.clone()]);
    timed("B syncs", &mut world, &|w| w.sync(&b, 15));
    timed("B applies", &mut world, &|w| w.apply(&b, second, 40));
    timed("B syncs", &mut world, &|w| w.sync(&b, 25));
    timed("A syncs", &mut world, &|w| w.sync(&a, 15));
    world.killer.report("automerge-paper");
    println!(
        "automerge-paper: {} acknowledged, {} durable whose acknowledgement was lost",
        world.acknowledged.len(),
        world.unacknowledged
    );
    assert_eq!(world.acknowledged.len() + world.unacknowledged, patches.len());
    let expected = text_of(patches);
    for client in [&a, &b] {
        client.check_file();
        let there = hashes(&client.store);
        assert_eq!(there.len(), patches.len(), "each edit is there once");
        assert!(world.acknowledged.iter().all(|hash| there.contains(hash)), "an acknowledged change is gone");
        assert!(client.json(&["get", &world.doc, "/text"]) == expected, "the text is what was typed");
    }
    assert!(world.killer.inside() >= 50, "only {} kills tore something", world.killer.inside());
}

#[test]
fn two_friends_survive_kills_and_still_see_what_they_saw() {
    let Some(dir) = traces() else { return };
    let trace = Trace::read(&dir, "friendsforever");
    let began = Instant::now();
    let killer = Killer::new("friendsforever");
    let killer = Stage::new(env!("CARGO_BIN_EXE_typist"), Some((killer, 30))).play(&trace).unwrap();
    killer.report("friendsforever");
    println!("friendsforever: {:.1} s", began.elapsed().as_secs_f64());
    assert!(killer.inside() >= 50, "only {} kills tore something", killer.inside());
}
