//! One change, measured and hashed without the library.

use std::io::Read;

use automerge::{ActorId, ChangeHash};
use flate2::bufread::DeflateDecoder;

use crate::{
    container,
    planted::{Bug, is_planted},
};

use super::{
    CheckedChange, ChunkKind, Frame, Limits, Refusal, RefusalCode, chunk,
    columns::{self, Runs, Shape, Spec},
    read::Reader,
};

/// What operations may name, for each one that a change may have: predecessors. An operation has one for
/// each value that it replaces, so more than one only where writes met.
const PREDECESSORS_AN_OPERATION: u64 = 4;

/// Keys and names of marks stand once for a run of operations, and the library copies them for each. In
/// bytes, what they may come to: 670 for each of 100,000 operations.
const WRITTEN_OUT: u64 = 64 * 1024 * 1024;

/// The library counts operations in 32 bits, and panics at the end of them, in local edits too. So the last
/// million is never given out: who comes near is refused here, and no dispatch can reach the end.
const LAST_OPERATION: u64 = u32::MAX as u64 - (1 << 20);

/// The library keeps sequence numbers in 32 bits too.
const LAST_SEQUENCE: u64 = u32::MAX as u64;

/// The furthest time from 1970, in seconds, before it and after it. The library keeps the times of changes as
/// differences in 64 bits, and panics in the next honest commit where one does not fit: within this range none
/// comes near. Clocks that are wrong by many years keep to it, and so do programs that write milliseconds (until
/// the year 2248).
pub const LAST_TIME: i64 = 1 << 43;

/// Checks one framed chunk: its checksum and kind, its size, inflated under the cap where it is compressed,
/// its header, and its operations summed from run lengths, in time and memory that the limits bound.
/// What it depends on is not looked at: that is [`super::place`].
///
/// # Errors
/// A [`Refusal`] that bears the hash. Where the true one cannot be known (a bundle, a chunk that inflates
/// past the limit), that is SHA-256 over type, length and body as they stand.
pub fn check(frame: &Frame<'_>, limits: &Limits) -> Result<CheckedChange, Refusal> {
    let as_it_stands = |refusal: Refusal| refusal.of(chunk::hash(frame.kind, frame.body));
    match frame.kind {
        ChunkKind::Change => check_body(frame.body, frame.checksum, limits),
        ChunkKind::Compressed => {
            let body = inflate(frame.body, limits).map_err(as_it_stands)?;
            check_body(&body, frame.checksum, limits)
        }
        ChunkKind::Document => Err(as_it_stands(not_a_change("a document"))),
        ChunkKind::Bundle => Err(as_it_stands(not_a_change("a bundle"))),
        ChunkKind::Unknown(kind) => {
            Err(as_it_stands(Refusal::malformed(format!("the chunk has the unknown type {kind}"))))
        }
    }
}

/// Checks the bytes of exactly one chunk.
///
/// # Errors
/// As [`check`], and [`RefusalCode::Malformed`] where the bytes are not exactly one chunk.
pub fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<CheckedChange, Refusal> {
    match chunk::frame(bytes)?.as_slice() {
        [one] => check(one, limits),
        several => Err(Refusal::malformed(format!(
            "there are {} chunks where one change was expected",
            several.len()
        ))),
    }
}

fn not_a_change(what: &str) -> Refusal {
    Refusal::new(RefusalCode::NotAChange, format!("the chunk is {what}, and only changes are taken here"))
}

fn too_large(what: &str, size: u64, limit: impl std::fmt::Display) -> Refusal {
    Refusal::new(RefusalCode::TooLarge, format!("the change has {size} {what}, and the limit is {limit}"))
}

/// The body of a compressed chunk, as the library inflates it: bytes after the end of the stream are nothing.
fn inflate(deflated: &[u8], limits: &Limits) -> Result<Vec<u8>, Refusal> {
    let cap = limits.change_bytes as u64;
    let mut body = Vec::new();
    DeflateDecoder::new(deflated).take(cap.saturating_add(1)).read_to_end(&mut body).map_err(|error| {
        Refusal::malformed(format!("the compressed change cannot be decompressed: {error}"))
    })?;
    if body.len() as u64 > cap {
        let detail = format!("the change has more than the limit of {cap} bytes once it is decompressed");
        return Err(Refusal::new(RefusalCode::TooLarge, detail));
    }
    Ok(body)
}

/// Checks a plain body. The checksum of a compressed chunk is that of its plain form too.
fn check_body(body: &[u8], checksum: &[u8], limits: &Limits) -> Result<CheckedChange, Refusal> {
    let hash = chunk::hash(ChunkKind::Change, body);
    let size = chunk::plain_size(body);
    if size > limits.change_bytes {
        return Err(too_large("bytes", size as u64, limits.change_bytes).of(hash));
    }
    if chunk::checksum_of(&hash) != checksum {
        return Err(Refusal::new(RefusalCode::Checksum, "the checksum does not fit the bytes").of(hash));
    }
    let change = read_change(body, hash, limits).map_err(|refusal| refusal.of(hash))?;
    // No other bytes may stand under a container's actor than the ones everybody makes.
    container::verify(&change).map_err(|why| Refusal::new(RefusalCode::Malformed, why).of(hash))?;
    Ok(change)
}

/// Reads the header as the library does, and counts what follows.
fn read_change(body: &[u8], hash: ChangeHash, limits: &Limits) -> Result<CheckedChange, Refusal> {
    let mut reader = Reader::new(body);
    let deps = read_deps(&mut reader, limits)?;
    let actor = read_actor(&mut reader, limits)?;
    let seq = reader.number("the sequence number")?;
    if seq == 0 {
        return Err(Refusal::malformed(
            "the change has the sequence number 0, and sequence numbers begin at 1",
        ));
    }
    if seq > LAST_SEQUENCE {
        return Err(Refusal::out_of_range(format!(
            "the change has the sequence number {seq}, and the largest that a document can hold is {LAST_SEQUENCE}"
        )));
    }
    let start_op = reader.number("the counter of the first operation")?;
    let time = reader.signed("the time")?;
    if time.unsigned_abs() > LAST_TIME.unsigned_abs() && !is_planted(Bug::NumbersUnbounded) {
        return Err(Refusal::out_of_range(format!(
            "the time of the change is {time} seconds from 1970, and the limit is {LAST_TIME} seconds"
        )));
    }
    let message = read_message(&mut reader, limits)?;
    pass_other_actors(&mut reader, limits)?;
    let operations = count_operations(&mut reader, limits)?;
    check_counters(start_op, operations)?;
    let bytes = chunk::plain_chunk(body, &hash);
    Ok(CheckedChange { hash, actor, seq, start_op, operations, deps, time, message, bytes })
}

fn read_deps(reader: &mut Reader<'_>, limits: &Limits) -> Result<Vec<ChangeHash>, Refusal> {
    let count = reader.number("the number of dependencies")?;
    if count > limits.dependencies as u64 {
        return Err(too_large("dependencies", count, limits.dependencies));
    }
    let mut deps = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let bytes = reader.take(32, "a dependency")?;
        let hash = bytes.try_into().map_err(|_| Refusal::malformed("a dependency is not a hash"))?;
        deps.push(ChangeHash(hash));
    }
    Ok(deps)
}

fn read_actor(reader: &mut Reader<'_>, limits: &Limits) -> Result<ActorId, Refusal> {
    take_actor(reader, limits).map(ActorId::from)
}

fn take_actor<'a>(reader: &mut Reader<'a>, limits: &Limits) -> Result<&'a [u8], Refusal> {
    let length = reader.number("the length of an actor")?;
    if length > limits.actor_bytes as u64 {
        return Err(too_large("bytes in the name of an actor", length, limits.actor_bytes));
    }
    reader.take(length, "an actor")
}

fn read_message(reader: &mut Reader<'_>, limits: &Limits) -> Result<Option<String>, Refusal> {
    let length = reader.number("the length of the message")?;
    if length > limits.message_bytes as u64 {
        return Err(too_large("bytes in its message", length, limits.message_bytes));
    }
    let bytes = reader.take(length, "the message")?;
    let text = std::str::from_utf8(bytes).map_err(|_| Refusal::malformed("the message is not UTF-8"))?;
    Ok((!text.is_empty()).then(|| text.to_owned()))
}

fn pass_other_actors(reader: &mut Reader<'_>, limits: &Limits) -> Result<(), Refusal> {
    let count = reader.number("the number of other actors")?;
    if count > limits.actors as u64 {
        return Err(too_large("other actors", count, limits.actors));
    }
    for _ in 0..count {
        take_actor(reader, limits)?;
    }
    Ok(())
}

/// How many operations there are, once it is known that neither they nor what they name is too much.
fn count_operations(reader: &mut Reader<'_>, limits: &Limits) -> Result<u64, Refusal> {
    let entries = columns::entries(reader)?;
    // The library refuses these in a change; in a document it inflates them.
    if entries.iter().any(|entry| entry.spec.deflated()) {
        return Err(Refusal::malformed(
            "a column of the change is compressed by itself, which is not allowed in a change",
        ));
    }
    let columns = columns::data(entries, reader)?;
    let operations = match action_column(&columns) {
        Some(bytes) => sum_actions(bytes, limits)?,
        None => 0,
    };
    for (spec, bytes) in &columns {
        check_column(*spec, bytes, operations, limits)?;
    }
    Ok(operations)
}

/// The column that says how many operations there are: the last one of its kind that is not part of a group.
fn action_column<'a>(columns: &[(Spec, &'a [u8])]) -> Option<&'a [u8]> {
    let (mut group, mut found) = (None, None);
    for (spec, bytes) in columns {
        match spec.shape() {
            Shape::Group => group = Some(spec.id()),
            _ if group == Some(spec.id()) => {}
            _ => group = None,
        }
        if *spec == Spec::ACTION && group.is_none() {
            found = Some(*bytes);
        }
    }
    found
}

fn sum_actions(bytes: &[u8], limits: &Limits) -> Result<u64, Refusal> {
    let mut runs = Runs::new(Shape::Numbers, Reader::new(bytes));
    let mut operations = 0_u64;
    while let Some(run) = runs.next()? {
        if run.value.is_none() {
            return Err(Refusal::malformed("an operation has no action"));
        }
        operations = operations.saturating_add(run.rows);
        if operations > limits.operations {
            let detail = format!(
                "the change has {operations} operations or more, and the limit for one change is {}",
                limits.operations
            );
            return Err(Refusal::new(RefusalCode::TooManyOperations, detail));
        }
    }
    Ok(operations)
}

/// Refuses a column in which a few bytes stand for far more than the operations account for.
fn check_column(spec: Spec, bytes: &[u8], operations: u64, limits: &Limits) -> Result<(), Refusal> {
    let (most, code, what) = match spec {
        Spec::PREDECESSORS => (
            limits.operations.saturating_mul(PREDECESSORS_AN_OPERATION),
            RefusalCode::TooManyOperations,
            "the operations of the change name more predecessors",
        ),
        Spec::KEY | Spec::MARK => (
            WRITTEN_OUT,
            RefusalCode::TooLarge,
            "keys and names of marks, written out for each operation, take more bytes",
        ),
        _ => return Ok(()),
    };
    match columns::sum(Runs::new(spec.shape(), Reader::new(bytes)), operations, most)? {
        Some(_) => Ok(()),
        None => Err(Refusal::new(code, format!("{what} than the limit of {most}"))),
    }
}

/// Where the first counter lies is the author's business, as long as the library can count on from the last.
fn check_counters(start_op: u64, operations: u64) -> Result<(), Refusal> {
    if start_op == 0 {
        return Err(Refusal::malformed(
            "the first operation of the change has the counter 0, and counters begin at 1",
        ));
    }
    match start_op.checked_add(operations) {
        Some(next) if next <= LAST_OPERATION => Ok(()),
        _ => Err(Refusal::out_of_range(format!(
            "the change counts its operations from {start_op}, and the last counter that a document can hold is \
             {LAST_OPERATION}"
        ))),
    }
}
