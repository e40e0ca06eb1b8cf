//! In which form a body travels: the smallest that the server has not refused yet.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;

use super::body::REPLY_BYTES;
use crate::{
    pack::{Effort, PackError, PackLimits, pack, unpack},
    wire::{CHANGES, PACK, Response, TransportError},
};

/// Bodies up to this size travel as they are, in bytes.
const SMALL: usize = 1_024;
/// The fewest bytes of a plain change, about: bounds how many changes are taken in a reply.
const LEAST_CHANGE: usize = 32;

/// How a body travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Form {
    /// Changes as a pack, anything else compressed.
    Packed,
    /// Compressed by zstd.
    Compressed,
    /// As it is.
    Plain,
}

/// The form that one server takes, as far as is known.
#[derive(Debug, Default)]
pub(super) struct Forms(AtomicU8);

impl Forms {
    pub(super) fn current(&self) -> Form {
        match self.0.load(Ordering::Relaxed) {
            0 => Form::Packed,
            1 => Form::Compressed,
            _ => Form::Plain,
        }
    }

    /// The next form to try, where this reply may mean that the server does not know the one that was sent: it is
    /// then used from now on. A server that knows nothing of packs says 415; one that does not look finds no changes
    /// in one.
    pub(super) fn next(&self, sent: &Encoded, response: &Response) -> Option<Form> {
        let next = match (sent.form, response.status) {
            (Form::Packed, 400 | 415 | 422 | 500 | 501) => Form::Compressed,
            (Form::Compressed, 415) => Form::Plain,
            _ => return None,
        };
        self.0.fetch_max(next as u8, Ordering::Relaxed);
        Some(next)
    }
}

/// A body as it travels.
#[derive(Debug)]
pub(super) struct Encoded {
    pub(super) form: Form,
    pub(super) body: Bytes,
    pub(super) media_type: Option<&'static str>,
    pub(super) encoding: Option<&'static str>,
}

/// Brings a body into the form, or into the next one where it has none in this one.
pub(super) async fn encode(body: &Bytes, media_type: Option<&'static str>, form: Form) -> Encoded {
    let plain = Encoded { form: Form::Plain, body: Bytes::new(), media_type, encoding: None };
    if form == Form::Plain || body.len() <= SMALL {
        return Encoded { body: body.clone(), ..plain };
    }
    let (owned, changes) = (body.clone(), form == Form::Packed && media_type == Some(CHANGES));
    let small = tokio::task::spawn_blocking(move || {
        let packed = changes.then(|| pack(&owned, Effort::Quick).ok()).flatten();
        match packed {
            Some(packed) => Some((Form::Packed, packed)),
            None => Some((Form::Compressed, zstd::bulk::compress(&owned, 3).ok()?)),
        }
    });
    match small.await.ok().flatten() {
        Some((Form::Packed, body)) => {
            Encoded { form: Form::Packed, body: body.into(), media_type: Some(PACK), ..plain }
        }
        Some((form, body)) => Encoded { form, body: body.into(), encoding: Some("zstd"), ..plain },
        None => Encoded { body: body.clone(), ..plain },
    }
}

/// The reply with its changes plain, where they came as a pack.
pub(super) async fn unpacked(response: Response) -> Result<Response, TransportError> {
    if response.media_type != PACK {
        return Ok(response);
    }
    let broken = |why: String| TransportError::Broken(format!("the pack of changes: {why}"));
    let work = tokio::task::spawn_blocking(move || {
        let limits = PackLimits { changes: REPLY_BYTES / LEAST_CHANGE, bytes: REPLY_BYTES };
        unpack(&response.body, &limits).map(|unpacked| Response {
            media_type: CHANGES.to_owned(),
            body: unpacked.into_bytes(),
            ..response
        })
    });
    match work.await.map_err(|error| broken(error.to_string()))? {
        Err(PackError::TooLarge { .. }) => Err(TransportError::TooLarge(REPLY_BYTES)),
        unpacked => unpacked.map_err(|error| broken(error.to_string())),
    }
}
