//! Merging documents behind the log: who has one merged, in which order, and what is kept of it.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rejoin_protocol::{DocumentId, quarantine::Reason};
use rejoin_verifier::{Merge, Outcome, Shape, Task, Terms, Unsound, Verifier, millis};
use tokio::sync::Notify;

use super::{
    snapshot::{self, patience},
    source::LogSource,
    workers::{Idle, Workers},
};
use crate::{
    ServerConfig, ServerLimits,
    clock::now,
    committer::Committer,
    log::{Document, Found, Mark, Rows, View, Which},
    readers::Readers,
    rules::{ApiError, Asker, Code, GROWN_BY, no_snapshot, readable, snapshot_is_wanted},
    turns::{Turn, Turns},
};

/// How long a document is left alone of which verification did not come to an end and found nothing new.
const REST: Duration = Duration::from_secs(600);
/// How long merged documents, and the processes that hold them, are kept after the last question.
const KEPT_FOR: Duration = Duration::from_secs(300);
/// How long the process that verifies behind, and keeps nothing, is kept for what may come next.
const READY_FOR: Duration = Duration::from_secs(1);
/// The largest log, in plain bytes, that is verified before somebody who waits is shown it, where it has grown since the
/// last time.
const EXAMINED: u64 = 256 * 1024;
/// How long whoever asks for a document waits for what is being found of it.
const PATIENCE: Duration = Duration::from_secs(2);
/// How often a document is tried again for one question after it was verified.
const ATTEMPTS: usize = 3;

/// A merged document, written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Mark,
    /// Up to where its log is in it.
    pub(crate) upto: Mark,
    /// Up to where its log was verified.
    pub(crate) verified: Mark,
    /// How many changes it leaves out.
    pub(crate) left_out: usize,
}

/// Merges and verifies documents on threads of its own, which let processes of their own do it. What makes the
/// library fail is looked for on another thread than questions are answered on: so it holds back no other document.
#[derive(Debug, Clone)]
pub(crate) struct Merger {
    desk: Arc<Desk>,
    merging: Workers,
    verifying: Workers,
    /// Turns at a merge, until what it wrote has its share of the memory for replies.
    turns: Turns,
}

/// Who asks for a merge: what it takes is told there.
#[derive(Clone)]
pub(crate) struct For {
    pub(crate) who: Option<Asker>,
    pub(crate) took: Arc<dyn Fn(Duration) + Send + Sync>,
}

impl For {
    /// The same work, timed.
    fn timed<T>(self, work: impl FnOnce(&mut Verifier) -> T) -> impl FnOnce(&mut Verifier) -> T {
        move |verifier| {
            let started = Instant::now();
            let done = work(verifier);
            (self.took)(started.elapsed());
            done
        }
    }
}

/// What a merge works with.
#[derive(Debug)]
struct Desk {
    readers: Readers,
    committer: Arc<Committer>,
    limits: ServerLimits,
    /// What one trial may take, beside the time that its bytes get.
    longest: Duration,
    /// Documents that could not be merged, until verification has told why; with a time until which that is left
    /// alone, where it could not tell.
    suspects: Mutex<HashMap<DocumentId, Option<Instant>>>,
    /// Documents that are being verified, or made a snapshot of: two at once would do the same work.
    taken: Mutex<HashSet<DocumentId>>,
    /// What the processes keep, all together.
    cached: AtomicU64,
    given_back: Notify,
}

/// A document that nobody else verifies meanwhile.
struct Taken<'d>(&'d Desk, DocumentId);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.1);
        self.0.given_back.notify_waiters();
    }
}

impl Merger {
    pub(crate) fn start(
        readers: Readers,
        committer: Arc<Committer>,
        config: &ServerConfig,
    ) -> std::io::Result<Self> {
        let (longest, limits) = (config.verify_timeout, config.limits);
        let desk = Desk {
            readers,
            committer,
            limits,
            longest,
            suspects: Mutex::default(),
            taken: Mutex::default(),
            cached: AtomicU64::new(0),
            given_back: Notify::new(),
        };
        let count = config.merges.max(1);
        let verifier = |cache: usize, behind| {
            let terms = Terms { memory: config.verify_memory, cache: cache as u64, behind };
            Verifier::new(config.verify_command.clone(), terms)
        };
        // What no reply would hold is not brought here.
        let most = config.reply_memory.max(config.limits.page_bytes) as u64;
        let merging = (0..count).map(|_| verifier(config.cache_bytes / count, false).giving_at_most(most));
        let merging = merging.collect();
        let desk = Arc::new(desk);
        let idle = |after| {
            // The threads may outlive the last question by a moment, and the database must not.
            let desk = Arc::downgrade(&desk);
            let rest = move |verifier: &mut Verifier| {
                if let Some(desk) = desk.upgrade() {
                    desk.rest(verifier);
                }
            };
            Idle { after, rest: Arc::new(rest) }
        };
        Ok(Self {
            merging: Workers::start("merge", merging, &idle(KEPT_FOR))?,
            turns: Turns::new(count + 1, 1),
            verifying: Workers::start("verify", vec![verifier(0, true)], &idle(READY_FOR))?,
            desk,
        })
    }

    /// Memory of merged documents, as estimated.
    pub(crate) fn cached_bytes(&self) -> usize {
        usize::try_from(self.desk.cached.load(Ordering::Relaxed)).unwrap_or(usize::MAX)
    }

    /// The merged document as of the log's end when the work on it begins; with a turn that is to be kept until it has
    /// its share of the memory for replies.
    pub(crate) async fn document(
        &self,
        (id, shape): (DocumentId, Shape),
        asks: For,
    ) -> Result<(Written, Turn), ApiError> {
        for _ in 0..ATTEMPTS {
            match self.desk.is_suspect(&id) {
                Ok(true) => {}
                Ok(false) => {
                    let turn = self.turns.take(asks.who.clone()).await?;
                    let desk = Arc::clone(&self.desk);
                    let work = move |verifier: &mut Verifier| desk.write((&id, shape), verifier);
                    if let Some(written) = self.merging.run(asks.clone().timed(work))?.wait().await? {
                        return Ok((written, turn));
                    }
                }
                Err(_) => break,
            }
            match tokio::time::timeout(PATIENCE, self.verify(id, false, asks.clone())).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) if fault.code != Code::Unavailable => return Err(fault),
                Ok(Err(_)) | Err(_) => break,
            }
        }
        self.decided((id, shape), asks).await
    }

    /// The document as far as it was verified before: "What is not yet decided is left out, and said so." Whoever sends
    /// many changes that do harm keeps nobody from reading what was there.
    async fn decided(
        &self,
        (id, shape): (DocumentId, Shape),
        asks: For,
    ) -> Result<(Written, Turn), ApiError> {
        let turn = self.turns.take(asks.who.clone()).await?;
        let desk = Arc::clone(&self.desk);
        let work = move |verifier: &mut Verifier| desk.write_decided((&id, shape), verifier);
        let written = self.merging.run(asks.timed(work))?.wait().await?;
        written.map(|written| (written, turn)).ok_or_else(|| ApiError::new(Code::Unavailable))
    }

    /// Makes and stores a new snapshot, if one is wanted.
    pub(crate) async fn snapshot(&self, id: DocumentId, asks: For) -> Result<(), ApiError> {
        self.desk.wait_for(&id).await;
        if !self.desk.is_suspect(&id)? {
            let _turn = self.turns.take(asks.who.clone()).await?;
            let desk = Arc::clone(&self.desk);
            let work = move |verifier: &mut Verifier| desk.refresh(&id, verifier);
            let made = self.merging.run(asks.clone().timed(work))?.wait().await;
            let made = made.map_err(|fault| match fault.code {
                Code::TooLarge => no_snapshot("It would be larger than one that is given out here."),
                _ => fault,
            });
            if made? {
                return Ok(());
            }
        }
        self.verify(id, true, asks).await
    }

    /// Looks for what makes the library fail.
    async fn verify(&self, id: DocumentId, snapshot: bool, asks: For) -> Result<(), ApiError> {
        let desk = Arc::clone(&self.desk);
        let work = move |verifier: &mut Verifier| desk.verify((&id, snapshot), verifier);
        self.verifying.run(asks.timed(work))?.wait().await
    }

    /// Verifies what came since the last time, and makes a snapshot where that is due; blocks until that is done.
    /// Returns how long it took.
    pub(crate) fn verify_behind(&self, id: DocumentId) -> Result<Duration, ApiError> {
        let desk = Arc::clone(&self.desk);
        let work = move |verifier: &mut Verifier| {
            let started = Instant::now();
            desk.is_suspect(&id)?;
            desk.verify((&id, false), verifier).map(|()| started.elapsed())
        };
        self.verifying.run(work)?.wait_blocking()
    }

    /// The next document after `after` that was never verified to its end by this release.
    pub(crate) fn next_unverified(&self, after: i64) -> Result<Option<(i64, DocumentId)>, ApiError> {
        let next = self.desk.readers.read_here(|view| view.documents(&Which::Unverified(after), 1))?.pop();
        Ok(next.map(|document| (document.key, document.uuid)))
    }
}

impl Desk {
    /// Whether a document is to be verified before it is merged again. A fault while that is left alone.
    fn is_suspect(&self, id: &DocumentId) -> Result<bool, ApiError> {
        match self.suspects().get(id) {
            Some(Some(until)) if Instant::now() < *until => Err(ApiError::new(Code::Unavailable)),
            found => Ok(found.is_some()),
        }
    }

    fn take(&self, id: &DocumentId) -> Option<Taken<'_>> {
        let new = self.taken.lock().unwrap_or_else(PoisonError::into_inner).insert(*id);
        new.then(|| Taken(self, *id))
    }

    /// Waits until nobody verifies a document.
    async fn wait_for(&self, id: &DocumentId) {
        loop {
            let mut given_back = std::pin::pin!(self.given_back.notified());
            given_back.as_mut().enable();
            if !self.taken.lock().unwrap_or_else(PoisonError::into_inner).contains(id) {
                return;
            }
            given_back.await;
        }
    }

    fn suspects(&self) -> std::sync::MutexGuard<'_, HashMap<DocumentId, Option<Instant>>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn suspect(&self, document: &Document, unsound: &Unsound) {
        tracing::warn!(document = %document.uuid, why = unsound.why, "a document cannot be merged: it is verified");
        self.suspects().entry(document.uuid).or_insert(None);
    }

    /// Nobody asked for a while: the memory is given back.
    fn rest(&self, verifier: &mut Verifier) {
        let before = verifier.cached();
        verifier.rest();
        self.cached.fetch_sub(before, Ordering::Relaxed);
    }

    /// One trial of the whole log, without what is known to be bad.
    fn attempt(
        &self,
        (view, document): (&impl View, &Document),
        verifier: &mut Verifier,
        (shape, keep, examine): (Shape, bool, bool),
    ) -> Result<Option<Merge>, ApiError> {
        let known = view.known(document.key)?.left_out;
        let task = Task {
            document: document.key,
            epoch: 0,
            upto: document.end.position,
            expelled: known.keys().copied().collect(),
            shape,
            examine,
            keep,
            millis: millis(patience(self.longest).for_a_look(document.bytes)),
        };
        let before = verifier.cached();
        let outcome = verifier.work(&task, &mut LogSource { view, document: document.key });
        self.cached.fetch_add(verifier.cached().wrapping_sub(before), Ordering::Relaxed);
        match outcome? {
            Outcome::Written(mut merge) => {
                merge.left_out.extend(known);
                Ok(Some(merge))
            }
            Outcome::TooDeep(why) => {
                Err(ApiError::because(Code::TooLarge, format!("{why}: ask for the file.")))
            }
            Outcome::Unsound(unsound) => {
                self.suspect(document, &unsound);
                Ok(None)
            }
        }
    }

    /// `None` where it has become suspect.
    fn write(
        &self,
        (id, shape): (&DocumentId, Shape),
        verifier: &mut Verifier,
    ) -> Result<Option<Written>, ApiError> {
        self.readers.read_here(|view| {
            let document = mergeable(view, &self.limits, id)?;
            let end = document.end;
            let verified = view.known(document.key)?.verified.unwrap_or(0).min(end.position);
            // Somebody waits: what is small is verified first, and of what is large is said how far it was.
            let examine = verified < end.position && document.bytes <= EXAMINED;
            let Some(merge) = self.attempt((view, &document), verifier, (shape, true, examine))? else {
                return Ok(None);
            };
            let whole = examine && !merge.left_out.values().any(Reason::is_held);
            let verified = if whole { end } else { view.mark_at(document.key, end, verified)? };
            Ok(Some(Written { left_out: merge.left_out.len(), bytes: merge.bytes, end, upto: end, verified }))
        })
    }

    /// The document up to where it was verified. `None` where nothing of it was, or that cannot be merged.
    fn write_decided(
        &self,
        (id, shape): (&DocumentId, Shape),
        verifier: &mut Verifier,
    ) -> Result<Option<Written>, ApiError> {
        self.readers.read_here(|view| {
            let document = mergeable(view, &self.limits, id)?;
            let end = document.end;
            let Some(position) = view.known(document.key)?.verified.filter(|position| *position > 0) else {
                return Ok(None);
            };
            let upto = view.mark_at(document.key, end, position.min(end.position))?;
            let part = Document { end: upto, ..document };
            let Some(merge) = self.attempt((view, &part), verifier, (shape, true, false))? else {
                return Ok(None);
            };
            let left_out = merge.left_out.len();
            Ok(Some(Written { left_out, bytes: merge.bytes, end, upto, verified: upto }))
        })
    }

    /// A new snapshot, where one look at the document is enough for it.
    fn refresh(&self, id: &DocumentId, verifier: &mut Verifier) -> Result<bool, ApiError> {
        let _taken = self.take(id);
        let found = self.readers.read_here(|view| {
            let document = self.holdable(view, id)?;
            // Another may have made it while this one waited for its turn.
            if !snapshot_is_wanted(document.end.position, view.known(document.key)?.snapshot) {
                return Ok(Some(None));
            }
            let merge = self.attempt((view, &document), verifier, (Shape::File, false, true))?;
            let whole = merge.filter(|merge| !merge.left_out.values().any(Reason::is_held));
            let Some(merge) = whole else { return Ok(None) };
            snapshot::settle(view, &document, merge, (verifier, self.longest, true))
                .map(|found| Some(Some(found)))
        })?;
        match found {
            None => Ok(false),
            Some(None) => Ok(true),
            Some(Some(found)) => self.keep(id, found).map(|()| true),
        }
    }

    fn verify(&self, (id, asked): (&DocumentId, bool), verifier: &mut Verifier) -> Result<(), ApiError> {
        let _taken = self.take(id).ok_or_else(|| ApiError::new(Code::Unavailable))?;
        let suspect = self.suspects().contains_key(id);
        let found = self.readers.read_here(|view| {
            let document = self.holdable(view, id)?;
            let (end, stored) = (document.end.position, view.known(document.key)?.snapshot);
            let wants = snapshot_is_wanted(end, stored) && (asked || end >= GROWN_BY);
            if !suspect && !wants && view.known(document.key)?.verified == Some(end) {
                return Ok(None);
            }
            let known = view.known(document.key)?.left_out.len();
            let found = snapshot::examine(view, &document, verifier, (self.longest, wants))?;
            let new = found.left_out.len() > known;
            Ok::<_, ApiError>(Some((found, new)))
        })?;
        let Some((found, new)) = found else { return Ok(()) };
        let settled = found.verified.is_some();
        self.keep(id, found)?;
        if settled {
            return Ok(());
        }
        let rest = (!new).then(|| Instant::now() + REST);
        self.suspects().insert(*id, rest);
        Err(ApiError::new(Code::Unavailable))
    }

    /// Stores what was found; from then on the document is merged without it.
    fn keep(&self, id: &DocumentId, mut found: Found) -> Result<(), ApiError> {
        found.left_out.retain(|_, why| !why.is_held());
        let settled = found.verified.is_some();
        self.committer.found(found, now())?;
        if settled {
            self.suspects().remove(id);
        }
        Ok(())
    }

    fn holdable(&self, view: &impl View, id: &DocumentId) -> Result<Document, ApiError> {
        mergeable(view, &self.limits, id).map_err(|fault| match fault.code {
            Code::TooLarge => no_snapshot("Its log is larger than one that is merged here."),
            _ => fault,
        })
    }
}

fn mergeable(view: &impl View, limits: &ServerLimits, id: &DocumentId) -> Result<Document, ApiError> {
    let document = readable(view, id)?;
    if document.bytes > limits.merge_bytes {
        let detail = format!(
            "The log has {} bytes, and one of at most {} is merged here: read its changes.",
            document.bytes, limits.merge_bytes
        );
        return Err(ApiError::because(Code::TooLarge, detail));
    }
    Ok(document)
}
