//! The run of one document: the session's steps, carried out.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use tokio::{sync::watch, time::Instant};

use super::{SyncOptions, SyncProgress, Transport};
use crate::{
    Error, Millis, Result, Store,
    driver::http::shown,
    session::{self, Now, Outcome, Progress, Session, Step, Ticket, Trouble, TroubleKind, Verdict},
    wire::{Response, TransportError},
};

/// Replies smaller than this are judged where they arrive, in bytes; larger ones where computing is allowed.
const JUDGE_HERE: usize = 32 * 1024;

/// What the documents of a round share.
#[derive(Debug)]
pub(super) struct Round {
    store: Store,
    clock: Clock,
    /// Give up after so long without a usable answer; `None` leaves at the first wait, for a later round.
    patience: Option<Duration>,
    timeout: Duration,
    /// Servers that answer nobody: the other documents need not find out again.
    down: Mutex<HashMap<String, Down>>,
    told: Option<watch::Sender<SyncProgress>>,
}

/// Why a server answers none of a round's documents.
#[derive(Debug, Clone)]
enum Down {
    /// No connection could be made to it.
    Unreachable(String),
    /// It does not know the token. What a token may do differs from document to document; whether it is one does not.
    Unauthorized(String),
}

impl From<Down> for Error {
    fn from(down: Down) -> Self {
        match down {
            Down::Unreachable(why) => Self::Unreachable(why),
            Down::Unauthorized(why) => Self::Unauthorized(why),
        }
    }
}

/// The steady clock of a session, from the moment a driver began.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, millis);
        Now { steady: millis(self.0.elapsed()), wall }
    }

    pub(super) fn instant(&self, steady: Millis) -> Instant {
        self.0 + Duration::from_millis(u64::try_from(steady).unwrap_or(0))
    }
}

fn millis(duration: Duration) -> Millis {
    Millis::try_from(duration.as_millis()).unwrap_or(Millis::MAX)
}

/// One document with its server, ready to run.
pub(super) struct Job {
    pub(super) session: Session,
    pub(super) server: String,
    pub(super) transport: Arc<dyn Transport>,
}

/// How a document's run ended.
pub(super) struct Ended {
    /// `None` when it was lost with the store's thread: then the store is closed.
    pub(super) session: Option<Session>,
    pub(super) server: String,
    pub(super) progress: Progress,
    /// `None`: it waits, and goes on in a later round.
    pub(super) result: Result<Option<Outcome>>,
}

impl Round {
    pub(super) fn new(store: &Store, clock: Clock, options: &SyncOptions, patient: bool) -> Self {
        Self {
            store: store.clone(),
            clock,
            patience: patient.then_some(options.timeout),
            timeout: options.timeout,
            down: Mutex::default(),
            told: options.progress.clone(),
        }
    }

    /// Runs one document until it is done, fails or has to wait too long.
    #[tracing::instrument(level = "debug", skip_all, fields(document = %job.session.document()))]
    pub(super) async fn run(&self, job: Job) -> Ended {
        let mut progress = Progress::default();
        let mut session = Some(job.session);
        let result = self.turns(&mut session, (&job.server, job.transport.as_ref()), &mut progress).await;
        let result = result.map_err(|error| at_server(&job.server, error));
        tracing::debug!(?progress, ok = result.is_ok(), "run ended");
        Ended { session, server: job.server, progress, result }
    }

    async fn turns(
        &self,
        slot: &mut Option<Session>,
        (server, transport): (&str, &dyn Transport),
        progress: &mut Progress,
    ) -> Result<Option<Outcome>> {
        let mut deadline = Instant::now() + self.timeout;
        loop {
            match self.next(slot).await? {
                Step::Done(outcome) => {
                    if let Outcome::Unauthorized(why) = &outcome {
                        self.down().insert(server.to_owned(), Down::Unauthorized(why.clone()));
                    }
                    return finished(outcome).map(Some);
                }
                Step::Wait { until } => {
                    let until = self.clock.instant(until);
                    let trouble = slot.as_ref().and_then(Session::trouble);
                    match trouble {
                        Some(trouble) => self.give_up(trouble, server, until > deadline)?,
                        // Jitter before healing: nothing is wrong.
                        None if self.patience.is_none() => return Ok(None),
                        None => deadline = deadline.max(until + self.timeout),
                    }
                    tokio::time::sleep_until(until).await;
                }
                Step::Send { request, ticket } => {
                    let known_down = self.down().get(server).cloned();
                    let answer = match known_down {
                        Some(down) => return Err(down.into()),
                        None => tokio::time::timeout_at(deadline, transport.send(&request)).await,
                    };
                    let timed_out =
                        |_| Err(TransportError::TimedOut("the time for this sync is over".into()));
                    let answer = answer.unwrap_or_else(timed_out);
                    let one = self.take(slot, ticket, answer).await?;
                    progress.add(&one);
                    self.tell(&one);
                    if one.answered {
                        deadline = Instant::now() + self.timeout;
                    }
                }
            }
        }
    }

    fn tell(&self, one: &Progress) {
        if let Some(told) = &self.told {
            told.send_modify(|all| {
                all.pushed += one.pushed;
                all.pulled += one.pulled;
            });
        }
    }

    async fn next(&self, slot: &mut Option<Session>) -> Result<Step> {
        let now = self.clock.now();
        self.with_session(slot, move |core, session| core.sync_step(session, now, &mut rand::rng())).await
    }

    /// Judges a reply and stores what it brought. "No transaction is open across a network call": the reply is
    /// here as a whole before the store is touched again.
    async fn take(
        &self,
        slot: &mut Option<Session>,
        ticket: Ticket,
        answer: Result<Response, TransportError>,
    ) -> Result<Progress> {
        let limits = match slot {
            Some(session) => *session.limits(),
            None => return Err(Error::Closed),
        };
        let large = answer.as_ref().is_ok_and(|r| r.body.len() > JUDGE_HERE);
        let judge = move || -> (Ticket, Verdict) {
            let verdict = session::judge(&ticket, answer, &limits);
            (ticket, verdict)
        };
        let (ticket, verdict) = if large {
            let judged = tokio::task::spawn_blocking(judge).await;
            judged.map_err(|e| Error::Bug(format!("judging a reply failed: {e}")))?
        } else {
            judge()
        };
        let now = self.clock.now();
        let settle = move |core: &mut crate::store::Core, session: &mut _| {
            core.settle(session, (ticket, verdict), now, &mut rand::rng())
        };
        self.with_session(slot, settle).await
    }

    /// Takes the session to the store's thread and back.
    async fn with_session<T: Send + 'static>(
        &self,
        slot: &mut Option<Session>,
        work: impl FnOnce(&mut crate::store::Core, &mut Session) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let mut session = slot.take().ok_or(Error::Closed)?;
        let (session, result) = self
            .store
            .with_core(move |core| {
                let result = work(core, &mut session);
                Ok((session, result))
            })
            .await?;
        *slot = Some(session);
        result
    }

    /// Whether to go on after a failure. A server that is not there is given up after a couple of quick tries;
    /// one that says "later" is tried as long as there is time.
    fn give_up(&self, trouble: &Trouble, server: &str, too_late: bool) -> Result<()> {
        let tries = match trouble.kind {
            TroubleKind::NoConnection | TroubleKind::Protocol => 3,
            // What answers is something else: that does not pass by waiting.
            TroubleKind::NotASyncServer => 2,
            _ => u32::MAX,
        };
        if self.patience.is_some() && !too_late && trouble.attempts < tries {
            return Ok(());
        }
        if trouble.kind == TroubleKind::NoConnection {
            self.down().insert(server.to_owned(), Down::Unreachable(trouble.detail.clone()));
        }
        Err(match trouble.kind {
            TroubleKind::Protocol => Error::Protocol(trouble.detail.clone()),
            _ => Error::Unreachable(trouble.detail.clone()),
        })
    }

    fn down(&self) -> std::sync::MutexGuard<'_, HashMap<String, Down>> {
        self.down.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same error, with the address that it was met at: a store may know several servers.
fn at_server(server: &str, error: Error) -> Error {
    match error {
        Error::Unreachable(why) => Error::Unreachable(format!("{}: {why}", shown(server))),
        Error::Protocol(why) => Error::Protocol(format!("{}: {why}", shown(server))),
        error => error,
    }
}

/// What [`Error::Protocol`] says of a server that wants a newer release: only a person can help.
pub const NEWER_RELEASE: &str = "it wants a newer release of this program";

fn finished(outcome: Outcome) -> Result<Outcome> {
    match outcome {
        Outcome::Unauthorized(detail) => Err(Error::Unauthorized(detail)),
        Outcome::Forbidden(detail) => Err(Error::Forbidden(detail)),
        Outcome::TooLarge(of, limit) => Err(Error::LogTooLarge { limit, of }),
        Outcome::UpgradeRequired(detail) => Err(Error::Protocol(format!("{NEWER_RELEASE} ({detail})"))),
        outcome => Ok(outcome),
    }
}
