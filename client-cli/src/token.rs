//! The token that `init --token -` keeps: a file beside the store that only its owner can read. It is kept
//! with the server it was given for, and is never sent to another one: a document may be joined from anywhere.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use rejoin::Token;
use serde::{Deserialize, Serialize};

use crate::error::{CliError, Result};

#[derive(Serialize, Deserialize)]
struct Saved {
    server: String,
    token: String,
}

/// The file for the token of this store: the store's name and `.token`.
fn file_of(store: &Path) -> PathBuf {
    let mut name = OsString::from(store.as_os_str());
    name.push(".token");
    name.into()
}

/// The token that the text is.
pub(crate) fn parse(text: &str) -> Result<Token> {
    // The text itself is never repeated: it may be a secret with a slip in it.
    Token::new(text).ok_or_else(|| {
        CliError::usage(
            "that is no token",
            "a token is one line of letters, digits and signs, without spaces",
        )
    })
}

/// Keeps the token for this server, readable by the owner alone, in one step.
pub(crate) fn save(store: &Path, server: &str, token: &str) -> Result<()> {
    let path = file_of(store);
    let saved = Saved { server: normal(server).to_owned(), token: token.to_owned() };
    let text =
        serde_json::to_vec(&saved).map_err(|e| CliError::io("the token could not be kept", e.into()))?;
    let written = rejoin::files::write(&path, &text);
    written.map_err(|e| CliError::io(format!("the token could not be kept in {}", path.display()), e))
}

/// The token kept for this server; none where none was kept, or for another one.
pub(crate) fn load(store: &Path, server: &str) -> Result<Option<String>> {
    let saved = read(store)?.filter(|saved| saved.server == normal(server));
    Ok(saved.map(|saved| saved.token))
}

/// The server that the token is kept for, where one is.
pub(crate) fn server_of(store: &Path) -> Result<Option<String>> {
    Ok(read(store)?.map(|saved| saved.server))
}

fn read(store: &Path) -> Result<Option<Saved>> {
    let path = file_of(store);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(CliError::io(format!("{} could not be read", path.display()), e)),
    };
    serde_json::from_slice(&bytes).map(Some).map_err(|_| {
        CliError::failed(
            format!("{} holds no token", path.display()),
            "save it again with `rejoin init --token -`",
        )
    })
}

/// By what it is told that another token was saved: [`save`] makes a new file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    written: Option<SystemTime>,
    length: u64,
}

/// The mark of the token's file; none where there is none.
pub(crate) fn mark(store: &Path) -> Option<Mark> {
    let file = fs::metadata(file_of(store)).ok()?;
    Some(Mark { written: file.modified().ok(), length: file.len() })
}

fn normal(server: &str) -> &str {
    server.trim_end_matches('/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_by_its_owner_alone_and_for_its_server_alone() {
        let dir = tempfile::tempdir().unwrap();
        let store = dir.path().join("a.db");
        assert_eq!(load(&store, "http://a").unwrap(), None);
        save(&store, "http://a/", "first").unwrap();
        save(&store, "http://a/", "secret").unwrap();
        assert_eq!(load(&store, "http://a").unwrap().as_deref(), Some("secret"));
        assert_eq!(load(&store, "http://b").unwrap(), None);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            assert_eq!(fs::metadata(file_of(&store)).unwrap().permissions().mode() & 0o777, 0o600);
        }
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_wrong_token_is_not_repeated() {
        assert!(!parse("my secret").unwrap_err().to_string().contains("secret"));
    }
}
