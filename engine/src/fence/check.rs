//! One change, measured.

use super::{CheckedChange, Frame, Limits, Refusal, chunk};

/// Checks one framed chunk.
///
/// # Errors
/// A [`Refusal`] that bears the hash.
pub fn check(frame: &Frame<'_>, limits: &Limits) -> Result<CheckedChange, Refusal> {
    let _ = (frame, limits);
    Err(Refusal::malformed("not there yet"))
}

/// Checks the bytes of exactly one chunk.
///
/// # Errors
/// As [`check`], and [`super::RefusalCode::Malformed`] where the bytes are not exactly one chunk.
pub fn check_bytes(bytes: &[u8], limits: &Limits) -> Result<CheckedChange, Refusal> {
    match chunk::frame(bytes)?.as_slice() {
        [one] => check(one, limits),
        several => Err(Refusal::malformed(format!("{} chunks where one belongs", several.len()))),
    }
}
