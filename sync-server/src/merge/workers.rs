use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, SyncSender, sync_channel},
    },
};

use tokio::sync::oneshot;

use rejoin::verify::Verifier;

use crate::rules::{Code, Fault};

/// Most questions that wait; more are told to come later.
const WAITING: usize = 256;

type Job = Box<dyn FnOnce(&mut Verifier) + Send>;

/// A few threads that do long work, each with a verifier of its own; they end when the last handle goes.
#[derive(Debug, Clone)]
pub(super) struct Workers(SyncSender<Job>);

/// An answer that is being worked on.
pub(super) struct Answer<T>(oneshot::Receiver<Result<T, Fault>>);

impl Workers {
    pub(super) fn start(name: &str, verifiers: Vec<Verifier>) -> std::io::Result<Self> {
        let (sender, jobs) = sync_channel::<Job>(WAITING);
        let jobs = Arc::new(Mutex::new(jobs));
        for verifier in verifiers {
            let jobs = Arc::clone(&jobs);
            std::thread::Builder::new().name(name.to_owned()).spawn(move || work(&jobs, verifier))?;
        }
        Ok(Self(sender))
    }

    /// Puts work in the queue. It is left out where nobody waits for it any more when its turn comes; once begun
    /// it is done to its end.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Verifier) -> Result<T, Fault> + Send + 'static,
    ) -> Result<Answer<T>, Fault> {
        let (sender, answer) = oneshot::channel();
        let job = Box::new(move |verifier: &mut Verifier| {
            if !sender.is_closed() {
                drop(sender.send(work(verifier)));
            }
        });
        self.0.try_send(job).map_err(|_| Fault::new(Code::Unavailable))?;
        Ok(Answer(answer))
    }
}

impl<T> Answer<T> {
    pub(super) async fn wait(self) -> Result<T, Fault> {
        self.0.await.unwrap_or_else(|_| Err(Fault::new(Code::Internal)))
    }

    pub(super) fn wait_blocking(self) -> Result<T, Fault> {
        self.0.blocking_recv().unwrap_or_else(|_| Err(Fault::new(Code::Internal)))
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, mut verifier: Verifier) {
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // Invariant 8: "nothing panics past its task". Who waits is told that something went wrong.
        if catch_unwind(AssertUnwindSafe(|| job(&mut verifier))).is_err() {
            tracing::error!("a merge panicked");
        }
    }
}
