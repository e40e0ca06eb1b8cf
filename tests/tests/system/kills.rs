//! Real typing, with clients and servers that die by `kill -9` at random moments and come back.

use std::{
    collections::HashSet,
    io::{BufRead, Write},
    ops::Range,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use rejoin_tests::{
    friends_stage::Stage,
    harness::{Client, Killer, Moment, Place, Proxy, Running, Server, Victim, check_file, size, traces},
    traces::{Patch, Trace, splice_line},
};

/// So many edits of the paper where somebody waits: each kill costs a start. The full run writes all of it.
const EDITS: usize = 20_000;

/// In so many legs each half is written: a leg is applied offline, and then both sync.
const LEGS: usize = 8;

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
        // Those that are killed are given so much that all of them together get about through.
        let share = 2 * lines.len() as u64 / (kills + 1);
        let until = self.killer.kills + kills;
        loop {
            let done = usize::try_from(held(client) - before).unwrap();
            if done == lines.len() {
                return;
            }
            let strike = self.killer.kills < until;
            let given = if strike { 1 + self.killer.draw(share) as usize } else { lines.len() };
            let acks = self.apply_once(client, (&lines, done..lines.len().min(done + given)), strike);
            let durable = usize::try_from(held(client) - before).unwrap();
            assert!(durable >= done + acks.len(), "an acknowledged change is gone");
            assert!(durable <= done + given, "an edit is there twice");
            self.unacknowledged += durable - done - acks.len();
            self.acknowledged.extend(acks);
        }
    }

    /// One run of `apply --ack` of some lines, killed or not.
    fn apply_once(
        &mut self,
        client: &Client,
        (lines, range): (&Arc<Vec<String>>, Range<usize>),
        strike: bool,
    ) -> Vec<String> {
        let mut running = client.start(&["apply", &self.doc, "--ack"]);
        let mut stdin = running.stdin.take().unwrap();
        let lines = Arc::clone(lines);
        let feeder = std::thread::spawn(move || {
            for line in &lines[range] {
                if stdin.write_all(line.as_bytes()).is_err() {
                    break;
                }
            }
            // One that is to be killed is not to end before.
            strike.then_some(stdin)
        });
        let out = running.stdout.take().unwrap();
        let reader = std::thread::spawn(move || read_lines(out));
        if strike {
            let moment = Moment {
                within: Duration::from_millis(100),
                patience: Duration::from_millis(400),
                spread: Duration::from_millis(25),
            };
            let process = &mut running.process;
            let mut victim = Victim { process, database: &client.store, proxy: None, serves: false };
            assert!(self.killer.strike(&mut victim, moment), "it waits for more");
        }
        drop(feeder.join().unwrap());
        let status = running.process.child.wait().unwrap();
        assert!(strike || status.success(), "apply failed: {status}");
        reader.join().unwrap()
    }

    /// Syncs until it is done, with client or server killed `kills` times.
    fn sync(&mut self, client: &Client, kills: u64) {
        let until = self.killer.kills + kills;
        for _ in 0..200 + 3 * kills {
            let mut running = client.start(&["sync", "--timeout", "20s"]);
            if self.killer.kills < until {
                self.strike(client, &mut running);
            }
            let ran = running.finish(&["sync"]);
            assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
            assert!([0, 3, -1].contains(&ran.code), "{ran:#?}");
            if ran.code == 0 {
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

    fn strike(&mut self, client: &Client, running: &mut Running) {
        let moment = Moment {
            within: Duration::from_millis(100),
            patience: Duration::from_millis(300),
            spread: Duration::from_millis(30),
        };
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

/// Whole lines: one that a kill cut says nothing.
fn read_lines(mut out: impl BufRead) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    while out.read_line(&mut line).is_ok_and(|n| n > 0) && line.ends_with('\n') {
        lines.push(line.trim_end().to_owned());
        line.clear();
    }
    lines
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
    let patches = &all[..size(EDITS, all.len()).min(all.len())];
    let (first, second) = patches.split_at(patches.len() / 2);
    let mut world = World::new();
    let (a, b) = (world.client("a.db"), world.client("b.db"));
    world.doc = a.ok(&["new"]).trim().to_owned();
    b.ok(&["join", &world.doc.clone()]);
    let began = Instant::now();
    for (half, writer, reader) in [(first, &a, &b), (second, &b, &a)] {
        for leg in half.chunks(half.len().div_ceil(LEGS).max(1)) {
            world.apply(writer, leg, 4);
            world.sync(writer, 3);
            world.sync(reader, 2);
        }
    }
    println!("automerge-paper: {} edits, {:.1} s", patches.len(), began.elapsed().as_secs_f64());
    world.killer.report("automerge-paper");
    println!(
        "automerge-paper: {} acknowledged, {} durable whose acknowledgement was lost",
        world.acknowledged.len(),
        world.unacknowledged
    );
    assert_eq!(world.acknowledged.len() + world.unacknowledged, patches.len());
    assert_eq!(world.server.log_length() as usize, patches.len() + 1, "the log holds each once");
    check_file(&world.server.database);
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
    let killer = Stage::new(env!("CARGO_BIN_EXE_typist"), Some((killer, 45))).play(&trace).unwrap();
    killer.report("friendsforever");
    println!("friendsforever: {:.1} s", began.elapsed().as_secs_f64());
    assert!(killer.inside() >= 50, "only {} kills tore something", killer.inside());
}
