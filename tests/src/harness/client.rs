//! A person at a shell, with a store and a home of their own.

use std::{
    io::{BufRead, BufReader, Read, Write},
    path::{Path, PathBuf},
    process::{ChildStdin, ChildStdout, Command, Output, Stdio},
};

use serde_json::Value;

use super::{Proc, binaries};

/// A person at a shell: a store of their own, and an environment that holds nothing but a home.
#[derive(Debug, Clone)]
pub struct Client {
    /// The store's file.
    pub store: PathBuf,
    /// The server, told to each command.
    pub server: Option<String>,
}

impl Client {
    /// A person with this store, who knows no server yet.
    pub fn new(store: impl AsRef<Path>) -> Self {
        Self { store: store.as_ref().to_owned(), server: None }
    }

    /// The same person with another server.
    #[must_use]
    pub fn with_server(&self, url: &str) -> Self {
        Self { server: Some(url.to_owned()), ..self.clone() }
    }

    /// The command, not yet started.
    pub fn command(&self, words: &[&str]) -> Command {
        self.prepare(Command::new(&binaries().rejoin), words)
    }

    /// Gives this command the person's environment and these words.
    pub fn prepare(&self, mut command: Command, words: &[&str]) -> Command {
        let home = self.store.parent().expect("a store lies in a directory");
        command.env_clear().env("HOME", home).env("PATH", "/usr/bin:/bin").env("REJOIN_STORE", &self.store);
        if let Some(server) = &self.server {
            command.env("REJOIN_SERVER", server);
        }
        command.current_dir(home).args(words).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().expect("rejoin can be started"), words)
    }

    /// Runs it with this standard input.
    pub fn run_with(&self, words: &[&str], input: &[u8]) -> Ran {
        let mut running = self.start(words);
        let mut stdin = running.stdin.take().expect("standard input is piped");
        let input = input.to_vec();
        // Written beside the reading: both pipes may be full.
        let writer = std::thread::spawn(move || {
            // It may stop reading before the end.
            let _ = stdin.write_all(&input);
        });
        let ran = running.finish(words);
        writer.join().expect("the writer does not panic");
        ran
    }

    /// Starts it with all three streams piped.
    pub fn start(&self, words: &[&str]) -> Running {
        let mut command = self.command(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = Proc::new(command.spawn().expect("rejoin can be started"));
        let stdin = process.child.stdin.take();
        let stdout = process.child.stdout.take().map(BufReader::new);
        Running { process, stdin, stdout }
    }

    /// Runs what is to succeed: its standard output.
    pub fn ok(&self, words: &[&str]) -> String {
        self.run(words).expect(0).stdout
    }

    /// Runs what is to succeed with `--json`: the one value of its standard output.
    pub fn json(&self, words: &[&str]) -> Value {
        self.json_with(words, 0)
    }

    /// As [`Client::json`], with another exit code.
    pub fn json_with(&self, words: &[&str], code: i32) -> Value {
        let ran = self.run(&[words, &["--json"]].concat()).expect(code);
        assert_eq!(ran.stdout.lines().count(), 1, "{words:?}: {}", ran.stdout);
        serde_json::from_str(&ran.stdout).unwrap_or_else(|e| panic!("{words:?}: {e}: {}", ran.stdout))
    }

    /// A document's state.
    pub fn get(&self, document: &str) -> Value {
        self.json(&["get", document])
    }

    /// One number from the store's file, read as `sqlite3 -readonly` would.
    pub fn sql(&self, query: &str) -> i64 {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(&self.store, flags).expect("the store opens");
        connection.busy_timeout(std::time::Duration::from_secs(10)).expect("a timeout can be set");
        connection.query_row(query, [], |row| row.get(0)).unwrap_or_else(|e| panic!("{query}: {e}"))
    }

    /// Rows in the public view `queue`.
    pub fn queued(&self) -> i64 {
        self.sql("SELECT count(*) FROM queue")
    }

    /// The file as another program finds it: sound.
    pub fn check_file(&self) {
        check_file(&self.store);
    }
}

/// The SQLite file is sound, read as another program would.
pub fn check_file(file: &Path) {
    let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
    let connection = rusqlite::Connection::open_with_flags(file, flags).expect("the file opens");
    let found: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("the check runs");
    assert_eq!(found, "ok", "{}", file.display());
}

/// A command that runs.
#[derive(Debug)]
pub struct Running {
    /// The process.
    pub process: Proc,
    /// Its standard input, until it is taken or closed.
    pub stdin: Option<ChildStdin>,
    /// Its standard output.
    pub stdout: Option<BufReader<ChildStdout>>,
}

impl Running {
    /// The next line of standard output; `None` at the end.
    pub fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        let read = self.stdout.as_mut()?.read_line(&mut line).ok()?;
        // A line without an end was cut by a kill: it says nothing.
        (read > 0 && line.ends_with('\n')).then(|| line.trim_end().to_owned())
    }

    /// Closes its input and waits for the end.
    pub fn finish(mut self, words: &[&str]) -> Ran {
        self.stdin = None;
        let mut stderr = self.process.child.stderr.take().expect("standard error is piped");
        let errors = std::thread::spawn(move || {
            let mut text = Vec::new();
            let _ = stderr.read_to_end(&mut text);
            text
        });
        let mut stdout = Vec::new();
        if let Some(mut out) = self.stdout.take() {
            let _ = out.read_to_end(&mut stdout);
        }
        let stderr = errors.join().expect("the reader does not panic");
        let status = self.process.child.wait().expect("a child can be waited for");
        Ran::of(Output { status, stdout, stderr }, words)
    }
}

/// What a command did.
#[derive(Debug)]
pub struct Ran {
    /// The exit code; -1 after a signal.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// What was typed.
    pub words: Vec<String>,
}

impl Ran {
    /// Reads what a process left.
    pub fn of(output: Output, words: &[&str]) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            words: words.iter().map(ToString::to_string).collect(),
        }
    }

    /// It ended with this exit code and without a panic.
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "{self:#?}");
        assert!(!self.stderr.contains("panicked"), "{self:#?}");
        self
    }
}
