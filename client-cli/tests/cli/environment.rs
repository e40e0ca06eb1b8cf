//! A person at a shell: a store and a home of their own in a temporary directory, and nothing from outside.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

/// Where everything of one test is.
pub(crate) struct Environment {
    dir: TempDir,
}

impl Environment {
    pub(crate) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A person with a store of this name.
    pub(crate) fn person(&self, name: &str) -> Person<'_> {
        Person { environment: self, store: self.path(&format!("{name}.db")) }
    }

    /// The binary, with an environment that holds nothing but a home.
    pub(crate) fn rejoin(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_rejoin"));
        command.env_clear().env("HOME", self.dir.path()).current_dir(self.dir.path()).stdin(Stdio::null());
        command
    }
}

/// One of those who use it.
pub(crate) struct Person<'a> {
    environment: &'a Environment,
    pub(crate) store: PathBuf,
}

impl Person<'_> {
    pub(crate) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.environment.rejoin();
        command.env("REJOIN_STORE", &self.store).args(words);
        command
    }

    pub(crate) fn run(&self, words: &[&str]) -> Ran {
        Ran::of(self.command(words).output().unwrap(), words)
    }

    pub(crate) fn run_with(&self, words: &[&str], stdin: &str) -> Ran {
        let mut command = self.command(words);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may stop reading before the end.
        let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
        Ran::of(child.wait_with_output().unwrap(), words)
    }

    /// Runs what is to succeed, and gives its standard output.
    pub(crate) fn ok(&self, words: &[&str]) -> String {
        self.run(words).expect(0).stdout
    }

    /// Runs what is to succeed with `--json`, and gives the one value of its standard output.
    pub(crate) fn json(&self, words: &[&str]) -> Value {
        let stdout = self.ok(&[words, &["--json"]].concat());
        assert_eq!(stdout.lines().count(), 1, "{words:?}: {stdout}");
        serde_json::from_str(&stdout).unwrap()
    }

    /// A new document of this name.
    pub(crate) fn new_document(&self, name: &str) -> String {
        self.ok(&["new", "--name", name]).trim().to_owned()
    }
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    words: Vec<String>,
}

impl Ran {
    pub(crate) fn of(output: Output, words: &[&str]) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
            words: words.iter().map(ToString::to_string).collect(),
        }
    }

    pub(crate) fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "rejoin {}: {self:#?}", self.words.join(" "));
        self
    }

    /// It failed as it should: with this exit code, nothing on standard output, and two sentences.
    pub(crate) fn expect_error(self, code: i32, what: &str) -> Self {
        let ran = self.expect(code);
        assert_eq!(ran.stdout, "", "{ran:#?}");
        let lines: Vec<_> = ran.stderr.lines().collect();
        assert!(lines.iter().any(|l| l.starts_with("error: ")), "{ran:#?}");
        assert!(ran.stderr.contains(what), "no {what:?} in {ran:#?}");
        assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
        ran
    }
}

/// The bytes of every file, by which "changed nothing" is told.
pub(crate) fn contents(dir: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files: Vec<_> = std::fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .map(|path| (path.clone(), std::fs::read(path).unwrap()))
        .collect();
    files.sort();
    files
}
