use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rejoin::{DocumentId, state::to_json, untrusted::guarded};

use super::{cache::Cache, merged::Merged, snapshot, workers::Workers};
use crate::{
    ServerConfig, ServerLimits,
    committer::Committer,
    log::{Document, Mark, View},
    readers::Readers,
    rules::{Code, Fault, readable},
    state::now,
};

/// The longest work on one question, waited for or not.
const LONGEST: Duration = Duration::from_secs(60);
/// Most changes that verification takes out of one document before it gives up.
const EXPELLED: usize = 16;

/// A merged document, written.
#[derive(Debug)]
pub(crate) struct Written {
    pub(crate) bytes: Vec<u8>,
    pub(crate) end: Mark,
    /// How many changes it leaves out.
    pub(crate) left_out: usize,
}

/// How a merged document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    Json,
    File,
}

/// Merges documents on threads of its own, which also makes the memory that one merge gave back serve the next.
#[derive(Debug, Clone)]
pub(crate) struct Merger {
    desk: Arc<Desk>,
    workers: Workers,
}

/// What a merge works with.
#[derive(Debug)]
struct Desk {
    readers: Readers,
    committer: Arc<Committer>,
    cache: Mutex<Cache>,
    limits: ServerLimits,
}

impl Merger {
    pub(crate) fn start(
        readers: Readers,
        committer: Arc<Committer>,
        config: &ServerConfig,
    ) -> std::io::Result<Self> {
        let cache = Mutex::new(Cache::new(config.cache_bytes));
        let desk = Desk { readers, committer, cache, limits: config.limits };
        Ok(Self { desk: Arc::new(desk), workers: Workers::start(config.merges)? })
    }

    /// Memory of merged documents, as estimated.
    pub(crate) fn cached_bytes(&self) -> usize {
        self.desk.cache.lock().unwrap_or_else(PoisonError::into_inner).used()
    }

    /// The merged document as of the log's end when the work on it begins.
    pub(crate) async fn document(&self, id: DocumentId, shape: Shape) -> Result<Written, Fault> {
        let desk = Arc::clone(&self.desk);
        self.workers.run(move || desk.readers.read_here(|view| desk.write(view, &id, shape)))?.wait().await
    }

    /// Makes and stores a new snapshot, if one is wanted.
    pub(crate) async fn snapshot(&self, id: DocumentId) -> Result<(), Fault> {
        let desk = Arc::clone(&self.desk);
        self.workers.run(move || desk.refresh(&id))?.wait().await
    }

    /// The same, where the caller may block; small logs need none.
    pub(crate) fn snapshot_if_due(&self, id: DocumentId) -> Result<(), Fault> {
        let desk = Arc::clone(&self.desk);
        let work = move || if desk.is_due(&id)? { desk.refresh(&id) } else { Ok(()) };
        self.workers.run(work)?.wait_blocking()
    }
}

impl Desk {
    fn is_due(&self, id: &DocumentId) -> Result<bool, Fault> {
        self.readers.read_here(|view| {
            let document = mergeable(view, &self.limits, id)?;
            let (end, stored) = (document.end.position, view.stored_snapshot(document.key)?);
            Ok(end >= snapshot::GROWN_BY && snapshot::wanted(end, stored))
        })
    }

    fn refresh(&self, id: &DocumentId) -> Result<(), Fault> {
        let made = self.readers.read_here(|view| {
            let document = mergeable(view, &self.limits, id).map_err(|fault| match fault.code {
                Code::TooLarge => snapshot::no_snapshot("Its log is larger than one that is merged here."),
                _ => fault,
            })?;
            // Another may have made it while this one waited for its turn.
            if !snapshot::wanted(document.end.position, view.stored_snapshot(document.key)?) {
                return Ok(None);
            }
            snapshot::make(view, &document, Instant::now() + LONGEST).map(Some)
        })?;
        made.map_or(Ok(()), |made| self.committer.snapshot(made, now()))
    }

    fn write(&self, view: View<'_>, id: &DocumentId, shape: Shape) -> Result<Written, Fault> {
        let document = mergeable(view, &self.limits, id)?;
        let deadline = Instant::now() + LONGEST;
        let mut merged = match self.cached(|cache| cache.take(document.key)) {
            Some(merged) => merged,
            None => Merged::from_snapshot(view, document.key, document.end.position)?,
        };
        let written = self.write_at_end(view, &document, (&mut merged, shape), deadline);
        let left_out = merged.left_out.len();
        self.cached(|cache| cache.put(document.key, merged));
        Ok(Written { bytes: written?, end: document.end, left_out })
    }

    /// Brings `merged` to the end of the log and writes it. What cannot be written is found and left out.
    fn write_at_end(
        &self,
        view: View<'_>,
        document: &Document,
        (merged, shape): (&mut Merged, Shape),
        deadline: Instant,
    ) -> Result<Vec<u8>, Fault> {
        loop {
            merged.advance(view, document.key, document.end.position, deadline)?;
            let why = match shape.write(merged)? {
                Ok(bytes) => return Ok(bytes),
                Err(why) => why,
            };
            tracing::warn!(document = %document.uuid, %why, "a merged document cannot be written");
            if merged.expelled.len() >= EXPELLED {
                return Err(Fault::new(Code::Unavailable));
            }
            expel(view, document, (merged, shape), deadline)?;
        }
    }

    fn cached<T>(&self, work: impl FnOnce(&mut Cache) -> T) -> T {
        work(&mut self.cache.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Finds the first change with which the document cannot be written, and begins anew without it.
fn expel(
    view: View<'_>,
    document: &Document,
    (merged, shape): (&mut Merged, Shape),
    deadline: Instant,
) -> Result<(), Fault> {
    let mut expelled = std::mem::take(&mut merged.expelled);
    let (mut good, mut bad) = (0, merged.position);
    while bad - good > 1 {
        let middle = good + (bad - good) / 2;
        let mut trial = Merged::empty(expelled.clone());
        trial.advance(view, document.key, middle, deadline)?;
        if shape.write(&trial)?.is_ok() { good = middle } else { bad = middle }
    }
    expelled.insert(bad);
    *merged = Merged::empty(expelled);
    Ok(())
}

impl Shape {
    /// The bytes; or why the library cannot give them.
    fn write(self, merged: &Merged) -> Result<Result<Vec<u8>, String>, Fault> {
        if self == Self::File {
            return Ok(merged.to_file());
        }
        match guarded(|| to_json(&merged.document, "", None)) {
            Ok(Ok(state)) => Ok(Ok(crate::rules::to_json(&state))),
            Ok(Err(too_deep)) => {
                Err(Fault::because(Code::TooLarge, format!("{too_deep}: ask for the file.")))
            }
            Err(why) => Ok(Err(why)),
        }
    }
}

fn mergeable(view: View<'_>, limits: &ServerLimits, id: &DocumentId) -> Result<Document, Fault> {
    let document = readable(view, id)?;
    if document.bytes > limits.merge_bytes {
        let detail = format!(
            "The log has {} bytes, and one of at most {} is merged here: read its changes.",
            document.bytes, limits.merge_bytes
        );
        return Err(Fault::because(Code::TooLarge, detail));
    }
    Ok(document)
}
