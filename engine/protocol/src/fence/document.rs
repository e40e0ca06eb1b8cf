//! A compact Automerge file, measured before the library sees it.

use super::{
    ChunkKind, Frame, Limits, Refusal, RefusalCode, check, chunk,
    columns::{self, Bytes, Entry, Runs, Shape, Spec},
    nesting,
    read::Reader,
};

/// How deep objects may lie in each other; one in the root is at 1. The library reads a document by
/// recursion, and at some 280 runs out of the 2 MiB of stack that a thread has by default, which ends the
/// process. Most JSON parsers stop at 128 too.
pub const DEPTH: usize = 128;

/// Rows that a column within a group may have for each row of the limit: the changes that a change depends
/// on, the operations that follow an operation. More than one only where writes met.
const ROWS_OF_A_GROUP: u64 = 4;

/// Texts stand once for a run of rows, and the library writes them out in each change that it makes of a
/// file. What they may come to, in multiples of the bytes that a file may inflate to.
const WRITTEN_OUT: u64 = 4;

/// What the library reads of the changes in a document, apart from the raw bytes of `extra`.
const CHANGE_COLUMNS: [u32; 8] = [0x01, 0x03, 0x13, 0x23, 0x35, 0x40, 0x43, 0x56];

/// What the library reads of the operations in a document, apart from the raw bytes of values.
const OPERATION_COLUMNS: [u32; 15] =
    [0x01, 0x02, 0x11, 0x13, 0x15, 0x21, 0x23, 0x34, 0x42, 0x56, 0x80, 0x81, 0x83, 0x94, 0xa5];

/// What a compact Automerge file may be. Sizes are bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct DocumentLimits {
    /// Largest file.
    pub bytes: usize,
    /// Most bytes of columns and changes once inflated.
    pub inflated: u64,
    /// Most operations, summed from the run lengths of the action columns.
    pub operations: u64,
    /// Most changes.
    pub changes: u64,
}

impl Default for DocumentLimits {
    fn default() -> Self {
        Self {
            bytes: 64 * 1024 * 1024,
            inflated: 256 * 1024 * 1024,
            operations: 20_000_000,
            changes: 5_000_000,
        }
    }
}

/// Measures a compact Automerge file: chunks of documents and of changes, as `save` writes them. Checksums,
/// columns inflated without keeping them, rows summed from run lengths: afterwards the library can load it
/// in time and memory that the limits bound, if it loads at all, and read what is in its documents without
/// running out of stack (see [`DEPTH`]; what chunks of changes add to that is not known before it is loaded).
///
/// # Errors
/// [`RefusalCode::TooLarge`] or [`RefusalCode::TooManyOperations`], with the limit; [`RefusalCode::Checksum`];
/// [`RefusalCode::NotAChange`] for a bundle; [`RefusalCode::Malformed`] for what cannot be read. With the
/// hash of the chunk, once it is framed.
pub fn check_document(bytes: &[u8], limits: &DocumentLimits) -> Result<(), Refusal> {
    if bytes.len() > limits.bytes {
        return Err(too_large(format!("the file has {} bytes", bytes.len()), limits.bytes as u64));
    }
    let mut left = Left { inflated: limits.inflated, operations: limits.operations, changes: limits.changes };
    let mut rest = Reader::new(bytes);
    while !rest.is_empty() {
        let frame = chunk::next_frame(&mut rest)?;
        match frame.kind {
            ChunkKind::Document => {
                let hash = chunk::hash(frame.kind, frame.body);
                if chunk::checksum_of(&hash) != frame.checksum {
                    let refusal = Refusal::new(RefusalCode::Checksum, "the checksum does not fit the bytes");
                    return Err(refusal.of(hash));
                }
                left.take_document(frame.body, limits).map_err(|refusal| refusal.of(hash))?;
            }
            _ => left.take_change(&frame, limits)?,
        }
    }
    Ok(())
}

fn too_large(what: String, limit: u64) -> Refusal {
    Refusal::new(RefusalCode::TooLarge, format!("{what}, and the limit for a file is {limit}"))
}

/// What the rest of the file may still come to.
struct Left {
    inflated: u64,
    operations: u64,
    changes: u64,
}

impl Left {
    /// A chunk of one change: no more in it than the file has left. Bundles are refused, as they are alone.
    fn take_change(&mut self, frame: &Frame<'_>, limits: &DocumentLimits) -> Result<(), Refusal> {
        let bytes = usize::try_from(self.inflated).unwrap_or(usize::MAX);
        let within = Limits {
            change_bytes: bytes,
            operations: self.operations,
            dependencies: bytes,
            actor_bytes: bytes,
            actors: bytes,
            message_bytes: bytes,
        };
        let change = check(frame, &within)?;
        let hash = change.hash;
        self.take_inflated(change.bytes.len() as u64, limits).map_err(|refusal| refusal.of(hash))?;
        self.operations = self.operations.saturating_sub(change.operations);
        self.take_changes(1, limits).map_err(|refusal| refusal.of(hash))
    }

    fn take_document(&mut self, body: &[u8], limits: &DocumentLimits) -> Result<(), Refusal> {
        let mut reader = Reader::new(body);
        for _ in 0..reader.number("the number of actors")? {
            let length = reader.number("the length of an actor")?;
            reader.take(length, "an actor")?;
        }
        let heads = reader.number("the number of heads")?;
        reader.take(heads.saturating_mul(32), "the heads")?;
        let of_changes = columns::entries(&mut reader)?;
        let of_operations = columns::entries(&mut reader)?;
        self.take_change_columns(of_changes, &mut reader, limits)?;
        self.take_operation_columns(of_operations, &mut reader, limits)
    }

    fn take_change_columns(
        &mut self,
        entries: Vec<Entry>,
        reader: &mut Reader<'_>,
        limits: &DocumentLimits,
    ) -> Result<(), Refusal> {
        let mut changes = 0;
        for (spec, data) in columns::data(entries, reader)? {
            let total = self.measure((spec, data), &CHANGE_COLUMNS, limits)?;
            let in_group = spec.id() == Spec::DEPENDENCIES.id();
            check_rows(total.rows, self.changes, in_group, "changes", limits.changes)?;
            if spec.plain() == Spec::DEPENDENCIES {
                check_rows(total.sum, self.changes, true, "dependencies", limits.changes)?;
            }
            if spec.plain() == Spec::CHANGE_ACTOR {
                changes = total.rows;
            }
        }
        self.take_changes(changes, limits)
    }

    fn take_operation_columns(
        &mut self,
        entries: Vec<Entry>,
        reader: &mut Reader<'_>,
        limits: &DocumentLimits,
    ) -> Result<(), Refusal> {
        let mut operations = 0;
        let columns = columns::data(entries, reader)?;
        for (spec, data) in columns.iter().copied() {
            let total = self.measure((spec, data), &OPERATION_COLUMNS, limits)?;
            let in_group = spec.id() == Spec::SUCCESSORS.id();
            check_rows(total.rows, self.operations, in_group, "operations", limits.operations)?;
            if spec.plain() == Spec::SUCCESSORS {
                check_rows(total.sum, self.operations, true, "successors", limits.operations)?;
            }
            if spec.plain() == Spec::ACTION {
                operations = total.rows;
            }
        }
        self.operations = self.operations.saturating_sub(operations);
        nesting::check(&columns)
    }

    fn take_inflated(&mut self, bytes: u64, limits: &DocumentLimits) -> Result<(), Refusal> {
        self.inflated = self.inflated.checked_sub(bytes).ok_or_else(|| {
            too_large("the file has too many bytes once it is decompressed".to_owned(), limits.inflated)
        })?;
        Ok(())
    }

    fn take_changes(&mut self, changes: u64, limits: &DocumentLimits) -> Result<(), Refusal> {
        self.changes = self
            .changes
            .checked_sub(changes)
            .ok_or_else(|| too_large("the file has too many changes".to_owned(), limits.changes))?;
        Ok(())
    }

    /// Rows and values of one column, inflated where it is deflated. Of a column that the library passes
    /// over, and of raw bytes, only how many there are matters.
    fn measure(
        &mut self,
        (spec, data): (Spec, &[u8]),
        known: &[u32],
        limits: &DocumentLimits,
    ) -> Result<Total, Refusal> {
        let count = Bytes::of(spec, data).count(self.inflated)?;
        self.take_inflated(count.unwrap_or(u64::MAX), limits)?;
        if known.contains(&spec.plain().bits()) {
            total(Runs::new(spec.shape(), Bytes::of(spec, data)), spec.shape(), limits)
        } else {
            Ok(Total::default())
        }
    }
}

/// A column has no more rows than there are changes or operations left, and no group much more.
fn check_rows(rows: u64, left: u64, in_group: bool, what: &str, limit: u64) -> Result<(), Refusal> {
    let most = if in_group { limit.saturating_mul(ROWS_OF_A_GROUP) } else { left };
    if rows <= most {
        return Ok(());
    }
    let detail = format!("the file has too many {what}: the limit for a file is {limit}");
    Err(Refusal::new(RefusalCode::TooManyOperations, detail))
}

/// What a column comes to.
#[derive(Default)]
struct Total {
    rows: u64,
    /// Of the values: of numbers their sum, of texts their bytes, written out for each row.
    sum: u64,
}

fn total(mut runs: Runs<Bytes<'_>>, shape: Shape, limits: &DocumentLimits) -> Result<Total, Refusal> {
    let mut total = Total::default();
    while let Some(run) = runs.next()? {
        total.rows = total.rows.saturating_add(run.rows);
        total.sum = total.sum.saturating_add(run.value.unwrap_or(0).saturating_mul(run.rows));
    }
    let most = limits.inflated.saturating_mul(WRITTEN_OUT);
    if shape == Shape::Texts && total.sum > most {
        return Err(too_large(
            "the texts of the file take too many bytes, written out for each row".into(),
            most,
        ));
    }
    Ok(total)
}
