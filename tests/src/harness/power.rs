//! Power cuts: what a disk may hold when it was not told to flush.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use rand::{RngExt as _, SeedableRng, rngs::StdRng};

/// Disks lose and keep whole sectors.
const SECTOR: usize = 512;

/// What a program wrote to one database, in order, and when it had that flushed: from it follows what a disk may hold when
/// the power goes. Linux only.
#[derive(Debug)]
pub struct Power {
    library: PathBuf,
    trace: PathBuf,
    database: PathBuf,
}

/// What a disk makes of a request to flush.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disk {
    /// What was flushed is there for good.
    Honest,
    /// Nothing is ever flushed: what a program that flushes nothing would have.
    Lying,
}

#[derive(Debug, Clone, Copy)]
enum Step<'a> {
    Write(usize, &'a [u8]),
    Truncate(usize),
    Delete,
}

/// What of a file is there for good, and what was not flushed.
type File<'a> = (Vec<u8>, Vec<Step<'a>>);

/// In a trace, the directory: flushed, it makes deletions last.
const DIRECTORY: u8 = 0;

impl Power {
    /// To watch what is written to `database`. `None`, said loudly, where there is no way.
    pub fn over(database: &Path) -> Option<Self> {
        if !cfg!(target_os = "linux") {
            super::skipped("the power cut", "it needs Linux");
            return None;
        }
        let beside = |name: &str| database.with_extension(name);
        let (source, library) = (beside("power.c"), beside("power.so"));
        std::fs::write(&source, include_str!("power.c")).expect("the directory can be written");
        let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
        let mut command = Command::new(compiler);
        command.args(["-shared", "-fPIC", "-O1", "-o"]).arg(&library).arg(&source).arg("-ldl");
        assert!(command.status().is_ok_and(|status| status.success()), "README asks for a C compiler");
        Some(Self { library, trace: beside("power.trace"), database: database.to_owned() })
    }

    /// The command that runs a program under watch; its arguments are still to come.
    pub fn watch(&self, program: &Path) -> Command {
        let mut command = Command::new("/usr/bin/env");
        let set = |name: &str, path: &Path| format!("{name}={}", path.display());
        command.arg(set("LD_PRELOAD", &self.library));
        command.arg(set("REJOIN_POWER_TRACE", &self.trace)).arg(set("REJOIN_POWER_FILE", &self.database));
        command.arg(program);
        command
    }

    /// This moment.
    pub fn now(&self) -> u64 {
        std::fs::metadata(&self.trace).map_or(0, |file| file.len())
    }

    /// What the disk holds when the power goes at this moment, written to `to` and beside it. Of what was not flushed each
    /// sector is there or not, as the seed has it.
    pub fn cut(&self, moment: u64, (disk, seed): (Disk, u64), to: &Path) {
        let mut rng = StdRng::seed_from_u64(seed);
        let trace = std::fs::read(&self.trace).expect("something was written");
        let mut files: BTreeMap<u8, File<'_>> = BTreeMap::new();
        for (file, step) in steps(&trace[..moment as usize]) {
            match step {
                Some(step) => files.entry(file).or_default().1.push(step),
                None if disk == Disk::Lying => {}
                None if file == DIRECTORY => files.values_mut().for_each(delete_for_good),
                None => {
                    let (held, waiting) = files.entry(file).or_default();
                    waiting.drain(..).for_each(|step| apply(held, step));
                }
            }
        }
        for (file, (mut held, waiting)) in files {
            waiting.into_iter().for_each(|step| apply_some(&mut held, step, &mut rng));
            let ending = ["", "", "-wal", "-journal"][usize::from(file)];
            let mut path = to.as_os_str().to_owned();
            path.push(ending);
            // An empty log is as good as none.
            if file == 1 || !held.is_empty() {
                std::fs::write(path, held).expect("the directory can be written");
            }
        }
    }
}

/// The steps of a trace, each with its file; none: a flush. The last may be cut off.
fn steps(mut trace: &[u8]) -> Vec<(u8, Option<Step<'_>>)> {
    let mut steps = Vec::new();
    while let Some((head, rest)) = trace.split_at_checked(18) {
        let number =
            |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().expect("eight bytes")) as usize;
        let (offset, length) = (number(2), number(10));
        let Some((bytes, rest)) = rest.split_at_checked(if head[0] == 1 { length } else { 0 }) else { break };
        steps.push((
            head[1],
            match head[0] {
                1 => Some(Step::Write(offset, bytes)),
                2 => Some(Step::Truncate(offset)),
                3 => None,
                _ => Some(Step::Delete),
            },
        ));
        trace = rest;
    }
    steps
}

fn delete_for_good((held, waiting): &mut File<'_>) {
    if let Some(last) = waiting.iter().rposition(|step| matches!(step, Step::Delete)) {
        waiting.drain(..=last).for_each(|step| apply(held, step));
    }
}

fn apply(held: &mut Vec<u8>, step: Step<'_>) {
    match step {
        Step::Write(at, bytes) => {
            held.resize(held.len().max(at + bytes.len()), 0);
            held[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Step::Truncate(length) => held.resize(length, 0),
        Step::Delete => held.clear(),
    }
}

fn apply_some(held: &mut Vec<u8>, step: Step<'_>, rng: &mut StdRng) {
    match step {
        Step::Write(at, bytes) => {
            for (n, sector) in bytes.chunks(SECTOR).enumerate() {
                if rng.random_bool(0.5) {
                    apply(held, Step::Write(at + n * SECTOR, sector));
                }
            }
        }
        step => {
            if rng.random_bool(0.5) {
                apply(held, step);
            }
        }
    }
}
