//! Request bodies: read within a pace, a size and a budget of memory that all requests share.

use std::{
    io::{self, BufReader, Read},
    time::Duration,
};

use axum::body::Body;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::time::{Instant, timeout_at};

use super::accept::plain;
use crate::{
    AppState, ServerConfig,
    rate_limit::Work,
    rules::{ApiError, Asker, Code},
    shares::{Share, Taker},
};

/// The largest window a zstd body may ask for: 2^23 bytes (RFC 8878 asks decoders to take as much).
const ZSTD_WINDOW_LOG: u32 = 23;
/// What is read from a decoder at once.
const PIECE: usize = 64 * 1024;

/// A body below this part of what it may decode to is counted before any of it is kept.
const COUNTED_PART: usize = 16;

/// A body, and the share of the budget that it holds until it is dropped.
pub(super) struct Received {
    pub(super) bytes: Vec<u8>,
    pub(super) held: Held,
}

/// A share of the memory for bodies.
pub(super) type Held = Share<Asker>;

/// Takes as much as `more` bytes need, or says that the server is too busy.
pub(super) fn grow(held: &mut Held, more: usize) -> Result<(), ApiError> {
    held.grow(more).map_err(|_| ApiError::new(Code::Unavailable))
}

/// A body as it travelled.
pub(super) struct Travelled {
    received: Received,
    encoding: Encoding,
}

impl Travelled {
    pub(super) fn length(&self) -> usize {
        self.received.bytes.len()
    }

    /// Gives out what it decodes to, at most so many bytes, while it is decoded.
    pub(super) fn decoded(&self, most: usize) -> Result<impl Read, ApiError> {
        let bytes = self.received.bytes.as_slice();
        let decoder: Box<dyn Read + '_> = match self.encoding {
            Encoding::Identity => Box::new(bytes),
            Encoding::Gzip => Box::new(BufReader::new(MultiGzDecoder::new(bytes))),
            Encoding::Zstd => Box::new(BufReader::new(zstd_decoder(bytes)?)),
        };
        Ok(Capped { decoder, left: most, most })
    }
}

/// What reads no more than it may: then it fails with [`io::ErrorKind::FileTooLarge`].
struct Capped<R> {
    decoder: R,
    left: usize,
    most: usize,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self
            .decoder
            .read(into)
            .map_err(|_| io::Error::other("the body is not in the encoding that it names"))?;
        let over = || {
            let why = format!("A body of JSON may have at most {} bytes (limit json_bytes).", self.most);
            io::Error::new(io::ErrorKind::FileTooLarge, why)
        };
        self.left = self.left.checked_sub(read).ok_or_else(over)?;
        Ok(read)
    }
}

/// Reads a body whole, of at most so many bytes as it travels. Nothing is done with one that was cut.
pub(super) async fn receive_travelled(
    (state, who): (&AppState, Option<Asker>),
    (headers, body): (&HeaderMap, Body),
    most: usize,
) -> Result<Travelled, ApiError> {
    let encoding = Encoding::of(headers)?;
    // Who waits to be told `100 Continue` has not sent it, and need not. Who does not wait may not read the answer
    // before all is sent: it is given when the limit is met.
    let announced =
        headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if headers.contains_key(header::EXPECT) && announced.is_some_and(|bytes| bytes > most as u64) {
        return Err(too_large(most));
    }
    let held = state.shared.body_memory.take(Taker::ordinary(who), 0);
    let held = held.map_err(|_| ApiError::new(Code::Unavailable))?;
    let mut received = Received { bytes: Vec::new(), held };
    read(body, &mut received, (&state.shared.config, most)).await?;
    Ok(Travelled { received, encoding })
}

/// Reads a body whole and decodes it.
pub(super) async fn receive(
    (state, who): (&AppState, Option<Asker>),
    headers: &HeaderMap,
    body: Body,
) -> Result<Received, ApiError> {
    let (limits, asker) = (&state.shared.config.limits, who.clone());
    let most = limits.inflated_body_bytes;
    let Travelled { received, encoding } =
        receive_travelled((state, who), (headers, body), limits.body_bytes).await?;
    let received = match encoding {
        Encoding::Identity => received,
        encoding => {
            let inflated = tokio::task::spawn_blocking(move || inflate(encoding, received, most));
            inflated.await.map_err(|_| ApiError::new(Code::Internal))??
        }
    };
    state.charge(asker, Work::Bytes(received.bytes.len()));
    if received.bytes.len() > most {
        return Err(too_large(most));
    }
    Ok(received)
}

/// The slowest way in which a body may pass, in either direction: at a byte a second it is cut, and a large one on a slow
/// line is not.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    started: Instant,
    timeout: Duration,
    rate: u64,
}

impl Pace {
    pub(super) fn begin(config: &ServerConfig) -> Self {
        Self { started: Instant::now(), timeout: config.body_timeout, rate: config.body_rate.max(1) }
    }

    /// Until when more than so many bytes must have passed.
    pub(super) fn deadline(self, bytes: usize) -> Instant {
        self.started + self.timeout + Duration::from_millis(bytes as u64 * 1_000 / self.rate)
    }
}

async fn read(
    mut body: Body,
    received: &mut Received,
    (config, most): (&ServerConfig, usize),
) -> Result<(), ApiError> {
    let pace = Pace::begin(config);
    loop {
        let frame = timeout_at(pace.deadline(received.bytes.len()), body.frame()).await;
        let Some(frame) = frame.map_err(|_| ApiError::new(Code::TimedOut))? else { return Ok(()) };
        let frame = frame.map_err(|_| ApiError::because(Code::Malformed, "The body was cut short."))?;
        let Ok(data) = frame.into_data() else { continue };
        if received.bytes.len() + data.len() > most {
            return Err(too_large(most));
        }
        grow(&mut received.held, data.len())?;
        received.bytes.extend_from_slice(&data);
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Identity,
    Zstd,
    Gzip,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let several = headers.get_all(header::CONTENT_ENCODING).iter().count() > 1;
        match plain(headers, header::CONTENT_ENCODING).as_deref() {
            None | Some("identity") => Ok(Self::Identity),
            Some("zstd") if !several => Ok(Self::Zstd),
            Some("gzip" | "x-gzip") if !several => Ok(Self::Gzip),
            _ => Err(ApiError::because(Code::MediaType, "A body is taken plain, as zstd or as gzip.")),
        }
    }
}

/// Decodes a body under a cap: a bomb is cut off there, whatever it claims. What is small enough to be one is counted
/// first, and nothing of it kept: so what is refused costs no memory, and what is taken no more than it needs.
fn inflate(encoding: Encoding, received: Received, most: usize) -> Result<Received, ApiError> {
    let Received { bytes, mut held } = received;
    if encoding == Encoding::Identity {
        return Ok(Received { bytes, held });
    }
    let count = if bytes.len() < most / COUNTED_PART {
        let mut count = 0;
        decode(encoding, &bytes, most, |piece| {
            count += piece.len();
            Ok(())
        })?;
        grow(&mut held, count)?;
        Some(count)
    } else {
        None
    };
    let mut plain = Vec::with_capacity(count.unwrap_or(0));
    decode(encoding, &bytes, most, |piece| {
        plain.extend_from_slice(piece);
        if count.is_none() { grow(&mut held, piece.len()) } else { Ok(()) }
    })?;
    Ok(Received { bytes: plain, held })
}

/// Gives out what a body decodes to, piece by piece and at most so many bytes.
fn decode(
    encoding: Encoding,
    bytes: &[u8],
    most: usize,
    take: impl FnMut(&[u8]) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    if encoding == Encoding::Gzip {
        return pieces(MultiGzDecoder::new(bytes), most, take);
    }
    pieces(zstd_decoder(bytes)?, most, take)
}

fn zstd_decoder(bytes: &[u8]) -> Result<zstd::stream::read::Decoder<'_, &[u8]>, ApiError> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(bytes).map_err(|_| undecodable())?;
    decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(|_| undecodable())?;
    Ok(decoder)
}

fn pieces(
    mut decoder: impl Read,
    most: usize,
    mut take: impl FnMut(&[u8]) -> Result<(), ApiError>,
) -> Result<(), ApiError> {
    let (mut piece, mut total) = (vec![0; PIECE], 0_usize);
    loop {
        let read = decoder.read(&mut piece).map_err(|_| undecodable())?;
        if read == 0 {
            return Ok(());
        }
        total += read;
        if total > most {
            return Err(too_large(most));
        }
        take(piece.get(..read).unwrap_or_default())?;
    }
}

fn too_large(most: usize) -> ApiError {
    ApiError::because(Code::TooLarge, format!("A body may have at most {most} bytes."))
}

fn undecodable() -> ApiError {
    ApiError::because(Code::Malformed, "The body is not in the encoding that it names.")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shares::{Amounts, Shares};

    fn received(bytes: Vec<u8>, memory: usize) -> Received {
        let all = Shares::new(Amounts { all: memory, each: memory, kept: 0 });
        Received { bytes, held: all.take(Taker::ordinary(None), 0).unwrap() }
    }

    #[test]
    fn a_bomb_is_cut_off_at_the_cap() {
        let bomb = zstd::encode_all(vec![0; 48 << 20].as_slice(), 3).unwrap();
        assert!(bomb.len() < 8_000);
        let fault = inflate(Encoding::Zstd, received(bomb, 64 << 20), 1 << 20).err().unwrap();
        assert_eq!(fault.code, Code::TooLarge);
    }

    #[test]
    fn bodies_hold_no_more_memory_than_their_budget() {
        let body = zstd::encode_all(vec![0; 2 << 20].as_slice(), 3).unwrap();
        let fault = inflate(Encoding::Zstd, received(body.clone(), 1 << 20), 16 << 20).err().unwrap();
        assert_eq!(fault.code, Code::Unavailable);
        let whole = inflate(Encoding::Zstd, received(body, 4 << 20), 16 << 20).ok().unwrap();
        assert_eq!(whole.bytes.len(), 2 << 20);
    }

    #[test]
    fn a_body_cut_in_its_encoding_is_refused() {
        let body = zstd::encode_all([7; 1_000].as_slice(), 3).unwrap();
        for cut in 1..body.len() {
            let cut = inflate(Encoding::Zstd, received(body[..cut].to_vec(), 1 << 20), 1 << 20);
            assert_eq!(cut.err().map(|fault| fault.code), Some(Code::Malformed));
        }
    }
}
