//! The person's editor, on a file of our own.

use std::io::{Read as _, Seek as _, Write as _};
use std::process::Command;

use tempfile::NamedTempFile;

use crate::error::{CliError, Result};

/// A file that a person edits. It is removed at the end, unless it is kept.
pub(crate) struct Draft {
    file: NamedTempFile,
}

impl Draft {
    /// A file with this text, its owner's alone; `suffix` tells the editor what it is.
    pub(crate) fn new(text: &str, suffix: &str) -> Result<Self> {
        let failed = |e| CliError::io("the file for the editor could not be made", e);
        let mut file =
            tempfile::Builder::new().prefix("rejoin-").suffix(suffix).tempfile().map_err(failed)?;
        file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(failed)?;
        Ok(Self { file })
    }

    /// Opens the editor, and gives what the file holds when it is left.
    pub(crate) fn edit(&mut self) -> Result<String> {
        let editor = editor();
        let mut command = command(&editor);
        let failed = |what: String| {
            CliError::failed(what, "set VISUAL or EDITOR to the editor that you want; nothing was changed")
        };
        let status = command.arg(self.file.path()).status();
        let status =
            status.map_err(|e| failed(format!("the editor {editor:?} could not be started ({e})")))?;
        if !status.success() {
            return Err(failed(format!("the editor {editor:?} failed ({status})")));
        }
        self.read()
    }

    /// By its name: many editors put another file in its place.
    fn read(&mut self) -> Result<String> {
        let failed = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => CliError::failed(
                "the editor left no file",
                "nothing was changed; save the text and leave the editor",
            ),
            _ => CliError::io("the edited file could not be read", e),
        };
        let mut file = std::fs::File::open(self.file.path()).map_err(failed)?;
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).map_err(failed)?;
        String::from_utf8(bytes).map_err(|_| {
            CliError::failed(
                "the edited file is no text: it is not UTF-8",
                "save it as UTF-8; nothing was changed",
            )
        })
    }

    /// Keeps the file, and says where it is.
    pub(crate) fn keep(self) -> String {
        let path = self.file.path().display().to_string();
        // Where it cannot be kept there is nothing better to say.
        let _ = self.file.keep();
        path
    }
}

/// `VISUAL`, else `EDITOR`, else what every system has.
fn editor() -> String {
    let set = |name| std::env::var(name).ok().filter(|editor| !editor.trim().is_empty());
    let usual = if cfg!(windows) { "notepad" } else { "vi" };
    ["VISUAL", "EDITOR"].into_iter().find_map(set).unwrap_or_else(|| usual.to_owned())
}

/// The editor is a command line: `code --wait`.
#[cfg(unix)]
fn command(editor: &str) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", &format!("{editor} \"$@\""), editor]);
    command
}

#[cfg(not(unix))]
fn command(editor: &str) -> Command {
    let mut words = editor.split_whitespace();
    let mut command = Command::new(words.next().unwrap_or("notepad"));
    command.args(words);
    command
}
