//! Clients and their processes, and what the driver does for each: it asks the session, and hands it the replies.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::AtomicI64},
};

use rand::RngExt;
use rejoin::{
    DocumentId, fence,
    session::{Now, Outcome, Session, SessionLimits, Step},
    store::BatchBounds,
    wire::{PushReply, Response, TransportError},
};

use super::{
    client::{Client, EPOCH, Slot},
    disk::Disk,
    invariant::{Checked, Invariant, Violation},
    undoing::Line,
    world::{Event, Landing, World},
};

impl World {
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
            nonces: Arc::clone(&self.nonces),
            offset: self.rng.random_range(-5_000..5_000),
            partitioned: false,
            copies: Vec::new(),
            seen: HashMap::new(),
            commits: 0,
            lines: vec![Line::default(); self.documents.len()],
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

    pub(super) fn drive(&mut self, client: usize, document: usize, (number, poll): (u64, bool)) -> Checked {
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
        let step = core.sync_step(&mut slot.session, now, &mut self.rng);
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

    pub(super) fn land(&mut self, landing: Landing) -> Checked {
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
        let handled = core.take_reply(&mut slot.session, ticket, result, now, &mut self.rng);
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
