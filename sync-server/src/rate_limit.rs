//! How often one may ask: a pace that it may keep up, and a number at once after a rest.
//!
//! Who is known has a budget of requests, by who it is. Who is not has one of failures, by the address it comes from,
//! which may be a proxy's that everybody shares: so only failures count there, and whoever shows a good credential at
//! such an address keeps it open to others.

use std::{
    collections::HashMap,
    hash::Hash,
    net::{IpAddr, Ipv6Addr},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    ServerLimits,
    rules::{ApiError, Asker, Code},
};

/// How long somebody waits at most for having asked for too much.
const SHUT_OUT: Duration = Duration::from_secs(60);
/// Most that are remembered of a kind; some MiB with the longest subjects.
const MANY: usize = 16_384;
/// How long an address stays open to unknown credentials after a good one was shown there, whatever fails meanwhile.
const WELCOME: Duration = Duration::from_secs(600);

/// Where a request comes from, as far as one is told from another: a network of IPv6 has more addresses than anybody
/// can remember, and is given to one customer as a /64. `None`: who embeds the server did not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Peer(Option<IpAddr>);

/// What a request asks of the server beside being asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Hashes that are looked for.
    Hashes(usize),
    /// Bytes of a body, in either direction, as they are before they are compressed.
    Bytes(usize),
    /// Changes of a push.
    Changes(u64),
    /// Steps back in a log, to find what comes before a change.
    Steps(u64),
    /// Documents that are named.
    Documents(usize),
    /// The time of those who merge: few are merged at once.
    Merging(Duration),
}

impl Work {
    /// In requests: about what the server could answer of small ones meanwhile.
    fn cost(self) -> u32 {
        let parts = |amount: u64, each: u64| u32::try_from(amount / each).unwrap_or(u32::MAX);
        match self {
            Self::Hashes(count) => parts(count as u64, 64),
            Self::Bytes(count) => parts(count as u64, 128 * 1024),
            Self::Changes(count) => parts(count, 400),
            Self::Steps(count) => parts(count, 5_000),
            Self::Documents(count) => parts(count as u64, 16),
            Self::Merging(time) => parts(u64::try_from(time.as_millis()).unwrap_or(u64::MAX), 1),
        }
    }
}

impl Peer {
    pub(crate) fn new(address: Option<IpAddr>) -> Self {
        Self(address.map(|address| match address.to_canonical() {
            IpAddr::V4(v4) => v4.into(),
            IpAddr::V6(v6) if v6.is_loopback() => v6.into(),
            IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 64)).into(),
        }))
    }

    /// Whether it is this machine, where a proxy may stand: then it is everybody's address.
    pub(crate) fn is_this_machine(self) -> bool {
        self.0.is_none_or(|address| address.is_loopback())
    }
}

/// Who asked how much.
#[derive(Debug)]
pub(crate) struct RateLimits {
    requests: Pace,
    failures: Pace,
    known: Mutex<Times<Asker>>,
    anonymous: Mutex<Anonymous>,
}

#[derive(Debug)]
struct Anonymous {
    failed: Times<Peer>,
    /// Until when an address where a good credential was shown is open.
    welcome: Times<Peer>,
}

impl RateLimits {
    pub(crate) fn new(limits: &ServerLimits) -> Self {
        let anonymous = Anonymous { failed: Times::new(MANY), welcome: Times::new(MANY) };
        Self {
            requests: Pace::new(limits.request_rate, limits.request_burst),
            failures: Pace::new(limits.failure_rate, limits.failure_burst),
            known: Mutex::new(Times::new(MANY)),
            anonymous: Mutex::new(anonymous),
        }
    }

    /// Before a credential is looked at. An address that has failed too often is sent away unheard, unless a good one
    /// was shown there not long ago.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(crate) fn hear(&self, peer: Peer, now: Instant) -> Result<(), ApiError> {
        if self.failures.is_none() {
            return Ok(());
        }
        let anonymous = lock(&self.anonymous);
        if anonymous.welcome.get(&peer).is_some_and(|until| until > now) {
            return Ok(());
        }
        self.failures.take(anonymous.failed.get(&peer), now).map(drop).map_err(ApiError::too_many)
    }

    /// A credential was no good: what is told of that, which is `rate-limited` for one that fails too often.
    pub(crate) fn fail(&self, peer: Peer, fault: ApiError, now: Instant) -> ApiError {
        if fault.code != Code::Unauthorized || self.failures.is_none() {
            return fault;
        }
        let failed = &mut lock(&self.anonymous).failed;
        match self.failures.take(failed.get(&peer), now) {
            Err(wait) => ApiError::too_many(wait),
            Ok(rested) => {
                failed.put(peer, rested, now);
                fault
            }
        }
    }

    /// One request of somebody who is known. `None` is whoever sits at this machine, who is not held back.
    ///
    /// # Errors
    /// `rate-limited`.
    pub(crate) fn spend(&self, by: Option<Asker>, peer: Peer, now: Instant) -> Result<(), ApiError> {
        let Some(by) = by else { return Ok(()) };
        if !self.failures.is_none() {
            lock(&self.anonymous).welcome.put(peer, now + WELCOME, now);
        }
        if self.requests.is_none() {
            return Ok(());
        }
        let mut known = lock(&self.known);
        let rested = self.requests.take(known.get(&by), now).map_err(ApiError::too_many)?;
        known.put(by, rested, now);
        Ok(())
    }
}

impl RateLimits {
    /// What a request has cost beside being asked: it was answered, and whoever asked it waits the longer for the next.
    pub(crate) fn charge(&self, by: Option<Asker>, work: Work, now: Instant) {
        let (Some(by), cost) = (by, work.cost()) else { return };
        if cost == 0 || self.requests.is_none() {
            return;
        }
        let mut known = lock(&self.known);
        let rested = self.requests.charge(known.get(&by), cost, now);
        known.put(by, rested, now);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Debug, Clone, Copy)]
struct Pace {
    /// The time that one request takes up; none where there is no limit.
    each: Duration,
    /// How much may be taken up at once.
    most: Duration,
}

impl Pace {
    /// So many a second, and so many at once; 0 a second is no limit.
    fn new(a_second: u32, at_once: u32) -> Self {
        let each = Duration::from_secs(1).checked_div(a_second).unwrap_or_default();
        Self { each, most: each.saturating_mul(at_once.max(1)) }
    }

    fn is_none(self) -> bool {
        self.each.is_zero()
    }

    /// When who is at rest at `rested` will be after something that cost as much as so many requests: also where that is
    /// more than may be taken up at once, but never so far that somebody is shut out for long.
    fn charge(self, rested: Option<Instant>, cost: u32, now: Instant) -> Instant {
        let next = rested.map_or(now, |rested| rested.max(now)) + self.each.saturating_mul(cost);
        next.min(now + self.most + SHUT_OUT)
    }

    /// When who is at rest at `rested` will be after one request more; or how long it has to wait for that.
    fn take(self, rested: Option<Instant>, now: Instant) -> Result<Instant, Duration> {
        let next = rested.map_or(now, |rested| rested.max(now)) + self.each;
        let ahead = next.duration_since(now);
        if ahead <= self.most { Ok(next) } else { Err(ahead - self.most) }
    }
}

/// Times that mean something until they have come. There are never more than a number of them, whoever comes: first
/// those that have come go, then those that come soonest, which mean least.
#[derive(Debug)]
struct Times<K> {
    at: HashMap<K, Instant>,
    most: usize,
}

impl<K: Eq + Hash> Times<K> {
    fn new(most: usize) -> Self {
        Self { at: HashMap::new(), most }
    }

    fn get(&self, key: &K) -> Option<Instant> {
        self.at.get(key).copied()
    }

    fn put(&mut self, key: K, at: Instant, now: Instant) {
        if self.at.len() >= self.most && !self.at.contains_key(&key) {
            self.make_room(now);
        }
        self.at.insert(key, at);
    }

    /// Leaves half of the room free, so that this is not done for each that comes.
    fn make_room(&mut self, now: Instant) {
        self.at.retain(|_, at| *at > now);
        let half = self.most / 2;
        if self.at.len() > half {
            let mut times: Vec<Instant> = self.at.values().copied().collect();
            let soonest = times.len() - half;
            let (_, last, _) = times.select_nth_unstable(soonest - 1);
            let last = *last;
            self.at.retain(|_, at| *at > last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate_limits(failures: (u32, u32)) -> RateLimits {
        let (failure_rate, failure_burst) = failures;
        RateLimits::new(&ServerLimits { failure_rate, failure_burst, ..ServerLimits::default() })
    }

    fn peer(text: &str) -> Peer {
        Peer::new(Some(text.parse().unwrap()))
    }

    fn not_good() -> ApiError {
        ApiError::new(Code::Unauthorized)
    }

    #[test]
    fn as_many_at_once_as_may_be_and_then_at_the_pace() {
        let (pace, start) = (Pace::new(10, 3), Instant::now());
        let mut rested = None;
        for _ in 0..3 {
            rested = Some(pace.take(rested, start).unwrap());
        }
        assert_eq!(pace.take(rested, start), Err(Duration::from_millis(100)), "the fourth");
        let later = start + Duration::from_millis(100);
        rested = Some(pace.take(rested, later).unwrap());
        assert_eq!(pace.take(rested, later), Err(Duration::from_millis(100)));
        let much_later = start + Duration::from_secs(60);
        for _ in 0..3 {
            rested = Some(pace.take(rested, much_later).unwrap());
        }
        assert!(pace.take(rested, much_later).is_err(), "a long rest saves up no more");
    }

    #[test]
    fn who_asks_for_dear_things_waits_for_them_and_others_do_not() {
        let limits = ServerLimits { request_rate: 10, request_burst: 100, ..Default::default() };
        let (rate_limits, now) = (RateLimits::new(&limits), Instant::now());
        let [eve, ada] = ["eve", "ada"].map(|name| Some(Asker::Subject(name.to_owned())));
        let spend = |who: &Option<Asker>, now| rate_limits.spend(who.clone(), Peer(None), now);
        rate_limits.charge(eve.clone(), Work::Hashes(63), now);
        assert!(spend(&eve, now).is_ok(), "what is small costs nothing more");
        rate_limits.charge(eve.clone(), Work::Hashes(64 * 150), now);
        // 151 of 100, and one more: 52 tenths of a second.
        let fault = spend(&eve, now).unwrap_err();
        assert_eq!(fault, ApiError::too_many(Duration::from_millis(5_200)));
        assert!(spend(&ada, now).is_ok());
        assert!(spend(&eve, now + Duration::from_millis(5_200)).is_ok());
        rate_limits.charge(ada.clone(), Work::Merging(Duration::from_secs(86_400)), now);
        assert!(spend(&ada, now + Duration::from_secs(59)).is_err());
        assert!(
            spend(&ada, now + SHUT_OUT + Duration::from_millis(100)).is_ok(),
            "nobody is shut out for long"
        );
    }

    #[test]
    fn what_is_within_the_limits_costs_about_what_it_takes() {
        let limits = ServerLimits::default();
        for (work, cost) in [
            (Work::Hashes(limits.missing_hashes), 512),
            (Work::Bytes(limits.page_bytes), 32),
            (Work::Bytes(limits.inflated_body_bytes), 256),
            (Work::Changes(limits.push_changes as u64), 250),
            (Work::Steps(1_000_000), 200),
            (Work::Merging(Duration::from_secs(3)), 3_000),
        ] {
            assert_eq!(work.cost(), cost, "{work:?}");
        }
    }

    #[test]
    fn who_sits_at_this_machine_is_not_held_back_and_no_rate_is_no_limit() {
        let (now, one) =
            (Instant::now(), ServerLimits { request_rate: 1, request_burst: 1, ..Default::default() });
        let held = RateLimits::new(&one);
        assert!((0..100).all(|_| held.spend(None, Peer(None), now).is_ok()));
        let free = RateLimits::new(&ServerLimits { request_rate: 0, failure_rate: 0, ..one });
        for _ in 0..100 {
            assert!(free.spend(Some(Asker::Subject("ada".to_owned())), Peer(None), now).is_ok());
            assert!(free.hear(Peer(None), now).is_ok());
            assert_eq!(free.fail(Peer(None), not_good(), now).code, Code::Unauthorized);
        }
    }

    #[test]
    fn a_network_of_ipv6_is_one_peer_and_an_address_of_ipv4_is_one_in_both_spellings() {
        assert_eq!(peer("2001:db8:0:1::1"), peer("2001:db8:0:1:ffff:ffff:ffff:ffff"));
        assert_ne!(peer("2001:db8:0:1::1"), peer("2001:db8:0:2::1"));
        assert_eq!(peer("::ffff:192.0.2.1"), peer("192.0.2.1"));
        assert_ne!(peer("192.0.2.2"), peer("192.0.2.1"));
    }

    #[test]
    fn an_address_that_fails_too_often_is_not_heard_and_others_are() {
        let (rate_limits, now) = (rate_limits((1, 3)), Instant::now());
        let (eve, ada) = (peer("192.0.2.1"), peer("192.0.2.2"));
        for _ in 0..3 {
            assert!(rate_limits.hear(eve, now).is_ok());
            assert_eq!(rate_limits.fail(eve, not_good(), now).code, Code::Unauthorized);
        }
        assert_eq!(rate_limits.hear(eve, now).unwrap_err().code, Code::RateLimited);
        assert_eq!(
            rate_limits.fail(eve, not_good(), now).code,
            Code::RateLimited,
            "a fourth that came beside"
        );
        assert!(rate_limits.hear(ada, now).is_ok());
        assert!(
            rate_limits.hear(eve, now + Duration::from_secs(1)).is_ok(),
            "a second later it may fail again"
        );
        let other = ApiError::new(Code::Unavailable);
        assert_eq!(
            rate_limits.fail(eve, other.clone(), now),
            other,
            "what is no failure of the credential stays"
        );
    }

    #[test]
    fn where_a_good_credential_was_shown_all_are_heard() {
        let (rate_limits, now) = (rate_limits((1, 1)), Instant::now());
        let proxy = peer("127.0.0.1");
        rate_limits.spend(Some(Asker::Subject("ada".to_owned())), proxy, now).unwrap();
        for _ in 0..10 {
            assert!(rate_limits.hear(proxy, now).is_ok());
            let _ = rate_limits.fail(proxy, not_good(), now);
        }
        assert_eq!(rate_limits.fail(proxy, not_good(), now).code, Code::RateLimited, "who fails is told so");
        let later = now + WELCOME;
        let _ = rate_limits.fail(proxy, not_good(), later);
        assert!(rate_limits.hear(proxy, later).is_err(), "nobody good was seen for long");
    }

    #[test]
    fn however_many_come_only_so_many_are_remembered_and_those_that_asked_most() {
        let (mut times, now) = (Times::new(100), Instant::now());
        let most = now + Duration::from_secs(1_000);
        times.put(0, most, now);
        for key in 1..10_000_u64 {
            times.put(key, now + Duration::from_millis(key), now);
            assert!(times.at.len() <= 100);
        }
        assert_eq!(times.get(&0), Some(most));
        assert!(times.get(&9_999).is_some() && times.get(&1).is_none());
        for key in 0..10_000_u64 {
            times.put(key, now + Duration::from_secs(1), now);
            assert!(times.at.len() <= 100, "also where all are alike");
        }
    }
}
