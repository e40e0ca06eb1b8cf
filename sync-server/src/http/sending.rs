//! Bodies of replies: given out in parts, within a pace, and counted until they are sent. A reply that waits for its
//! reader holds memory that others wait for, whatever is in it: so every reply has a pace, and is in a budget.

use std::{
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    response::Response,
};
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

use super::{
    body::{Held, Pace},
    connections::AtWork,
};
use crate::{
    rules::{Asker, RejectionStream},
    shares::{Counted, Share},
};

/// How much is given out at once. A connection takes no more before it has sent what it has.
const PART: usize = 64 * 1024;

/// A body whose memory is counted until the last of it was sent.
pub(super) struct Sending {
    first: Bytes,
    rest: Option<Rest>,
}

/// What follows, made as the client reads.
pub(super) struct Rest {
    pub(super) listing: RejectionStream,
    /// The share of the memory for bodies that it lives in.
    pub(super) _held: Held,
}

impl Sending {
    /// Of these bytes, which have their share, and what follows them.
    pub(super) fn new(first: Vec<u8>, share: Option<Share<Asker>>, rest: Option<Rest>) -> Self {
        Self { first: Bytes::from_owner(Counted { bytes: first, _share: share }), rest }
    }

    pub(super) fn into_body(self) -> Body {
        Body::new(self)
    }

    fn next(&mut self) -> Option<Bytes> {
        if !self.first.is_empty() {
            let next = self.first.split_to(self.first.len().min(PART));
            if self.first.is_empty() {
                // The parts that were given out hold its memory, and nothing else does.
                self.first = Bytes::new();
            }
            return Some(next);
        }
        let Rest { listing, .. } = self.rest.as_mut()?;
        let next = listing.next();
        if next.is_none() || listing.is_over() {
            // The memory goes with the last part.
            self.rest = None;
        }
        next.map(Bytes::from)
    }
}

impl HttpBody for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.next().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty() && self.rest.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match self.rest {
            None => SizeHint::with_exact(self.first.len() as u64),
            Some(_) => SizeHint::default(),
        }
    }
}

/// Another body, read at a pace: who reads it more slowly is cut. Until its end its connection is at work.
struct InPace {
    body: Body,
    given: usize,
    pace: Option<Pace>,
    _at_work: Option<AtWork>,
}

/// Every reply has to be read at a pace. Streams of events have none of their own: their readers are cut by the connection
/// where they do not take what is there.
pub(super) fn in_pace(response: Response, (pace, at_work): (Option<Pace>, Option<AtWork>)) -> Response {
    response.map(|body| match body.is_end_stream() {
        true => body,
        false => Body::new(InPace { body, given: 0, pace, _at_work: at_work }),
    })
}

impl HttpBody for InPace {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.pace.is_some_and(|pace| Instant::now() > pace.deadline(self.given)) {
            // What it holds is let go at once.
            self.body = Body::empty();
            let late = io::Error::from(io::ErrorKind::TimedOut);
            return Poll::Ready(Some(Err(axum::Error::new(late))));
        }
        let next = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &next {
            self.given += frame.data_ref().map_or(0, Bytes::len);
        }
        Poll::Ready(next)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http_body_util::BodyExt;

    use super::*;
    use crate::{
        ServerConfig,
        rules::long_listing,
        shares::{Amounts, Shares, Taker},
    };

    fn memory() -> Shares<Asker> {
        Shares::new(Amounts { all: 1 << 20, each: 1 << 20, kept: 0 })
    }

    fn share(memory: &Shares<Asker>, amount: usize) -> Share<Asker> {
        memory.take(Taker::ordinary(None), amount).unwrap()
    }

    fn pace(config: &ServerConfig) -> (Option<Pace>, Option<AtWork>) {
        (Some(Pace::begin(config)), None)
    }

    fn whole(memory: &Shares<Asker>) -> Body {
        Sending::new(vec![7; 500_000], Some(share(memory, 500_000)), None).into_body()
    }

    fn listed(memory: &Shares<Asker>) -> Body {
        let rest = Rest { listing: long_listing(), _held: share(memory, 500_000) };
        Sending::new(Vec::new(), None, Some(rest)).into_body()
    }

    #[tokio::test]
    async fn who_reads_any_reply_too_slowly_is_cut_and_its_memory_is_free() {
        for body in [whole, listed] {
            let (memory, mut config) = (memory(), ServerConfig::new("unused.db"));
            let sending = in_pace(Response::new(body(&memory)), pace(&config)).into_body();
            assert_eq!(memory.taken(), 500_000);
            let read = sending.collect().await.unwrap().to_bytes();
            assert!(read.len() >= 500_000, "{}", read.len());
            drop(read);
            assert_eq!(memory.taken(), 0);
            // A time that nobody can keep.
            (config.body_timeout, config.body_rate) = (Duration::ZERO, u64::MAX);
            let sending = in_pace(Response::new(body(&memory)), pace(&config)).into_body();
            assert!(sending.collect().await.is_err());
            assert_eq!(memory.taken(), 0);
        }
    }

    #[tokio::test]
    async fn what_was_given_out_and_is_not_sent_is_counted() {
        let memory = memory();
        let mut sending = whole(&memory);
        assert_eq!(sending.size_hint().exact(), Some(500_000));
        let mut parts = Vec::new();
        while let Some(part) = sending.frame().await {
            parts.push(part.unwrap().into_data().unwrap());
        }
        drop(sending);
        assert!(parts.len() > 5 && parts.iter().all(|part| part.len() <= PART));
        assert_eq!(memory.taken(), 500_000, "the connection still has it");
        drop(parts);
        assert_eq!(memory.taken(), 0);
    }
}
