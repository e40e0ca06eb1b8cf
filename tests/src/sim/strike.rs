//! What breaks beside the network.

use rand::{RngExt, rngs::StdRng};
use rejoin_server::LogStore;

use super::{
    client::EPOCH,
    invariant::{Checked, Invariant},
    strikes::Fault,
    undoing::Line,
    world::{Event, World},
};

/// Most copies that are kept of one thing.
const COPIES: usize = 2;
/// Most clients.
const CLIENTS: usize = 5;

/// Which faults a seed has, and how often.
#[derive(Debug)]
pub(super) struct Climate {
    percents: [u32; Fault::ALL.len()],
    /// Whose next commit is to fail.
    pub(super) armed: [bool; CLIENTS],
}

/// The faults that strike by themselves, each with its weight.
const STRIKES: [(Fault, u32); 10] = [
    (Fault::Partition, 3),
    (Fault::ClientCrash, 4),
    (Fault::CommitFailed, 4),
    (Fault::ServerCrash, 2),
    (Fault::StoreCloned, 3),
    (Fault::StoreRestored, 3),
    (Fault::ServerWiped, 3),
    (Fault::ServerRestored, 3),
    (Fault::ClockJump, 3),
    (Fault::Rejoined, 6),
];

impl Climate {
    /// Each seed has some faults and not others: what never happens beside what is found sooner.
    pub(super) fn of(rng: &mut StdRng) -> Self {
        let gentle = rng.random_ratio(1, 5);
        let percents = Fault::ALL.map(|fault| {
            let often = match fault {
                Fault::ServerCrash => 1,
                Fault::OtherProcess => 25,
                _ => 5,
            };
            if rng.random_ratio(2, if gentle { 6 } else { 3 }) { rng.random_range(1..=often * 2) } else { 0 }
        });
        Self { percents, armed: [false; CLIENTS] }
    }

    pub(super) fn percent(&self, fault: Fault) -> u32 {
        self.percents[fault as usize]
    }

    pub(super) fn has(&self, fault: Fault) -> bool {
        self.percent(fault) > 0
    }
}

impl World {
    pub(super) fn strike(&mut self) -> Checked {
        if self.calm {
            return Ok(());
        }
        self.within(6_000, Event::Strike);
        self.take_copies();
        let enabled: Vec<_> = STRIKES.into_iter().filter(|(fault, _)| self.climate.has(*fault)).collect();
        let sum: u32 = enabled.iter().map(|(_, weight)| weight).sum();
        if sum == 0 {
            return Ok(());
        }
        let mut at = self.rng.random_range(0..sum);
        for (fault, weight) in enabled {
            if at < weight {
                return self.strike_with(fault);
            }
            at -= weight;
        }
        Ok(())
    }

    fn strike_with(&mut self, fault: Fault) -> Checked {
        let client = self.rng.random_range(0..self.clients.len());
        self.log(format!("strike {fault:?} c{client}"));
        match fault {
            Fault::Partition => self.partition(client),
            Fault::ClientCrash if self.clients[client].is_up() => {
                self.strikes.strike(fault);
                self.crash(client);
            }
            Fault::CommitFailed if self.clients[client].is_up() => {
                self.climate.armed[client] = true;
                self.clients[client].disk.failing.store(true, std::sync::atomic::Ordering::Relaxed);
            }
            Fault::ServerCrash => {
                self.strikes.strike(fault);
                self.crash_server();
            }
            Fault::StoreCloned => return self.clone_store(client),
            Fault::StoreRestored => return self.restore_store(client),
            Fault::ServerWiped => {
                let empty = LogStore::open_in_memory().unwrap();
                return self.replace_server(empty, fault);
            }
            Fault::ServerRestored => {
                if self.server_copies.is_empty() {
                    return Ok(());
                }
                let at = self.rng.random_range(0..self.server_copies.len());
                let copy = self.server_copies[at].copy_in_memory().unwrap();
                return self.replace_server(copy, fault);
            }
            Fault::ClockJump => {
                self.strikes.strike(fault);
                self.clients[client].offset = self.rng.random_range(-400_000_000..400_000_000);
            }
            Fault::Rejoined => return self.rejoin(client),
            _ => {}
        }
        Ok(())
    }

    fn take_copies(&mut self) {
        if self.chance(40) {
            let copy = self.server.copy_in_memory().unwrap();
            self.server_copies.push(copy);
            if self.server_copies.len() > COPIES {
                let at = self.rng.random_range(0..COPIES);
                self.server_copies.remove(at);
            }
        }
        if self.chance(60) && self.climate.has(Fault::StoreRestored) {
            let client = self.rng.random_range(0..self.clients.len());
            let at = self.rng.random_range(0..COPIES);
            let it = &mut self.clients[client];
            it.copies.push((it.disk.copy(), it.joined.clone()));
            if it.copies.len() > COPIES {
                it.copies.remove(at);
            }
        }
    }

    fn partition(&mut self, client: usize) {
        if !self.clients[client].partitioned {
            self.strikes.strike(Fault::Partition);
            self.clients[client].partitioned = true;
            self.within(30_000, Event::PartitionEnds(client));
        }
    }

    /// Memory is gone, the last commit stays.
    pub(super) fn crash(&mut self, client: usize) {
        let it = &mut self.clients[client];
        (it.core, it.other) = (None, None);
        it.slots.clear();
        it.life += 1;
        it.disk.failing.store(false, std::sync::atomic::Ordering::Relaxed);
        self.climate.armed[client] = false;
        let life = it.life;
        self.log(format!("c{client} dies"));
        self.within(10_000, Event::Starts { client, life });
    }

    pub(super) fn crash_server(&mut self) {
        self.server_up = false;
        self.within(8_000, Event::ServerStarts);
    }

    fn clone_store(&mut self, from: usize) -> Checked {
        let to = if self.clients.len() < CLIENTS && self.chance(40) {
            self.add_client()?
        } else {
            self.rng.random_range(0..self.clients.len())
        };
        if to == from {
            return Ok(());
        }
        self.strikes.strike(Fault::StoreCloned);
        self.log(format!("c{to} becomes a copy of c{from}"));
        let (copy, joined) = (self.clients[from].disk.copy(), self.clients[from].joined.clone());
        self.replace_disk(to, copy, joined)
    }

    fn restore_store(&mut self, client: usize) -> Checked {
        let it = &mut self.clients[client];
        if it.copies.is_empty() {
            return Ok(());
        }
        let at = self.rng.random_range(0..it.copies.len());
        let (disk, joined) = &it.copies[at];
        let (copy, joined) = (disk.copy(), joined.clone());
        self.strikes.strike(Fault::StoreRestored);
        self.log(format!("c{client} is put back"));
        self.replace_disk(client, copy, joined)
    }

    fn replace_disk(&mut self, client: usize, disk: super::disk::Disk, joined: Vec<bool>) -> Checked {
        self.crash(client);
        let it = &mut self.clients[client];
        (it.disk, it.joined) = (disk, joined);
        it.seen.clear();
        it.lines.fill(Line::default());
        it.commits = 0;
        self.note_losses();
        self.check_client(client)
    }

    fn replace_server(&mut self, log: LogStore, fault: Fault) -> Checked {
        self.strikes.strike(fault);
        self.server = log;
        self.ledger.forget();
        for id in self.documents.clone() {
            self.ledger.follow(&mut self.server, id, EPOCH + self.now)?;
        }
        self.note_losses();
        Ok(())
    }

    /// Forgets a document and joins it again: only where nothing of it waits, as a person would.
    fn rejoin(&mut self, client: usize) -> Checked {
        let document = self.rng.random_range(0..self.documents.len());
        let id = self.documents[document];
        let it = &mut self.clients[client];
        let (Some(core), true) = (it.core.as_mut(), it.joined[document]) else { return Ok(()) };
        let waits = core.queue(Some(id)).map_or(true, |queue| !queue.is_empty());
        if waits || self.climate.armed[client] {
            return Ok(());
        }
        it.other = None;
        if let Err(error) = core.leave(id) {
            return Err(self.broken(Invariant::NoError, format!("leave: {error}")));
        }
        it.joined[document] = false;
        it.seen.remove(&id);
        it.lines[document] = Line::default();
        let limits = it.limits;
        let slot = &mut it.slots[document];
        (slot.session, slot.flight, slot.idle) = (rejoin::session::Session::new(id, limits), None, false);
        slot.drive += 1;
        self.strikes.strike(Fault::Rejoined);
        self.note_losses();
        self.join(client, document)
    }

    /// What no store and no log holds any more may be gone for good; or come back, where a copy has it.
    pub(super) fn note_losses(&mut self) {
        let mut held = self.ledger.held();
        for client in 0..self.clients.len() {
            for id in self.documents.clone() {
                for row in self.clients[client].rows(id) {
                    if let Some(was) = row.was {
                        self.ledger.was.insert(row.hash, was);
                    }
                    held.insert(self.ledger.root(row.hash));
                }
            }
        }
        let mut gone = 0;
        for made in self.model.made.iter_mut().filter(|made| !held.contains(&made.hash)) {
            gone += u32::from(!std::mem::replace(&mut made.lost, true));
        }
        if gone > 0 {
            self.log(format!("{gone} actions are held nowhere now"));
        }
    }
}
