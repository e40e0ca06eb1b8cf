//! Giving the library changes and files that nobody vouches for.
//!
//! "Whatever a remote side sends, nothing panics past its task": the library panics on some changes that the
//! fence cannot tell from good ones, and leaves the document half changed. So it only ever works on a copy,
//! inside `catch_unwind`, and the copy takes the document's place when all went well.
//!
//! The unwinding needs panics that unwind: a build with `panic = "abort"` is refused, unless the feature
//! `allow-panic-abort` says that a hostile change may end the process.

mod crowd;
mod examine;
mod next;
mod references;

use std::{
    cell::Cell,
    collections::{HashMap, HashSet},
    ops::Range,
    panic::{self, AssertUnwindSafe},
};

use automerge::{Automerge, Change, ChangeHash, PatchLog, ReadDoc};

pub use crowd::CROWD;
pub use examine::{Summary, examine, examine_next, verify_snapshot};

use references::{Objection, References};

use crate::fence::{CheckedChange, ChunkKind, DocumentLimits, Refusal, check_document, frame};
use crate::planted::{Bug, is_planted};
use crate::quarantine::Reason;

#[cfg(all(panic = "abort", not(feature = "allow-panic-abort")))]
compile_error!(
    "rejoin contains the panics of hostile changes by unwinding, which panic = \"abort\" makes impossible; \
     set panic = \"unwind\", or enable the feature `allow-panic-abort` and let such a change end the process"
);

/// Most trials on a copy that one batch may take to find what fails. What is not settled by then is held.
pub const TRIALS: usize = 64;

/// How often a batch may have its document read anew.
const ANEW: usize = 8;

/// Most operations that are tried in one go, unless one change alone has more: the library needs some
/// 400 bytes for each while it works.
const OPERATIONS_A_TRIAL: usize = 200_000;

/// What did not go into the document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// In the order in which they came, with why; those that depend on one of them too.
    pub quarantined: Vec<(ChangeHash, Reason)>,
    /// The document was read anew on the way, and the patches do not tell it all.
    pub untold: bool,
}

/// Why a compact Automerge file was not loaded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LoadRefused {
    /// The fence did not let it through.
    #[error(transparent)]
    Fence(#[from] Refusal),
    /// The library did not load it, or panicked.
    #[error("Automerge cannot load it: {0}")]
    Library(String),
}

thread_local! {
    /// Whether a panic on this thread is one that [`guarded`] catches.
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Runs `work`, which hands remote data to the library, and makes an error of a panic: the panic's message.
/// For reading as well (`hydrate`, `make_patches`, `save`): of some documents that were accepted the library
/// cannot read all. What `work` changed is to be thrown away after an error.
///
/// # Errors
/// The message of the panic.
pub fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    contained(work).map_err(|reason| format!("Automerge panicked: {reason}"))
}

/// [`guarded`], for work that is not the library's: the app's own reducers and middleware.
pub fn contained<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    let outer = GUARDED.replace(true);
    let result = panic::catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(outer);
    result.map_err(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        text.unwrap_or_else(|| "without a message".to_owned())
    })
}

/// Sends panics to `tracing`: those that [`guarded`] catches as `debug`, for they are expected and reported
/// by what called it; every other as `error`, and on to the hook that was there before. For an
/// application to call once, as the hook belongs to the process; without it a caught panic is printed to
/// standard error and does no other harm.
pub fn install_panic_hook() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        if GUARDED.get() {
            tracing::debug!(panic = %info, "a panic that is contained");
        } else {
            tracing::error!(panic = %info, "a panic");
            before(info);
        }
    }));
}

/// Applies changes that passed the fence, in the order in which they come: dependencies first. What makes
/// the library fail or panic is found by bisection and left out, and what depends on it is never given to
/// the library. The document takes in all the rest, and keeps its actor and author; after a failure it is
/// as it was. The library never gets a change whose dependencies it does not hold, nor one that refers to what is not
/// there, nor one that makes an object deeper in others than [`crate::fence::DEPTH`]: reading that would end the
/// process. Which those are follows from each and its ancestors alone.
///
/// `patches` is a new log for this batch; it tells of what was applied.
///
/// To find what fails, at most [`TRIALS`] more copies are made; what is not settled by then is held, and is in
/// the outcome with [`Reason::Held`]. Given in again, it gets on. Everything else in the
/// outcome can be tried again with another release of the library.
pub fn apply_untrusted(
    document: &mut Automerge,
    changes: Vec<Change>,
    patches: Option<&mut PatchLog>,
) -> Outcome {
    let left_out = unfounded(document, &changes);
    apply_founded(document, changes, left_out, patches)
}

/// [`apply_untrusted`], for changes whose references were looked up when they came.
pub fn apply_checked(
    document: &mut Automerge,
    changes: Vec<Change>,
    patches: Option<&mut PatchLog>,
) -> Outcome {
    apply_founded(document, changes, HashMap::new(), patches)
}

fn apply_founded(
    document: &mut Automerge,
    changes: Vec<Change>,
    left_out: LeftOut,
    patches: Option<&mut PatchLog>,
) -> Outcome {
    if let Some(outcome) = crowd::read_anew(document, &changes, &left_out) {
        return outcome;
    }
    let mut none = PatchLog::inactive();
    let patches = patches.unwrap_or(&mut none);
    let portions = portions(document, &changes);
    let mut batch = Batch { document, patches, left_out, trials: TRIALS, anew: ANEW, changes };
    for range in portions {
        // The first try of a portion is free: so honest changes all go in, however many they are.
        batch.trials = batch.trials.saturating_add(1);
        batch.settle(range, false);
    }
    let mut left_out: Vec<_> = batch.left_out.into_iter().collect();
    left_out.sort_unstable_by_key(|(_, (at, _))| *at);
    let untold = batch.anew < ANEW;
    Outcome { quarantined: left_out.into_iter().map(|(hash, (_, reason))| (hash, reason)).collect(), untold }
}

/// Applies changes to the document itself: for one that can be made again, and where a copy of it would cost too
/// much memory. They are all new to it, and each comes after what it depends on. All go in, or it fails.
///
/// # Errors
/// Why it failed. The document is half changed then, and to be thrown away: [`apply_untrusted`] finds out which
/// change it was.
pub fn apply_in_place(document: &mut Automerge, changes: Vec<Change>) -> Result<(), String> {
    if let Some((_, why)) = unfounded(document, &changes).into_values().min() {
        return Err(why.to_string());
    }
    if let Some(all) = crowd::gathered(document, &changes) {
        let actor = document.get_actor().clone();
        *document = Automerge::new().with_author(document.get_author().cloned());
        apply_portions(document, all)?;
        document.set_actor(actor);
        return Ok(());
    }
    apply_portions(document, changes)
}

fn apply_portions(document: &mut Automerge, mut changes: Vec<Change>) -> Result<(), String> {
    for range in portions(document, &changes) {
        let portion = changes.drain(..range.len()).collect();
        guarded(|| take_in(document, &mut PatchLog::inactive(), portion))??;
    }
    Ok(())
}

/// Why a change is left out, in words for people; what the library says is for those who look into it.
fn does_harm(why: &str) -> Reason {
    Reason::Refused(harm(why))
}

fn harm(why: &str) -> String {
    format!("it would harm the document ({why})")
}

/// Runs of changes with a bounded number of operations. Where a document begins with them, crowds come with the first.
fn portions(document: &Automerge, changes: &[Change]) -> Vec<Range<usize>> {
    let (mut portions, mut start, mut operations) = (Vec::new(), 0, 0_usize);
    for (at, change) in changes.iter().enumerate() {
        operations = operations.saturating_add(change.len());
        if operations > OPERATIONS_A_TRIAL && at > start {
            portions.push(start..at);
            (start, operations) = (at, change.len());
        }
    }
    portions.push(start..changes.len());
    if document.get_heads().is_empty() {
        crowd::join_portions(&mut portions, changes);
    }
    portions
}

/// Changes on their way into a document.
struct Batch<'a> {
    document: &'a mut Automerge,
    patches: &'a mut PatchLog,
    changes: Vec<Change>,
    /// Quarantined or held, with the place in the batch and why: nothing that depends on one is tried.
    left_out: LeftOut,
    trials: usize,
    /// How often the document may still be read anew.
    anew: usize,
}

/// What did not go into a document: its place in its batch, and why.
type LeftOut = HashMap<ChangeHash, (usize, Reason)>;

/// Looks up what the changes of a whole document refer to, dependencies first: one that anybody would leave out refuses it.
pub fn check_references(changes: &[Change]) -> Result<(), String> {
    unfounded(&Automerge::new(), changes).into_values().min().map_or(Ok(()), |(_, why)| Err(why.to_string()))
}

/// Which changes of a batch refer to what is not there; or could not be looked up, and are held.
fn unfounded(document: &Automerge, changes: &[Change]) -> LeftOut {
    if is_planted(Bug::ReferencesUnchecked) {
        return LeftOut::new();
    }
    let hashes: Vec<ChangeHash> = changes.iter().map(Change::hash).collect();
    let lacked: HashSet<ChangeHash> = document.get_missing_deps(&hashes).into_iter().collect();
    let mut references = References::new(document);
    let mut left_out = LeftOut::new();
    for (at, change) in changes.iter().enumerate().filter(|(_, change)| lacked.contains(&change.hash())) {
        let checked = guarded(|| references.check(change));
        let reason = match checked {
            Ok(Ok(())) => continue,
            Ok(Err(Objection::Refused(why))) => does_harm(&why),
            Err(why) => does_harm(&format!("what it refers to cannot be looked up: {why}")),
            Ok(Err(Objection::Held(why))) => Reason::Held(why.to_owned()),
        };
        left_out.insert(change.hash(), (at, reason));
    }
    if is_planted(Bug::BadChangeFailsBatch)
        && let Some((_, reason)) = left_out.values().next().cloned()
    {
        let all = changes.iter().map(Change::hash).enumerate();
        left_out.extend(all.map(|(at, hash)| (hash, (at, reason.clone()))));
    }
    left_out
}

impl Batch<'_> {
    /// Applies what can be applied of a range, earlier ones first. `fails` says that it is known to fail as
    /// a whole: its first half went in, and with its second half it did not.
    fn settle(&mut self, range: Range<usize>, fails: bool) {
        if range.is_empty() {
            return;
        }
        let mut reason = String::new();
        if !fails || range.len() == 1 {
            match self.attempt(&range) {
                Ok(()) => return,
                Err(why) => reason = why,
            }
        }
        if is_planted(Bug::BadChangeFailsBatch) {
            range.for_each(|at| self.leave_out(at, Reason::Refused(reason.clone())));
            return;
        }
        if range.len() == 1 && !reason.is_empty() {
            return match self.read_anew(&range) {
                Some(true) => {}
                Some(false) => {
                    self.leave_out(range.start, does_harm(&format!("Automerge fails on it: {reason}")))
                }
                None => self.hold(range),
            };
        }
        if self.trials == 0 {
            return self.hold(range);
        }
        let middle = range.start + range.len() / 2;
        let before = self.left_out.len();
        self.settle(range.start..middle, false);
        self.settle(middle..range.end, before == self.left_out.len());
    }

    /// Tries a range on a copy, which takes the document's place if all of it went in.
    fn attempt(&mut self, range: &Range<usize>) -> Result<(), String> {
        let admitted = self.admitted(range);
        if admitted.is_empty() {
            return Ok(());
        }
        let Some(left) = self.trials.checked_sub(1) else { return Err(String::new()) };
        self.trials = left;
        let (document, patches) = trial(self.document, self.patches, admitted)?;
        (*self.document, *self.patches) = (document, patches);
        Ok(())
    }

    /// Tries a change that failed together with all others at once: some of them fail only where the library works out
    /// what they change in a document that is there already, and which that is depends on what came first. `None` where
    /// that was done too often.
    fn read_anew(&mut self, range: &Range<usize>) -> Option<bool> {
        self.anew = self.anew.checked_sub(1)?;
        let admitted = self.admitted(range);
        let document = guarded(|| {
            let mut all = self.document.get_changes(&[]);
            all.extend(admitted);
            let mut anew = Automerge::new().with_author(self.document.get_author().cloned());
            take_in(&mut anew, &mut PatchLog::inactive(), all)?;
            // Afterwards: of an actor that is set before it comes with its changes the library would count from one.
            anew.set_actor(self.document.get_actor().clone());
            Ok::<_, String>(anew)
        });
        let Ok(Ok(document)) = document else { return Some(false) };
        *self.document = document;
        Some(true)
    }

    /// What the library may be given of a range: everything that it lacks and whose dependencies it then has.
    /// "Changes whose dependencies are missing are queued inside without bound: never give them in."
    fn admitted(&mut self, range: &Range<usize>) -> Vec<Change> {
        let asked: Vec<ChangeHash> = self
            .changes
            .get(range.clone())
            .into_iter()
            .flatten()
            .flat_map(|change| change.deps().iter().copied().chain([change.hash()]))
            .collect();
        let mut lacked: HashSet<ChangeHash> = self.document.get_missing_deps(&asked).into_iter().collect();
        let mut admitted = Vec::new();
        for at in range.clone() {
            let Some(change) = self.changes.get(at) else { break };
            let hash = change.hash();
            if !lacked.contains(&hash) || self.left_out.contains_key(&hash) {
                continue;
            }
            match change.deps().iter().find(|dependency| lacked.contains(*dependency)).copied() {
                None => {
                    lacked.remove(&hash);
                    admitted.push(change.clone());
                }
                Some(dependency) => self.leave_out_after(at, dependency),
            }
        }
        admitted
    }

    /// What depends on a change that is held is held too: nothing is known against either.
    fn leave_out_after(&mut self, at: usize, dependency: ChangeHash) {
        let reason = match self.left_out.get(&dependency) {
            Some((_, reason)) if reason.is_held() => {
                Reason::Held(format!("it depends on {dependency}, which is held"))
            }
            // What the document does not hold was left out of it before.
            _ => Reason::DependsOn(dependency),
        };
        self.leave_out(at, reason);
    }

    fn leave_out(&mut self, at: usize, reason: Reason) {
        let Some(change) = self.changes.get(at) else { return };
        self.left_out.entry(change.hash()).or_insert((at, reason));
    }

    fn hold(&mut self, range: Range<usize>) {
        for at in range {
            self.leave_out(at, Reason::Held(format!("{TRIALS} trials did not settle its batch")));
        }
    }
}

/// Applies `changes`, all of which are ready, to copies of document and log.
fn trial(
    document: &Automerge,
    patches: &PatchLog,
    changes: Vec<Change>,
) -> Result<(Automerge, PatchLog), String> {
    guarded(|| {
        // A clone keeps actor and author, where `fork` would take a new actor.
        let (mut copy, mut log) = (document.clone(), patches.clone());
        take_in(&mut copy, &mut log, changes)?;
        Ok((copy, log))
    })?
}

/// Gives the library changes, all of which are ready. After an error or a panic the document is spoilt.
fn take_in(document: &mut Automerge, log: &mut PatchLog, changes: Vec<Change>) -> Result<(), String> {
    let expected = document.stats().num_changes.saturating_add(changes.len() as u64);
    document.apply_changes_log_patches(changes, log).map_err(|error| error.to_string())?;
    if document.stats().num_changes != expected {
        return Err("Automerge took it without applying it".to_owned());
    }
    Ok(())
}

/// Loads a compact Automerge file after the fence measured it.
///
/// # Errors
/// [`LoadRefused`]: refused by the fence, or the library failed or panicked, or changes in it lack others.
pub fn load_untrusted(bytes: &[u8], limits: &DocumentLimits) -> Result<Automerge, LoadRefused> {
    check_document(bytes, limits)?;
    let document = load(bytes).map_err(LoadRefused::Library)?;
    if let Some(missing) = document.get_missing_deps(&[]).first() {
        let detail = format!("a change in it depends on {missing}, which is not in it");
        return Err(LoadRefused::Library(detail));
    }
    // Of a document chunk the fence saw how deep objects lie, and the library remade its changes from it.
    if !matches!(frame(bytes)?.as_slice(), [only] if only.kind == ChunkKind::Document) {
        let changes = guarded(|| document.get_changes(&[])).map_err(LoadRefused::Library)?;
        check_references(&changes).map_err(LoadRefused::Library)?;
    }
    Ok(document)
}

fn load(bytes: &[u8]) -> Result<Automerge, String> {
    guarded(|| Automerge::load(bytes).map_err(|error| error.to_string()))?
}

/// Gives the library the plain bytes of a change that passed the fence.
///
/// # Errors
/// Why the library cannot read it, or that it reads another change in it than the fence did.
pub fn parse_untrusted(checked: &CheckedChange) -> Result<Change, String> {
    let parse = || Change::try_from(checked.bytes.as_slice()).map_err(|error| error.to_string());
    let change = guarded(parse)??;
    if change.hash() != checked.hash {
        return Err(format!("Automerge reads it as {}, and the fence as {}", change.hash(), checked.hash));
    }
    Ok(change)
}
