//! Push: the good part of a batch is stored, the bad part named.

use rejoin::{
    ChangeHash, Cursor, DocumentId,
    fence::{self, CheckedChange, Placement, Refusal, RefusalCode, WalkBudget},
    planted::{self, Bug},
    untrusted::parse_untrusted,
    wire::{CHANGES, JSON, PushReply, Rejected, Response},
};
use serde::{Serialize, Serializer, ser::SerializeStruct};

use super::{
    Code, Fault, Principal, Verb,
    access::permit,
    cursor::prove,
    fault::to_json,
    pull::{changes_reply, page_limit},
};
use crate::{
    LogError, ServerLimits,
    events::Span,
    log::{Appender, Attempt, Document, Mark, View, was_of},
};

/// What a client sends.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) document: DocumentId,
    pub(crate) after: Option<Cursor>,
    pub(crate) changes: Vec<Result<CheckedChange, Refusal>>,
    pub(crate) by: Principal,
    /// Most plain bytes that the log may have afterwards.
    pub(crate) most_bytes: u64,
}

impl Push {
    /// About how much memory it holds.
    pub(crate) fn weight(&self) -> usize {
        self.changes.iter().map(|change| 300 + change.as_ref().map_or(0, |c| c.bytes.len())).sum()
    }
}

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Receipt {
    /// `None`: nothing was ever stored of it.
    document: Option<Document>,
    /// Up to where the client had everything.
    after: Mark,
    /// The end of the log before this push.
    before: Mark,
    /// The end of the log after this push.
    end: Mark,
    /// The positions of what it carried, stored now or before; ascending.
    carried: Vec<u64>,
    pub(crate) accepted: u64,
    pub(crate) duplicate: u64,
    /// What is not stored; with the spelling that the log holds of the same change, where it holds one.
    pub(crate) rejected: Vec<(Refusal, Option<ChangeHash>)>,
}

/// How a push is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Figures only.
    Json,
    /// What the client lacks, at most `limit` changes; JSON where something was rejected.
    Changes { limit: Option<u32> },
}

/// Frames the body whole, then measures and hashes each change: everything that depends on no order. Slow for
/// a large body; holds no lock and no transaction.
pub(crate) fn check_body(
    body: &[u8],
    limits: &ServerLimits,
) -> Result<Vec<Result<CheckedChange, Refusal>>, Fault> {
    let frames = fence::frame(body)?;
    if frames.len() > limits.push_changes {
        return Err(Fault::because(
            Code::TooLarge,
            format!("{} changes in a push; at most {} are taken.", frames.len(), limits.push_changes),
        ));
    }
    Ok(frames.iter().map(|frame| check_change(frame, limits)).collect())
}

/// The fence, and then whether the library can read it at all: who pushes it is told, instead of everybody who
/// pulls it. No document is built for that.
fn check_change(frame: &fence::Frame<'_>, limits: &ServerLimits) -> Result<CheckedChange, Refusal> {
    let change = fence::check(frame, &limits.change)?;
    match parse_untrusted(&change) {
        Ok(_) => Ok(change),
        Err(why) => Err(Refusal {
            hash: Some(change.hash),
            code: RefusalCode::Malformed,
            detail: format!("Automerge cannot read it: {why}"),
            missing: Vec::new(),
        }),
    }
}

/// Appends what can be stored. Runs inside a transaction with the rest of its group, under a savepoint of its own.
pub(crate) fn take(
    view: View<'_>,
    push: &Push,
    now: i64,
) -> Result<Attempt<Result<Receipt, Fault>>, LogError> {
    // Asked here and not only when the request began: of two who begin a document one comes second, and a token may
    // have been revoked while the body arrived.
    let permission = match permit(view, &push.by, Verb::Push, (&push.document, now))? {
        Ok(permission) => permission,
        Err(fault) => return Ok(Attempt::Undo(Err(fault))),
    };
    let document = view.document(&push.document)?;
    if document.as_ref().is_some_and(|document| document.deleted) {
        return Ok(Attempt::Undo(Err(Fault::new(Code::Deleted))));
    }
    let after = match prove(view, document.as_ref(), push.after.as_ref())? {
        Ok(after) => after,
        Err(fault) => return Ok(Attempt::Undo(Err(fault))),
    };
    let mut appender = match &document {
        Some(document) => Appender::open(view, document.clone())?,
        None => {
            permission.note(view, &push.document)?;
            Appender::create(view, &push.document, now)?
        }
    };
    let mut receipt = Receipt {
        document,
        after,
        before: appender.end(),
        end: after,
        carried: Vec::with_capacity(push.changes.len()),
        accepted: 0,
        duplicate: 0,
        rejected: Vec::new(),
    };
    let mut walk = WalkBudget::default();
    for change in &push.changes {
        take_one(&mut appender, (change, push.most_bytes), &mut walk, &mut receipt)?;
    }
    // Invariant 6: "No document, no change and no peer can stop another document from syncing", nor can a bad
    // change stop the good ones beside it.
    if planted::is_planted(Bug::BadChangeFailsBatch) && !receipt.rejected.is_empty() {
        return Ok(Attempt::Undo(Err(Fault::new(Code::Malformed))));
    }
    seal(appender, receipt)
}

fn seal(appender: Appender<'_>, mut receipt: Receipt) -> Result<Attempt<Result<Receipt, Fault>>, LogError> {
    receipt.end = appender.end();
    receipt.carried.sort_unstable();
    receipt.carried.dedup();
    if receipt.accepted == 0 {
        // A document begins with its first change: one made for nothing goes again.
        return Ok(Attempt::Undo(Ok(receipt)));
    }
    receipt.document = Some(appender.finish()?);
    Ok(Attempt::Keep(Ok(receipt)))
}

fn take_one(
    appender: &mut Appender<'_>,
    (change, most_bytes): (&Result<CheckedChange, Refusal>, u64),
    walk: &mut WalkBudget,
    receipt: &mut Receipt,
) -> Result<(), LogError> {
    let change = match change {
        Ok(change) => change,
        Err(refusal) => {
            receipt.rejected.push((refusal.clone(), None));
            return Ok(());
        }
    };
    appender.expect(change)?;
    let deps = match fence::place(change, appender, walk)? {
        Placement::Duplicate { position } => {
            receipt.duplicate += 1;
            receipt.carried.push(position);
            return Ok(());
        }
        Placement::New { deps } => Ok(deps),
        Placement::Refused(refusal) => Err(refusal),
    };
    // Also where it is refused anyway: who pushes it learns under which name it is held.
    let twin = appender.twin(change, was_of(change).as_ref())?;
    match (twin, deps) {
        (Some(standing), _) => {
            receipt.rejected.push((twin_refusal(change, &standing), Some(standing)));
        }
        (None, Err(refusal)) => receipt.rejected.push((refusal, None)),
        (None, Ok(_)) if appender.bytes().saturating_add(change.bytes.len() as u64) > most_bytes => {
            receipt.rejected.push((full(change, most_bytes), None));
        }
        (None, Ok(deps)) => {
            receipt.accepted += 1;
            receipt.carried.push(appender.append(change, deps)?);
        }
    }
    Ok(())
}

fn full(change: &CheckedChange, most_bytes: u64) -> Refusal {
    Refusal {
        hash: Some(change.hash),
        code: RefusalCode::TooLarge,
        detail: format!(
            "the log of the document would have more than {most_bytes} bytes (limit document_bytes)"
        ),
        missing: Vec::new(),
    }
}

/// One change in two spellings would take effect twice: the log decides which stands.
fn twin_refusal(change: &CheckedChange, standing: &ChangeHash) -> Refusal {
    Refusal {
        hash: Some(change.hash),
        code: RefusalCode::ActorFork,
        detail: format!("the same change stands in the log as {standing}, rewritten after a fork or before"),
        missing: Vec::new(),
    }
}

impl Receipt {
    /// By what the log grew, if it did.
    pub(crate) fn grown(&self, document: DocumentId) -> Option<Span> {
        (self.accepted > 0).then_some(Span::Grown { document, before: self.before, end: self.end })
    }

    /// The furthest place to which everything is either before `after` or among what was carried.
    fn carried_to(&self) -> u64 {
        extend(self.after.position, &self.carried)
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
    view: View<'_>,
    limits: &ServerLimits,
    receipt: &Receipt,
    form: Form,
) -> Result<Response, Fault> {
    let limit = match form {
        Form::Changes { limit } if receipt.rejected.is_empty() => limit,
        _ => return json_reply(view, receipt),
    };
    let mut response = match &receipt.document {
        Some(document) => {
            let end = view.end_of(document.key)?;
            let span = (receipt.after.position, end.position);
            let mut page = view.page(document.key, span, &receipt.carried, page_limit(limits, limit))?;
            page.covered = extend(page.covered, &receipt.carried);
            changes_reply(view, document.key, end, page)?
        }
        None => Response { status: 200, media_type: CHANGES.to_owned(), ..Response::default() },
    };
    response.accepted = Some(receipt.accepted);
    response.duplicate = Some(receipt.duplicate);
    Ok(response)
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

fn json_reply(view: View<'_>, receipt: &Receipt) -> Result<Response, Fault> {
    let (cursor, end, heads) = match &receipt.document {
        Some(document) => {
            let end = view.end_of(document.key)?;
            let cursor = view.mark_at(document.key, end, receipt.carried_to())?;
            (cursor, end, view.heads(document.key)?)
        }
        None => Default::default(),
    };
    let body = Figures {
        figures: PushReply {
            cursor: cursor.to_text(),
            end: end.to_text(),
            accepted: receipt.accepted,
            duplicate: receipt.duplicate,
            heads: heads.iter().map(ToString::to_string).collect(),
            rejected: Vec::new(),
        },
        rejected: &receipt.rejected,
    };
    Ok(Response {
        status: 200,
        media_type: JSON.to_owned(),
        cursor: cursor.to_cursor(),
        end: end.to_cursor(),
        accepted: Some(receipt.accepted),
        duplicate: Some(receipt.duplicate),
        body: to_json(&body),
        ..Response::default()
    })
}

/// A [`PushReply`], of which each rejection is made when it is written: a hundred thousand of them at once would be
/// tens of megabytes.
struct Figures<'r> {
    /// Without the rejections.
    figures: PushReply,
    rejected: &'r [(Refusal, Option<ChangeHash>)],
}

impl Serialize for Figures<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Rejections<'r>(&'r [(Refusal, Option<ChangeHash>)]);
        impl Serialize for Rejections<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_seq(self.0.iter().map(rejected))
            }
        }
        let PushReply { cursor, end, accepted, duplicate, heads, rejected: _ } = &self.figures;
        let mut reply = serializer.serialize_struct("PushReply", 6)?;
        reply.serialize_field("cursor", cursor)?;
        reply.serialize_field("end", end)?;
        reply.serialize_field("accepted", accepted)?;
        reply.serialize_field("duplicate", duplicate)?;
        reply.serialize_field("heads", heads)?;
        reply.serialize_field("rejected", &Rejections(self.rejected))?;
        reply.end()
    }
}

fn rejected((refusal, stands): &(Refusal, Option<ChangeHash>)) -> Rejected {
    Rejected {
        hash: refusal.hash.map(|hash| hash.to_string()).unwrap_or_default(),
        code: refusal.code,
        detail: refusal.detail.clone(),
        missing: refusal.missing.iter().map(ToString::to_string).collect(),
        stands: stands.map(|hash| hash.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::extend;

    #[test]
    fn a_cursor_moves_only_over_what_was_carried_without_a_gap() {
        assert_eq!(extend(0, &[]), 0);
        assert_eq!(extend(0, &[1, 2, 4]), 2);
        assert_eq!(extend(2, &[1, 2, 4]), 2);
        assert_eq!(extend(3, &[1, 2, 4, 5]), 5);
        assert_eq!(extend(9, &[1, 2]), 9);
    }
}
