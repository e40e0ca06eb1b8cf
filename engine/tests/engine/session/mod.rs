//! The session on a real store (in memory) against a small log that does what a test tells it.

mod claims;
mod crowd;
mod deletions;
mod exchange;
mod forgeries;
mod healing;
mod refusals;

use rand::{SeedableRng, rngs::StdRng};
use rejoin::{
    Action, ChangeHash, Cursor, DocumentId, QueueState, Result,
    fence::{self, Limits},
    session::*,
    store::{BatchBounds, Core},
    wire::{self, MissingReply, Problem, PushReply, Rejected, Request, Response, TransportError},
};
use serde_json::json;
use std::{
    collections::{HashMap, HashSet},
    time::Duration,
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
        self.ends().iter().map(ToString::to_string).collect()
    }

    /// The heads.
    fn ends(&self) -> Vec<ChangeHash> {
        let mut heads: Vec<_> = self.rows.iter().map(|r| r.0).collect();
        for (_, bytes) in &self.rows {
            if let Ok(change) = fence::check_bytes(bytes, &Limits::default()) {
                heads.retain(|h| !change.deps.contains(h));
            }
        }
        heads
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
            Request::Pushers { .. } => problem(404, "not-found"),
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
            heads: if more { Vec::new() } else { self.ends() },
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

    /// Which server the next sync speaks to.
    fn at(&mut self, server: &str) -> &mut Self {
        self.session.speak_to(server);
        self
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
        self.core.sync_step(&mut self.session, Now::at(self.now), &mut self.rng).unwrap()
    }

    fn take(&mut self, ticket: Ticket, reply: Reply) -> Progress {
        let now = Now::at(self.now);
        let progress = self.core.take_reply(&mut self.session, ticket, reply, now, &mut self.rng).unwrap();
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
