//! A change taken apart and put together again, with the checksum that fits.

use rejoin::{ChangeHash, fence::Frame};
use sha2::{Digest, Sha256};

/// The parts of a change, each of which can be made wrong on its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parts {
    /// What it depends on.
    pub deps: Vec<ChangeHash>,
    /// Who made it.
    pub actor: Vec<u8>,
    /// The actor's number of it.
    pub seq: u64,
    /// The counter of its first operation.
    pub start_op: u64,
    /// Its time, as it is written.
    pub time: Vec<u8>,
    /// Its message.
    pub message: Vec<u8>,
    /// The other actors that it names.
    pub others: Vec<Vec<u8>>,
    /// Specification and bytes of each column.
    pub columns: Vec<(u64, Vec<u8>)>,
    /// What follows the columns.
    pub rest: Vec<u8>,
}

/// What is left to read.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(usize::try_from(count).ok()?)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self) -> Option<u64> {
        let mut value = 0_u64;
        for place in 0..10 {
            let byte = *self.take(1)?.first()?;
            value |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                return Some(value);
            }
        }
        None
    }

    fn text(&mut self) -> Option<Vec<u8>> {
        let length = self.number()?;
        self.take(length).map(<[u8]>::to_vec)
    }

    /// The bytes of a number, as they stand.
    fn raw_number(&mut self) -> Option<Vec<u8>> {
        let length = self.0.iter().position(|byte| byte & 0x80 == 0)? as u64 + 1;
        self.take(length).map(<[u8]>::to_vec)
    }
}

/// What follows the header of a chunk that was framed.
pub(super) fn body_of(chunk: &[u8]) -> &[u8] {
    let head = chunk.get(9..).unwrap_or_default();
    let length = head.iter().position(|byte| byte & 0x80 == 0).map_or(0, |end| end + 1);
    head.get(length..).unwrap_or_default()
}

impl Parts {
    /// Takes a plain change apart; `None` where it is none.
    pub fn of(frame: &Frame<'_>) -> Option<Self> {
        let mut rest = Rest(body_of(frame.bytes));
        let mut deps = Vec::new();
        for _ in 0..rest.number()? {
            deps.push(ChangeHash(rest.take(32)?.try_into().ok()?));
        }
        let (actor, seq, start_op) = (rest.text()?, rest.number()?, rest.number()?);
        let (time, message) = (rest.raw_number()?, rest.text()?);
        let mut others = Vec::new();
        for _ in 0..rest.number()? {
            others.push(rest.text()?);
        }
        let mut entries = Vec::new();
        for _ in 0..rest.number()? {
            entries.push((rest.number()?, rest.number()?));
        }
        let mut columns = Vec::new();
        for (spec, length) in entries {
            columns.push((spec, rest.take(length)?.to_vec()));
        }
        Some(Self { deps, actor, seq, start_op, time, message, others, columns, rest: rest.0.to_vec() })
    }

    fn body(&self) -> Vec<u8> {
        let text = |bytes: &[u8]| [leb128(bytes.len() as u64), bytes.to_vec()].concat();
        let mut out = leb128(self.deps.len() as u64);
        self.deps.iter().for_each(|hash| out.extend(hash.0));
        out.extend(text(&self.actor));
        out.extend(leb128(self.seq));
        out.extend(leb128(self.start_op));
        out.extend(&self.time);
        out.extend(text(&self.message));
        out.extend(leb128(self.others.len() as u64));
        self.others.iter().for_each(|actor| out.extend(text(actor)));
        out.extend(leb128(self.columns.len() as u64));
        for (spec, data) in &self.columns {
            out.extend(leb128(*spec));
            out.extend(leb128(data.len() as u64));
        }
        self.columns.iter().for_each(|(_, data)| out.extend(data));
        out.extend(&self.rest);
        out
    }

    /// The chunk, with its checksum.
    pub fn chunk(&self) -> Vec<u8> {
        chunk(&self.body())
    }

    /// Its hash.
    pub fn hash(&self) -> ChangeHash {
        hash(&self.body())
    }
}

/// A plain change chunk with the checksum that fits.
pub(super) fn chunk(body: &[u8]) -> Vec<u8> {
    let head = [vec![1], leb128(body.len() as u64)].concat();
    [&[0x85, 0x6f, 0x4a, 0x83], hash(body).0.get(..4).unwrap_or_default(), &head, body].concat()
}

/// The hash of a change with this body.
pub(super) fn hash(body: &[u8]) -> ChangeHash {
    let head = [vec![1], leb128(body.len() as u64)].concat();
    ChangeHash(Sha256::new().chain_update(&head).chain_update(body).finalize().into())
}

/// A number in LEB128.
pub(super) fn leb128(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}
