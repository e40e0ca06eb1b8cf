//! Columns, counted and not decoded: what a few bytes of run lengths would become is known before it is made.

use std::io::{BufRead, BufReader};

use flate2::bufread::DeflateDecoder;

use super::{Refusal, read::Reader};

/// What a column's bytes come from: a slice, or an inflater that keeps nothing.
pub(super) trait Source {
    /// The next byte, `None` at the end.
    fn next(&mut self) -> Result<Option<u8>, Refusal>;

    /// Passes over `count` bytes.
    fn skip(&mut self, count: u64) -> Result<(), Refusal>;
}

impl Source for Reader<'_> {
    fn next(&mut self) -> Result<Option<u8>, Refusal> {
        if self.is_empty() { Ok(None) } else { self.byte("a column").map(Some) }
    }

    fn skip(&mut self, count: u64) -> Result<(), Refusal> {
        self.take(count, "a text in a column").map(|_| ())
    }
}

/// The bytes of a column in a document, inflated a few kilobytes at a time where they are deflated.
pub(super) enum Bytes<'a> {
    Plain(Reader<'a>),
    Deflated(BufReader<DeflateDecoder<&'a [u8]>>),
}

impl<'a> Bytes<'a> {
    pub(super) fn of(spec: Spec, data: &'a [u8]) -> Self {
        if spec.deflated() {
            Self::Deflated(BufReader::new(DeflateDecoder::new(data)))
        } else {
            Self::Plain(Reader::new(data))
        }
    }

    /// How many they are. `None` as soon as they are more than `most`.
    pub(super) fn count(self, most: u64) -> Result<Option<u64>, Refusal> {
        let mut inflating = match self {
            Self::Plain(reader) => return Ok(Some(reader.len() as u64).filter(|count| *count <= most)),
            Self::Deflated(inflating) => inflating,
        };
        let mut total = 0_u64;
        while total <= most {
            let count = fill(&mut inflating)?.len();
            if count == 0 {
                return Ok(Some(total));
            }
            inflating.consume(count);
            total = total.saturating_add(count as u64);
        }
        Ok(None)
    }
}

fn fill(inflating: &mut impl BufRead) -> Result<&[u8], Refusal> {
    inflating
        .fill_buf()
        .map_err(|error| Refusal::malformed(format!("a column cannot be decompressed: {error}")))
}

impl Source for Bytes<'_> {
    fn next(&mut self) -> Result<Option<u8>, Refusal> {
        let inflating = match self {
            Self::Plain(reader) => return reader.next(),
            Self::Deflated(inflating) => inflating,
        };
        let byte = fill(inflating)?.first().copied();
        inflating.consume(usize::from(byte.is_some()));
        Ok(byte)
    }

    fn skip(&mut self, mut count: u64) -> Result<(), Refusal> {
        let inflating = match self {
            Self::Plain(reader) => return reader.skip(count),
            Self::Deflated(inflating) => inflating,
        };
        while count > 0 {
            let there = fill(inflating)?.len();
            if there == 0 {
                return Err(cut());
            }
            let taken = usize::try_from(count).unwrap_or(there).min(there);
            inflating.consume(taken);
            count = count.saturating_sub(taken as u64);
        }
        Ok(())
    }
}

/// A column's entry in the metadata before the column data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Spec(u32);

impl Spec {
    const DEFLATE: u32 = 0b1000;
    const TYPE: u32 = 0b0111;

    /// Operations: what the operation does, a number. One row an operation.
    pub(super) const ACTION: Self = Self(0x42);
    /// Operations: the key in a map, a text.
    pub(super) const KEY: Self = Self(0x15);
    /// Operations: the name of a mark, a text.
    pub(super) const MARK: Self = Self(0xa5);
    /// Operations in a change: how many predecessors each has.
    pub(super) const PREDECESSORS: Self = Self(0x70);
    /// Operations in a document: who made each, and the counter that each has.
    pub(super) const ID: [Self; 2] = [Self(0x21), Self(0x23)];
    /// Operations in a document: who made the object that each is in, and the counter of that. Null is the root.
    pub(super) const OBJECT: [Self; 2] = [Self(0x01), Self(0x02)];
    /// Operations in a document: how many operations follow each.
    pub(super) const SUCCESSORS: Self = Self(0x80);
    /// Changes in a document: who made each, a number. One row a change.
    pub(super) const CHANGE_ACTOR: Self = Self(0x01);
    /// Changes in a document: how many changes each depends on.
    pub(super) const DEPENDENCIES: Self = Self(0x40);

    /// Whether its data is deflated.
    pub(super) const fn deflated(self) -> bool {
        self.0 & Self::DEFLATE != 0
    }

    /// The same without the bit that says deflated, which plays no part in the order.
    pub(super) const fn plain(self) -> Self {
        Self(self.0 & !Self::DEFLATE)
    }

    pub(super) const fn bits(self) -> u32 {
        self.0
    }

    pub(super) const fn id(self) -> u32 {
        self.0 >> 4
    }

    pub(super) const fn shape(self) -> Shape {
        match self.0 & Self::TYPE {
            0 => Shape::Group,
            3 => Shape::Deltas,
            4 => Shape::Booleans,
            5 => Shape::Texts,
            7 => Shape::Raw,
            _ => Shape::Numbers,
        }
    }
}

/// How a column's bytes are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Runs of numbers: how many rows each row of the parent has in the columns that follow.
    Group,
    /// Runs of numbers.
    Numbers,
    /// Runs of signed numbers, each to be added to those before it.
    Deltas,
    /// Lengths of runs, false and true by turns.
    Booleans,
    /// Runs of texts.
    Texts,
    /// Bytes that the column before it gives the lengths of.
    Raw,
}

/// One column of a chunk: its entry, and how long its data is, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry {
    pub(super) spec: Spec,
    pub(super) length: u64,
}

/// The metadata of columns, in the order that the library wants.
pub(super) fn entries(reader: &mut Reader<'_>) -> Result<Vec<Entry>, Refusal> {
    let count = reader.number("the number of columns")?;
    let mut entries: Vec<Entry> = Vec::new();
    for _ in 0..count {
        let spec = reader.number("a column's kind")?;
        let spec = u32::try_from(spec).map_err(|_| Refusal::malformed("a column's kind is above 32 bits"))?;
        let length = reader.number("a column's length")?;
        let entry = Entry { spec: Spec(spec), length };
        if entries.last().is_some_and(|last| last.spec.plain().0 > entry.spec.plain().0) {
            return Err(Refusal::malformed("the columns are out of order"));
        }
        entries.push(entry);
    }
    Ok(entries)
}

/// The data of the columns, in the same order.
pub(super) fn data<'a>(
    entries: Vec<Entry>,
    reader: &mut Reader<'a>,
) -> Result<Vec<(Spec, &'a [u8])>, Refusal> {
    entries.into_iter().map(|entry| Ok((entry.spec, reader.take(entry.length, "a column")?))).collect()
}

/// So many rows of one value; no value is null.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) rows: u64,
    /// The number, or the length of the text in bytes; of a delta, the bits.
    pub(super) value: Option<u64>,
}

/// The values of so many operations: the kind and the bytes of each. `None` where the columns say something else.
pub(crate) fn values<'a>(kinds: &[u8], bytes: &'a [u8], operations: usize) -> Option<Vec<(u8, &'a [u8])>> {
    let (mut values, mut rest) = (Vec::with_capacity(operations), bytes);
    let mut runs = Runs::new(Shape::Numbers, Reader::new(kinds));
    while let Some(run) = runs.next().ok()? {
        let value = run.value.unwrap_or(0);
        let (kind, length) = ((value & 0xf) as u8, usize::try_from(value >> 4).ok()?);
        for _ in 0..run.rows {
            if values.len() == operations {
                return None;
            }
            let (own, after) = rest.split_at_checked(length)?;
            values.push((kind, own));
            rest = after;
        }
    }
    (values.len() == operations && rest.is_empty()).then_some(values)
}

/// The runs of a column. Its numbers may be over-long: the library takes them in columns, and not elsewhere.
pub(super) struct Runs<S> {
    source: S,
    shape: Shape,
    /// Rows left of a literal run, whose values stand one after another.
    literal: u64,
}

impl<S: Source> Runs<S> {
    pub(super) fn new(shape: Shape, source: S) -> Self {
        Self { source, shape, literal: 0 }
    }

    /// The next run, `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Run>, Refusal> {
        if self.shape == Shape::Booleans {
            let rows = self.number()?;
            return Ok(rows.map(|rows| Run { rows, value: Some(0) }));
        }
        if self.literal == 0 {
            match self.signed()? {
                None => return Ok(None),
                Some(0) => {
                    let rows = self.number()?.ok_or_else(cut)?;
                    return Ok(Some(Run { rows, value: None }));
                }
                Some(rows) if rows > 0 => {
                    let value = Some(self.value()?);
                    return Ok(Some(Run { rows: rows.unsigned_abs(), value }));
                }
                Some(rows) => self.literal = rows.unsigned_abs(),
            }
        }
        self.literal -= 1;
        Ok(Some(Run { rows: 1, value: Some(self.value()?) }))
    }

    fn value(&mut self) -> Result<u64, Refusal> {
        match self.shape {
            Shape::Texts => {
                let length = self.number()?.ok_or_else(cut)?;
                self.source.skip(length)?;
                Ok(length)
            }
            Shape::Deltas => Ok(self.signed()?.ok_or_else(cut)?.cast_unsigned()),
            _ => self.number()?.ok_or_else(cut),
        }
    }

    fn number(&mut self) -> Result<Option<u64>, Refusal> {
        Ok(self.bits()?.map(|(value, ..)| value))
    }

    fn signed(&mut self) -> Result<Option<i64>, Refusal> {
        Ok(self.bits()?.map(|(value, bits, negative)| {
            let value = value.cast_signed();
            if negative && bits < 64 { value | (-1_i64 << bits) } else { value }
        }))
    }

    /// The bits of a LEB128 number, how many they are, and whether the last is set. `None` at the end.
    fn bits(&mut self) -> Result<Option<(u64, u32, bool)>, Refusal> {
        let Some(mut byte) = self.source.next()? else { return Ok(None) };
        let mut value = 0_u64;
        for place in 0..10_u32 {
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Ok(Some((value, 7 * (place + 1), byte & 0x40 != 0)));
            }
            byte = self.source.next()?.ok_or_else(cut)?;
        }
        Err(Refusal::malformed("a number in a column is above 64 bits"))
    }
}

/// A column read a row at a time, with rows passed over by the run.
pub(super) struct Rows<S> {
    runs: Runs<S>,
    run: Run,
    /// Of deltas: what those before add up to.
    total: u64,
}

impl<S: Source> Rows<S> {
    pub(super) fn new(shape: Shape, source: S) -> Self {
        Self { runs: Runs::new(shape, source), run: Run { rows: 0, value: None }, total: 0 }
    }

    /// The value of the next row. Where the column has ended there are only nulls.
    pub(super) fn next(&mut self) -> Result<Option<u64>, Refusal> {
        self.pass(1)?;
        Ok(self.run.value.map(|value| if self.runs.shape == Shape::Deltas { self.total } else { value }))
    }

    /// Passes over so many rows.
    pub(super) fn pass(&mut self, mut count: u64) -> Result<(), Refusal> {
        while count > 0 {
            if self.run.rows == 0 {
                match self.runs.next()? {
                    Some(run) => self.run = run,
                    None => self.run = Run { rows: u64::MAX, value: None },
                }
            }
            let taken = self.run.rows.min(count);
            self.run.rows -= taken;
            count -= taken;
            let added = self.run.value.unwrap_or(0).wrapping_mul(taken);
            self.total = self.total.wrapping_add(added);
        }
        Ok(())
    }
}

fn cut() -> Refusal {
    Refusal::malformed("a column ends in the middle of a value")
}

/// The sum of the values in the first `rows` rows. `None` as soon as it is more than `most`.
pub(super) fn sum<S: Source>(mut runs: Runs<S>, rows: u64, most: u64) -> Result<Option<u64>, Refusal> {
    let (mut left, mut total) = (rows, 0_u64);
    while left > 0 {
        let Some(run) = runs.next()? else { break };
        let taken = run.rows.min(left);
        left -= taken;
        total = total.saturating_add(run.value.unwrap_or(0).saturating_mul(taken));
        if total > most {
            return Ok(None);
        }
    }
    Ok(Some(total))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn runs(shape: Shape, bytes: &[u8]) -> Vec<(u64, Option<u64>)> {
        let mut runs = Runs::new(shape, Reader::new(bytes));
        std::iter::from_fn(|| runs.next().unwrap().map(|run| (run.rows, run.value))).collect()
    }

    #[test]
    fn runs_of_every_kind_are_read() {
        let numbers = [0x03, 0x05, 0x7e, 0x01, 0x02, 0x00, 0x04];
        assert_eq!(runs(Shape::Numbers, &numbers), [(3, Some(5)), (1, Some(1)), (1, Some(2)), (4, None)]);
        let texts = [0x02, 0x03, b'a', b'b', b'c', 0x7f, 0x01, b'd'];
        assert_eq!(runs(Shape::Texts, &texts), [(2, Some(3)), (1, Some(1))]);
        assert_eq!(runs(Shape::Booleans, &[0x02, 0x81, 0x01]), [(2, Some(0)), (129, Some(0))]);
    }

    #[test]
    fn rows_of_deltas_add_up_also_when_they_are_passed_over() {
        let bytes = [0x05, 0x02, 0x00, 0x01, 0x7e, 0x7f, 0x01];
        let mut rows = Rows::new(Shape::Deltas, Reader::new(&bytes));
        assert_eq!(rows.next().unwrap(), Some(2));
        rows.pass(3).unwrap();
        let rest: Vec<_> = (0..5).map(|_| rows.next().unwrap()).collect();
        assert_eq!(rest, [Some(10), None, Some(9), Some(10), None]);
    }

    #[test]
    fn an_over_long_number_is_taken_in_a_column() {
        assert_eq!(runs(Shape::Numbers, &[0x83, 0x00, 0x85, 0x00]), [(3, Some(5))]);
    }

    #[test]
    fn a_claim_of_more_rows_than_numbers_can_hold_does_not_overflow() {
        let huge = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00, 0x01];
        let twice = [huge, huge].concat();
        assert_eq!(sum(Runs::new(Shape::Numbers, Reader::new(&twice)), u64::MAX, 10).unwrap(), None);
    }
}
