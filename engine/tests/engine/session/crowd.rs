//! Thousands of clients of one server that restarts, has no room for all of them, or is ill for an hour: in simulated time.

use std::{cmp::Reverse, collections::BinaryHeap};

use super::*;

/// What the server makes of a request at a time, of which it answered so many in this second.
type Server<'a> = dyn FnMut(i64, &mut Log, &Request) -> Reply + 'a;

/// Clients, each with a document of its own and one edit that waits. They share a store, which is cheaper and changes nothing.
struct Crowd {
    core: Core,
    sessions: Vec<Session>,
    logs: Vec<Log>,
    rng: StdRng,
    /// How many requests there were in each second.
    requests: HashMap<i64, usize>,
}

/// How long a request takes, in milliseconds.
const ROUND_TRIP: i64 = 40;

impl Crowd {
    fn of(clients: usize, backoff: Backoff) -> Self {
        let mut core = Core::open_in_memory().unwrap();
        let limits = SessionLimits { backoff, ..SessionLimits::default() };
        let mut sessions = Vec::new();
        for _ in 0..clients {
            let id = core.create(None, None).unwrap();
            let edit = Action::Set { path: "/n".into(), value: json!(1) };
            core.dispatch(&[(id, edit)]).unwrap().remove(0).unwrap();
            let mut session = Session::new(id, limits);
            session.start_run();
            sessions.push(session);
        }
        let logs = (0..clients).map(|_| Log::new()).collect();
        Self { core, sessions, logs, rng: StdRng::seed_from_u64(26), requests: HashMap::new() }
    }

    /// Lets all of them sync from time 0 on. Gives when the last was in step.
    fn run(&mut self, server: &mut Server<'_>) -> i64 {
        let mut due: BinaryHeap<Reverse<(i64, usize)>> =
            (0..self.sessions.len()).map(|client| Reverse((0, client))).collect();
        let mut last = 0;
        while let Some(Reverse((now, client))) = due.pop() {
            assert!(now < 7_200_000, "client {client} is not in step after two hours");
            let session = &mut self.sessions[client];
            match self.core.sync_step(session, Now::at(now), &mut self.rng).unwrap() {
                Step::Done(outcome) => {
                    assert_eq!(outcome, Outcome::InStep);
                    last = now;
                }
                Step::Wait { until } => due.push(Reverse((until.max(now + 1), client))),
                Step::Send { request, ticket } => {
                    *self.requests.entry(now / 1_000).or_default() += 1;
                    let reply = server(now, &mut self.logs[client], &request);
                    let there = Now::at(now + ROUND_TRIP);
                    self.core.take_reply(session, ticket, reply, there, &mut self.rng).unwrap();
                    due.push(Reverse((now + ROUND_TRIP, client)));
                }
            }
        }
        last
    }

    /// Most requests in one second, from a second on.
    fn most_from(&self, second: i64) -> usize {
        self.requests.iter().filter(|(at, _)| **at >= second).map(|(_, n)| *n).max().unwrap_or(0)
    }

    fn is_whole(&mut self) {
        assert!(self.core.queue(None).unwrap().is_empty());
        assert!(self.logs.iter().all(|log| log.rows.len() == 1), "nothing is lost, nothing doubled");
    }
}

fn broken() -> Reply {
    Err(TransportError::Broken("the connection was reset".to_owned()))
}

#[test]
fn thousands_of_clients_of_a_server_that_restarts_come_back_spread_and_all_recover() {
    let mut crowd = Crowd::of(2_000, Backoff::BACKGROUND);
    let end =
        crowd.run(&mut |now, log, request| if now < 2_000 { broken() } else { Ok(log.answer(request)) });
    crowd.is_whole();
    // All of them failed in the first second. Over thirty seconds that is some 67 a second, and chance.
    assert!(crowd.requests[&0] >= 2_000);
    assert!(crowd.most_from(1) < 2_000 / 30 * 2, "{} in one second", crowd.most_from(1));
    assert!(end < 120_000, "the last is in step after {end} ms");
}

#[test]
fn a_server_with_no_room_for_all_of_a_crowd_serves_each_of_them_in_the_end() {
    let mut crowd = Crowd::of(2_000, Backoff::PERSON);
    let mut served: HashMap<i64, usize> = HashMap::new();
    let mut turned_away = 0;
    crowd.run(&mut |now, log, request| {
        let this_second = served.entry(now / 1_000).or_default();
        *this_second += 1;
        if *this_second <= 50 {
            return Ok(log.answer(request));
        }
        turned_away += 1;
        Ok(Response { retry_after: Some(Duration::from_secs(5)), ..problem(503, "unavailable") })
    });
    crowd.is_whole();
    assert!(turned_away > 2_000, "it had no room for {turned_away}");
    assert!(turned_away < 2_000 * 20, "they do not hammer at it: {turned_away} requests in vain");
    // Told to wait five seconds, none comes sooner.
    assert_eq!((1..5).filter_map(|second| crowd.requests.get(&second)).sum::<usize>(), 0);
}

#[test]
fn an_hour_of_5xx_costs_few_requests_and_everybody_recovers_within_two_minutes() {
    const HOUR: i64 = 3_600_000;
    let mut crowd = Crowd::of(500, Backoff::PERSON);
    let mut asked_in_vain = 0_usize;
    let end = crowd.run(&mut |now, log, request| {
        if now >= HOUR {
            return Ok(log.answer(request));
        }
        asked_in_vain += 1;
        Ok(problem([500, 502, 503, 504][asked_in_vain % 4], "unavailable"))
    });
    crowd.is_whole();
    // A minute's window is asked in twice on average.
    assert!(asked_in_vain < 500 * 60 * 3, "{asked_in_vain} requests in an hour");
    assert!(end < HOUR + 120_000, "the last is in step {} s after the hour", (end - HOUR) / 1_000);
}
