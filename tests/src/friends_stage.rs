//! The stage on which two people type, with a server between them, and someone who may kill any of them.

use std::{
    collections::{BTreeSet, HashMap},
    path::PathBuf,
    time::{Duration, Instant},
};

use rejoin::DocumentId;
use serde_json::Value;

use crate::{
    friends::{Order, Step, Typist, plan},
    harness::{Killer, Moment, Place, Proxy, Server, Victim, check_file},
    traces::Trace,
};

/// Two typists and a server, each a process.
#[derive(Debug)]
pub struct Stage {
    place: Place,
    program: PathBuf,
    server: Server,
    proxy: Proxy,
    id: DocumentId,
    typists: [Typist; 2],
    /// The changes that each has made, in order: one for each transaction.
    typed: [Vec<String>; 2],
    /// The change that a transaction became, by its index in the trace.
    made: HashMap<usize, String>,
    /// How many of the other's each has seen.
    seen: [usize; 2],
    /// Where the log ends for each.
    ends: [u64; 2],
    /// After so many of a person's transactions the log was so long.
    pushed: [HashMap<usize, u64>; 2],
    killer: Option<(Killer, u64)>,
    usual: [Duration; 2],
}

impl Stage {
    /// An empty stage. `program` is the typists'. With a killer, one order in `every` is struck.
    pub fn new(program: &str, killer: Option<(Killer, u64)>) -> Self {
        let place = Place::new();
        let server = Server::start(place.path("server.db"));
        let proxy = Proxy::to(&server.address());
        let (id, program) = (DocumentId::random(), PathBuf::from(program));
        let typists =
            ["a.db", "b.db"].map(|name| Typist::start(&program, &place.path(name), (id, &proxy.url())));
        Self {
            place,
            program,
            server,
            proxy,
            id,
            typists,
            typed: Default::default(),
            made: HashMap::new(),
            seen: [0; 2],
            ends: [0; 2],
            pushed: Default::default(),
            killer,
            usual: [Duration::from_millis(5); 2],
        }
    }

    /// Plays the whole trace, and checks that both end where it ends. Returns the killer.
    pub fn play(mut self, trace: &Trace) -> Option<Killer> {
        let steps = plan(trace);
        for step in &steps {
            match step {
                Step::Type { agent, txns } => self.type_all(trace, *agent, txns),
                Step::Push { agent } => self.push(*agent),
                Step::Pull { agent, count } => self.pull(*agent, *count),
            }
        }
        let pulls = steps.iter().filter(|s| matches!(s, Step::Pull { .. })).count();
        println!(
            "friendsforever: {} transactions, {pulls} times one was shown the other's",
            trace.txns.len()
        );
        self.end(trace);
        self.killer.map(|(killer, _)| killer)
    }

    /// Tells a typist something until it is answered, whoever dies meanwhile. `None` when the typist died: then
    /// how far it came is to be found out.
    fn order(&mut self, agent: usize, order: &Order) -> Option<Value> {
        let kind = usize::from(matches!(order, Order::Sync { .. }));
        let strike = self.killer.as_mut().is_some_and(|(killer, every)| killer.draw(*every) == 0);
        let began = Instant::now();
        let told = self.typists[agent].tell(order);
        assert!(told, "a typist that was not killed is there");
        if strike && self.strike(agent, kind) {
            self.typists[agent] =
                Typist::start(&self.program, &self.typists[agent].store, (self.id, &self.proxy.url()));
            return None;
        }
        let answer = self.typists[agent].answer();
        if !strike {
            self.usual[kind] = (self.usual[kind] * 7 + began.elapsed()) / 8;
        }
        let answer = answer.expect("a typist that was not killed answers");
        assert!(self.killer.is_some() || answer["error"].is_null(), "{answer}");
        Some(answer)
    }

    /// Kills the typist or the server at a random moment. Returns whether it was the typist.
    fn strike(&mut self, agent: usize, kind: usize) -> bool {
        let Some((killer, _)) = &mut self.killer else { return false };
        let at_server = kind == 1 && killer.draw(2) == 0;
        let usual = self.usual[kind];
        let moment = Moment { within: usual / 2, patience: usual * 3, spread: usual / 8 };
        if !at_server {
            let Typist { process, store, .. } = &mut self.typists[agent];
            let proxy = (kind == 1).then_some(&self.proxy);
            return killer.strike(&mut Victim { process, database: store, proxy, serves: false }, moment);
        }
        let Server { process, database, .. } = &mut self.server;
        let mut victim = Victim { process, database, proxy: Some(&self.proxy), serves: true };
        if killer.strike(&mut victim, moment) {
            self.proxy.set_target(None);
            self.proxy.cut();
            self.server = Server::start(&self.server.database);
            self.proxy.set_target(Some(&self.server.address()));
        }
        false
    }

    fn open(&self, agent: usize) -> rusqlite::Connection {
        let store = &self.typists[agent].store;
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let opened = rusqlite::Connection::open_with_flags(store, flags);
        let connection = opened.unwrap_or_else(|e| panic!("{}: {e}", store.display()));
        connection.busy_timeout(Duration::from_secs(10)).expect("a timeout can be set");
        connection
    }

    /// From the public views: live changes here, and rows that wait to be sent.
    fn count(&self, agent: usize) -> (usize, usize) {
        let sql =
            "SELECT (SELECT changes FROM documents), (SELECT count(*) FROM queue WHERE state = 'waiting')";
        let row = self.open(agent).query_row(sql, [], |r| Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?)));
        let (changes, waiting) = row.expect("the views can be read");
        (usize::try_from(changes).unwrap_or(0), usize::try_from(waiting).unwrap_or(0))
    }

    /// The heads of this person's document: with them all that it holds is said.
    fn heads(&self, agent: usize) -> BTreeSet<String> {
        let heads: String = self
            .open(agent)
            .query_row("SELECT heads FROM documents", [], |r| r.get(0))
            .expect("the view can be read");
        heads.split_whitespace().map(str::to_owned).collect()
    }

    /// Which changes this person made, in order.
    fn own(&self, agent: usize) -> Vec<String> {
        let connection = self.open(agent);
        let sql = "SELECT change_hash FROM history WHERE origin = 'local' ORDER BY position";
        let mut statement = connection.prepare(sql).expect("the view can be read");
        let rows = statement.query_map([], |r| r.get(0)).expect("the view can be read");
        rows.collect::<Result<_, _>>().expect("the view can be read")
    }

    /// How many changes this person is to hold; the one that makes the text is not counted.
    fn expected(&self, agent: usize) -> usize {
        self.typed[agent].len() + self.seen[agent]
    }

    fn type_all(&mut self, trace: &Trace, agent: usize, txns: &[usize]) {
        let patches: Vec<_> = txns.iter().flat_map(|i| trace.txns[*i].patches.clone()).collect();
        assert_eq!(patches.len(), txns.len(), "a transaction is one edit");
        // Heads with all that they descend from are the whole document: no change more, and none less.
        let parents = &trace.txns[txns[0]].parents;
        let seen: BTreeSet<String> = parents.iter().map(|parent| self.made[parent].clone()).collect();
        assert_eq!(self.heads(agent), seen, "the typist has seen what the trace says");
        let (before, end) = (self.typed[agent].len(), self.typed[agent].len() + patches.len());
        while self.typed[agent].len() < end {
            let rest = patches[self.typed[agent].len() - before..].to_vec();
            let n = rest.len();
            match self.order(agent, &Order::Type { patches: rest }) {
                Some(answer) => {
                    let hashes = answer["typed"].as_array().expect("hashes").iter();
                    self.typed[agent].extend(hashes.filter_map(Value::as_str).map(str::to_owned));
                    assert_eq!(self.typed[agent].len(), end, "{n} were to be typed");
                }
                // Killed: what is durable was typed, told or not, and is not typed again.
                None => {
                    let own = self.own(agent);
                    assert!(own.starts_with(&self.typed[agent]), "what was told is durable");
                    assert!(own.len() <= end, "nothing is doubled");
                    self.typed[agent] = own;
                }
            }
        }
        self.made.extend(txns.iter().copied().zip(self.typed[agent][before..].iter().cloned()));
    }

    fn push(&mut self, agent: usize) {
        let order = Order::Sync { end: Some(self.ends[agent]) };
        let mut tries = 0;
        while self.count(agent).1 > 0 || tries == 0 {
            self.order(agent, &order);
            tries += 1;
            assert!(tries < 100, "what waits is not pushed");
        }
        let length = self.server.log_length();
        self.pushed[agent].insert(self.typed[agent].len(), length);
    }

    fn pull(&mut self, agent: usize, count: usize) {
        let end = self.pushed[1 - agent][&count];
        self.ends[agent] = self.ends[agent].max(end);
        self.seen[agent] = count;
        let order = Order::Sync { end: Some(self.ends[agent]) };
        let mut tries = 0;
        while self.count(agent).0 != self.expected(agent) || tries == 0 {
            self.order(agent, &order);
            tries += 1;
            assert!(tries < 100, "{:?} of {} changes arrived", self.count(agent), self.expected(agent));
        }
    }

    /// Nothing is held back any more: both have everything.
    fn end(&mut self, trace: &Trace) {
        self.killer.iter_mut().for_each(|(_, every)| *every = u64::MAX);
        for agent in [0, 1, 0] {
            let answer = self.order(agent, &Order::Sync { end: None });
            assert_eq!(answer.unwrap_or_default()["error"], Value::Null);
        }
        let looks: Vec<Value> =
            (0..2).map(|agent| self.order(agent, &Order::Look).expect("nobody is killed any more")).collect();
        for (agent, look) in looks.iter().enumerate() {
            assert!(look["text"] == trace.end_content, "typist {agent} ends at endContent");
            assert_eq!(look["queued"], 0, "the queue of typist {agent} is empty");
            assert_eq!(look["own"], self.typed[agent].len(), "nothing is lost and nothing doubled");
            assert_eq!(look["others"], self.typed[1 - agent].len(), "nothing is lost and nothing doubled");
        }
        assert_eq!(looks[0]["heads"], looks[1]["heads"]);
        assert_eq!(self.server.log_length() as usize, trace.txns.len() + 1, "the log holds each once");
        for name in ["a.db", "b.db", "server.db"] {
            check_file(&self.place.path(name));
        }
    }
}
