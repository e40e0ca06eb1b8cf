use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use crate::{LogError, readers::Readers, rules::Fault};

/// Connections that look tokens up. They are the gate's own: a long read elsewhere holds up nobody at the door.
const CONNECTIONS: usize = 2;
/// How long a server without tokens goes on before it looks again whether one was made.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Whether this server asks for tokens. Another process may make the first one at any time, and revoke any: nothing
/// of a token is remembered between requests.
#[derive(Debug)]
pub(crate) struct Gate {
    pub(crate) readers: Readers,
    /// Once a token was seen it stays so, whatever becomes of the database: a server that listens to the world must
    /// not take it for its own machine.
    guarded: AtomicBool,
    looked: Mutex<Option<Instant>>,
}

impl Gate {
    /// A gate before a database that was opened before.
    pub(crate) fn new(database: PathBuf) -> Result<Self, LogError> {
        let readers = Readers::new(database, CONNECTIONS);
        let guarded = readers.read_here(|view| view.has_tokens())?;
        Ok(Self { readers, guarded: AtomicBool::new(guarded), looked: Mutex::default() })
    }

    /// Whether a token had been made when this was last looked at.
    pub(crate) fn was_guarded(&self) -> bool {
        self.guarded.load(Ordering::Acquire)
    }

    /// Whether a token was ever made.
    pub(crate) async fn is_guarded(&self) -> Result<bool, Fault> {
        if self.was_guarded() {
            return Ok(true);
        }
        let began = Instant::now();
        if self.looked().is_some_and(|at| began.duration_since(at) < LOOK_AGAIN) {
            return Ok(false);
        }
        if self.readers.read(|view| Ok(view.has_tokens()?)).await? {
            self.guarded.store(true, Ordering::Release);
            tracing::info!("a token was made: from now on every resource needs one");
        } else {
            *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Some(began);
        }
        Ok(self.was_guarded())
    }

    fn looked(&self) -> Option<Instant> {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
