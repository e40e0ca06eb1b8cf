//! The clock, the queue of events, and the loop.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::AtomicU64},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    Actor, DocumentId, Error,
    session::Ticket,
    wire::{ChangesEvent, Request, Response, TransportError},
};
use rejoin_server::{LogStore, ServerLimits};

use super::{
    client::Client,
    invariant::{Checked, Invariant, Violation},
    ledger::Ledger,
    model::Model,
    strike::Climate,
    strikes::{Fault, Strikes},
    trace::Trace,
};

/// How long draining may take when the faults have stopped, in simulated milliseconds.
const DRAINS_WITHIN: i64 = 20 * 60_000;
/// So many events may happen meanwhile: more is a circle.
const EVENTS_WITHIN: u32 = 30_000;

/// What happens at a moment.
#[derive(Debug)]
pub(super) enum Event {
    /// A person acts.
    Act(usize),
    /// The driver asks the session.
    Drive {
        client: usize,
        document: usize,
        number: u64,
        poll: bool,
    },
    /// A request arrives at the server.
    Arrive(Box<Flight>),
    /// A reply arrives, or the news that none will.
    Reply(Box<Landing>),
    /// An event of a stream arrives.
    Told(Box<Telling>),
    /// A process starts again.
    Starts {
        client: usize,
        life: u64,
    },
    ServerStarts,
    PartitionEnds(usize),
    Strike,
    Stranger,
}

/// A request on its way.
#[derive(Debug, Clone)]
pub(super) struct Flight {
    pub(super) number: u64,
    pub(super) client: usize,
    pub(super) life: u64,
    pub(super) document: usize,
    pub(super) request: Request,
    pub(super) ticket: Ticket,
    pub(super) sent_at: i64,
}

/// A reply on its way.
#[derive(Debug, Clone)]
pub(super) struct Landing {
    pub(super) number: u64,
    pub(super) client: usize,
    pub(super) life: u64,
    pub(super) document: usize,
    pub(super) ticket: Ticket,
    pub(super) result: Result<Response, TransportError>,
}

/// An event on its way.
#[derive(Debug, Clone)]
pub(super) struct Telling {
    pub(super) client: usize,
    pub(super) life: u64,
    pub(super) document: usize,
    pub(super) event: ChangesEvent,
}

#[derive(Debug)]
pub(super) struct World {
    pub(super) rng: StdRng,
    pub(super) now: i64,
    order: u64,
    events: BTreeMap<(i64, u64), Event>,
    pub(super) documents: Vec<DocumentId>,
    pub(super) clients: Vec<Client>,
    /// The next nonce that a process takes.
    pub(super) nonces: Arc<AtomicU64>,
    pub(super) server: LogStore,
    pub(super) server_up: bool,
    pub(super) server_limits: ServerLimits,
    pub(super) server_copies: Vec<LogStore>,
    pub(super) ledger: Ledger,
    pub(super) model: Model,
    pub(super) climate: Climate,
    /// The faults have stopped.
    pub(super) calm: bool,
    pub(super) trace: Trace,
    pub(super) strikes: Strikes,
    flights: u64,
    /// Requests that have not arrived yet.
    pub(super) under_way: u32,
    /// Actions that are still to be done in this storm.
    pub(super) to_do: u32,
}

impl World {
    pub(super) fn new(seed: u64, keep_trace: bool) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let documents = (0..rng.random_range(1..=2)).map(|_| DocumentId::from_bytes(rng.random())).collect();
        let climate = Climate::of(&mut rng);
        let server_limits = ServerLimits {
            page_changes: [2, 7, 40, 10_000][rng.random_range(0..4)],
            ..ServerLimits::default()
        };
        Self {
            rng,
            now: 0,
            order: 0,
            events: BTreeMap::new(),
            documents,
            clients: Vec::new(),
            nonces: Arc::new(AtomicU64::new(seed)),
            server: LogStore::open_in_memory().unwrap(),
            server_up: true,
            server_limits,
            server_copies: Vec::new(),
            ledger: Ledger::default(),
            model: Model::default(),
            climate,
            calm: false,
            trace: Trace::new(keep_trace),
            strikes: Strikes::default(),
            flights: 0,
            under_way: 0,
            to_do: 0,
        }
    }

    /// The whole seed.
    pub(super) fn run(&mut self) -> Checked {
        for _ in 0..self.rng.random_range(2..=5) {
            self.add_client()?;
        }
        let storms = self.rng.random_range(1..=3_u32);
        let actions = self.rng.random_range(54..=90_u32);
        for _ in 0..storms {
            self.storm(actions.div_ceil(storms))?;
            self.draw_calm()?;
        }
        Ok(())
    }

    /// What lies on every disk and in every log, for whoever looks into a seed that failed.
    pub(super) fn describe(&mut self) {
        for (number, id) in self.documents.clone().into_iter().enumerate() {
            let entries = &self.ledger.log(id).entries;
            let short: Vec<String> = entries.iter().map(|hash| hash.to_string()[..6].to_owned()).collect();
            self.log(format!("the log of d{number}: {}", short.join(" ")));
            for client in 0..self.clients.len() {
                let cursor = self.clients[client].look(id).and_then(|seen| seen.cursor);
                self.log(format!("c{client} d{number}, cursor {cursor:?}:"));
                for line in self.clients[client].describe(id) {
                    self.log(line);
                }
            }
        }
    }

    fn storm(&mut self, actions: u32) -> Checked {
        self.calm = false;
        self.to_do = actions;
        self.log(format!("storm, {actions} actions"));
        for client in 0..self.clients.len() {
            self.within(3_000, Event::Act(client));
        }
        self.within(4_000, Event::Strike);
        self.within(15_000, Event::Stranger);
        let mut quiet_from = None;
        while quiet_from.is_none_or(|from: i64| self.now < from + 5_000) {
            if self.to_do == 0 && quiet_from.is_none() {
                quiet_from = Some(self.now);
            }
            let Some(()) = self.turn()? else { break };
        }
        Ok(())
    }

    /// The faults stop, and everything must drain.
    fn draw_calm(&mut self) -> Checked {
        self.calm = true;
        self.to_do = 0;
        self.climate.armed.fill(false);
        for client in &self.clients {
            client.disk.failing.store(false, std::sync::atomic::Ordering::Relaxed);
        }
        self.log("calm".to_owned());
        self.server_up = true;
        for client in 0..self.clients.len() {
            self.clients[client].partitioned = false;
            if !self.clients[client].is_up() {
                self.start(client)?;
            }
            for document in 0..self.documents.len() {
                self.join(client, document)?;
                self.drive_within(client, document, 1_000, true);
            }
        }
        let (deadline, mut events) = (self.now + DRAINS_WITHIN, 0);
        while !self.is_settled()? {
            events += 1;
            if self.now > deadline || events > EVENTS_WITHIN {
                let owed = self.what_is_owed();
                return Err(self.broken(Invariant::Liveness, owed));
            }
            if self.turn()?.is_none() {
                return Err(self.broken(Invariant::Liveness, "nothing is left to happen".to_owned()));
            }
        }
        self.check_quiet()
    }

    /// The next event; `None` when there is none.
    fn turn(&mut self) -> Checked<Option<()>> {
        let Some(((at, _), event)) = self.events.pop_first() else { return Ok(None) };
        self.now = at;
        self.happen(event)?;
        Ok(Some(()))
    }

    fn happen(&mut self, event: Event) -> Checked {
        match event {
            Event::Act(client) => self.act(client),
            Event::Drive { client, document, number, poll } => self.drive(client, document, (number, poll)),
            Event::Arrive(flight) => self.arrive(*flight),
            Event::Reply(landing) => self.land(*landing),
            Event::Told(telling) => self.told(*telling),
            Event::Starts { client, life } => {
                let down = !self.clients[client].is_up() && self.clients[client].life == life;
                if down { self.start(client) } else { Ok(()) }
            }
            Event::ServerStarts => {
                self.server_up = true;
                Ok(())
            }
            Event::PartitionEnds(client) => {
                self.clients[client].partitioned = false;
                Ok(())
            }
            Event::Strike => self.strike(),
            Event::Stranger => self.stranger(),
        }
    }

    /// Something happens at a random moment of the next milliseconds.
    pub(super) fn within(&mut self, milliseconds: i64, event: Event) {
        let wait = self.rng.random_range(1..=milliseconds.max(1));
        self.after(wait, event);
    }

    pub(super) fn after(&mut self, milliseconds: i64, event: Event) {
        self.order += 1;
        self.events.insert((self.now + milliseconds, self.order), event);
    }

    pub(super) fn log(&mut self, text: String) {
        self.trace.line(format!("{:>8} {text}", self.now));
    }

    pub(super) fn broken(&self, invariant: Invariant, detail: impl Into<String>) -> Violation {
        Violation { invariant, detail: detail.into(), at: self.now }
    }

    pub(super) fn chance(&mut self, percent: u32) -> bool {
        percent > 0 && self.rng.random_ratio(percent.min(100), 100)
    }

    pub(super) fn random_actor(&mut self) -> Actor {
        Actor::from(self.rng.random::<[u8; 16]>().to_vec())
    }

    /// A verb of the store failed: right where a commit was made to fail, a bug anywhere else.
    pub(super) fn verb_failed(&mut self, client: usize, document: usize, error: Error) -> Checked {
        self.log(format!("c{client} d{document} failed: {error}"));
        if matches!(&error, Error::Bug(text) if text == "interrupted") {
            self.crash(client);
            return self.check_client(client);
        }
        if !matches!(error, Error::Storage(_)) || !self.climate.armed[client % self.climate.armed.len()] {
            return Err(
                self.broken(Invariant::NoError, format!("c{client} d{document}: {error} ({error:?})"))
            );
        }
        let arms = self.climate.armed.len();
        self.climate.armed[client % arms] = false;
        self.strikes.strike(Fault::CommitFailed);
        if self.chance(50) {
            self.crash(client);
        } else {
            self.drive_within(client, document, 1_000, false);
        }
        self.check_client(client)
    }

    pub(super) fn next_flight(&mut self) -> u64 {
        self.flights += 1;
        self.flights
    }
}
