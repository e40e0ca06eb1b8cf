//! What a service runs: this program, for this store.

use std::path::{Path, PathBuf};

use crate::context::{Context, check_server};
use crate::error::{CliError, Result};

/// How the names of all our services begin.
const NAME: &str = "rejoin-sync";

/// The command that is kept running.
#[derive(Debug, Clone)]
pub(super) struct Job {
    /// The service's name, without an ending: one for each store.
    pub(super) name: String,
    pub(super) program: String,
    /// What follows the program, word by word.
    pub(super) words: Vec<String>,
    /// The store, for people.
    pub(super) store: String,
}

impl Job {
    /// The job for the store and the options of this command.
    pub(super) fn of(context: &Context) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|e| CliError::io("the path of this program could not be found", e))?;
        let store = absolute(&context.store_path()?)?;
        let mut words = vec!["--store".to_owned(), text(&store)?];
        if let Some(server) = context.globals.server() {
            words.extend(["--server".to_owned(), check_server(server)?]);
        }
        if let Some(file) = context.globals.ca_cert() {
            words.extend(["--ca-cert".to_owned(), text(&absolute(file)?)?]);
        }
        if context.globals.allow_http {
            words.push("--allow-http".to_owned());
        }
        words.extend(["sync", "--watch", "--quiet"].map(str::to_owned));
        let usual = Context::usual_store_path().is_some_and(|usual| usual == store);
        let name = if usual { NAME.to_owned() } else { format!("{NAME}-{:012x}", digest(&text(&store)?)) };
        Ok(Self { name, program: text(&program)?, words, store: text(&store)? })
    }
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|e| CliError::io(path.display(), e))
}

/// A path as text: the files that describe services are text.
fn text(path: &Path) -> Result<String> {
    path.to_str().map(str::to_owned).ok_or_else(|| {
        CliError::failed(
            format!("the path {} is not Unicode, and a service cannot name it", path.display()),
            "give the file another name",
        )
    })
}

/// 48 bits by which stores are told apart (FNV-1a): the same in every release.
fn digest(text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    text.bytes().fold(0xcbf2_9ce4_8422_2325, step) >> 16
}

#[cfg(test)]
pub(super) fn sample(program: &str, store: &str) -> Job {
    let words = ["--store", store, "sync", "--watch", "--quiet"].map(str::to_owned).to_vec();
    Job { name: NAME.to_owned(), program: program.to_owned(), words, store: store.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stores_have_names_of_their_own_that_stay() {
        assert_eq!(digest("/home/ada/a.db"), digest("/home/ada/a.db"));
        assert_ne!(digest("/home/ada/a.db"), digest("/home/ada/b.db"));
        assert_eq!(format!("{:012x}", digest("a")), "af63dc4c8601");
    }
}
