//! What a push came to, and how that is told.

use std::{fmt, sync::Arc};

use rejoin_protocol::{
    ChangeHash, DocumentId,
    fence::{CheckedChange, Refusal, RefusalCode},
    wire::{CHANGES, JSON, PushReply, Rejected, Response},
};

use super::{
    ApiError,
    api_error::to_json,
    pull::{changes_reply, page_limit},
};
use crate::{
    LogError, ServerLimits,
    log::{Document, Mark, Span, View},
};

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// `None`: nothing was ever stored of it.
    pub(super) document: Option<Document>,
    /// Up to where the client had everything.
    pub(super) after: Mark,
    /// The end of the log before this push.
    pub(super) before: Mark,
    /// The end of the log after this push.
    pub(super) end: Mark,
    /// The positions of what it carried, stored now or before; ascending once it is sealed.
    pub(super) carried: Vec<u64>,
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    /// How many steps back in the log were taken for it.
    pub(crate) steps: u64,
    /// What is not stored.
    pub(crate) rejected: Rejections,
}

/// What a push did not store, in its order. A push can have a hundred thousand of these, and they last until the client
/// has read them: so they are small, and a sentence that repeats is there once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Rejections {
    /// So many on each that few are moved when more come.
    shelves: Vec<Vec<Rejection>>,
}

/// How many rejections lie together.
const SHELF: usize = 8_192;

/// One change that is not stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    hash: Option<ChangeHash>,
    pub(crate) code: RefusalCode,
    detail: Arc<str>,
    names: Names,
}

/// Other changes that a rejection names.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    None,
    /// It depends on this one, which the log does not hold.
    Missing(ChangeHash),
    /// It depends on these.
    MissingAll(Box<[ChangeHash]>),
    /// The spelling of the same change that the log holds.
    Stands(ChangeHash),
}

/// How a push is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Figures only.
    Json,
    /// What the client lacks, at most `limit` changes; JSON where something was rejected.
    Changes { limit: Option<u32> },
}

/// A reply whose body may go on: what was rejected is written as the client reads it.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) response: Response,
    pub(crate) rest: Option<RejectionStream>,
}

/// The rest of the body of a reply, in parts.
pub(crate) struct RejectionStream {
    left: std::iter::Flatten<std::vec::IntoIter<Vec<Rejection>>>,
    begun: bool,
    ended: bool,
}

/// About how large the parts of a [`RejectionStream`] are, in bytes.
const PART: usize = 64 * 1024;

impl Receipt {
    /// Of a push that so far came to nothing.
    pub(super) fn new(document: Option<Document>, (after, before): (Mark, Mark)) -> Self {
        Self {
            document,
            after,
            before,
            end: after,
            carried: Vec::new(),
            accepted: 0,
            duplicate: 0,
            steps: 0,
            rejected: Rejections::default(),
        }
    }

    /// How many changes the push had.
    pub(crate) fn changes(&self) -> u64 {
        let rejected: usize = self.rejected.shelves.iter().map(Vec::len).sum();
        self.accepted + self.duplicate + rejected as u64
    }

    /// To be called when all that it carried is in it.
    pub(super) fn seal(&mut self) {
        self.carried.sort_unstable();
        self.carried.dedup();
    }

    /// By what the log grew, if it did.
    pub(crate) fn grown(&self, document: DocumentId) -> Option<Span> {
        (self.accepted > 0).then_some(Span::Grown { document, before: self.before, end: self.end })
    }

    /// The furthest place to which everything is either before `after` or among what was carried.
    fn carried_to(&self) -> u64 {
        extend(self.after.position, &self.carried)
    }
}

impl Rejections {
    pub(super) fn push(&mut self, refusal: Refusal) {
        let Refusal { hash, code, detail, missing } = refusal;
        let names = match missing.as_slice() {
            [] => Names::None,
            [one] => Names::Missing(*one),
            several => Names::MissingAll(several.into()),
        };
        self.add((hash, code), &detail, names);
    }

    /// One change in two spellings would take effect twice: the log decides which stands.
    pub(super) fn push_twin(&mut self, change: &CheckedChange, standing: ChangeHash) {
        let detail =
            "the same change stands in the log in another spelling, rewritten after a fork or before";
        self.add((Some(change.hash), RefusalCode::ActorFork), detail, Names::Stands(standing));
    }

    fn add(&mut self, (hash, code): (Option<ChangeHash>, RefusalCode), detail: &str, names: Names) {
        if self.shelves.last().is_none_or(|shelf| shelf.len() == SHELF) {
            self.shelves.push(Vec::new());
        }
        let Some(shelf) = self.shelves.last_mut() else { return };
        let before = shelf.last().map(|last| &last.detail).filter(|before| ***before == *detail);
        let detail = before.map_or_else(|| Arc::from(detail), Arc::clone);
        shelf.push(Rejection { hash, code, detail, names });
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.shelves.iter().all(Vec::is_empty)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Rejection> {
        self.shelves.iter().flatten()
    }

    fn into_listing(self) -> RejectionStream {
        RejectionStream { left: self.shelves.into_iter().flatten(), begun: false, ended: false }
    }
}

impl Rejection {
    fn to_json(&self) -> Vec<u8> {
        let (missing, stands): (&[ChangeHash], _) = match &self.names {
            Names::None => (&[], None),
            Names::Missing(one) => (std::slice::from_ref(one), None),
            Names::MissingAll(several) => (several, None),
            Names::Stands(standing) => (&[], Some(standing)),
        };
        to_json(&Rejected {
            hash: self.hash.map(|hash| hash.to_string()).unwrap_or_default(),
            code: self.code,
            detail: stands.map_or_else(|| self.detail.to_string(), twin),
            missing: missing.iter().map(ToString::to_string).collect(),
            stands: stands.map(ToString::to_string),
        })
    }
}

fn twin(standing: &ChangeHash) -> String {
    format!("the same change stands in the log as {standing}, rewritten after a fork or before")
}

impl Told {
    /// The reply with all of its body.
    pub(crate) fn into_whole(self) -> Response {
        let mut response = self.response;
        self.rest.into_iter().flatten().for_each(|part| response.body.extend(part));
        response
    }
}

impl From<Response> for Told {
    fn from(response: Response) -> Self {
        Self { response, rest: None }
    }
}

impl RejectionStream {
    /// Whether all of it was given out.
    pub(crate) fn is_over(&self) -> bool {
        self.ended
    }
}

impl Iterator for RejectionStream {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        if self.ended {
            return None;
        }
        let mut part = Vec::with_capacity(PART + PART / 8);
        while part.len() < PART {
            let Some(rejection) = self.left.next() else {
                self.ended = true;
                part.extend_from_slice(TAIL);
                break;
            };
            if std::mem::replace(&mut self.begun, true) {
                part.push(b',');
            }
            part.extend(rejection.to_json());
        }
        Some(part)
    }
}

impl fmt::Debug for RejectionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RejectionStream").finish_non_exhaustive()
    }
}

/// Moves `position` forward over what stands in `carried` (ascending) without a gap.
fn extend(position: u64, carried: &[u64]) -> u64 {
    let from = carried.partition_point(|p| *p <= position);
    let mut reached = position;
    for next in carried.iter().skip(from) {
        if *next != reached + 1 {
            break;
        }
        reached = *next;
    }
    reached
}

/// Says what a push came to. After the commit, and with the log as it is then: `end` is its end, and another
/// push may have landed meanwhile.
pub(crate) fn reply(
    view: &impl View,
    limits: &ServerLimits,
    receipt: Receipt,
    form: Form,
) -> Result<Told, ApiError> {
    let limit = match form {
        Form::Changes { limit } if receipt.rejected.is_empty() => limit,
        _ => return json_reply(view, receipt),
    };
    let mut response = match &receipt.document {
        Some(document) => {
            let end = end_of(view, document)?;
            let span = (receipt.after.position, end.position);
            let mut page = view.page(document.key, span, &receipt.carried, page_limit(limits, limit))?;
            page.covered = extend(page.covered, &receipt.carried);
            changes_reply(view, document.key, end, page)?
        }
        None => Response { status: 200, media_type: CHANGES.to_owned(), ..Response::default() },
    };
    response.accepted = Some(receipt.accepted);
    response.duplicate = Some(receipt.duplicate);
    Ok(response.into())
}

/// The same without a look at the log, where the client provably has all of it.
pub(crate) fn reply_at_end(receipt: &Receipt, form: Form) -> Option<Response> {
    let whole = matches!(form, Form::Changes { .. })
        && receipt.rejected.is_empty()
        && receipt.carried_to() == receipt.end.position;
    whole.then(|| Response {
        status: 200,
        media_type: CHANGES.to_owned(),
        cursor: receipt.end.to_cursor(),
        end: receipt.end.to_cursor(),
        accepted: Some(receipt.accepted),
        duplicate: Some(receipt.duplicate),
        ..Response::default()
    })
}

/// How a [`PushReply`] without rejections ends: they are its last field.
const TAIL: &[u8] = b"]}";

fn json_reply(view: &impl View, receipt: Receipt) -> Result<Told, ApiError> {
    let (cursor, end, heads) = match &receipt.document {
        Some(document) => {
            let end = end_of(view, document)?;
            let cursor = view.mark_at(document.key, end, receipt.carried_to())?;
            (cursor, end, view.heads(document.key)?)
        }
        None => Default::default(),
    };
    let mut body = to_json(&PushReply {
        cursor: cursor.to_text(),
        end: end.to_text(),
        accepted: receipt.accepted,
        duplicate: receipt.duplicate,
        heads: heads.iter().map(ToString::to_string).collect(),
        rejected: Vec::new(),
    });
    let rest = (!receipt.rejected.is_empty() && body.ends_with(TAIL)).then(|| {
        body.truncate(body.len() - TAIL.len());
        receipt.rejected.into_listing()
    });
    let response = Response {
        status: 200,
        media_type: JSON.to_owned(),
        cursor: cursor.to_cursor(),
        end: end.to_cursor(),
        accepted: Some(receipt.accepted),
        duplicate: Some(receipt.duplicate),
        body,
        ..Response::default()
    };
    Ok(Told { response, rest })
}

/// The end of the log as it is now: it may have grown since the push.
fn end_of(view: &impl View, document: &Document) -> Result<Mark, LogError> {
    let now = view.document(&document.uuid)?;
    now.map(|now| now.end).ok_or_else(|| LogError::Damaged(format!("document {} went", document.uuid)))
}

/// Of so many rejections that they come in several parts.
#[cfg(test)]
pub(crate) fn long_listing() -> RejectionStream {
    let mut rejections = Rejections::default();
    for n in 0..10_000_u32 {
        let hash = ChangeHash(std::array::from_fn(|i| n.to_le_bytes()[i % 4]));
        let (code, detail) = (RefusalCode::MissingDependency, "a sentence".to_owned());
        rejections.push(Refusal { hash: Some(hash), code, detail, missing: vec![hash] });
    }
    rejections.into_listing()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_moves_only_over_what_was_carried_without_a_gap() {
        assert_eq!(extend(0, &[]), 0);
        assert_eq!(extend(0, &[1, 2, 4]), 2);
        assert_eq!(extend(2, &[1, 2, 4]), 2);
        assert_eq!(extend(3, &[1, 2, 4, 5]), 5);
        assert_eq!(extend(9, &[1, 2]), 9);
    }

    #[test]
    fn rejections_in_parts_are_the_json_of_all_of_them() {
        let mut receipt = Receipt::new(None, Default::default());
        let hash = |n: u8| ChangeHash([n; 32]);
        let refusal = |n: u8, missing: &[u8]| Refusal {
            hash: (n > 0).then(|| hash(n)),
            code: RefusalCode::MissingDependency,
            detail: "a \"sentence\"".to_owned(),
            missing: missing.iter().map(|n| hash(*n)).collect(),
        };
        let mut all = Vec::new();
        for n in 0..(SHELF as u32 + 2_000) {
            let (own, missing) = ((n % 250) as u8, &[7, 8, 9][..(n % 4) as usize]);
            all.push(refusal(own, missing));
            receipt.rejected.push(refusal(own, missing));
        }
        let log = crate::LogStore::open_in_memory().unwrap();
        let told = crate::log::Read::read(&log, |view| json_reply(view, receipt)).unwrap();
        let mut parts: Vec<Vec<u8>> = vec![told.response.body];
        parts.extend(told.rest.unwrap());
        assert!(parts.len() > 4 && parts.iter().all(|part| part.len() < 2 * PART), "{}", parts.len());
        let reply: PushReply = serde_json::from_slice(&parts.concat()).unwrap();
        let told: Vec<_> = reply.rejected.iter().map(|one| (one.hash.clone(), one.missing.clone())).collect();
        let texts = |hashes: &[ChangeHash]| hashes.iter().map(ToString::to_string).collect::<Vec<_>>();
        let meant: Vec<_> =
            all.iter().map(|one| (texts(one.hash.as_slice()).concat(), texts(&one.missing))).collect();
        assert_eq!(told, meant);
        assert!(reply.rejected.iter().all(|one| one.detail == "a \"sentence\""));
    }
}
