//! Compaction behind: long logs, and logs that were left alone, become packs, one short step after another.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    time::{Duration, Instant},
};

use rejoin_protocol::DocumentId;

use crate::{
    LogError, ServerConfig,
    committer::Committer,
    log::{Document, Rows, Which, due, make_pack},
    readers::Readers,
};

/// Most notes that wait. Where one finds no room every document is looked at again.
const WAITING: usize = 4_096;
/// How long a document that is pushed to waits to be looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How many documents are looked at in one go where all are, and the pause after that.
const AT_ONCE: usize = 64;
const PAUSE: Duration = Duration::from_millis(100);

/// Says which documents were pushed to.
#[derive(Debug)]
pub(crate) struct Pushes {
    notes: SyncSender<DocumentId>,
    missed: Arc<AtomicBool>,
}

impl Pushes {
    pub(crate) fn note(&self, document: DocumentId) {
        if self.notes.try_send(document).is_err() {
            self.missed.store(true, Ordering::Relaxed);
        }
    }
}

/// Starts the thread; it ends when the notes are dropped.
pub(crate) fn start(
    readers: Readers,
    committer: Arc<Committer>,
    config: &ServerConfig,
) -> std::io::Result<Pushes> {
    let (notes, pushes) = sync_channel(WAITING);
    let missed = Arc::new(AtomicBool::new(true));
    let worker = Worker {
        readers,
        committer,
        quiet: config.compact_quiet,
        least: config.compact_least.max(1),
        missed: Arc::clone(&missed),
        pushed: HashMap::new(),
        round: None,
    };
    std::thread::Builder::new().name("compaction".to_owned()).spawn(move || worker.work(&pushes))?;
    Ok(Pushes { notes, missed })
}

struct Worker {
    readers: Readers,
    committer: Arc<Committer>,
    quiet: Duration,
    least: u64,
    missed: Arc<AtomicBool>,
    pushed: HashMap<DocumentId, Pushed>,
    /// A round over all documents: when it goes on, and after which key.
    round: Option<(Instant, i64)>,
}

/// When a document is to be looked at, while it is in use and once it was left alone.
#[derive(Debug, Clone, Copy)]
struct Pushed {
    look: Option<Instant>,
    idle: Instant,
}

impl Worker {
    fn work(mut self, pushes: &Receiver<DocumentId>) {
        loop {
            let now = Instant::now();
            if self.round.is_none() && self.missed.swap(false, Ordering::Relaxed) {
                self.round = Some((now + self.quiet, 0));
            }
            let next = match self.next_due() {
                None => pushes.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(due) => pushes.recv_timeout(due.saturating_duration_since(now)),
            };
            match next {
                Ok(document) => self.note(document, Instant::now()),
                Err(RecvTimeoutError::Timeout) => self.look(Instant::now()),
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn note(&mut self, document: DocumentId, now: Instant) {
        let pushed = self.pushed.entry(document).or_insert(Pushed { look: None, idle: now });
        pushed.idle = now + self.quiet;
        pushed.look.get_or_insert(now + LOOK);
    }

    fn next_due(&self) -> Option<Instant> {
        let pushed = self.pushed.values().map(|at| at.look.map_or(at.idle, |look| look.min(at.idle)));
        pushed.chain(self.round.map(|(at, _)| at)).min()
    }

    /// Does one step of what is due: what was pushed to meanwhile is noted between two steps.
    fn look(&mut self, now: Instant) {
        let due =
            self.pushed.iter().find(|(_, at)| at.idle <= now || at.look.is_some_and(|look| look <= now));
        if let Some((document, at)) = due.map(|(document, at)| (*document, *at)) {
            let idle = at.idle <= now;
            let more = self.step_of(&document, idle);
            match self.pushed.get_mut(&document) {
                Some(_) if idle && !more => drop(self.pushed.remove(&document)),
                Some(at) if !idle => at.look = more.then_some(now),
                _ => {}
            }
        } else if let Some((at, key)) = self.round.filter(|(at, _)| *at <= now) {
            self.round = self.next_of_round(key).map(|key| (at.max(now) + PAUSE, key));
        }
    }

    /// Looks at the next documents of a round. `None`: there are no more.
    fn next_of_round(&mut self, key: i64) -> Option<i64> {
        let documents = self.readers.read_here(|view| view.documents(&Which::After(key), AT_ONCE));
        let documents = documents.inspect_err(|error| self.complain(error)).ok()?;
        let last = documents.last()?.key;
        for document in documents.iter().filter(|document| !self.pushed.contains_key(&document.uuid)) {
            while self.step(document, Some(self.least)) {}
        }
        Some(last)
    }

    /// One pack of a document. Whether there may be another.
    fn step_of(&self, id: &DocumentId, idle: bool) -> bool {
        let document = self.readers.read_here(|view| view.document(id));
        let document = document.inspect_err(|error| self.complain(error)).ok().flatten();
        // What is behind a tombstone may be purged at any time: that is left to a round.
        document.is_some_and(|document| !document.deleted && self.step(&document, idle.then_some(self.least)))
    }

    fn step(&self, document: &Document, idle: Option<u64>) -> bool {
        let made = self.readers.read_here(|view| match due(view, document, idle)? {
            Some(run) => make_pack(view, document, run).map(Some),
            None => Ok::<_, LogError>(None),
        });
        match made.inspect_err(|error| self.complain(error)) {
            Ok(Some(packed)) => {
                tracing::debug!(document = %document.uuid, "a pack was made");
                matches!(self.committer.pack(packed), Ok(true)) && self.give_pages_back()
            }
            _ => false,
        }
    }

    fn give_pages_back(&self) -> bool {
        while let Ok(true) = self.committer.tidy() {}
        true
    }

    fn complain(&self, error: &LogError) {
        // At the end of the server the log is closed under it.
        if !matches!(error, LogError::Closed) {
            tracing::error!(%error, "a log could not be packed: it stays as it is");
        }
    }
}
