//! The session on a real store (in memory) against a small log that does what a test tells it.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use rand::{SeedableRng, rngs::StdRng};
use serde_json::json;

use super::*;
use crate::{
    Action, ChangeHash, Cursor, DocumentId, QueueState, Result,
    fence::{self, Limits},
    store::{BatchBounds, Core},
    wire::{self, MissingReply, Problem, PushReply, Rejected, Request, Response, TransportError},
};

/// A server's log of one document.
#[derive(Clone)]
struct Log {
    rows: Vec<(ChangeHash, Vec<u8>)>,
    /// Part of each cursor: another log does not know it.
    epoch: u32,
    page: usize,
    deleted: bool,
    refuses: HashMap<ChangeHash, fence::RefusalCode>,
    largest_push: usize,
}

impl Log {
    fn new() -> Self {
        let refuses = HashMap::new();
        Self { rows: vec![], epoch: 1, page: usize::MAX, deleted: false, refuses, largest_push: usize::MAX }
    }

    fn cursor(&self, at: usize) -> Option<Cursor> {
        (at > 0).then(|| Cursor::parse(&format!("{at}.{}", self.epoch)).unwrap())
    }

    /// Where a cursor is, if it is one of this log.
    fn place(&self, cursor: Option<&Cursor>) -> Option<usize> {
        let Some(cursor) = cursor else { return Some(0) };
        let (at, epoch) = cursor.as_str().split_once('.').unwrap();
        let at: usize = at.parse().unwrap();
        (epoch == self.epoch.to_string() && at <= self.rows.len()).then_some(at)
    }

    fn holds(&self, hash: &ChangeHash) -> bool {
        self.rows.iter().any(|r| r.0 == *hash)
    }

    fn heads(&self) -> Vec<String> {
        let mut heads: Vec<_> = self.rows.iter().map(|r| r.0).collect();
        for (_, bytes) in &self.rows {
            let change = fence::check_bytes(bytes, &Limits::default()).unwrap();
            heads.retain(|h| !change.deps.contains(h));
        }
        heads.iter().map(ToString::to_string).collect()
    }

    fn answer(&mut self, request: &Request) -> Response {
        if self.deleted && !matches!(request, Request::Delete { .. }) {
            return problem(410, "deleted");
        }
        match request {
            Request::Push { after, limit, body, .. } => self.push(after.as_ref(), *limit, body),
            Request::Pull { after, limit, .. } => {
                if self.rows.is_empty() {
                    return problem(404, "not-found");
                }
                match self.place(after.as_ref()) {
                    Some(at) => self.page_from(at, &HashSet::new(), *limit),
                    None => problem(409, "cursor-unknown"),
                }
            }
            Request::Missing { hashes, .. } => {
                let missing = hashes.iter().filter(|h| !self.holds(h)).map(ToString::to_string).collect();
                let body =
                    serde_json::to_vec(&MissingReply { hashes: missing, heads: self.heads() }).unwrap();
                Response { cursor: self.cursor(self.rows.len()), ..json_of(body) }
            }
            Request::Delete { .. } => {
                self.deleted = true;
                Response { status: 204, ..Response::default() }
            }
            Request::Snapshot { .. } => problem(404, "not-found"),
        }
    }

    fn push(&mut self, after: Option<&Cursor>, limit: Option<u32>, body: &[u8]) -> Response {
        let frames = fence::frame(body).unwrap();
        if frames.len() > self.largest_push {
            return problem(413, "too-large");
        }
        let Some(after) = self.place(after) else { return problem(409, "cursor-unknown") };
        let (mut accepted, mut duplicate, mut carried, mut rejected) = (0, 0, HashSet::new(), vec![]);
        for frame in frames {
            let change = fence::check(&frame, &Limits::default()).unwrap();
            let missing: Vec<_> =
                change.deps.iter().filter(|d| !self.holds(d)).map(|d| d.to_string()).collect();
            let refused = self.refuses.get(&change.hash).copied();
            let code = refused.or((!missing.is_empty()).then_some(fence::RefusalCode::MissingDependency));
            match code {
                Some(code) => {
                    rejected.push(Rejected {
                        hash: change.hash.to_string(),
                        code,
                        detail: "no".into(),
                        missing,
                        stands: None,
                    });
                }
                None => {
                    if self.holds(&change.hash) {
                        duplicate += 1;
                    } else {
                        accepted += 1;
                        self.rows.push((change.hash, change.bytes));
                    }
                    carried.insert(change.hash);
                }
            }
        }
        if rejected.is_empty() {
            let page = self.page_from(after, &carried, limit);
            return Response { accepted: Some(accepted), duplicate: Some(duplicate), ..page };
        }
        let mut covered = after;
        while self.rows.get(covered).is_some_and(|r| carried.contains(&r.0)) {
            covered += 1;
        }
        let text = |c: Option<Cursor>| c.map(|c| c.to_string());
        let (cursor, end) = (text(self.cursor(covered)), text(self.cursor(self.rows.len())));
        let heads = self.heads();
        json_of(serde_json::to_vec(&PushReply { cursor, end, accepted, duplicate, heads, rejected }).unwrap())
    }

    fn page_from(&self, after: usize, without: &HashSet<ChangeHash>, limit: Option<u32>) -> Response {
        let most = self.page.min(limit.map_or(usize::MAX, |l| l as usize));
        let (mut body, mut taken, mut at) = (Vec::new(), 0, after);
        for (hash, bytes) in &self.rows[after..] {
            if !without.contains(hash) {
                if taken == most {
                    break;
                }
                taken += 1;
                body.extend_from_slice(bytes);
            }
            at += 1;
        }
        let more = at < self.rows.len();
        Response {
            status: 200,
            media_type: wire::CHANGES.into(),
            cursor: self.cursor(at),
            end: self.cursor(self.rows.len()),
            more,
            body,
            ..Response::default()
        }
    }
}

fn json_of(body: Vec<u8>) -> Response {
    Response { status: 200, media_type: wire::JSON.into(), body, ..Response::default() }
}

fn problem(status: u16, code: &str) -> Response {
    let problem = Problem { code: code.into(), status, title: code.into(), detail: None };
    let body = serde_json::to_vec(&problem).unwrap();
    Response { status, media_type: wire::PROBLEM.into(), body, ..Response::default() }
}

type Reply = Result<Response, TransportError>;

/// A store with one document, its session, and what it asked.
struct Client {
    core: Core,
    id: DocumentId,
    session: Session,
    now: i64,
    rng: StdRng,
    asked: Vec<Request>,
    progress: Progress,
}

/// How driving a session ended.
#[derive(Debug, PartialEq)]
enum End {
    Done(Outcome),
    /// It failed so often in a row.
    Trouble(TroubleKind),
}

impl Client {
    fn joined(id: DocumentId) -> Self {
        let mut core = Core::open_in_memory().unwrap();
        core.join(id, None, None).unwrap();
        let session = Session::new(id, SessionLimits::default());
        let rng = StdRng::seed_from_u64(7);
        Self { core, id, session, now: 0, rng, asked: vec![], progress: Progress::default() }
    }

    fn new(edits: usize) -> Self {
        let mut client = Self::joined(DocumentId::random());
        client.edit(edits);
        client
    }

    fn edit(&mut self, times: usize) {
        for _ in 0..times {
            let action = Action::Increment { path: "/n".into(), by: 1 };
            self.core.dispatch(&[(self.id, action)]).unwrap().remove(0).unwrap();
        }
    }

    fn set(&mut self, path: &str) -> ChangeHash {
        let action = Action::Set { path: path.into(), value: json!(1) };
        self.core.dispatch(&[(self.id, action)]).unwrap().remove(0).unwrap().hash
    }

    fn count(&mut self) -> i64 {
        self.core.state(self.id, "/n", None).unwrap().as_i64().unwrap()
    }

    fn queue(&mut self) -> Vec<QueueState> {
        self.core.queue(Some(self.id)).unwrap().into_iter().map(|q| q.state).collect()
    }

    /// A new process: everything in memory is gone but the file.
    fn restart(&mut self) {
        self.session = Session::new(self.id, SessionLimits::default());
    }

    fn step(&mut self) -> Step {
        next(&mut self.core, &mut self.session, Now::at(self.now), &mut self.rng).unwrap()
    }

    fn take(&mut self, ticket: Ticket, reply: Reply) -> Progress {
        let clock = (Now::at(self.now), &mut self.rng);
        let progress = handle(&mut self.core, &mut self.session, ticket, reply, clock).unwrap();
        self.progress.add(&progress);
        progress
    }

    /// One run against what answers; gives up after four failures in a row.
    fn sync_with(&mut self, mut server: impl FnMut(&Request) -> Reply) -> End {
        self.session.start_run();
        (self.asked, self.progress) = (vec![], Progress::default());
        for _ in 0..10_000 {
            match self.step() {
                Step::Done(outcome) => return End::Done(outcome),
                Step::Wait { until } => {
                    assert!(until > self.now || self.session.trouble().is_some());
                    if let Some(trouble) = self.session.trouble().filter(|t| t.attempts >= 4) {
                        return End::Trouble(trouble.kind);
                    }
                    self.now = self.now.max(until);
                }
                Step::Send { request, ticket } => {
                    let reply = server(&request);
                    self.asked.push(request);
                    self.take(ticket, reply);
                }
            }
        }
        panic!("the session does not end")
    }

    fn sync(&mut self, log: &mut Log) -> End {
        self.sync_with(|request| Ok(log.answer(request)))
    }

    fn pushes(&self) -> usize {
        self.asked.iter().filter(|r| matches!(r, Request::Push { .. })).count()
    }
}

const IN_STEP: End = End::Done(Outcome::InStep);

fn html() -> Reply {
    let body = b"<html>log in first</html>".to_vec();
    Ok(Response { status: 200, media_type: "text/html".into(), body, ..Response::default() })
}

#[test]
fn a_thousand_queued_changes_are_one_request() {
    let (mut client, mut log) = (Client::new(1_000), Log::new());
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.asked.len(), 1);
    assert!(client.queue().is_empty());
    assert_eq!(client.progress.pushed, 1_000);
}

#[test]
fn push_and_pull_are_one_round_trip() {
    let (mut one, mut log) = (Client::new(10), Log::new());
    let mut two = Client::joined(one.id);
    two.edit(10);
    one.sync(&mut log);
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!((two.asked.len(), two.count()), (1, 20));
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!((one.asked.len(), one.count()), (1, 20));
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn a_page_that_is_not_the_last_is_followed_to_the_end() {
    let (mut one, mut log) = (Client::new(50), Log::new());
    one.sync(&mut log);
    log.page = 7;
    let mut two = Client::joined(one.id);
    for path in ["/a", "/b", "/c"] {
        two.set(path);
    }
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!(two.count(), 50);
    assert_eq!(two.pushes(), 1, "accepted rows wait for the cursor, and are not sent again");
    assert!(two.queue().is_empty());
}

#[test]
fn an_accepted_row_stays_until_the_cursor_covers_it() {
    let (mut one, mut log) = (Client::new(50), Log::new());
    one.sync(&mut log);
    log.page = 7;
    let mut two = Client::joined(one.id);
    two.edit(3);
    let Step::Send { request, ticket } = two.step() else { panic!() };
    two.take(ticket, Ok(log.answer(&request)));
    assert!(two.queue().iter().all(|s| *s == QueueState::Sent), "{:?}", two.queue());
    two.restart();
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert!(two.queue().is_empty());
}

#[test]
fn a_joined_document_that_nobody_pushed_is_no_error() {
    let (mut client, mut log) = (Client::joined(DocumentId::random()), Log::new());
    assert_eq!(client.sync(&mut log), End::Done(Outcome::NotThere));
    assert_eq!(client.session.trouble(), None);
}

#[test]
fn a_lost_reply_is_asked_again_and_stored_once() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let mut lost = 0;
    let end = client.sync_with(|request| {
        let reply = log.answer(request);
        lost += 1;
        if lost <= 3 { Err(TransportError::TimedOut("x".into())) } else { Ok(reply) }
    });
    assert_eq!(end, IN_STEP);
    assert!(client.queue().is_empty());
    let hashes: HashSet<_> = log.rows.iter().map(|r| r.0).collect();
    assert_eq!(hashes.len(), log.rows.len());
}

#[test]
fn killed_between_acknowledgement_and_recording_it_pushing_again_changes_nothing() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, .. } = client.step() else { panic!() };
    log.answer(&request);
    let before = log.rows.clone();
    client.restart();
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    assert_eq!(log.rows, before);
}

#[test]
fn a_late_or_repeated_reply_changes_nothing() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, ticket } = client.step() else { panic!() };
    let reply = log.answer(&request);
    // Given up, and asked again.
    let Step::Send { ticket: second, .. } = client.step() else { panic!() };
    assert_eq!(client.take(ticket, Ok(reply.clone())), Progress::default());
    assert_eq!(client.queue().len(), 5);
    assert!(client.take(second.clone(), Ok(reply.clone())).answered);
    assert!(client.queue().is_empty());
    assert_eq!(client.take(second, Ok(reply)), Progress::default());
}

#[test]
fn an_edit_during_an_upload_stays_queued_and_goes_in_another_round() {
    let (mut client, mut log) = (Client::new(5), Log::new());
    let Step::Send { request, ticket } = client.step() else { panic!() };
    client.edit(1);
    client.take(ticket, Ok(log.answer(&request)));
    assert_eq!(client.queue().len(), 1);
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)), "what was there at the start is done");
    let Step::Send { request, ticket } = client.step() else { panic!("the edit was forgotten") };
    client.take(ticket, Ok(log.answer(&request)));
    assert!(client.queue().is_empty());
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)));
    assert!(matches!(client.step(), Step::Done(Outcome::InStep)), "no further round without a reason");
}

#[test]
fn batches_are_bounded_and_split_further_when_the_server_says_so() {
    let (mut client, mut log) = (Client::new(100), Log::new());
    log.largest_push = 30;
    let batch = BatchBounds { count: 64, bytes: 1 << 20 };
    client.session = Session::new(client.id, SessionLimits { batch, ..SessionLimits::default() });
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    assert!(client.pushes() < 12, "{}", client.pushes());
}

#[test]
fn a_single_change_that_is_too_large_for_the_server_is_parked_and_the_rest_goes_on() {
    let (mut client, mut log) = (Client::new(0), Log::new());
    client.set("/a");
    let large = client.set("/b");
    client.set("/c");
    let large_bytes = client.core.queued_bytes(&large.to_string()).unwrap();
    let end = client.sync_with(|request| match request {
        Request::Push { body, .. } if body.windows(large_bytes.len()).any(|w| w == large_bytes) => {
            Ok(Response { status: 413, ..Response::default() })
        }
        request => Ok(log.answer(request)),
    });
    assert_eq!(end, IN_STEP);
    // One actor: what came after it depends on it.
    assert_eq!(client.queue(), [QueueState::Parked, QueueState::Parked]);
    assert_eq!(log.rows.len(), 1);
}

#[test]
fn a_change_refused_for_good_parks_with_what_depends_on_it() {
    let (mut client, mut log) = (Client::new(0), Log::new());
    client.set("/a");
    let bad = client.set("/b");
    client.set("/c");
    log.refuses.insert(bad, fence::RefusalCode::TooManyOperations);
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.queue(), [QueueState::Parked, QueueState::Parked]);
    assert_eq!(log.rows.len(), 1);
    assert!(!client.asked.iter().any(|r| matches!(r, Request::Missing { .. })), "nothing was lost");
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert_eq!(client.pushes(), 0, "what is parked is not sent");
}

#[test]
fn a_wiped_server_is_given_everything_back() {
    let (mut client, mut log) = (Client::new(40), Log::new());
    client.sync(&mut log);
    client.edit(2);
    log = Log { epoch: 2, ..Log::new() };
    assert_eq!(client.sync(&mut log), IN_STEP);
    assert!(client.queue().is_empty());
    let mut fresh = Client::joined(client.id);
    assert_eq!(fresh.sync(&mut log), IN_STEP);
    assert_eq!(fresh.count(), 42);
}

#[test]
fn a_server_restored_from_an_old_copy_and_written_to_since_heals() {
    let (mut one, mut log) = (Client::new(10), Log::new());
    one.sync(&mut log);
    let old = log.clone();
    let mut two = Client::joined(one.id);
    two.sync(&mut log);
    one.edit(5);
    one.sync(&mut log);
    log = Log { epoch: 2, ..old };
    two.edit(3);
    assert_eq!(two.sync(&mut log), IN_STEP);
    one.edit(1);
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!((one.count(), two.count()), (19, 19));
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn healing_survives_a_restart_at_every_request() {
    for stop_after in 0..8 {
        let (mut client, mut log) = (Client::new(40), Log::new());
        client.sync(&mut log);
        client.edit(2);
        log = Log { epoch: 2, ..Log::new() };
        let mut left = stop_after;
        loop {
            match client.step() {
                Step::Done(_) => break,
                Step::Wait { until } => client.now = until,
                Step::Send { request, ticket } => {
                    let reply = log.answer(&request);
                    if left == 0 {
                        break;
                    }
                    left -= 1;
                    client.take(ticket, Ok(reply));
                }
            }
        }
        client.restart();
        assert_eq!(client.sync(&mut log), IN_STEP, "stopped after {stop_after}");
        assert!(client.queue().is_empty());
        assert_eq!(client.count(), 42);
        let mut fresh = Client::joined(client.id);
        fresh.sync(&mut log);
        assert_eq!(fresh.count(), 42);
    }
}

#[test]
fn a_deletion_is_told_and_a_deleted_document_stays_deleted() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let mut two = Client::joined(one.id);
    two.sync(&mut log);
    one.core.delete(one.id).unwrap();
    assert_eq!(one.sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted);
    two.edit(1);
    assert_eq!(two.sync(&mut log), End::Done(Outcome::Deleted));
    // The server is restored to before the deletion.
    log.deleted = false;
    assert_eq!(two.sync(&mut log), End::Done(Outcome::Deleted));
    assert!(log.deleted, "those who know of the tombstone send it again");
}

#[test]
fn refused_credentials_stop_the_run_and_count_no_attempt() {
    let mut client = Client::new(3);
    let end = client.sync_with(|_| Ok(problem(401, "unauthorized")));
    assert!(matches!(end, End::Done(Outcome::Unauthorized(_))));
    assert_eq!(client.asked.len(), 1);
    let queue = client.core.queue(None).unwrap();
    assert!(queue.iter().all(|q| q.attempts == 0 && q.state == QueueState::Waiting));
    assert_eq!(client.sync(&mut Log::new()), IN_STEP);
}

#[test]
fn a_newer_protocol_stops_the_run_and_changes_nothing() {
    let mut client = Client::new(1);
    let end = client.sync_with(|_| Ok(problem(426, "upgrade-required")));
    assert!(matches!(end, End::Done(Outcome::UpgradeRequired(_))));
    assert_eq!(client.queue(), [QueueState::Waiting]);
}

#[test]
fn retry_after_is_obeyed() {
    let mut client = Client::new(1);
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    let busy = Response { retry_after: Some(Duration::from_secs(40)), ..problem(503, "unavailable") };
    client.take(ticket, Ok(busy));
    let Step::Wait { until } = client.step() else { panic!() };
    assert!((40_000..=40_500).contains(&until), "{until}");
    client.now = until - 1;
    assert!(matches!(client.step(), Step::Wait { .. }));
    client.now = until;
    assert!(matches!(client.step(), Step::Send { .. }));
}

#[test]
fn an_absurd_retry_after_is_capped() {
    let mut client = Client::new(1);
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    let busy = Response { retry_after: Some(Duration::from_secs(u64::MAX)), ..problem(429, "rate-limited") };
    client.take(ticket, Ok(busy));
    let Step::Wait { until } = client.step() else { panic!() };
    assert!(until <= 3_600_500, "{until}");
}

#[test]
fn what_failed_is_shown_in_the_queue() {
    let mut client = Client::new(1);
    let end = client.sync_with(|_| Err(TransportError::NoConnection("refused".into())));
    assert_eq!(end, End::Trouble(TroubleKind::NoConnection));
    let row = client.core.queue(None).unwrap().remove(0);
    assert_eq!(row.attempts, 4);
    assert!(row.last_error.unwrap().contains("no connection"));
    assert!(row.next_attempt_at.is_some());
}

/// Everything that says 200 (or less) and is no sync server's reply. Each is tried on a push.
fn not_acknowledgements(good: &Response) -> Vec<(&'static str, Response)> {
    let g = || good.clone();
    let json_reply = |body: serde_json::Value| json_of(body.to_string().into_bytes());
    let counts =
        |a: u64, d: u64| json!({"cursor": "1.1", "end": "1.1", "accepted": a, "duplicate": d, "heads": []});
    let with = |mut body: serde_json::Value, rejected: serde_json::Value| {
        body["rejected"] = rejected;
        json_reply(body)
    };
    let other = json!({"hash": "00".repeat(32), "code": "malformed", "detail": ""});
    let mut cut = g();
    cut.body = vec![0x85, 0x6f, 0x4a];
    vec![
        ("html", html().unwrap()),
        ("html that says JSON", Response { media_type: wire::JSON.into(), ..html().unwrap() }),
        ("html that says changes", Response { media_type: wire::CHANGES.into(), ..html().unwrap() }),
        ("no media type", Response { media_type: String::new(), ..g() }),
        ("another media type", Response { media_type: "text/plain".into(), ..g() }),
        ("a redirect", Response { status: 302, ..g() }),
        ("no content", Response { status: 204, ..Response::default() }),
        ("created", Response { status: 201, ..g() }),
        ("a body cut short", cut),
        ("no cursor", Response { cursor: None, ..g() }),
        ("no end", Response { end: None, ..g() }),
        ("no counts", Response { accepted: None, ..g() }),
        ("too few", Response { accepted: Some(0), ..g() }),
        ("too many", Response { accepted: Some(u64::MAX), duplicate: Some(u64::MAX), ..g() }),
        ("an empty object", json_reply(json!({}))),
        ("a JSON string", json_reply(json!("ok"))),
        ("too few in JSON", with(counts(0, 0), json!([]))),
        ("refused, and not sent", with(counts(0, 0), json!([other]))),
        ("refused twice", with(counts(0, 0), json!([other, other]))),
        ("404 of another server", Response { status: 404, ..html().unwrap() }),
        ("409 of another server", Response { status: 409, ..html().unwrap() }),
        ("410 of another server", Response { status: 410, ..html().unwrap() }),
        ("403 of a portal", Response { status: 403, ..html().unwrap() }),
    ]
}

#[test]
fn nothing_but_a_sync_servers_reply_is_an_acknowledgement() {
    let mut client = Client::new(1);
    let good = {
        let mut log = Log::new();
        let Step::Send { request, .. } = client.step() else { panic!() };
        log.answer(&request)
    };
    for (name, reply) in not_acknowledgements(&good) {
        client.restart();
        let before = client.core.facts(client.id).unwrap();
        let end = client.sync_with(|_| Ok(reply.clone()));
        assert_eq!(end, End::Trouble(TroubleKind::NotASyncServer), "{name}");
        assert_eq!(client.core.facts(client.id).unwrap(), before, "{name}");
        assert_eq!(client.queue(), [QueueState::Waiting], "{name}");
    }
    client.restart();
    assert_eq!(client.sync(&mut Log::new()), IN_STEP);
}

#[test]
fn a_portal_between_a_reader_and_the_server_changes_nothing() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let before = one.core.facts(one.id).unwrap();
    assert_eq!(one.sync_with(|_| html()), End::Trouble(TroubleKind::NotASyncServer));
    assert_eq!(one.core.facts(one.id).unwrap(), before);
    one.core.delete(one.id).unwrap();
    assert_eq!(one.sync_with(|_| html()), End::Trouble(TroubleKind::NotASyncServer));
    assert!(one.core.facts(one.id).unwrap().tombstone_owed);
}

#[test]
fn a_pulled_change_that_the_fence_refuses_does_not_stop_the_document() {
    let (mut one, mut log) = (Client::new(3), Log::new());
    one.sync(&mut log);
    let mut bad = log.rows[0].1.clone();
    // A bundle chunk: framed, and never a change. (A wrong checksum is the network's fault, and asked for again.)
    bad[8] = 3;
    log.rows.insert(1, (ChangeHash([9; 32]), bad));
    let mut two = Client::joined(one.id);
    assert_eq!(two.sync_with(|request| Ok(log.answer(request))), IN_STEP);
    assert_eq!(two.count(), 3);
}

#[test]
fn a_log_that_does_not_end_is_a_failure_and_not_a_loop() {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.sync(&mut log);
    let end = client.sync_with(|request| {
        let end = Cursor::parse("99.1");
        Ok(Response { end, body: vec![], ..log.answer(request) })
    });
    assert_eq!(end, End::Trouble(TroubleKind::Protocol));
}

#[test]
fn a_server_that_forgets_what_it_acknowledges_is_a_failure_and_not_a_loop() {
    let (mut client, mut log) = (Client::new(3), Log::new());
    client.sync(&mut log);
    client.edit(1);
    // It never holds anything, and says so only when asked.
    let mut empty = Log { epoch: 2, ..Log::new() };
    let end = client.sync_with(|request| {
        let reply = empty.answer(request);
        empty.rows.clear();
        Ok(reply)
    });
    assert_eq!(end, End::Trouble(TroubleKind::Protocol));
    assert_eq!(client.queue().len(), 1);
}

#[test]
fn replies_that_are_too_large_are_asked_for_in_smaller_pages() {
    let (mut one, mut log) = (Client::new(300), Log::new());
    one.sync(&mut log);
    let mut two = Client::joined(one.id);
    let end = two.sync_with(|request| {
        let reply = log.answer(request);
        if reply.body.len() > 8_000 { Err(TransportError::TooLarge(8_000)) } else { Ok(reply) }
    });
    assert_eq!(end, IN_STEP);
    assert_eq!(two.count(), 300);
}

#[test]
fn clocks_that_jump_do_not_stop_a_session() {
    let mut client = Client::new(1);
    let year = 365 * 86_400_000_i64;
    let Step::Send { ticket, .. } = client.step() else { panic!() };
    client.take(ticket, Err(TransportError::NoConnection("x".into())));
    // The steady clock cannot go back; a caller that gives the wall clock instead still goes on.
    client.now = -10 * year;
    assert!(matches!(client.step(), Step::Send { .. }));
}

#[test]
fn an_imported_document_is_offered_before_it_is_read() {
    let (mut one, mut log) = (Client::new(20), Log::new());
    let file = one.core.export(one.id).unwrap();
    let mut core = Core::open_in_memory().unwrap();
    let id = core.import(&file, Some(one.id), None).unwrap();
    let mut two = Client { core, id, ..Client::joined(one.id) };
    assert_eq!(two.sync(&mut log), IN_STEP);
    assert_eq!(one.sync(&mut log), IN_STEP);
    assert_eq!(log.rows.len() as u64, one.core.facts(one.id).unwrap().changes);
    assert!(one.queue().is_empty() && two.queue().is_empty());
}

#[test]
fn a_fork_is_written_again_and_goes_on() {
    let (mut one, mut log) = (Client::new(2), Log::new());
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (dir.path().join("a.db"), dir.path().join("b.db"));
    let mut core = Core::open(&first, crate::Durability::Normal).unwrap();
    let id = core.create(Some(one.id), None).unwrap();
    drop(core);
    std::fs::copy(&first, &second).unwrap();
    one.sync(&mut log);
    let mut clients = [&first, &second].map(|path| {
        let core = Core::open(path, crate::Durability::Normal).unwrap();
        Client { core, id, ..Client::joined(one.id) }
    });
    for client in &mut clients {
        client.edit(3);
    }
    for _ in 0..2 {
        for client in &mut clients {
            assert_eq!(client.sync(&mut log), IN_STEP);
        }
    }
    assert_eq!(clients.each_mut().map(|c| c.count()), [8, 8]);
    assert!(clients.iter_mut().all(|c| c.queue().is_empty()));
    assert!(one.sync(&mut log) == IN_STEP && one.count() == 8);
}
