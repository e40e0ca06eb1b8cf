//! A stream of events: what is told, and the signs of life between.

use std::{
    convert::Infallible,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    sync::mpsc,
    time::{Instant, Sleep, sleep_until},
};

use super::hub::Place;

/// The first thing that is said: by it a client knows that streams pass, and when a browser may come again.
const GREETING: Bytes = Bytes::from_static(b"retry: 5000\n: here\n\n");
const BEAT: Bytes = Bytes::from_static(b":\n\n");

/// The body of an event stream. It ends when its reader was cut, and when the server does.
#[derive(Debug)]
pub(crate) struct Stream {
    events: mpsc::Receiver<Bytes>,
    beat: Pin<Box<Sleep>>,
    every: Duration,
    greeted: bool,
    _place: Place,
}

impl Stream {
    pub(super) fn new(events: mpsc::Receiver<Bytes>, (place, every): (Place, Duration)) -> Self {
        let beat = Box::pin(sleep_until(Instant::now() + every));
        Self { events, beat, every, greeted: false, _place: place }
    }
}

impl futures_util::Stream for Stream {
    type Item = Result<Bytes, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let said = if !self.greeted {
            self.greeted = true;
            GREETING
        } else if let Poll::Ready(event) = self.events.poll_recv(cx) {
            match event {
                Some(event) => event,
                None => return Poll::Ready(None),
            }
        } else {
            ready!(self.beat.as_mut().poll(cx));
            BEAT
        };
        let next = Instant::now() + self.every;
        self.beat.as_mut().reset(next);
        Poll::Ready(Some(Ok(said)))
    }
}
