//! From an action to its change, in memory: containers first, and everything on a fork where it may fail.

use std::sync::Arc;

use automerge::{
    Automerge, Change, Patch, PatchLog,
    transaction::{CommitOptions, Transactable},
};
use rusqlite::Connection;

use super::{Millis, queued::read_queued_ops, replica::Replica};
use crate::{
    Action, Error, Message, Result,
    container::{self, ContainerChange, ContainerSet},
    fence::LAST_TIME,
    reducer::{self, QueuedOps},
    slice::{ActionInfo, AnyExtra, Command, Draft, Ground, Intent, Rejection, Writers},
    untrusted::contained,
};

/// How often a reducer may be run anew for containers that it turns out to need. What it still lacks then is made
/// by its own change.
const ROUNDS: u32 = 8;

/// A change that an action made, with what stands beside it.
pub(super) struct Made {
    pub(super) containers: Vec<ContainerChange>,
    pub(super) change: Change,
    pub(super) patches: Vec<Patch>,
}

/// An action's reducer, and after it those of the slices that react to it.
pub(super) fn reduce_all(
    (intent, extras): (&dyn Intent, &[Arc<dyn AnyExtra>]),
    draft: &mut Draft<'_>,
) -> Result<(), Rejection> {
    intent.reduce(draft)?;
    extras.iter().try_for_each(|extra| extra.react(draft, intent.action()))
}

/// What an action's change says of itself.
pub(super) fn message_of(command: &Command, author: Option<&str>, extras: &[Arc<dyn AnyExtra>]) -> Message {
    let reacted: Vec<_> = extras.iter().map(|extra| (extra.slice(), extra.version())).collect();
    let message = Message::of_action(command.kind()).by(author).with_reactions(&reacted);
    match command {
        Command::Json(_) => message,
        Command::Slice(intent) => Message {
            version: (intent.version() != 1).then(|| intent.version()),
            payload: intent.payload(),
            ..message
        },
    }
}

pub(super) fn commit_options(message: &Message, now: Millis) -> CommitOptions {
    CommitOptions::default().with_message(message.encode()).with_time(seconds(now))
}

/// A time as changes bear it, whatever the clock says: "our own changes never exceed our own limits".
pub(super) fn seconds(now: Millis) -> i64 {
    now.div_euclid(1000).clamp(-LAST_TIME, LAST_TIME)
}

/// What the library says to what is done here: it depends on what others made of the document.
pub(super) fn library(error: impl std::fmt::Display) -> Error {
    Error::Library(error.to_string())
}

/// Runs an action's work, and makes an error of a panic that says which action.
pub(super) fn caught<T>(action: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    contained(work).unwrap_or_else(|reason| Err(Error::ReducerPanicked { action: action.to_owned(), reason }))
}

/// A slice's reducer or migration, and what it may know.
pub(super) struct Work<'a> {
    pub(super) slice: &'static str,
    pub(super) about: &'a ActionInfo,
    pub(super) reduce: &'a dyn Fn(&mut Draft<'_>) -> Result<(), Rejection>,
    /// When the document's changes were made, for a migration.
    pub(super) writers: Option<&'a Writers>,
}

/// As [`make`], for a reducer that is found to need containers only while it runs: it is run again when these are
/// there. `None`: a migration that had nothing to do.
pub(super) fn make_slice(
    (connection, replica): (&Connection, &mut Replica),
    work: &Work<'_>,
    mut options: CommitOptions,
    listening: bool,
) -> Result<Option<Made>> {
    let action = options.message.clone();
    let rejected = |reason: Rejection| Error::Rejected {
        action: Message::decode(action.as_deref()).action.unwrap_or_default(),
        reason: reason.to_string(),
    };
    let mut containers: Vec<ContainerChange> = Vec::new();
    let mut patches = Vec::new();
    let queued = read_queued_ops(connection, replica)?;
    let mut held: Option<ContainerSet> = None;
    let mut fork: Option<Automerge> = None;
    for round in 0.. {
        let am = fork.as_mut().unwrap_or(&mut replica.am);
        let base = am.get_heads();
        let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
        let tx = am.transaction_log_patches(log).map_err(library)?;
        let held_now = held.as_ref().unwrap_or(&replica.containers);
        let ground = Ground {
            slice: work.slice,
            about: work.about,
            base: &base,
            held: held_now,
            queued: &queued,
            writers: work.writers,
        };
        let mut draft = Draft::new(tx, &ground);
        (work.reduce)(&mut draft).map_err(&rejected)?;
        let (tx, missing, lost) = draft.into_parts();
        if missing.is_empty() || round == ROUNDS {
            let migrates = work.about.id.is_nil();
            if migrates && tx.pending_ops() == 0 {
                return Ok(None);
            }
            if !lost.is_empty() {
                let message = Message::decode(options.message.as_deref()).with_lost(&lost);
                options.message = Some(message.encode());
            }
            let empty = CommitOptions { message: options.message.clone(), time: options.time };
            let (hash, mut log) = tx.commit_with(options);
            if hash.is_none() {
                am.empty_commit(empty);
            }
            if listening {
                patches.extend(am.make_patches(&mut log));
            }
            let change = am.get_last_local_change();
            let change = change.ok_or_else(|| Error::Library("a commit left no change".to_owned()))?;
            if let Some(fork) = fork {
                replica.am = fork;
            }
            return Ok(Some(Made { containers, change, patches }));
        }
        drop(tx);
        let made: Vec<ContainerChange> = missing.iter().map(container::make).collect();
        let changes: Vec<Change> = made.iter().map(parse_container).collect::<Result<_>>()?;
        let actor = replica.am.get_actor().clone();
        let mut next = fork.take().unwrap_or_else(|| replica.am.fork().with_actor(actor));
        let mut log = if listening { PatchLog::active() } else { PatchLog::inactive() };
        next.apply_changes_log_patches(changes, &mut log).map_err(library)?;
        if listening {
            patches.extend(next.make_patches(&mut log));
        }
        let held = held.get_or_insert_with(|| replica.containers.clone());
        made.iter().for_each(|container| held.note_own(&container.actor));
        containers.extend(made);
        fork = Some(next);
    }
    Err(Error::Bug("a reducer was run without end".to_owned()))
}

/// The containers and the change, in memory only. A failing action leaves the document as it was: containers
/// are made on a fork.
pub(super) fn make(
    (connection, replica): (&Connection, &mut Replica),
    action: &Action,
    options: CommitOptions,
    listening: bool,
) -> Result<Made> {
    let prepared = reducer::prepare(&replica.am, &replica.containers, action)?;
    if prepared.containers().is_empty() {
        let repeats = prepared.repeats(&replica.am);
        let queued = if repeats { read_queued_ops(connection, replica)? } else { QueuedOps::default() };
        let (change, patches) = commit(&mut replica.am, (prepared, &queued), options, listening)?;
        return Ok(Made { containers: Vec::new(), change, patches });
    }
    let containers: Vec<ContainerChange> = prepared.containers().iter().map(container::make).collect();
    let actor = replica.am.get_actor().clone();
    let mut fork = replica.am.fork().with_actor(actor);
    let mut log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let changes: Vec<Change> = containers.iter().map(parse_container).collect::<Result<_>>()?;
    fork.apply_changes_log_patches(changes, &mut log).map_err(library)?;
    let mut patches = if listening { fork.make_patches(&mut log) } else { Vec::new() };
    let (change, more) = commit(&mut fork, (prepared, &QueuedOps::default()), options, listening)?;
    patches.extend(more);
    replica.am = fork;
    Ok(Made { containers, change, patches })
}

fn parse_container(container: &ContainerChange) -> Result<Change> {
    Change::try_from(container.bytes.as_slice()).map_err(|e| Error::Bug(e.to_string()))
}

fn commit(
    am: &mut Automerge,
    (prepared, queued): (reducer::Prepared<'_>, &QueuedOps),
    options: CommitOptions,
    listening: bool,
) -> Result<(Change, Vec<Patch>)> {
    let log = if listening { PatchLog::active() } else { PatchLog::inactive() };
    let empty = CommitOptions { message: options.message.clone(), time: options.time };
    let mut tx = am.transaction_log_patches(log).map_err(library)?;
    prepared.reduce_over(&mut tx, queued)?;
    let (hash, mut log) = tx.commit_with(options);
    if hash.is_none() {
        am.empty_commit(empty);
    }
    let patches = if listening { am.make_patches(&mut log) } else { Vec::new() };
    let change = am.get_last_local_change();
    Ok((change.ok_or_else(|| Error::Library("a commit left no change".to_owned()))?, patches))
}
