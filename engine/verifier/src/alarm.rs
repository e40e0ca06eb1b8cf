//! A deadline that ends the process, whatever the library does.

use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Instant,
};

/// Does something, once, when a time has come that was set and not taken back: on a thread of its own, for who set
/// it may be stuck.
#[derive(Debug)]
pub(super) struct Alarm(Sender<Option<Instant>>);

impl Alarm {
    pub(super) fn new(ring: impl FnOnce() + Send + 'static) -> std::io::Result<Self> {
        let (sender, orders) = channel::<Option<Instant>>();
        std::thread::Builder::new().name("alarm".to_owned()).spawn(move || {
            let mut at: Option<Instant> = None;
            loop {
                let order = match at {
                    None => orders.recv().map_err(|_| RecvTimeoutError::Disconnected),
                    Some(at) => orders.recv_timeout(at.saturating_duration_since(Instant::now())),
                };
                match order {
                    Ok(order) => at = order,
                    Err(RecvTimeoutError::Timeout) => return ring(),
                    Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self(sender))
    }

    /// Sets it, or takes it back. One that has rung is silent.
    pub(super) fn set(&self, at: Option<Instant>) {
        // A thread that has ended has rung.
        let _ = self.0.send(at);
    }
}
