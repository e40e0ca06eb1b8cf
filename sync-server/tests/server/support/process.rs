//! A server in a process of its own.

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdout, Command, Stdio},
    time::{Duration, Instant},
};

use rejoin::DocumentId;

pub const BINARY: &str = env!("CARGO_BIN_EXE_rejoin-server");

/// A server in a process of its own.
pub struct Process {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    pub root: String,
}

impl Process {
    pub fn start(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(BINARY);
        command.args(arguments).arg("--database").arg(directory.join("log.db"));
        Self::of(command)
    }

    pub fn of(command: Command) -> Self {
        Self::logging(command, Stdio::null())
    }

    /// One that logs there.
    pub fn logging(mut command: Command, log: Stdio) -> Self {
        let command = command.env("REJOIN_LISTEN", "127.0.0.1:0").stdout(Stdio::piped());
        let mut child = command.stderr(log).spawn().unwrap();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        stdout.read_line(&mut line).unwrap();
        let root = line.strip_prefix("listening on ").expect("the first line").trim().to_owned();
        Self { child, stdout, root }
    }

    pub fn changes(&self, document: DocumentId) -> String {
        format!("{}/v1/documents/{document}/changes", self.root)
    }

    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().unwrap().success());
    }

    /// The most memory that it ever had in use, in bytes.
    pub fn peak_memory(&self) -> usize {
        self.memory("VmHWM:")
    }

    /// The memory that it has in use, in bytes.
    pub fn memory(&self, field: &str) -> usize {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)).unwrap();
        line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
    }

    /// Waits for its end: the exit code, what was written to standard output after the first line, and how long
    /// it took.
    pub fn end(mut self) -> (Option<i32>, String, Duration) {
        let start = Instant::now();
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).unwrap();
        let code = self.child.wait().unwrap().code();
        (code, rest, start.elapsed())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
