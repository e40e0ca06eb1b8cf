//! What a reply means: a total, pure function of what was sent and what came back. Here it is decided what is
//! an acknowledgement. Nothing is one but a well-formed reply of a sync server whose figures add up.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::de::DeserializeOwned;

use crate::{
    ChangeHash, Cursor,
    fence::{self, RefusalCode},
    planted::{self, Bug},
    printable::printable,
    wire::{self, MissingReply, Problem, PushReply, Rejected, Response, TransportError},
};

use super::{
    facts::{BatchRow, Page},
    types::{Sent, SessionLimits, Ticket, TroubleKind},
};

/// What a reply means.
#[derive(Debug)]
pub struct Verdict(pub(super) Meaning);

#[derive(Debug)]
pub(super) enum Meaning {
    /// A push was answered.
    Pushed(Pushed),
    /// A page was pulled.
    Pulled(Page),
    /// A first copy, measured.
    Snapshot { bytes: Vec<u8>, cursor: Cursor },
    /// A snapshot that is not taken: raw changes are pulled instead.
    NoSnapshot(String),
    /// Which hashes the server lacks, its heads and the cursor that goes with them.
    Lacks { missing: HashSet<ChangeHash>, heads: Vec<ChangeHash>, cursor: Option<Cursor> },
    /// The server has no such document.
    NotThere,
    /// The server does not know the cursor.
    CursorUnknown,
    /// The document has a tombstone at the server.
    Deleted,
    /// The request is too large for the server, or cannot be read there: fewer at once.
    Split(RefusalCode, String),
    /// The reply is too large for this side: smaller pages.
    SmallerPages(String),
    /// The credentials do not do.
    Unauthorized(String),
    /// This token may not do this.
    Forbidden(String),
    /// The server speaks a newer protocol.
    UpgradeRequired(String),
    /// Nothing was learnt; later.
    Failed { kind: TroubleKind, detail: String, retry_after: Option<Duration> },
}

/// The answer to a push.
#[derive(Debug)]
pub(super) struct Pushed {
    /// What is to be stored. `rejected` holds only what is refused for good.
    pub page: Page,
    /// Changes that were new at the server.
    pub new_there: u64,
    /// Refused because of dependencies that were not refused themselves in this reply: which.
    pub lost: Vec<(BatchRow, Rejected, Vec<ChangeHash>)>,
    /// Refused because of a fork or of too many heads, or because of what they depend on: they are written again, taken
    /// over in the spelling that the log holds, or offered again with a merge.
    pub forked: Vec<ChangeHash>,
}

/// Judges a reply. It looks at every byte, and touches neither store nor network: an asynchronous caller runs it
/// where computing is allowed.
pub fn judge(ticket: &Ticket, result: Result<Response, TransportError>, limits: &SessionLimits) -> Verdict {
    Verdict(match result {
        Ok(response) => judge_response(&ticket.sent, response, limits),
        Err(error) => judge_error(&ticket.sent, error),
    })
}

fn judge_error(sent: &Sent, error: TransportError) -> Meaning {
    let detail = error.to_string();
    let kind = match error {
        TransportError::NoConnection(_) => TroubleKind::NoConnection,
        TransportError::TimedOut(_) | TransportError::Broken(_) => TroubleKind::Broken,
        TransportError::NotASyncServer(_) => TroubleKind::NotASyncServer,
        TransportError::TooLarge(_) if matches!(sent, Sent::Snapshot) => return Meaning::NoSnapshot(detail),
        TransportError::TooLarge(_) => return Meaning::SmallerPages(detail),
    };
    Meaning::Failed { kind, detail, retry_after: None }
}

fn judge_response(sent: &Sent, response: Response, limits: &SessionLimits) -> Meaning {
    if response.status != 200 {
        return judge_status(sent, &response, limits);
    }
    let status = response.status;
    let media_type = response.media_type.clone();
    let meaning = match sent {
        Sent::Push { rows, after, healing } => {
            if planted::is_planted(Bug::AnyOkAcknowledges) {
                return any_ok_acknowledges(rows, after.as_ref(), response);
            }
            judge_push(rows, after.as_ref(), *healing, response, limits)
        }
        Sent::Pull { after } => judge_changes(after.as_ref(), response, limits).map(Meaning::Pulled),
        Sent::Snapshot => judge_snapshot(response, limits),
        Sent::Missing { hashes } => judge_missing(hashes, &response),
        Sent::Delete => judge_delete(&response),
        Sent::Standing => judge_missing(&[], &response),
    };
    // "HTML from a captive portal, a wrong media type, a short body, an unknown cursor: never an acknowledgement."
    meaning.unwrap_or_else(|why| not_a_sync_server(status, &media_type, why))
}

fn not_a_sync_server(status: u16, media_type: &str, why: &str) -> Meaning {
    let media_type = if media_type.is_empty() { "no media type" } else { media_type };
    let detail = format!("what answers is not a sync server: {why} (status {status}, {media_type})");
    Meaning::Failed { kind: TroubleKind::NotASyncServer, detail, retry_after: None }
}

pub(super) type Judged<T> = Result<T, &'static str>;

fn is_changes(media_type: &str) -> bool {
    media_type == wire::CHANGES || media_type == wire::OCTETS
}

fn judge_changes(after: Option<&Cursor>, response: Response, limits: &SessionLimits) -> Judged<Page> {
    if !is_changes(&response.media_type) {
        return Err("it sends no changes");
    }
    let figures = PageFigures { cursor: response.cursor, end: response.end, heads: response.heads };
    read_page(after, &response.body, figures, limits)
}

/// What is told with a page.
pub(super) struct PageFigures {
    pub cursor: Option<Cursor>,
    pub end: Option<Cursor>,
    pub heads: Vec<ChangeHash>,
}

/// A page of changes with its figures. What the fence refuses does not stop the page: it goes to quarantine,
/// and the cursor goes on. ("No document, no change and no peer can stop another document from syncing.")
pub(super) fn read_page(
    after: Option<&Cursor>,
    body: &[u8],
    figures: PageFigures,
    limits: &SessionLimits,
) -> Judged<Page> {
    let cursor = figures.cursor.ok_or("the cursor is missing")?;
    let end = figures.end.ok_or("the log's end is missing")?;
    let frames = fence::frame(body).map_err(|_| "the changes cannot be framed")?;
    let at_end = cursor == end;
    let heads = if at_end { figures.heads } else { Vec::new() };
    let mut page = Page { asked: after.cloned(), at_end, cursor: Some(cursor), heads, ..Page::default() };
    for frame in &frames {
        match fence::check(frame, &limits.change) {
            Ok(change) => page.changes.push(change),
            // Bytes that were changed on their way. Which change they were is not known, and a cursor that passed
            // it would leave a hole (invariant 4): the page is asked for again.
            Err(refusal) if refusal.code == RefusalCode::Checksum => {
                return Err("a change's checksum does not fit");
            }
            Err(refusal) => page.refused.push((refusal, frame.bytes.to_vec())),
        }
    }
    Ok(page)
}

fn judge_push(
    rows: &[BatchRow],
    after: Option<&Cursor>,
    healing: bool,
    response: Response,
    limits: &SessionLimits,
) -> Judged<Meaning> {
    let mut pushed = if is_changes(&response.media_type) {
        let (accepted, duplicate) =
            response.accepted.zip(response.duplicate).ok_or("the counts are missing")?;
        adds_up(rows.len(), [accepted, duplicate, 0])?;
        let mut page = judge_changes(after, response, limits)?;
        page.accepted = rows.iter().map(|r| r.id).collect();
        Pushed { page, new_there: accepted, lost: Vec::new(), forked: Vec::new() }
    } else if response.media_type == wire::JSON {
        judge_push_json(rows, after, &response.body)?
    } else {
        return Err("the answer to a push is of another kind");
    };
    if healing {
        // Healing offers what the server lacks, whatever the queue says: the queue's rows are pushed again
        // afterwards with a cursor that is known, and leave by the ordinary rule. The reply's page begins
        // where this client does not stand: it is not taken.
        pushed.page = Page { rejected: pushed.page.rejected, ..Page::default() };
    }
    Ok(Meaning::Pushed(pushed))
}

fn adds_up(carried: usize, counts: [u64; 3]) -> Judged<()> {
    let sum = counts.iter().try_fold(0_u64, |sum, n| sum.checked_add(*n));
    if sum == Some(carried as u64) { Ok(()) } else { Err("the counts do not add up") }
}

fn judge_push_json(rows: &[BatchRow], after: Option<&Cursor>, body: &[u8]) -> Judged<Pushed> {
    let reply: PushReply = read_json(body)?;
    adds_up(rows.len(), [reply.accepted, reply.duplicate, reply.rejected.len() as u64])?;
    let cursor = read_cursor(reply.cursor.as_deref())?;
    let end = read_cursor(reply.end.as_deref())?;
    let new_there = reply.accepted;
    let mut refused = HashMap::new();
    for rejected in reply.rejected {
        let rejected = Rejected { detail: short(&rejected.detail), ..rejected };
        let hash = read_hash(&rejected.hash)?;
        if refused.insert(hash, rejected).is_some() {
            return Err("a change is refused twice");
        }
    }
    let carried: HashSet<_> = rows.iter().map(|r| r.hash).collect();
    if !refused.keys().all(|hash| carried.contains(hash)) {
        return Err("a change is refused that was not sent");
    }
    let at_end = cursor.is_some() && cursor == end;
    let heads = if at_end { read_hashes(&reply.heads)? } else { Vec::new() };
    let page = Page { asked: after.cloned(), cursor, at_end, heads, ..Page::default() };
    let mut pushed = Pushed { page, new_there, lost: Vec::new(), forked: Vec::new() };
    sort_out(rows, &refused, &mut pushed)?;
    Ok(pushed)
}

/// Whether the store does something about a refusal by itself.
pub(super) fn is_mended(code: RefusalCode) -> bool {
    matches!(code, RefusalCode::ActorFork | RefusalCode::TooManyHeads)
}

/// A row that this request carried and that is not refused is accepted. Of the refused ones:
/// - a fork is written again by the store, with all that depends on it, so its dependants are not refused;
/// - one head too many is offered again with a change that merges them all;
/// - one whose missing dependency is not refused itself shows that the server lost something: it is offered;
/// - every other one parks.
fn sort_out(rows: &[BatchRow], refused: &HashMap<ChangeHash, Rejected>, pushed: &mut Pushed) -> Judged<()> {
    // Dependencies come first in a batch, so one pass sees a cause before its effects.
    let mut forked: HashSet<ChangeHash> = HashSet::new();
    let mut lost: HashSet<ChangeHash> = HashSet::new();
    for row in rows {
        let Some(rejected) = refused.get(&row.hash) else {
            pushed.page.accepted.push(row.id);
            continue;
        };
        if rejected.code != RefusalCode::MissingDependency {
            if is_mended(rejected.code) {
                forked.insert(row.hash);
                pushed.forked.push(row.hash);
            }
            pushed.page.rejected.push((row.id, rejected.clone()));
            continue;
        }
        let missing = rejected.missing.iter().map(|h| read_hash(h)).collect::<Judged<Vec<_>>>()?;
        let gone = missing.iter().any(|h| !refused.contains_key(h));
        if missing.iter().any(|h| forked.contains(h)) {
            forked.insert(row.hash);
            pushed.forked.push(row.hash);
        } else if gone || missing.is_empty() || missing.iter().any(|h| lost.contains(h)) {
            lost.insert(row.hash);
            pushed.lost.push((row.clone(), rejected.clone(), missing));
        } else {
            pushed.page.rejected.push((row.id, rejected.clone()));
        }
    }
    Ok(())
}

/// The planted bug: whatever says 200 counts as an acknowledgement of everything that was carried.
fn any_ok_acknowledges(rows: &[BatchRow], after: Option<&Cursor>, response: Response) -> Meaning {
    let cursor = response.cursor.or_else(|| after.cloned()).or_else(|| Cursor::parse("0"));
    let accepted: Vec<i64> = rows.iter().map(|r| r.id).collect();
    let page = Page { asked: after.cloned(), cursor, at_end: true, accepted, ..Page::default() };
    Meaning::Pushed(Pushed { page, new_there: rows.len() as u64, lost: Vec::new(), forked: Vec::new() })
}

fn judge_snapshot(response: Response, limits: &SessionLimits) -> Judged<Meaning> {
    if !is_changes(&response.media_type) {
        return Err("it sends no snapshot");
    }
    let cursor = response.cursor.ok_or("the cursor is missing")?;
    Ok(match fence::check_document(&response.body, &limits.snapshot) {
        Ok(()) => Meaning::Snapshot { bytes: response.body, cursor },
        Err(refusal) => Meaning::NoSnapshot(refusal.detail),
    })
}

fn judge_missing(asked: &[ChangeHash], response: &Response) -> Judged<Meaning> {
    if response.media_type != wire::JSON {
        return Err("the answer is no JSON");
    }
    let reply: MissingReply = read_json(&response.body)?;
    let missing = reply.hashes.iter().map(|h| read_hash(h)).collect::<Judged<HashSet<_>>>()?;
    let heads = read_hashes(&reply.heads)?;
    let asked: HashSet<_> = asked.iter().copied().collect();
    if !missing.is_subset(&asked) {
        return Err("it lacks what was not asked");
    }
    if response.cursor.is_none() && !heads.is_empty() {
        return Err("the cursor is missing");
    }
    Ok(Meaning::Lacks { missing, heads, cursor: response.cursor.clone() })
}

fn judge_delete(response: &Response) -> Judged<Meaning> {
    let empty = response.media_type.is_empty() && response.body.is_empty();
    let object =
        response.media_type == wire::JSON && read_json::<serde_json::Map<_, _>>(&response.body).is_ok();
    if empty || object { Ok(Meaning::Deleted) } else { Err("the answer to a deletion is of another kind") }
}

/// Any status but 200. What changes something here needs the server's own word for it (a problem with its
/// code); a bare status, which any proxy can send, only means later.
fn judge_status(sent: &Sent, response: &Response, limits: &SessionLimits) -> Meaning {
    let problem = read_problem(response);
    let code = problem.as_ref().map_or("", |p| p.code.as_str());
    let detail = describe(response.status, problem.as_ref());
    match (response.status, code) {
        (204, _) if matches!(sent, Sent::Delete) && response.body.is_empty() => Meaning::Deleted,
        (404, "not-found") if matches!(sent, Sent::Delete) => Meaning::Deleted,
        (404, "not-found") => Meaning::NotThere,
        (409, "cursor-unknown") => Meaning::CursorUnknown,
        (410, "deleted") => Meaning::Deleted,
        (401, _) => Meaning::Unauthorized(detail),
        (403, _) if response.media_type != "text/html" => Meaning::Forbidden(detail),
        (413, _) => Meaning::Split(RefusalCode::TooLarge, detail),
        (400 | 422, "malformed") => Meaning::Split(RefusalCode::Malformed, detail),
        (422, "checksum") => Meaning::Split(RefusalCode::Checksum, detail),
        (426, _) => Meaning::UpgradeRequired(detail),
        // Whatever does not know these methods, and says so without a problem of ours, knows nothing of ours.
        (501 | 505, "") => {
            not_a_sync_server(response.status, &response.media_type, "it does not know the request")
        }
        (408 | 425 | 429 | 500..=599, _) => {
            let retry_after = response.retry_after.map(|d| d.min(limits.longest_retry_after));
            Meaning::Failed { kind: TroubleKind::Busy, detail, retry_after }
        }
        (_, "") => {
            not_a_sync_server(response.status, &response.media_type, "the status is not one of its own")
        }
        _ => Meaning::Failed { kind: TroubleKind::Protocol, detail, retry_after: None },
    }
}

fn read_problem(response: &Response) -> Option<Problem> {
    (response.media_type == wire::PROBLEM).then(|| serde_json::from_slice(&response.body).ok()).flatten()
}

/// The other side's words are stored, logged and shown: bounded, and with nothing in them that steers.
fn short(text: &str) -> String {
    printable(text).chars().take(300).collect()
}

fn describe(status: u16, problem: Option<&Problem>) -> String {
    match problem {
        Some(p) => match &p.detail {
            Some(detail) => format!("the server answered {status} {}: {}", short(&p.code), short(detail)),
            None => format!("the server answered {status} {}", short(&p.code)),
        },
        None => format!("the server answered {status}"),
    }
}

fn read_json<T: DeserializeOwned>(body: &[u8]) -> Judged<T> {
    serde_json::from_slice(body).map_err(|_| "its JSON does not fit")
}

fn read_hash(text: &str) -> Judged<ChangeHash> {
    text.parse().map_err(|_| "a hash cannot be read")
}

fn read_hashes(texts: &[String]) -> Judged<Vec<ChangeHash>> {
    texts.iter().map(|text| read_hash(text)).collect()
}

/// A cursor that is there must be readable; none is none.
fn read_cursor(text: Option<&str>) -> Judged<Option<Cursor>> {
    text.map(|t| Cursor::parse(t).ok_or("the cursor cannot be read")).transpose()
}
