//! Kills processes at random moments, and counts what they were in the middle of.

use std::{
    fmt,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use super::{Proc, Proxy, is_writing};

/// How often it is looked whether something has begun.
const LOOK: Duration = Duration::from_micros(50);

/// Kills at random moments, and counts what was torn. A kill counts only where a look at the process, stopped a
/// moment before, showed what it was in the middle of.
#[derive(Debug)]
pub struct Killer {
    /// By which the moments can be drawn again; what the processes do meanwhile is theirs.
    pub seed: u64,
    state: u64,
    /// How many kills there were.
    pub kills: u64,
    /// What clients were in the middle of.
    pub clients: Torn,
    /// What servers were in the middle of.
    pub servers: Torn,
}

/// What was open when processes were killed. Each kill is counted once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Torn {
    /// A write transaction of the process's database.
    pub transactions: u64,
    /// A request of which no answer had reached the client, and no transaction of the process.
    pub requests: u64,
}

/// Who is to be killed.
#[derive(Debug)]
pub struct Victim<'a> {
    /// The process.
    pub process: &'a mut Proc,
    /// Its database.
    pub database: &'a Path,
    /// Where its requests go through; `None` for one that makes none.
    pub proxy: Option<&'a Proxy>,
    /// It is the server.
    pub serves: bool,
}

/// When: the moment is a random one of `within`, or, where it is aimed, a random one of `spread` after something
/// was seen to be open.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// How long a process usually lives or works.
    pub within: Duration,
    /// How long to wait for what is aimed at; then it is killed wherever it is.
    pub patience: Duration,
    /// How long what is aimed at usually is open.
    pub spread: Duration,
}

impl Killer {
    /// One with the seed in `REJOIN_SEED`, or a new one; printed.
    pub fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        let seed = std::env::var("REJOIN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(now));
        println!("{what}: kills drawn with REJOIN_SEED={seed}");
        Self { seed, state: seed, kills: 0, clients: Torn::default(), servers: Torn::default() }
    }

    /// A number below this (SplitMix64).
    pub fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// Waits for a moment, and kills. `false`: the process had ended before.
    pub fn strike(&mut self, victim: &mut Victim<'_>, moment: Moment) -> bool {
        let aim = self.draw(5);
        // The first thing that opens after the start, or one later.
        if aim == 0 || self.draw(2) == 0 {
            self.wait_below(moment.within);
        }
        match aim {
            // Wherever it is.
            0 => {}
            1 | 2 if victim.proxy.is_some() => self.aim(victim, moment, |v| v.has_request()),
            _ => self.aim(victim, moment, |v| v.is_writing()),
        }
        self.kill(victim)
    }

    fn aim(&mut self, victim: &mut Victim<'_>, moment: Moment, open: impl Fn(&Victim<'_>) -> bool) {
        let deadline = Instant::now() + moment.patience;
        while !open(victim) {
            if Instant::now() >= deadline || !victim.process.is_alive() {
                return;
            }
            thread::sleep(LOOK);
        }
        self.wait_below(moment.spread);
    }

    /// Lets some time below this go by.
    fn wait_below(&mut self, most: Duration) {
        let micros = self.draw(u64::try_from(most.as_micros()).unwrap_or(u64::MAX));
        thread::sleep(Duration::from_micros(micros));
    }

    /// Stops the process, looks at what it is in the middle of, and kills it.
    fn kill(&mut self, victim: &mut Victim<'_>) -> bool {
        // What a client waits for does not reach it any more: it stands still before it knows.
        let held = victim.proxy.filter(|_| !victim.serves);
        held.inspect(|proxy| proxy.hold(true));
        let frozen = victim.process.freeze();
        let writing = frozen && victim.is_writing();
        let asked = frozen && victim.has_request();
        let unanswered = victim.proxy.map_or(0, Proxy::unanswered);
        if frozen {
            victim.process.kill();
        }
        held.inspect(|proxy| proxy.hold(false));
        if !frozen {
            return false;
        }
        let torn = if victim.serves { &mut self.servers } else { &mut self.clients };
        let asked = match victim.proxy.filter(|_| victim.serves) {
            // An answer may have been on its way here: it is known by the end of the connection.
            Some(proxy) => {
                proxy.wait_closed();
                proxy.unanswered() > unanswered
            }
            None => asked,
        };
        self.kills += 1;
        torn.transactions += u64::from(writing);
        torn.requests += u64::from(asked && !writing);
        true
    }

    /// How many kills tore something.
    pub fn inside(&self) -> u64 {
        self.clients.sum() + self.servers.sum()
    }

    /// The counts, for people.
    pub fn report(&self, what: &str) {
        println!(
            "{what}: {} kills, {} inside: clients {}; servers {} (REJOIN_SEED={})",
            self.kills,
            self.inside(),
            self.clients,
            self.servers,
            self.seed
        );
    }
}

impl Torn {
    fn sum(&self) -> u64 {
        self.transactions + self.requests
    }
}

impl fmt::Display for Torn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} inside a transaction, {} inside a request", self.transactions, self.requests)
    }
}

impl Victim<'_> {
    fn is_writing(&self) -> bool {
        is_writing(self.process.id(), self.database)
    }

    fn has_request(&self) -> bool {
        self.proxy.is_some_and(|proxy| proxy.open_requests() > 0)
    }
}
