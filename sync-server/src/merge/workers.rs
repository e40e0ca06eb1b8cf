//! The threads that merge and verify: one for questions, one for what nobody waits for.

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use rejoin_verifier::Verifier;

use crate::rules::{ApiError, Code};

/// Most questions that wait; more are told to come later.
const WAITING: usize = 256;

type Job = Box<dyn FnOnce(&mut Verifier) + Send>;

/// A few threads that do long work, each with a verifier of its own; they end when the last handle goes.
#[derive(Debug, Clone)]
pub(super) struct Workers(Arc<Handle>);

/// Closes the queue when it goes.
#[derive(Debug)]
struct Handle(Arc<Queue>);

/// An answer that is being worked on.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T, ApiError>>);

/// What a worker does with its verifier when it had nothing to do for so long.
#[derive(Clone)]
pub(super) struct Idle {
    pub(super) after: Duration,
    pub(super) rest: Arc<dyn Fn(&mut Verifier) + Send + Sync>,
}

impl Workers {
    pub(super) fn start(name: &str, verifiers: Vec<Verifier>, idle: &Idle) -> std::io::Result<Self> {
        let handle = Handle(Arc::default());
        for verifier in verifiers {
            let (queue, idle) = (Arc::clone(&handle.0), idle.clone());
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&queue, verifier, &idle))?;
        }
        Ok(Self(Arc::new(handle)))
    }

    /// Puts work in the queue. It is left out where nobody waits for it any more when its turn comes; once begun
    /// it is done to its end.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Verifier) -> Result<T, ApiError> + Send + 'static,
    ) -> Result<Answer<T>, ApiError> {
        let (sender, answer) = oneshot::channel();
        let job = Box::new(move |verifier: &mut Verifier| {
            if !sender.is_closed() {
                drop(sender.send(work(verifier)));
            }
        });
        let queued = self.0.0.put(job);
        queued.then_some(Answer(answer)).ok_or_else(|| ApiError::new(Code::Unavailable))
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.0.lock().closed = true;
        self.0.changed.notify_all();
    }
}

/// Jobs that wait for a worker.
#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    closed: bool,
}

/// What comes next for a worker.
enum Next {
    Job(Job),
    Nothing,
    End,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `false`: too many wait already.
    fn put(&self, job: Job) -> bool {
        let mut waiting = self.lock();
        let room = waiting.jobs.len() < WAITING;
        if room {
            waiting.jobs.push_back(job);
            self.changed.notify_one();
        }
        room
    }

    /// Waits for a job; where `patience` is given, no longer than that.
    fn next(&self, patience: Option<Duration>) -> Next {
        let mut waiting = self.lock();
        let due = patience.map(|patience| Instant::now() + patience);
        loop {
            if let Some(job) = waiting.jobs.pop_front() {
                return Next::Job(job);
            }
            if waiting.closed {
                return Next::End;
            }
            let Some(due) = due else {
                waiting = self.changed.wait(waiting).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let left = due.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Next::Nothing;
            }
            (waiting, _) = self.changed.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("waiting", &self.lock().jobs.len()).finish_non_exhaustive()
    }
}

impl<T> Answer<T> {
    pub(super) async fn wait(self) -> Result<T, ApiError> {
        self.0.await.unwrap_or_else(|_| Err(ApiError::new(Code::Internal)))
    }

    pub(super) fn wait_blocking(self) -> Result<T, ApiError> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(ApiError::new(Code::Internal)))
    }
}

fn work(queue: &Queue, mut verifier: Verifier, idle: &Idle) {
    let mut patience = None;
    loop {
        let job = match queue.next(patience) {
            Next::Job(job) => job,
            Next::Nothing => {
                (idle.rest)(&mut verifier);
                patience = None;
                continue;
            }
            Next::End => return,
        };
        patience = Some(idle.after);
        // Invariant 8: "nothing panics past its task". Who waits is told that something went wrong.
        if catch_unwind(AssertUnwindSafe(|| job(&mut verifier))).is_err() {
            tracing::error!("a merge panicked");
        }
    }
}

#[cfg(test)]
mod tests {
    use rejoin_verifier::Terms;

    use super::*;

    fn workers(count: usize, idle: &Idle) -> Workers {
        let verifiers = (0..count).map(|_| Verifier::new(None, Terms::default())).collect();
        Workers::start("test", verifiers, idle).unwrap()
    }

    #[test]
    fn whoever_has_nothing_to_do_for_a_while_rests_once_and_works_again() {
        let (sender, rests) = std::sync::mpsc::channel();
        let rest = Arc::new(move |_: &mut Verifier| sender.send(()).unwrap());
        let workers = workers(1, &Idle { after: Duration::from_millis(1), rest });
        for number in 0..3 {
            let answer = workers.run(move |_| Ok(number)).unwrap();
            assert_eq!(answer.wait_blocking().unwrap(), number);
            rests.recv().unwrap();
        }
        drop(workers);
        assert!(
            rests.recv().is_err(),
            "who has rested does not rest again, and the thread ends with its handle"
        );
    }

    #[test]
    fn a_panic_is_told_to_who_waits_and_the_next_is_served() {
        let idle = Idle { after: Duration::from_secs(60), rest: Arc::new(|_| ()) };
        let workers = workers(2, &idle);
        let spoilt = workers.run::<()>(|_| panic!("on purpose")).unwrap();
        assert_eq!(spoilt.wait_blocking().unwrap_err().code, Code::Internal);
        for number in 0..8 {
            assert_eq!(workers.run(move |_| Ok(number)).unwrap().wait_blocking().unwrap(), number);
        }
    }
}
