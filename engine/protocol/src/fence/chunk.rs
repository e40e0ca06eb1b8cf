//! Framing: where one chunk ends and the next begins, and what it hashes to.

use automerge::ChangeHash;
use sha2::{Digest, Sha256};

use super::{Refusal, read::Reader};

/// The four bytes that every chunk begins with.
const MAGIC: [u8; 4] = [0x85, 0x6f, 0x4a, 0x83];

/// What a chunk says that it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChunkKind {
    /// Type 0: a compact document.
    Document,
    /// Type 1: a plain change.
    Change,
    /// Type 2: a change whose body is deflated.
    Compressed,
    /// Type 3: a bundle of changes.
    Bundle,
    /// Any other type.
    Unknown(u8),
}

impl ChunkKind {
    const fn from_type(byte: u8) -> Self {
        match byte {
            0 => Self::Document,
            1 => Self::Change,
            2 => Self::Compressed,
            3 => Self::Bundle,
            other => Self::Unknown(other),
        }
    }

    /// The type byte.
    pub(super) const fn to_type(self) -> u8 {
        match self {
            Self::Document => 0,
            Self::Change => 1,
            Self::Compressed => 2,
            Self::Bundle => 3,
            Self::Unknown(other) => other,
        }
    }
}

/// One chunk of a body: framed, and nothing else about it known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it says that it is.
    pub kind: ChunkKind,
    /// The whole chunk, header included.
    pub bytes: &'a [u8],
    /// What follows the header.
    pub(crate) body: &'a [u8],
    /// The four bytes that the hash should begin with.
    pub(crate) checksum: &'a [u8],
}

/// Splits a plain sequence of chunks. All or nothing; no chunks at all are an empty list. A chunk of an
/// unknown type or with a bad checksum is framed all the same: [`super::check`] refuses it alone.
///
/// # Errors
/// [`super::RefusalCode::Malformed`], without a hash, where the magic bytes are not there, a length goes past the
/// end or is not a proper LEB128 number, or bytes trail.
pub fn frame(body: &[u8]) -> Result<Vec<Frame<'_>>, Refusal> {
    frames(body).collect()
}

/// The same, one by one: for who need not hold a hundred thousand of them. Ends after an error.
pub fn frames(body: &[u8]) -> impl Iterator<Item = Result<Frame<'_>, Refusal>> {
    let (mut rest, mut count) = (Reader::new(body), 0_usize);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let at = body.len() - rest.len();
        count += 1;
        let one = next_frame(&mut rest).map_err(|refusal| {
            rest = Reader::new(&[]);
            Refusal { detail: format!("chunk {count} at byte {at}: {}", refusal.detail), ..refusal }
        });
        Some(one)
    })
}

/// The next chunk of what is left.
pub(super) fn next_frame<'a>(rest: &mut Reader<'a>) -> Result<Frame<'a>, Refusal> {
    let start = rest.rest();
    if rest.take(4, "the chunk's magic")? != MAGIC {
        return Err(Refusal::malformed("the bytes do not begin like an Automerge chunk, with 85 6f 4a 83"));
    }
    let checksum = rest.take(4, "the checksum")?;
    let kind = ChunkKind::from_type(rest.byte("the chunk's type")?);
    let length = rest.number("the chunk's length")?;
    let body = rest.take(length, "the chunk")?;
    let bytes = start.get(..start.len() - rest.len()).unwrap_or(start);
    Ok(Frame { kind, bytes, body, checksum })
}

/// SHA-256 over type, length and body: what Automerge knows a change by.
pub(crate) fn hash(kind: ChunkKind, body: &[u8]) -> ChangeHash {
    let mut head = Vec::with_capacity(11);
    head.push(kind.to_type());
    write_number(&mut head, body.len());
    let digest = Sha256::new().chain_update(&head).chain_update(body).finalize();
    ChangeHash(digest.into())
}

/// A plain change chunk around `body`, with the checksum that its hash gives.
pub(crate) fn plain_chunk(body: &[u8], hash: &ChangeHash) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(plain_size(body));
    chunk.extend_from_slice(&MAGIC);
    chunk.extend_from_slice(checksum_of(hash));
    chunk.push(ChunkKind::Change.to_type());
    write_number(&mut chunk, body.len());
    chunk.extend_from_slice(body);
    chunk
}

/// How long [`plain_chunk`] is, in bytes.
pub(crate) fn plain_size(body: &[u8]) -> usize {
    let bits = (usize::BITS - body.len().leading_zeros()).max(1) as usize;
    MAGIC.len() + 4 + 1 + bits.div_ceil(7) + body.len()
}

fn write_number(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// The checksum that a header should bear: the first four bytes of the hash.
pub(super) fn checksum_of(hash: &ChangeHash) -> &[u8] {
    hash.0.get(..4).unwrap_or_default()
}
