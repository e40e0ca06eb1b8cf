use std::{
    path::Path,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use super::{Proc, Proxy, is_write_locked};

/// Kills at random moments, and counts what was torn.
#[derive(Debug)]
pub struct Killer {
    /// By which the moments can be drawn again; what the processes do meanwhile is theirs.
    pub seed: u64,
    state: u64,
    /// How many kills there were.
    pub kills: u64,
    /// Kills of a process while a request was under way that the server had not begun to answer.
    pub in_request: u64,
    /// Kills of a process inside a write transaction of its database, and no request under way.
    pub in_transaction: u64,
}

impl Killer {
    /// One with the seed in `REJOIN_SEED`, or a new one; printed.
    pub fn new(what: &str) -> Self {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.subsec_nanos());
        let seed = std::env::var("REJOIN_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(u64::from(now));
        println!("{what}: kills drawn with REJOIN_SEED={seed}");
        Self { seed, state: seed, kills: 0, in_request: 0, in_transaction: 0 }
    }

    /// A number below this (SplitMix64).
    pub fn draw(&mut self, below: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % below.max(1)
    }

    /// Lets some time below this go by.
    pub fn wait_below(&mut self, most: Duration) {
        let micros = self.draw(u64::try_from(most.as_micros()).unwrap_or(u64::MAX));
        std::thread::sleep(Duration::from_micros(micros));
    }

    /// Stops the process, looks at what it is in the middle of, and kills it. `false`: it had ended before.
    pub fn kill(&mut self, process: &mut Proc, database: &Path, proxy: Option<&Proxy>) -> bool {
        if !process.freeze() {
            return false;
        }
        self.kills += 1;
        if proxy.is_some_and(|p| p.open_requests() > 0) {
            self.in_request += 1;
        } else if is_write_locked(database) {
            self.in_transaction += 1;
        }
        process.kill();
        true
    }

    /// How many kills tore something.
    pub fn inside(&self) -> u64 {
        self.in_request + self.in_transaction
    }

    /// The counts, for people.
    pub fn report(&self, what: &str) {
        println!(
            "{what}: {} kills, {} inside an open request, {} inside a write transaction (seed {})",
            self.kills, self.in_request, self.in_transaction, self.seed
        );
    }
}
