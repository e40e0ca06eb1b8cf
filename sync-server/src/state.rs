//! What all handlers share, and how a server is put together and made ready.

use std::{
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use crate::{
    LogError, ServerConfig,
    auth_reader::AuthReader,
    committer::Committer,
    compaction::{self, Pushes},
    events::Hub,
    http::{Described, RESOURCES, Readable},
    jwt::Jwts,
    log::{Backend, Log},
    merge::Merger,
    metrics::Metrics,
    rate_limit::{RateLimits, Work},
    readers::Readers,
    rules::{ApiError, Asker, Code},
    shares::{Amounts, Shares},
    snapshots::{self, Notes},
    tls::{self, Tls},
    turns::Turns,
    watched::FileError,
};

/// Why a server could not be made ready.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The database could not be opened.
    #[error(transparent)]
    Log(#[from] LogError),
    /// A certificate, a key or another file that was named cannot be used.
    #[error(transparent)]
    File(#[from] FileError),
}

/// How long those who read may take when the database is let go.
const LETTING_GO: Duration = Duration::from_millis(800);

/// How many large pushes are at work at once: while one is checked another is committed, and more would only hold memory.
const LARGE_PUSHES: usize = 2;

/// How many replies whose size is known only when they are there are made at once.
const LARGE_REPLIES: usize = 2;

/// How many questions in JSON are read at once: it is quick, and takes a processor.
const QUESTIONS: usize = 2;

/// What all requests of a server share. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct AppState {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) committer: Arc<Committer>,
    pub(crate) auth_reader: AuthReader,
    pub(crate) rate_limits: RateLimits,
    pub(crate) hub: Hub,
    pub(crate) readers: Readers,
    pub(crate) merger: Merger,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) described: Described,
    pub(crate) readable: Readable,
    pub(crate) notes: Notes,
    pub(crate) pushes: Pushes,
    /// Bytes of request bodies.
    pub(crate) body_memory: Shares<Asker>,
    /// Requests that are being answered, until there is a reply.
    pub(crate) requests: Shares<Asker>,
    /// Bytes of replies.
    pub(crate) reply_memory: Shares<Asker>,
    /// Turns at making replies whose size is known only when they are there.
    pub(crate) large_replies: Turns,
    /// Turns at reading questions in JSON.
    pub(crate) questions: Turns,
    /// Turns at large pushes.
    pub(crate) large_pushes: Turns,
    /// A stop was asked for: no more traffic is to be sent here.
    pub(crate) draining: AtomicBool,
    pub(crate) tls: Option<Tls>,
    pub(crate) jwts: Option<Jwts>,
}

/// What a server has committed since it started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Figures {
    /// Transactions.
    pub commits: u64,
    /// Pushes that were answered with success.
    pub pushes: u64,
    /// Changes stored.
    pub changes: u64,
    /// Event streams that are open now.
    pub streams: u64,
}

impl AppState {
    /// Reads certificate and keys, opens the database and starts the thread that writes to it.
    ///
    /// # Errors
    /// As [`crate::LogStore::open`]; [`LogError::Served`] where another server has the database, and [`LogError::ReadOnly`] where
    /// it cannot be written; and where a file that was named cannot be used: then the database was not touched.
    pub fn open(config: ServerConfig) -> Result<Self, StartError> {
        let tls = config.tls.as_ref().map(tls::open).transpose()?;
        let jwts = config.jwt.as_ref().map(Jwts::open).transpose()?;
        Ok(Self::start(config, (tls, jwts))?)
    }

    fn start(config: ServerConfig, (tls, jwts): (Option<Tls>, Option<Jwts>)) -> Result<Self, LogError> {
        let log = Backend::open_to_serve(&config.database)?;
        let opener = log.opener();
        let auth_reader = AuthReader::start(&opener, jwts.is_some())?;
        let hub = Hub::new(places(&config), config.heartbeat);
        let metrics = Arc::new(Metrics::new(&RESOURCES));
        let waiting = config.waiting_pushes;
        let committer = Arc::new(Committer::start((log, hub.clone()), Arc::clone(&metrics), waiting)?);
        let readers = Readers::new(opener, config.readers);
        let merger = Merger::start(readers.clone(), Arc::clone(&committer), &config)?;
        let notes = snapshots::start(merger.clone(), config.snapshot_quiet)?;
        let pushes = compaction::start(readers.clone(), Arc::clone(&committer), &config)?;
        let rate_limits = RateLimits::new(&config.limits);
        let (body_memory, reply_memory) = memories(&config);
        let each = config.token_requests.max(1);
        let requests = Shares::new(Amounts { all: usize::MAX, each, kept: 0 });
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                committer,
                auth_reader,
                rate_limits,
                hub,
                readers,
                merger,
                metrics,
                described: Described::default(),
                readable: Readable::default(),
                notes,
                pushes,
                body_memory,
                requests,
                reply_memory,
                large_replies: Turns::new(LARGE_REPLIES, 1),
                questions: Turns::new(QUESTIONS, 1),
                large_pushes: Turns::new(LARGE_PUSHES, 1),
                draining: AtomicBool::new(false),
                tls,
                jwts,
            }),
        })
    }

    /// Looks whether certificate or keys changed, and reads them again then. Where what is there now cannot be used,
    /// what was read before stays in force, and the log says so. Open connections stay as they are.
    ///
    /// [`crate::serve`] does it every two seconds; reading may block.
    pub fn reload(&self) {
        if let Some(tls) = &self.shared.tls {
            tls.look();
        }
        if let Some(jwts) = &self.shared.jwts {
            jwts.look();
        }
    }

    /// What was committed since the start.
    pub fn figures(&self) -> Figures {
        let metrics = &self.shared.metrics;
        Figures {
            commits: metrics.commits.get(),
            pushes: metrics.pushes.get(),
            changes: metrics.changes.get(),
            streams: self.shared.hub.streams() as u64,
        }
    }

    /// Commits what waits, takes no more, and lets the database go. For who uses [`crate::router`] alone: [`crate::serve`] does it.
    pub async fn close(&self) {
        self.shared.hub.close();
        let shared = Arc::clone(&self.shared);
        let closing = tokio::task::spawn_blocking(move || {
            let log = shared.committer.close();
            shared.auth_reader.close();
            shared.readers.close(LETTING_GO);
            // The last connection, and one that writes: so SQLite brings everything into the one file.
            if let Some(log) = log {
                log.close();
            }
        });
        if closing.await.is_err() {
            tracing::error!("the log could not be closed");
        }
    }

    /// Whoever asked this waits the longer for the next answer.
    pub(crate) fn charge(&self, who: Option<Asker>, work: Work) {
        self.shared.rate_limits.charge(who, work, Instant::now());
    }

    /// The answer of `work`, or that it took too long.
    pub(crate) async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ApiError>>,
    ) -> Result<T, ApiError> {
        let answer = tokio::time::timeout(self.shared.config.request_timeout, work).await;
        answer.unwrap_or_else(|_| Err(ApiError::new(Code::Unavailable)))
    }
}

/// How many streams there are, and what of them one asker may have: some are kept for who looks after the server.
fn places(config: &ServerConfig) -> Amounts {
    let all = config.streams;
    Amounts {
        all,
        each: config.token_streams.clamp(1, all.max(1)),
        kept: (all / KEPT_STREAMS_PART).min(KEPT_STREAMS),
    }
}

/// Most streams that are kept for who looks after the server, and of how many one is.
const KEPT_STREAMS: usize = 64;
const KEPT_STREAMS_PART: usize = 8;

/// How much of each kind of memory there is, and what one asker may have of it: at least what one request may take.
fn memories(config: &ServerConfig) -> (Shares<Asker>, Shares<Asker>) {
    let limits = &config.limits;
    let shares = |all: usize, each: usize| Shares::new(Amounts { all, each: each.min(all), kept: 0 });
    let body = limits.body_bytes.saturating_add(limits.inflated_body_bytes);
    let page = limits.page_bytes.saturating_mul(2);
    (
        shares(config.body_memory, body.max(config.body_memory / 2)),
        shares(config.reply_memory, page.max(config.reply_memory / 4)),
    )
}
