//! What goes through the pipes to and from a process that verifies: a head in JSON, and bytes.

use std::{
    collections::BTreeMap,
    io::{self, Read, Write},
};

use rejoin_protocol::quarantine::Reason;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

use super::task::{Task, Terms};

/// Largest head: it may list each change of a log.
const HEAD: u32 = 256 * 1024 * 1024;

/// What is said to the process.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum ToChild {
    /// First of all.
    Begin(Terms),
    Task(Task),
    /// With the bytes of the snapshot that covers the log up to there.
    Snapshot(Option<u64>),
    /// Positions and lengths; the bytes of the changes follow one another.
    Changes(Vec<(u64, u32)>),
}

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum FromChild {
    WantSnapshot,
    WantChanges {
        after: u64,
        upto: u64,
    },
    /// With what was written.
    Written {
        left_out: BTreeMap<u64, Reason>,
        peak: u64,
        cached: u64,
    },
    /// The library cannot do it.
    Unsound(String),
    Late,
    TooDeep(String),
}

pub(super) fn send(out: &mut impl Write, head: &impl Serialize, body: &[u8]) -> io::Result<()> {
    let head = serde_json::to_vec(head)?;
    let length = u32::try_from(head.len()).map_err(io::Error::other)?;
    out.write_all(&length.to_le_bytes())?;
    out.write_all(&(body.len() as u64).to_le_bytes())?;
    out.write_all(&head)?;
    out.write_all(body)?;
    out.flush()
}

pub(super) fn receive<T: DeserializeOwned>(input: &mut impl Read) -> io::Result<(T, Vec<u8>)> {
    let (head, body) = receive_within(input, u64::MAX)?;
    Ok((head, body.unwrap_or_default()))
}

/// The same; a larger body is read and not kept, and only its length is told.
pub(super) fn receive_within<T: DeserializeOwned>(
    input: &mut impl Read,
    most: u64,
) -> io::Result<(T, Result<Vec<u8>, u64>)> {
    let (mut head, mut body) = ([0; 4], [0; 8]);
    input.read_exact(&mut head)?;
    input.read_exact(&mut body)?;
    let head = u32::from_le_bytes(head);
    if head > HEAD {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let head = read(input, u64::from(head))?;
    let length = u64::from_le_bytes(body);
    let body = if length > most {
        io::copy(&mut input.take(length), &mut io::sink())?;
        Err(length)
    } else {
        Ok(read(input, length)?)
    };
    Ok((serde_json::from_slice(&head)?, body))
}

/// As much as was announced, in memory that grows with what came.
fn read(input: &mut impl Read, length: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(usize::try_from(length.min(4 * 1024 * 1024)).unwrap_or(0));
    input.take(length).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == length { Ok(bytes) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}
