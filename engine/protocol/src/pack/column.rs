//! Columns of counters, written relative to what they are near: an element typed after the last one, a value put in
//! the place of a recent one.

use super::{PackError, layout, number};
use crate::fence::Reader;

/// What counters of one change are near.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bases {
    start: i64,
    key: Option<i64>,
}

impl Bases {
    pub(super) fn new(start_op: u64) -> Self {
        Self { start: start_op.cast_signed(), key: None }
    }

    /// What the first counter of this column is near; `None`: the column is no such.
    fn of(&self, spec: u32) -> Option<i64> {
        match spec {
            layout::KEY_COUNTER => Some(self.start),
            layout::PREDECESSOR_COUNTER => Some(self.key.unwrap_or(self.start)),
            _ => None,
        }
    }

    fn note(&mut self, spec: u32, first: i64) {
        if spec == layout::KEY_COUNTER {
            self.key = Some(first);
        }
    }

    /// Appends a column's data as the pack has it. `None`: it cannot be brought back from there.
    pub(super) fn write(&mut self, spec: u32, data: &[u8], out: &mut Vec<u8>) -> Option<()> {
        let Some(base) = self.of(spec) else {
            out.extend_from_slice(data);
            return Some(());
        };
        let mut reader = Reader::new(data);
        pass_to_first(&mut reader).ok()?;
        let before = data.len() - reader.len();
        let first = reader.signed("a counter").ok()?;
        out.extend_from_slice(data.get(..before)?);
        number::write_signed(out, base.wrapping_sub(first));
        out.extend_from_slice(reader.rest());
        self.note(spec, first);
        Some(())
    }

    /// Reads it back, `length` bytes of it.
    pub(super) fn read(
        &mut self,
        spec: u32,
        length: usize,
        stream: &mut Reader<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), PackError> {
        let Some(base) = self.of(spec) else {
            out.extend_from_slice(stream.take(length as u64, "a column")?);
            return Ok(());
        };
        let (start, all) = (out.len(), stream.rest());
        pass_to_first(stream)?;
        out.extend_from_slice(all.get(..all.len() - stream.len()).unwrap_or_default());
        let first = base.wrapping_sub(stream.signed("a counter")?);
        number::write_signed(out, first);
        self.note(spec, first);
        let left = length.checked_sub(out.len() - start);
        let left = left.ok_or_else(|| PackError::malformed("a column is longer than its metadata say"))?;
        out.extend_from_slice(stream.take(left as u64, "a column")?);
        Ok(())
    }
}

/// Passes over runs of nulls and the head of the first run that has a value.
fn pass_to_first(reader: &mut Reader<'_>) -> Result<(), crate::fence::Refusal> {
    while reader.signed("a run")? == 0 {
        reader.number("a run of nulls")?;
    }
    Ok(())
}
