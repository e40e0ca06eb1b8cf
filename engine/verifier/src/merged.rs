//! A log, merged as far as the library takes it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Instant,
};

use super::{counted::Counted, source::Source, task::Task};
use automerge::{Automerge, Change, ChangeHash, ReadDoc};
use rejoin_protocol::{
    fence::{self, DocumentLimits, Limits},
    quarantine::Reason,
    untrusted::{
        Summary, apply_in_place, apply_untrusted, guarded, load_untrusted, parse_untrusted, verify_snapshot,
    },
};

/// About how many bytes of memory a byte of a plain change takes in a merged document (measured: 43 MB for
/// 100,000 changes of 110 bytes).
const MEMORY_A_BYTE: usize = 4;
/// The library keeps four bytes for each actor with every sixteenth change.
const CHANGES_A_CLOCK_BYTE: u64 = 16 / 4;
/// How often what was held is tried again.
const ROUNDS: usize = 4;

/// A document made from a prefix of its log.
#[derive(Debug, Clone)]
pub(super) struct Merged {
    pub(super) document: Automerge,
    /// Every change up to here was given to the library, or is in `left_out`.
    pub(super) position: u64,
    /// The changes that it leaves out, with why.
    pub(super) left_out: BTreeMap<u64, Reason>,
    /// Those among them that verification has found: never given to the library.
    pub(super) expelled: BTreeSet<u64>,
    /// The plain bytes that went in.
    pub(super) bytes: usize,
    /// The library could not take something of this log: from now on it works on copies.
    pub(super) careful: bool,
    /// How far its changes count.
    pub(super) counted: Counted,
}

impl Merged {
    /// Nothing yet.
    pub(super) fn empty(expelled: BTreeSet<u64>) -> Self {
        let (document, left_out) = (Automerge::new(), BTreeMap::new());
        let careful = !expelled.is_empty();
        let counted = Counted::default();
        Self { document, position: 0, left_out, expelled, bytes: 0, careful, counted }
    }

    /// From the stored snapshot, where there is one that ends at `upto` or before and holds nothing that is expelled.
    pub(super) fn begin<S: Source>(
        source: &mut S,
        expelled: BTreeSet<u64>,
        upto: u64,
    ) -> Result<Self, S::Error> {
        let last = upto.min(expelled.first().map_or(upto, |first| first.saturating_sub(1)));
        let empty = Self::empty(expelled);
        let stored = source.snapshot()?.filter(|(position, _)| (1..=last).contains(position));
        let Some((position, bytes)) = stored else { return Ok(empty) };
        let mut limits = DocumentLimits::default();
        (limits.bytes, limits.inflated) = (usize::MAX, u64::MAX);
        match load_untrusted(&bytes, &limits) {
            Ok(loaded) => {
                let counted = Counted::of(&loaded);
                Ok(Self { document: loaded, position, bytes: bytes.len() * 40, counted, ..empty })
            }
            // Invariant 10: "The raw bytes of a change are the system of record"; "a snapshot is a cache".
            Err(error) => {
                tracing::error!(%error, "a stored snapshot cannot be loaded: the log is read instead");
                Ok(empty)
            }
        }
    }

    /// Whether a task can go on from it.
    pub(super) fn serves(&self, task: &Task) -> bool {
        self.position <= task.upto && self.expelled == task.expelled
    }

    /// About how much memory it takes.
    pub(super) fn weight(&self) -> usize {
        let stats = self.document.stats();
        let clocks =
            usize::try_from(stats.num_changes.saturating_mul(stats.num_actors) / CHANGES_A_CLOCK_BYTE);
        let clocks = clocks.unwrap_or(usize::MAX);
        self.bytes.saturating_mul(MEMORY_A_BYTE).saturating_add(clocks).saturating_add(4_096)
    }

    /// Takes in the log up to `upto`; `false` where that is not done by `deadline`.
    pub(super) fn advance<S: Source>(
        &mut self,
        source: &mut S,
        upto: u64,
        deadline: Instant,
    ) -> Result<bool, S::Error> {
        while self.position < upto {
            if Instant::now() >= deadline {
                return Ok(false);
            }
            let Some(mut batch) = Batch::read(source, (self.position, upto), &self.expelled)? else {
                self.position = upto;
                continue;
            };
            batch.measure(&mut self.counted);
            self.careful |= !batch.unreadable.is_empty();
            if !self.careful {
                let changes = std::mem::take(&mut batch.changes).into_iter().map(|(_, change)| change);
                if let Err(why) = apply_in_place(&mut self.document, changes.collect()) {
                    tracing::debug!(%why, "a log is merged again, on copies");
                    // The document is spoilt, and can be made again from the log.
                    let again = Self::begin(source, std::mem::take(&mut self.expelled), upto)?;
                    *self = Self { careful: true, ..again };
                    continue;
                }
            }
            self.position = batch.last;
            self.bytes += batch.bytes;
            self.left_out.extend(std::mem::take(&mut batch.unreadable));
            if self.careful {
                self.apply_on_copies(batch.changes);
            }
        }
        Ok(true)
    }

    fn apply_on_copies(&mut self, mut changes: Vec<(u64, Change)>) {
        for _ in 0..ROUNDS {
            let given = changes.iter().map(|(_, change)| change.clone()).collect();
            let outcome = apply_untrusted(&mut self.document, given, None);
            let mut reasons: HashMap<ChangeHash, Reason> = outcome.quarantined.into_iter().collect();
            // Against what is held nothing is known: it is given in again.
            changes.retain(|(at, change)| match reasons.remove(&change.hash()) {
                None => false,
                Some(reason) if reason.is_held() => true,
                Some(reason) => {
                    self.left_out.insert(*at, reason);
                    false
                }
            });
            if changes.is_empty() {
                return;
            }
        }
        self.left_out.extend(changes.iter().map(|(at, _)| (*at, Reason::Held(String::new()))));
    }

    /// A compact file of it, which was loaded again and found equal.
    pub(super) fn to_file(&self) -> Result<Vec<u8>, String> {
        let bytes = guarded(|| self.document.save())?;
        verify_snapshot(&self.document, &bytes)?;
        Ok(bytes)
    }

    /// The same, and the document goes before the file is loaded again: while that lasts, the library needs more
    /// than twice the memory of a document for it alone.
    pub(super) fn into_file(self) -> Result<Vec<u8>, String> {
        let bytes = guarded(|| self.document.save())?;
        let summary = Summary::of(&self.document)?;
        drop(self);
        summary.verify(&bytes)?;
        Ok(bytes)
    }
}

/// A piece of a log, parsed.
struct Batch {
    changes: Vec<(u64, Change)>,
    unreadable: Vec<(u64, Reason)>,
    last: u64,
    bytes: usize,
}

impl Batch {
    /// Leaves out what counts too far. What depends on that lacks it then, and is left out by the library.
    fn measure(&mut self, counted: &mut Counted) {
        let unreadable = &mut self.unreadable;
        self.changes.retain(|(position, change)| match counted.take(change) {
            Ok(()) => true,
            Err(refusal) => {
                unreadable.push((*position, Reason::Refused(refusal.detail)));
                false
            }
        });
    }

    /// `None` where there is nothing more up to there.
    fn read<S: Source>(
        source: &mut S,
        (after, upto): (u64, u64),
        expelled: &BTreeSet<u64>,
    ) -> Result<Option<Self>, S::Error> {
        let mut batch = Self { changes: Vec::new(), unreadable: Vec::new(), last: after, bytes: 0 };
        for (position, bytes) in source.batch(after, upto)? {
            batch.last = position;
            batch.bytes += bytes.len();
            if expelled.contains(&position) {
                batch.unreadable.push((position, Reason::Refused("it is quarantined".to_owned())));
                continue;
            }
            match parse(&bytes) {
                Ok(change) => batch.changes.push((position, change)),
                Err(why) => batch.unreadable.push((position, Reason::Refused(why))),
            }
        }
        Ok((batch.last > after).then_some(batch))
    }
}

fn parse(bytes: &[u8]) -> Result<Change, String> {
    let checked = fence::check_bytes(bytes, &Limits::unbounded()).map_err(|refusal| refusal.to_string())?;
    #[cfg(feature = "planted-bugs")]
    strike(checked.message.as_deref());
    parse_untrusted(&checked)
}

/// For tests: what no known change makes the library do, a message makes this do.
#[cfg(feature = "planted-bugs")]
fn strike(message: Option<&str>) {
    match message {
        Some("planted: never ends") => loop {
            std::thread::sleep(std::time::Duration::from_secs(1));
        },
        Some("planted: takes all memory") => {
            let mut taken: Vec<Vec<u8>> = Vec::new();
            while taken.len() < 1 << 20 {
                taken.push(vec![1; 1 << 20]);
            }
        }
        Some("planted: ends the process") => std::process::abort(),
        _ => {}
    }
}
