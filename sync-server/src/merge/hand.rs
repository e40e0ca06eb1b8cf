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
    pipe::{FromChild, Terms, ToChild, receive, send},
    source::Source,
    task::{Merge, Outcome, Task, Unsound},
    workbench::Workbench,
};
use crate::{
    VerifyCommand,
    rules::{Code, Fault},
};

/// Does tasks: in a process of its own, where a command for that is given, else in this one.
#[derive(Debug)]
pub(super) struct Hand {
    command: Option<VerifyCommand>,
    terms: Terms,
    here: Option<Workbench>,
    away: Option<Process>,
    /// What documents that are kept take, in bytes, as estimated.
    cached: u64,
}

impl Hand {
    pub(super) fn new(command: Option<VerifyCommand>, terms: Terms) -> Self {
        Self { command, terms, here: None, away: None, cached: 0 }
    }

    /// Another, with nothing in memory, that has served nobody.
    pub(super) fn fresh(&self) -> Self {
        Self::new(self.command.clone(), Terms { cache: 0, ..self.terms })
    }

    /// The most memory that a task may claim; `None` where nothing holds it to that.
    pub(super) fn memory(&self) -> Option<u64> {
        self.command.as_ref().map(|_| self.terms.memory)
    }

    /// What documents that are kept for the next question take, in bytes, as estimated.
    pub(super) fn cached(&self) -> u64 {
        self.cached
    }

    /// Does one task. A process that dies, hangs or takes too much memory is an outcome.
    pub(super) fn work(&mut self, task: &Task, source: &mut dyn Source) -> Result<Outcome, Fault> {
        let outcome = self.try_to(task, source);
        self.cached = match &outcome {
            Ok(Outcome::Written(merge)) => merge.cached,
            _ if self.here.is_none() && self.away.is_none() => 0,
            _ => self.cached,
        };
        outcome
    }

    fn try_to(&mut self, task: &Task, source: &mut dyn Source) -> Result<Outcome, Fault> {
        let deadline = Instant::now() + Duration::from_millis(task.millis);
        let Some(command) = &self.command else {
            let here = self.here.get_or_insert_with(|| {
                Workbench::new(usize::try_from(self.terms.cache).unwrap_or(usize::MAX))
            });
            return here.work(task, source, deadline);
        };
        let mut process = match self.away.take() {
            Some(process) => process,
            None => Process::start(command, self.terms).map_err(|error| {
                tracing::error!(%error, ?command, "the process that verifies cannot be started");
                Fault::new(Code::Unavailable)
            })?,
        };
        match process.work(task, source, deadline) {
            Ok(outcome) => {
                self.away = Some(process);
                Ok(outcome)
            }
            Err(Broken::Log(fault)) => Err(fault),
            Err(Broken::Pipe) => Ok(Outcome::Unsound(process.end())),
        }
    }
}

/// Why a process cannot be asked again.
enum Broken {
    /// It is gone.
    Pipe,
    /// The log could not be read for it: it waits for the rest.
    Log(Fault),
}

/// A process that verifies.
#[derive(Debug)]
struct Process {
    child: Arc<Mutex<Child>>,
    input: BufWriter<ChildStdin>,
    output: BufReader<ChildStdout>,
    alarm: Alarm,
    killed: Arc<AtomicBool>,
}

impl Process {
    fn start(command: &VerifyCommand, terms: Terms) -> std::io::Result<Self> {
        let mut command = command.to_command();
        // What the library prints as it dies is of no use to anybody: the server logs what became of it.
        command.env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
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
        Ok(Self { child, input, output, alarm, killed })
    }

    fn work(&mut self, task: &Task, source: &mut dyn Source, deadline: Instant) -> Result<Outcome, Broken> {
        self.alarm.set(Some(deadline));
        let outcome = self.converse(task, source);
        self.alarm.set(None);
        outcome
    }

    fn converse(&mut self, task: &Task, source: &mut dyn Source) -> Result<Outcome, Broken> {
        self.say(&ToChild::Task(task.clone()), &[])?;
        loop {
            let (said, body) = receive::<FromChild>(&mut self.output).map_err(|_| Broken::Pipe)?;
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
                    return Ok(Outcome::Written(Merge { bytes: body, left_out, peak, cached }));
                }
                FromChild::Unsound(why) => return Ok(Outcome::Unsound(Unsound::of_library(why))),
                FromChild::TooDeep(why) => return Ok(Outcome::TooDeep(why)),
                FromChild::Late => {
                    return Ok(Outcome::Unsound(Unsound::of_resources("it takes too long to merge")));
                }
            }
        }
    }

    fn say(&mut self, what: &ToChild, body: &[u8]) -> Result<(), Broken> {
        send(&mut self.input, what, body).map_err(|_| Broken::Pipe)
    }

    /// What became of one that no longer answers.
    fn end(self) -> Unsound {
        kill(&self.child);
        let status = self.child.lock().unwrap_or_else(PoisonError::into_inner).wait();
        if self.killed.load(Ordering::Acquire) {
            return Unsound::of_resources("the library took longer over it than it may");
        }
        let how = status.map_or_else(|error| error.to_string(), |status| status.to_string());
        Unsound::of_resources(format!("the library ended its process over it ({how})"))
    }
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
