//! The program through which long results are read on a terminal.

use std::io::{self, Write};
use std::process::{Child, ChildStdin, Command, Stdio};

/// What pages where nobody says otherwise: ends by itself where everything fits, keeps colours, leaves the text.
const USUAL: [&str; 2] = ["less", "-FRX"];

/// A pager that runs, and takes what is written to it.
pub(crate) struct Pager {
    child: Child,
    input: Option<ChildStdin>,
}

impl Pager {
    /// Starts what `REJOIN_PAGER` names, else `PAGER`, else `less -FRX`. `None` where it is empty or `cat`, and where
    /// it cannot be started: then nothing is paged.
    pub(crate) fn start() -> Option<Self> {
        let named = ["REJOIN_PAGER", "PAGER"].into_iter().find_map(std::env::var_os);
        let mut command = match named.map(|name| name.to_string_lossy().trim().to_owned()) {
            Some(name) if name.is_empty() || name == "cat" => return None,
            Some(name) => of_words(&name),
            None => of_words(&USUAL.join(" ")),
        };
        if std::env::var_os("LESS").is_none() {
            command.env("LESS", "FRX");
        }
        let mut child = command.stdin(Stdio::piped()).spawn().ok()?;
        let input = child.stdin.take();
        Some(Self { child, input })
    }

    /// No more comes: waits until the person has read it.
    pub(crate) fn finish(&mut self) {
        self.input = None;
        // How a pager ends says nothing about the command.
        let _ = self.child.wait();
    }
}

impl Drop for Pager {
    fn drop(&mut self) {
        self.finish();
    }
}

impl Write for Pager {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.input {
            Some(input) => input.write(bytes),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.input.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// A program with its options; what only a shell understands is given to one.
fn of_words(line: &str) -> Command {
    let plain = |c: char| c.is_alphanumeric() || " -_./:+=,%\\".contains(c);
    let mut words = line.split_whitespace();
    match words.next() {
        Some(program) if line.chars().all(plain) => {
            let mut command = Command::new(program);
            command.args(words);
            command
        }
        _ => {
            let mut command = Command::new("sh");
            command.args(["-c", line]);
            command
        }
    }
}
