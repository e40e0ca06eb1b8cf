//! The pace at which a reply must be read.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep, sleep_until},
};

/// A connection whose other end must go on reading what it is sent: a reply that waits holds memory.
#[derive(Debug)]
pub(super) struct Paced {
    stream: TcpStream,
    debt: Debt,
    /// Since when a write waits, and when that has been too long.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// How long the other end was waited for, beyond the time that the bytes get which it took. Time in which nothing is to
/// be sent is not in it, and nothing can be saved up: so it is the same rule for a page, a list and a stream of events.
#[derive(Debug, Clone, Copy)]
struct Debt {
    now: Duration,
    most: Duration,
    /// Bytes a second.
    rate: u64,
}

impl Debt {
    /// How much longer it may be waited for.
    fn left(self) -> Duration {
        self.most.saturating_sub(self.now)
    }

    /// It was waited for so long.
    fn wait(&mut self, time: Duration) {
        self.now = self.now.saturating_add(time);
    }

    /// It took so many bytes.
    fn pay(&mut self, bytes: usize) {
        let nanos = (bytes as u64).saturating_mul(1_000_000_000) / self.rate;
        self.now = self.now.saturating_sub(Duration::from_nanos(nanos));
    }
}

impl Paced {
    /// `most` is how long it may be behind the pace of `rate` bytes a second.
    pub(super) fn new(stream: TcpStream, (most, rate): (Duration, u64)) -> Self {
        let debt = Debt { now: Duration::ZERO, most, rate: rate.max(1) };
        Self { stream, debt, waiting: None }
    }

    /// What a write came to: an error where the other end is too slow.
    fn judge(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(done) = &written {
            if let Some((since, _)) = self.waiting.take() {
                self.debt.wait(since.elapsed());
            }
            self.debt.pay(done.as_ref().map_or(0, |bytes| *bytes));
            return written;
        }
        let debt = self.debt;
        let (_, late) = self.waiting.get_or_insert_with(|| {
            let now = Instant::now();
            (now, Box::pin(sleep_until(now + debt.left())))
        });
        ready!(late.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, parts);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_takes_a_little_now_and_then_is_cut_as_who_takes_nothing() {
        let new = Debt { now: Duration::ZERO, most: Duration::from_secs(20), rate: 16 * 1024 };
        let after = |bytes: usize, seconds: u64| {
            let mut debt = new;
            let times = (1..100).find(|_| {
                debt.wait(Duration::from_secs(seconds));
                let late = debt.left().is_zero();
                debt.pay(bytes);
                late
            });
            times.map(|times| times * seconds)
        };
        assert_eq!(after(0, 1), Some(20));
        assert_eq!(after(3_000, 12), Some(24));
        assert_eq!(after(16 * 1024, 1), None, "at the pace");
        assert_eq!(after(64 * 1024, 4), None, "in large steps");
        let mut saved = new;
        saved.pay(1 << 30);
        saved.wait(Duration::from_secs(20));
        assert!(saved.left().is_zero(), "nothing is saved up");
    }
}
