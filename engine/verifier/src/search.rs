//! Verification, behind the log: finds the changes with which a document cannot be merged, saved, loaded again and
//! read. The raw log keeps them and hands them on; merged documents and snapshots go without them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use super::{
    graph::Graph,
    source::Source,
    task::{Cause, Merge, Outcome, Shape, Task, Unsound},
    verifier::{Failed, Verifier},
};
use rejoin_protocol::{DocumentId, quarantine::Reason};

/// Most trials that one turn of a document takes. What was found by then is kept, and the next turn goes on.
const TRIALS: u32 = 64;
/// What a look at a part of a log may take beside the time that its bytes get.
const LOOK: Duration = Duration::from_secs(2);
/// Bytes of a log that get a second.
const BYTES_A_SECOND: u64 = 1024 * 1024;

/// What is to be left out of a document: positions, and why.
pub type LeftOut = BTreeMap<u64, Reason>;

/// A document whose log is looked at.
#[derive(Debug, Clone)]
pub struct Subject {
    /// What it is called where something is logged.
    pub id: DocumentId,
    /// As in [`Task`].
    pub document: i64,
    /// As in [`Task`].
    pub epoch: i64,
    /// The last position of its log.
    pub end: u64,
    /// How many bytes its log has: a look gets a second for each MiB beside its time.
    pub bytes: u64,
    /// What is known to be left out.
    pub known: LeftOut,
}

/// How long a search may take.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// One trial, beside the time that the bytes of the log get.
    pub longest: Duration,
    /// All of a turn: then it comes to an end with what it has found.
    pub turn: Duration,
}

impl Patience {
    /// How long the first look at a document may take, where others wait.
    pub fn for_a_look(&self, bytes: u64) -> Duration {
        time_for(self.longest.min(LOOK), bytes)
    }

    /// How long one trial may take.
    pub fn for_a_trial(&self, bytes: u64) -> Duration {
        time_for(self.longest, bytes)
    }
}

/// What a turn came to.
#[derive(Debug)]
pub enum Verdict {
    /// Everything else can be merged, saved, loaded again and read.
    Settled(Merge),
    /// Not all was found out; this is to be left out for all that is known.
    Unsettled(LeftOut),
}

fn time_for(base: Duration, bytes: u64) -> Duration {
    base.saturating_add(Duration::from_millis(bytes.saturating_mul(1_000) / BYTES_A_SECOND))
}

/// Looks at the whole log of a document, and where that fails for what makes it fail.
///
/// # Errors
/// As for [`Verifier::work`].
pub fn find<S: Source>(
    source: &mut S,
    subject: &Subject,
    verifier: &mut Verifier,
    patience: Patience,
) -> Result<Verdict, Failed<S::Error>> {
    let known = subject.known.clone();
    Turn { source, subject, verifier, patience, known, sound: 0, trials: TRIALS }.go()
}

/// One turn of a document.
struct Turn<'t, S> {
    source: &'t mut S,
    subject: &'t Subject,
    verifier: &'t mut Verifier,
    patience: Patience,
    known: LeftOut,
    /// Up to there the log can be merged without what is known.
    sound: u64,
    trials: u32,
}

/// What a part of the log came to that could be merged.
#[derive(Debug, Clone, Copy)]
struct Cost {
    took: Duration,
    peak: u64,
}

impl<S: Source> Turn<'_, S> {
    fn go(mut self) -> Result<Verdict, Failed<S::Error>> {
        let (end, started) = (self.subject.end, Instant::now());
        let mut fresh = false;
        while self.trials > 0 && started.elapsed() < self.patience.turn {
            let (outcome, _) = self.attempt(end, (self.patience.longest, fresh))?;
            let unsound = match outcome {
                Outcome::Written(merge) if self.learn(&merge) => continue,
                Outcome::Written(merge) => return Ok(Verdict::Settled(self.settle(merge))),
                Outcome::TooDeep(_) => break,
                Outcome::Unsound(unsound) => unsound,
            };
            if unsound.cause == Cause::Resources && !fresh {
                // It may have been what the process had served before.
                fresh = true;
                continue;
            }
            tracing::warn!(document = %self.subject.id, why = unsound.why, "a log cannot be merged whole");
            let Some((first, why)) = self.search(unsound)? else { break };
            let culprit = self.blame(first)?;
            tracing::warn!(document = %self.subject.id, position = culprit, why, "a change is quarantined");
            self.known.insert(culprit, Reason::Refused(why));
            self.sound = first.saturating_sub(1).max(self.sound);
        }
        Ok(Verdict::Unsettled(self.known))
    }

    /// Where the library was given so much that fails that it did not get to the end of it: what it found is not
    /// given to it again. `false` where there is nothing more to learn.
    fn learn(&mut self, merge: &Merge) -> bool {
        let (before, held) = (self.known.len(), merge.left_out.values().any(Reason::is_held));
        if held {
            let found = merge.left_out.iter().filter(|(_, why)| !why.is_held());
            for (at, why) in found {
                self.known.entry(*at).or_insert_with(|| why.clone());
            }
        }
        self.known.len() > before
    }

    /// With the reasons by which things were found.
    fn settle(&self, mut merge: Merge) -> Merge {
        merge.left_out.extend(self.known.clone());
        merge
    }

    /// Which change is left out where the log is unsound up to `first` and sound before it. "Every replica decides this
    /// from the change and its ancestors alone": it is the first one, if it is unsound with its ancestors alone.
    /// Otherwise it and one beside it do not go together, and of the two the greater hash goes, whichever came first.
    fn blame(&mut self, first: u64) -> Result<u64, Failed<S::Error>> {
        let graph = Graph::read(self.source, first).map_err(Failed::Source)?;
        let beside: Vec<u64> = graph.beside(first).filter(|at| !self.known.contains_key(at)).collect();
        if beside.is_empty() || !self.is_sound(first, &beside)? {
            return Ok(first);
        }
        let (mut good, mut bad) = (0, beside.len());
        while bad - good > 1 && self.trials > 0 {
            let middle = good + (bad - good) / 2;
            match self.is_sound(first, beside.get(middle..).unwrap_or_default())? {
                true => good = middle,
                false => bad = middle,
            }
        }
        let met = bad.checked_sub(1).and_then(|at| beside.get(at)).copied().unwrap_or(first);
        Ok(if graph.hash(met) > graph.hash(first) { met } else { first })
    }

    /// Whether the log is sound up to a position, with the change there, and without what is known and these.
    fn is_sound(&mut self, upto: u64, without: &[u64]) -> Result<bool, Failed<S::Error>> {
        let look = self.patience.longest.min(LOOK);
        let expelled = self.known.keys().chain(without).copied().collect();
        let (outcome, _) = self.attempt_without(upto, (look, true), expelled)?;
        Ok(match outcome {
            Outcome::Unsound(_) => false,
            // What the library does not take on its ancestors alone is no sounder for being left out at once.
            Outcome::Written(merge) => !merge.left_out.contains_key(&upto),
            Outcome::TooDeep(_) => true,
        })
    }

    /// Merges the log up to `upto`; and what that took.
    fn attempt(&mut self, upto: u64, how: (Duration, bool)) -> Result<(Outcome, Duration), Failed<S::Error>> {
        self.attempt_without(upto, how, self.known.keys().copied().collect())
    }

    fn attempt_without(
        &mut self,
        upto: u64,
        (base, fresh): (Duration, bool),
        expelled: BTreeSet<u64>,
    ) -> Result<(Outcome, Duration), Failed<S::Error>> {
        self.trials = self.trials.saturating_sub(1);
        let task = Task {
            document: self.subject.document,
            epoch: self.subject.epoch,
            upto,
            expelled,
            shape: Shape::File,
            examine: true,
            keep: false,
            millis: millis(time_for(base, self.subject.bytes)),
        };
        let started = Instant::now();
        let outcome = if fresh {
            self.verifier.fresh().work(&task, self.source)?
        } else {
            self.verifier.work(&task, self.source)?
        };
        Ok((outcome, started.elapsed()))
    }

    /// The first change with which the log, up to there and without what is known, cannot be merged and written.
    /// `None` where that cannot be told.
    fn search(&mut self, mut unsound: Unsound) -> Result<Option<(u64, String)>, Failed<S::Error>> {
        // What is known may lie before others that were found sound with it.
        let (mut good, mut bad) = (self.sound, self.subject.end);
        let mut cost = None;
        let look = self.patience.longest.min(LOOK);
        while bad - good > 1 {
            if self.trials == 0 {
                return Ok(None);
            }
            let middle = good + (bad - good) / 2;
            match self.attempt(middle, (look, true))? {
                (Outcome::Unsound(why), _) => (bad, unsound) = (middle, why),
                (Outcome::Written(merge), took) => {
                    (good, cost) = (middle, Some(Cost { took, peak: merge.peak }))
                }
                (Outcome::TooDeep(_), took) => (good, cost) = (middle, Some(Cost { took, peak: 0 })),
            }
        }
        if unsound.cause == Cause::Resources && !self.is_proven((good, bad), cost)? {
            tracing::error!(document = %self.subject.id, "a log cannot be verified in the time and memory for it");
            return Ok(None);
        }
        Ok(Some((bad, unsound.why)))
    }

    /// Time and memory prove something against a change only where everything before it needs less than half of
    /// them: a good document may just be large, a machine busy, and a process that verifies broken.
    fn is_proven(&mut self, (good, bad): (u64, u64), before: Option<Cost>) -> Result<bool, Failed<S::Error>> {
        let before = match before {
            Some(cost) => cost,
            None => match self.attempt(good, (self.patience.longest, true))? {
                (Outcome::Written(merge), took) => Cost { took, peak: merge.peak },
                _ => return Ok(false),
            },
        };
        let room = self.verifier.memory().is_none_or(|memory| before.peak < memory / 2);
        let quick = before.took < time_for(self.patience.longest, self.subject.bytes) / 2;
        let (again, _) = self.attempt(bad, (self.patience.longest, true))?;
        Ok(room && quick && matches!(again, Outcome::Unsound(_)))
    }
}

/// A time as in [`Task::millis`].
pub fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
