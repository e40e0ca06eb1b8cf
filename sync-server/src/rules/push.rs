//! Push: the good part of a batch is stored, the bad part named.

use std::ops::Range;

use rejoin::{
    Cursor, DocumentId,
    fence::{self, CheckedChange, Placement, Refusal, RefusalCode, WalkBudget},
    planted::{self, Bug},
    untrusted::parse_untrusted,
};

use super::{Code, Fault, Principal, Receipt, Verb, access::permit, cursor::prove};
use crate::{
    LogError, ServerLimits,
    log::{Appender, Attempt, View, was_of},
};

/// Most changes that are checked and committed at once, of a push that has more: what was read of them is in memory.
const PIECE_CHANGES: usize = 8_192;
/// Most bytes of them, unless one change alone has more.
const PIECE_BYTES: usize = 2 * 1024 * 1024;

/// What a client sends, or a piece of it.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) document: DocumentId,
    pub(crate) after: Option<Cursor>,
    pub(crate) changes: Vec<Result<CheckedChange, Refusal>>,
    pub(crate) by: Principal,
    /// Most plain bytes that the log may have afterwards.
    pub(crate) most_bytes: u64,
    /// What the pieces before this one left of the steps that a whole push may take.
    pub(crate) walk: WalkBudget,
}

impl Push {
    /// About how much memory it holds.
    pub(crate) fn weight(&self) -> usize {
        self.changes.iter().map(|change| 300 + change.as_ref().map_or(0, |c| c.bytes.len())).sum()
    }
}

/// Frames a body whole, and says where the pieces of it stand in which it is checked and committed; at least one.
pub(crate) fn pieces(body: &[u8], limits: &ServerLimits) -> Result<Vec<Range<usize>>, Fault> {
    let (mut pieces, mut count, mut at) = (Vec::new(), 0_usize, 0_usize);
    let (mut start, mut held) = (0_usize, 0_usize);
    for frame in fence::frames(body) {
        let length = frame?.bytes.len();
        if held > 0 && (held == PIECE_CHANGES || at - start + length > PIECE_BYTES) {
            pieces.push(start..at);
            (start, held) = (at, 0);
        }
        (count, held, at) = (count + 1, held + 1, at + length);
        if count > limits.push_changes {
            let detail = format!("A push may have at most {} changes.", limits.push_changes);
            return Err(Fault::because(Code::TooLarge, detail));
        }
    }
    pieces.push(start..at);
    Ok(pieces)
}

/// Measures and hashes each change: everything that depends on no order. Slow for many; holds no lock and no
/// transaction.
pub(crate) fn check_body(
    body: &[u8],
    limits: &ServerLimits,
) -> Result<Vec<Result<CheckedChange, Refusal>>, Fault> {
    fence::frames(body).map(|frame| Ok(check_change(&frame?, limits))).collect()
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
    let mut receipt = Receipt::new(document, (after, appender.end()), push.changes.len());
    let mut walk = push.walk;
    for change in &push.changes {
        take_one(&mut appender, (change, push.most_bytes), &mut walk, &mut receipt)?;
    }
    receipt.walk = walk;
    // Invariant 6: "No document, no change and no peer can stop another document from syncing", nor can a bad
    // change stop the good ones beside it.
    if planted::is_planted(Bug::BadChangeFailsBatch) && !receipt.rejected.is_empty() {
        return Ok(Attempt::Undo(Err(Fault::new(Code::Malformed))));
    }
    seal(appender, receipt)
}

fn seal(appender: Appender<'_>, mut receipt: Receipt) -> Result<Attempt<Result<Receipt, Fault>>, LogError> {
    receipt.end = appender.end();
    receipt.seal();
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
            receipt.rejected.push(refusal.clone());
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
        (Some(standing), _) => receipt.rejected.push_twin(change, standing),
        (None, Err(refusal)) => receipt.rejected.push(refusal),
        (None, Ok(_)) if appender.bytes().saturating_add(change.bytes.len() as u64) > most_bytes => {
            receipt.rejected.push(full(change, most_bytes));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pieces_of_a_body_are_small_and_together_are_all_of_it() {
        // Of an unknown type: framed all the same.
        let chunk = |length: usize| {
            let mut bytes = vec![0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0, 9];
            let mut left = length;
            while left > 127 {
                bytes.push((left & 127) as u8 | 128);
                left >>= 7;
            }
            bytes.push(left as u8);
            bytes.resize(bytes.len() + length, 0);
            bytes
        };
        let limits = ServerLimits::default();
        let sizes =
            [vec![], vec![5; 3], vec![5; 3 * PIECE_CHANGES + 1], vec![700_000; 7], vec![2_090_000; 3]];
        for (sizes, expected) in sizes.into_iter().zip([1, 1, 4, 4, 3]) {
            let body: Vec<u8> = sizes.iter().flat_map(|size| chunk(*size)).collect();
            let pieces = pieces(&body, &limits).unwrap();
            assert_eq!(pieces.len(), expected, "{}", sizes.len());
            let ends: Vec<usize> = pieces.iter().map(|piece| piece.end).collect();
            let starts: Vec<usize> = pieces.iter().map(|piece| piece.start).collect();
            assert_eq!(
                (starts[0], &starts[1..], ends.last()),
                (0, &ends[..ends.len() - 1], Some(&body.len()))
            );
            let framed = pieces.into_iter().map(|piece| fence::frame(&body[piece]).unwrap().len());
            assert_eq!(framed.sum::<usize>(), sizes.len());
        }
        let over = ServerLimits { push_changes: 2, ..limits };
        assert_eq!(pieces(&[chunk(5), chunk(5), chunk(5)].concat(), &over).unwrap_err().code, Code::TooLarge);
    }
}
