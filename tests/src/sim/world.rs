//! The clock, the queue of events, and the loop.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, atomic::AtomicI64},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rejoin::{
    Actor, DocumentId, Error, fence,
    session::{self, Now, Outcome, Session, SessionLimits, Step, Ticket},
    store::BatchBounds,
    wire::{ChangesEvent, PushReply, Request, Response, TransportError},
};
use rejoin_server::{LogStore, ServerLimits};

use super::{
    client::{Client, EPOCH, Slot},
    disk::Disk,
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

    /// A client with a store of its own.
    pub(super) fn add_client(&mut self) -> Checked<usize> {
        let name = self.clients.len();
        let limits = SessionLimits {
            batch: BatchBounds {
                count: [1, 4, 25, 5_000][self.rng.random_range(0..4)],
                bytes: [700, 2 * 1024 * 1024][self.rng.random_range(0..2)],
            },
            change: fence::Limits::default(),
            ..SessionLimits::default()
        };
        self.clients.push(Client {
            disk: Disk::new(),
            core: None,
            other: None,
            slots: Vec::new(),
            joined: vec![false; self.documents.len()],
            life: 0,
            started: self.now,
            wall: Arc::new(AtomicI64::new(EPOCH)),
            offset: self.rng.random_range(-5_000..5_000),
            partitioned: false,
            copies: Vec::new(),
            seen: HashMap::new(),
            commits: 0,
            limits,
        });
        self.start(name)?;
        let actor = self.random_actor();
        let core = self.clients[name].core.as_mut().unwrap();
        core.take_fresh_actor(actor).unwrap();
        for document in 0..self.documents.len() {
            if name == 0 || self.chance(60) {
                self.join(name, document)?;
            }
        }
        Ok(name)
    }

    /// Takes part in a document, where it does not yet.
    pub(super) fn join(&mut self, client: usize, document: usize) -> Checked {
        let id = self.documents[document];
        let it = &mut self.clients[client];
        it.set_wall(self.now);
        let Some(core) = it.core.as_mut() else { return Ok(()) };
        if it.joined[document] {
            return Ok(());
        }
        core.join(id, None, None).map_err(|e| Violation {
            invariant: Invariant::NoError,
            detail: e.to_string(),
            at: self.now,
        })?;
        it.joined[document] = true;
        self.log(format!("c{client} joins d{document}"));
        self.check_client(client)?;
        self.drive_within(client, document, 500, true);
        Ok(())
    }

    /// A process starts on the client's disk.
    pub(super) fn start(&mut self, client: usize) -> Checked {
        let it = &mut self.clients[client];
        it.started = self.now;
        it.set_wall(self.now);
        let opened = it.open();
        let core =
            opened.map_err(|e| self.broken(Invariant::NoError, format!("a store does not open: {e}")))?;
        let it = &mut self.clients[client];
        it.core = Some(core);
        let slot = |id: &DocumentId| Slot {
            session: Session::new(*id, it.limits),
            flight: None,
            heard: Vec::new(),
            drive: 0,
            settled: false,
            idle: false,
        };
        it.slots = self.documents.iter().map(slot).collect();
        self.log(format!("c{client} starts"));
        self.check_client(client)?;
        for document in 0..self.documents.len() {
            self.drive_within(client, document, 1_000, true);
        }
        Ok(())
    }

    /// Has the driver ask the session within so many milliseconds, and not at the time it had in mind before.
    pub(super) fn drive_within(&mut self, client: usize, document: usize, milliseconds: i64, poll: bool) {
        let wait = self.rng.random_range(1..=milliseconds.max(1));
        self.drive_after(client, document, wait, poll);
    }

    fn drive_after(&mut self, client: usize, document: usize, milliseconds: i64, poll: bool) {
        let Some(slot) = self.clients[client].slots.get_mut(document) else { return };
        slot.drive += 1;
        let number = slot.drive;
        self.after(milliseconds, Event::Drive { client, document, number, poll });
    }

    pub(super) fn now_of(&self, client: usize) -> Now {
        let it = &self.clients[client];
        Now { steady: self.now - it.started, wall: EPOCH + self.now + it.offset }
    }

    fn drive(&mut self, client: usize, document: usize, (number, poll): (u64, bool)) -> Checked {
        let now = self.now_of(client);
        let it = &mut self.clients[client];
        it.set_wall(self.now);
        let (Some(core), Some(slot)) = (it.core.as_mut(), it.slots.get_mut(document)) else { return Ok(()) };
        if !it.joined[document] || slot.flight.is_some() || slot.drive != number {
            return Ok(());
        }
        if poll && slot.idle {
            slot.session.start_run();
        }
        slot.idle = false;
        slot.settled = false;
        let step = session::next(core, &mut slot.session, now, &mut self.rng);
        match step {
            Ok(Step::Send { request, ticket }) => {
                self.check_client(client)?;
                self.check_no_transaction(client)?;
                self.send(client, document, request, ticket)
            }
            Ok(Step::Wait { until }) => {
                let wait = (until - now.steady).max(1);
                self.log(format!("c{client} d{document} waits {wait}"));
                self.drive_after(client, document, wait, false);
                self.check_client(client)
            }
            Ok(Step::Done(outcome)) => self.done(client, document, outcome),
            Err(error) => self.verb_failed(client, document, error),
        }
    }

    fn done(&mut self, client: usize, document: usize, outcome: Outcome) -> Checked {
        self.log(format!("c{client} d{document} done: {outcome:?}"));
        let slot = &mut self.clients[client].slots[document];
        slot.idle = true;
        slot.settled = true;
        if !matches!(outcome, Outcome::InStep | Outcome::NotThere) {
            return Err(self.broken(Invariant::Liveness, format!("c{client}: a run ended as {outcome:?}")));
        }
        let poll = if self.calm { 5_000 } else { 40_000 };
        self.drive_within(client, document, poll, true);
        self.check_client(client)
    }

    fn land(&mut self, landing: Landing) -> Checked {
        let Landing { number, client, life, document, ticket, result } = landing;
        let now = self.now_of(client);
        let it = &mut self.clients[client];
        it.set_wall(self.now);
        if it.core.is_none() || it.life != life {
            return Ok(());
        }
        let slot = &mut it.slots[document];
        let waited_for = slot.flight == Some(number);
        if !waited_for && result.is_err() {
            return Ok(());
        }
        if waited_for {
            slot.flight = None;
            let heard = std::mem::take(&mut slot.heard);
            heard.into_iter().for_each(|telling| self.after(1, Event::Told(Box::new(telling))));
        }
        let it = &mut self.clients[client];
        let (Some(core), Some(slot)) = (it.core.as_mut(), it.slots.get_mut(document)) else { return Ok(()) };
        if !it.joined[document] {
            return Ok(());
        }
        let what = describe_reply(&result);
        let handled = session::handle(core, &mut slot.session, ticket, result, (now, &mut self.rng));
        let trouble = slot.session.trouble().map(|t| t.detail.clone());
        match handled {
            Ok(progress) => {
                self.log(format!("c{client} d{document} #{number} reply {what}: {progress:?} {trouble:?}"));
                if waited_for {
                    self.drive_within(client, document, 5, false);
                }
                self.check_client(client)
            }
            Err(error) => {
                self.log(format!("c{client} d{document} #{number} reply {what}: {error}"));
                self.verb_failed(client, document, error)
            }
        }
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

/// A reply in a few words.
fn describe_reply(result: &Result<Response, TransportError>) -> String {
    let reply = match result {
        Ok(reply) => reply,
        Err(error) => return error.to_string(),
    };
    let short = |hash: &str| hash.get(..6).unwrap_or_default().to_owned();
    let cursor = reply.cursor.as_ref().and_then(|c| c.as_str().split('.').next()).unwrap_or("none");
    let mut text =
        format!("{} {} {} bytes, cursor {cursor}", reply.status, reply.media_type, reply.body.len());
    if let Ok(push) = serde_json::from_slice::<PushReply>(&reply.body) {
        text += &format!(", {} new, {} known", push.accepted, push.duplicate);
        for one in push.rejected {
            let missing: Vec<String> = one.missing.iter().map(|hash| short(hash)).collect();
            let stands = one.stands.as_deref().map(short).unwrap_or_default();
            text += &format!(", {} {:?} {} {stands}", short(&one.hash), one.code, missing.join("+"));
        }
    }
    text
}
