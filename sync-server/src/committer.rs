//! The one thread that writes: it gathers what waits into one transaction, for a flush to disk costs
//! milliseconds and a row microseconds.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
    time::{Duration, Instant},
};

use rejoin_protocol::DocumentId;
use tokio::sync::{mpsc, oneshot};

use crate::{
    LogError,
    events::{self, Hub, Publisher},
    log::{Attempt, Backend, Edit, EditRows, Found, Group, Log, Packed, Span, store_pack},
    metrics::{Because, Metrics},
    rules::{ApiError, Code, Principal, Push, Receipt, delete, take},
};

/// Most writes that share a commit.
const GROUP_JOBS: usize = 256;
/// About how many bytes of changes share a commit, at most; one push alone may be larger.
const GROUP_BYTES: usize = 8 * 1024 * 1024;

/// A write, and who waits for it.
#[derive(Debug)]
enum Job {
    Push { push: Box<Push>, now: i64, waiting: oneshot::Sender<Result<Receipt, ApiError>> },
    Delete { document: DocumentId, by: Principal, now: i64, waiting: oneshot::Sender<Result<(), ApiError>> },
    Found { found: Found, now: i64, waiting: oneshot::Sender<Result<(), ApiError>> },
    Step { step: Step, waiting: oneshot::Sender<Result<bool, ApiError>> },
}

/// A step of compaction.
#[derive(Debug)]
enum Step {
    Pack(Box<Packed>),
    Tidy,
}

/// What became of a job inside its group.
enum Outcome {
    Pushed(Result<Receipt, ApiError>),
    Done,
    /// A step of compaction: whether there may be more to do.
    Stepped(bool),
    Failed(ApiError),
}

/// The handle on the committer's thread.
#[derive(Debug)]
pub(crate) struct Committer {
    queue: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<Backend>>>,
    alive: Arc<AtomicBool>,
}

impl Committer {
    /// Starts the thread on a log that nobody else writes to.
    pub(crate) fn start(
        (log, hub): (Backend, Hub),
        metrics: Arc<Metrics>,
        waiting: usize,
    ) -> std::io::Result<Self> {
        let (queue, jobs) = mpsc::channel(waiting.max(1));
        let alive = Arc::new(AtomicBool::new(true));
        let still = Arc::clone(&alive);
        let thread = std::thread::Builder::new().name("committer".to_owned()).spawn(move || {
            let log = work((log, Publisher::new(hub)), jobs, &metrics);
            still.store(false, Ordering::Release);
            log
        })?;
        Ok(Self { queue: Mutex::new(Some(queue)), thread: Mutex::new(Some(thread)), alive })
    }

    /// Stores a push; the receipt comes after the commit that holds it.
    pub(crate) async fn push(&self, push: Push, now: i64) -> Result<Receipt, ApiError> {
        let (waiting, answer) = oneshot::channel();
        self.send(Job::Push { push: Box::new(push), now, waiting })?;
        answer.await.unwrap_or_else(|_| Err(ApiError::new(Code::Unavailable)))
    }

    /// Puts a tombstone on a document.
    pub(crate) async fn delete(&self, document: DocumentId, by: Principal, now: i64) -> Result<(), ApiError> {
        let (waiting, answer) = oneshot::channel();
        self.send(Job::Delete { document, by, now, waiting })?;
        answer.await.unwrap_or_else(|_| Err(ApiError::new(Code::Unavailable)))
    }

    /// Stores what verification found, and a snapshot; blocks until it is stored.
    pub(crate) fn found(&self, found: Found, now: i64) -> Result<(), ApiError> {
        let (waiting, answer) = oneshot::channel();
        self.send(Job::Found { found, now, waiting })?;
        answer.blocking_recv().unwrap_or_else(|_| Err(ApiError::new(Code::Unavailable)))
    }

    /// Puts a pack in the place of its rows; blocks until then. Whether that was done.
    pub(crate) fn pack(&self, packed: Packed) -> Result<bool, ApiError> {
        self.step(Step::Pack(Box::new(packed)))
    }

    /// Gives some free pages back to the system; blocks until then. Whether there are more.
    pub(crate) fn tidy(&self) -> Result<bool, ApiError> {
        self.step(Step::Tidy)
    }

    fn step(&self, step: Step) -> Result<bool, ApiError> {
        let (waiting, answer) = oneshot::channel();
        self.send(Job::Step { step, waiting })?;
        answer.blocking_recv().unwrap_or_else(|_| Err(ApiError::new(Code::Unavailable)))
    }

    /// Whether it takes writes.
    pub(crate) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire) && lock(&self.queue).is_some()
    }

    /// How many writes wait.
    pub(crate) fn waiting(&self) -> usize {
        let queue = lock(&self.queue);
        queue.as_ref().map_or(0, |queue| queue.max_capacity() - queue.capacity())
    }

    /// Takes no more, commits what waits, and ends. Blocks until then, and gives the log the first time.
    pub(crate) fn close(&self) -> Option<Backend> {
        drop(lock(&self.queue).take());
        let ended = lock(&self.thread).take()?.join();
        if ended.is_err() {
            tracing::error!("the committer panicked");
        }
        ended.ok()
    }

    fn send(&self, job: Job) -> Result<(), ApiError> {
        let queue = lock(&self.queue).clone().ok_or_else(|| ApiError::new(Code::Unavailable))?;
        queue.try_send(job).map_err(|_| ApiError::new(Code::Unavailable))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn work(
    (mut log, mut publisher): (Backend, Publisher),
    mut jobs: mpsc::Receiver<Job>,
    metrics: &Metrics,
) -> Backend {
    while let Some(first) = jobs.blocking_recv() {
        let mut bytes = first.weight();
        let mut group = vec![first];
        while group.len() < GROUP_JOBS && bytes < GROUP_BYTES {
            let Ok(next) = jobs.try_recv() else { break };
            bytes += next.weight();
            group.push(next);
        }
        commit((&mut log, &mut publisher), group, metrics);
    }
    log
}

/// Commits a group. Where that fails, each write is tried alone: one that does not fit on the disk must not
/// take the others with it.
fn commit((log, publisher): (&mut Backend, &mut Publisher), group: Vec<Job>, metrics: &Metrics) {
    match together(log, &group, metrics) {
        // Invariant 2: "Acknowledged means durable at the server." Only here, after the commit, is anybody told.
        Ok(outcomes) => {
            let grown: Vec<_> = group.iter().zip(&outcomes).filter_map(|(job, o)| job.span(o)).collect();
            group.into_iter().zip(outcomes).for_each(|(job, outcome)| job.tell(outcome));
            let spans = events::spans(grown);
            let told = catch_unwind(AssertUnwindSafe(|| publisher.tell(log, spans)));
            if told.is_err() {
                tracing::error!("telling of a commit panicked");
            }
        }
        Err(error) if group.len() == 1 => {
            let fault = ApiError::from(error);
            group.into_iter().for_each(|job| job.tell(Outcome::Failed(fault.clone())));
        }
        Err(error) => {
            tracing::warn!(%error, writes = group.len(), "a group could not be committed: each is tried alone");
            group.into_iter().for_each(|job| commit((log, publisher), vec![job], metrics));
        }
    }
}

fn together(log: &mut Backend, jobs: &[Job], metrics: &Metrics) -> Result<Vec<Outcome>, LogError> {
    // Invariant 8: "Whatever a remote side sends, nothing panics past its task." The transaction rolls back.
    let run = catch_unwind(AssertUnwindSafe(|| in_one_commit(log, jobs, metrics)));
    run.unwrap_or_else(|_| Err(LogError::Damaged("a write panicked".to_owned())))
}

fn in_one_commit(log: &mut Backend, jobs: &[Job], metrics: &Metrics) -> Result<Vec<Outcome>, LogError> {
    let began = Instant::now();
    let group = log.begin()?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for job in jobs {
        match group.edit().attempt(|edit| job.write(edit)) {
            Ok(outcome) => outcomes.push(outcome),
            Err(error) if group.is_whole() => outcomes.push(Outcome::Failed(error.into())),
            Err(error) => return Err(error),
        }
    }
    group.commit()?;
    count(metrics, (jobs, &outcomes), began.elapsed());
    Ok(outcomes)
}

fn count(metrics: &Metrics, (jobs, outcomes): (&[Job], &[Outcome]), took: Duration) {
    metrics.commits.inc();
    metrics.commit_seconds.observe(took.as_secs_f64());
    for (job, outcome) in jobs.iter().zip(outcomes) {
        if let (Job::Found { found, .. }, Outcome::Done) = (job, outcome) {
            metrics.verified(found);
        }
        if let Outcome::Pushed(Ok(receipt)) = outcome {
            metrics.changes.inc_by(receipt.accepted);
            metrics.duplicates.inc_by(receipt.duplicate);
            for rejection in receipt.rejected.iter() {
                metrics.rejected.get_or_create(&Because { code: rejection.code.as_str() }).inc();
            }
        }
    }
}

impl Job {
    fn weight(&self) -> usize {
        match self {
            Self::Push { push, .. } => push.changes.weight(),
            Self::Delete { .. } => 0,
            Self::Found { found, .. } => found.snapshot.as_ref().map_or(0, |made| made.bytes.len()),
            Self::Step { step: Step::Pack(packed), .. } => packed.weight(),
            Self::Step { step: Step::Tidy, .. } => 0,
        }
    }

    /// What it did to its document, for those who listen.
    fn span(&self, outcome: &Outcome) -> Option<Span> {
        match (self, outcome) {
            (Self::Push { push, .. }, Outcome::Pushed(Ok(receipt))) => receipt.grown(push.document),
            (Self::Delete { document, .. }, Outcome::Done) => Some(Span::Deleted(*document)),
            _ => None,
        }
    }

    fn write(&self, edit: &impl Edit) -> Result<Attempt<Outcome>, LogError> {
        Ok(match self {
            Self::Push { push, now, .. } => take(edit, push, *now)?.map(Outcome::Pushed),
            Self::Delete { document, by, now, .. } => delete(edit, document, (by, *now))?
                .map(|done| done.map_or_else(Outcome::Failed, |()| Outcome::Done)),
            Self::Found { found, now, .. } => {
                edit.keep_found(found, *now)?;
                Attempt::Keep(Outcome::Done)
            }
            Self::Step { step: Step::Pack(packed), .. } => {
                store_pack(edit, packed)?.map(|gone| Outcome::Stepped(gone.is_some()))
            }
            Self::Step { step: Step::Tidy, .. } => Attempt::Keep(Outcome::Stepped(edit.tidy()?)),
        })
    }

    /// Who has gone away in the meantime is not told: what was committed stays.
    fn tell(self, outcome: Outcome) {
        match (self, outcome) {
            (Self::Push { waiting, .. }, Outcome::Pushed(result)) => drop(waiting.send(result)),
            (Self::Push { waiting, .. }, Outcome::Failed(fault)) => drop(waiting.send(Err(fault))),
            (Self::Push { waiting, .. }, Outcome::Done | Outcome::Stepped(_)) => drop(waiting),
            (Self::Step { waiting, .. }, Outcome::Failed(fault)) => drop(waiting.send(Err(fault))),
            (Self::Step { waiting, .. }, outcome) => {
                drop(waiting.send(Ok(matches!(outcome, Outcome::Stepped(true)))));
            }
            (Self::Delete { waiting, .. } | Self::Found { waiting, .. }, outcome) => {
                let failed = if let Outcome::Failed(fault) = outcome { Err(fault) } else { Ok(()) };
                drop(waiting.send(failed));
            }
        }
    }
}
