//! Push: the good part of a batch is stored, the bad part named.

use std::{ops::Range, sync::mpsc::sync_channel, thread};

use rejoin_protocol::{
    Cursor, DocumentId,
    fence::{self, CheckedChange, Placement, Refusal, RefusalCode, WalkBudget},
    planted::{self, Bug},
    untrusted::parse_untrusted,
};

use super::{
    ApiError, Code, Principal, Receipt, Room, Verb, access::permit, cursor::prove, pushers::name_of,
    room::Guest,
};
use crate::{
    LogError, ServerLimits,
    log::{Appender, Attempt, Claimed, Document, Edit, Mark},
};

/// Most changes of a push that are in memory as they were read.
const PIECE_CHANGES: usize = 8_192;
/// Most bytes of them, unless one change alone has more.
const PIECE_BYTES: usize = 2 * 1024 * 1024;

/// What a client sends.
#[derive(Debug)]
pub(crate) struct Push {
    pub(crate) document: DocumentId,
    pub(crate) after: Option<Cursor>,
    pub(crate) changes: Changes,
    pub(crate) by: Principal,
    /// What the document may become.
    pub(crate) room: Room,
}

type Checked = Vec<Result<Read, Refusal>>;

/// A change that was measured and read.
#[derive(Debug)]
pub(crate) struct Read {
    change: CheckedChange,
    claimed: Option<Box<Claimed>>,
}

/// The changes of a push.
#[derive(Debug)]
pub(crate) enum Changes {
    /// Checked before anybody had to wait for that.
    Checked(Checked),
    /// Too many to be all in memory as they were read: checked piece after piece, while the one before is stored.
    Pieces { body: Vec<u8>, pieces: Vec<Range<usize>>, limits: ServerLimits },
}

impl Changes {
    /// Frames a body whole. What is small is checked here; slow where it is not very small.
    pub(crate) fn read(body: Vec<u8>, limits: &ServerLimits) -> Result<Self, ApiError> {
        let pieces = pieces(&body, limits)?;
        Ok(match pieces.len() {
            0 | 1 => Self::Checked(check_body(&body, limits)?),
            _ => Self::Pieces { body, pieces, limits: *limits },
        })
    }

    /// How many there are at most.
    fn at_most(&self) -> u64 {
        match self {
            Self::Checked(changes) => changes.len() as u64,
            Self::Pieces { pieces, .. } => (pieces.len() * PIECE_CHANGES) as u64,
        }
    }

    pub(crate) fn are_many(&self) -> bool {
        matches!(self, Self::Pieces { .. })
    }

    /// About how much memory they take.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Checked(changes) => {
                changes.iter().map(|change| 300 + change.as_ref().map_or(0, |c| c.change.bytes.len())).sum()
            }
            Self::Pieces { body, .. } => body.len(),
        }
    }

    /// Each in its turn. May be asked again.
    fn for_each(
        &self,
        mut take: impl FnMut(&Result<Read, Refusal>) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        match self {
            Self::Checked(changes) => changes.iter().try_for_each(take),
            Self::Pieces { body, pieces, limits } => thread::scope(|scope| {
                // One is stored, one is checked, and none waits between: that bounds the memory.
                let (sender, checked) = sync_channel(0);
                scope.spawn(move || {
                    let parts = pieces.iter().map(|piece| body.get(piece.clone()).unwrap_or_default());
                    // Who took them may have failed.
                    parts.map(|part| check_body(part, limits)).try_for_each(|piece| sender.send(piece))
                });
                checked.iter().try_for_each(|piece| {
                    let piece = piece.map_err(|_| {
                        LogError::Damaged("a body that was framed cannot be framed again".to_owned())
                    })?;
                    piece.iter().try_for_each(&mut take)
                })
            }),
        }
    }
}

/// Frames a body whole, and says where the pieces of it stand; at least one.
fn pieces(body: &[u8], limits: &ServerLimits) -> Result<Vec<Range<usize>>, ApiError> {
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
            return Err(ApiError::because(Code::TooLarge, detail));
        }
    }
    pieces.push(start..at);
    Ok(pieces)
}

/// Measures and hashes each change: everything that depends on no order. Slow for many; holds no lock and no
/// transaction.
fn check_body(body: &[u8], limits: &ServerLimits) -> Result<Checked, ApiError> {
    fence::frames(body).map(|frame| Ok(check_change(&frame?, limits))).collect()
}

/// The fence, and then whether the library can read it at all: who pushes it is told, instead of everybody who
/// pulls it. No document is built for that.
fn check_change(frame: &fence::Frame<'_>, limits: &ServerLimits) -> Result<Read, Refusal> {
    let change = fence::check(frame, &limits.change)?;
    match parse_untrusted(&change) {
        Ok(read) => Ok(Read { change, claimed: Claimed::of(read).map(Box::new) }),
        Err(why) => Err(Refusal {
            hash: Some(change.hash),
            code: RefusalCode::Malformed,
            detail: format!("Automerge cannot read it: {why}"),
            missing: Vec::new(),
        }),
    }
}

/// Appends what can be stored. Runs inside a transaction with the rest of its group, as a part of its own.
pub(crate) fn take(
    edit: &impl Edit,
    push: &Push,
    now: i64,
) -> Result<Attempt<Result<Receipt, ApiError>>, LogError> {
    // Asked here and not only when the request began: of two who begin a document one comes second, and a token may
    // have been revoked while the body arrived.
    let permission = match permit(edit, &push.by, Verb::Push, (&push.document, now))? {
        Ok(permission) => permission,
        Err(fault) => return Ok(Attempt::Undo(Err(fault))),
    };
    let document = edit.document(&push.document)?;
    if document.as_ref().is_some_and(|document| document.deleted) {
        return Ok(Attempt::Undo(Err(ApiError::new(Code::Deleted))));
    }
    let after = match prove(edit, document.as_ref(), push.after.as_ref())? {
        Ok(after) => after,
        Err(fault) => return Ok(Attempt::Undo(Err(fault))),
    };
    let guest = Guest { name: name_of(edit, &push.by)?, whole: permission.is_whole() };
    if document.is_none() {
        permission.note(edit, &push.document)?;
    }
    let pushing = Pushing { push, guest, now, strict: false };
    let heads = document.as_ref().map_or(Ok(0), |document| count_heads(edit, document))?;
    let most = heads.saturating_add(push.changes.at_most());
    if push.room.has_heads_to_spare(&pushing.guest, most) {
        let appended = append_all(edit, &pushing, (document, after))?;
        return finish(edit, &pushing, appended);
    }
    // What merges its heads again is taken whole, whatever lies between. Otherwise each change must find room.
    let whole = edit.attempt(|edit| {
        let (appender, receipt) = append_all(edit, &pushing, (document.clone(), after))?;
        let left = appender.count_heads(pushing.guest.name.as_deref())?;
        if !push.room.takes_heads(&pushing.guest, heads, left) {
            return Ok(Attempt::Undo(None));
        }
        finish(edit, &pushing, (appender, receipt)).map(|finished| Attempt::Keep(Some(finished)))
    })?;
    if let Some(finished) = whole {
        return Ok(finished);
    }
    let pushing = Pushing { strict: true, ..pushing };
    let appended = append_all(edit, &pushing, (document, after))?;
    finish(edit, &pushing, appended)
}

fn count_heads(edit: &impl Edit, document: &Document) -> Result<u64, LogError> {
    Ok(edit.head_rows(document.key)?.len() as u64)
}

/// A push that is allowed.
#[derive(Debug)]
struct Pushing<'p> {
    push: &'p Push,
    guest: Guest,
    now: i64,
    /// Whether heads are counted after each change, and not at the push's end.
    strict: bool,
}

/// Appends each change that can be, to a document that is made where there is none.
fn append_all<'e, E: Edit>(
    edit: &'e E,
    pushing: &Pushing<'_>,
    (document, after): (Option<Document>, Mark),
) -> Result<(Appender<'e, E>, Receipt), LogError> {
    let push = pushing.push;
    let mut appender = match &document {
        Some(document) => Appender::open(edit, document.clone()),
        None => Appender::open(edit, edit.begin_document(&push.document, pushing.now)?),
    };
    let mut receipt = Receipt::new(document, (after, appender.end()));
    let mut walk = WalkBudget::default();
    push.changes.for_each(|change| take_one(&mut appender, (change, pushing), &mut walk, &mut receipt))?;
    receipt.steps = WalkBudget::default().steps.saturating_sub(walk.steps);
    Ok((appender, receipt))
}

fn finish<E: Edit>(
    edit: &E,
    pushing: &Pushing<'_>,
    (appender, receipt): (Appender<'_, E>, Receipt),
) -> Result<Attempt<Result<Receipt, ApiError>>, LogError> {
    // Invariant 6: "No document, no change and no peer can stop another document from syncing", nor can a bad
    // change stop the good ones beside it.
    if planted::is_planted(Bug::BadChangeFailsBatch) && !receipt.rejected.is_empty() {
        return Ok(Attempt::Undo(Err(ApiError::new(Code::Malformed))));
    }
    let first = appender.first();
    let attempt = seal(appender, receipt)?;
    if let Attempt::Keep(Ok(Receipt { document: Some(document), .. })) = &attempt {
        edit.note_pushed(document.key, first, pushing.guest.name.as_deref())?;
    }
    Ok(attempt)
}

fn seal(
    appender: Appender<'_, impl Edit>,
    mut receipt: Receipt,
) -> Result<Attempt<Result<Receipt, ApiError>>, LogError> {
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
    appender: &mut Appender<'_, impl Edit>,
    (read, pushing): (&Result<Read, Refusal>, &Pushing<'_>),
    walk: &mut WalkBudget,
    receipt: &mut Receipt,
) -> Result<(), LogError> {
    let Read { change, claimed } = match read {
        Ok(read) => read,
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
        Placement::New { deps, reach } => Ok((deps, reach)),
        Placement::Refused(refusal) => Err(refusal),
    };
    // "A claim is proved or ignored": nothing is refused because of one that is not.
    let was = match claimed {
        Some(claimed) => appender.prove(claimed)?,
        None => None,
    };
    // Also where it is refused anyway: who pushes it learns under which name it is held.
    let twin = appender.twin(change, was.as_ref())?;
    match (twin, deps) {
        (Some(standing), _) => receipt.rejected.push_twin(change, standing),
        (None, Err(refusal)) => receipt.rejected.push(refusal),
        (None, Ok(place)) => {
            let Pushing { push, guest, strict, .. } = pushing;
            match push.room.refuses(appender, guest, change, (&place.0, *strict))? {
                Some(refusal) => receipt.rejected.push(refusal),
                None => {
                    receipt.accepted += 1;
                    receipt.carried.push(appender.append(change, place, was)?);
                }
            }
        }
    }
    Ok(())
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
