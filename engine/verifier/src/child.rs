//! The process that verifies: it gets a log through a pipe, and has no other way in or out. It may die.

use std::{
    io::{self, Read, Write},
    time::{Duration, Instant},
};

use super::{
    alarm::Alarm,
    pipe::{FromChild, ToChild, receive, send},
    source::{Batch, Source},
    task::{Cause, Merge, Outcome, Terms},
    workbench::Workbench,
};

/// How long after its time a task may live: who gave it kills the process first, unless it is gone itself.
const GRACE: Duration = Duration::from_secs(2);

/// Does what is said on `input` until that ends: the body of the process that
/// [`VerifyCommand`](super::VerifyCommand) starts. It limits the memory of this whole process, and ends the process
/// where a task takes longer than it may: call it in nothing but a process of its own.
///
/// # Errors
/// Where a pipe fails; the end of `input` is none.
pub fn verify_child(mut input: impl Read, mut output: impl Write) -> io::Result<()> {
    let (begin, _) = receive::<ToChild>(&mut input)?;
    let ToChild::Begin(terms) = begin else { return Err(io::ErrorKind::InvalidData.into()) };
    let mut bench = Workbench::new(usize::try_from(terms.cache).unwrap_or(0));
    let alarm = Alarm::new(|| std::process::exit(3))?;
    limit(terms);
    loop {
        let task = match receive::<ToChild>(&mut input) {
            Ok((ToChild::Task(task), _)) => task,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
            Ok(_) => return Err(io::ErrorKind::InvalidData.into()),
        };
        let deadline = Instant::now() + Duration::from_millis(task.millis);
        alarm.set(Some(deadline + GRACE));
        let mut source = PipeSource { input: &mut input, output: &mut output };
        let outcome = bench.work(&task, &mut source, deadline)?;
        answer(&mut output, outcome)?;
        alarm.set(None);
    }
}

fn answer(output: &mut impl Write, outcome: Outcome) -> io::Result<()> {
    match outcome {
        Outcome::Written(Merge { bytes, left_out, cached, .. }) => {
            send(output, &FromChild::Written { left_out, peak: of_status("VmHWM:"), cached }, &bytes)
        }
        Outcome::TooDeep(why) => send(output, &FromChild::TooDeep(why), &[]),
        Outcome::Unsound(unsound) if unsound.cause == Cause::Library => {
            send(output, &FromChild::Unsound(unsound.why), &[])
        }
        Outcome::Unsound(_) => send(output, &FromChild::Late, &[]),
    }
}

/// The log, asked for through the pipe.
struct PipeSource<'p, R, W> {
    input: &'p mut R,
    output: &'p mut W,
}

impl<R: Read, W: Write> PipeSource<'_, R, W> {
    fn ask(&mut self, question: &FromChild) -> io::Result<(ToChild, Vec<u8>)> {
        send(self.output, question, &[])?;
        receive(self.input)
    }
}

impl<R: Read, W: Write> Source for PipeSource<'_, R, W> {
    type Error = io::Error;

    fn snapshot(&mut self) -> io::Result<Option<(u64, Vec<u8>)>> {
        match self.ask(&FromChild::WantSnapshot)? {
            (ToChild::Snapshot(position), bytes) => Ok(position.map(|position| (position, bytes))),
            _ => Err(nonsense()),
        }
    }

    fn batch(&mut self, after: u64, upto: u64) -> io::Result<Batch> {
        let (ToChild::Changes(entries), bytes) = self.ask(&FromChild::WantChanges { after, upto })? else {
            return Err(nonsense());
        };
        let mut rest = bytes.as_slice();
        let mut batch = Batch::with_capacity(entries.len());
        for (position, length) in entries {
            let (change, after) = rest.split_at_checked(length as usize).ok_or_else(nonsense)?;
            batch.push((position, change.to_vec()));
            rest = after;
        }
        Ok(batch)
    }
}

fn nonsense() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

/// What asks for more memory than this fails, and the process ends. And where the system as a whole has no more, it
/// is this process that goes, and not the one that serves.
#[cfg(unix)]
fn limit(terms: Terms) {
    use rustix::process::{Resource, Rlimit, nice, setrlimit};
    // Beside what the program itself has claimed, of which it uses little.
    let most = terms.memory.saturating_add(of_status("VmSize:"));
    let limit = Rlimit { current: Some(most), maximum: Some(most) };
    // A system that has no such limit has the deadline.
    let _ = setrlimit(Resource::As, limit);
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let _ = setrlimit(Resource::Core, none);
    if terms.behind {
        let _ = nice(5);
    }
    let _ = std::fs::write("/proc/self/oom_score_adj", "1000");
}

/// There the deadline alone bounds what a task may take.
#[cfg(not(unix))]
fn limit(_: Terms) {}

/// A size of this process, in bytes; 0 where the system does not say.
fn of_status(field: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok()).unwrap_or(0) * 1024
}
