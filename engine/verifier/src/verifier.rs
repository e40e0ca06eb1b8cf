//! The verifier: has a task done by a process, or in this one where there is none.

use std::{
    io::{BufReader, BufWriter},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    alarm::Alarm,
    command::VerifyCommand,
    failures::{Failure, Failures},
    pipe::{FromChild, ToChild, receive_within, send},
    source::Source,
    task::{Merge, Outcome, Task, Terms, Unsound},
    workbench::Workbench,
};

/// Why a task was not done.
#[derive(Debug, thiserror::Error)]
pub enum Failed<E> {
    /// The log could not be read.
    #[error(transparent)]
    Source(E),
    /// The command that is to verify could not be run.
    #[error("the process that verifies cannot be started: {0}")]
    NotStarted(std::io::Error),
}

impl<E> Failed<E> {
    /// The same with another kind of error of the log.
    pub fn map_source<F>(self, how: impl FnOnce(E) -> F) -> Failed<F> {
        match self {
            Self::Source(error) => Failed::Source(how(error)),
            Self::NotStarted(error) => Failed::NotStarted(error),
        }
    }
}

/// Does tasks: in a process of its own, where a command for that is given, else in this one. The process is started
/// for the first task, and ends with this.
///
/// ```
/// use std::convert::Infallible;
/// use rejoin_verifier::{Batch, Outcome, Shape, Source, Task, Terms, Verifier};
///
/// struct Log(Batch);
/// impl Source for Log {
///     type Error = Infallible;
///     fn snapshot(&mut self) -> Result<Option<(u64, Vec<u8>)>, Infallible> { Ok(None) }
///     fn batch(&mut self, after: u64, upto: u64) -> Result<Batch, Infallible> {
///         Ok(self.0.iter().filter(|(at, _)| (after + 1..=upto).contains(at)).cloned().collect())
///     }
/// }
///
/// let mut log = Log(vec![(1, b"no change at all".to_vec())]);
/// let task = Task {
///     document: 1, epoch: 0, upto: 1, expelled: [].into(), shape: Shape::Json, examine: true, keep: false, millis: 5_000,
/// };
/// let outcome = Verifier::new(None, Terms::default()).work(&task, &mut log).unwrap();
/// let Outcome::Written(merge) = outcome else { panic!("{outcome:?}") };
/// assert_eq!((merge.bytes.as_slice(), merge.left_out.len()), (b"{}".as_slice(), 1));
/// ```
#[derive(Debug)]
pub struct Verifier {
    command: Option<VerifyCommand>,
    terms: Terms,
    here: Option<Workbench>,
    away: Option<Process>,
    /// What documents that are kept take, in bytes, as estimated.
    cached: u64,
    /// The largest document that is given out, written, in bytes.
    most: u64,
}

impl Verifier {
    /// One with nothing in memory. Without a command only time bounds a task, and that between batches of changes.
    pub fn new(command: Option<VerifyCommand>, terms: Terms) -> Self {
        Self { command, terms, here: None, away: None, cached: 0, most: u64::MAX }
    }

    /// The same; a document that is larger when it is written is [`Outcome::TooDeep`], and takes no memory here.
    #[must_use]
    pub fn giving_at_most(self, bytes: u64) -> Self {
        Self { most: bytes, ..self }
    }

    /// Another, with nothing in memory, that has served nobody.
    pub fn fresh(&self) -> Self {
        Self::new(self.command.clone(), Terms { cache: 0, ..self.terms }).giving_at_most(self.most)
    }

    /// The most memory that a task may claim, in bytes; `None` where nothing holds it to that.
    pub fn memory(&self) -> Option<u64> {
        self.command.as_ref().map(|_| self.terms.memory)
    }

    /// What documents that are kept for the next task take, in bytes, as estimated.
    pub fn cached(&self) -> u64 {
        self.cached
    }

    /// Lets go of what was kept, and of the process: the next task starts another.
    pub fn rest(&mut self) {
        *self = Self::new(self.command.take(), self.terms).giving_at_most(self.most);
    }

    /// Does one task. A process that dies, hangs or takes too much memory is an outcome.
    ///
    /// # Errors
    /// [`Failed`]: the log cannot be read, or the command not run.
    pub fn work<S: Source>(&mut self, task: &Task, source: &mut S) -> Result<Outcome, Failed<S::Error>> {
        let outcome = self.try_to(task, source);
        self.cached = match &outcome {
            Ok(Outcome::Written(merge)) => merge.cached,
            _ if self.here.is_none() && self.away.is_none() => 0,
            _ => self.cached,
        };
        outcome
    }

    fn try_to<S: Source>(&mut self, task: &Task, source: &mut S) -> Result<Outcome, Failed<S::Error>> {
        let deadline = Instant::now() + Duration::from_millis(task.millis);
        let Some(command) = &self.command else {
            let here = self.here.get_or_insert_with(|| {
                Workbench::new(usize::try_from(self.terms.cache).unwrap_or(usize::MAX))
            });
            let outcome = here.work(task, source, deadline).map_err(Failed::Source)?;
            return Ok(match outcome {
                Outcome::Written(merge) if merge.bytes.len() as u64 > self.most => {
                    too_large(merge.bytes.len() as u64, self.most)
                }
                outcome => outcome,
            });
        };
        let mut process = match self.away.take() {
            Some(process) => process,
            None => Process::start(command, self.terms).map_err(Failed::NotStarted)?,
        };
        match process.work(task, source, (deadline, self.most)) {
            Ok(outcome) => {
                self.away = Some(process);
                Ok(outcome)
            }
            Err(Broken::Log(error)) => Err(Failed::Source(error)),
            Err(Broken::Pipe) => Ok(Outcome::Unsound(process.end())),
        }
    }
}

/// Why a process cannot be asked again.
enum Broken<E> {
    /// It is gone.
    Pipe,
    /// The log could not be read for it: it waits for the rest.
    Log(E),
}

/// A process that verifies.
#[derive(Debug)]
struct Process {
    child: Arc<Mutex<Child>>,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    alarm: Alarm,
    killed: Arc<AtomicBool>,
    failures: Failures,
}

impl Process {
    fn start(command: &VerifyCommand, terms: Terms) -> std::io::Result<Self> {
        let failures = command.count().clone();
        let mut command = command.to_command();
        // What the library prints as it dies is of no use to anybody: what became of it is told here.
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().inspect_err(|_| failures.count(Failure::NotStarted))?;
        let pipes = child.stdin.take().zip(child.stdout.take());
        let (input, output) = pipes.ok_or(std::io::ErrorKind::BrokenPipe)?;
        let child = Arc::new(Mutex::new(child));
        let killed = Arc::new(AtomicBool::new(false));
        let (victim, note) = (Arc::clone(&child), Arc::clone(&killed));
        let alarm = Alarm::new(move || {
            note.store(true, Ordering::Release);
            kill(&victim);
        })?;
        let (mut input, output) = (BufWriter::new(input), BufReader::new(output));
        // One that has ended already is noticed when it is to answer.
        let _ = send(&mut input, &ToChild::Begin(terms), &[]);
        Ok(Self { child, input, output, alarm, killed, failures })
    }

    fn work<S: Source>(
        &mut self,
        task: &Task,
        source: &mut S,
        (deadline, most): (Instant, u64),
    ) -> Result<Outcome, Broken<S::Error>> {
        self.alarm.set(Some(deadline));
        let outcome = self.converse(task, source, most);
        self.alarm.set(None);
        outcome
    }

    fn converse<S: Source>(
        &mut self,
        task: &Task,
        source: &mut S,
        most: u64,
    ) -> Result<Outcome, Broken<S::Error>> {
        self.say(&ToChild::Task(task.clone()), &[])?;
        loop {
            let (said, body) =
                receive_within::<FromChild>(&mut self.output, most).map_err(|_| Broken::Pipe)?;
            match said {
                FromChild::WantSnapshot => {
                    let (position, bytes) = source.snapshot().map_err(Broken::Log)?.unzip();
                    self.say(&ToChild::Snapshot(position), &bytes.unwrap_or_default())?;
                }
                FromChild::WantChanges { after, upto } => {
                    let batch = source.batch(after, upto.min(task.upto)).map_err(Broken::Log)?;
                    let entry = |(at, change): &(u64, Vec<u8>)| (*at, change.len() as u32);
                    let entries = batch.iter().map(entry).collect();
                    let parts: Vec<&[u8]> = batch.iter().map(|(_, change)| change.as_slice()).collect();
                    let bytes = parts.concat();
                    self.say(&ToChild::Changes(entries), &bytes)?;
                }
                FromChild::Written { left_out, peak, cached } => {
                    return Ok(match body {
                        Ok(bytes) => Outcome::Written(Merge { bytes, left_out, peak, cached }),
                        Err(length) => too_large(length, most),
                    });
                }
                FromChild::Unsound(why) => return Ok(Outcome::Unsound(Unsound::of_library(why))),
                FromChild::TooDeep(why) => return Ok(Outcome::TooDeep(why)),
                FromChild::Late => {
                    self.failures.count(Failure::TimedOut);
                    return Ok(Outcome::Unsound(Unsound::of_resources("it takes too long to merge")));
                }
            }
        }
    }

    fn say<E>(&mut self, what: &ToChild, body: &[u8]) -> Result<(), Broken<E>> {
        send(&mut self.input, what, body).map_err(|_| Broken::Pipe)
    }

    /// What became of one that no longer answers.
    fn end(self) -> Unsound {
        kill(&self.child);
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        if self.killed.load(Ordering::Acquire) {
            self.failures.count(Failure::TimedOut);
            return Unsound::of_resources("the library took longer over it than it may");
        }
        self.failures.count(Failure::Died);
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Unsound::of_resources(format!("the library ended its process over it ({how})"))
    }
}

fn too_large(bytes: u64, most: u64) -> Outcome {
    Outcome::TooDeep(format!("The document has {bytes} bytes when it is written, and {most} are given out"))
}

fn kill(child: &Mutex<Child>) {
    // One that has ended already is as good.
    let _ = child.lock().unwrap_or_else(PoisonError::into_inner).kill();
}

impl Drop for Process {
    fn drop(&mut self) {
        kill(&self.child);
        let _ = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
    }
}
