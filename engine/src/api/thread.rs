//! The thread that owns a store's file: what it is asked, in order, and what it does when nothing is.

use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::{About, WorkBench, soon::Answer};
use crate::{
    DocumentId, Error, Result,
    builder::{Access, Built},
    slice::Command,
    store::Core,
};

/// At most so many waiting dispatches share a commit.
const GROUP: usize = 1_000;

/// How often the thread looks for what other processes wrote, while someone is subscribed.
const LOOK_AROUND: Duration = Duration::from_millis(100);

/// How long nothing must be asked before snapshots are made.
const QUIET: Duration = Duration::from_millis(250);

/// What the thread is asked.
pub(super) enum Job {
    /// A dispatch: those that wait together share a commit.
    Dispatch(DocumentId, Command, Answer),
    /// Anything else.
    Call(Box<dyn FnOnce(&mut Core) + Send>),
    /// The end: what was asked before is done, what is asked later is not.
    Close(oneshot::Sender<()>),
}

/// Closes the channel and waits for the thread when the last handle goes: what was asked is done, and at
/// rest the store is its file and the side file.
pub(super) struct Worker {
    pub(super) jobs: Option<mpsc::Sender<Job>>,
    pub(super) thread: Option<thread::JoinHandle<()>>,
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // On the store's own thread there is nobody to wait for: it ends when it has done what was asked.
            if thread.thread().id() == thread::current().id() {
                return;
            }
            // Only a panic makes it fail, and that was logged where it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread tells of the store it opened.
pub(super) struct Opened {
    pub(super) about: About,
    pub(super) work: Arc<WorkBench>,
}

/// The store with its slices and listeners, and the orphans settled that dead processes left.
pub(super) fn open_core(path: &Path, built: &Built) -> Result<Core> {
    let verify = built.verify.clone();
    let mut core = match (built.access, verify) {
        (Access::Memory, _) => Core::open_in_memory()?,
        (Access::Read, _) => Core::open_to_read(path)?,
        (Access::WriteOrRead, verify) => Core::open_or_read(path, built.durability, verify)?,
        (Access::Write, Some(command)) => Core::open_verified(path, built.durability, command)?,
        (Access::Write, None) => Core::open(path, built.durability)?,
    };
    core.set_registry(built.registry.clone());
    core.set_usual_trash(built.trash);
    if let Some(window) = built.undo_window {
        core.set_undo_window(window);
    }
    if core.is_read_only() {
        return Ok(core);
    }
    let listeners = built.tasks.listeners();
    core.register_listeners(listeners.iter().map(Arc::as_ref))?;
    core.settle_orphans()?;
    Ok(core)
}

thread_local! {
    /// Whether this is the thread of a store.
    static INSIDE: Cell<bool> = const { Cell::new(false) };
}

/// A verb that waits for the store's thread would never end on that thread.
pub(crate) fn refuse_inside() -> Result<()> {
    if INSIDE.get() { Err(Error::InsideStore) } else { Ok(()) }
}

/// The thread: jobs in order, waiting dispatches together, snapshots when it is quiet.
pub(super) fn work(mut core: Core, inbox: &mpsc::Receiver<Job>) {
    INSIDE.set(true);
    let mut next = None;
    let mut rested = true;
    let asked = loop {
        let job = match next.take() {
            Some(job) => Ok(job),
            None if core.is_heard() => inbox.recv_timeout(LOOK_AROUND),
            None if !rested => inbox.recv_timeout(QUIET),
            None => match core.rest_verifier(Instant::now()) {
                Some(left) => inbox.recv_timeout(left),
                None => inbox.recv().map_err(|_| mpsc::RecvTimeoutError::Disconnected),
            },
        };
        match job {
            Ok(Job::Call(work)) => {
                work(&mut core);
                rested = false;
            }
            Ok(Job::Dispatch(id, action, answer)) => {
                next = dispatch_group(&mut core, inbox, (id, action, answer));
                rested = false;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                rest(&mut core, &mut rested);
            }
            Ok(Job::Close(answer)) => break Some(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => break None,
        }
    };
    if let Err(error) = core.make_snapshots() {
        tracing::debug!(%error, "no snapshot was made at the end");
    }
    drop(core);
    if let Some(answer) = asked {
        // Whoever went away needs no answer.
        let _ = answer.send(());
    }
}

fn rest(core: &mut Core, rested: &mut bool) {
    if let Err(error) = core.hear_others() {
        tracing::debug!(%error, "what other processes wrote could not be read");
    }
    core.refresh_views();
    if !*rested && let Err(error) = core.make_snapshots() {
        tracing::debug!(%error, "no snapshot was made");
    }
    core.rest_verifier(Instant::now());
    *rested = true;
}

type Waiting = (DocumentId, Command, Answer);

/// Takes the dispatches that wait, and returns the first job that is none.
fn dispatch_group(core: &mut Core, inbox: &mpsc::Receiver<Job>, first: Waiting) -> Option<Job> {
    let mut actions = vec![(first.0, first.1)];
    let mut answers = vec![first.2];
    let mut other = None;
    while actions.len() < GROUP {
        match inbox.try_recv() {
            Ok(Job::Dispatch(id, action, answer)) => {
                actions.push((id, action));
                answers.push(answer);
            }
            Ok(job) => {
                other = Some(job);
                break;
            }
            Err(_) => break,
        }
    }
    match core.dispatch_commands(&actions, false) {
        Ok(results) => {
            core.refresh_views();
            for (answer, result) in answers.into_iter().zip(results) {
                answer.give(result);
            }
        }
        // The group's commit failed, and nothing of it was done: each tries alone and is told its own error.
        Err(_) => {
            for (action, answer) in actions.iter().zip(answers) {
                let result = core.dispatch_commands(std::slice::from_ref(action), false);
                core.refresh_views();
                answer.give(result.and_then(|mut r| r.pop().unwrap_or(Err(Error::Closed))));
            }
        }
    }
    other
}
