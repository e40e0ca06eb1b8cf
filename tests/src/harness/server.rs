//! A real server process on a free port.

use std::{
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use rejoin::Cursor;

use super::{Proc, binaries, get, place};

/// A real server process on a free port of this machine.
#[derive(Debug)]
pub struct Server {
    /// The process.
    pub process: Proc,
    /// Its base address, `http://127.0.0.1:PORT`.
    pub url: String,
    /// Its database.
    pub database: PathBuf,
}

impl Server {
    /// Starts one on this database and waits until it listens.
    pub fn start(database: impl AsRef<Path>) -> Self {
        Self::start_with(Command::new(&binaries().server), database.as_ref(), &[])
    }

    /// As [`Server::start`], with more options. With `REJOIN_TEST_PACKED` in the environment it packs its logs as soon
    /// as they are left alone: every promise holds there too.
    pub fn start_with(mut command: Command, database: &Path, options: &[&str]) -> Self {
        command.env_clear().arg("--database").arg(database).args(["--listen", "127.0.0.1:0"]).args(options);
        if std::env::var_os("REJOIN_TEST_PACKED").is_some_and(|value| !value.is_empty()) {
            command.args(["--compact-quiet", "1ms", "--compact-least", "1"]);
        }
        command.env("RUST_LOG", "warn").stdin(Stdio::null()).stdout(Stdio::piped());
        let log = std::fs::OpenOptions::new().append(true).create(true).open(database.with_extension("log"));
        command.stderr(log.expect("a log can be opened"));
        let mut process = Proc::new(command.spawn().expect("the server can be started"));
        let mut out = BufReader::new(process.child.stdout.take().expect("standard output is piped"));
        let mut line = String::new();
        out.read_line(&mut line).expect("the server's first line can be read");
        let Some(url) = line.trim().strip_prefix("listening on ") else {
            let log = std::fs::read_to_string(database.with_extension("log")).unwrap_or_default();
            panic!("the server said {line:?} first; its log:\n{log}");
        };
        let url = url.to_owned();
        process.child.stdout = Some(out.into_inner());
        Self { process, url, database: database.to_owned() }
    }

    /// `ADDR:PORT`.
    pub fn address(&self) -> String {
        self.url.trim_start_matches("http://").to_owned()
    }

    /// SIGTERM, and waits for the end: the exit code and what else stood on standard output.
    pub fn stop(mut self) -> (Option<i32>, String) {
        self.process.signal(rustix::process::Signal::TERM);
        let began = Instant::now();
        let status = loop {
            if let Some(status) = self.process.child.try_wait().expect("a child can be asked") {
                break status;
            }
            assert!(began.elapsed() < Duration::from_secs(20), "the server does not end after SIGTERM");
            std::thread::sleep(Duration::from_millis(2));
        };
        let mut rest = String::new();
        if let Some(mut out) = self.process.child.stdout.take() {
            let _ = out.read_to_string(&mut rest);
        }
        (status.code(), rest)
    }

    /// How many changes its only document has.
    pub fn log_length(&self) -> u64 {
        let list = get(&format!("{}/v1/documents", self.url), "application/json").json();
        let cursor = list["documents"][0]["cursor"].as_str().and_then(Cursor::parse);
        place(cursor.as_ref())
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.database.with_extension("log")).unwrap_or_default()
    }
}
