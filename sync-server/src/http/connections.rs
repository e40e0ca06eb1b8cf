//! Who is connected. Whoever holds a connection and does nothing with it makes room for whoever comes: so neither idle
//! connections nor streams keep others out, nor those who ask whether the server lives.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::sync::Notify;

use crate::rate_limit::Peer;

/// Of so many connections one is kept for those who ask how the server is, and for who looks after it.
const KEPT_PART: usize = 64;

/// All connections of a server.
#[derive(Debug, Clone)]
pub(super) struct Connections(Arc<Mutex<Register>>);

/// A connection, for who serves it.
#[derive(Debug, Clone)]
pub(crate) struct Visit(Arc<Guest>);

#[derive(Debug)]
struct Guest {
    id: u64,
    all: Connections,
    /// It came when all others were taken: it is for who asks how the server is, or looks after it.
    kept: bool,
    /// Requests that are being answered.
    at_work: AtomicUsize,
    /// It has to make room.
    end: Arc<Notify>,
}

/// A request of a connection that is being answered, to its last byte.
#[derive(Debug)]
pub(crate) struct AtWork(Arc<Guest>);

impl Connections {
    /// For so many, and so many of one address; 0: as many as it likes.
    pub(super) fn new(all: usize, each: usize) -> Self {
        Self(Arc::new(Mutex::new(Register::new(all, each))))
    }

    /// Somebody comes. `None`: there is no room, not even by ending another.
    pub(super) fn enter(&self, peer: Peer) -> Option<Visit> {
        let mut register = self.lock();
        let Place { id, kept, end } = register.enter(peer)?;
        Some(Visit(Arc::new(Guest { id, all: self.clone(), kept, at_work: AtomicUsize::new(0), end })))
    }

    /// The system has no room for another: one that does nothing ends.
    pub(super) fn make_room(&self) {
        self.lock().end_one(None);
    }

    fn lock(&self) -> MutexGuard<'_, Register> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// Resolves when it has to make room for others.
    pub(super) async fn ended(&self) {
        self.0.end.notified().await;
    }

    /// Whether it is for nothing but asking how the server is, and looking after it.
    pub(super) fn is_kept(&self) -> bool {
        self.0.kept
    }

    /// A good credential was shown on it.
    pub(super) fn known(&self) {
        self.0.all.lock().known(self.0.id);
    }

    /// A request begins.
    pub(super) fn begin(&self) -> AtWork {
        if self.0.at_work.fetch_add(1, Ordering::AcqRel) == 0 {
            self.0.all.lock().at_work(self.0.id, true);
        }
        AtWork(Arc::clone(&self.0))
    }
}

impl Drop for AtWork {
    fn drop(&mut self) {
        if self.0.at_work.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.all.lock().at_work(self.0.id, false);
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.all.lock().leave(self.id);
    }
}

/// Where a new connection stands.
#[derive(Debug)]
struct Place {
    id: u64,
    kept: bool,
    end: Arc<Notify>,
}

#[derive(Debug)]
struct Entry {
    peer: Peer,
    known: bool,
    at_work: bool,
    end: Arc<Notify>,
}

/// The rule: who may come in, and who goes for that. It knows no clock: numbers tell who came first.
#[derive(Debug)]
struct Register {
    all: usize,
    each: usize,
    next: u64,
    open: HashMap<u64, Entry>,
    /// Those that have shown no good credential.
    anonymous: BTreeSet<u64>,
    /// Those that have, and do nothing just now.
    idle: BTreeSet<u64>,
    /// Those that share what is kept, whatever they do: each is for one answer.
    kept: BTreeSet<u64>,
    peers: HashMap<Peer, BTreeSet<u64>>,
}

impl Register {
    fn new(all: usize, each: usize) -> Self {
        Self {
            all: all.max(1),
            each,
            next: 0,
            open: HashMap::new(),
            anonymous: BTreeSet::new(),
            idle: BTreeSet::new(),
            kept: BTreeSet::new(),
            peers: HashMap::new(),
        }
    }

    fn enter(&mut self, peer: Peer) -> Option<Place> {
        let mine = self.peers.get(&peer).map_or(0, BTreeSet::len);
        if self.each > 0 && !peer.is_this_machine() && mine >= self.each && !self.end_one(Some(peer)) {
            return None;
        }
        let kept = self.all / KEPT_PART;
        let ordinary = self.open.len() - self.kept.len() < self.all - kept;
        // Who does nothing makes room. Where all work what is kept is used, and what uses it makes room in its turn.
        let place = !ordinary && !self.end_one(None);
        if place && self.kept.len() >= kept {
            let oldest = self.kept.first().copied()?;
            self.end(oldest);
        }
        self.next += 1;
        let (id, end) = (self.next, Arc::new(Notify::new()));
        let entry = Entry { peer, known: false, at_work: false, end: Arc::clone(&end) };
        self.open.insert(id, entry);
        let stands_with = if place { &mut self.kept } else { &mut self.anonymous };
        stands_with.insert(id);
        self.peers.entry(peer).or_default().insert(id);
        Some(Place { id, kept: place, end })
    }

    /// Ends a connection, of this address where one is named: the oldest that has shown no good credential, else the
    /// oldest that does nothing. `false` where there is none.
    fn end_one(&mut self, peer: Option<Peer>) -> bool {
        let oldest = |all: &BTreeSet<u64>| match peer {
            None => all.first().copied(),
            Some(peer) => {
                let mine = self.peers.get(&peer)?;
                mine.iter().find(|id| all.contains(id)).copied()
            }
        };
        let found = oldest(&self.anonymous).or_else(|| oldest(&self.idle));
        if let Some(id) = found {
            self.end(id);
        }
        found.is_some()
    }

    fn end(&mut self, id: u64) {
        if let Some(entry) = self.open.get(&id) {
            entry.end.notify_one();
        }
        self.leave(id);
    }

    fn known(&mut self, id: u64) {
        if let Some(entry) = self.open.get_mut(&id)
            && !entry.known
        {
            entry.known = true;
            self.anonymous.remove(&id);
            if !entry.at_work && !self.kept.contains(&id) {
                self.idle.insert(id);
            }
        }
    }

    fn at_work(&mut self, id: u64, works: bool) {
        let Some(entry) = self.open.get_mut(&id) else { return };
        entry.at_work = works;
        if works {
            self.idle.remove(&id);
        } else if entry.known && !self.kept.contains(&id) {
            self.idle.insert(id);
        }
    }

    fn leave(&mut self, id: u64) {
        let Some(entry) = self.open.remove(&id) else { return };
        self.kept.remove(&id);
        self.anonymous.remove(&id);
        self.idle.remove(&id);
        if let Some(mine) = self.peers.get_mut(&entry.peer) {
            mine.remove(&id);
            if mine.is_empty() {
                self.peers.remove(&entry.peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(text: &str) -> Peer {
        Peer::new(Some(text.parse().unwrap()))
    }

    fn enter(register: &mut Register, from: &str) -> Option<(u64, bool)> {
        register.enter(peer(from)).map(|place| (place.id, place.kept))
    }

    #[test]
    fn who_does_nothing_makes_room_and_strangers_first() {
        let mut register = Register::new(3, 0);
        let all = ["1.1.1.1", "1.1.1.2", "1.1.1.3"].map(|from| enter(&mut register, from).unwrap().0);
        register.known(all[0]);
        register.known(all[1]);
        register.at_work(all[0], true);
        let fourth = enter(&mut register, "1.1.1.4").unwrap();
        assert!(!fourth.1 && !register.open.contains_key(&all[2]), "the stranger");
        register.known(fourth.0);
        register.at_work(fourth.0, true);
        let fifth = enter(&mut register, "1.1.1.5").unwrap();
        assert!(!register.open.contains_key(&all[1]), "the one that does nothing");
        register.known(fifth.0);
        register.at_work(fifth.0, true);
        assert_eq!(enter(&mut register, "1.1.1.6"), None, "all are at work");
        register.at_work(all[0], false);
        assert!(enter(&mut register, "1.1.1.6").is_some());
        assert_eq!(register.open.len(), 3);
    }

    #[test]
    fn what_is_kept_is_there_when_all_others_work() {
        let mut register = Register::new(128, 0);
        for _ in 0..126 {
            let (id, kept) = enter(&mut register, "127.0.0.1").unwrap();
            assert!(!kept);
            register.known(id);
            register.at_work(id, true);
        }
        // However many come and say nothing.
        for _ in 0..10 {
            assert!(enter(&mut register, "1.1.1.1").unwrap().1);
        }
        assert!(register.open.len() <= 128);
        let ids: Vec<u64> = register.open.keys().copied().collect();
        ids.into_iter().for_each(|id| register.leave(id));
        assert!(register.peers.is_empty() && register.anonymous.is_empty() && register.idle.is_empty());
        assert!(register.kept.is_empty());
    }

    #[test]
    fn an_address_has_its_share_and_this_machine_where_a_proxy_may_be_has_none() {
        let mut register = Register::new(100, 2);
        let first = enter(&mut register, "1.1.1.1").unwrap().0;
        let second = enter(&mut register, "1.1.1.1").unwrap().0;
        let other = enter(&mut register, "1.1.1.2").unwrap().0;
        enter(&mut register, "1.1.1.1").unwrap();
        assert!(!register.open.contains_key(&first) && register.open.contains_key(&other));
        register.leave(second);
        assert!((0..50).all(|_| enter(&mut register, "127.0.0.1").is_some()));
        assert_eq!(register.open.len(), 52);
    }
}
