//! The parts of a change's body as they stand, for who writes it down in another form.

use automerge::{ActorId, ChangeHash};

use super::{
    Refusal,
    chunk::{ChunkKind, Frame, hash, next_frame},
    columns::{Runs, Spec},
    read::Reader,
};

/// The kind of the column of actions.
pub(crate) const ACTION: u32 = Spec::ACTION.bits();

/// A body cut into its parts: one after another they are the body again.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) deps: Vec<ChangeHash>,
    pub(crate) actor: &'a [u8],
    pub(crate) seq: u64,
    pub(crate) start_op: u64,
    pub(crate) time: i64,
    /// The commit message, without its length.
    pub(crate) message: &'a [u8],
    /// The other actors, with their number and their lengths.
    pub(crate) others: &'a [u8],
    /// Kinds and lengths of the columns.
    pub(crate) metadata: &'a [u8],
    /// The columns: kind and data.
    pub(crate) columns: Vec<(u32, &'a [u8])>,
    /// What follows the columns.
    pub(crate) tail: &'a [u8],
    /// How many operations there are, as the column of actions says; whatever it says.
    pub(crate) operations: u64,
}

/// Cuts a body into its parts.
///
/// # Errors
/// Where it is no body of a change, or a number in its header has an over-long form.
pub(crate) fn dissect(body: &[u8]) -> Result<Parts<'_>, Refusal> {
    let mut reader = Reader::new(body);
    let deps = read_deps(&mut reader)?;
    let actor = take_text(&mut reader, "an actor")?;
    let seq = reader.number("the sequence number")?;
    let start_op = reader.number("the counter of the first operation")?;
    let time = reader.signed("the time")?;
    let message = take_text(&mut reader, "the message")?;
    let others = section(&mut reader, |reader| {
        let count = reader.number("the number of other actors")?;
        for _ in 0..count {
            take_text(reader, "an actor")?;
        }
        Ok(())
    })?;
    let metadata = section(&mut reader, |reader| {
        let mut entries = Entries::begin(reader)?;
        while entries.next(reader)?.is_some() {}
        Ok(())
    })?;
    let mut data = Vec::new();
    let mut described = Reader::new(metadata);
    let mut entries = Entries::begin(&mut described)?;
    while let Some((spec, length)) = entries.next(&mut described)? {
        data.push((spec, reader.take(length, "a column")?));
    }
    let actions = data.iter().find(|(spec, _)| *spec == ACTION);
    let operations = actions.map_or(0, |(_, bytes)| count_operations(bytes));
    let tail = reader.rest();
    Ok(Parts { deps, actor, seq, start_op, time, message, others, metadata, columns: data, tail, operations })
}

/// The dependencies that a body begins with.
pub(crate) fn dependencies_of(body: &[u8]) -> Result<Vec<ChangeHash>, Refusal> {
    read_deps(&mut Reader::new(body))
}

/// What a plain change is known by, and what it depends on; no more of it is read.
///
/// # Errors
/// Where the body does not begin with a list of hashes.
pub fn hash_and_dependencies(frame: &Frame<'_>) -> Result<(ChangeHash, Vec<ChangeHash>), Refusal> {
    Ok((hash(frame.kind, frame.body), dependencies_of(frame.body)?))
}

/// Whose change this is and its number among theirs, from the head of its plain chunk; no more of it is read.
///
/// # Errors
/// Where that is no plain chunk of a change.
pub fn author_of(chunk: &[u8]) -> Result<(ActorId, u64), Refusal> {
    let frame = next_frame(&mut Reader::new(chunk))?;
    if frame.kind != ChunkKind::Change {
        return Err(Refusal::malformed("the chunk is not a plain change"));
    }
    let mut reader = Reader::new(frame.body);
    read_deps(&mut reader)?;
    let actor = ActorId::from(take_text(&mut reader, "an actor")?);
    Ok((actor, reader.number("the sequence number")?))
}

/// The metadata of columns, an entry at a time: a few bytes of them must not become many.
#[derive(Debug)]
pub(crate) struct Entries {
    left: u64,
}

impl Entries {
    pub(crate) fn begin(reader: &mut Reader<'_>) -> Result<Self, Refusal> {
        Ok(Self { left: reader.number("the number of columns")? })
    }

    /// Kind and length of the next column.
    pub(crate) fn next(&mut self, reader: &mut Reader<'_>) -> Result<Option<(u32, u64)>, Refusal> {
        let Some(left) = self.left.checked_sub(1) else { return Ok(None) };
        self.left = left;
        let spec = reader.number("a column's kind")?;
        let spec = u32::try_from(spec).map_err(|_| Refusal::malformed("a column's kind is above 32 bits"))?;
        Ok(Some((spec, reader.number("a column's length")?)))
    }
}

/// The sum of the runs in a column of actions: in time that its bytes bound, whatever they claim.
pub(crate) fn count_operations(actions: &[u8]) -> u64 {
    let mut runs = Runs::new(Spec::ACTION.shape(), Reader::new(actions));
    let mut sum = 0_u64;
    while let Ok(Some(run)) = runs.next() {
        sum = sum.saturating_add(run.rows);
    }
    sum
}

fn read_deps(reader: &mut Reader<'_>) -> Result<Vec<ChangeHash>, Refusal> {
    let count = reader.number("the number of dependencies")?;
    let mut deps = Vec::new();
    for _ in 0..count {
        let bytes = reader.take(32, "a dependency")?;
        let hash = bytes.try_into().map_err(|_| Refusal::malformed("a dependency is not a hash"))?;
        deps.push(ChangeHash(hash));
    }
    Ok(deps)
}

fn take_text<'a>(reader: &mut Reader<'a>, what: &str) -> Result<&'a [u8], Refusal> {
    let length = reader.number(what)?;
    reader.take(length, what)
}

/// The bytes that `pass` goes over.
fn section<'a>(
    reader: &mut Reader<'a>,
    pass: impl FnOnce(&mut Reader<'a>) -> Result<(), Refusal>,
) -> Result<&'a [u8], Refusal> {
    let start = reader.rest();
    pass(reader)?;
    Ok(start.get(..start.len() - reader.len()).unwrap_or(start))
}
