//! Bodies of replies: read and decoded under a cap, and never taken for whole when they may have been cut.

use std::io::Read;

use crate::wire::TransportError;

/// The largest body that is taken, as it travels and decoded, in bytes. A page of changes is at most a few MiB;
/// a snapshot may be large.
pub const REPLY_BYTES: usize = 128 * 1024 * 1024;

/// The largest window a zstd frame may ask for, as a power of two (RFC 8878 recommends 8 MiB for HTTP).
const ZSTD_WINDOW: u32 = 23;

/// How a body is coded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Plain,
    Gzip,
    Zstd,
}

impl Coding {
    /// Reads `Content-Encoding`; `None` for one that was not asked for.
    pub(super) fn read(header: Option<&str>) -> Option<Self> {
        match header.map(|h| h.trim().to_ascii_lowercase()).as_deref() {
            None | Some("" | "identity") => Some(Self::Plain),
            Some("gzip" | "x-gzip") => Some(Self::Gzip),
            Some("zstd") => Some(Self::Zstd),
            Some(_) => None,
        }
    }
}

/// Decodes a body.
///
/// # Errors
/// [`TransportError::TooLarge`] above `cap` bytes, before they are all made; [`TransportError::Broken`] where it
/// cannot be decoded or ends early.
pub(super) fn decode(coding: Coding, body: Vec<u8>, cap: usize) -> Result<Vec<u8>, TransportError> {
    match coding {
        Coding::Plain => Ok(body),
        Coding::Gzip => read_capped(flate2::read::MultiGzDecoder::new(body.as_slice()), cap),
        Coding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(body.as_slice()).map_err(broken)?;
            decoder.window_log_max(ZSTD_WINDOW).map_err(broken)?;
            read_capped(decoder, cap)
        }
    }
}

fn read_capped(reader: impl Read, cap: usize) -> Result<Vec<u8>, TransportError> {
    let mut decoded = Vec::new();
    reader.take(cap as u64 + 1).read_to_end(&mut decoded).map_err(broken)?;
    if decoded.len() > cap { Err(TransportError::TooLarge(cap)) } else { Ok(decoded) }
}

fn broken(error: std::io::Error) -> TransportError {
    TransportError::Broken(format!("the body cannot be decoded: {error}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_was_coded_comes_back() {
        let text = b"changes, changes, changes".repeat(100);
        assert_eq!(decode(Coding::Gzip, gzip(&text), 10_000).unwrap(), text);
        assert_eq!(decode(Coding::Zstd, zstd::encode_all(&text[..], 3).unwrap(), 10_000).unwrap(), text);
    }

    #[test]
    fn a_bomb_is_refused_at_the_cap() {
        let zeros = vec![0; 1 << 20];
        for (coding, bomb) in
            [(Coding::Gzip, gzip(&zeros)), (Coding::Zstd, zstd::encode_all(&zeros[..], 3).unwrap())]
        {
            assert!(bomb.len() < 2_000);
            assert_eq!(decode(coding, bomb, 4_096), Err(TransportError::TooLarge(4_096)));
        }
    }

    #[test]
    fn a_coded_body_that_ends_early_is_broken() {
        let text: Vec<u8> = (0..4_000_u32).flat_map(u32::to_le_bytes).collect();
        for (coding, whole) in
            [(Coding::Gzip, gzip(&text)), (Coding::Zstd, zstd::encode_all(&text[..], 3).unwrap())]
        {
            for cut in 1..whole.len() {
                let result = decode(coding, whole[..cut].to_vec(), 1 << 20);
                assert!(matches!(result, Err(TransportError::Broken(_))), "{coding:?} cut at {cut}");
            }
        }
    }
}
