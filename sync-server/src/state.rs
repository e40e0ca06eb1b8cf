use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use tokio::sync::Semaphore;

use crate::{
    LogError, LogStore, ServerConfig,
    committer::Committer,
    compaction::{self, Pushes},
    events::Hub,
    gate::Gate,
    http::Described,
    merge::Merger,
    metrics::Metrics,
    readers::Readers,
    rules::{Code, Fault},
    snapshots::{self, Notes},
};

/// What all requests of a server share. Cloning it is cheap.
#[derive(Debug, Clone)]
pub struct AppState {
    pub(crate) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: ServerConfig,
    pub(crate) committer: Arc<Committer>,
    pub(crate) gate: Gate,
    pub(crate) hub: Hub,
    pub(crate) readers: Readers,
    pub(crate) merger: Merger,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) described: Described,
    pub(crate) notes: Notes,
    pub(crate) pushes: Pushes,
    /// A permit a KiB of request bodies.
    pub(crate) body_memory: Arc<Semaphore>,
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
    /// Opens the database and starts the thread that writes to it.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open(config: ServerConfig) -> Result<Self, LogError> {
        let log = LogStore::open(&config.database)?;
        let gate = Gate::start(&config.database)?;
        let hub = Hub::new(config.streams, config.heartbeat);
        let packs = log.packs();
        let metrics = Arc::new(Metrics::new());
        let waiting = config.waiting_pushes;
        let committer = Arc::new(Committer::start((log, hub.clone()), Arc::clone(&metrics), waiting)?);
        let readers = Readers::new(config.database.clone(), packs, config.readers);
        let merger = Merger::start(readers.clone(), Arc::clone(&committer), &config)?;
        let notes = snapshots::start(merger.clone(), config.snapshot_quiet)?;
        let pushes = compaction::start(readers.clone(), Arc::clone(&committer), &config)?;
        let body_memory = Arc::new(Semaphore::new((config.body_memory / 1024).max(1)));
        Ok(Self {
            shared: Arc::new(Shared {
                config,
                committer,
                gate,
                hub,
                readers,
                merger,
                metrics,
                described: Described::default(),
                notes,
                pushes,
                body_memory,
            }),
        })
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

    /// Commits what waits and takes no more. For who uses [`crate::router`] alone: [`crate::serve`] does it.
    pub async fn close(&self) {
        self.shared.hub.close();
        let shared = Arc::clone(&self.shared);
        if tokio::task::spawn_blocking(move || shared.committer.close()).await.is_err() {
            tracing::error!("the log could not be closed");
        }
    }

    /// The answer of `work`, or that it took too long.
    pub(crate) async fn in_time<T>(&self, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
        let answer = tokio::time::timeout(self.shared.config.request_timeout, work).await;
        answer.unwrap_or_else(|_| Err(Fault::new(Code::Unavailable)))
    }
}

/// Milliseconds since 1970; negative before.
pub(crate) fn now() -> i64 {
    let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
    match SystemTime::now().duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => millis(since),
        Err(before) => -millis(before.duration()),
    }
}
